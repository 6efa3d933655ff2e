import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.api.artifact.v1 import artifact_pb2 as _artifact_pb2
from penstock.api.artifact.v1 import media_pb2 as _media_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class File(_message.Message):
    __slots__ = ("parent", "path", "blob", "media_type", "creator", "update_time", "media")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    parent: str
    path: str
    blob: _artifact_pb2.BlobId
    media_type: str
    creator: str
    update_time: _timestamp_pb2.Timestamp
    media: _media_pb2.Media
    def __init__(self, parent: _Optional[str] = ..., path: _Optional[str] = ..., blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ..., media_type: _Optional[str] = ..., creator: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., media: _Optional[_Union[_media_pb2.Media, _Mapping]] = ...) -> None: ...

class DirectoryEntry(_message.Message):
    __slots__ = ("file", "directory")
    FILE_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    file: File
    directory: str
    def __init__(self, file: _Optional[_Union[File, _Mapping]] = ..., directory: _Optional[str] = ...) -> None: ...

class FileUpload(_message.Message):
    __slots__ = ("path", "media_type", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    media_type: str
    size_bytes: int
    def __init__(self, path: _Optional[str] = ..., media_type: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...
