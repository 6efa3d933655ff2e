"""What the tracking service can be told from outside, as `PENSTOCK_TRACKING_<FIELD>`."""

from dataclasses import dataclass, field
from pathlib import Path

from penstock_kit.stores.mongo import MongoDriver

__all__ = ["TrackingSettings"]


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Settings of the tracking service.

    The URLs of stores may hold passwords: they are left out of what this prints as.

    Attributes:
        data_dir: Where the stores without a URL keep their files; made if missing, for this user alone.
        auth_address: `host:port` of the auth service.
        service_credential_file: The file with the secret by which services know each other; auth writes it.
        crash_check_interval_s: How often runs without a sign of life are looked for, in seconds.
        fence_check_interval_s: How often it is looked whether another replica has the writers of open streams, in seconds.
        keep_columns_interval_s: How often search columns that changed are kept for the next start, in seconds.
        documents_url: Of experiments and runs: `mongodb://host:port/database`; empty for a file in `data_dir`.
        metric_log_url: Of metrics, `mongodb://` too, and maybe the same database; empty for a file in `data_dir`.
        hot_url: `redis://host:port/number`, which several replicas need to wake each other's readers; empty for none.
        blobs_url: `s3://access-key:secret-key@host:port/bucket?secure=true|false`; empty for a folder in `data_dir`.
        s3_public_url: `http(s)://host:port` by which clients reach the S3 server, if that is another than in `blobs_url`.
        mongo_driver: What drives MongoDB: `motor`, or its successor `pymongo`.
        compaction: Whether this process takes what runs logged into segments. If not, others must:
            `python -m penstock_tracking.compactor`, or another replica.
    """

    data_dir: Path
    auth_address: str
    service_credential_file: Path
    crash_check_interval_s: float = 10.0
    fence_check_interval_s: float = 2.0
    keep_columns_interval_s: float = 60.0
    documents_url: str = field(default="", repr=False)
    metric_log_url: str = field(default="", repr=False)
    hot_url: str = field(default="", repr=False)
    blobs_url: str = field(default="", repr=False)
    s3_public_url: str = ""
    mongo_driver: MongoDriver = "motor"
    compaction: bool = True
