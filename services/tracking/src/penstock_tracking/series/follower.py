"""Reads what the log of a run gained since last time, decoded, writer by writer in order.

A follower is the one way in which readers see the log: it knows how far it got with each writer and what the writers' key
numbers mean. It starts anywhere and may be thrown away at any time.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from penstock_kit.stores.metric_log import BatchRecord, MetricLog, WriterHead
from penstock_tracking.ingest.codec import DecodedBlock, decode_blocks, parse_content
from penstock_tracking.ingest.keys import writer_key_table
from penstock_tracking.threads import in_thread

__all__ = ["FollowedBatch", "LogFollower"]

SCAN_BYTES: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class FollowedBatch:
    """A decoded batch. `keys` is the table that its `key_ids` point into; it only ever grows."""

    writer_key: bytes
    rank: int
    sequence: int
    keys: list[str]
    blocks: list[DecodedBlock]
    content_bytes: int


@dataclass(slots=True)
class _Writer:
    sequence: int
    keys: list[str] | None  # None until needed: a follower that starts in the middle reads the table first


class LogFollower:
    """Follows the log of one run from given watermarks on (writer key → last sequence seen)."""

    def __init__(self, log: MetricLog, run_key: bytes, watermarks: Mapping[bytes, int] | None = None) -> None:
        self._log = log
        self._run_key = run_key
        self._writers = {key: _Writer(sequence, None) for key, sequence in (watermarks or {}).items()}

    @property
    def watermarks(self) -> dict[bytes, int]:
        """How far it got: writer key → last sequence seen."""
        return {key: writer.sequence for key, writer in self._writers.items()}

    async def behind(self) -> list[WriterHead]:
        """The writers that have batches it did not see, by writer key."""
        heads = await self._log.heads(self._run_key)
        return [head for head in heads if head.sequence > self._sequence(head.writer_key)]

    def _sequence(self, writer_key: bytes) -> int:
        writer = self._writers.get(writer_key)
        return writer.sequence if writer else 0

    async def advance(self) -> AsyncIterator[list[FollowedBatch]]:
        """Yields what is new, in pieces of about 4 MB, each of one writer. Ends when it caught up with the call's start."""
        for head in await self.behind():
            while self._sequence(head.writer_key) < head.sequence:
                piece = await self.read(head, bytes_max=SCAN_BYTES)
                if not piece:
                    break
                yield piece

    async def read(self, head: WriterHead, *, bytes_max: int, upto: int | None = None) -> list[FollowedBatch]:
        """Returns the next batches of a writer, and moves on past them. Cancelled, it has not moved.

        Args:
            bytes_max: At most this much content, unless a single batch has more.
            upto: Not beyond this sequence.
        """
        writer = self._writers.setdefault(head.writer_key, _Writer(0, []))
        if writer.keys is None:
            writer.keys = await writer_key_table(self._log, self._run_key, head.writer_key, upto=writer.sequence)
        records = await self._log.scan(self._run_key, head.writer_key, after=writer.sequence, bytes_max=bytes_max)
        batches = await in_thread(_decoded, _first_of(records, bytes_max, upto), writer.keys)
        if batches:
            writer.sequence = batches[-1].sequence
        return batches


def _first_of(records: Sequence[BatchRecord], bytes_max: int, upto: int | None) -> list[BatchRecord]:
    first: list[BatchRecord] = []
    size = 0
    for record in records:
        size += len(record.content)
        if (upto is not None and record.sequence > upto) or (first and size > bytes_max):
            break
        first.append(record)
    return first


def _decoded(records: Sequence[BatchRecord], keys: list[str]) -> list[FollowedBatch]:
    batches: list[FollowedBatch] = []
    for record in records:
        message = parse_content(record.content)
        for definition in message.new_keys:
            # After a read that was cancelled the table holds them already.
            if definition.id >= len(keys):
                keys.append(definition.key)
        batches.append(
            FollowedBatch(
                record.writer_key, record.rank, record.sequence, keys, decode_blocks(message), len(record.content)
            )
        )
    return batches
