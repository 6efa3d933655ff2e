import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.api.tracking.v1 import run_pb2 as _run_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RankMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RANK_MODE_UNSPECIFIED: _ClassVar[RankMode]
    RANK_MODE_TOGETHER: _ClassVar[RankMode]
    RANK_MODE_APART: _ClassVar[RankMode]
    RANK_MODE_ACROSS: _ClassVar[RankMode]
RANK_MODE_UNSPECIFIED: RankMode
RANK_MODE_TOGETHER: RankMode
RANK_MODE_APART: RankMode
RANK_MODE_ACROSS: RankMode

class MetricKey(_message.Message):
    __slots__ = ("id", "key")
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    id: int
    key: str
    def __init__(self, id: _Optional[int] = ..., key: _Optional[str] = ...) -> None: ...

class MetricBlock(_message.Message):
    __slots__ = ("key_ids", "steps", "times_unix_us", "values")
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TIMES_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key_ids: _containers.RepeatedScalarFieldContainer[int]
    steps: _containers.RepeatedScalarFieldContainer[int]
    times_unix_us: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, key_ids: _Optional[_Iterable[int]] = ..., steps: _Optional[_Iterable[int]] = ..., times_unix_us: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class MetricBatchContent(_message.Message):
    __slots__ = ("new_keys", "blocks", "params", "tags", "removed_tags", "summary", "metric_definitions", "collapse_identical")
    NEW_KEYS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_TAGS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    METRIC_DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    COLLAPSE_IDENTICAL_FIELD_NUMBER: _ClassVar[int]
    new_keys: _containers.RepeatedCompositeFieldContainer[MetricKey]
    blocks: _containers.RepeatedCompositeFieldContainer[MetricBlock]
    params: _containers.RepeatedCompositeFieldContainer[_run_pb2.Param]
    tags: _containers.RepeatedCompositeFieldContainer[_run_pb2.Tag]
    removed_tags: _containers.RepeatedScalarFieldContainer[str]
    summary: _containers.RepeatedCompositeFieldContainer[_run_pb2.SummaryEntry]
    metric_definitions: _containers.RepeatedCompositeFieldContainer[_run_pb2.MetricDefinition]
    collapse_identical: bool
    def __init__(self, new_keys: _Optional[_Iterable[_Union[MetricKey, _Mapping]]] = ..., blocks: _Optional[_Iterable[_Union[MetricBlock, _Mapping]]] = ..., params: _Optional[_Iterable[_Union[_run_pb2.Param, _Mapping]]] = ..., tags: _Optional[_Iterable[_Union[_run_pb2.Tag, _Mapping]]] = ..., removed_tags: _Optional[_Iterable[str]] = ..., summary: _Optional[_Iterable[_Union[_run_pb2.SummaryEntry, _Mapping]]] = ..., metric_definitions: _Optional[_Iterable[_Union[_run_pb2.MetricDefinition, _Mapping]]] = ..., collapse_identical: _Optional[bool] = ...) -> None: ...

class MetricBatch(_message.Message):
    __slots__ = ("sequence", "digest", "content")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    digest: bytes
    content: MetricBatchContent
    def __init__(self, sequence: _Optional[int] = ..., digest: _Optional[bytes] = ..., content: _Optional[_Union[MetricBatchContent, _Mapping]] = ...) -> None: ...

class OpenWriter(_message.Message):
    __slots__ = ("run", "writer_id", "epoch", "rank", "heartbeat_lease")
    RUN_FIELD_NUMBER: _ClassVar[int]
    WRITER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_LEASE_FIELD_NUMBER: _ClassVar[int]
    run: str
    writer_id: str
    epoch: int
    rank: int
    heartbeat_lease: bool
    def __init__(self, run: _Optional[str] = ..., writer_id: _Optional[str] = ..., epoch: _Optional[int] = ..., rank: _Optional[int] = ..., heartbeat_lease: _Optional[bool] = ...) -> None: ...

class WriterHeartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CloseWriter(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamMetricsRequest(_message.Message):
    __slots__ = ("open", "batch", "heartbeat", "close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: OpenWriter
    batch: MetricBatch
    heartbeat: WriterHeartbeat
    close: CloseWriter
    def __init__(self, open: _Optional[_Union[OpenWriter, _Mapping]] = ..., batch: _Optional[_Union[MetricBatch, _Mapping]] = ..., heartbeat: _Optional[_Union[WriterHeartbeat, _Mapping]] = ..., close: _Optional[_Union[CloseWriter, _Mapping]] = ...) -> None: ...

class IngestWarning(_message.Message):
    __slots__ = ("sequence", "reason", "message")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reason: str
    message: str
    def __init__(self, sequence: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class StreamMetricsResponse(_message.Message):
    __slots__ = ("acked_sequence", "chain", "durable_points", "warnings", "closed")
    ACKED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    DURABLE_POINTS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    acked_sequence: int
    chain: bytes
    durable_points: int
    warnings: _containers.RepeatedCompositeFieldContainer[IngestWarning]
    closed: bool
    def __init__(self, acked_sequence: _Optional[int] = ..., chain: _Optional[bytes] = ..., durable_points: _Optional[int] = ..., warnings: _Optional[_Iterable[_Union[IngestWarning, _Mapping]]] = ..., closed: _Optional[bool] = ...) -> None: ...

class MetricPoints(_message.Message):
    __slots__ = ("steps", "times_unix_us", "values")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TIMES_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedScalarFieldContainer[int]
    times_unix_us: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, steps: _Optional[_Iterable[int]] = ..., times_unix_us: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class MetricBuckets(_message.Message):
    __slots__ = ("first_steps", "last_steps", "last_times_unix_us", "counts", "mins", "min_steps", "maxs", "max_steps", "means", "lasts", "nan_counts", "positive_infinity_counts", "negative_infinity_counts")
    FIRST_STEPS_FIELD_NUMBER: _ClassVar[int]
    LAST_STEPS_FIELD_NUMBER: _ClassVar[int]
    LAST_TIMES_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MINS_FIELD_NUMBER: _ClassVar[int]
    MIN_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAXS_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    MEANS_FIELD_NUMBER: _ClassVar[int]
    LASTS_FIELD_NUMBER: _ClassVar[int]
    NAN_COUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_INFINITY_COUNTS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_INFINITY_COUNTS_FIELD_NUMBER: _ClassVar[int]
    first_steps: _containers.RepeatedScalarFieldContainer[int]
    last_steps: _containers.RepeatedScalarFieldContainer[int]
    last_times_unix_us: _containers.RepeatedScalarFieldContainer[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    mins: _containers.RepeatedScalarFieldContainer[float]
    min_steps: _containers.RepeatedScalarFieldContainer[int]
    maxs: _containers.RepeatedScalarFieldContainer[float]
    max_steps: _containers.RepeatedScalarFieldContainer[int]
    means: _containers.RepeatedScalarFieldContainer[float]
    lasts: _containers.RepeatedScalarFieldContainer[float]
    nan_counts: _containers.RepeatedScalarFieldContainer[int]
    positive_infinity_counts: _containers.RepeatedScalarFieldContainer[int]
    negative_infinity_counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, first_steps: _Optional[_Iterable[int]] = ..., last_steps: _Optional[_Iterable[int]] = ..., last_times_unix_us: _Optional[_Iterable[int]] = ..., counts: _Optional[_Iterable[int]] = ..., mins: _Optional[_Iterable[float]] = ..., min_steps: _Optional[_Iterable[int]] = ..., maxs: _Optional[_Iterable[float]] = ..., max_steps: _Optional[_Iterable[int]] = ..., means: _Optional[_Iterable[float]] = ..., lasts: _Optional[_Iterable[float]] = ..., nan_counts: _Optional[_Iterable[int]] = ..., positive_infinity_counts: _Optional[_Iterable[int]] = ..., negative_infinity_counts: _Optional[_Iterable[int]] = ...) -> None: ...

class MetricSeries(_message.Message):
    __slots__ = ("run", "key", "rank", "total_points", "points", "buckets")
    RUN_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    TOTAL_POINTS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    run: str
    key: str
    rank: int
    total_points: int
    points: MetricPoints
    buckets: MetricBuckets
    def __init__(self, run: _Optional[str] = ..., key: _Optional[str] = ..., rank: _Optional[int] = ..., total_points: _Optional[int] = ..., points: _Optional[_Union[MetricPoints, _Mapping]] = ..., buckets: _Optional[_Union[MetricBuckets, _Mapping]] = ...) -> None: ...

class StepRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class RunEvent(_message.Message):
    __slots__ = ("run", "points", "heartbeat_time", "cursor")
    RUN_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIME_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    points: MetricSeries
    heartbeat_time: _timestamp_pb2.Timestamp
    cursor: str
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., points: _Optional[_Union[MetricSeries, _Mapping]] = ..., heartbeat_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cursor: _Optional[str] = ...) -> None: ...
