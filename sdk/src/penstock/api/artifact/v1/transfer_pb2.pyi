import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.api.artifact.v1 import artifact_pb2 as _artifact_pb2
from penstock.api.artifact.v1 import file_pb2 as _file_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BlobUpload(_message.Message):
    __slots__ = ("name", "blob", "part_bytes", "missing_parts", "direct", "expire_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    PART_BYTES_FIELD_NUMBER: _ClassVar[int]
    MISSING_PARTS_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    blob: _artifact_pb2.BlobId
    part_bytes: int
    missing_parts: _containers.RepeatedScalarFieldContainer[int]
    direct: bool
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ..., part_bytes: _Optional[int] = ..., missing_parts: _Optional[_Iterable[int]] = ..., direct: _Optional[bool] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SignedUrl(_message.Message):
    __slots__ = ("url", "expire_time")
    URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    url: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, url: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BeginBlobUploadRequest(_message.Message):
    __slots__ = ("parent", "blob")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    parent: str
    blob: _artifact_pb2.BlobId
    def __init__(self, parent: _Optional[str] = ..., blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ...) -> None: ...

class BeginBlobUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: BlobUpload
    def __init__(self, upload: _Optional[_Union[BlobUpload, _Mapping]] = ...) -> None: ...

class SignUploadPartsRequest(_message.Message):
    __slots__ = ("name", "parts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., parts: _Optional[_Iterable[int]] = ...) -> None: ...

class SignUploadPartsResponse(_message.Message):
    __slots__ = ("urls",)
    URLS_FIELD_NUMBER: _ClassVar[int]
    urls: _containers.RepeatedCompositeFieldContainer[SignedUrl]
    def __init__(self, urls: _Optional[_Iterable[_Union[SignedUrl, _Mapping]]] = ...) -> None: ...

class UploadPartsRequest(_message.Message):
    __slots__ = ("name", "part", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    part: int
    data: bytes
    def __init__(self, name: _Optional[str] = ..., part: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadPartsResponse(_message.Message):
    __slots__ = ("part",)
    PART_FIELD_NUMBER: _ClassVar[int]
    part: int
    def __init__(self, part: _Optional[int] = ...) -> None: ...

class FinishBlobUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FinishBlobUploadResponse(_message.Message):
    __slots__ = ("verified_bytes", "done")
    VERIFIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    verified_bytes: int
    done: bool
    def __init__(self, verified_bytes: _Optional[int] = ..., done: _Optional[bool] = ...) -> None: ...

class FinishFileUploadRequest(_message.Message):
    __slots__ = ("name", "parent", "file", "part_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: str
    file: _file_pb2.FileUpload
    part_count: int
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[str] = ..., file: _Optional[_Union[_file_pb2.FileUpload, _Mapping]] = ..., part_count: _Optional[int] = ...) -> None: ...

class FinishFileUploadResponse(_message.Message):
    __slots__ = ("digested_bytes", "file")
    DIGESTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    digested_bytes: int
    file: _file_pb2.File
    def __init__(self, digested_bytes: _Optional[int] = ..., file: _Optional[_Union[_file_pb2.File, _Mapping]] = ...) -> None: ...

class AbortBlobUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class AbortBlobUploadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SignFileDownloadRequest(_message.Message):
    __slots__ = ("name", "path")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class SignFileDownloadResponse(_message.Message):
    __slots__ = ("url", "blob")
    URL_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    url: SignedUrl
    blob: _artifact_pb2.BlobId
    def __init__(self, url: _Optional[_Union[SignedUrl, _Mapping]] = ..., blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ...) -> None: ...

class DownloadFilesRequest(_message.Message):
    __slots__ = ("name", "paths")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class DownloadFilesResponse(_message.Message):
    __slots__ = ("pieces",)
    PIECES_FIELD_NUMBER: _ClassVar[int]
    pieces: _containers.RepeatedCompositeFieldContainer[FilePiece]
    def __init__(self, pieces: _Optional[_Iterable[_Union[FilePiece, _Mapping]]] = ...) -> None: ...

class FilePiece(_message.Message):
    __slots__ = ("file", "data")
    FILE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    file: int
    data: bytes
    def __init__(self, file: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
