"""Uploads in parts as documents, in the partition of the project.

A record goes before its bytes do, or in the write that makes them count: so bytes that are being deleted never come to count.
"""

from typing import Final

from penstock_artifact.domain import BlobId
from penstock_artifact.parts.domain import BlobUpload
from penstock_artifact.store import Page
from penstock_kit.stores.documents import (
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    Index,
    VersionConflict,
)
from penstock_kit.stores.parts import PartsUpload

__all__ = ["UPLOAD_COLLECTIONS", "UploadStore", "end_of"]

UPLOADS: Final = "blob_uploads"
UPLOAD_COLLECTIONS: Final = (Collection(UPLOADS, (Index("begin", ("begin_us",)),)),)


class UploadStore:
    """Uploads over the document store.

    Args:
        documents: A store opened with `UPLOAD_COLLECTIONS`, among others.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def find(self, project: str, upload_id: str) -> BlobUpload | None:
        """Returns an upload, if there is one."""
        try:
            return _upload(await self._documents.get(UPLOADS, project, upload_id))
        except DocumentMissing:
            return None

    async def put(self, upload: BlobUpload, over: BlobUpload | None) -> bool:
        """Writes an upload in the place of another one as it was read, or of none. Returns whether nobody was quicker."""
        body = {
            "sha256": upload.blob.sha256 if upload.blob is not None else None,
            "size": upload.blob.size if upload.blob is not None else None,
            "key": upload.parts.key,
            "parts": upload.parts.id,
            "part_bytes": upload.parts.part_bytes,
            "creator": upload.creator,
            "begin_us": upload.begin_us,
        }
        try:
            if over is None:
                await self._documents.insert(UPLOADS, upload.project, upload.upload_id, body)
            else:
                # In its place, so that versions grow: whoever still finishes the other one is told by them.
                await self._documents.replace(UPLOADS, upload.project, upload.upload_id, body, expected=over.version)
        except (DocumentExists, DocumentMissing, VersionConflict):
            return False
        return True

    async def remove(self, upload: BlobUpload) -> bool:
        """Removes an upload as it was read. Returns whether it was there."""
        try:
            await self._documents.delete(UPLOADS, upload.project, upload.upload_id, expected=upload.version)
        except (DocumentMissing, VersionConflict):
            return False
        return True

    async def count(self, project: str, limit: int) -> int:
        """How many uploads a project has, counted up to a limit."""
        return len((await self._documents.query(UPLOADS, project, "begin", limit=limit)).documents)

    async def oldest(self, project: str, limit: int) -> Page[BlobUpload]:
        """The uploads of a project that began first."""
        page = await self._documents.query(UPLOADS, project, "begin", limit=limit)
        return Page([_upload(document) for document in page.documents], page.cursor)

    async def projects(self) -> list[str]:
        """The projects that have or had uploads."""
        return await self._documents.partitions(UPLOADS)


def end_of(upload: BlobUpload) -> Delete:
    """The operation that ends an upload as it was read."""
    return Delete(UPLOADS, upload.upload_id, upload.version)


def _upload(document: Document) -> BlobUpload:
    body = document.body
    return BlobUpload(
        project=document.partition,
        upload_id=document.id,
        blob=BlobId(body["sha256"], body["size"]) if body["sha256"] is not None else None,
        parts=PartsUpload(body["key"], body["parts"], body["part_bytes"]),
        creator=body["creator"],
        begin_us=body["begin_us"],
        version=document.version,
    )
