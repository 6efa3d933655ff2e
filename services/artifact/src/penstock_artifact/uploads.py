"""Owns the way of bytes into the blob store: verified while they pass, in constant memory, and counted in groups.

The bytes of an upload get a key of their own, which tells when the upload began. They become visible with the record of the
blob, written when their digest was verified; bytes without a record are swept once they are old.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from penstock_artifact.domain import BlobId, Storage
from penstock_artifact.errors import BlobMismatch, QuotaExceeded, StoreFull, UploadInvalid, UploadSilent
from penstock_artifact.keys import new_key
from penstock_artifact.store import ArtifactStore, StoredBlob
from penstock_kit.clock import Clock
from penstock_kit.stores.blobs import BlobStore, BlobStoreFull

__all__ = ["BLOB_S_MAX", "SILENCE_S_MAX", "SMALL_BYTES_MAX", "Part", "Upload", "next_part", "once", "timed_put"]

SILENCE_S_MAX: Final = 60.0
BLOB_S_MAX: Final = 6 * 3_600.0
"""Well below the grace period, after which bytes that no record names are taken for left over."""
GROUP_BLOBS: Final = 64
"""So many blobs are made to count in one write, so that small files do not cost one each."""
GROUP_BYTES: Final = 8 * 1024 * 1024
SMALL_BYTES_MAX: Final = 65_536
"""Up to so many bytes are digested sooner than a thread begins, and wait in memory to be written beside others."""
WRITTEN_AT_ONCE_MAX: Final = 8
"""So many small blobs of a stream are written at once: each waits for disk or network longer than it takes to come."""

Part = BlobId | bytes
"""What comes: a blob is announced, or some of its bytes."""

T = TypeVar("T")


class Upload:
    """One stream of blobs into a project.

    Args:
        project: The project's id.
        store: The records.
        blobs: The bytes.
        clock: The time.
    """

    def __init__(self, project: str, store: ArtifactStore, blobs: BlobStore, clock: Clock) -> None:
        self._project = project
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._group: list[StoredBlob] = []
        self._writing: deque[asyncio.Task[None]] = deque()
        self._uncounted = self._uncounted_bytes = 0
        self._durable = 0
        self._storage: Storage | None = None

    async def receive(self, parts: AsyncIterator[Part]) -> AsyncIterator[int]:
        """Takes all blobs, and yields how many are durable whenever some more are, and at the end.

        Raises `BlobMismatch`, `UploadInvalid`, `UploadSilent`, `QuotaExceeded`, `StoreFull`. Blobs before the failing one
        are kept.
        """
        incoming = _Incoming(parts)
        try:
            while (blob := await incoming.announced()) is not None:
                await self._admit(blob)
                await self._take(blob, incoming)
                if self._uncounted >= GROUP_BLOBS or self._uncounted_bytes >= GROUP_BYTES:
                    await self._count()
                    yield self._durable
            await self._count()
            yield self._durable
        except (BlobMismatch, UploadInvalid, UploadSilent, QuotaExceeded, StoreFull):
            await self._count()
            raise
        finally:
            for writing in self._writing:
                writing.cancel()
            await asyncio.gather(*self._writing, return_exceptions=True)

    async def _admit(self, blob: BlobId) -> None:
        """Refuses a blob before its bytes are read, if it would not fit."""
        if self._storage is None or blob.size > SMALL_BYTES_MAX:
            # For a group of small ones once: whatever happens meanwhile is found when they are counted.
            self._storage = await self._store.storage(self._project)
        try:
            self._storage.check(self._uncounted_bytes + blob.size)
        except QuotaExceeded:
            if not await self._store.blobs(self._project, [blob.sha256]):
                raise

    async def _take(self, blob: BlobId, incoming: "_Incoming") -> None:
        self._uncounted += 1
        self._uncounted_bytes += blob.size
        if blob.size > SMALL_BYTES_MAX:
            await self._write(blob, incoming.verified(blob))
            return
        content = b"".join([piece async for piece in incoming.verified(blob)])
        if len(self._writing) == WRITTEN_AT_ONCE_MAX:
            await self._writing.popleft()
        self._writing.append(asyncio.create_task(self._write(blob, once(content))))

    async def _write(self, blob: BlobId, content: AsyncIterator[bytes]) -> None:
        now_us = self._clock.now_us()
        key = new_key(self._project, blob.sha256, now_us)
        await timed_put(self._blobs, key, content)
        self._group.append(StoredBlob(blob.sha256, blob.size, key, now_us))

    async def _count(self) -> None:
        while self._writing:
            await self._writing.popleft()
        if not self._group:
            return
        group = self._group
        self._group = []
        self._storage = None
        self._uncounted = self._uncounted_bytes = 0
        try:
            unneeded = await self._store.add_blobs(self._project, group)
        except QuotaExceeded:
            # Others filled the quota since these were let in.
            for blob in group:
                await self._blobs.delete(blob.key)
            raise
        self._durable += len(group)
        for blob in unneeded:
            await self._blobs.delete(blob.key)


async def timed_put(blobs: BlobStore, key: str, content: AsyncIterator[bytes]) -> None:
    """Writes what comes from a client. Raises `UploadSilent` after `BLOB_S_MAX`, `StoreFull`, and what `content` raises."""
    try:
        async with asyncio.timeout(BLOB_S_MAX):
            await blobs.put(key, content)
    except TimeoutError:
        raise UploadSilent(f"The blob took longer than {BLOB_S_MAX:g} s.") from None
    except BlobStoreFull:
        raise StoreFull("There is no room left where files are stored: tell an administrator.") from None


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Yields the whole."""
    yield content


async def next_part(parts: AsyncIterator[T]) -> T | None:
    """What comes next from a client; None at the end. Raises `UploadSilent` after `SILENCE_S_MAX`."""
    try:
        async with asyncio.timeout(SILENCE_S_MAX):
            return await anext(parts, None)
    except TimeoutError:
        raise UploadSilent(f"Nothing came for {SILENCE_S_MAX:g} s: open the stream anew and go on.") from None


class _Incoming:
    """Reads the parts of a stream as blobs."""

    def __init__(self, parts: AsyncIterator[Part]) -> None:
        self._parts = parts

    async def announced(self) -> BlobId | None:
        """The next blob; None at the end."""
        part = await next_part(self._parts)
        if isinstance(part, bytes):
            raise UploadInvalid("Bytes came that belong to no blob: announce a blob first.")
        return part

    async def verified(self, blob: BlobId) -> AsyncIterator[bytes]:
        """Yields the bytes of a blob. Raises `BlobMismatch` unless they are what was announced."""
        digest = hashlib.sha256()
        size = 0
        while size < blob.size:
            part = await next_part(self._parts)
            if not isinstance(part, bytes):
                raise BlobMismatch(
                    f"The blob {blob.sha256} was announced with {blob.size:,} bytes; only {size:,} came.",
                    sha256=blob.sha256,
                )
            size += len(part)
            if size > blob.size:
                raise BlobMismatch(
                    f"The blob {blob.sha256} was announced with {blob.size:,} bytes; more came.", sha256=blob.sha256
                )
            if len(part) < SMALL_BYTES_MAX:
                digest.update(part)
            else:
                await asyncio.to_thread(digest.update, part)
            yield part
        if digest.hexdigest() != blob.sha256:
            raise BlobMismatch(
                f"The bytes announced as {blob.sha256} have the digest {digest.hexdigest()}: was the file changed meanwhile?",
                sha256=blob.sha256,
            )
