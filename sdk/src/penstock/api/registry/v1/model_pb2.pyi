import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelVersionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_VERSION_STATE_UNSPECIFIED: _ClassVar[ModelVersionState]
    MODEL_VERSION_STATE_READY: _ClassVar[ModelVersionState]
    MODEL_VERSION_STATE_DELETED: _ClassVar[ModelVersionState]

class ModelVersionStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_VERSION_STAGE_UNSPECIFIED: _ClassVar[ModelVersionStage]
    MODEL_VERSION_STAGE_NONE: _ClassVar[ModelVersionStage]
    MODEL_VERSION_STAGE_STAGING: _ClassVar[ModelVersionStage]
    MODEL_VERSION_STAGE_PRODUCTION: _ClassVar[ModelVersionStage]
    MODEL_VERSION_STAGE_ARCHIVED: _ClassVar[ModelVersionStage]
MODEL_VERSION_STATE_UNSPECIFIED: ModelVersionState
MODEL_VERSION_STATE_READY: ModelVersionState
MODEL_VERSION_STATE_DELETED: ModelVersionState
MODEL_VERSION_STAGE_UNSPECIFIED: ModelVersionStage
MODEL_VERSION_STAGE_NONE: ModelVersionStage
MODEL_VERSION_STAGE_STAGING: ModelVersionStage
MODEL_VERSION_STAGE_PRODUCTION: ModelVersionStage
MODEL_VERSION_STAGE_ARCHIVED: ModelVersionStage

class Model(_message.Message):
    __slots__ = ("name", "uid", "description", "tags", "latest_version", "aliases", "creator", "create_time", "update_time", "etag")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    LATEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: str
    description: str
    tags: _containers.ScalarMap[str, str]
    latest_version: int
    aliases: _containers.RepeatedCompositeFieldContainer[ModelAlias]
    creator: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[str] = ..., description: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., latest_version: _Optional[int] = ..., aliases: _Optional[_Iterable[_Union[ModelAlias, _Mapping]]] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ModelAlias(_message.Message):
    __slots__ = ("name", "version", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "number", "description", "tags", "artifact_manifest", "source_uri", "run", "run_link", "logged_model", "signature", "flavors", "metrics", "datasets", "size_bytes", "aliases", "stage", "state", "creator", "create_time", "update_time", "etag", "artifact_version")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    RUN_LINK_FIELD_NUMBER: _ClassVar[int]
    LOGGED_MODEL_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    FLAVORS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    description: str
    tags: _containers.ScalarMap[str, str]
    artifact_manifest: str
    source_uri: str
    run: str
    run_link: str
    logged_model: str
    signature: ModelSignature
    flavors: _containers.RepeatedCompositeFieldContainer[ModelFlavor]
    metrics: _containers.RepeatedCompositeFieldContainer[ModelMetric]
    datasets: _containers.RepeatedCompositeFieldContainer[ModelDataset]
    size_bytes: int
    aliases: _containers.RepeatedScalarFieldContainer[str]
    stage: ModelVersionStage
    state: ModelVersionState
    creator: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    artifact_version: str
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., description: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., artifact_manifest: _Optional[str] = ..., source_uri: _Optional[str] = ..., run: _Optional[str] = ..., run_link: _Optional[str] = ..., logged_model: _Optional[str] = ..., signature: _Optional[_Union[ModelSignature, _Mapping]] = ..., flavors: _Optional[_Iterable[_Union[ModelFlavor, _Mapping]]] = ..., metrics: _Optional[_Iterable[_Union[ModelMetric, _Mapping]]] = ..., datasets: _Optional[_Iterable[_Union[ModelDataset, _Mapping]]] = ..., size_bytes: _Optional[int] = ..., aliases: _Optional[_Iterable[str]] = ..., stage: _Optional[_Union[ModelVersionStage, str]] = ..., state: _Optional[_Union[ModelVersionState, str]] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., artifact_version: _Optional[str] = ...) -> None: ...

class ModelSignature(_message.Message):
    __slots__ = ("inputs", "outputs", "params")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[ModelField]
    outputs: _containers.RepeatedCompositeFieldContainer[ModelField]
    params: _containers.RepeatedCompositeFieldContainer[ModelField]
    def __init__(self, inputs: _Optional[_Iterable[_Union[ModelField, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[ModelField, _Mapping]]] = ..., params: _Optional[_Iterable[_Union[ModelField, _Mapping]]] = ...) -> None: ...

class ModelField(_message.Message):
    __slots__ = ("name", "datatype", "shape", "optional")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    optional: bool
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., optional: _Optional[bool] = ...) -> None: ...

class ModelFlavor(_message.Message):
    __slots__ = ("name", "options")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    options: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., options: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ModelMetric(_message.Message):
    __slots__ = ("key", "slice", "value", "samples")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SLICE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    key: str
    slice: str
    value: float
    samples: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, key: _Optional[str] = ..., slice: _Optional[str] = ..., value: _Optional[float] = ..., samples: _Optional[_Iterable[float]] = ...) -> None: ...

class ModelDataset(_message.Message):
    __slots__ = ("name", "digest", "source_uri", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    source_uri: str
    context: str
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., source_uri: _Optional[str] = ..., context: _Optional[str] = ...) -> None: ...

class ModelBaseline(_message.Message):
    __slots__ = ("features",)
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    features: _containers.RepeatedCompositeFieldContainer[FeatureBaseline]
    def __init__(self, features: _Optional[_Iterable[_Union[FeatureBaseline, _Mapping]]] = ...) -> None: ...

class FeatureBaseline(_message.Message):
    __slots__ = ("name", "edges", "categories", "counts", "missing")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    name: str
    edges: _containers.RepeatedScalarFieldContainer[float]
    categories: _containers.RepeatedScalarFieldContainer[str]
    counts: _containers.RepeatedScalarFieldContainer[int]
    missing: int
    def __init__(self, name: _Optional[str] = ..., edges: _Optional[_Iterable[float]] = ..., categories: _Optional[_Iterable[str]] = ..., counts: _Optional[_Iterable[int]] = ..., missing: _Optional[int] = ...) -> None: ...

class AliasMove(_message.Message):
    __slots__ = ("alias", "from_version", "to_version", "principal", "reason", "move_time", "verdict", "approvers")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MOVE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    APPROVERS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    from_version: int
    to_version: int
    principal: str
    reason: str
    move_time: _timestamp_pb2.Timestamp
    verdict: str
    approvers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, alias: _Optional[str] = ..., from_version: _Optional[int] = ..., to_version: _Optional[int] = ..., principal: _Optional[str] = ..., reason: _Optional[str] = ..., move_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verdict: _Optional[str] = ..., approvers: _Optional[_Iterable[str]] = ...) -> None: ...
