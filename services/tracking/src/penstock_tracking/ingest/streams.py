"""The streams that are open on this process: opening and fencing writers, signs of life, batches in their order."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock_kit.clock import Clock
from penstock_kit.names import RunName
from penstock_kit.stores.metric_log import MetricLog
from penstock_tracking.convert import updates_from_content
from penstock_tracking.domain import Run, RunUpdates, apply_updates, updates_problem
from penstock_tracking.errors import BatchInvalid, FieldInvalid, RunDeleted, WriterFenced
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.keys import writer_key_table
from penstock_tracking.ingest.writer import Warned, WriterStream
from penstock_tracking.store import TrackingStore

__all__ = ["HEARTBEAT_WRITE_INTERVAL_S", "OpenWriterRequest", "WriterStreams"]

HEARTBEAT_WRITE_INTERVAL_S: Final = 8.0
"""A run's record is written at most this often for signs of life, however many ranks give them."""

RANK_MAX: Final = 2**31 - 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenWriterRequest:
    """Who opens a stream: the first message of a sender."""

    run: RunName
    writer_key: bytes
    epoch: int
    rank: int
    lease: bool

    @classmethod
    def checked(cls, run: str, writer_id: str, epoch: int, rank: int, lease: bool) -> "OpenWriterRequest":
        """Checks the fields of OpenWriter. Raises `NameInvalid`, `FieldInvalid`."""
        try:
            writer_key = bytes.fromhex(writer_id) if len(writer_id) == 32 and writer_id == writer_id.lower() else b""
        except ValueError:
            writer_key = b""
        if not writer_key:
            raise FieldInvalid(f"open.writer_id must be 32 hex digits, not {writer_id[:40]!r}.", field="open.writer_id")
        if not 0 <= rank <= RANK_MAX:
            raise FieldInvalid(f"open.rank must not be negative, as {rank} is.", field="open.rank")
        return cls(RunName.parse(run), writer_key, epoch, rank, lease)


class WriterStreams:
    """Opens, fences and closes the writers' streams of this process."""

    def __init__(self, store: TrackingStore, log: MetricLog, committer: GroupCommitter, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._committer = committer
        self._clock = clock
        self._open: dict[tuple[bytes, bytes], WriterStream] = {}
        self._heard_s: dict[bytes, float] = {}

    @property
    def open_count(self) -> int:
        """How many streams are open."""
        return len(self._open)

    async def open(self, request: OpenWriterRequest) -> tuple[Run, WriterStream]:
        """Opens the stream of a writer; the one it had before is closed, if its sender is older.

        Raises:
            RunNotFound: There is no such run.
            RunDeleted: It is in the bin.
            WriterFenced: A newer sender has the writer.
        """
        stored = await self._store.change_run(
            request.run.project,
            request.run.run_id,
            lambda run: self._opened(run, request.rank, request.lease),
        )
        run = stored.value
        identity = (run.log_key, request.writer_key)
        # Everything that awaits comes before the fence, so that two opens at once cannot both win.
        keys = await writer_key_table(self._log, run.log_key, request.writer_key)
        former = self._open.get(identity)
        if former is not None:
            if former.epoch > request.epoch:
                raise WriterFenced("A newer sender reads this spool: this one should stop.")
            former.fail(WriterFenced("Another sender has taken over this spool: this one should stop."))
        head = await self._log.head(run.log_key, request.writer_key)
        if head is not None:
            # What the former stream had in flight may have become durable since the keys were read.
            keys = await writer_key_table(self._log, run.log_key, request.writer_key)
        stream = WriterStream(
            run_key=run.log_key,
            writer_key=request.writer_key,
            rank=request.rank,
            epoch=request.epoch,
            head=head,
            keys=keys,
            log=self._log,
            committer=self._committer,
        )
        self._open[identity] = stream
        if request.lease:
            self._heard_s[run.log_key] = self._clock.monotonic_s()
        return run, stream

    def _opened(self, run: Run, rank: int, lease: bool) -> Run:
        _require_active(run)
        changed = run.writer_opened(rank, lease, self._clock.now_us())
        return run if changed == run else changed

    def close(self, stream: WriterStream) -> None:
        """Forgets a stream that ended."""
        identity = (stream.run_key, stream.writer_key)
        if self._open.get(identity) is stream:
            del self._open[identity]
        if not any(run_key == stream.run_key for run_key, _ in self._open):
            self._heard_s.pop(stream.run_key, None)

    def close_run(self, run: Run) -> None:
        """Ends every stream of a run that was deleted."""
        for (run_key, _), stream in list(self._open.items()):
            if run_key == run.log_key:
                stream.fail(_deleted(run))

    async def heartbeat(self, name: RunName, stream: WriterStream, *, lease: bool) -> None:
        """Takes a sign of life. A stream whose run was deleted meanwhile ends with `RunDeleted`."""
        now_s = self._clock.monotonic_s()
        last_s = self._heard_s.get(stream.run_key)
        if last_s is not None and now_s - last_s < HEARTBEAT_WRITE_INTERVAL_S:
            return
        self._heard_s[stream.run_key] = now_s
        if lease:
            stored = await self._store.change_run(
                name.project, name.run_id, lambda run: run.heard(self._clock.now_us()) if run.active else run
            )
        else:
            stored = await self._store.run(name.project, name.run_id)
        if not stored.value.active:
            stream.fail(_deleted(stored.value))

    async def take_batch(
        self, name: RunName, stream: WriterStream, sequence: int, digest: bytes, content: bytes
    ) -> None:
        """Takes one batch. Returns once it is in flight; waits while the committer is full.

        Raises:
            SequenceGap: Its predecessor is missing.
            DigestConflict: The sequence was taken by another batch.
            DigestMismatch: The content was damaged.
            BatchInvalid: The content breaks a rule.
        """
        if 0 < sequence < stream.next_sequence:
            await stream.repeat(sequence, digest)
            return
        checked = stream.check(sequence, digest, content)
        updates = updates_from_content(checked.message)
        warnings = await self._apply(name, sequence, updates) if updates else ()
        await stream.submit(digest, checked, warnings)

    async def _apply(self, name: RunName, sequence: int, updates: RunUpdates) -> Sequence[Warned]:
        if problem := updates_problem(updates):
            raise BatchInvalid(f"Batch {sequence} is not allowed: {problem}.")
        # Before the commit on purpose: a crash in between applies them once more, which changes nothing.
        result: list[Any] = []

        def change(run: Run) -> Run:
            _require_active(run)
            applied = apply_updates(run, updates, self._clock.now_us())
            result[:] = applied.conflicts
            return applied.run

        await self._store.change_run(name.project, name.run_id, change)
        return [Warned(sequence, conflict.reason, conflict.message) for conflict in result]


def _deleted(run: Run) -> RunDeleted:
    return RunDeleted(f"The run {run.run_id} is in the bin. Restore it to go on logging.")


def _require_active(run: Run) -> None:
    if not run.active:
        raise _deleted(run)
