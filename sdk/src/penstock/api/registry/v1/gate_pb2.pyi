import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.api.registry.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MetricGoal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_GOAL_UNSPECIFIED: _ClassVar[MetricGoal]
    METRIC_GOAL_MINIMIZE: _ClassVar[MetricGoal]
    METRIC_GOAL_MAXIMIZE: _ClassVar[MetricGoal]

class CheckOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_OUTCOME_UNSPECIFIED: _ClassVar[CheckOutcome]
    CHECK_OUTCOME_PASSED: _ClassVar[CheckOutcome]
    CHECK_OUTCOME_FAILED: _ClassVar[CheckOutcome]
    CHECK_OUTCOME_SKIPPED: _ClassVar[CheckOutcome]
METRIC_GOAL_UNSPECIFIED: MetricGoal
METRIC_GOAL_MINIMIZE: MetricGoal
METRIC_GOAL_MAXIMIZE: MetricGoal
CHECK_OUTCOME_UNSPECIFIED: CheckOutcome
CHECK_OUTCOME_PASSED: CheckOutcome
CHECK_OUTCOME_FAILED: CheckOutcome
CHECK_OUTCOME_SKIPPED: CheckOutcome

class GatePolicy(_message.Message):
    __slots__ = ("name", "revision", "checks", "protected_aliases", "description", "creator", "create_time", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_ALIASES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    checks: _containers.RepeatedCompositeFieldContainer[GateCheck]
    protected_aliases: _containers.RepeatedCompositeFieldContainer[ProtectedAlias]
    description: str
    creator: str
    create_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., checks: _Optional[_Iterable[_Union[GateCheck, _Mapping]]] = ..., protected_aliases: _Optional[_Iterable[_Union[ProtectedAlias, _Mapping]]] = ..., description: _Optional[str] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ProtectedAlias(_message.Message):
    __slots__ = ("alias", "gate_required", "approvals_required")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    GATE_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    alias: str
    gate_required: bool
    approvals_required: int
    def __init__(self, alias: _Optional[str] = ..., gate_required: _Optional[bool] = ..., approvals_required: _Optional[int] = ...) -> None: ...

class GateCheck(_message.Message):
    __slots__ = ("id", "threshold", "delta", "latency", "size", "signature")
    ID_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    id: str
    threshold: ThresholdCheck
    delta: DeltaCheck
    latency: LatencyCheck
    size: SizeCheck
    signature: SignatureCheck
    def __init__(self, id: _Optional[str] = ..., threshold: _Optional[_Union[ThresholdCheck, _Mapping]] = ..., delta: _Optional[_Union[DeltaCheck, _Mapping]] = ..., latency: _Optional[_Union[LatencyCheck, _Mapping]] = ..., size: _Optional[_Union[SizeCheck, _Mapping]] = ..., signature: _Optional[_Union[SignatureCheck, _Mapping]] = ...) -> None: ...

class ThresholdCheck(_message.Message):
    __slots__ = ("metric", "slices", "min", "max")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    metric: str
    slices: _containers.RepeatedScalarFieldContainer[str]
    min: float
    max: float
    def __init__(self, metric: _Optional[str] = ..., slices: _Optional[_Iterable[str]] = ..., min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class DeltaCheck(_message.Message):
    __slots__ = ("metric", "slices", "alias", "goal", "regression_max", "confidence", "samples_required")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    REGRESSION_MAX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    metric: str
    slices: _containers.RepeatedScalarFieldContainer[str]
    alias: str
    goal: MetricGoal
    regression_max: float
    confidence: float
    samples_required: bool
    def __init__(self, metric: _Optional[str] = ..., slices: _Optional[_Iterable[str]] = ..., alias: _Optional[str] = ..., goal: _Optional[_Union[MetricGoal, str]] = ..., regression_max: _Optional[float] = ..., confidence: _Optional[float] = ..., samples_required: _Optional[bool] = ...) -> None: ...

class LatencyCheck(_message.Message):
    __slots__ = ("percentile", "max_ms")
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    MAX_MS_FIELD_NUMBER: _ClassVar[int]
    percentile: float
    max_ms: float
    def __init__(self, percentile: _Optional[float] = ..., max_ms: _Optional[float] = ...) -> None: ...

class SizeCheck(_message.Message):
    __slots__ = ("max_bytes",)
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_bytes: int
    def __init__(self, max_bytes: _Optional[int] = ...) -> None: ...

class SignatureCheck(_message.Message):
    __slots__ = ("alias",)
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    def __init__(self, alias: _Optional[str] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("name", "metrics", "dataset", "creator", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    metrics: _containers.RepeatedCompositeFieldContainer[_model_pb2.ModelMetric]
    dataset: _model_pb2.ModelDataset
    creator: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[_model_pb2.ModelMetric, _Mapping]]] = ..., dataset: _Optional[_Union[_model_pb2.ModelDataset, _Mapping]] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("check", "outcome", "message", "metric", "slice", "value", "reference", "reference_version", "improvement", "improvement_low", "improvement_high", "paired")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    SLICE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMPROVEMENT_FIELD_NUMBER: _ClassVar[int]
    IMPROVEMENT_LOW_FIELD_NUMBER: _ClassVar[int]
    IMPROVEMENT_HIGH_FIELD_NUMBER: _ClassVar[int]
    PAIRED_FIELD_NUMBER: _ClassVar[int]
    check: str
    outcome: CheckOutcome
    message: str
    metric: str
    slice: str
    value: float
    reference: float
    reference_version: int
    improvement: float
    improvement_low: float
    improvement_high: float
    paired: bool
    def __init__(self, check: _Optional[str] = ..., outcome: _Optional[_Union[CheckOutcome, str]] = ..., message: _Optional[str] = ..., metric: _Optional[str] = ..., slice: _Optional[str] = ..., value: _Optional[float] = ..., reference: _Optional[float] = ..., reference_version: _Optional[int] = ..., improvement: _Optional[float] = ..., improvement_low: _Optional[float] = ..., improvement_high: _Optional[float] = ..., paired: _Optional[bool] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("name", "version", "policy_revision", "passed", "results", "references", "evaluations", "creator", "create_time")
    class ReferencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    policy_revision: int
    passed: bool
    results: _containers.RepeatedCompositeFieldContainer[CheckResult]
    references: _containers.ScalarMap[str, int]
    evaluations: _containers.RepeatedScalarFieldContainer[str]
    creator: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., policy_revision: _Optional[int] = ..., passed: _Optional[bool] = ..., results: _Optional[_Iterable[_Union[CheckResult, _Mapping]]] = ..., references: _Optional[_Mapping[str, int]] = ..., evaluations: _Optional[_Iterable[str]] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("version", "alias", "principal", "comment", "create_time")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    version: str
    alias: str
    principal: str
    comment: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., alias: _Optional[str] = ..., principal: _Optional[str] = ..., comment: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("model", "policy", "aliases", "verdicts", "approvals")
    class AliasesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    model: str
    policy: GatePolicy
    aliases: _containers.ScalarMap[str, int]
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    def __init__(self, model: _Optional[str] = ..., policy: _Optional[_Union[GatePolicy, _Mapping]] = ..., aliases: _Optional[_Mapping[str, int]] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ...) -> None: ...
