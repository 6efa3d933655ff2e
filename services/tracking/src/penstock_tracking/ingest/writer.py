"""One writer's stream: the order of its batches, what of them is durable, and what the sender is told."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from penstock_kit.errors import PenstockError
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord, WriterHead
from penstock_tracking.errors import BatchInvalid, DigestConflict, DigestMismatch, SequenceGap
from penstock_tracking.ingest.claims import Claim
from penstock_tracking.ingest.codec import CheckedContent, CheckedKeyIds, checked_content, digest_of
from penstock_tracking.ingest.committer import GroupCommitter, Reservation
from penstock_tracking.segments.log import SegmentedLog

__all__ = ["CHAIN_START", "WARNINGS_PER_ACK_MAX", "Ack", "Warned", "WriterStream", "chained"]

CHAIN_START: Final = bytes(32)
DIGEST_BYTES: Final = 32
WARNINGS_PER_ACK_MAX: Final = 1_000  # what is more comes with another: an ack stays far below gRPC's usual 4 MiB


def chained(chain: bytes, digest: bytes) -> bytes:
    """The next link: SHA-256 over the chain so far and the digest of the next batch."""
    return hashlib.sha256(chain + digest).digest()


@dataclass(frozen=True, slots=True)
class Warned:
    """Something of a durable batch that was not applied."""

    sequence: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Ack:
    """All up to `sequence` is durable."""

    sequence: int
    chain: bytes
    points: int
    warnings: Sequence[Warned] = ()
    closed: bool = False


class WriterStream:
    """Takes the batches of one writer in order and yields acknowledgements.

    It exists before it is known where its writer stands, so that a newer sender can end it at any moment; `start` comes
    before all else.
    """

    def __init__(
        self,
        *,
        run_key: bytes,
        writer_key: bytes,
        rank: int,
        epoch: int,
        lease: bool,
        log: SegmentedLog,
        committer: GroupCommitter,
    ) -> None:
        self.run_key = run_key
        self.writer_key = writer_key
        self.rank = rank
        self.epoch = epoch
        self.lease = lease
        self.claim: Claim | None = None
        self._log = log
        self._committer = committer
        self._keys_known = 0
        self._key_names: set[str] = set()
        self._key_ids_seen = CheckedKeyIds()
        # What was submitted, durable or not.
        self._sequence = 0
        self._chain = CHAIN_START
        self._points = 0
        self._digests_in_flight: dict[int, bytes] = {}
        # What is durable.
        self._durable = Ack(0, CHAIN_START, 0)
        self._warnings: list[Warned] = []
        self._repeats_to_ack = False
        self._input_ended = False
        self._closing = False
        self._error: Exception | None = None
        self._lost = False
        self._changed = asyncio.Event()

    def start(self, head: WriterHead | None, keys: Sequence[str]) -> None:
        """Says where the writer stands.

        Args:
            head: Its last durable batch, None before the first.
            keys: The keys it defined up to there, in the order of their numbers.
        """
        self._keys_known = len(keys)
        self._key_names = set(keys)
        if head is not None:
            self._sequence, self._chain, self._points = head.sequence, head.chain, head.durable_points
            self._durable = Ack(head.sequence, head.chain, head.durable_points)

    @property
    def failed(self) -> bool:
        """Whether a submitted batch was lost, so that none after it may be kept."""
        return self._lost

    @property
    def ending(self) -> bool:
        """Whether the stream ends with an error: nothing more is taken."""
        return self._error is not None

    def check_open(self) -> None:
        """Raises the error with which the stream ends, if it does."""
        if self._error is not None:
            raise self._error

    @property
    def next_sequence(self) -> int:
        """The sequence of the batch that is expected now."""
        return self._sequence + 1

    def check(self, sequence: int, digest: bytes, content: bytes) -> CheckedContent:
        """Checks the next batch. Raises `SequenceGap`, `DigestMismatch`, `BatchInvalid`. Changes nothing."""
        if sequence != self.next_sequence:
            raise SequenceGap(
                f"Batch {sequence} came, but {self.next_sequence} is expected: send from there.",
                expected=str(self.next_sequence),
            )
        if len(digest) != DIGEST_BYTES:
            raise BatchInvalid(f"The digest of batch {sequence} has {len(digest)} bytes instead of {DIGEST_BYTES}.")
        if digest_of(content) != digest:
            raise DigestMismatch(
                f"The content of batch {sequence} is not what its digest says: it was damaged on the way."
            )
        return checked_content(content, self._keys_known, self._key_names, self._key_ids_seen)

    async def repeat(self, sequence: int, digest: bytes) -> None:
        """Takes a batch that came before. It is acknowledged anew. Raises `DigestConflict` if it is another one."""
        known = self._digests_in_flight.get(sequence)
        if known is None:
            known = await self._log.digest(self.run_key, self.writer_key, sequence)
        if known is None or len(digest) != DIGEST_BYTES or not digest.startswith(known):  # segments keep its beginning
            raise DigestConflict(
                f"Batch {sequence} of this writer is durable with other content. A spool was altered, or two share an id.",
                sequence=str(sequence),
            )
        self._repeats_to_ack = True
        self._changed.set()

    def submit(self, digest: bytes, checked: CheckedContent, warnings: Sequence[Warned], room: Reservation) -> None:
        """Takes the checked next batch, for which there is room in the committer."""
        self._sequence += 1
        self._chain = chained(self._chain, digest)
        self._points += checked.points
        self._keys_known += len(checked.new_keys)
        self._key_names.update(checked.new_keys)
        self._digests_in_flight[self._sequence] = digest
        self._warnings.extend(warnings)
        self._committer.submit(
            self,
            BatchRecord(
                run_key=self.run_key,
                writer_key=self.writer_key,
                sequence=self._sequence,
                digest=digest,
                chain=self._chain,
                points=checked.points,
                durable_points=self._points,
                defines_keys=bool(checked.new_keys),
                rank=self.rank,
                content=checked.content,
            ),
            room,
        )

    def committed(self, record: BatchRecord, outcome: AppendOutcome) -> None:
        """See `Committing`."""
        self._digests_in_flight.pop(record.sequence, None)
        if outcome is AppendOutcome.CONFLICT:
            self.commit_failed(
                DigestConflict(
                    f"Batch {record.sequence} of this writer is durable with other content.",
                    sequence=str(record.sequence),
                )
            )
            return
        self._durable = Ack(record.sequence, record.chain, record.durable_points)
        self._changed.set()

    def commit_failed(self, error: PenstockError) -> None:
        """See `Committing`."""
        self._lost = True
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """Ends the stream with an error, once what is in flight is durable and acknowledged."""
        if self._error is None:
            self._error = error
        self._changed.set()

    def end_input(self, *, closing: bool) -> None:
        """No batch will follow: the sender closed its writer (`closing`) or only its side of the stream."""
        self._input_ended = True
        self._closing = closing
        self._changed.set()

    async def acks(self) -> AsyncGenerator[Ack]:
        """Yields where the writer stands, then each progress. Raises the error with which the stream ends."""
        told = self._durable
        yield told
        while True:
            await self._changed.wait()
            self._changed.clear()
            settled = self._lost or self._durable.sequence == self._sequence
            ended = settled and (self._input_ended or self._error is not None)
            closed = ended and self._closing and self._error is None
            if self._durable.sequence > told.sequence or self._repeats_to_ack or closed:
                told = self._durable
                self._repeats_to_ack = False
                *others, last = self._due_warnings(told.sequence)
                for warnings in others:
                    yield Ack(told.sequence, told.chain, told.points, warnings)
                yield Ack(told.sequence, told.chain, told.points, last, closed)
            if ended:
                if self._error is not None:
                    raise self._error
                return

    def _due_warnings(self, sequence: int) -> list[list[Warned]]:
        """The warnings up to a batch, an ack's worth in each list, of which there is at least one."""
        due = [warning for warning in self._warnings if warning.sequence <= sequence]
        if due:
            self._warnings = [warning for warning in self._warnings if warning.sequence > sequence]
        return [due[first : first + WARNINGS_PER_ACK_MAX] for first in range(0, len(due) or 1, WARNINGS_PER_ACK_MAX)]
