"""The use cases of uploads in parts: begin or go on, sign, receive, verify. Knows nothing of gRPC or of documents."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from penstock_artifact.contents import GRACE_S
from penstock_artifact.domain import BLOB_BYTES_MAX, BlobId
from penstock_artifact.errors import (
    BlobMismatch,
    NoDirectWay,
    PartInvalid,
    PartsNotThere,
    StoreFull,
    TooManyWriters,
    UploadInvalid,
    UploadLimitReached,
    UploadNotFound,
    UploadSilent,
)
from penstock_artifact.keys import new_key, new_streamed_key
from penstock_artifact.parts.domain import PART_BYTES, UPLOADS_PER_PROJECT_MAX, BlobUpload, upload_id_of
from penstock_artifact.parts.store import UploadStore, end_of
from penstock_artifact.signing import SignedUrl, UrlSigner
from penstock_artifact.store import ArtifactStore, StoredBlob
from penstock_artifact.uploads import SILENCE_S_MAX
from penstock_kit.clock import Clock
from penstock_kit.ids import random_id
from penstock_kit.names import BlobUploadName, ProjectName
from penstock_kit.stores.blobs import BlobMissing, BlobStore, BlobStoreFull
from penstock_kit.stores.digests import Digesting
from penstock_kit.stores.parts import (
    PART_BYTES_MIN,
    PartsGone,
    PartsMissing,
    PartsUpload,
    missing_parts,
    part_size,
)

__all__ = ["PartUploads", "Piece", "blob_of"]

WRITTEN_AT_ONCE_MAX: Final = 2
"""So many parts of a stream are written while the next one comes. Each is held in memory."""
PARTS_HELD_MAX: Final = 16
"""So many parts of all streams are held in memory; further ones wait before their bytes are read."""
PART_S_MAX: Final = 300.0
"""How long the bytes of a part may take, so that slow senders do not keep others waiting."""
VERIFIED_AT_ONCE_MAX: Final = 2
"""Each keeps a processor busy."""
TOLD_INTERVAL_S: Final = 5.0
"""How often the caller hears how far a verification is."""
BEGIN_ATTEMPTS_MAX: Final = 20

Piece = int | bytes
"""What comes: a part is announced by its number, or some of its bytes."""


class PartUploads:
    """Uploads of all projects.

    Args:
        store: The records of blobs.
        uploads: The records of uploads.
        blobs: The bytes.
        signer: Signs URLs straight to the bytes; None where there is no way past this service.
        clock: The time.
    """

    def __init__(
        self, store: ArtifactStore, uploads: UploadStore, blobs: BlobStore, signer: UrlSigner | None, clock: Clock
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._blobs = blobs
        self._signer = signer
        self._clock = clock
        self._held = asyncio.Semaphore(PARTS_HELD_MAX)
        self._verifying = asyncio.Semaphore(VERIFIED_AT_ONCE_MAX)

    @property
    def direct(self) -> bool:
        """Whether clients can reach the bytes without this service."""
        return self._signer is not None

    async def begin(self, parent: ProjectName, blob: BlobId, by: str) -> tuple[BlobUpload, list[int]] | None:
        """Returns the caller's upload of a blob, a new one if need be, and the parts that it lacks.

        Returns None if the project has the blob. Raises `QuotaExceeded`, `UploadLimitReached`, `StoreFull`.
        """
        project, upload_id = parent.project, upload_id_of(by, blob)
        for _ in range(BEGIN_ATTEMPTS_MAX):
            if await self._store.blobs(project, [blob.sha256]):
                return None
            (await self._store.storage(project)).check(blob.size)
            before = await self._uploads.find(project, upload_id)
            now_us = self._clock.now_us()
            if before is not None and now_us < before.expire_us:
                missing = await self._missing(before, blob)
                if missing is not None:
                    return before, missing
            if before is None:
                await self._admit_another(project)
            parts = await self._begin_parts(new_key(project, blob.sha256, now_us), PART_BYTES)
            upload = BlobUpload(project, upload_id, blob, parts, by, now_us)
            if await self._uploads.put(upload, over=before):
                if before is not None:
                    await self._drop_bytes(before)
                return upload, missing_parts({}, PART_BYTES, blob.size)
            await self._blobs.drop_parts(parts)  # somebody was quicker
        raise TooManyWriters("Others began the same upload again and again: try it again.")

    async def begin_unknown(self, parent: ProjectName, by: str) -> BlobUpload:
        """Begins an upload of which neither digest nor size are known.

        Raises `NoDirectWay`, `QuotaExceeded`, `UploadLimitReached`, `StoreFull`.
        """
        if self._signer is None:
            raise NoDirectWay("What is not known comes through this service: use UploadFile.")
        project = parent.project
        (await self._store.storage(project)).check(1)
        await self._admit_another(project)
        now_us = self._clock.now_us()
        parts = await self._begin_parts(new_streamed_key(project, now_us), PART_BYTES_MIN)
        upload = BlobUpload(project, random_id(), None, parts, by, now_us)
        await self._uploads.put(upload, over=None)
        return upload

    async def sign(self, name: BlobUploadName, numbers: Sequence[int], by: str) -> list[SignedUrl]:
        """Returns a URL for each of the parts. Raises `UploadNotFound`, `PartInvalid`, `NoDirectWay`."""
        upload = await self._own(name, by)
        if self._signer is None:
            raise NoDirectWay("Parts are sent through this service: use UploadParts.")
        if upload.blob is not None:
            for number in numbers:
                _check_part(upload.blob, upload.parts, number)
        return [self._signer.part(upload.parts, number) for number in numbers]

    async def receive(self, name: BlobUploadName, pieces: AsyncIterator[Piece], by: str) -> AsyncIterator[int]:
        """Takes parts, and yields the number of each that is durable.

        Raises `UploadNotFound`, `PartInvalid`, `UploadInvalid`, `UploadSilent`, `StoreFull`.
        """
        upload = await self._own(name, by)
        blob = upload.blob
        if blob is None:
            raise UploadInvalid(
                "The parts of a blob that is not known go straight to the object store: SignUploadParts."
            )
        writing: deque[asyncio.Task[int]] = deque()
        try:
            while (number := await _next(pieces)) is not None:
                if isinstance(number, bytes):
                    raise UploadInvalid("Bytes came that belong to no part: announce a part first.")
                expected = _check_part(blob, upload.parts, number)
                await self._held.acquire()
                try:
                    chunks = await _part(number, expected, pieces)
                except BaseException:
                    self._held.release()
                    raise
                task = asyncio.create_task(self._write(upload, number, chunks))
                task.add_done_callback(lambda _: self._held.release())
                writing.append(task)
                if len(writing) > WRITTEN_AT_ONCE_MAX:
                    yield await writing.popleft()
            while writing:
                yield await writing.popleft()
        finally:
            await asyncio.gather(*writing, return_exceptions=True)

    async def finish(self, name: BlobUploadName, by: str) -> AsyncIterator[int]:
        """Verifies the bytes of an upload and makes them count. Yields now and then how many are verified, at the end all.

        Raises `UploadNotFound`, `UploadInvalid`, `PartsNotThere`, `BlobMismatch`, `QuotaExceeded`, `StoreFull`.
        """
        upload = await self._own(name, by)
        blob = upload.blob
        if blob is None:
            raise UploadInvalid("It was begun without a blob: FinishFileUpload finishes it.")
        if await self._store.blobs(upload.project, [blob.sha256]):
            # Somebody else was quicker.
            await self._discard(upload)
            yield blob.size
            return
        await self._join(upload, blob.size)
        digested = Digesting()
        async with aclosing(self._digest(upload, digested)) as sizes:  # type: ignore[type-var]  # it is a generator
            async for size in sizes:
                yield size
        if blob_of(digested) != blob:
            await self._discard(upload)
            raise BlobMismatch(
                f"The bytes announced as {blob.sha256} have the digest {digested.hexdigest()}: was the file changed "
                "meanwhile?",
                sha256=blob.sha256,
            )
        await self._count(upload, blob)
        yield blob.size

    async def finish_unknown(
        self, name: BlobUploadName, part_count: int, size: int | None, digested: Digesting, by: str
    ) -> AsyncIterator[int]:
        """Makes the bytes of an upload count that was begun without a blob. Yields now and then how many are digested.

        Args:
            name: The upload.
            part_count: How many parts it has.
            size: What was announced; None if nothing was.
            digested: Has the blob's digest when this ends.
            by: Whose it is.

        Raises `UploadNotFound`, `UploadInvalid`, `PartsNotThere`, `PartInvalid`, `BlobMismatch`, `QuotaExceeded`,
        `StoreFull`.
        """
        upload = await self._own(name, by)
        if upload.blob is not None:
            raise UploadInvalid("It was begun with a blob: FinishBlobUpload finishes it.")
        try:
            sizes = await self._blobs.parts(upload.parts)
        except PartsGone:
            there = await self._joined_size(upload)  # before this was interrupted
        else:
            there, part_bytes = _measured(sizes, part_count)
            upload = replace(upload, parts=replace(upload.parts, part_bytes=part_bytes))
        if there > BLOB_BYTES_MAX or (size is not None and size != there):
            await self._discard(upload)
            raise BlobMismatch(
                f"The parts have {there:,} bytes; {BLOB_BYTES_MAX if size is None else size:,} "
                f"{'are the most' if size is None else 'were announced'}."
            )
        (await self._store.storage(upload.project)).check(there)
        await self._join(upload, there)
        async with aclosing(self._digest(upload, digested)) as progress:  # type: ignore[type-var]  # it is a generator
            async for done in progress:
                yield done
        await self._count(upload, blob_of(digested))

    async def abort(self, name: BlobUploadName, by: str) -> None:
        """Gives an upload up. No error if the caller has no such upload."""
        with contextlib.suppress(UploadNotFound):
            await self._discard(await self._own(name, by))

    async def sweep(self) -> int:
        """Ends the uploads that nobody can finish any more. Returns how many. Replicas may do it at once."""
        before_us = self._clock.now_us() - GRACE_S * 1_000_000
        ended = 0
        for project in await self._uploads.projects():
            while True:
                page = await self._uploads.oldest(project, UPLOADS_PER_PROJECT_MAX)
                old = [upload for upload in page.items if upload.begin_us < before_us]
                for upload in old:
                    ended += await self._discard(upload)
                if not old or page.cursor is None:
                    break
        return ended

    async def _own(self, name: BlobUploadName, by: str) -> BlobUpload:
        upload = await self._uploads.find(name.project, name.upload_id)
        if upload is None or upload.creator != by or self._clock.now_us() >= upload.expire_us:
            raise _ended()
        return upload

    async def _admit_another(self, project: str) -> None:
        if await self._uploads.count(project, UPLOADS_PER_PROJECT_MAX) >= UPLOADS_PER_PROJECT_MAX:
            raise UploadLimitReached(
                f"The project has {UPLOADS_PER_PROJECT_MAX:,} uploads that are not finished: finish them, or wait "
                "until they end."
            )

    async def _begin_parts(self, key: str, part_bytes: int) -> PartsUpload:
        try:
            return await self._blobs.begin_parts(key, part_bytes)
        except BlobStoreFull:
            raise _store_full() from None

    async def _missing(self, upload: BlobUpload, blob: BlobId) -> list[int] | None:
        """The parts that an upload lacks; None if nothing is left of it."""
        try:
            return missing_parts(await self._blobs.parts(upload.parts), upload.parts.part_bytes, blob.size)
        except PartsGone:
            try:
                await self._blobs.stat(upload.parts.key)
            except BlobMissing:
                return None
            return []  # whole, and not yet verified

    async def _write(self, upload: BlobUpload, number: int, chunks: Sequence[bytes]) -> int:
        try:
            await self._blobs.put_part(upload.parts, number, _each(chunks))
        except PartsGone:
            raise _ended() from None
        except BlobStoreFull:
            raise _store_full() from None
        return number

    async def _join(self, upload: BlobUpload, size: int) -> None:
        """Puts the parts together. Harmless if that was done."""
        try:
            await self._blobs.finish_parts(upload.parts, size)
        except PartsMissing as error:
            raise PartsNotThere(
                f"Part {error.number} is not there: send it, then finish again.", part=str(error.number)
            ) from None
        except PartsGone:
            await self._discard(upload)
            raise _ended() from None
        except BlobStoreFull:
            raise _store_full() from None

    async def _joined_size(self, upload: BlobUpload) -> int:
        try:
            return (await self._blobs.stat(upload.parts.key)).size
        except BlobMissing:
            await self._discard(upload)
            raise _ended() from None

    async def _digest(self, upload: BlobUpload, digested: Digesting) -> AsyncIterator[int]:
        """Reads the bytes back that were put together. Yields now and then how many."""
        while not await _acquired(self._verifying, TOLD_INTERVAL_S):
            yield 0
        reading = asyncio.create_task(self._blobs.digest(upload.parts.key, digested))
        try:
            while not (await asyncio.wait([reading], timeout=TOLD_INTERVAL_S))[0]:
                yield digested.size
            await reading
        except BlobMissing:
            raise _ended() from None
        finally:
            digested.stop()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._verifying.release()

    async def _count(self, upload: BlobUpload, blob: BlobId) -> None:
        """Makes the bytes count, and ends the upload in the same write."""
        stored = StoredBlob(blob.sha256, blob.size, upload.parts.key, self._clock.now_us())
        for unneeded in await self._store.add_blobs(upload.project, [stored], end_of(upload)):
            await self._blobs.delete(unneeded.key)

    async def _discard(self, upload: BlobUpload) -> bool:
        """Ends an upload. Returns whether it had not ended."""
        removed = await self._uploads.remove(upload)
        if removed:
            await self._drop_bytes(upload)
        return removed

    async def _drop_bytes(self, upload: BlobUpload) -> None:
        await self._blobs.drop_parts(upload.parts)
        await self._blobs.delete(upload.parts.key)


async def _acquired(semaphore: asyncio.Semaphore, within_s: float) -> bool:
    """Whether a place became free in time."""
    try:
        async with asyncio.timeout(within_s):
            await semaphore.acquire()
    except TimeoutError:
        return False
    return True


async def _next(pieces: AsyncIterator[Piece]) -> Piece | None:
    try:
        async with asyncio.timeout(SILENCE_S_MAX):
            return await anext(pieces, None)
    except TimeoutError:
        raise UploadSilent(f"Nothing came for {SILENCE_S_MAX:g} s: open the stream anew and go on.") from None


async def _part(number: int, expected: int, pieces: AsyncIterator[Piece]) -> list[bytes]:
    """The bytes of the part that was announced."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(PART_S_MAX):
            while size < expected:
                piece = await _next(pieces)
                if not isinstance(piece, bytes):
                    raise PartInvalid(f"Part {number} has {expected:,} bytes; only {size:,} came.", part=str(number))
                chunks.append(piece)
                size += len(piece)
    except TimeoutError:
        raise UploadSilent(f"The part took longer than {PART_S_MAX:g} s: open the stream anew and go on.") from None
    if size > expected:
        raise PartInvalid(f"Part {number} has {expected:,} bytes; more came.", part=str(number))
    return chunks


async def _each(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _check_part(blob: BlobId, parts: PartsUpload, number: int) -> int:
    """The bytes that a part has."""
    size = part_size(number, parts.part_bytes, blob.size)
    if size <= 0:
        raise PartInvalid(
            f"The blob has {blob.size:,} bytes, in parts of {parts.part_bytes:,}: there is no part {number}.",
            part=str(number),
        )
    return size


def _measured(sizes: Mapping[int, int], part_count: int) -> tuple[int, int]:
    """The bytes of all parts together, and of each but the last, of a blob that was not known before."""
    for number in range(1, part_count + 1):
        if number not in sizes:
            raise PartsNotThere(f"Part {number} is not there: send it, then finish again.", part=str(number))
    if further := max(sizes) - part_count:
        raise PartInvalid(f"{part_count:,} parts were announced; {further:,} more came.", part=str(part_count + 1))
    part_bytes = sizes[1]
    for number in range(1, part_count):
        if sizes[number] != part_bytes or part_bytes < PART_BYTES_MIN:
            raise PartInvalid(
                f"Part {number} has {sizes[number]:,} bytes. Every part but the last has as many as the first, and at least "
                f"{PART_BYTES_MIN:,}.",
                part=str(number),
            )
    if not sizes[part_count] <= part_bytes:
        raise PartInvalid(f"The last part, {part_count}, has more bytes than the first.", part=str(part_count))
    return sum(sizes.values()), max(part_bytes, 1)


def blob_of(digested: Digesting) -> BlobId:
    """The id of what was read."""
    return BlobId(digested.hexdigest(), digested.size)


def _ended() -> UploadNotFound:
    return UploadNotFound("There is no such upload of yours: begin it anew.")


def _store_full() -> StoreFull:
    return StoreFull("There is no room left where files are stored: tell an administrator.")
