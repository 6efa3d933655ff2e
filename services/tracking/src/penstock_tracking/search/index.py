"""Answers searches over runs from columns in memory, and keeps these for the next start. Owns what is in memory."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from penstock_kit.clock import Clock
from penstock_kit.search.chunks import ChunkDamaged
from penstock_kit.search.kept import KeptColumns, KeptColumnsLost, KeptProjects, Manifest
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.metric_log import MetricLog
from penstock_kit.threads import in_thread
from penstock_tracking.search.project import RUNS_POSITION, RUNS_TABLE, LatestSource, ProjectRuns
from penstock_tracking.search.queries import GroupPage, GroupQuery, Question, RunPage, RunQuery
from penstock_tracking.store import RUNS

__all__ = ["INDEX_BYTES_MAX", "KEEP_AFTER_CHANGES", "RunIndex"]

INDEX_BYTES_MAX: Final = 240_000_000  # of all projects in memory together; the one searched last may be larger
PROJECT_BYTES_MAX: Final = 190_000_000  # of one project: beyond, columns that are kept and not used are unloaded
KEEP_AFTER_CHANGES: Final = 500  # fewer are taken over in a moment by whoever reads what is kept
PAGES_PER_STEP_MAX: Final = 16  # of changes, taken over before what is in memory is kept

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of keeping a project: its runs, how far they are, and whether another step is needed after it."""

    runs: ProjectRuns
    positions: Mapping[str, Any]
    more: bool


class RunIndex:
    """Answers searches over runs.

    Args:
        documents: Where the run documents are, and the manifests of what is kept.
        metric_log: Whose growth tells that latest values changed.
        latest: Reads latest values.
        blobs: Where columns are kept.
        clock: The time.
        bytes_max: Bound of the memory for all projects together.
    """

    def __init__(
        self,
        documents: DocumentStore,
        metric_log: MetricLog,
        latest: LatestSource,
        blobs: BlobStore,
        clock: Clock,
        *,
        bytes_max: int = INDEX_BYTES_MAX,
    ) -> None:
        self._documents = documents
        self._metric_log = metric_log
        self._latest = latest
        self._kept = KeptColumns(documents, blobs, clock)
        self._projects = KeptProjects(self._kept, self._open, bytes_max)
        self._log_cursor = b""  # some cursor reached before

    async def _open(self, project: str) -> ProjectRuns:
        return await ProjectRuns.open(project, self._kept, self._log_cursor)

    async def search(self, query: RunQuery) -> RunPage:
        """Returns a page of the runs that match. It sees every write acknowledged before the call.

        Raises:
            FilterInvalid: The filter cannot be understood.
            FilterTooCostly: Its patterns would be compared with too much text.
            OrderInvalid: The order cannot be understood.
            PageTokenInvalid: The token is not of this query.
        """
        return await self._ask(query.project, query.read)

    async def group(self, query: GroupQuery) -> GroupPage:
        """Returns a page of the groups of the runs that match. It sees every write acknowledged before the call.

        Raises what `search` raises, and `GroupByInvalid`, `AggregateInvalid`.
        """
        return await self._ask(query.project, query.read)

    async def _ask(self, project: str, read: Callable[[], Question[T]]) -> T:
        question = await in_thread(read)  # a long filter takes its time

        async def work(runs: ProjectRuns) -> T:
            await runs.catch_up(self._documents, self._metric_log, self._latest, self._kept)
            await runs.load(self._kept, question.fields)
            return await in_thread(question.answer, runs.table)

        return await self._with_runs(project, work)

    async def _with_runs(self, project: str, work: Callable[[ProjectRuns], Awaitable[T]]) -> T:
        async def trimmed(runs: ProjectRuns) -> T:
            result = await work(runs)
            runs.trim(PROJECT_BYTES_MAX)
            self._log_cursor = runs.log_cursor
            return result

        return await self._projects.use(project, trimmed)

    async def projects(self) -> list[str]:
        """The projects that have runs."""
        return await self._documents.partitions(RUNS)

    async def keep(self, project: str) -> bool:
        """Keeps the columns of a project for the next start, if enough changed. Returns whether it did.

        Any replica may do it, several at once as well: the quickest counts, and the others go on from what it kept.
        """
        kept = await self._kept.manifest(project)
        version = kept.version if kept else 0
        runs = self._projects.get(project)
        changed = len(runs.table.changed) if runs is not None else 0
        if changed < KEEP_AFTER_CHANGES:
            # Revisions count the writes of a project.
            since = (kept.positions[RUNS_POSITION] if kept else 0) + KEEP_AFTER_CHANGES - 1
            if not (await self._documents.changes(RUNS, project, since=since, limit=1)).changes:
                return False
        if runs is not None and version != (runs.manifest.version if runs.manifest else 0):
            self._projects.drop(project)
            return False
        more = True
        while more:
            # In steps, so that a project that was never read does not take memory for all its columns.
            step = await self._with_runs(project, self._caught_up)
            if not await self._keep_step(step):
                return False
            more = step.more
        await self._kept.sweep(project)
        return True

    async def _caught_up(self, runs: ProjectRuns) -> _Step:
        more = await runs.catch_up(
            self._documents, self._metric_log, self._latest, self._kept, pages_max=PAGES_PER_STEP_MAX
        )
        return _Step(runs, runs.positions, more)

    async def _keep_step(self, step: _Step) -> bool:
        runs = step.runs
        async with runs.lock:
            if runs.keeping:
                return False
            runs.keeping = True
            # Later changes may be among them. Who reads them takes them over once more, which changes nothing.
            changed = runs.table.take_changed()
        try:
            published = await self._write_changed(runs, changed, step.positions)
        except (KeptColumnsLost, ChunkDamaged) as error:
            _log.warning("The kept columns of %s are lost and will be made anew: %s", runs.project, error)
            await self._projects.forget(runs.project, runs.manifest)
            return False
        except BaseException:
            runs.table.give_back_changed(changed)
            raise
        finally:
            runs.keeping = False
        if not published:
            self._projects.drop(runs.project)
        return published

    async def _write_changed(self, runs: ProjectRuns, changed: set[int], positions: Mapping[str, Any]) -> bool:
        """Writes the chunks with changed rows, and the manifest. Returns False if somebody else was quicker."""
        before = runs.manifest
        chunks = (before.tables[RUNS_TABLE] if before else (), runs.chunks)
        written = await self._kept.write_table(runs.project, runs.table, runs.lock, chunks, changed, runs.note)
        manifest = Manifest(positions, {RUNS_TABLE: written.kept})
        published = await self._kept.publish(runs.project, manifest, instead_of=before.version if before else 0)
        if published is None:
            return False
        async with runs.lock:
            runs.manifest, runs.chunks = published, written.chunks
            written.settle(runs.table)
            runs.keeping = False
            runs.trim(PROJECT_BYTES_MAX)
        return True
