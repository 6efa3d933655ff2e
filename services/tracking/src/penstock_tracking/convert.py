"""Between the messages of the contract and the domain. No decisions here."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.tracking.v1 import dataset_pb2, experiment_pb2, metric_pb2, run_pb2, tracking_service_pb2
from penstock_kit.names import LoggedModelName, RunName
from penstock_kit.search import Group
from penstock_tracking.domain import (
    Dataset,
    DatasetUse,
    Experiment,
    JsonText,
    MetricDefinition,
    ParamChange,
    Run,
    RunChange,
    RunState,
    RunUpdates,
    Value,
)
from penstock_tracking.errors import FieldInvalid
from penstock_tracking.logged_models.domain import ModelMetric
from penstock_tracking.series.downsample import Buckets
from penstock_tracking.series.latest import LatestValue
from penstock_tracking.series.points import Points

__all__ = [
    "RUN_FIELDS",
    "change_from_log_batch",
    "dataset_input_from_proto",
    "dataset_input_to_proto",
    "definition_from_proto",
    "experiment_to_proto",
    "field_on_wire",
    "group_to_proto",
    "latest_to_proto",
    "model_metrics_from_log_batch",
    "param_change_to_proto",
    "run_to_proto",
    "series_on_wire",
    "series_to_proto",
    "time_from_us",
    "time_to_us",
    "updates_from_content",
    "updates_from_log_batch",
    "value_from_proto",
    "value_to_proto",
]

# What google.protobuf.Timestamp allows.
TIMESTAMP_S_MIN = -62_135_596_800
TIMESTAMP_S_MAX = 253_402_300_799

RUN_FIELDS = frozenset(field.name for field in run_pb2.Run.DESCRIPTOR.fields)


def time_from_us(us: int) -> Timestamp:
    """Microseconds since 1970 UTC as a timestamp."""
    seconds, micros = divmod(us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def time_to_us(time: Timestamp) -> int:
    """A timestamp as microseconds since 1970 UTC. Raises `FieldInvalid` outside the years 1 to 9999."""
    if not TIMESTAMP_S_MIN <= time.seconds <= TIMESTAMP_S_MAX or not 0 <= time.nanos < 1_000_000_000:
        raise FieldInvalid(f"A time of {time.seconds} s and {time.nanos} ns is not within the years 1 to 9999.")
    return time.seconds * 1_000_000 + time.nanos // 1000


def value_to_proto(value: Value) -> run_pb2.Value:
    """A value, typed as it was given."""
    if isinstance(value, bool):  # before int: bool is one
        return run_pb2.Value(bool_value=value)
    if isinstance(value, int):
        return run_pb2.Value(int_value=value)
    if isinstance(value, float):
        return run_pb2.Value(double_value=value)
    if isinstance(value, JsonText):
        return run_pb2.Value(json_value=value.text)
    return run_pb2.Value(string_value=value)


def value_from_proto(message: run_pb2.Value, key: str) -> Value:
    """A value. Raises `FieldInvalid` if none is set."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise FieldInvalid(f"The entry {key!r} has no value.", key=key)
    value = getattr(message, kind)
    return JsonText(value) if kind == "json_value" else value


def _entries(messages: Iterable[Any]) -> tuple[tuple[str, Value], ...]:
    return tuple((entry.key, value_from_proto(entry.value, entry.key)) for entry in messages)


def definition_from_proto(message: run_pb2.MetricDefinition) -> MetricDefinition:
    """A metric definition."""
    return MetricDefinition(message.key, message.x_key, int(message.goal), int(message.summary))


def updates_from_content(content: Any) -> RunUpdates:
    """What a MetricBatchContent (or its private twin) says beside points."""
    if not (content.params or content.tags or content.removed_tags or content.summary or content.metric_definitions):
        return _NO_UPDATES
    return RunUpdates(
        params=_entries(content.params),
        tags=tuple((tag.key, tag.value) for tag in content.tags),
        removed_tags=tuple(content.removed_tags),
        summary=_entries(content.summary),
        metric_definitions=tuple(definition_from_proto(definition) for definition in content.metric_definitions),
    )


_NO_UPDATES = RunUpdates()


def updates_from_log_batch(request: tracking_service_pb2.LogBatchRequest) -> RunUpdates:
    """What a LogBatch says beside points."""
    return RunUpdates(
        params=_entries(request.params),
        tags=tuple((tag.key, tag.value) for tag in request.tags),
        removed_tags=tuple(request.removed_tags),
        summary=_entries(request.summary),
    )


def dataset_input_from_proto(message: dataset_pb2.DatasetInput) -> tuple[Dataset, tuple[tuple[str, str], ...]]:
    """A dataset, and the tags of its use."""
    dataset = message.dataset
    return (
        Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema,
            profile=dataset.profile,
        ),
        tuple((tag.key, tag.value) for tag in message.tags),
    )


def dataset_input_to_proto(use: DatasetUse, dataset: Dataset) -> dataset_pb2.DatasetInput:
    """That a run used a dataset."""
    return dataset_pb2.DatasetInput(
        dataset=dataset_pb2.Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema,
            profile=dataset.profile,
        ),
        tags=[dataset_pb2.DatasetTag(key=key, value=value) for key, value in use.tags],
    )


def model_metrics_from_log_batch(
    request: tracking_service_pb2.LogBatchRequest, now_us: int
) -> dict[str, list[ModelMetric]]:
    """Which points of a LogBatch are of logged models too, by the ids of these. Raises `FieldInvalid`."""
    found: dict[str, list[ModelMetric]] = {}
    run = RunName.parse(request.run)
    missing_us = 0 if request.keep_zero_times else now_us
    for point in request.metrics:
        if point.logged_model:
            name = LoggedModelName.parse(point.logged_model)
            if name.project != run.project:
                raise FieldInvalid(f"{name} is not of the project {run.project}.", field="logged_model")
            found.setdefault(name.model_id, []).append(
                ModelMetric(
                    point.key,
                    point.value,
                    point.step,
                    point.time_unix_us or missing_us,
                    run.run_id,
                    point.dataset_name,
                    point.dataset_digest,
                )
            )
    return found


def change_from_log_batch(request: tracking_service_pb2.LogBatchRequest) -> RunChange:
    """What a LogBatch makes of the run itself. Raises `FieldInvalid`."""
    change = request.change
    return RunChange(
        display_name=change.display_name,
        state=RunState(change.state) if change.state else None,
        end_us=time_to_us(change.end_time) if change.HasField("end_time") else None,
    )


def updates_from_run(run: run_pb2.Run) -> RunUpdates:
    """The params, tags, summary and metric definitions of a run that is to be created."""
    return RunUpdates(
        params=_entries(run.params),
        tags=tuple((tag.key, tag.value) for tag in run.tags),
        summary=_entries(run.summary),
        metric_definitions=tuple(definition_from_proto(definition) for definition in run.metric_definitions),
    )


def experiment_to_proto(experiment: Experiment, etag: str) -> experiment_pb2.Experiment:
    """An experiment."""
    return experiment_pb2.Experiment(
        name=f"projects/{experiment.project}/experiments/{experiment.experiment_id}",
        display_name=experiment.display_name,
        description=experiment.description,
        lifecycle_stage=f"LIFECYCLE_STAGE_{experiment.lifecycle_stage.name}",
        tags=dict(experiment.tags),
        artifact_location=experiment.artifact_location,
        create_time=time_from_us(experiment.create_us),
        update_time=time_from_us(experiment.update_us),
        etag=etag,
    )


def latest_to_proto(key: str, latest: LatestValue) -> run_pb2.LatestMetric:
    """A latest value."""
    return run_pb2.LatestMetric(
        key=key,
        value=latest.value,
        step=latest.step,
        time_unix_us=latest.time_us,
        min=latest.min,
        max=latest.max,
        points=latest.count,
    )


# By field of a run, how it is made; `latest_metrics` and `datasets` are not of the run's record.
_RUN_PARTS: Final[Mapping[str, Callable[[Run, str], Any]]] = {
    "name": lambda run, _: f"projects/{run.project}/runs/{run.run_id}",
    "display_name": lambda run, _: run.display_name,
    "experiment": lambda run, _: f"projects/{run.project}/experiments/{run.experiment_id}",
    "state": lambda run, _: f"RUN_STATE_{run.state.name}",
    "lifecycle_stage": lambda run, _: f"LIFECYCLE_STAGE_{run.lifecycle_stage.name}",
    "start_time": lambda run, _: time_from_us(run.start_us),
    "end_time": lambda run, _: None if run.end_us is None else time_from_us(run.end_us),
    "heartbeat_time": lambda run, _: None if run.heartbeat_us is None else time_from_us(run.heartbeat_us),
    "create_time": lambda run, _: time_from_us(run.create_us),
    "update_time": lambda run, _: time_from_us(run.update_us),
    "creator": lambda run, _: run.creator,
    "notes": lambda run, _: run.notes,
    "group": lambda run, _: run.group,
    "forked_from": lambda run, _: run.forked_from,
    "fork_step": lambda run, _: run.fork_step,
    "failure": lambda run, _: run.failure,
    "user": lambda run, _: run.user,
    "artifact_location": lambda run, _: run.artifact_location,
    "etag": lambda _, etag: etag,
    "ranks": lambda run, _: run.ranks,
    "params": lambda run, _: [
        run_pb2.Param(key=key, value=value_to_proto(value)) for key, value in sorted(run.params.items())
    ],
    "tags": lambda run, _: [run_pb2.Tag(key=key, value=text) for key, text in sorted(run.tags.items())],
    "summary": lambda run, _: [
        run_pb2.SummaryEntry(key=key, value=value_to_proto(value)) for key, value in sorted(run.summary.items())
    ],
    "input_models": lambda run, _: [f"projects/{run.project}/loggedModels/{model_id}" for model_id in run.input_models],
    "alert_count": lambda run, _: run.alert_count,
    "output_models": lambda run, _: [
        run_pb2.ModelOutput(model=f"projects/{run.project}/loggedModels/{output.model_id}", step=output.step)
        for output in run.output_models
    ],
    "metric_definitions": lambda run, _: [
        run_pb2.MetricDefinition(
            key=definition.key,
            x_key=definition.x_key,
            goal=run_pb2.MetricGoal.Name(definition.goal),
            summary=run_pb2.MetricSummary.Name(definition.summary),
        )
        for _, definition in sorted(run.metric_definitions.items())
    ],
}


def run_to_proto(run: Run, etag: str, fields: Collection[str] = RUN_FIELDS) -> run_pb2.Run:
    """A run with some fields, without latest values and datasets."""
    return run_pb2.Run(**{field: make(run, etag) for field, make in _RUN_PARTS.items() if field in fields})


def group_to_proto(group: Group) -> tracking_service_pb2.RunGroup:
    """A group of runs."""
    return tracking_service_pb2.RunGroup(
        keys=[run_pb2.Value() if key is None else value_to_proto(key) for key in group.keys],
        runs=group.rows,
        aggregates=[tracking_service_pb2.AggregateValue(value=value) for value in group.aggregates],
    )


def param_change_to_proto(change: ParamChange) -> tracking_service_pb2.ParamChange:
    """A former value of a param."""
    return tracking_service_pb2.ParamChange(
        value=value_to_proto(change.value),
        replace_time=time_from_us(change.replace_us),
        principal=change.principal,
    )


def series_to_proto(
    run_name: str, key: str, rank: int | None, total_points: int, data: Points | Buckets
) -> metric_pb2.MetricSeries:
    """A series."""
    return metric_pb2.MetricSeries.FromString(series_on_wire(run_name, key, rank, total_points, data))


def series_on_wire(run_name: str, key: str, rank: int | None, total_points: int, data: Points | Buckets) -> bytes:
    """A `MetricSeries` as it is on the wire, so that no point becomes a Python object, and no column is copied twice."""
    series = metric_pb2.MetricSeries(run=run_name, key=key, total_points=total_points)
    if rank is not None:
        series.rank = rank
    if isinstance(data, Points):
        number, message = metric_pb2.MetricSeries.POINTS_FIELD_NUMBER, metric_pb2.MetricPoints.DESCRIPTOR
        columns = {"steps": data.steps, "times_unix_us": data.times_us, "values": data.values}
    else:
        number, message = metric_pb2.MetricSeries.BUCKETS_FIELD_NUMBER, metric_pb2.MetricBuckets.DESCRIPTOR
        columns = {field.name: getattr(data, field.name) for field in message.fields}
    packed = _packed_fields(message, columns)
    return series.SerializeToString() + field_on_wire(number, packed)


def field_on_wire(number: int, content: bytes) -> bytes:
    """A field by its number, that holds a message, text, bytes or packed numbers: its tag, its length, its content."""
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


def _packed_fields(message: Any, columns: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The repeated numbers of a message on the wire: each field is its tag, the length of its column, and the column."""
    parts: list[bytes] = []
    for name, column in columns.items():
        field = message.fields_by_name[name]
        if field.type in (field.TYPE_DOUBLE, field.TYPE_SFIXED64):
            packed = np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
        else:
            packed = _varints(column)
        parts.append(field_on_wire(field.number, packed))
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """One number as `_varints` writes many."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _varints(column: npt.NDArray[np.int64]) -> bytes:
    """Numbers as protobuf's varints: seven bits a byte, the lowest first, the eighth says that another byte follows."""
    words = column.astype(np.uint64)
    if not len(words) or words.max() < 128:
        return words.astype(np.uint8).tobytes()
    left = words[:, None] >> np.arange(0, 70, 7, dtype=np.uint64)[:, None].T
    there = left > 0
    there[:, 0] = True
    more = np.zeros_like(there)
    more[:, :-1] = there[:, 1:]
    return ((left & np.uint64(127)) | (more.astype(np.uint64) << np.uint64(7))).astype(np.uint8)[there].tobytes()
