"""What the artifact service can be told from outside, as `PENSTOCK_ARTIFACT_<FIELD>`."""

from dataclasses import dataclass, field
from pathlib import Path

from penstock_kit.stores.mongo import MongoDriver

__all__ = ["ArtifactSettings"]


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """Settings of the artifact service.

    The URLs of the stores may hold passwords: they are left out of what this prints as.

    Attributes:
        data_dir: Where its database and blobs lie if no URL says otherwise; made if missing, for this user alone.
        auth_address: `host:port` of the auth service.
        service_credential_file: The file with the secret by which services know each other; auth writes it.
        documents_url: Where manifests are: `mongodb://host:port/database`; empty for a file in `data_dir`.
        blobs_url: Where files are: `s3://access-key:secret-key@host:port/bucket`; empty for a folder in `data_dir`.
        s3_public_url: `http(s)://host:port` by which clients reach the S3 server: then they send large files straight there.
            Empty where they do not reach it: all bytes pass through this service.
        mongo_driver: What drives MongoDB: `motor`, or its successor `pymongo`.
    """

    data_dir: Path
    auth_address: str
    service_credential_file: Path
    documents_url: str = field(default="", repr=False)
    blobs_url: str = field(default="", repr=False)
    s3_public_url: str = ""
    mongo_driver: MongoDriver = "motor"
