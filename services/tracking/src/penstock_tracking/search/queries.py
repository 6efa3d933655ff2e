"""What may be asked of the runs of a project, and what the answers hold. Reads queries, and answers them from a table."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from penstock_kit import paging
from penstock_kit.paging import PageTokenInvalid
from penstock_kit.search import (
    ATTRIBUTES,
    Aggregate,
    And,
    ColumnType,
    Comparison,
    Expression,
    Field,
    Group,
    GroupPosition,
    Membership,
    Operator,
    OrderTerm,
    Position,
    PositionInvalid,
    Table,
    fields_of,
    find,
    group,
    parse_aggregate,
    parse_filter,
    parse_group_by,
    parse_group_order,
    parse_order,
)
from penstock_tracking.domain import LifecycleStage
from penstock_tracking.search.fields import EXPERIMENT, METRICS, RUN_SCHEMA, latest_of_cell
from penstock_tracking.series.latest import LatestValue

__all__ = ["GroupPage", "GroupQuery", "Question", "RunPage", "RunQuery", "position_in"]

_LIFECYCLE: Final = Field(ATTRIBUTES, "lifecycle_stage", ColumnType.VALUE)
_DEFAULT_ORDER: Final = (OrderTerm(Field(ATTRIBUTES, "start_time", ColumnType.TIME), descending=True),)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A query that was read and found right.

    Attributes:
        fields: The fields whose columns the answer needs.
        answer: Answers it from the runs of the project.
    """

    fields: frozenset[Field]
    answer: Callable[[Table], T]


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of the runs that match.

    Attributes:
        run_ids: In order.
        total: How many match, on all pages.
        next_page_token: Empty on the last page.
        latest: By run id, the latest values that were wanted, in order of their keys.
    """

    run_ids: Sequence[str]
    total: int
    next_page_token: str
    latest: Mapping[str, Sequence[tuple[str, LatestValue]]]


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs are searched for.

    Attributes:
        project: The project's id.
        filter: Which runs; empty means all.
        order_by: The order; empty means `start_time desc`. Ties go by run id.
        experiment_ids: Only runs of these; empty means of all.
        show_deleted: Whether runs in the bin are found too.
        page_size: At most this many, at least 1.
        page_token: From the page before, of an otherwise equal query; empty for the first page.
        metric_keys: The metrics whose latest values are wanted of the runs found.
    """

    project: str
    filter: str = ""
    order_by: str = ""
    experiment_ids: tuple[str, ...] = ()
    show_deleted: bool = False
    page_size: int = 100
    page_token: str = ""
    metric_keys: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Text that is equal for the queries among which a page token is good."""
        return json.dumps(
            ["runs", self.project, self.filter, self.order_by, sorted(self.experiment_ids), self.show_deleted]
        )

    def read(self) -> Question[RunPage]:
        """Reads the query. Raises `FilterInvalid`, `OrderInvalid`, `PageTokenInvalid`."""
        condition = _condition(self.filter, self.experiment_ids, show_deleted=self.show_deleted)
        order = parse_order(self.order_by, RUN_SCHEMA) if self.order_by.strip() else _DEFAULT_ORDER
        after = position_in(self.page_token, self.fingerprint(), lambda state: Position.from_state(state, len(order)))
        metrics = [Field(METRICS, key, ColumnType.METRIC, "last") for key in sorted(set(self.metric_keys))]

        def answer(table: Table) -> RunPage:
            found = find(table, condition, order, limit=self.page_size, after=after)
            token = paging.seal(self.fingerprint(), found.next.state()) if found.next else ""
            return RunPage(found.ids, found.total, token, _latest_of(table, found.ids, metrics))

        return Question(frozenset([*_fields_of(condition), *metrics, *(term.field for term in order)]), answer)


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some of the groups.

    Attributes:
        groups: In order.
        total: How many groups there are, on all pages.
        total_runs: How many runs are in them.
        next_page_token: Empty on the last page.
    """

    groups: Sequence[Group]
    total: int
    total_runs: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class GroupQuery:
    """Which runs are grouped, and how.

    Attributes:
        project: The project's id.
        group_by: What the runs of a group share; empty means that all are one group.
        aggregates: What is worked out of each group.
        filter: Which runs; empty means all.
        order_by: The order; empty means that of the fields of `group_by`, which also decide between ties.
        experiment_ids: Only runs of these; empty means of all.
        show_deleted: Whether runs in the bin count too.
        page_size: At most this many groups, at least 1.
        page_token: From the page before, of an otherwise equal query; empty for the first page.
    """

    project: str
    group_by: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()
    filter: str = ""
    order_by: str = ""
    experiment_ids: tuple[str, ...] = ()
    show_deleted: bool = False
    page_size: int = 100
    page_token: str = ""

    def fingerprint(self) -> str:
        """Text that is equal for the queries among which a page token is good."""
        experiment_ids = sorted(self.experiment_ids)
        return json.dumps(
            ["groups", self.project, self.group_by, self.filter, self.order_by, experiment_ids, self.show_deleted]
        )

    def read(self) -> Question[GroupPage]:
        """Reads the query.

        Raises `FilterInvalid`, `GroupByInvalid`, `AggregateInvalid`, `OrderInvalid`, `PageTokenInvalid`.
        """
        condition = _condition(self.filter, self.experiment_ids, show_deleted=self.show_deleted)
        by = [parse_group_by(text, RUN_SCHEMA) for text in self.group_by]
        aggregates = [parse_aggregate(text, RUN_SCHEMA) for text in self.aggregates]
        order = parse_group_order(self.order_by, RUN_SCHEMA, by) if self.order_by.strip() else ()
        ordering = [term.key for term in order if isinstance(term.key, Aggregate)]
        after = position_in(
            self.page_token,
            self.fingerprint(),
            lambda state: GroupPosition.from_state(state, aggregates=len(ordering), keys=len(by)),
        )

        def answer(table: Table) -> GroupPage:
            found = group(table, condition, by, aggregates, order, limit=self.page_size, after=after)
            token = paging.seal(self.fingerprint(), found.next.state()) if found.next else ""
            return GroupPage(found.groups, found.total_groups, found.total_rows, token)

        measured = [aggregate.field for aggregate in [*aggregates, *ordering] if aggregate.field is not None]
        return Question(frozenset([*_fields_of(condition), *by, *measured]), answer)


def _condition(filter_text: str, experiment_ids: tuple[str, ...], *, show_deleted: bool) -> Expression | None:
    """What a run has to meet, None if all are meant. Raises `FilterInvalid`."""
    clauses: list[Expression] = []
    if filter_text.strip():
        clauses.append(parse_filter(filter_text, RUN_SCHEMA))
    if experiment_ids:
        clauses.append(Membership(EXPERIMENT, experiment_ids))
    if not show_deleted:
        clauses.append(Comparison(_LIFECYCLE, Operator.EQ, LifecycleStage.ACTIVE.name))
    if len(clauses) > 1:
        return And(tuple(clauses))
    return clauses[0] if clauses else None


def _fields_of(condition: Expression | None) -> set[Field]:
    return set() if condition is None else fields_of(condition)


def position_in(token: str, fingerprint: str, position: Callable[[Any], T]) -> T | None:
    """The position in a page token, None if there is no token. Raises `PageTokenInvalid`."""
    if not token:
        return None
    try:
        return position(paging.open(token, fingerprint))
    except PositionInvalid:
        raise PageTokenInvalid("The page token is not one that this server gave out.") from None


def _latest_of(
    table: Table, run_ids: Sequence[str], metrics: Sequence[Field]
) -> dict[str, list[tuple[str, LatestValue]]]:
    rows = table.rows_of(run_ids)
    found: dict[str, list[tuple[str, LatestValue]]] = {run_id: [] for run_id in run_ids}
    for metric in metrics:
        column = table.column(metric)
        if column is not None:
            for run_id, cell in zip(run_ids, column.values(rows), strict=True):
                if cell is not None:
                    found[run_id].append((metric.key, latest_of_cell(cell)))
    return found
