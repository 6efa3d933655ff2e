"""What the auth service can be told from outside, as `PENSTOCK_AUTH_<FIELD>`."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AuthSettings"]


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Settings of the auth service.

    Attributes:
        data_dir: Where its database lies; made if missing, for this user alone.
        service_credential_file: Where the secret is written with which the other services introduce themselves.
        owner_credential_file: Where the personal access token of the owner is written, for the SDK and CLI on this machine.
    """

    data_dir: Path
    service_credential_file: Path
    owner_credential_file: Path
