"""Group commit: batches of all streams that are waiting go to the metric log in one durable append.

While one append is being made durable the next group gathers, so the group grows with the load by itself and an idle server
acks at once. Bytes in flight are bounded: a full committer makes its streams wait, and HTTP/2 flow control passes that on to
the senders.
"""

import asyncio
import logging
from typing import Final, Protocol

from penstock_kit.errors import LimitExceeded, PenstockError, Unavailable
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord, LogFull, MetricLog

__all__ = ["BYTES_IN_FLIGHT_MAX", "GROUP_BYTES_MAX", "Committing", "GroupCommitter", "StorageFull", "run_topic"]

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


class GroupCommitter:
    """Commits records of many streams in groups. `run` must be going on for `submit` to have an effect."""

    def __init__(self, log: MetricLog, hot: HotStore) -> None:
        self._log = log
        self._hot = hot
        self._waiting: list[tuple[Committing, BatchRecord]] = []
        self._bytes_in_flight = 0
        self._room = asyncio.Condition()
        self._work = asyncio.Event()

    async def submit(self, stream: Committing, record: BatchRecord) -> None:
        """Hands a record over, in the order of its stream. Waits while `BYTES_IN_FLIGHT_MAX` is used up."""
        if self._bytes_in_flight >= BYTES_IN_FLIGHT_MAX:
            async with self._room:
                await self._room.wait_for(lambda: self._bytes_in_flight < BYTES_IN_FLIGHT_MAX)
        self._bytes_in_flight += len(record.content) + _RECORD_OVERHEAD_BYTES
        self._waiting.append((stream, record))
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

    def _take_group(self) -> list[tuple[Committing, BatchRecord]]:
        group_bytes = 0
        count = 0
        for _, record in self._waiting:
            if count and group_bytes + len(record.content) > GROUP_BYTES_MAX:
                break
            group_bytes += len(record.content)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._work.clear()
        return group

    async def _commit(self, group: list[tuple[Committing, BatchRecord]]) -> None:
        kept = [(stream, record) for stream, record in group if not stream.failed]
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
                await self._hot.ring(run_topic(run_key))
        finally:
            self._bytes_in_flight -= sum(len(record.content) + _RECORD_OVERHEAD_BYTES for _, record in group)
            async with self._room:
                self._room.notify_all()

    @staticmethod
    def _fail(kept: list[tuple[Committing, BatchRecord]], error: PenstockError) -> None:
        for stream, _ in kept:
            stream.commit_failed(error)
