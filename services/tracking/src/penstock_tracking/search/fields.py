"""What filters and orders may name of a run, and the cells a run has there. Owns the mapping and nothing else."""

from collections.abc import Mapping
from typing import Final

from penstock_kit.search import ATTRIBUTES, ColumnType, Field, MetricCell, Schema
from penstock_kit.search import Value as CellValue
from penstock_tracking.domain import JsonText, Run, Value
from penstock_tracking.series.latest import LatestValue

__all__ = ["EXPERIMENT", "METRICS", "RUN_SCHEMA", "latest_of_cell", "metric_cells", "record_cells"]

PARAMS: Final = "params"
TAGS: Final = "tags"
SUMMARY: Final = "summary"
METRICS: Final = "metrics"
DATASETS: Final = "datasets"
DATASET_DIGESTS: Final = "dataset_digests"
DATASET_CONTEXTS: Final = "dataset_contexts"
CONTEXT_TAG: Final = "mlflow.data.context"  # by which MLflow's clients say what a dataset was used for

EXPERIMENT: Final = Field(ATTRIBUTES, "experiment", ColumnType.VALUE)

RUN_SCHEMA: Final = Schema(
    attributes={
        "run_id": ColumnType.VALUE,
        "display_name": ColumnType.VALUE,
        "experiment": ColumnType.VALUE,  # its id, such as "0"
        "experiment_name": ColumnType.VALUE,  # its display name as it is now
        "state": ColumnType.VALUE,  # "RUNNING", "FINISHED", "FAILED", "KILLED", "CRASHED"
        "lifecycle_stage": ColumnType.VALUE,  # "ACTIVE", "DELETED"
        "start_time": ColumnType.TIME,
        "end_time": ColumnType.TIME,
        "create_time": ColumnType.TIME,
        "update_time": ColumnType.TIME,
        "heartbeat_time": ColumnType.TIME,
        "duration": ColumnType.NUMBER,  # seconds from start to end
        "creator": ColumnType.VALUE,
        "user": ColumnType.VALUE,
        "group": ColumnType.VALUE,
        "notes": ColumnType.VALUE,
        "forked_from": ColumnType.VALUE,
    },
    aliases={"name": "display_name", "status": "state"},
    collections={
        PARAMS: ColumnType.VALUE,
        TAGS: ColumnType.VALUE,
        METRICS: ColumnType.METRIC,
        SUMMARY: ColumnType.VALUE,
        DATASETS: ColumnType.KEYS,
        DATASET_DIGESTS: ColumnType.KEYS,
        DATASET_CONTEXTS: ColumnType.KEYS,
    },
)


def record_cells(run: Run, experiment_name: str | None) -> dict[str, Mapping[str, CellValue]]:
    """The cells of a run by collection, but for its metrics. An empty attribute is missing."""
    times = {
        "start_time": run.start_us,
        "end_time": run.end_us,
        "create_time": run.create_us,
        "update_time": run.update_us,
        "heartbeat_time": run.heartbeat_us,
        "duration": None if run.end_us is None else (run.end_us - run.start_us) / 1_000_000,
    }
    optional = {
        "experiment_name": experiment_name,
        "group": run.group,
        "notes": run.notes,
        "forked_from": run.forked_from,
        "creator": run.creator,
        "user": run.user,
    }
    return {
        ATTRIBUTES: {
            "run_id": run.run_id,
            "display_name": run.display_name,
            "experiment": run.experiment_id,
            "state": run.state.name,
            "lifecycle_stage": run.lifecycle_stage.name,
            **{name: text for name, text in optional.items() if text},
            **{name: time for name, time in times.items() if time is not None},
        },
        PARAMS: {key: _cell(value) for key, value in run.params.items()},
        TAGS: dict(run.tags),
        SUMMARY: {key: _cell(value) for key, value in run.summary.items()},
        DATASETS: {use.name: 1 for use in run.datasets},
        DATASET_DIGESTS: {use.digest: 1 for use in run.datasets},
        DATASET_CONTEXTS: {value: 1 for use in run.datasets for key, value in use.tags if key == CONTEXT_TAG},
    }


def metric_cells(latest: Mapping[str, LatestValue]) -> dict[str, MetricCell]:
    """The cells of a run's metrics."""
    return {
        key: MetricCell(value.value, value.min, value.max, value.step, value.time_us, value.count)
        for key, value in latest.items()
    }


def latest_of_cell(cell: MetricCell) -> LatestValue:
    """The latest value in a cell."""
    return LatestValue(cell.last, cell.step, cell.time_us, cell.min, cell.max, cell.count)


def _cell(value: Value) -> CellValue:
    return value.text if isinstance(value, JsonText) else value
