"""What of a run is in segments: a document per run, replaced by its version.

The manifest lists the segments in order, and for each writer up to which batch they hold everything without a gap: its
watermark. It is the one thing that makes a segment visible. Whoever wants to change it reads it first, writes segments
under new names, and replaces it only if nobody else did meanwhile; what such a loser wrote is an orphan.

A segment that is replaced by a merged one is retired: it stays where it was for those who read it, for `RETIRED_KEPT_S`.

Partition = the first two hex digits of the run key, so that runs are spread and all can be listed; id = the run key in hex.
Small segments are documents of the same partition, written in one batch with the manifest.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from penstock_kit.stores.documents import (
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    Insert,
    Operation,
    Replace,
    VersionConflict,
)

__all__ = [
    "MANIFESTS",
    "RETIRED_KEPT_S",
    "SEGMENT_COLLECTIONS",
    "SEGMENT_IMAGES",
    "Manifest",
    "ManifestStore",
    "Retired",
    "SegmentRef",
    "Watermark",
    "partition_of",
]

MANIFESTS: Final = "segments"
SEGMENT_IMAGES: Final = "segment_images"
SEGMENT_COLLECTIONS: Final = (Collection(MANIFESTS), Collection(SEGMENT_IMAGES))
RETIRED_KEPT_S: Final = 600.0
_LITTLE_INT64: Final = np.dtype("<i8")


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """A segment, by its name.

    Attributes:
        segment_id: Unique among all segments that ever were.
        size: Bytes.
        directory_bytes: How many of them, at the end, are the directory.
        points: How many it holds.
        inline: Whether it is a document instead of a blob.
    """

    segment_id: str
    size: int
    directory_bytes: int
    points: int
    inline: bool


@dataclass(frozen=True, slots=True)
class Retired:
    """A segment that no manifest lists any more, and since when."""

    segment_id: str
    inline: bool
    since_us: int


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything of a writer up to `sequence` is in segments, `points` as the writer counted them."""

    sequence: int
    points: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What of a run is in segments. `version` is 0 as long as there is none."""

    run_key: bytes
    version: int = 0
    segments: tuple[SegmentRef, ...] = ()
    retired: tuple[Retired, ...] = ()
    watermarks: Mapping[bytes, Watermark] = field(default_factory=dict)

    def sequence(self, writer_key: bytes) -> int:
        """The last batch of a writer up to which all are in segments; 0 if none is."""
        found = self.watermarks.get(writer_key)
        return found.sequence if found else 0

    @property
    def points(self) -> int:
        """How many points the segments hold."""
        return sum(segment.points for segment in self.segments)

    def grown(self, segment: SegmentRef, watermarks: Mapping[bytes, Watermark]) -> "Manifest":
        """The manifest with another segment, which brings its writers to these watermarks."""
        return replace(self, segments=(*self.segments, segment), watermarks={**self.watermarks, **watermarks})

    def merged(self, old: Sequence[SegmentRef], new: SegmentRef, now_us: int) -> "Manifest":
        """The manifest with one segment in place of adjacent ones."""
        start = self.segments.index(old[0])
        assert self.segments[start : start + len(old)] == tuple(old)
        retired = tuple(Retired(segment.segment_id, segment.inline, now_us) for segment in old)
        return replace(
            self,
            segments=(*self.segments[:start], new, *self.segments[start + len(old) :]),
            retired=self.retired + retired,
        )

    def without(self, gone: Sequence[Retired]) -> "Manifest":
        """The manifest that forgot retired segments."""
        return replace(self, retired=tuple(retired for retired in self.retired if retired not in gone))


def partition_of(run_key: bytes) -> str:
    """Where the documents of a run's segments are."""
    return run_key.hex()[:2]


class ManifestStore:
    """Manifests over the document store."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def get(self, run_key: bytes) -> Manifest:
        """The manifest of a run as it is now; an empty one if there is none."""
        found = await self._documents.get_many(MANIFESTS, partition_of(run_key), [run_key.hex()])
        document = found.get(run_key.hex())
        return Manifest(run_key) if document is None else _manifest(document)

    async def all(self) -> AsyncIterator[Manifest]:
        """The manifests of all runs."""
        for partition in await self._documents.partitions(MANIFESTS):
            cursor: bytes | None = None
            while True:
                page = await self._documents.query(MANIFESTS, partition, "id", cursor=cursor)
                for document in page.documents:
                    yield _manifest(document)
                cursor = page.cursor
                if cursor is None:
                    break

    async def publish(self, manifest: Manifest, image: tuple[str, bytes] | None = None) -> Manifest | None:
        """Puts a manifest in place of the version it was made from. Returns it as stored, None if somebody was quicker.

        Args:
            image: Id and bytes of a small segment to write with it.
        """
        name, body = manifest.run_key.hex(), _body(manifest)
        operations: list[Operation] = []
        if image is not None:
            operations.append(Insert(SEGMENT_IMAGES, image[0], {"image": image[1]}))
        if manifest.version:
            operations.append(Replace(MANIFESTS, name, body, manifest.version))
        else:
            operations.append(Insert(MANIFESTS, name, body))
        try:
            written = await self._documents.apply(partition_of(manifest.run_key), operations)
        except (VersionConflict, DocumentExists, DocumentMissing):
            return None
        document = written[-1]
        assert document is not None
        return replace(manifest, version=document.version)

    async def image(self, run_key: bytes, segment_id: str) -> bytes | None:
        """The bytes of a small segment, None if it is gone."""
        found = await self._documents.get_many(SEGMENT_IMAGES, partition_of(run_key), [segment_id])
        document = found.get(segment_id)
        return None if document is None else document.body["image"]

    async def remove_image(self, run_key: bytes, segment_id: str) -> None:
        """Removes a small segment, if it is there."""
        try:
            await self._documents.apply(partition_of(run_key), [Delete(SEGMENT_IMAGES, segment_id)])
        except DocumentMissing:
            return


def _body(manifest: Manifest) -> dict[str, Any]:
    marks = manifest.watermarks
    return {
        "segments": [[s.segment_id, s.size, s.directory_bytes, s.points, s.inline] for s in manifest.segments],
        "retired": [[r.segment_id, r.inline, r.since_us] for r in manifest.retired],
        "writers": b"".join(marks),
        "sequences": np.array([mark.sequence for mark in marks.values()], _LITTLE_INT64).tobytes(),
        "points": np.array([mark.points for mark in marks.values()], _LITTLE_INT64).tobytes(),
    }


def _manifest(document: Document) -> Manifest:
    body = document.body
    writers = body["writers"]
    sequences = np.frombuffer(body["sequences"], _LITTLE_INT64).tolist()
    points = np.frombuffer(body["points"], _LITTLE_INT64).tolist()
    return Manifest(
        bytes.fromhex(document.id),
        document.version,
        tuple(SegmentRef(*segment) for segment in body["segments"]),
        tuple(Retired(*retired) for retired in body["retired"]),
        {
            writers[16 * place : 16 * place + 16]: Watermark(*mark)
            for place, mark in enumerate(zip(sequences, points, strict=True))
        },
    )
