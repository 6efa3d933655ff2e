import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_CREATED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_UPDATED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_RENAMED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_DELETED: _ClassVar[EventType]
    EVENT_TYPE_VERSION_CREATED: _ClassVar[EventType]
    EVENT_TYPE_VERSION_UPDATED: _ClassVar[EventType]
    EVENT_TYPE_VERSION_DELETED: _ClassVar[EventType]
    EVENT_TYPE_STAGE_CHANGED: _ClassVar[EventType]
    EVENT_TYPE_ALIAS_MOVED: _ClassVar[EventType]
    EVENT_TYPE_ALIAS_DELETED: _ClassVar[EventType]
    EVENT_TYPE_POLICY_CHANGED: _ClassVar[EventType]
    EVENT_TYPE_VERDICT_GIVEN: _ClassVar[EventType]
    EVENT_TYPE_APPROVAL_GIVEN: _ClassVar[EventType]

class ConcurrencyKey(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONCURRENCY_KEY_UNSPECIFIED: _ClassVar[ConcurrencyKey]
    CONCURRENCY_KEY_MODEL: _ClassVar[ConcurrencyKey]
    CONCURRENCY_KEY_ALIAS: _ClassVar[ConcurrencyKey]

class DeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_STATE_UNSPECIFIED: _ClassVar[DeliveryState]
    DELIVERY_STATE_PENDING: _ClassVar[DeliveryState]
    DELIVERY_STATE_DELIVERED: _ClassVar[DeliveryState]
    DELIVERY_STATE_FAILED: _ClassVar[DeliveryState]
    DELIVERY_STATE_SUPERSEDED: _ClassVar[DeliveryState]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_MODEL_CREATED: EventType
EVENT_TYPE_MODEL_UPDATED: EventType
EVENT_TYPE_MODEL_RENAMED: EventType
EVENT_TYPE_MODEL_DELETED: EventType
EVENT_TYPE_VERSION_CREATED: EventType
EVENT_TYPE_VERSION_UPDATED: EventType
EVENT_TYPE_VERSION_DELETED: EventType
EVENT_TYPE_STAGE_CHANGED: EventType
EVENT_TYPE_ALIAS_MOVED: EventType
EVENT_TYPE_ALIAS_DELETED: EventType
EVENT_TYPE_POLICY_CHANGED: EventType
EVENT_TYPE_VERDICT_GIVEN: EventType
EVENT_TYPE_APPROVAL_GIVEN: EventType
CONCURRENCY_KEY_UNSPECIFIED: ConcurrencyKey
CONCURRENCY_KEY_MODEL: ConcurrencyKey
CONCURRENCY_KEY_ALIAS: ConcurrencyKey
DELIVERY_STATE_UNSPECIFIED: DeliveryState
DELIVERY_STATE_PENDING: DeliveryState
DELIVERY_STATE_DELIVERED: DeliveryState
DELIVERY_STATE_FAILED: DeliveryState
DELIVERY_STATE_SUPERSEDED: DeliveryState

class Event(_message.Message):
    __slots__ = ("id", "type", "time", "principal", "model", "version", "alias", "former_version", "former_model", "reason", "verdict", "passed", "former_stage", "stage", "chain_length", "set_tags", "removed_tags", "description", "source_uri", "run", "prompt")
    class SetTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    FORMER_VERSION_FIELD_NUMBER: _ClassVar[int]
    FORMER_MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    FORMER_STAGE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    SET_TAGS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_TAGS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: EventType
    time: _timestamp_pb2.Timestamp
    principal: str
    model: str
    version: int
    alias: str
    former_version: int
    former_model: str
    reason: str
    verdict: str
    passed: bool
    former_stage: str
    stage: str
    chain_length: int
    set_tags: _containers.ScalarMap[str, str]
    removed_tags: _containers.RepeatedScalarFieldContainer[str]
    description: str
    source_uri: str
    run: str
    prompt: bool
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[EventType, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., alias: _Optional[str] = ..., former_version: _Optional[int] = ..., former_model: _Optional[str] = ..., reason: _Optional[str] = ..., verdict: _Optional[str] = ..., passed: _Optional[bool] = ..., former_stage: _Optional[str] = ..., stage: _Optional[str] = ..., chain_length: _Optional[int] = ..., set_tags: _Optional[_Mapping[str, str]] = ..., removed_tags: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., source_uri: _Optional[str] = ..., run: _Optional[str] = ..., prompt: _Optional[bool] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("name", "display_name", "types", "model", "alias", "http", "github", "gitlab", "jenkins", "mlflow", "enabled", "concurrency_key", "chain_length_max", "disabled_reason", "creator", "create_time", "update_time", "etag", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    GITHUB_FIELD_NUMBER: _ClassVar[int]
    GITLAB_FIELD_NUMBER: _ClassVar[int]
    JENKINS_FIELD_NUMBER: _ClassVar[int]
    MLFLOW_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CHAIN_LENGTH_MAX_FIELD_NUMBER: _ClassVar[int]
    DISABLED_REASON_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    types: _containers.RepeatedScalarFieldContainer[EventType]
    model: str
    alias: str
    http: HttpTarget
    github: GitHubTarget
    gitlab: GitLabTarget
    jenkins: JenkinsTarget
    mlflow: MlflowTarget
    enabled: bool
    concurrency_key: ConcurrencyKey
    chain_length_max: int
    disabled_reason: str
    creator: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    description: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., types: _Optional[_Iterable[_Union[EventType, str]]] = ..., model: _Optional[str] = ..., alias: _Optional[str] = ..., http: _Optional[_Union[HttpTarget, _Mapping]] = ..., github: _Optional[_Union[GitHubTarget, _Mapping]] = ..., gitlab: _Optional[_Union[GitLabTarget, _Mapping]] = ..., jenkins: _Optional[_Union[JenkinsTarget, _Mapping]] = ..., mlflow: _Optional[_Union[MlflowTarget, _Mapping]] = ..., enabled: _Optional[bool] = ..., concurrency_key: _Optional[_Union[ConcurrencyKey, str]] = ..., chain_length_max: _Optional[int] = ..., disabled_reason: _Optional[str] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class HttpTarget(_message.Message):
    __slots__ = ("url",)
    URL_FIELD_NUMBER: _ClassVar[int]
    url: str
    def __init__(self, url: _Optional[str] = ...) -> None: ...

class GitHubTarget(_message.Message):
    __slots__ = ("api_url", "repository", "workflow", "ref", "token")
    API_URL_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    api_url: str
    repository: str
    workflow: str
    ref: str
    token: str
    def __init__(self, api_url: _Optional[str] = ..., repository: _Optional[str] = ..., workflow: _Optional[str] = ..., ref: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class GitLabTarget(_message.Message):
    __slots__ = ("url", "project", "ref", "token")
    URL_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    url: str
    project: str
    ref: str
    token: str
    def __init__(self, url: _Optional[str] = ..., project: _Optional[str] = ..., ref: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class JenkinsTarget(_message.Message):
    __slots__ = ("job_url", "user", "token")
    JOB_URL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_url: str
    user: str
    token: str
    def __init__(self, job_url: _Optional[str] = ..., user: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class MlflowTarget(_message.Message):
    __slots__ = ("url", "events", "secret")
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    url: str
    events: _containers.RepeatedScalarFieldContainer[str]
    secret: str
    def __init__(self, url: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ..., secret: _Optional[str] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("name", "event", "state", "attempts", "create_time", "next_attempt_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    event: Event
    state: DeliveryState
    attempts: _containers.RepeatedCompositeFieldContainer[DeliveryAttempt]
    create_time: _timestamp_pb2.Timestamp
    next_attempt_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., state: _Optional[_Union[DeliveryState, str]] = ..., attempts: _Optional[_Iterable[_Union[DeliveryAttempt, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeliveryAttempt(_message.Message):
    __slots__ = ("time", "duration_ms", "http_status", "error")
    TIME_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    duration_ms: int
    http_status: int
    error: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[int] = ..., http_status: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...
