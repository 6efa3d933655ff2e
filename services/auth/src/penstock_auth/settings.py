"""What the auth service can be told from outside, as `PENSTOCK_AUTH_<FIELD>`."""

from dataclasses import dataclass, field
from pathlib import Path

from penstock_kit.stores.mongo import MongoDriver

__all__ = ["AuthSettings"]


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Settings of the auth service.

    The URL of the store may hold a password: it is left out of what this prints as.

    Attributes:
        data_dir: Where its database lies if no URL says otherwise, and the lock of its start; made if missing, for this
            user alone.
        service_credential_file: Where the secret is written with which the other services introduce themselves.
        owner_credential_file: Where the personal access token of the owner is written, for the SDK and CLI on this machine.
        documents_url: Where its data is: `mongodb://host:port/database`; empty for a file in `data_dir`.
        mongo_driver: What drives MongoDB: `motor`, or its successor `pymongo`.
    """

    data_dir: Path
    service_credential_file: Path
    owner_credential_file: Path
    documents_url: str = field(default="", repr=False)
    mongo_driver: MongoDriver = "motor"
