"""The runs of a project as columns, brought up to date before each search. Owns what is in memory and how it follows.

Before it answers, a search takes over every run document written and every metric log that grew since the one before.
Both feeds skip nothing that was acknowledged, so a search sees every acknowledged write, on any replica.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from penstock_kit import paging
from penstock_kit.paging import PageTokenInvalid
from penstock_kit.search import (
    ATTRIBUTES,
    And,
    ByteBoundedCache,
    ColumnType,
    Comparison,
    Expression,
    Field,
    Membership,
    Operator,
    OrderTerm,
    Position,
    PositionInvalid,
    Table,
    find,
    parse_filter,
    parse_order,
)
from penstock_kit.stores.documents import Change, DocumentStore
from penstock_kit.stores.metric_log import MetricLog
from penstock_tracking.domain import LifecycleStage
from penstock_tracking.errors import RunNotFound
from penstock_tracking.search.fields import METRICS, RUN_SCHEMA, metric_cells, record_cells
from penstock_tracking.series.latest import LatestValue
from penstock_tracking.store import RUNS, run_from_document
from penstock_tracking.threads import in_thread

__all__ = ["INDEX_BYTES_MAX", "LatestSource", "RunIndex", "RunPage", "RunQuery"]

INDEX_BYTES_MAX: Final = 256_000_000  # of all projects in memory together; the one searched last may be larger
LATEST_AT_ONCE: Final = 32  # runs whose latest values are read at the same time
DEAD_ROWS_MAX: Final = 1_000  # beyond as many as live ones; then the project is read anew

_LIFECYCLE = Field(ATTRIBUTES, "lifecycle_stage", ColumnType.VALUE)
_EXPERIMENT = Field(ATTRIBUTES, "experiment", ColumnType.VALUE)
_DEFAULT_ORDER = (OrderTerm(Field(ATTRIBUTES, "start_time", ColumnType.TIME), descending=True),)


class LatestSource(Protocol):
    """Where the latest values of runs come from."""

    async def latest(self, project: str, run_id: str) -> Mapping[str, LatestValue]:
        """The latest value of every metric of a run, by key, every acknowledged point counted. Raises `RunNotFound`."""
        ...


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What is searched for.

    Attributes:
        project: The project's id.
        filter: Which runs; empty means all.
        order_by: The order; empty means `start_time desc`. Ties go by run id.
        experiment_ids: Only runs of these; empty means of all.
        show_deleted: Whether runs in the bin are found too.
        page_size: At most this many, at least 1.
        page_token: From the page before, of an otherwise equal query; empty for the first page.
    """

    project: str
    filter: str = ""
    order_by: str = ""
    experiment_ids: tuple[str, ...] = ()
    show_deleted: bool = False
    page_size: int = 100
    page_token: str = ""

    def fingerprint(self) -> str:
        """Text that is equal for the queries among which a page token is good."""
        return json.dumps(
            ["runs", self.project, self.filter, self.order_by, sorted(self.experiment_ids), self.show_deleted]
        )


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the answer: run ids in order, how many match on all pages, the token of the next page or empty."""

    run_ids: Sequence[str]
    total: int
    next_page_token: str


@dataclass(slots=True)
class _ProjectRuns:
    """The runs of one project, as of `revision` of their documents and `log_cursor` of the metric log.

    Attributes:
        stale: Runs whose latest values must be read before the next answer.
        lock: Held by the one search that reads or writes the rest.
    """

    table: Table
    log_cursor: bytes
    revision: int = 0
    stale: set[str] = field(default_factory=set)
    log_keys: dict[str, bytes] = field(default_factory=dict)
    run_ids: dict[bytes, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def nbytes(self) -> int:
        return self.table.nbytes + 300 * len(self.log_keys)

    def take(self, changes: Sequence[Change]) -> None:
        """Takes over changed documents."""
        for change in changes:
            if change.document is None:
                self.table.remove(change.id)
                self.run_ids.pop(self.log_keys.pop(change.id, b""), None)
                self.stale.discard(change.id)
                continue
            run = run_from_document(change.document)
            for collection, cells in record_cells(run).items():
                self.table.put(run.run_id, collection, cells)
            if self.log_keys.get(run.run_id) != run.log_key:
                self.run_ids.pop(self.log_keys.get(run.run_id, b""), None)
                self.log_keys[run.run_id] = run.log_key
                self.run_ids[run.log_key] = run.run_id
                # Its log may have grown before this index knew whose it is.
                self.stale.add(run.run_id)

    def take_latest(self, read: Sequence[tuple[str, Mapping[str, LatestValue] | None]]) -> None:
        """Takes over latest values; None for a run that is no longer there."""
        for run_id, latest in read:
            if latest is not None:
                self.table.put(run_id, METRICS, metric_cells(latest))
            self.stale.discard(run_id)


class RunIndex:
    """Answers searches over runs.

    Args:
        documents: Where the run documents are.
        metric_log: Whose growth tells that latest values changed.
        latest: Reads latest values.
        bytes_max: Bound of the memory for all projects together.
    """

    def __init__(
        self, documents: DocumentStore, metric_log: MetricLog, latest: LatestSource, *, bytes_max: int = INDEX_BYTES_MAX
    ) -> None:
        self._documents = documents
        self._metric_log = metric_log
        self._latest = latest
        self._projects: ByteBoundedCache[_ProjectRuns] = ByteBoundedCache(bytes_max)
        # Some cursor reached before. A project read anew starts there: it reads all its latest values anyway.
        self._log_cursor = b""

    async def search(self, query: RunQuery) -> RunPage:
        """Returns a page of the runs that match. It sees every write acknowledged before the call.

        Raises:
            FilterInvalid: The filter cannot be understood.
            OrderInvalid: The order cannot be understood.
            PageTokenInvalid: The token is not of this query.
        """
        expression = _expression(query)
        order = parse_order(query.order_by, RUN_SCHEMA) if query.order_by.strip() else _DEFAULT_ORDER
        after = _position(query, order)
        runs = self._projects.get(query.project)
        if runs is None:
            runs = _ProjectRuns(Table(RUN_SCHEMA), self._log_cursor)
            self._projects.put(query.project, runs)
        async with runs.lock:
            await self._catch_up(query.project, runs)
            found = await in_thread(find, runs.table, expression, order, limit=query.page_size, after=after)
            if runs.table.row_count > 2 * len(runs.table) + DEAD_ROWS_MAX:
                self._projects.drop(query.project)
            else:
                self._projects.put(query.project, runs)
        token = paging.seal(query.fingerprint(), found.next.state()) if found.next else ""
        return RunPage(found.ids, found.total, token)

    async def _catch_up(self, project: str, runs: _ProjectRuns) -> None:
        more = True
        while more:
            page = await self._documents.changes(RUNS, project, since=runs.revision)
            changes = page.changes
            if changes:
                await in_thread(runs.take, changes)
            runs.revision, more = page.revision, page.more
        more = True
        while more:
            grown = await self._metric_log.changes(runs.log_cursor)
            # Runs of other projects are unknown here. So is a run whose document is yet to come: it will be read then.
            runs.stale.update(
                run_id for change in grown.changes if (run_id := runs.run_ids.get(change.run_key)) is not None
            )
            runs.log_cursor, more = grown.cursor, grown.more
        self._log_cursor = runs.log_cursor
        stale = sorted(runs.stale)
        for first in range(0, len(stale), LATEST_AT_ONCE):
            run_ids = stale[first : first + LATEST_AT_ONCE]
            read = await asyncio.gather(*(self._read_latest(project, run_id) for run_id in run_ids))
            await in_thread(runs.take_latest, list(zip(run_ids, read, strict=True)))

    async def _read_latest(self, project: str, run_id: str) -> Mapping[str, LatestValue] | None:
        try:
            return await self._latest.latest(project, run_id)
        except RunNotFound:
            return None  # removed since: the next change of its document says so


def _expression(query: RunQuery) -> Expression | None:
    clauses: list[Expression] = []
    if query.filter.strip():
        clauses.append(parse_filter(query.filter, RUN_SCHEMA))
    if query.experiment_ids:
        clauses.append(Membership(_EXPERIMENT, query.experiment_ids))
    if not query.show_deleted:
        clauses.append(Comparison(_LIFECYCLE, Operator.EQ, LifecycleStage.ACTIVE.name))
    if len(clauses) > 1:
        return And(tuple(clauses))
    return clauses[0] if clauses else None


def _position(query: RunQuery, order: Sequence[OrderTerm]) -> Position | None:
    if not query.page_token:
        return None
    try:
        return Position.from_state(paging.open(query.page_token, query.fingerprint()), len(order))
    except PositionInvalid:
        raise PageTokenInvalid("The page token is not one that this server gave out.") from None
