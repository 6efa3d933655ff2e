import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArtifactLinkKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARTIFACT_LINK_KIND_UNSPECIFIED: _ClassVar[ArtifactLinkKind]
    ARTIFACT_LINK_KIND_WRITTEN: _ClassVar[ArtifactLinkKind]
    ARTIFACT_LINK_KIND_USED: _ClassVar[ArtifactLinkKind]
ARTIFACT_LINK_KIND_UNSPECIFIED: ArtifactLinkKind
ARTIFACT_LINK_KIND_WRITTEN: ArtifactLinkKind
ARTIFACT_LINK_KIND_USED: ArtifactLinkKind

class Artifact(_message.Message):
    __slots__ = ("name", "type", "latest_version", "creator", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LATEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    latest_version: int
    creator: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., latest_version: _Optional[int] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ArtifactVersion(_message.Message):
    __slots__ = ("name", "type", "manifest", "file_count", "reference_count", "size_bytes", "description", "creator", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    manifest: str
    file_count: int
    reference_count: int
    size_bytes: int
    description: str
    creator: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., manifest: _Optional[str] = ..., file_count: _Optional[int] = ..., reference_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., description: _Optional[str] = ..., creator: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BlobId(_message.Message):
    __slots__ = ("sha256", "size_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ManifestEntry(_message.Message):
    __slots__ = ("path", "file", "reference")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    path: str
    file: ManifestFile
    reference: ManifestReference
    def __init__(self, path: _Optional[str] = ..., file: _Optional[_Union[ManifestFile, _Mapping]] = ..., reference: _Optional[_Union[ManifestReference, _Mapping]] = ...) -> None: ...

class ManifestFile(_message.Message):
    __slots__ = ("blob", "media_type")
    BLOB_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    blob: BlobId
    media_type: str
    def __init__(self, blob: _Optional[_Union[BlobId, _Mapping]] = ..., media_type: _Optional[str] = ...) -> None: ...

class ManifestReference(_message.Message):
    __slots__ = ("uri", "digest", "size_bytes")
    URI_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    uri: str
    digest: str
    size_bytes: int
    def __init__(self, uri: _Optional[str] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ArtifactLink(_message.Message):
    __slots__ = ("version", "run", "kind", "create_time")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    version: str
    run: str
    kind: ArtifactLinkKind
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., run: _Optional[str] = ..., kind: _Optional[_Union[ArtifactLinkKind, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ArtifactStorage(_message.Message):
    __slots__ = ("name", "used_bytes", "quota_bytes", "retention")
    NAME_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    used_bytes: int
    quota_bytes: int
    retention: ArtifactRetention
    def __init__(self, name: _Optional[str] = ..., used_bytes: _Optional[int] = ..., quota_bytes: _Optional[int] = ..., retention: _Optional[_Union[ArtifactRetention, _Mapping]] = ...) -> None: ...

class ArtifactRetention(_message.Message):
    __slots__ = ("versions_kept", "days_kept")
    VERSIONS_KEPT_FIELD_NUMBER: _ClassVar[int]
    DAYS_KEPT_FIELD_NUMBER: _ClassVar[int]
    versions_kept: int
    days_kept: int
    def __init__(self, versions_kept: _Optional[int] = ..., days_kept: _Optional[int] = ...) -> None: ...
