"""Owns the way of one file into the blob store whose digest is not known before it has come, in constant memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Final

from penstock_artifact.contents import Contents
from penstock_artifact.domain import BLOB_BYTES_MAX, BlobId, Storage
from penstock_artifact.errors import BlobMismatch, QuotaExceeded
from penstock_artifact.keys import new_key, new_streamed_key
from penstock_artifact.store import ArtifactStore, StoredBlob
from penstock_artifact.uploads import SMALL_BYTES_MAX, next_part, once, timed_put
from penstock_kit.clock import Clock
from penstock_kit.stores.blobs import BlobStore

__all__ = ["HELD_BYTES_MAX", "IncomingFile"]

HELD_BYTES_MAX: Final = 1024 * 1024
"""A file of up to so many bytes is held in memory until it is whole: what the project has already is not written again."""


class IncomingFile:
    """One file on its way.

    Args:
        project: The project's id.
        size: What was announced; None if nothing was.
        store: The records.
        blobs: The bytes.
        contents: How blobs are counted on.
        clock: The time.
    """

    def __init__(
        self,
        project: str,
        size: int | None,
        store: ArtifactStore,
        blobs: BlobStore,
        contents: Contents,
        clock: Clock,
    ) -> None:
        self._project = project
        self._announced = size
        self._store = store
        self._blobs = blobs
        self._contents = contents
        self._clock = clock
        self._digest = hashlib.sha256()
        self._size = 0

    async def receive(self, parts: AsyncIterator[bytes]) -> BlobId:
        """Takes all bytes, and makes them count as a blob, which is not collected in the next half of the grace period.

        Raises `BlobMismatch`, `UploadSilent`, `QuotaExceeded`, `StoreFull`. Then nothing is left.
        """
        storage = await self._store.storage(self._project)
        pieces = self._checked(parts, storage)
        head: list[bytes] = []
        async for piece in pieces:
            head.append(piece)
            if self._size > HELD_BYTES_MAX:
                return await self._write(new_streamed_key(self._project, self._clock.now_us()), _chained(head, pieces))
        blob = BlobId(self._digest.hexdigest(), self._size)
        if await self._contents.relied(self._project, [blob.sha256]):
            return blob
        return await self._write(new_key(self._project, blob.sha256, self._clock.now_us()), once(b"".join(head)))

    async def _write(self, key: str, content: AsyncIterator[bytes]) -> BlobId:
        now_us = self._clock.now_us()
        await timed_put(self._blobs, key, content)
        blob = StoredBlob(self._digest.hexdigest(), self._size, key, now_us)
        try:
            unneeded = await self._store.add_blobs(self._project, [blob])
        except QuotaExceeded:
            await self._blobs.delete(key)  # others filled the quota since this was let in
            raise
        for one in unneeded:
            await self._blobs.delete(one.key)
        return BlobId(blob.sha256, blob.size)

    async def _checked(self, parts: AsyncIterator[bytes], storage: Storage) -> AsyncIterator[bytes]:
        """Yields the bytes while they are what was announced, and fit."""
        limit = BLOB_BYTES_MAX if self._announced is None else self._announced
        while (part := await next_part(parts)) is not None:
            self._size += len(part)
            if self._size > limit:
                raise BlobMismatch(f"More than {limit:,} bytes came.")
            storage.check(self._size)
            if len(part) < SMALL_BYTES_MAX:
                self._digest.update(part)
            else:
                await asyncio.to_thread(self._digest.update, part)
            yield part
        if self._announced is not None and self._size < self._announced:
            raise BlobMismatch(f"{self._announced:,} bytes were announced; only {self._size:,} came.")


async def _chained(head: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while head:
        yield head.pop(0)
    async for piece in rest:
        yield piece
