"""The points of a run, gathered from its log into columns, and kept in memory within a bound.

Blocks that share their writer's rank and their keys grow one table: rows of a wide `log()` become a matrix, so reading a
series is a few slices however the run was logged.

Points are taken in one thread at a time and may be read in others meanwhile: what was taken never changes or moves, and the
count of rows grows last.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from penstock_kit.search import ByteBoundedCache
from penstock_kit.stores.metric_log import MetricLog
from penstock_tracking.domain import Run
from penstock_tracking.ingest.codec import Float64s, Int64s
from penstock_tracking.series.follower import FollowedBatch, LogFollower
from penstock_tracking.threads import in_thread

__all__ = ["CACHE_BYTES_MAX", "ColumnReader", "Points", "RunColumns"]

CACHE_BYTES_MAX: Final = 64_000_000
BYTES_PER_RUN: Final = 4_000
BYTES_PER_TABLE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one metric: `(steps[i], times_us[i], values[i])`, by step, then time, then as logged."""

    steps: Int64s
    times_us: Int64s
    values: Float64s

    def __len__(self) -> int:
        return len(self.steps)


_NO_POINTS: Final = Points(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))


class _Table:
    """Rows of one rank with the same keys. Grows by doubling."""

    def __init__(self, rank: int, names: tuple[str, ...]) -> None:
        self.rank = rank
        self.names = names
        self.rows = 0
        self._steps = np.empty(0, np.int64)
        self._times = np.empty(0, np.int64)
        self._values = np.empty((0, len(names)), np.float64)

    @property
    def nbytes(self) -> int:
        return self._steps.nbytes + self._times.nbytes + self._values.nbytes + BYTES_PER_TABLE

    def append(self, steps: Int64s, times_us: Int64s, values: Float64s) -> None:
        end = self.rows + len(steps)
        if end > len(self._steps):
            capacity = max(end, 2 * len(self._steps))
            self._steps = np.resize(self._steps, capacity)
            self._times = np.resize(self._times, capacity)
            grown = np.empty((capacity, len(self.names)), np.float64)
            grown[: self.rows] = self._values[: self.rows]
            self._values = grown
        self._steps[self.rows : end] = steps
        self._times[self.rows : end] = times_us
        self._values[self.rows : end] = values
        self.rows = end

    def column(self, name: str) -> Points:
        place = self.names.index(name)
        rows = self.rows
        return Points(self._steps[:rows], self._times[:rows], self._values[:rows, place])


class RunColumns:
    """The points of one run.

    Args:
        wanted: Keep only these metrics; None keeps all.
    """

    def __init__(self, wanted: Collection[str] | None = None) -> None:
        self._wanted = None if wanted is None else frozenset(wanted)
        self._tables: dict[tuple[int, tuple[str, ...]], _Table] = {}
        self._tables_of: dict[str, list[_Table]] = {}
        self._targets: dict[tuple[int, int, tuple[int, ...]], tuple[_Table | None, list[int] | None]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of memory it holds, nearly."""
        return BYTES_PER_RUN + sum(table.nbytes for table in self._tables.values())

    @property
    def keys(self) -> list[str]:
        """The metrics, in order."""
        return sorted(self._tables_of)

    def take(self, batch: FollowedBatch) -> None:
        """Takes the points of a batch."""
        for block in batch.blocks:
            table, columns = self._target(batch, block.key_ids)
            if table is not None:
                values = block.values if columns is None else block.values[:, columns]
                table.append(block.steps, block.times_us, values)

    def take_all(self, batches: Sequence[FollowedBatch]) -> None:
        """Takes the points of batches."""
        for batch in batches:
            self.take(batch)

    def _target(self, batch: FollowedBatch, key_ids: tuple[int, ...]) -> tuple[_Table | None, list[int] | None]:
        """The table for a block, and the columns of the block that go there (None: all)."""
        identity = (batch.rank, id(batch.keys), key_ids)
        known = self._targets.get(identity)
        if known is not None:
            return known
        names = [batch.keys[key_id] for key_id in key_ids]
        columns: list[int] | None = None
        if self._wanted is not None:
            columns = [column for column, name in enumerate(names) if name in self._wanted]
            names = [names[column] for column in columns]
        target: tuple[_Table | None, list[int] | None] = (None, None)
        if names:
            table_key = (batch.rank, tuple(names))
            table = self._tables.get(table_key)
            if table is None:
                table = self._tables[table_key] = _Table(*table_key)
                for name in names:
                    self._tables_of.setdefault(name, []).append(table)
            target = (table, columns)
        if len(self._targets) > 10_000:
            self._targets.clear()
        self._targets[identity] = target
        return target

    def ranks(self, key: str) -> list[int]:
        """The ranks that logged a metric, in order."""
        return sorted({table.rank for table in self._tables_of.get(key, ())})

    def points(self, key: str, *, rank: int | None = None, first: int | None = None, last: int | None = None) -> Points:
        """The points of a metric, of one rank or of all together, with `first <= step <= last`."""
        parts = [table.column(key) for table in self._tables_of.get(key, ()) if rank is None or table.rank == rank]
        if not parts:
            return _NO_POINTS
        if len(parts) == 1:
            steps, times, values = parts[0].steps, parts[0].times_us, parts[0].values
        else:
            steps = np.concatenate([part.steps for part in parts])
            times = np.concatenate([part.times_us for part in parts])
            values = np.concatenate([part.values for part in parts])
        if first is not None or last is not None:
            kept = np.ones(len(steps), np.bool_)
            if first is not None:
                kept &= steps >= first
            if last is not None:
                kept &= steps <= last
            steps, times, values = steps[kept], times[kept], values[kept]
        if len(steps) > 1 and not _in_order(steps, times):
            order = np.lexsort((times, steps))  # stable: equal steps and times stay as logged
            steps, times, values = steps[order], times[order], values[order]
        return Points(steps, times, np.ascontiguousarray(values))


def _in_order(steps: Int64s, times: Int64s) -> bool:
    later_step = steps[1:] > steps[:-1]
    return bool(np.all(later_step | ((steps[1:] == steps[:-1]) & (times[1:] >= times[:-1]))))


@dataclass(frozen=True, slots=True)
class _Cached:
    columns: RunColumns
    follower: LogFollower
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def nbytes(self) -> int:
        return self.columns.nbytes

    async def catch_up(self) -> None:
        async with self.lock:
            async for piece in self.follower.advance():
                # Whoever is cancelled here has taken the piece: the follower is past it.
                await in_thread(self.columns.take_all, piece)


class ColumnReader:
    """Gives the columns of runs, every acknowledged point in them."""

    def __init__(self, log: MetricLog) -> None:
        self._log = log
        self._cache: ByteBoundedCache[_Cached] = ByteBoundedCache(CACHE_BYTES_MAX)

    async def columns(self, run: Run, keys: Collection[str] | None = None) -> RunColumns:
        """The points of a run.

        They are kept for the next call while all kept runs fit into `CACHE_BYTES_MAX`. A run that does not fit is read
        anew each time, and only `keys` of it (None: all).
        """
        heads = await self._log.heads(run.log_key)
        durable_points = sum(head.durable_points for head in heads)
        if durable_points * 10 > CACHE_BYTES_MAX:  # 8 bytes a value, and its share of step and time
            apart = _Cached(RunColumns(keys), LogFollower(self._log, run.log_key))
            await apart.catch_up()
            return apart.columns
        name = run.log_key.hex()
        cached = self._cache.get(name)
        if cached is None:
            cached = _Cached(RunColumns(), LogFollower(self._log, run.log_key))
            self._cache.put(name, cached)
        try:
            await cached.catch_up()
        finally:
            self._cache.put(name, cached)  # weighed anew
        return cached.columns
