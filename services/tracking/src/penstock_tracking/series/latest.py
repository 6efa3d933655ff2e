"""The latest value of every metric of a run: the maximum of (step, time, value), NaN counting as 0.

The maximum is commutative, so batches may be taken in any order and by any replica; of values that are equal by that rule,
such as 0.0, -0.0 and NaN, the one with the greatest bits counts. What was worked out is kept in memory,
bounded, and in the document store as a snapshot with watermarks; either may be lost and is rebuilt from the log.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penstock_kit.search import ByteBoundedCache
from penstock_kit.stores.metric_log import WriterHead
from penstock_kit.threads import in_thread
from penstock_tracking.domain import Run
from penstock_tracking.ingest.codec import DecodedBlock, Float64s, Int64s
from penstock_tracking.segments.batches import DecodedBatch
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series.follower import LogFollower
from penstock_tracking.store import TrackingStore

__all__ = ["CACHE_BYTES_MAX", "LatestReader", "LatestTable", "LatestValue"]

CACHE_BYTES_MAX: Final = 32_000_000
SNAPSHOT_AFTER_BYTES: Final = 1_000_000  # of log read: less is read again quicker than a snapshot is written
SNAPSHOT_BYTES_MAX: Final = 6_000_000
METRICS_INLINE_MAX: Final = 50
BYTES_PER_KEY: Final = 200  # of a table in memory: six columns, the name, its place in the dictionary
BYTES_PER_RUN: Final = 4_000  # of an empty one, with its follower


@dataclass(frozen=True, slots=True)
class LatestValue:
    """The latest value of a metric, and what is known of all its points.

    `min` and `max` leave NaN out and are NaN if there is nothing else.
    """

    value: float
    step: int
    time_us: int
    min: float
    max: float
    count: int


class LatestTable:
    """Latest values of a run, a column each for step, time, value, minimum, maximum and count."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._index: dict[str, int] = {}
        self._columns: dict[str, Any] = {
            "step": np.zeros(0, np.int64),
            "time": np.zeros(0, np.int64),
            "value": np.zeros(0, np.float64),
            "min": np.zeros(0, np.float64),
            "max": np.zeros(0, np.float64),
            "count": np.zeros(0, np.int64),
        }
        # The list is kept with its places: while it lives nothing else has its identity.
        self._places: dict[tuple[int, tuple[int, ...]], tuple[list[str], Int64s]] = {}

    def __len__(self) -> int:
        return len(self.names)

    def _places_of(self, keys: list[str], key_ids: tuple[int, ...]) -> Int64s:
        # A writer's table only grows, so its identity and the numbers fix the answer.
        known = self._places.get((id(keys), key_ids))
        if known is not None:
            return known[1]
        places = np.empty(len(key_ids), np.int64)
        for column, key_id in enumerate(key_ids):
            name = keys[key_id]
            place = self._index.get(name)
            if place is None:
                place = self._index[name] = len(self.names)
                self.names.append(name)
            places[column] = place
        self._grow()
        if len(self._places) > 10_000:
            self._places.clear()
        self._places[(id(keys), key_ids)] = (keys, places)
        return places

    def _grow(self) -> None:
        capacity = len(self._columns["step"])
        if len(self.names) <= capacity:
            return
        wanted = max(len(self.names), 2 * capacity, 16)
        for name, column in self._columns.items():
            fill = np.nan if name in ("min", "max") else 0
            self._columns[name] = np.concatenate([column, np.full(wanted - capacity, fill, column.dtype)])

    def take(self, keys: list[str], block: DecodedBlock) -> None:
        """Takes the points of a block of a writer with the key table `keys`."""
        step, time_us, value = _block_latest(block)
        self._update(
            self._places_of(keys, block.key_ids),
            np.int64(step),
            np.int64(time_us),
            value,
            np.fmin.reduce(block.values, axis=0),
            np.fmax.reduce(block.values, axis=0),
            np.int64(len(block.steps)),
        )

    def take_columns(self, keys: list[str], columns: Mapping[str, Any]) -> None:
        """Takes what another table has of `keys`, as `columns` returned it."""
        logged = np.flatnonzero(columns["count"])
        places = self._places_of(keys, tuple(logged.tolist()))
        self._update(places, *(columns[name][logged] for name in ("step", "time", "value", "min", "max", "count")))

    def columns(self, keys: Sequence[str]) -> dict[str, Any]:
        """What it has of some keys: columns for step, time, value, minimum, maximum and count, 0 for what is not there."""
        places = np.array([self._index.get(key, -1) for key in keys], np.int64)
        there = places >= 0
        found: dict[str, Any] = {}
        for name, column in self._columns.items():
            found[name] = np.zeros(len(keys), column.dtype)
            found[name][there] = column[places[there]]
        return found

    def _update(
        self, places: Int64s, steps: Any, times: Any, values: Float64s, low: Any, high: Any, counts: Any
    ) -> None:
        columns = self._columns
        known = columns["count"][places]
        step, time_us, value = columns["step"][places], columns["time"][places], columns["value"][places]
        later = (steps > step) | ((steps == step) & ((times > time_us) | ((times == time_us) & _above(values, value))))
        newer = later | (known == 0)
        replaced = places[newer]
        columns["step"][replaced] = np.broadcast_to(steps, len(places))[newer]
        columns["time"][replaced] = np.broadcast_to(times, len(places))[newer]
        columns["value"][replaced] = values[newer]
        columns["min"][places] = np.fmin(columns["min"][places], low)
        columns["max"][places] = np.fmax(columns["max"][places], high)
        columns["count"][places] = known + counts

    def take_all(self, batches: Sequence[DecodedBatch]) -> None:
        """Takes the points of batches."""
        for batch in batches:
            for block in batch.blocks:
                self.take(batch.keys, block)

    def select(self, keys: Collection[str] = (), prefix: str = "") -> list[tuple[str, LatestValue]]:
        """Names and latest values of the metrics `keys` (empty: of all) that start with `prefix`, in order of names."""
        names = [key for key in sorted(set(keys) or self.names) if key in self._index and key.startswith(prefix)]
        places = np.array([self._index[name] for name in names], np.int64)
        columns = (
            self._columns[column][places].tolist() for column in ("value", "step", "time", "min", "max", "count")
        )
        return [(name, LatestValue(*row)) for name, row in zip(names, zip(*columns, strict=True), strict=True)]

    def packed(self) -> dict[str, Any]:
        """The table as plain values for a document."""
        n = len(self.names)
        return {"names": list(self.names), **{name: column[:n].tobytes() for name, column in self._columns.items()}}

    @classmethod
    def unpacked(cls, body: Mapping[str, Any]) -> "LatestTable":
        """The table from `packed`."""
        table = cls()
        table.names = [sys.intern(name) for name in body["names"]]  # runs of a project mostly log the same
        table._index = {name: place for place, name in enumerate(table.names)}
        for name, column in table._columns.items():
            table._columns[name] = np.frombuffer(body[name], column.dtype).copy()
        return table


def _nan_as_0(values: Float64s) -> Float64s:
    return np.where(np.isnan(values), 0.0, values)


def _above(a: Float64s, b: Float64s) -> npt.NDArray[np.bool_]:
    """Where a value of the same step and time is the later one."""
    ranked_a, ranked_b = _nan_as_0(a), _nan_as_0(b)
    return (ranked_a > ranked_b) | ((ranked_a == ranked_b) & (_bits(a) > _bits(b)))


def _bits(values: Float64s) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(values).view(np.uint64)


def _block_latest(block: DecodedBlock) -> tuple[int, int, Float64s]:
    """Step and time of the latest row of a block, and the value of each of its columns there."""
    if len(block.steps) == 1:
        return int(block.steps[0]), int(block.times_us[0]), block.values[0]
    step = block.steps.max()
    at_step = np.flatnonzero(block.steps == step)
    times = block.times_us[at_step]
    time_us = times.max()
    rows = at_step[times == time_us]
    if len(rows) == 1:
        return int(step), int(time_us), block.values[rows[0]]
    candidates = block.values[rows]
    ranked = _nan_as_0(candidates)
    best = np.argmax(np.where(ranked == ranked.max(axis=0), _bits(candidates), 0), axis=0)
    return int(step), int(time_us), candidates[best, np.arange(candidates.shape[1])]


@dataclass(slots=True)
class _Cached:
    table: LatestTable
    follower: LogFollower
    loaded: bool = False
    unsaved_bytes: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def nbytes(self) -> int:
        return BYTES_PER_RUN + len(self.table) * BYTES_PER_KEY


class LatestReader:
    """Answers what the latest values of runs are, every acknowledged point counted."""

    def __init__(self, log: SegmentedLog, store: TrackingStore) -> None:
        self._log = log
        self._store = store
        self._cache: ByteBoundedCache[_Cached] = ByteBoundedCache(CACHE_BYTES_MAX)

    async def of_run(self, run: Run, keys: Collection[str] = (), prefix: str = "") -> list[tuple[str, LatestValue]]:
        """Names and latest values of the metrics `keys` (empty: of all) that start with `prefix`, in order of names."""
        async with self._caught_up(run) as table:
            return await in_thread(table.select, keys, prefix)

    async def of_runs(self, runs: Sequence[Run]) -> list[list[tuple[str, LatestValue]]]:
        """Of each of some runs all names and latest values. What they gained is asked for all of them together."""
        heads = await self._log.heads_of([run.log_key for run in runs])

        async def of_run(run: Run) -> list[tuple[str, LatestValue]]:
            async with self._caught_up(run, heads[run.log_key]) as table:
                # Of few metrics it is done sooner than a thread is asked.
                return table.select() if len(table) <= METRICS_INLINE_MAX else await in_thread(table.select)

        return await asyncio.gather(*(of_run(run) for run in runs))

    async def names(self, run: Run, prefix: str = "") -> list[str]:
        """The metrics of a run that start with `prefix`, in no order."""
        async with self._caught_up(run) as table:
            return [name for name in table.names if name.startswith(prefix)]

    async def latest(self, project: str, run_id: str) -> Mapping[str, LatestValue]:
        """The latest value of every metric of a run, by key. Raises `RunNotFound`."""
        stored = await self._store.run(project, run_id)
        return dict(await self.of_run(stored.value))

    @asynccontextmanager
    async def _caught_up(self, run: Run, heads: Sequence[WriterHead] | None = None) -> AsyncGenerator[LatestTable]:
        """The table of a run, which stands still meanwhile. `heads` is where its writers stand, if that was just read."""
        name = run.log_key.hex()
        cached = self._cache.get(name)
        if cached is None:
            cached = _Cached(LatestTable(), LogFollower(self._log, run.log_key))
            self._cache.put(name, cached)
        try:
            async with cached.lock:
                if not cached.loaded:
                    await self._load(run, cached)
                async for piece in cached.follower.advance(heads):
                    # Whoever is cancelled here has taken the piece: the follower is past it.
                    cached.unsaved_bytes += sum(batch.content_bytes for batch in piece)
                    await in_thread(cached.table.take_all, piece)
                if cached.unsaved_bytes > SNAPSHOT_AFTER_BYTES:
                    await self._save(run, cached)
                yield cached.table
        finally:
            self._cache.put(name, cached)  # weighed anew

    async def _load(self, run: Run, cached: _Cached) -> None:
        snapshot = await self._store.latest_snapshot(run.project, run.run_id)
        segments = await self._log.open(run.log_key)
        if snapshot is not None and snapshot.body["log_key"] == run.log_key:
            seen = dict(snapshot.body["watermarks"])
            if all(seen.get(writer_key, 0) >= sequence for writer_key, sequence in segments.watermarks.items()):
                cached.table = LatestTable.unpacked(snapshot.body["table"])
                cached.follower = LogFollower(self._log, run.log_key, seen)
                cached.loaded = True
                return
        # What is in segments was worked out when they were made.
        table = LatestTable()
        for segment in segments.segments:
            await in_thread(table.take_columns, segment.directory.keys, segment.directory.latest)
        cached.table = table
        cached.follower = LogFollower(self._log, run.log_key, segments.watermarks)
        cached.loaded = True

    async def _save(self, run: Run, cached: _Cached) -> None:
        cached.unsaved_bytes = 0
        watermarks = [[writer, sequence] for writer, sequence in cached.follower.watermarks.items()]
        if len(cached.table) * 80 + len(watermarks) * 30 > SNAPSHOT_BYTES_MAX:
            return
        body = {"log_key": run.log_key, "watermarks": watermarks, "table": cached.table.packed()}
        kept = await self._store.latest_snapshot(run.project, run.run_id)
        await self._store.keep_latest_snapshot(run.project, run.run_id, body, kept.version if kept else 0)
