"""The live tail of a run: every durable point once, in the order of its writer, from a cursor on.

A round is a range of batches of one writer, told metric by metric. The cursor names the rounds that are done and, within the
one that is under way, the last metric told: so a reader that comes back after any event misses none and sees none twice, on
any replica.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import WriterHead
from penstock_kit.threads import in_thread
from penstock_tracking.domain import Run
from penstock_tracking.errors import CursorInvalid, ServerStopping
from penstock_tracking.ingest.committer import run_topic
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series.columns import RunColumns
from penstock_tracking.series.follower import LogFollower
from penstock_tracking.series.points import Points
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


@dataclass(frozen=True, slots=True)
class _Round:
    writer_key: bytes
    last: int  # sequence
    told: str  # the metric that was told last; they come in order


class _Cursor:
    """Where a watch stands: `done` is writer → last sequence of finished rounds, `round` the one under way, if any.

    As text it is two parts, since the first stays the same for all events of a round.
    """

    def __init__(self, run: Run, done: dict[bytes, int], under_way: _Round | None = None) -> None:
        self._run_key = run.log_key
        self._done = done
        self._done_text: str | None = None
        self.round = under_way

    def done(self, writer_key: bytes) -> int:
        """The last sequence of the finished rounds of a writer."""
        return self._done.get(writer_key, 0)

    @property
    def watermarks(self) -> dict[bytes, int]:
        """Every writer's."""
        return dict(self._done)

    def finish(self, writer_key: bytes, last: int) -> None:
        """Takes note that a round is done."""
        self._done[writer_key] = last
        self._done_text = None
        self.round = None

    def sealed(self) -> str:
        """The cursor as text."""
        if self._done_text is None:
            self._done_text = _packed([self._run_key, list(self._done), list(self._done.values())])
        under_way = self.round
        return self._done_text + (
            "." + _packed([under_way.writer_key, under_way.last, under_way.told]) if under_way is not None else ""
        )

    @classmethod
    def opened(cls, text: str, run: Run) -> "_Cursor":
        """Reads a cursor of a run. Raises `CursorInvalid`."""
        if not text:
            return cls(run, {})
        first, _, second = text.partition(".")
        try:
            run_key, keys, sequences = _unpacked(first)
            under_way = _Round(*_unpacked(second)) if second else None
            done = dict(zip(keys, sequences, strict=True))
        except (TypeError, ValueError, msgpack.UnpackException):
            raise CursorInvalid("The cursor is damaged: send it as it was received.") from None
        if run_key != run.log_key:
            raise CursorInvalid("The cursor is of another run: start without one.")
        positions = [*done.items(), *([(under_way.writer_key, under_way.last)] if under_way else [])]
        if not all(isinstance(k, bytes) and type(n) is int and 0 < n < 2**63 for k, n in positions) or (
            under_way is not None and not isinstance(under_way.told, str)
        ):
            raise CursorInvalid("The cursor is damaged: send it as it was received.")
        return cls(run, done, under_way)


def _packed(state: list[Any]) -> str:
    packed: Any = msgpack.packb(state)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _unpacked(text: str) -> Any:
    return msgpack.unpackb(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))


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
        log: SegmentedLog,
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

    async def events(self) -> AsyncGenerator[RunChanged | NewPoints | Beat]:
        """Yields the run's record, then what happens. Ends when the run is over and all its points are told."""
        run = self._run.value
        if self._skip_present:
            heads = await self._log.heads(run.log_key)
            self._cursor = _Cursor(run, {head.writer_key: head.sequence for head in heads})
        yield RunChanged(self._run, self._cursor.sealed())
        follower = LogFollower(self._log, run.log_key, self._cursor.watermarks)
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
                        async with aclosing(self._tell(follower, head)) as told:
                            async for event in told:
                                last_told_s = loop.time()
                                yield event
                    if stored.version != self._run.version:
                        self._run = stored
                        last_told_s = loop.time()
                        yield RunChanged(stored, self._cursor.sealed())
                    if stored.value.over or not stored.value.active:
                        return
                    if self._stopping.is_set():
                        raise ServerStopping("The server is stopping: go on from the cursor.")
                    if loop.time() - last_told_s >= HEARTBEAT_INTERVAL_S:
                        last_told_s = loop.time()
                        yield Beat(self._cursor.sealed())
                    await asyncio.wait({ring}, timeout=POLL_INTERVAL_S)
            finally:
                ring.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await ring

    def _under_way_first(self, heads: list[WriterHead]) -> list[WriterHead]:
        """The writer whose round was cut short comes first: the cursor has room for one."""
        under_way = self._cursor.round.writer_key if self._cursor.round else None
        return sorted(heads, key=lambda head: head.writer_key != under_way)

    async def _tell(self, follower: LogFollower, head: WriterHead) -> AsyncGenerator[NewPoints]:
        cursor = self._cursor
        while cursor.done(head.writer_key) < head.sequence:
            # Resuming within a round: the same batches again, less the metrics that were told.
            under_way = cursor.round if cursor.round and cursor.round.writer_key == head.writer_key else None
            batches = await follower.read(head, bytes_max=ROUND_BYTES, upto=under_way.last if under_way else None)
            if not batches:
                return
            columns = RunColumns(self._keys)
            await in_thread(columns.take_all, batches)
            last = batches[-1].sequence
            for key in columns.keys:
                if under_way is not None and key <= under_way.told:
                    continue
                cursor.round = _Round(head.writer_key, last, key)
                yield NewPoints(key, head.rank, columns.points(key), cursor.sealed())
            cursor.finish(head.writer_key, last)
