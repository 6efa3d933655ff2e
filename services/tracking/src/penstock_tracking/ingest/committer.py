"""Group commit: batches of all streams that are waiting go to the metric log in one durable append.

While one append is being made durable the next group gathers, so the group grows with the load by itself and an idle server
acks at once. A log that can make several appends durable at a time gets another one as soon as there is a full group for
it. Bytes in flight are bounded: room is reserved before a batch is looked at, a full committer makes its streams wait, and
HTTP/2 flow control passes that on to the senders.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from penstock_kit.errors import LimitExceeded, PenstockError, Unavailable
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord, LogFull, MetricLog

__all__ = [
    "BYTES_IN_FLIGHT_MAX",
    "Committing",
    "GroupCommitter",
    "Reservation",
    "StorageFull",
    "ring_run",
    "run_topic",
]

BYTES_IN_FLIGHT_MAX: Final = 32_000_000
_RECORD_OVERHEAD_BYTES: Final = 512  # what a record costs beside its content, so that tiny ones are bounded too

_log = logging.getLogger(__name__)


class StorageFull(LimitExceeded):
    """The medium under the metric log has no room."""

    reason = "STORAGE_FULL"


class Committing(Protocol):
    """A stream whose records are committed."""

    @property
    def failed(self) -> bool:
        """Whether an earlier record was lost: then the later ones must not be kept, or there would be a gap."""
        ...

    def committed(self, record: BatchRecord, outcome: AppendOutcome) -> None:
        """Takes note that a record is durable, or that another one has its place."""
        ...

    def commit_failed(self, error: PenstockError) -> None:
        """Takes note that a record was not kept."""
        ...


def run_topic(run_key: bytes) -> str:
    """The topic of the hot store that rings when points of a run became durable."""
    return f"run-points:{run_key.hex()}"


async def ring_run(hot: HotStore, run_key: bytes) -> None:
    """Wakes those who follow a run. Whoever misses it polls, so a hot store that fails is no error of the caller."""
    try:
        await hot.ring(run_topic(run_key))
    except Exception:
        _log.warning("The hot store did not ring: live readers hear of new points by polling", exc_info=True)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room in the committer for one batch."""

    size: int


@dataclass(slots=True)
class _Line:
    """The records of one stream that wait, in order.

    Attributes:
        waiting: Them, and their room.
        content_bytes: Of all of them.
        in_flight: Whether records before them are being committed.
    """

    waiting: "deque[tuple[BatchRecord, Reservation]]" = field(default_factory=deque)
    content_bytes: int = 0
    in_flight: bool = False


@dataclass(slots=True)
class _Group:
    """What is committed together: the records of some streams, and the room of all that was taken."""

    records: list[tuple[Committing, BatchRecord]] = field(default_factory=list)
    rooms: list[Reservation] = field(default_factory=list)
    streams: list[Committing] = field(default_factory=list)
    content_bytes: int = 0


class GroupCommitter:
    """Commits records of many streams in groups. `run` must be going on for `submit` to have an effect.

    A stream is in one group at a time only. Were it in two, the later one could be kept and the earlier one be lost, by a
    crash, and its writer would have a gap.
    """

    def __init__(self, log: MetricLog, hot: HotStore) -> None:
        self._log = log
        self._hot = hot
        self._lines: dict[Committing, _Line] = {}  # of the streams that have records here
        self._ready: deque[Committing] = deque()  # those that wait and are in no group, in the order of their turns
        self._ready_bytes = 0
        self._commits: set[asyncio.Task[None]] = set()
        self._bytes_in_flight = 0
        self._room = asyncio.Event()
        self._work = asyncio.Event()

    async def reserve(self, content_bytes: int) -> Reservation:
        """Waits while `BYTES_IN_FLIGHT_MAX` is used up. Whoever gets room either submits a record or releases it."""
        while self._bytes_in_flight >= BYTES_IN_FLIGHT_MAX:
            self._room.clear()
            await self._room.wait()
        room = Reservation(content_bytes + _RECORD_OVERHEAD_BYTES)
        self._bytes_in_flight += room.size
        return room

    def release(self, room: Reservation) -> None:
        """Gives room back."""
        self._bytes_in_flight -= room.size
        self._room.set()

    def submit(self, stream: Committing, record: BatchRecord, room: Reservation) -> None:
        """Takes a record over, in the order of its stream, and its room with it."""
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = _Line()
        content_bytes = len(record.content)
        line.waiting.append((record, room))
        line.content_bytes += content_bytes
        if line.in_flight:
            return
        if len(line.waiting) == 1:
            self._ready.append(stream)
        self._ready_bytes += content_bytes
        self._work.set()

    async def run(self) -> None:
        """Commits group after group until cancelled. Groups that are being committed are finished first."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._next_is_due():
                    commit = asyncio.create_task(self._commit(self._take_group()), name="group-commit")
                    self._commits.add(commit)
                    commit.add_done_callback(self._committed)
        finally:
            while self._commits:
                await asyncio.wait(self._commits)

    def _next_is_due(self) -> bool:
        # One group is on its way whenever anything waits. Beside it another one starts when it is full: before that it is
        # better to gather, because many small commits cost more than a few large ones.
        if not self._ready:
            return False
        return not self._commits or (
            len(self._commits) < self._log.appends_at_once and self._ready_bytes >= self._log.append_bytes
        )

    def _take_group(self) -> _Group:
        """Takes about `append_bytes` of what waits, from the streams whose turn it is, and of each as much as there is."""
        group = _Group()
        while self._ready and group.content_bytes < self._log.append_bytes:
            stream = self._ready.popleft()
            line = self._lines[stream]
            line.in_flight = True
            self._ready_bytes -= line.content_bytes
            group.streams.append(stream)
            while line.waiting and group.content_bytes < self._log.append_bytes:
                record, room = line.waiting.popleft()
                line.content_bytes -= len(record.content)
                group.content_bytes += len(record.content)
                group.records.append((stream, record))
                group.rooms.append(room)
        return group

    async def _commit(self, group: _Group) -> None:
        try:
            await self._append([(stream, record) for stream, record in group.records if not stream.failed])
        finally:
            for room in group.rooms:
                self.release(room)
            for stream in group.streams:
                self._land(stream)

    def _committed(self, commit: asyncio.Task[None]) -> None:
        self._commits.discard(commit)
        self._work.set()

    def _land(self, stream: Committing) -> None:
        """Takes note that what a stream had in a group is committed, or lost: it waits for its next turn, if it has more."""
        line = self._lines[stream]
        line.in_flight = False
        if line.waiting:
            self._ready.append(stream)
            self._ready_bytes += line.content_bytes
        else:
            del self._lines[stream]

    async def _append(self, kept: list[tuple[Committing, BatchRecord]]) -> None:
        try:
            outcomes = await self._log.append([record for _, record in kept]) if kept else []
        except LogFull:
            _log.error("The metric log has no room: %d batches were refused", len(kept))
            self._fail(
                kept, StorageFull("The server's disk is full. Nothing acknowledged is lost; make room and go on.")
            )
        except Exception:
            _log.exception("The metric log failed: %d batches were refused", len(kept))
            self._fail(kept, Unavailable("The metric log cannot be written now. Nothing acknowledged is lost."))
        else:
            for (stream, record), outcome in zip(kept, outcomes, strict=True):
                stream.committed(record, outcome)
            for run_key in {record.run_key for _, record in kept}:
                await ring_run(self._hot, run_key)

    @staticmethod
    def _fail(kept: list[tuple[Committing, BatchRecord]], error: PenstockError) -> None:
        for stream, _ in kept:
            stream.commit_failed(error)
