"""What MLflow's three kinds of stores have in common: a run's record, and what becomes of it here."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from penstock.importers.model import Part, Row, RunDraft, SourceRun, derived_id

__all__ = ["INFINITY_IN_DATABASES", "MlflowRun", "number_of", "source_run"]

INFINITY_IN_DATABASES: Final = 1.7976931348623157e308
"""What MLflow writes into a database for an infinite value: the greatest double there is."""
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_NAME_TAG: Final = "mlflow.runName"
_NOTE_TAG: Final = "mlflow.note.content"
_PARENT_TAG: Final = "mlflow.parentRunId"
_STATES: Final = {
    "RUNNING": "RUNNING",
    "SCHEDULED": "RUNNING",
    "FINISHED": "FINISHED",
    "FAILED": "FAILED",
    "KILLED": "KILLED",
}


@dataclass(frozen=True, slots=True)
class MlflowRun:
    """A run as MLflow has it.

    Attributes:
        run_id: Its id.
        experiment: The name of its experiment.
        name: Its name; empty in old stores, where a tag has it.
        status: Such as `FINISHED`.
        start_ms: Milliseconds since 1970 UTC.
        end_ms: The same; None while it runs.
        params: As text.
        tags: All of them.
    """

    run_id: str
    experiment: str
    name: str
    status: str
    start_ms: int
    end_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]


def source_run(run: MlflowRun, metrics: Sequence[str], rows: Callable[[str], Iterator[Row]]) -> SourceRun:
    """The run as it is imported.

    Args:
        run: The run.
        metrics: The keys of its metrics.
        rows: Reads the points of one metric.
    """
    tags = dict(run.tags)
    draft = RunDraft(
        experiment=run.experiment,
        start_time_us=run.start_ms * 1000,
        state=_STATES.get(run.status, "FINISHED"),
        end_time_us=None if run.end_ms is None else run.end_ms * 1000,
        display_name=tags.pop(_NAME_TAG, "") if not run.name else run.name,
        notes=tags.pop(_NOTE_TAG, ""),
        group=tags.get(_PARENT_TAG, ""),
    )
    tags.pop(_NAME_TAG, None)
    for key, value in sorted(run.params.items()):
        draft.add_param(key, _typed(value))
    for key, value in sorted(tags.items()):
        draft.add_tag(key, value)
    run_id = run.run_id if _RUN_ID.match(run.run_id) else derived_id("mlflow", run.run_id)
    parts = [Part(metric, partial(rows, metric), metric=metric) for metric in sorted(metrics)]
    return draft.finished(run_id, parts)


def number_of(value: float, *, is_nan: bool = False) -> float:
    """A metric's value as it was logged, from one as databases hold it."""
    if is_nan:
        return float("nan")
    return float("inf") * (1 if value > 0 else -1) if abs(value) == INFINITY_IN_DATABASES else value


def _typed(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            if repr(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text
