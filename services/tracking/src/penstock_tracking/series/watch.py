"""The live tail of a run: every durable point once, in the order of its writer, from a cursor on.

A round is a range of batches of one writer. The cursor names the rounds that are done and, within the one that is under way,
how many of its events were sent: so a reader that comes back after any event misses none and sees none twice, on any replica.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from penstock_kit import paging
from penstock_kit.paging import PageTokenInvalid
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import MetricLog, WriterHead
from penstock_tracking.domain import Run
from penstock_tracking.errors import CursorInvalid, ServerStopping
from penstock_tracking.ingest.committer import run_topic
from penstock_tracking.series.columns import Points, RunColumns
from penstock_tracking.series.follower import LogFollower
from penstock_tracking.store import Stored, TrackingStore

__all__ = ["HEARTBEAT_INTERVAL_S", "Beat", "NewPoints", "RunChanged", "RunWatch"]

HEARTBEAT_INTERVAL_S: Final = 10.0
POLL_INTERVAL_S: Final = 1.0  # the bell of the hot store may miss; the log does not
ROUND_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RunChanged:
    """The run's record as it is now."""

    run: Stored[Run]
    cursor: str


@dataclass(frozen=True, slots=True)
class NewPoints:
    """New points of one metric of one rank."""

    key: str
    rank: int
    points: Points
    cursor: str


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing happened for a while."""

    cursor: str


@dataclass(slots=True)
class _Cursor:
    """`done`: writer → last sequence of finished rounds. `round`: writer, last sequence and events sent of the one under
    way, None between rounds."""

    done: dict[bytes, int] = field(default_factory=dict)
    round: tuple[bytes, int, int] | None = None

    def sealed(self, run: Run) -> str:
        return paging.seal(
            f"watch {run.log_key.hex()}",
            [[[key, sequence] for key, sequence in self.done.items()], list(self.round) if self.round else None],
        )

    @classmethod
    def opened(cls, text: str, run: Run) -> "_Cursor":
        if not text:
            return cls()
        try:
            done, under_way = paging.open(text, f"watch {run.log_key.hex()}")
            return cls({bytes(key): int(sequence) for key, sequence in done}, tuple(under_way) if under_way else None)
        except (PageTokenInvalid, TypeError, ValueError):
            raise CursorInvalid("The cursor is not one of this run: start without one.") from None


class RunWatch:
    """Follows one run.

    Args:
        stopping: Set when the server is told to stop; the watch then ends with `ServerStopping`.
        cursor: Where to resume; empty means from the first point.
        keys: Only these metrics; empty means all.
        from_now: With an empty cursor: skip the points that are there already.

    Raises:
        CursorInvalid: The cursor is damaged or of another run.
    """

    def __init__(
        self,
        store: TrackingStore,
        log: MetricLog,
        hot: HotStore,
        run: Stored[Run],
        stopping: asyncio.Event,
        *,
        cursor: str = "",
        keys: Collection[str] = (),
        from_now: bool = False,
    ) -> None:
        self._store = store
        self._log = log
        self._hot = hot
        self._run = run
        self._stopping = stopping
        self._cursor = _Cursor.opened(cursor, run.value)
        self._keys = frozenset(keys) or None
        self._skip_present = from_now and not cursor

    async def events(self) -> AsyncIterator[RunChanged | NewPoints | Beat]:
        """Yields the run's record, then what happens. Ends when the run is over and all its points are told."""
        run = self._run.value
        if self._skip_present:
            self._cursor.done = {head.writer_key: head.sequence for head in await self._log.heads(run.log_key)}
        yield RunChanged(self._run, self._cursor.sealed(run))
        follower = LogFollower(self._log, run.log_key, dict(self._cursor.done))
        loop = asyncio.get_running_loop()
        last_told_s = loop.time()
        async with self._hot.listen(run_topic(run.log_key)) as bell:
            ring = asyncio.ensure_future(anext(bell))
            try:
                while True:
                    if ring.done():
                        ring = asyncio.ensure_future(anext(bell))
                    # The record is read before the points: a run that is over here had all its points durable by now.
                    stored = await self._store.run(run.project, run.run_id)
                    for head in self._under_way_first(await follower.behind()):
                        async for event in self._tell(follower, head):
                            last_told_s = loop.time()
                            yield event
                    if stored.version != self._run.version:
                        self._run = stored
                        last_told_s = loop.time()
                        yield RunChanged(stored, self._cursor.sealed(run))
                    if stored.value.over or not stored.value.active:
                        return
                    if self._stopping.is_set():
                        raise ServerStopping("The server is stopping: go on from the cursor.")
                    if loop.time() - last_told_s >= HEARTBEAT_INTERVAL_S:
                        last_told_s = loop.time()
                        yield Beat(self._cursor.sealed(run))
                    await asyncio.wait({ring}, timeout=POLL_INTERVAL_S)
            finally:
                ring.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await ring

    def _under_way_first(self, heads: list[WriterHead]) -> list[WriterHead]:
        """The writer whose round was cut short comes first: the cursor has room for one."""
        under_way = self._cursor.round[0] if self._cursor.round else None
        return sorted(heads, key=lambda head: head.writer_key != under_way)

    async def _tell(self, follower: LogFollower, head: WriterHead) -> AsyncIterator[NewPoints]:
        run = self._run.value
        cursor = self._cursor
        while cursor.done.get(head.writer_key, 0) < head.sequence:
            upto: int | None = None
            sent = 0
            if cursor.round is not None and cursor.round[0] == head.writer_key:
                # Resuming within a round: the same batches again, less the events that were sent.
                _, upto, sent = cursor.round
            batches = await follower.read(head, bytes_max=ROUND_BYTES, upto=upto)
            if not batches:
                return
            columns = RunColumns(self._keys)
            for batch in batches:
                columns.take(batch)
            last = batches[-1].sequence
            for index, key in enumerate(columns.keys):
                if index < sent:
                    continue
                cursor.round = (head.writer_key, last, index + 1)
                yield NewPoints(key, head.rank, columns.points(key), cursor.sealed(run))
            cursor.done[head.writer_key] = last
            cursor.round = None
