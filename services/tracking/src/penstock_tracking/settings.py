"""What the tracking service can be told from outside, as `PENSTOCK_TRACKING_<FIELD>`."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["TrackingSettings"]


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Settings of the tracking service.

    Attributes:
        data_dir: Where the embedded stores keep their files; made if missing, for this user alone.
        auth_address: `host:port` of the auth service.
        service_credential_file: The file with the secret by which services know each other; auth writes it.
        crash_check_interval_s: How often runs without a sign of life are looked for, in seconds.
        keep_columns_interval_s: How often search columns that changed are kept for the next start, in seconds.
    """

    data_dir: Path
    auth_address: str
    service_credential_file: Path
    crash_check_interval_s: float = 10.0
    keep_columns_interval_s: float = 60.0
