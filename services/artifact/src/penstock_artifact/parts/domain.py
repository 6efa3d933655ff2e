"""Owns what an upload in parts is. Knows nothing of gRPC or storage."""

from dataclasses import dataclass
from typing import Final

from penstock_artifact.domain import BLOB_BYTES_MAX, BlobId
from penstock_kit.ids import derived_id
from penstock_kit.stores.parts import PARTS_MAX, PartsUpload

__all__ = ["LIFETIME_S", "PART_BYTES", "UPLOADS_PER_PROJECT_MAX", "BlobUpload", "upload_id_of"]

PART_BYTES: Final = 8 * 1024 * 1024
assert PART_BYTES * PARTS_MAX >= BLOB_BYTES_MAX, "the largest blob has more parts than a store takes"
LIFETIME_S: Final = 18 * 3_600
"""The bytes of an upload are swept a grace period, a day, after it began: what is left of it is for its verification."""
UPLOADS_PER_PROJECT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class BlobUpload:
    """A blob on its way into a project.

    Attributes:
        project: The project's id.
        upload_id: Its id there, which depends on caller and blob only if the blob is known.
        blob: What it shall be; None if that is known only when it is all there.
        parts: The parts, in the blob store.
        creator: Whose it is: the principal's id.
        begin_us: When it began, in microseconds since 1970.
        version: Of its record.
    """

    project: str
    upload_id: str
    blob: BlobId | None
    parts: PartsUpload
    creator: str
    begin_us: int
    version: int = 0

    @property
    def expire_us(self) -> int:
        """When it ends."""
        return self.begin_us + LIFETIME_S * 1_000_000


def upload_id_of(principal: str, blob: BlobId) -> str:
    """The id of a principal's upload of a blob."""
    return derived_id(principal, f"{blob.sha256} {blob.size}", "blob-upload")
