"""Between the messages of the contract and the domain."""

import re
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.artifact.v1 import artifact_pb2 as pb
from penstock.api.artifact.v1 import artifact_service_pb2
from penstock_artifact.domain import (
    BLOB_BYTES_MAX,
    Artifact,
    ArtifactVersion,
    BlobId,
    Entry,
    File,
    Link,
    Reference,
    Retention,
    Storage,
)
from penstock_artifact.errors import UploadInvalid
from penstock_kit.names import ArtifactName, ArtifactVersionName, RunName

__all__ = [
    "artifact_message",
    "blob_from_message",
    "blob_message",
    "entry_from_message",
    "entry_message",
    "link_message",
    "retention_from_message",
    "storage_message",
    "time_message",
    "upload_request",
    "version_message",
]


DATA_BYTES_MAX: Final = 4 * 1024 * 1024

_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


def upload_request(raw: bytes) -> artifact_service_pb2.UploadBlobsRequest:
    """Reads a message of an upload. Raises `UploadInvalid` if it breaks a rule of the contract.

    In place of protovalidate, which would copy the bytes of each message twice.
    """
    request = artifact_service_pb2.UploadBlobsRequest.FromString(raw)
    if len(request.data) > DATA_BYTES_MAX:
        raise UploadInvalid(f"A message has {len(request.data):,} bytes of a blob; {DATA_BYTES_MAX:,} is the most.")
    if request.HasField("blob"):
        blob = request.blob
        if _SHA256.match(blob.sha256) is None:
            raise UploadInvalid("A blob is announced by its SHA-256, 64 lower-case hex digits.")
        if not 0 <= blob.size_bytes <= BLOB_BYTES_MAX:
            raise UploadInvalid(
                f"A blob is announced with {blob.size_bytes:,} bytes; 0 to {BLOB_BYTES_MAX:,} are allowed. Split the file."
            )
    return request


def artifact_message(artifact: Artifact) -> pb.Artifact:
    """Packs an artifact."""
    return pb.Artifact(
        name=str(ArtifactName(artifact.project, artifact.artifact_id)),
        type=artifact.type,
        latest_version=artifact.latest,
        creator=artifact.creator,
        create_time=time_message(artifact.create_us),
        update_time=time_message(artifact.update_us),
    )


def version_message(version: ArtifactVersion) -> pb.ArtifactVersion:
    """Packs a version."""
    return pb.ArtifactVersion(
        name=_version_name(version.project, version.artifact_id, version.number),
        type=version.type,
        manifest=version.manifest,
        file_count=version.file_count,
        reference_count=version.reference_count,
        size_bytes=version.size,
        description=version.description,
        creator=version.creator,
        create_time=time_message(version.create_us),
    )


def blob_from_message(message: pb.BlobId) -> BlobId:
    """Unpacks the id of a blob."""
    return BlobId(message.sha256, message.size_bytes)


def blob_message(blob: BlobId) -> pb.BlobId:
    """Packs the id of a blob."""
    return pb.BlobId(sha256=blob.sha256, size_bytes=blob.size)


def entry_from_message(message: pb.ManifestEntry) -> Entry:
    """Unpacks an entry of a manifest."""
    if message.HasField("file"):
        return File(message.path, blob_from_message(message.file.blob), message.file.media_type)
    reference = message.reference
    size = reference.size_bytes if reference.HasField("size_bytes") else None
    return Reference(message.path, reference.uri, reference.digest, size)


def entry_message(entry: Entry) -> pb.ManifestEntry:
    """Packs an entry of a manifest."""
    if isinstance(entry, File):
        return pb.ManifestEntry(
            path=entry.path, file=pb.ManifestFile(blob=blob_message(entry.blob), media_type=entry.media_type)
        )
    return pb.ManifestEntry(
        path=entry.path,
        reference=pb.ManifestReference(uri=entry.uri, digest=entry.digest, size_bytes=entry.size),
    )


def link_message(project: str, link: Link) -> pb.ArtifactLink:
    """Packs a link."""
    return pb.ArtifactLink(
        version=_version_name(project, link.artifact_id, link.number),
        run=str(RunName(project, link.run_id)),
        kind=pb.ArtifactLinkKind.Name(link.kind),
        create_time=time_message(link.create_us),
    )


def storage_message(project: str, storage: Storage) -> pb.ArtifactStorage:
    """Packs what a project stores."""
    kept = storage.retention
    return pb.ArtifactStorage(
        name=f"projects/{project}/artifactStorage",
        used_bytes=storage.used,
        quota_bytes=storage.quota,
        retention=pb.ArtifactRetention(versions_kept=kept.versions, days_kept=kept.days) if kept else None,
    )


def retention_from_message(message: pb.ArtifactRetention) -> Retention:
    """Unpacks which versions are kept."""
    return Retention(message.versions_kept, message.days_kept)


def _version_name(project: str, artifact_id: str, number: int) -> str:
    return str(ArtifactVersionName(ArtifactName(project, artifact_id), number))


def time_message(time_us: int) -> Timestamp:
    """Packs a time in microseconds since 1970."""
    time = Timestamp()
    time.FromMicroseconds(time_us)
    return time
