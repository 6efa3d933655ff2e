"""The streams that are open on this process: opening and fencing writers, signs of life, batches in their order."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from penstock_kit.clock import Clock
from penstock_kit.names import RunName
from penstock_kit.threads import in_thread
from penstock_tracking.convert import updates_from_content
from penstock_tracking.domain import Run, RunUpdates, UpdateConflict, apply_updates, updates_problem
from penstock_tracking.errors import BatchInvalid, FieldInvalid, RunDeleted, RunTooLarge, WriterFenced
from penstock_tracking.ingest.claims import Claim, WriterClaims
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.writer import Warned, WriterStream
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.store import TrackingStore

__all__ = ["HEARTBEAT_WRITE_INTERVAL_S", "OpenWriterRequest", "WriterStreams"]

HEARTBEAT_WRITE_INTERVAL_S: Final = 8.0
"""A run's record is written at most this often for signs of life, however many ranks give them."""

INLINE_BYTES_MAX: Final = 200_000  # of content: hashing and checking more takes milliseconds, and a thread
WARNINGS_PER_BATCH_MAX: Final = 100

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
        if rank < 0:
            raise FieldInvalid(f"open.rank must not be negative, as {rank} is.", field="open.rank")
        return cls(RunName.parse(run), writer_key, epoch, rank, lease)


class WriterStreams:
    """Opens, fences and closes the writers' streams of this process."""

    def __init__(
        self, store: TrackingStore, claims: WriterClaims, log: SegmentedLog, committer: GroupCommitter, clock: Clock
    ) -> None:
        self._store = store
        self._claims = claims
        self._log = log
        self._committer = committer
        self._clock = clock
        self._open: dict[tuple[bytes, bytes], WriterStream] = {}
        # Those who open one writer here claim it among the replicas one after another, so that the newest is the last.
        self._turns: WeakValueDictionary[tuple[bytes, bytes], asyncio.Lock] = WeakValueDictionary()
        # (run, whether its lease was renewed) → when. A sender without a lease renews nobody's.
        self._heard_s: dict[tuple[bytes, bool], float] = {}

    async def open(self, request: OpenWriterRequest) -> WriterStream:
        """Opens the stream of a writer; the one it had before is closed, unless its sender is newer.

        Raises:
            RunNotFound: There is no such run.
            RunDeleted: It is in the bin.
            WriterFenced: A newer sender has the writer, or took it meanwhile.
            WriterReopened: It was opened by too many at once.
        """
        name = request.run
        run = (await self._store.run(name.project, name.run_id)).value
        stream = WriterStream(
            run_key=run.log_key,
            writer_key=request.writer_key,
            rank=request.rank,
            epoch=request.epoch,
            lease=request.lease,
            log=self._log,
            committer=self._committer,
        )
        # First of all the claim, without an await in it: of two opens at once one ends the other, and a run that is
        # deleted meanwhile ends this one.
        self._claim(stream)
        try:
            async with self._turns.setdefault((run.log_key, request.writer_key), asyncio.Lock()):
                stream.check_open()
                stream.claim = claim = await self._claims.take(
                    name.project, name.run_id, request.writer_key, epoch=request.epoch, lease=request.lease
                )
            await self._store.change_run(name.project, name.run_id, lambda run: self._opened(run, request, claim))
            # What the former stream had in flight may become durable just now: this one does not build on it, the
            # sender repeats it.
            head, keys = await self._log.standing(run.log_key, request.writer_key)
            stream.check_open()
        except BaseException:
            await self.close(stream)
            raise
        stream.start(head, keys)
        if request.lease:
            self._heard_s[run.log_key, True] = self._clock.monotonic_s()
        return stream

    def _claim(self, stream: WriterStream) -> None:
        identity = (stream.run_key, stream.writer_key)
        former = self._open.get(identity)
        if former is not None:
            if former.epoch > stream.epoch:
                raise WriterFenced("A newer sender reads this spool: this one should stop.")
            former.fail(WriterFenced("Another sender has taken over this spool: this one should stop."))
        self._open[identity] = stream

    def _opened(self, run: Run, request: OpenWriterRequest, claim: Claim) -> Run:
        _require_active(run)
        changed = run.writer_opened(request.rank, request.lease, self._clock.now_us())
        # Written in any case where another stream had the writer: what that one still wants to apply to the run, as it
        # has read it, is late then, and it learns why.
        return changed if claim.followed or changed != run else run

    async def close(self, stream: WriterStream) -> None:
        """Forgets a stream that ended, and gives its writer up."""
        self._forget(stream)
        if stream.claim is not None:
            try:
                await self._claims.release(stream.claim)
            except Exception:
                # It holds up nobody but an older sender, and nobody for long.
                _log.warning("The claim of a writer could not be released", exc_info=True)

    def _forget(self, stream: WriterStream) -> None:
        identity = (stream.run_key, stream.writer_key)
        if self._open.get(identity) is stream:
            del self._open[identity]
        if not any(run_key == stream.run_key for run_key, _ in self._open):
            self._heard_s.pop((stream.run_key, True), None)
            self._heard_s.pop((stream.run_key, False), None)

    def close_run(self, run: Run) -> None:
        """Ends every stream of a run that was deleted."""
        for (run_key, _), stream in list(self._open.items()):
            if run_key == run.log_key:
                stream.fail(_deleted(run))

    async def end_lost(self) -> None:
        """Ends the streams whose writer another replica has by now."""
        streams = {stream.claim: stream for stream in self._open.values() if stream.claim and not stream.ending}
        by_project: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in streams:
            by_project[claim.project].append(claim)
        for claims in by_project.values():
            for claim, error in (await self._claims.lost(claims)).items():
                streams[claim].fail(error)

    async def heartbeat(self, name: RunName, stream: WriterStream) -> None:
        """Takes a sign of life. A stream whose run was deleted meanwhile ends with `RunDeleted`."""
        now_s = self._clock.monotonic_s()
        last_s = self._heard_s.get((stream.run_key, stream.lease))
        if last_s is not None and now_s - last_s < HEARTBEAT_WRITE_INTERVAL_S:
            return
        self._heard_s[stream.run_key, stream.lease] = now_s
        if stream.lease:
            stored = await self._store.change_run(
                name.project, name.run_id, lambda run: run.heard(self._clock.now_us()) if run.active else run
            )
        else:
            stored = await self._store.run(name.project, name.run_id)
        if not stored.value.active:
            stream.fail(_deleted(stored.value))

    async def end_lease(self, name: RunName, stream: WriterStream) -> None:
        """Takes note that the writer is closed: its silence is no crash, unless others renew the lease."""
        if stream.lease and stream.claim is not None and not await self._claims.leased_beside(stream.claim):
            self._heard_s.pop((stream.run_key, True), None)
            await self._store.change_run(name.project, name.run_id, lambda run: run.unleased())

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
        room = await self._committer.reserve(len(content))
        try:
            if len(content) > INLINE_BYTES_MAX:
                checked = await in_thread(stream.check, sequence, digest, content)
            else:
                checked = stream.check(sequence, digest, content)
            updates = updates_from_content(checked.message)
            warnings = await self._apply(name, stream, sequence, updates) if updates else ()
            stream.check_open()
        except BaseException:
            self._committer.release(room)
            raise
        stream.submit(digest, checked, warnings, room)

    async def _apply(self, name: RunName, stream: WriterStream, sequence: int, updates: RunUpdates) -> Sequence[Warned]:
        if problem := updates_problem(updates):
            raise BatchInvalid(f"Batch {sequence} is not allowed: {problem}.")
        # Before the commit on purpose: a crash in between applies them once more, which changes nothing.
        conflicts: Sequence[UpdateConflict] = ()
        claim = stream.claim
        assert claim is not None, "not opened"

        def change(run: Run) -> Run:
            nonlocal conflicts
            stream.check_open()  # what a newer sender applied must not be undone
            _require_active(run)
            applied = apply_updates(run, updates, self._clock.now_us())
            conflicts = applied.conflicts
            return applied.run

        try:
            # Looked at between reading and writing the run: whoever claims the writer after that changes the run as well,
            # and this is late.
            await self._store.change_run(
                name.project, name.run_id, change, before_write=lambda: self._claims.require(claim)
            )
        except RunTooLarge as error:
            return [Warned(sequence, error.reason, f"Nothing beside the points was applied. {error.message}")]
        warnings = [Warned(sequence, conflict.reason, conflict.message) for conflict in conflicts]
        if len(warnings) > WARNINGS_PER_BATCH_MAX:
            left_out = len(warnings) - WARNINGS_PER_BATCH_MAX
            warnings[WARNINGS_PER_BATCH_MAX:] = [
                Warned(sequence, "MORE_WARNINGS", f"{left_out:,} more entries of the batch were not applied.")
            ]
        return warnings


def _deleted(run: Run) -> RunDeleted:
    return RunDeleted(f"The run {run.run_id} is in the bin. Restore it to go on logging.")


def _require_active(run: Run) -> None:
    if not run.active:
        raise _deleted(run)
