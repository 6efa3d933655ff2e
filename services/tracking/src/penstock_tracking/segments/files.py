"""Where the bytes of segments are: small ones beside their manifest, large ones in the blob store.

What is read often is kept in memory, within a bound.
"""

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from penstock_kit.search import ByteBoundedCache
from penstock_kit.stores.blobs import BlobMissing, BlobStore
from penstock_kit.threads import in_thread
from penstock_tracking.segments.layout import Directory
from penstock_tracking.segments.manifest import ManifestStore, SegmentRef

__all__ = [
    "BLOB_PREFIX",
    "INLINE_BYTES_MAX",
    "ReadAhead",
    "SegmentFiles",
    "SegmentGone",
    "SegmentReads",
    "blob_key",
    "new_segment_id",
]

BLOB_PREFIX: Final = "segments/"
INLINE_BYTES_MAX: Final = 256_000  # of a segment beside its manifest
CACHE_BYTES_MAX: Final = 48_000_000
CACHED_READ_BYTES_MAX: Final = 4_000_000  # what is read in one piece and larger is not kept
READ_AHEAD_BYTES: Final = 1_000_000
READ_AHEAD_PLACES: Final = 2  # of one segment that are read in turns: values, and what is known of them


class SegmentGone(Exception):
    """A segment was merged into another one so long ago that it is removed: the manifest must be read again."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: bytes

    @property
    def nbytes(self) -> int:
        return len(self.data) + 200


def new_segment_id() -> str:
    """A name that no segment had before."""
    return secrets.token_hex(16)


def blob_key(run_key: bytes, segment_id: str) -> str:
    """The blob of a segment."""
    return f"{BLOB_PREFIX}{run_key.hex()}/{segment_id}"


class SegmentReads(Protocol):
    """Where the bytes of segments come from."""

    async def read(self, run_key: bytes, segment: SegmentRef, start: int, end: int) -> bytes:
        """The bytes of a segment from `start` to before `end`. Raises `SegmentGone`."""
        ...


class SegmentFiles:
    """Reads and writes the bytes of segments."""

    def __init__(self, manifests: ManifestStore, blobs: BlobStore) -> None:
        self._manifests = manifests
        self._blobs = blobs
        self._cache: ByteBoundedCache[_Bytes | Directory] = ByteBoundedCache(CACHE_BYTES_MAX)

    async def directory(self, run_key: bytes, segment: SegmentRef) -> Directory:
        """The directory of a segment. Raises `SegmentGone`, `SegmentDamaged`."""
        known = self._cache.get(segment.segment_id)
        if isinstance(known, Directory):
            return known
        start = segment.size - segment.directory_bytes
        end = await self.read_once(run_key, segment, start, segment.size)
        directory = await in_thread(Directory.from_bytes, end)
        self._cache.put(segment.segment_id, directory)
        return directory

    async def read(self, run_key: bytes, segment: SegmentRef, start: int, end: int) -> bytes:
        """The bytes of a segment from `start` to before `end`. Raises `SegmentGone`."""
        if end - start > CACHED_READ_BYTES_MAX:
            return await self.read_once(run_key, segment, start, end)
        name = f"{segment.segment_id} {start} {end}"
        known = self._cache.get(name)
        if isinstance(known, _Bytes):
            return known.data
        data = await self.read_once(run_key, segment, start, end)
        if not segment.inline:  # that one is kept whole
            self._cache.put(name, _Bytes(data))
        return data

    async def read_once(self, run_key: bytes, segment: SegmentRef, start: int, end: int) -> bytes:
        """The same, for bytes that nobody will want again soon: they are not kept."""
        if segment.inline:
            return (await self._image(run_key, segment))[start:end]
        blob = self._blobs.get(blob_key(run_key, segment.segment_id), offset=start, length=end - start)
        try:
            pieces = [piece async for piece in blob]
        except BlobMissing:
            raise SegmentGone(segment.segment_id) from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _image(self, run_key: bytes, segment: SegmentRef) -> bytes:
        name = f"{segment.segment_id} image"
        known = self._cache.get(name)
        if isinstance(known, _Bytes):
            return known.data
        image = await self._manifests.image(run_key, segment.segment_id)
        if image is None:
            raise SegmentGone(segment.segment_id)
        self._cache.put(name, _Bytes(image))
        return image

    async def put(self, run_key: bytes, segment_id: str, pieces: AsyncIterator[bytes] | Sequence[bytes]) -> int:
        """Writes the blob of a segment, durably. Returns its size. Raises `BlobStoreFull`."""
        chunks = _each(pieces) if isinstance(pieces, Sequence) else pieces
        return (await self._blobs.put(blob_key(run_key, segment_id), chunks)).size

    async def remove(self, run_key: bytes, segment_id: str, *, inline: bool) -> None:
        """Removes a segment that no manifest lists. No error if it is gone already."""
        if inline:
            await self._manifests.remove_image(run_key, segment_id)
        else:
            await self._blobs.delete(blob_key(run_key, segment_id))


class ReadAhead:
    """Reads segments from front to back, more than is asked for at a time: a store answers few large reads soonest."""

    def __init__(self, files: SegmentFiles) -> None:
        self._files = files
        self._read: dict[str, OrderedDict[int, bytes]] = {}  # segment → first byte → what was read there

    async def read(self, run_key: bytes, segment: SegmentRef, start: int, end: int) -> bytes:
        """See `SegmentReads.read`."""
        if segment.inline:
            return await self._files.read(run_key, segment, start, end)
        read = self._read.setdefault(segment.segment_id, OrderedDict())
        for first, data in read.items():
            if first <= start and end <= first + len(data):
                read.move_to_end(first)
                return data[start - first : end - first]
        if len(read) == READ_AHEAD_PLACES:
            read.popitem(last=False)
        ahead = min(segment.size, max(end, start + READ_AHEAD_BYTES))
        read[start] = data = await self._files.read_once(run_key, segment, start, ahead)
        return data[: end - start]


async def _each(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
