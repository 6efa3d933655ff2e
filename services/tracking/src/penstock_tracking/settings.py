"""What can be set of the tracking service, by environment variables `PENSTOCK_TRACKING_...`."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PREFIX", "TrackingSettings"]

PREFIX = "PENSTOCK_TRACKING"


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Settings of one tracking process.

    Attributes:
        address: Where to listen, `host:port`; port 0 takes a free one.
        data_dir: Where the embedded stores keep their files.
        auth_address: `host:port` of the auth service.
        service_credential_file: The file with the secret by which services know each other; auth writes it.
        crash_check_interval_s: How often runs without a sign of life are looked for, in seconds.
    """

    data_dir: Path
    auth_address: str
    service_credential_file: Path
    address: str = "127.0.0.1:0"
    crash_check_interval_s: float = 10.0
