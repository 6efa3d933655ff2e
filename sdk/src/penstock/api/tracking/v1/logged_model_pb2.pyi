import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.api.tracking.v1 import experiment_pb2 as _experiment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LoggedModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOGGED_MODEL_STATE_UNSPECIFIED: _ClassVar[LoggedModelState]
    LOGGED_MODEL_STATE_PENDING: _ClassVar[LoggedModelState]
    LOGGED_MODEL_STATE_READY: _ClassVar[LoggedModelState]
    LOGGED_MODEL_STATE_FAILED: _ClassVar[LoggedModelState]
LOGGED_MODEL_STATE_UNSPECIFIED: LoggedModelState
LOGGED_MODEL_STATE_PENDING: LoggedModelState
LOGGED_MODEL_STATE_READY: LoggedModelState
LOGGED_MODEL_STATE_FAILED: LoggedModelState

class LoggedModelMetric(_message.Message):
    __slots__ = ("key", "value", "step", "time_unix_us", "run", "dataset_name", "dataset_digest")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    DATASET_NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: float
    step: int
    time_unix_us: int
    run: str
    dataset_name: str
    dataset_digest: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ..., step: _Optional[int] = ..., time_unix_us: _Optional[int] = ..., run: _Optional[str] = ..., dataset_name: _Optional[str] = ..., dataset_digest: _Optional[str] = ...) -> None: ...

class LoggedModel(_message.Message):
    __slots__ = ("name", "display_name", "experiment", "state", "lifecycle_stage", "model_type", "source_run", "params", "tags", "metrics", "artifact_location", "create_time", "update_time", "creator")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LIFECYCLE_STAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_RUN_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_LOCATION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    experiment: str
    state: LoggedModelState
    lifecycle_stage: _experiment_pb2.LifecycleStage
    model_type: str
    source_run: str
    params: _containers.ScalarMap[str, str]
    tags: _containers.ScalarMap[str, str]
    metrics: _containers.RepeatedCompositeFieldContainer[LoggedModelMetric]
    artifact_location: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    creator: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., experiment: _Optional[str] = ..., state: _Optional[_Union[LoggedModelState, str]] = ..., lifecycle_stage: _Optional[_Union[_experiment_pb2.LifecycleStage, str]] = ..., model_type: _Optional[str] = ..., source_run: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ..., tags: _Optional[_Mapping[str, str]] = ..., metrics: _Optional[_Iterable[_Union[LoggedModelMetric, _Mapping]]] = ..., artifact_location: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., creator: _Optional[str] = ...) -> None: ...
