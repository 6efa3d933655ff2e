"""The log of a run as its readers see it: segments up to the watermark of each writer, the metric log above it.

Compaction publishes a manifest first and trims the metric log after. So what a reader misses in the log is in the segments of
a manifest that it reads afterwards. Readers know by its sequence which batch is next: where the log has it they take it from
there, and where the log has only later ones, or none though the writer stands higher, they take it from the segments. So
nothing is missed or read twice, whenever a segment is published, and whatever the log holds once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.metric_log import BatchRecord, MetricLog, WriterHead
from penstock_kit.threads import in_thread
from penstock_tracking.ingest.codec import parse_content
from penstock_tracking.segments.batches import DecodedBatch, decoded
from penstock_tracking.segments.files import SegmentFiles, SegmentGone
from penstock_tracking.segments.manifest import Manifest, ManifestStore
from penstock_tracking.segments.read import OpenSegment

__all__ = ["RunSegments", "SegmentedLog"]

ATTEMPTS_MAX: Final = 5  # to read what is merged and removed meanwhile


@dataclass(frozen=True, slots=True)
class RunSegments:
    """The segments of a run as one manifest lists them, opened."""

    manifest: Manifest
    segments: Sequence[OpenSegment]

    @property
    def watermarks(self) -> Mapping[bytes, int]:
        """Writer → the last sequence that is in them."""
        return {writer_key: mark.sequence for writer_key, mark in self.manifest.watermarks.items()}

    def keys_of(self, writer_key: bytes) -> list[str]:
        """The keys that a writer defined up to its watermark, by their numbers."""
        keys: list[str] = []
        for segment in self.segments:
            for _, span in segment.directory.spans_of.get(writer_key, ()):
                assert span.keys_before == len(keys)
                keys += [segment.directory.keys[place] for place in span.defined.tolist()]
        return keys


class SegmentedLog:
    """Reads runs, whatever of them is in segments."""

    def __init__(self, log: MetricLog, documents: DocumentStore, blobs: BlobStore) -> None:
        self.metric_log = log
        self.manifests = ManifestStore(documents)
        self.files = SegmentFiles(self.manifests, blobs)

    async def heads(self, run_key: bytes) -> list[WriterHead]:
        """Where each writer of a run stands, by writer key."""
        return await self.metric_log.heads(run_key)

    async def heads_of(self, run_keys: Sequence[bytes]) -> dict[bytes, list[WriterHead]]:
        """The same of several runs, at most `RUNS_PER_READ_MAX` of the metric log."""
        return await self.metric_log.heads_of(run_keys)

    async def open(self, run_key: bytes) -> RunSegments:
        """The segments of a run as they are now."""
        for attempt in range(ATTEMPTS_MAX):
            manifest = await self.manifests.get(run_key)
            try:
                return RunSegments(manifest, [await self._opened(manifest, n) for n in range(len(manifest.segments))])
            except SegmentGone:
                if attempt + 1 == ATTEMPTS_MAX:
                    raise
        raise AssertionError  # the last attempt returned or raised

    async def _opened(self, manifest: Manifest, number: int) -> OpenSegment:
        ref = manifest.segments[number]
        directory = await self.files.directory(manifest.run_key, ref)
        return OpenSegment(self.files, manifest.run_key, ref, directory)

    async def standing(self, run_key: bytes, writer_key: bytes) -> tuple[WriterHead | None, list[str]]:
        """Where a writer stands, None before its first batch, and the keys it defined up to there, by their numbers."""
        while True:
            head = await self.metric_log.head(run_key, writer_key)
            if head is None:
                return None, []
            keys, watermark = await self._key_table(run_key, writer_key, head.sequence)
            if watermark <= head.sequence:
                return head, keys
            # It went on meanwhile, and into a segment: `keys` may hold some of later batches.

    async def _key_table(self, run_key: bytes, writer_key: bytes, upto: int) -> tuple[list[str], int]:
        """The keys that a writer defined up to the batch `upto`, or to its watermark if that is higher; and the watermark."""
        # The manifest after the log: what was trimmed before the log was read is in it.
        logged = await self._logged_keys(run_key, writer_key, upto)
        segments = await self.open(run_key)
        keys = segments.keys_of(writer_key)
        for first_number, names in logged:
            keys += names[max(0, len(keys) - first_number) :]
        return keys, segments.manifest.sequence(writer_key)

    async def _logged_keys(self, run_key: bytes, writer_key: bytes, upto: int) -> list[tuple[int, list[str]]]:
        """What the batches in the log define: the number of the first key of a batch, and the names."""
        found: list[tuple[int, list[str]]] = []
        after = 0
        while after < upto:
            records = await self.metric_log.scan(run_key, writer_key, after=after, key_definitions_only=True)
            if not records:
                break
            found += await in_thread(_defined, records, upto)
            after = records[-1].sequence
        return found

    async def digest(self, run_key: bytes, writer_key: bytes, sequence: int) -> bytes | None:
        """The digest of a batch, or its first `DIGEST_BYTES`; None if there is no such batch."""
        record = await self.metric_log.batch(run_key, writer_key, sequence)
        if record is not None:
            return record.digest
        for segment in (await self.open(run_key)).segments:
            found = await segment.digest(writer_key, sequence)
            if found is not None:
                return found
        return None

    async def read(
        self, run_key: bytes, writer_key: bytes, keys: list[str] | None, *, after: int, head: int, bytes_max: int
    ) -> tuple[list[DecodedBatch], list[str] | None]:
        """Returns the batches of a writer above `after`, and its key table for the next call.

        Args:
            keys: What the writer had defined up to `after`, None if that is not known. Batches of the log add what they
                define; those of segments have tables of their own.
            head: The last sequence that is known to be there.
            bytes_max: No further batch above so many bytes of content; at least one, if there is any.
        """
        following, records = await self._scan(run_key, writer_key, after, bytes_max)
        if not following and after < head:
            for _ in range(ATTEMPTS_MAX):
                found = await self._read_segments(run_key, writer_key, after, bytes_max)
                if found:
                    return found, None
                # It was not in a segment yet: the log showed a later batch first.
                following, records = await self._scan(run_key, writer_key, after, bytes_max)
                if following:
                    break
            else:
                following = records  # what is missing is nowhere, and the rest is all that there is
        if following and keys is None:
            keys, _ = await self._key_table(run_key, writer_key, after)
        return (await in_thread(decoded, following, keys), keys) if following and keys is not None else ([], keys)

    async def _scan(
        self, run_key: bytes, writer_key: bytes, after: int, bytes_max: int
    ) -> tuple[list[BatchRecord], list[BatchRecord]]:
        """Batches in the log that follow `after` without a gap, within the bound; and all that are there."""
        records = await self.metric_log.scan(run_key, writer_key, after=after, bytes_max=bytes_max)
        following: list[BatchRecord] = []
        size = 0
        for record in records:
            size += len(record.content)
            if record.sequence != after + len(following) + 1 or (following and size > bytes_max):
                break
            following.append(record)
        return following, records

    async def _read_segments(self, run_key: bytes, writer_key: bytes, after: int, bytes_max: int) -> list[DecodedBatch]:
        """The same from segments, as far as one of their spans goes. Empty if none has the next batch."""
        for attempt in range(ATTEMPTS_MAX):
            try:
                for segment in (await self.open(run_key)).segments:
                    for place, span in segment.directory.spans_of.get(writer_key, ()):
                        if span.first <= after + 1 <= span.last:
                            return await segment.read(place, span, after, span.last, bytes_max)
                break
            except SegmentGone:
                if attempt + 1 == ATTEMPTS_MAX:
                    raise
        return []


def _defined(records: Sequence[BatchRecord], upto: int) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    for record in records:
        definitions = parse_content(record.content).new_keys if record.sequence <= upto else ()
        if definitions:
            found.append((definitions[0].id, [definition.key for definition in definitions]))
    return found
