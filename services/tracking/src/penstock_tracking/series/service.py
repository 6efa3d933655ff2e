"""What is read of the metrics of runs: latest values, keys, charts, points, and what comes next. Knows nothing of gRPC."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import re2

from penstock_kit.names import RunName
from penstock_kit.stores.hot import HotStore
from penstock_kit.threads import in_thread
from penstock_tracking.domain import Run
from penstock_tracking.errors import PatternInvalid, RunMoved, RunNotFound, TooManyMetrics, TooManySeries
from penstock_tracking.segments.files import SegmentGone
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series.downsample import Buckets
from penstock_tracking.series.latest import LatestReader, LatestValue
from penstock_tracking.series.points import Points
from penstock_tracking.series.reader import Charted, RankMode, RunSeries, SeriesReader
from penstock_tracking.series.watch import RunWatch
from penstock_tracking.store import TrackingStore

__all__ = [
    "METRICS_PER_RESPONSE_MAX",
    "POINTS_PER_PIECE_MAX",
    "POINTS_PER_RESPONSE_MAX",
    "SERIES_PER_REQUEST_MAX",
    "Series",
    "SeriesService",
]

SERIES_PER_REQUEST_MAX: Final = 20_000
POINTS_PER_PIECE_MAX: Final = 65_536
POINTS_PER_RESPONSE_MAX: Final = 400_000  # points or buckets; a bucket takes 100 bytes, and clients receive 64 MiB
METRICS_PER_RESPONSE_MAX: Final = 100_000
HEAVY_READS_AT_ONCE: Final = 4  # of runs: they need memory, and threads that others wait for
RUNS_READ_AHEAD: Final = 8  # of one request: they wait for stores side by side
SERIES_DECODED_AT_ONCE: Final = 32
READ_ATTEMPTS_MAX: Final = 3
PATTERN_MEMORY_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """A metric of a run, of one rank or of all together (None), reduced or not."""

    run: RunName
    key: str
    rank: int | None
    total_points: int
    data: Points | Buckets


class SeriesService:
    """Reads what runs logged, every acknowledged point of it."""

    def __init__(
        self, store: TrackingStore, log: SegmentedLog, hot: HotStore, latest: LatestReader, reader: SeriesReader
    ) -> None:
        self._store = store
        self._log = log
        self._hot = hot
        self._latest = latest
        self._reader = reader
        self._heavy_reads = asyncio.Semaphore(HEAVY_READS_AT_ONCE)

    async def latest_metrics(
        self, name: RunName, keys: Sequence[str] = (), prefix: str = ""
    ) -> list[tuple[str, LatestValue]]:
        """Returns names and latest values, in order of names. Raises `RunNotFound`, `TooManyMetrics`."""
        stored = await self._store.run(name.project, name.run_id)
        return await self.latest_of(stored.value, keys, prefix)

    async def latest_of(self, run: Run, keys: Sequence[str] = (), prefix: str = "") -> list[tuple[str, LatestValue]]:
        """The same, for a run that was read already. Raises `TooManyMetrics`."""
        found = await self._latest.of_run(run, keys, prefix)
        _check_count(run, len(found))
        return found

    async def latest_of_all(self, runs: Sequence[Run]) -> list[list[tuple[str, LatestValue]]]:
        """All latest values of each of some runs that were read already, at most `RUNS_PER_READ_MAX` of the metric log.

        Raises `TooManyMetrics`.
        """
        found = await self._latest.of_runs(runs)
        for run, values in zip(runs, found, strict=True):
            _check_count(run, len(values))
        return found

    async def metric_keys(self, names: Sequence[RunName], prefix: str, pattern: str) -> list[str]:
        """Returns the keys that any of the runs has, in order. Raises `RunNotFound`, `PatternInvalid`."""
        matcher = _pattern(pattern) if pattern else None
        found: set[str] = set()
        for run in await self._existing(names):
            found.update(await self._latest.names(run, prefix))
        return await in_thread(lambda: sorted(key for key in found if matcher is None or matcher.search(key)))

    async def _existing(self, names: Sequence[RunName]) -> list[Run]:
        runs: list[Run] = []
        by_id = await self._store.runs(names[0].project, [name.run_id for name in names]) if names else {}
        for name in names:
            stored = by_id.get(name.run_id)
            if stored is None:
                raise RunNotFound(f"There is no run {name.run_id} in the project {name.project}.")
            runs.append(stored.value)
        return runs

    async def series(
        self,
        names: Sequence[RunName],
        keys: Sequence[str],
        *,
        first: int | None,
        last: int | None,
        max_points: int,
        rank_mode: RankMode,
    ) -> AsyncIterator[list[Series]]:
        """Yields the series of each run for a chart, by key and rank, without the empty ones.

        A series of more than `max_points` points is reduced to as many buckets; to fewer, the same number for each series,
        where all together might hold more than `POINTS_PER_RESPONSE_MAX`.

        Raises:
            RunNotFound: One of the runs does not exist.
            TooManySeries: There would be more than `SERIES_PER_REQUEST_MAX`.
        """
        if len(names) * len(keys) > SERIES_PER_REQUEST_MAX:
            raise TooManySeries(
                f"{len(names):,} runs × {len(keys):,} keys are more than {SERIES_PER_REQUEST_MAX:,} series.",
                limit="SERIES_PER_REQUEST_MAX",
            )
        runs = await self._existing(names)
        expected = sum(max(1, len(run.ranks)) if rank_mode is RankMode.APART else 1 for run in runs) * len(keys)
        points_max = min(max_points, POINTS_PER_RESPONSE_MAX // min(expected, SERIES_PER_REQUEST_MAX))
        count = 0
        ahead: deque[asyncio.Task[list[Series]]] = deque()
        waiting = iter(runs)
        try:
            while True:
                for run in islice(waiting, RUNS_READ_AHEAD - len(ahead)):
                    ahead.append(
                        asyncio.create_task(self._series_of_run(run, keys, first, last, points_max, rank_mode))
                    )
                if not ahead:
                    return
                found = await ahead.popleft()
                count += len(found)
                if count > SERIES_PER_REQUEST_MAX:
                    raise TooManySeries(
                        f"The answer would hold more than {SERIES_PER_REQUEST_MAX:,} series.",
                        limit="SERIES_PER_REQUEST_MAX",
                    )
                yield found
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _series_of_run(
        self,
        run: Run,
        keys: Sequence[str],
        first: int | None,
        last: int | None,
        points_max: int,
        rank_mode: RankMode,
    ) -> list[Series]:
        async with self._heavy_reads:
            for _ in range(READ_ATTEMPTS_MAX):
                try:
                    return await self._charted(run, keys, first, last, points_max, rank_mode)
                except SegmentGone:
                    continue  # it was merged and removed while it was read: the next one is there
        raise _moved(run)

    async def _charted(
        self,
        run: Run,
        keys: Sequence[str],
        first: int | None,
        last: int | None,
        points_max: int,
        rank_mode: RankMode,
    ) -> list[Series]:
        name = RunName(run.project, run.run_id)
        series = await self._reader.open(run, keys)
        wanted = list(islice(_series_of(series, keys, rank_mode), SERIES_PER_REQUEST_MAX + 1))
        found: list[Series] = []
        for start in range(0, len(wanted), SERIES_DECODED_AT_ONCE):
            some = wanted[start : start + SERIES_DECODED_AT_ONCE]
            charts = [
                await series.across(key, first, last, points_max)
                if rank_mode is RankMode.ACROSS
                else await series.chart(key, rank, first, last, points_max)
                for key, rank in some
            ]
            for (key, rank), (total, data) in zip(some, await in_thread(_finished, charts), strict=True):
                if total:
                    found.append(Series(name, key, rank, total, data))
        return found

    async def read_points(
        self, name: RunName, keys: Sequence[str], *, first: int | None, last: int | None, rank_mode: RankMode
    ) -> AsyncIterator[Series]:
        """Yields every point of a run, in pieces of at most `POINTS_PER_PIECE_MAX`, series by series.

        Raises `RunNotFound`, and `RunMoved` where a series was read so slowly that what it is kept in was removed meanwhile.
        """
        run = (await self._store.run(name.project, name.run_id)).value
        series = await self._reader.open(run, keys or None)
        for key, rank in list(_series_of(series, keys or series.keys, rank_mode)):
            # Each as it is when its turn comes: what was merged since the first is long removed when the last is read.
            async with self._heavy_reads:
                series = await self._reader.open(run, keys or None)
            try:
                total = await series.count(key, rank, first, last)
                async with aclosing(series.points(key, rank, first, last)) as windows:
                    async for points in windows:
                        for start in range(0, len(points), POINTS_PER_PIECE_MAX):
                            yield Series(name, key, rank, total, points[start : start + POINTS_PER_PIECE_MAX])
            except SegmentGone:
                raise _moved(run) from None

    async def watch(
        self, name: RunName, *, cursor: str, keys: Sequence[str], from_now: bool, stopping: asyncio.Event
    ) -> RunWatch:
        """Follows a run live, until `stopping` is set. Raises `RunNotFound`, `CursorInvalid`."""
        stored = await self._store.run(name.project, name.run_id)
        return RunWatch(
            self._store, self._log, self._hot, stored, stopping, cursor=cursor, keys=keys, from_now=from_now
        )


def _check_count(run: Run, count: int) -> None:
    """Raises `TooManyMetrics`."""
    if count > METRICS_PER_RESPONSE_MAX:
        raise TooManyMetrics(
            f"The run {run.run_id} has {count:,} such metrics, at most {METRICS_PER_RESPONSE_MAX:,} come in one answer: ask "
            "by key or prefix, or leave latest values out.",
            limit="METRICS_PER_RESPONSE_MAX",
        )


def _finished(charts: Sequence[Callable[[], Charted] | Charted]) -> list[Charted]:
    return [chart() if callable(chart) else chart for chart in charts]


def _moved(run: Run) -> RunMoved:
    return RunMoved(f"What the run {run.run_id} is kept in was replaced while it was read: read it again.")


def _series_of(series: RunSeries, keys: Sequence[str], rank_mode: RankMode) -> Iterator[tuple[str, int | None]]:
    for key in keys:
        ranks: Sequence[int | None] = series.ranks(key) if rank_mode is RankMode.APART else (None,)
        for rank in ranks:
            yield key, rank


def _pattern(text: str) -> Any:
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise PatternInvalid(f"The pattern {text!r} is not a regular expression: {error}.") from None
