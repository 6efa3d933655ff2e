"""Reads what a run gained since last time, decoded, writer by writer in order.

A follower is the one way in which readers see batches: it knows how far it got with each writer and what the writers' key
numbers mean. It starts anywhere and may be thrown away at any time.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from penstock_kit.stores.metric_log import WriterHead
from penstock_tracking.segments.batches import DecodedBatch
from penstock_tracking.segments.log import SegmentedLog

__all__ = ["LogFollower"]

SCAN_BYTES: Final = 4_000_000


@dataclass(slots=True)
class _Writer:
    sequence: int
    keys: list[str] | None  # None until needed: a follower that starts in the middle reads the table first


class LogFollower:
    """Follows one run from given watermarks on (writer key → last sequence seen)."""

    def __init__(self, log: SegmentedLog, run_key: bytes, watermarks: Mapping[bytes, int] | None = None) -> None:
        self._log = log
        self._run_key = run_key
        self._writers = {key: _Writer(sequence, None) for key, sequence in (watermarks or {}).items()}

    @property
    def watermarks(self) -> dict[bytes, int]:
        """How far it got: writer key → last sequence seen."""
        return {key: writer.sequence for key, writer in self._writers.items()}

    async def behind(self) -> list[WriterHead]:
        """The writers that have batches it did not see, by writer key."""
        return self._unseen(await self._log.heads(self._run_key))

    def _unseen(self, heads: Sequence[WriterHead]) -> list[WriterHead]:
        return [head for head in heads if head.sequence > self._sequence(head.writer_key)]

    def _sequence(self, writer_key: bytes) -> int:
        writer = self._writers.get(writer_key)
        return writer.sequence if writer else 0

    async def advance(self, heads: Sequence[WriterHead] | None = None) -> AsyncIterator[list[DecodedBatch]]:
        """Yields what is new, in pieces of about 4 MB, each of one writer. Ends when it caught up with the call's start.

        Args:
            heads: Where the writers stand, if the caller has just read it: then this is what to catch up with.
        """
        for head in await self.behind() if heads is None else self._unseen(heads):
            while self._sequence(head.writer_key) < head.sequence:
                piece = await self.read(head, bytes_max=SCAN_BYTES)
                if not piece:
                    break
                yield piece

    async def read(self, head: WriterHead, *, bytes_max: int, upto: int | None = None) -> list[DecodedBatch]:
        """Returns the next batches of a writer, and moves on past them. Cancelled, it has not moved.

        Args:
            bytes_max: At most this much content, unless a single batch has more.
            upto: Exactly up to this sequence instead, however much that is.
        """
        writer = self._writers.setdefault(head.writer_key, _Writer(0, []))
        sequence, keys = writer.sequence, writer.keys
        batches: list[DecodedBatch] = []
        while True:
            found, keys = await self._log.read(
                self._run_key, head.writer_key, keys, after=sequence, head=head.sequence, bytes_max=bytes_max
            )
            batches += [batch for batch in found if upto is None or batch.sequence <= upto]
            if not found or upto is None or found[-1].sequence >= upto:
                break
            sequence = found[-1].sequence
        if batches:
            # The table may know keys of batches that were read and are not returned: their numbers stay the same.
            writer.sequence, writer.keys = batches[-1].sequence, keys
        return batches
