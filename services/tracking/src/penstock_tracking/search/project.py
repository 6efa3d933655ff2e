"""The runs of one project in memory, and how they follow what is written: run documents, experiments, the metric log.

The feeds skip nothing that was acknowledged, so whoever follows them before an answer sees every acknowledged write.
"""

import asyncio
import gc
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from penstock_kit.search import ATTRIBUTES, ColumnType, Field, Operator, Table
from penstock_kit.search.chunks import Chunk, ChunkRows, ColumnKey, load_rows
from penstock_kit.search.kept import KeptColumns, Manifest
from penstock_kit.search.value_columns import ValueColumn
from penstock_kit.stores.documents import Change, DocumentStore
from penstock_kit.stores.metric_log import MetricLog
from penstock_kit.threads import in_thread
from penstock_tracking.errors import RunNotFound
from penstock_tracking.search.fields import EXPERIMENT, METRICS, RUN_SCHEMA, metric_cells, record_cells
from penstock_tracking.series.latest import LatestValue
from penstock_tracking.store import EXPERIMENTS, RUNS, run_from_document

__all__ = ["RUNS_POSITION", "RUNS_TABLE", "LatestSource", "ProjectRuns"]

# In the manifest of what is kept.
RUNS_TABLE: Final = "runs"
RUNS_POSITION: Final = "runs"
EXPERIMENTS_POSITION: Final = "experiments"
LOG_POSITION: Final = "log"

LATEST_AT_ONCE: Final = 4  # runs whose latest values are read at the same time: acknowledgements need threads too
LOG_KEY_BYTES: Final = 16
DEAD_ROWS_MAX: Final = 1_000  # beyond as many as live ones; then the project is read anew
SPARED_ANEW: Final = 100  # after as many loads all memory is given to the garbage collector once


_spared = itertools.count(1)


def _spare_from_collection() -> None:
    """Has the garbage collector leave alone what is in memory now, once it has collected.

    Columns hold long lists of strings. The collector would walk through all of them again and again, 75 ms each time with
    100,000 runs, while every other call waits. What was spared before may be garbage by now, in cycles: now and then it is
    walked through too.
    """
    if next(_spared) % SPARED_ANEW == 0:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


class LatestSource(Protocol):
    """Where the latest values of runs come from."""

    async def latest(self, project: str, run_id: str) -> Mapping[str, LatestValue]:
        """The latest value of every metric of a run, by key, every acknowledged point counted. Raises `RunNotFound`."""
        ...


@dataclass(slots=True)
class ProjectRuns:
    """The runs of one project, as of `revision` of their documents and `log_cursor` of the metric log.

    Attributes:
        table: The runs, whose columns are loaded from `manifest` when they are needed.
        manifest: What is kept of it, None if nothing is.
        chunks: Where the columns are in what is kept.
        stale: Runs whose latest values must be read before the next answer.
        experiment_names: By experiment id, as of `experiments_revision`.
        names_revision: Up to this revision of the experiments their names are in the table.
        used: When each column was used last, by the count `uses`.
        lock: Held by the one who reads or writes the rest.
        keeping: Whether somebody is writing chunks: until the manifest is there, what is kept is not what was changed since.
    """

    project: str
    table: Table
    log_cursor: bytes
    revision: int = 0
    manifest: Manifest | None = None
    chunks: Sequence[Chunk] = ()
    stale: set[str] = field(default_factory=set)
    log_keys: dict[str, bytes] = field(default_factory=dict)
    run_ids: dict[bytes, str] = field(default_factory=dict)
    experiments_revision: int = 0
    experiment_names: dict[str, str] = field(default_factory=dict)
    names_revision: int = 0
    used: dict[ColumnKey, int] = field(default_factory=dict)
    uses: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keeping: bool = False

    @classmethod
    async def open(cls, project: str, kept: KeptColumns, log_cursor: bytes) -> "ProjectRuns":
        """The runs as they are kept; none, and to be read from the beginning, where nothing is. Raises `KeptColumnsLost`.

        Args:
            project: The project.
            kept: What is kept.
            log_cursor: Some cursor reached before. Without anything kept, all latest values are read anyway.
        """
        manifest = await kept.manifest(project)
        if manifest is None:
            return cls(project, Table(RUN_SCHEMA), log_cursor)
        read = await kept.chunks(manifest.tables[RUNS_TABLE])
        chunks = [chunk for chunk, _ in read]
        at = manifest.positions
        runs = cls(project, Table(RUN_SCHEMA), at[LOG_POSITION], at[RUNS_POSITION], manifest, chunks)
        runs.names_revision = at[EXPERIMENTS_POSITION]
        await in_thread(runs._take_chunks, read)
        await in_thread(_spare_from_collection)
        return runs

    @property
    def worn(self) -> bool:
        """Whether so many rows are dead that it is better read anew."""
        return self.table.row_count > 2 * len(self.table) + DEAD_ROWS_MAX

    @property
    def positions(self) -> dict[str, Any]:
        """How far it is in each feed, for the manifest of what is kept."""
        return {
            RUNS_POSITION: self.revision,
            EXPERIMENTS_POSITION: self.names_revision,
            LOG_POSITION: self.log_cursor,
        }

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        return self.table.nbytes + 300 * len(self.log_keys) + sum(chunk.nbytes for chunk in self.chunks)

    async def catch_up(
        self,
        documents: DocumentStore,
        metric_log: MetricLog,
        latest: LatestSource,
        kept: KeptColumns,
        pages_max: int = sys.maxsize,
    ) -> bool:
        """Takes over everything that was acknowledged before the call, or as many pages of it as are allowed.

        Returns whether there is more. Raises `KeptColumnsLost`.
        """
        more = True
        while more and pages_max:
            pages_max -= 1
            experiments, runs, grown = await asyncio.gather(
                documents.changes(EXPERIMENTS, self.project, since=self.experiments_revision),
                documents.changes(RUNS, self.project, since=self.revision),
                metric_log.changes(self.log_cursor),
            )
            if experiments.changes:
                await self.load(kept, [EXPERIMENT])
                await in_thread(self._take_experiments, experiments.changes)
            self.experiments_revision = experiments.revision
            if runs.changes:
                await in_thread(self._take_runs, runs.changes)
            self.revision = runs.revision
            # Runs of other projects are unknown here. So is a run whose document is yet to come: it will be read then.
            self.stale.update(
                run_id for change in grown.changes if (run_id := self.run_ids.get(change.run_key)) is not None
            )
            self.log_cursor = grown.cursor
            more = experiments.more or runs.more or grown.more
        stale = sorted(self.stale)
        for first in range(0, len(stale), LATEST_AT_ONCE):
            run_ids = stale[first : first + LATEST_AT_ONCE]
            read = await asyncio.gather(*(self._read_latest(latest, run_id) for run_id in run_ids))
            await in_thread(self._take_latest, list(zip(run_ids, read, strict=True)))
        return more

    async def load(self, kept: KeptColumns, fields: Iterable[Field]) -> None:
        """Makes the columns of fields ready to be read. Raises `KeptColumnsLost`."""
        missing: list[ColumnKey] = []
        for key in (key for wanted in fields for key in self._columns_of(wanted)):
            column = self.table.columns.get(key)
            if column is None:
                continue
            self.uses += 1
            self.used[key] = self.uses
            if not column.loaded and key not in missing:
                missing.append(key)
        if missing and self.manifest is not None:
            pieces = await kept.pieces(self.manifest.tables[RUNS_TABLE], self.chunks, missing)
            await in_thread(lambda: [self.table.columns[key].load(pieces.get(key, [])) for key in missing])
            await in_thread(_spare_from_collection)

    def _columns_of(self, field: Field) -> list[ColumnKey]:
        if field.type is ColumnType.KEYS:
            return [(field.collection, key) for key in self.table.keys_of(field.collection)]
        return [(field.collection, field.key)]

    def note(self, first: int, end: int) -> bytes:
        """What goes into a chunk beside the table: of each run its log key, and 1 if its latest values must be read yet.

        Zeros for a run that was removed.
        """
        blank = bytes(LOG_KEY_BYTES)
        return b"".join(
            self.log_keys.get(run_id, blank) + (b"\1" if run_id in self.stale else b"\0")
            for run_id in self.table.ids(first, end)
        )

    def trim(self, bytes_max: int) -> None:
        """Unloads kept columns, those used least recently first, until the rest takes no more than some bytes."""
        if self.manifest is None or self.keeping:
            return
        over = self.nbytes - bytes_max
        for key in sorted(self.table.columns, key=lambda key: self.used.get(key, 0)):
            column = self.table.columns[key]
            if over <= 0:
                return
            if column.loaded:
                over -= column.nbytes
                self.table.unload(*key)

    def _take_chunks(self, chunks: Sequence[tuple[Chunk, ChunkRows]]) -> None:
        load_rows(self.table, chunks)
        for _, rows in chunks:
            for place in np.flatnonzero(rows.live).tolist():
                run_id, start = rows.ids[place], place * (LOG_KEY_BYTES + 1)
                log_key = rows.note[start : start + LOG_KEY_BYTES]
                self.log_keys[run_id] = log_key
                self.run_ids[log_key] = run_id
                if rows.note[start + LOG_KEY_BYTES]:
                    self.stale.add(run_id)

    def _take_experiments(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.document is None:
                continue
            name = self.experiment_names[change.id] = change.document.body["display_name"]
            column = self.table.column(EXPERIMENT)
            if change.revision > self.names_revision and isinstance(column, ValueColumn):
                rows = column.rows[column.compare(Operator.EQ, change.id)]
                self.table.write(rows.tolist(), ATTRIBUTES, "experiment_name", name)
        self.names_revision = max(self.names_revision, changes[-1].revision)

    def _take_runs(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.document is None:
                self.table.remove(change.id)
                self.run_ids.pop(self.log_keys.pop(change.id, b""), None)
                self.stale.discard(change.id)
                continue
            run = run_from_document(change.document)
            for collection, cells in record_cells(run, self.experiment_names.get(run.experiment_id)).items():
                self.table.put(run.run_id, collection, cells)
            if self.log_keys.get(run.run_id) != run.log_key:
                self.run_ids.pop(self.log_keys.get(run.run_id, b""), None)
                self.log_keys[run.run_id] = run.log_key
                self.run_ids[run.log_key] = run.run_id
                # Its log may have grown before this index knew whose it is.
                self.stale.add(run.run_id)

    def _take_latest(self, read: Sequence[tuple[str, Mapping[str, LatestValue] | None]]) -> None:
        """Takes over latest values; None for a run that is no longer there."""
        for run_id, latest in read:
            if latest is not None:
                self.table.put(run_id, METRICS, metric_cells(latest))
            self.stale.discard(run_id)

    async def _read_latest(self, latest: LatestSource, run_id: str) -> Mapping[str, LatestValue] | None:
        try:
            return await latest.latest(self.project, run_id)
        except RunNotFound:
            return None  # removed since: the next change of its document says so
