import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.api.tracking.v1 import dataset_pb2 as _dataset_pb2
from penstock.api.tracking.v1 import experiment_pb2 as _experiment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_FINISHED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_KILLED: _ClassVar[RunState]
    RUN_STATE_CRASHED: _ClassVar[RunState]
    RUN_STATE_SCHEDULED: _ClassVar[RunState]

class MetricGoal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_GOAL_UNSPECIFIED: _ClassVar[MetricGoal]
    METRIC_GOAL_MINIMIZE: _ClassVar[MetricGoal]
    METRIC_GOAL_MAXIMIZE: _ClassVar[MetricGoal]

class MetricSummary(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_SUMMARY_UNSPECIFIED: _ClassVar[MetricSummary]
    METRIC_SUMMARY_LATEST: _ClassVar[MetricSummary]
    METRIC_SUMMARY_MIN: _ClassVar[MetricSummary]
    METRIC_SUMMARY_MAX: _ClassVar[MetricSummary]
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_FINISHED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_KILLED: RunState
RUN_STATE_CRASHED: RunState
RUN_STATE_SCHEDULED: RunState
METRIC_GOAL_UNSPECIFIED: MetricGoal
METRIC_GOAL_MINIMIZE: MetricGoal
METRIC_GOAL_MAXIMIZE: MetricGoal
METRIC_SUMMARY_UNSPECIFIED: MetricSummary
METRIC_SUMMARY_LATEST: MetricSummary
METRIC_SUMMARY_MIN: MetricSummary
METRIC_SUMMARY_MAX: MetricSummary

class Value(_message.Message):
    __slots__ = ("string_value", "int_value", "double_value", "bool_value", "json_value")
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    JSON_VALUE_FIELD_NUMBER: _ClassVar[int]
    string_value: str
    int_value: int
    double_value: float
    bool_value: bool
    json_value: str
    def __init__(self, string_value: _Optional[str] = ..., int_value: _Optional[int] = ..., double_value: _Optional[float] = ..., bool_value: _Optional[bool] = ..., json_value: _Optional[str] = ...) -> None: ...

class Param(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: Value
    def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class SummaryEntry(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: Value
    def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class MetricDefinition(_message.Message):
    __slots__ = ("key", "x_key", "goal", "summary")
    KEY_FIELD_NUMBER: _ClassVar[int]
    X_KEY_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    key: str
    x_key: str
    goal: MetricGoal
    summary: MetricSummary
    def __init__(self, key: _Optional[str] = ..., x_key: _Optional[str] = ..., goal: _Optional[_Union[MetricGoal, str]] = ..., summary: _Optional[_Union[MetricSummary, str]] = ...) -> None: ...

class LatestMetric(_message.Message):
    __slots__ = ("key", "value", "step", "time_unix_us", "min", "max", "points")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: float
    step: int
    time_unix_us: int
    min: float
    max: float
    points: int
    def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ..., step: _Optional[int] = ..., time_unix_us: _Optional[int] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., points: _Optional[int] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("name", "display_name", "experiment", "state", "lifecycle_stage", "start_time", "end_time", "heartbeat_time", "create_time", "update_time", "creator", "notes", "group", "forked_from", "fork_step", "params", "tags", "summary", "metric_definitions", "latest_metrics", "failure", "etag", "ranks", "user", "artifact_location", "datasets", "input_models", "output_models", "alert_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LIFECYCLE_STAGE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FORKED_FROM_FIELD_NUMBER: _ClassVar[int]
    FORK_STEP_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    METRIC_DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    LATEST_METRICS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_LOCATION_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    INPUT_MODELS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MODELS_FIELD_NUMBER: _ClassVar[int]
    ALERT_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    experiment: str
    state: RunState
    lifecycle_stage: _experiment_pb2.LifecycleStage
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    heartbeat_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    creator: str
    notes: str
    group: str
    forked_from: str
    fork_step: int
    params: _containers.RepeatedCompositeFieldContainer[Param]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    summary: _containers.RepeatedCompositeFieldContainer[SummaryEntry]
    metric_definitions: _containers.RepeatedCompositeFieldContainer[MetricDefinition]
    latest_metrics: _containers.RepeatedCompositeFieldContainer[LatestMetric]
    failure: str
    etag: str
    ranks: _containers.RepeatedScalarFieldContainer[int]
    user: str
    artifact_location: str
    datasets: _containers.RepeatedCompositeFieldContainer[_dataset_pb2.DatasetInput]
    input_models: _containers.RepeatedScalarFieldContainer[str]
    output_models: _containers.RepeatedCompositeFieldContainer[ModelOutput]
    alert_count: int
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., experiment: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., lifecycle_stage: _Optional[_Union[_experiment_pb2.LifecycleStage, str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., heartbeat_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., creator: _Optional[str] = ..., notes: _Optional[str] = ..., group: _Optional[str] = ..., forked_from: _Optional[str] = ..., fork_step: _Optional[int] = ..., params: _Optional[_Iterable[_Union[Param, _Mapping]]] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., summary: _Optional[_Iterable[_Union[SummaryEntry, _Mapping]]] = ..., metric_definitions: _Optional[_Iterable[_Union[MetricDefinition, _Mapping]]] = ..., latest_metrics: _Optional[_Iterable[_Union[LatestMetric, _Mapping]]] = ..., failure: _Optional[str] = ..., etag: _Optional[str] = ..., ranks: _Optional[_Iterable[int]] = ..., user: _Optional[str] = ..., artifact_location: _Optional[str] = ..., datasets: _Optional[_Iterable[_Union[_dataset_pb2.DatasetInput, _Mapping]]] = ..., input_models: _Optional[_Iterable[str]] = ..., output_models: _Optional[_Iterable[_Union[ModelOutput, _Mapping]]] = ..., alert_count: _Optional[int] = ...) -> None: ...

class ModelOutput(_message.Message):
    __slots__ = ("model", "step")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    model: str
    step: int
    def __init__(self, model: _Optional[str] = ..., step: _Optional[int] = ...) -> None: ...
