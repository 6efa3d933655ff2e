"""Group commit: batches of all streams that are waiting go to the metric log in one durable append.

While one append is being made durable the next group gathers, so the group grows with the load by itself and an idle server
acks at once. Bytes in flight are bounded: room is reserved before a batch is looked at, a full committer makes its streams
wait, and HTTP/2 flow control passes that on to the senders.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from penstock_kit.errors import LimitExceeded, PenstockError, Unavailable
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord, LogFull, MetricLog

__all__ = [
    "BYTES_IN_FLIGHT_MAX",
    "GROUP_BYTES_MAX",
    "Committing",
    "GroupCommitter",
    "Reservation",
    "StorageFull",
    "ring_run",
    "run_topic",
]

BYTES_IN_FLIGHT_MAX: Final = 32_000_000
GROUP_BYTES_MAX: Final = 16_000_000
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


@dataclass(frozen=True, slots=True)
class _Waiting:
    stream: Committing
    record: BatchRecord
    room: Reservation


class GroupCommitter:
    """Commits records of many streams in groups. `run` must be going on for `submit` to have an effect."""

    def __init__(self, log: MetricLog, hot: HotStore) -> None:
        self._log = log
        self._hot = hot
        self._waiting: list[_Waiting] = []
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
        self._waiting.append(_Waiting(stream, record, room))
        self._work.set()

    async def run(self) -> None:
        """Commits group after group until cancelled. A group that is being committed is finished first."""
        while True:
            await self._work.wait()
            group = self._take_group()
            if group:
                commit = asyncio.ensure_future(self._commit(group))
                try:
                    await asyncio.shield(commit)
                except asyncio.CancelledError:
                    await commit
                    raise

    def _take_group(self) -> list[_Waiting]:
        group_bytes = 0
        count = 0
        for waiting in self._waiting:
            content_bytes = len(waiting.record.content)
            if count and group_bytes + content_bytes > GROUP_BYTES_MAX:
                break
            group_bytes += content_bytes
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._work.clear()
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        kept = [(waiting.stream, waiting.record) for waiting in group if not waiting.stream.failed]
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
        finally:
            for waiting in group:
                self.release(waiting.room)

    @staticmethod
    def _fail(kept: list[tuple[Committing, BatchRecord]], error: PenstockError) -> None:
        for stream, _ in kept:
            stream.commit_failed(error)
