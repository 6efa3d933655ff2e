"""What the registry service can be told from outside, as `PENSTOCK_REGISTRY_<FIELD>`."""

from dataclasses import dataclass, field
from pathlib import Path

from penstock_kit.stores.mongo import MongoDriver

__all__ = ["RegistrySettings"]


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Settings of the registry service.

    The URLs of the stores may hold passwords: they are left out of what this prints as.

    Attributes:
        data_dir: Where its database lies if no URL says otherwise; made if missing, for this user alone.
        auth_address: `host:port` of the auth service.
        service_credential_file: The file with the secret by which services know each other; auth writes it.
        documents_url: Where its data is: `mongodb://host:port/database`; empty for a file in `data_dir`.
        blobs_url: Where search columns are kept: `s3://access-key:secret-key@host:port/bucket`; empty for a folder in
            `data_dir`.
        mongo_driver: What drives MongoDB: `motor`, or its successor `pymongo`.
        secrets_key_file: Holds the keys that encrypt the secrets of webhooks and the tokens of CI systems, one per line; made
            if missing. None for `secrets.key` in `data_dir`. Replicas over one database need the same.
        artifact_address: `host:port` of the artifact service, several replicas separated by commas. Without it versions are
            registered unchecked, and what they name may be deleted.
        tracking_address: The same of the tracking service. Without it lineage ends at the run.
        webhook_hosts: Hosts, `host` or `host:port`, separated by commas, to which webhooks may go although they have private
            addresses or no TLS. All others must be public and have it.
    """

    data_dir: Path
    auth_address: str
    service_credential_file: Path
    documents_url: str = field(default="", repr=False)
    blobs_url: str = field(default="", repr=False)
    mongo_driver: MongoDriver = "motor"
    secrets_key_file: Path | None = None
    artifact_address: str = ""
    tracking_address: str = ""
    webhook_hosts: str = ""
