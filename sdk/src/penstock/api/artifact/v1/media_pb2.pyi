import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MediaKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEDIA_KIND_UNSPECIFIED: _ClassVar[MediaKind]
    MEDIA_KIND_IMAGE: _ClassVar[MediaKind]
    MEDIA_KIND_AUDIO: _ClassVar[MediaKind]
    MEDIA_KIND_VIDEO: _ClassVar[MediaKind]
    MEDIA_KIND_TABLE: _ClassVar[MediaKind]
    MEDIA_KIND_HISTOGRAM: _ClassVar[MediaKind]
    MEDIA_KIND_PLOT: _ClassVar[MediaKind]
MEDIA_KIND_UNSPECIFIED: MediaKind
MEDIA_KIND_IMAGE: MediaKind
MEDIA_KIND_AUDIO: MediaKind
MEDIA_KIND_VIDEO: MediaKind
MEDIA_KIND_TABLE: MediaKind
MEDIA_KIND_HISTOGRAM: MediaKind
MEDIA_KIND_PLOT: MediaKind

class Media(_message.Message):
    __slots__ = ("key", "kind", "step", "log_time", "rank", "caption")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    key: str
    kind: MediaKind
    step: int
    log_time: _timestamp_pb2.Timestamp
    rank: int
    caption: str
    def __init__(self, key: _Optional[str] = ..., kind: _Optional[_Union[MediaKind, str]] = ..., step: _Optional[int] = ..., log_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rank: _Optional[int] = ..., caption: _Optional[str] = ...) -> None: ...

class MediaKey(_message.Message):
    __slots__ = ("key", "kind", "last_step")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAST_STEP_FIELD_NUMBER: _ClassVar[int]
    key: str
    kind: MediaKind
    last_step: int
    def __init__(self, key: _Optional[str] = ..., kind: _Optional[_Union[MediaKind, str]] = ..., last_step: _Optional[int] = ...) -> None: ...
