"""Points of a run gathered from batches into columns, in memory.

Blocks that share their writer's rank and their keys grow one table: rows of a wide `log()` become a matrix, so reading a
series is a few slices however the run was logged.

Points are taken in one thread at a time and may be read in others meanwhile: what was taken never changes or moves, and the
count of rows grows last.
"""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from penstock_tracking.ingest.codec import Float64s, Int64s
from penstock_tracking.segments.batches import DecodedBatch
from penstock_tracking.series.points import Points, merged

__all__ = ["RunColumns"]

BYTES_PER_RUN: Final = 4_000
BYTES_PER_TABLE: Final = 1_000


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
        # The list of keys is kept with its target: while it lives nothing else has its identity.
        self._targets: dict[
            tuple[int, int, tuple[int, ...]], tuple[list[str], tuple[_Table | None, list[int] | None]]
        ] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of memory it holds, nearly."""
        return BYTES_PER_RUN + sum(table.nbytes for table in self._tables.values())

    @property
    def keys(self) -> list[str]:
        """The metrics, in order."""
        return sorted(self._tables_of)

    def take(self, batch: DecodedBatch) -> None:
        """Takes the points of a batch."""
        for block in batch.blocks:
            table, columns = self._target(batch, block.key_ids)
            if table is not None:
                values = block.values if columns is None else block.values[:, columns]
                table.append(block.steps, block.times_us, values)

    def take_all(self, batches: Sequence[DecodedBatch]) -> None:
        """Takes the points of batches."""
        for batch in batches:
            self.take(batch)

    def _target(self, batch: DecodedBatch, key_ids: tuple[int, ...]) -> tuple[_Table | None, list[int] | None]:
        """The table for a block, and the columns of the block that go there (None: all)."""
        identity = (batch.rank, id(batch.keys), key_ids)
        known = self._targets.get(identity)
        if known is not None:
            return known[1]
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
        self._targets[identity] = (batch.keys, target)
        return target

    def ranks(self, key: str) -> list[int]:
        """The ranks that logged a metric, in order."""
        return sorted({table.rank for table in self._tables_of.get(key, ())})

    def points(self, key: str, *, rank: int | None = None, first: int | None = None, last: int | None = None) -> Points:
        """The points of a metric, of one rank or of all together, with `first <= step <= last`."""
        parts = self.parts(key, rank)
        return merged([part.within(first, last) for part in parts])

    def parts(self, key: str, rank: int | None = None) -> list[Points]:
        """The points of a metric, of one rank or of all, as they were logged, a part for each table."""
        return [table.column(key) for table in self._tables_of.get(key, ()) if rank is None or table.rank == rank]
