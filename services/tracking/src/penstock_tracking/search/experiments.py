"""Search over the experiments of a project."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock_kit.search import (
    ATTRIBUTES,
    ColumnType,
    Comparison,
    Expression,
    Field,
    Operator,
    OrderTerm,
    Schema,
    parse_filter,
    parse_order,
)
from penstock_tracking.domain import Experiment, LifecycleStage
from penstock_tracking.search.few import Cells, all_of, find_among
from penstock_tracking.store import Stored

__all__ = ["ExperimentPage", "ExperimentQuery"]

TAGS: Final = "tags"
EXPERIMENT_SCHEMA: Final = Schema(
    attributes={
        "experiment": ColumnType.VALUE,  # its id, such as "0"
        "display_name": ColumnType.VALUE,
        "description": ColumnType.VALUE,
        "lifecycle_stage": ColumnType.VALUE,  # "ACTIVE", "DELETED"
        "create_time": ColumnType.TIME,
        "update_time": ColumnType.TIME,
    },
    aliases={"name": "display_name"},
    collections={TAGS: ColumnType.VALUE},
)
_ID: Final = Field(ATTRIBUTES, "experiment", ColumnType.VALUE)
_NAME: Final = Field(ATTRIBUTES, "display_name", ColumnType.VALUE)
_LIFECYCLE: Final = Field(ATTRIBUTES, "lifecycle_stage", ColumnType.VALUE)
_NEWEST_FIRST: Final = (OrderTerm(Field(ATTRIBUTES, "create_time", ColumnType.TIME), descending=True),)


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    """Some of the experiments that match, in order. The token is empty on the last page."""

    experiments: Sequence[Stored[Experiment]]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ExperimentQuery:
    """Which experiments are searched for.

    Attributes:
        project: The project's id.
        filter: Which experiments; empty means all.
        order_by: The order; empty means newest first. Ties go by the id, the greatest first.
        display_name: Only those of exactly this display name; empty means any.
        show_deleted: Whether those in the bin are found too.
        page_size: At most this many, at least 1.
        page_token: From the page before, of an otherwise equal query; empty for the first page.
    """

    project: str
    filter: str = ""
    order_by: str = ""
    display_name: str = ""
    show_deleted: bool = False
    page_size: int = 100
    page_token: str = ""

    def answer(self, experiments: Sequence[Stored[Experiment]]) -> ExperimentPage:
        """Answers from all experiments of the project. Raises `FilterInvalid`, `OrderInvalid`, `PageTokenInvalid`."""
        by_id = {stored.value.experiment_id: stored for stored in experiments}
        order = parse_order(self.order_by, EXPERIMENT_SCHEMA) if self.order_by.strip() else _NEWEST_FIRST
        ids, token = find_among(
            EXPERIMENT_SCHEMA,
            ((experiment_id, _cells(stored.value)) for experiment_id, stored in by_id.items()),
            all_of(self._clauses()),
            (*order, OrderTerm(_ID, descending=True)),
            page_size=self.page_size,
            page_token=self.page_token,
            fingerprint=json.dumps(
                ["experiments", self.project, self.filter, self.order_by, self.display_name, self.show_deleted]
            ),
        )
        return ExperimentPage([by_id[experiment_id] for experiment_id in ids], token)

    def _clauses(self) -> list[Expression]:
        clauses: list[Expression] = []
        if self.filter.strip():
            clauses.append(parse_filter(self.filter, EXPERIMENT_SCHEMA))
        if self.display_name:
            clauses.append(Comparison(_NAME, Operator.EQ, self.display_name))
        if not self.show_deleted:
            clauses.append(Comparison(_LIFECYCLE, Operator.EQ, LifecycleStage.ACTIVE.name))
        return clauses


def _cells(experiment: Experiment) -> Cells:
    attributes: dict[str, str | int] = {
        "experiment": experiment.experiment_id,
        "display_name": experiment.display_name,
        "lifecycle_stage": experiment.lifecycle_stage.name,
        "create_time": experiment.create_us,
        "update_time": experiment.update_us,
    }
    if experiment.description:
        attributes["description"] = experiment.description
    return {ATTRIBUTES: attributes, TAGS: experiment.tags}
