"""Search over the logged models of experiments."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock_kit.search import (
    ATTRIBUTES,
    ColumnType,
    Field,
    MetricCell,
    OrderTerm,
    Schema,
    parse_filter,
    parse_order,
)
from penstock_tracking.logged_models.domain import LoggedModel, ModelMetric
from penstock_tracking.search.few import Cells, find_among

__all__ = ["LoggedModelPage", "LoggedModelQuery"]

MODEL_SCHEMA: Final = Schema(
    attributes={
        "model_id": ColumnType.VALUE,
        "display_name": ColumnType.VALUE,
        "experiment": ColumnType.VALUE,
        "model_type": ColumnType.VALUE,
        "source_run": ColumnType.VALUE,
        "state": ColumnType.VALUE,  # "PENDING", "READY", "FAILED"
        "create_time": ColumnType.TIME,
        "update_time": ColumnType.TIME,
        "creator": ColumnType.VALUE,
    },
    aliases={"name": "display_name", "status": "state"},
    collections={"params": ColumnType.VALUE, "tags": ColumnType.VALUE, "metrics": ColumnType.METRIC},
)
_NEWEST_FIRST: Final = (OrderTerm(Field(ATTRIBUTES, "create_time", ColumnType.TIME), descending=True),)


@dataclass(frozen=True, slots=True)
class LoggedModelPage:
    """Some of the models that match, in order. The token is empty on the last page."""

    models: Sequence[LoggedModel]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class LoggedModelQuery:
    """Which models are searched for.

    Attributes:
        project: The project's id.
        experiment_ids: Of these experiments.
        filter: Which models; empty means all.
        order_by: The order; empty means newest first. Ties go by id.
        datasets: Names and digests (empty: any): only metrics that were measured on one of these count, and models with
            any; empty means all.
        page_size: At most this many, at least 1.
        page_token: From the page before, of an otherwise equal query; empty for the first page.
    """

    project: str
    experiment_ids: tuple[str, ...]
    filter: str = ""
    order_by: str = ""
    datasets: tuple[tuple[str, str], ...] = ()
    page_size: int = 100
    page_token: str = ""

    def answer(self, models: Sequence[LoggedModel]) -> LoggedModelPage:
        """Answers from all models of the experiments. Raises `FilterInvalid`, `OrderInvalid`, `PageTokenInvalid`."""
        order = parse_order(self.order_by, MODEL_SCHEMA) if self.order_by.strip() else _NEWEST_FIRST
        condition = parse_filter(self.filter, MODEL_SCHEMA) if self.filter.strip() else None
        by_id = {model.model_id: model for model in models if model.active and self._measured(model)}
        ids, token = find_among(
            MODEL_SCHEMA,
            ((model_id, self._cells(model)) for model_id, model in by_id.items()),
            condition,
            order,
            page_size=self.page_size,
            page_token=self.page_token,
            fingerprint=json.dumps(
                [
                    "logged models",
                    self.project,
                    sorted(self.experiment_ids),
                    self.filter,
                    self.order_by,
                    sorted(self.datasets),
                ]
            ),
        )
        return LoggedModelPage([by_id[model_id] for model_id in ids], token)

    def _measured(self, model: LoggedModel) -> bool:
        return not self.datasets or any(self._counts(metric) for metric in model.metrics)

    def _counts(self, metric: ModelMetric) -> bool:
        return not self.datasets or any(
            metric.dataset_name == name and digest in ("", metric.dataset_digest) for name, digest in self.datasets
        )

    def _cells(self, model: LoggedModel) -> Cells:
        attributes: dict[str, str | int] = {
            "model_id": model.model_id,
            "display_name": model.display_name,
            "experiment": model.experiment_id,
            "state": model.state.name,
            "create_time": model.create_us,
            "update_time": model.update_us,
            "creator": model.creator,
        }
        optional = {"model_type": model.model_type, "source_run": model.source_run_id}
        attributes.update({name: text for name, text in optional.items() if text})
        latest: dict[str, ModelMetric] = {}
        for metric in model.metrics:
            before = latest.get(metric.key)
            # The one logged last counts, whichever run and dataset it is of.
            if self._counts(metric) and (before is None or metric.time_us >= before.time_us):
                latest[metric.key] = metric
        metrics = {
            key: MetricCell(metric.value, metric.value, metric.value, metric.step, metric.time_us, 1)
            for key, metric in latest.items()
        }
        return {ATTRIBUTES: attributes, "params": model.params, "tags": model.tags, "metrics": metrics}
