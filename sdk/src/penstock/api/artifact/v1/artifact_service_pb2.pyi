from google.api import annotations_pb2 as _annotations_pb2
from penstock.api.artifact.v1 import artifact_pb2 as _artifact_pb2
from penstock.api.artifact.v1 import file_pb2 as _file_pb2
from penstock.api.artifact.v1 import media_pb2 as _media_pb2
from penstock.api.artifact.v1 import preview_pb2 as _preview_pb2
from penstock.api.artifact.v1 import transfer_pb2 as _transfer_pb2
from penstock.api.common.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FindMissingBlobsRequest(_message.Message):
    __slots__ = ("parent", "blobs")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    blobs: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.BlobId]
    def __init__(self, parent: _Optional[str] = ..., blobs: _Optional[_Iterable[_Union[_artifact_pb2.BlobId, _Mapping]]] = ...) -> None: ...

class FindMissingBlobsResponse(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.BlobId]
    def __init__(self, missing: _Optional[_Iterable[_Union[_artifact_pb2.BlobId, _Mapping]]] = ...) -> None: ...

class UploadBlobsRequest(_message.Message):
    __slots__ = ("parent", "blob", "data")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    parent: str
    blob: _artifact_pb2.BlobId
    data: bytes
    def __init__(self, parent: _Optional[str] = ..., blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadBlobsResponse(_message.Message):
    __slots__ = ("blob_count",)
    BLOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    blob_count: int
    def __init__(self, blob_count: _Optional[int] = ...) -> None: ...

class PublishArtifactVersionRequest(_message.Message):
    __slots__ = ("parent", "type", "entries", "description", "run", "request_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    type: str
    entries: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.ManifestEntry]
    description: str
    run: str
    request_id: str
    def __init__(self, parent: _Optional[str] = ..., type: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[_artifact_pb2.ManifestEntry, _Mapping]]] = ..., description: _Optional[str] = ..., run: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PublishArtifactVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_pb2.ArtifactVersion
    def __init__(self, version: _Optional[_Union[_artifact_pb2.ArtifactVersion, _Mapping]] = ...) -> None: ...

class GetArtifactRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetArtifactResponse(_message.Message):
    __slots__ = ("artifact",)
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    artifact: _artifact_pb2.Artifact
    def __init__(self, artifact: _Optional[_Union[_artifact_pb2.Artifact, _Mapping]] = ...) -> None: ...

class ListArtifactsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListArtifactsResponse(_message.Message):
    __slots__ = ("artifacts", "next_page_token")
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    artifacts: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.Artifact]
    next_page_token: str
    def __init__(self, artifacts: _Optional[_Iterable[_Union[_artifact_pb2.Artifact, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteArtifactRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteArtifactResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetArtifactVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetArtifactVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_pb2.ArtifactVersion
    def __init__(self, version: _Optional[_Union[_artifact_pb2.ArtifactVersion, _Mapping]] = ...) -> None: ...

class ListArtifactVersionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListArtifactVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.ArtifactVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[_artifact_pb2.ArtifactVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteArtifactVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteArtifactVersionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HoldArtifactVersionRequest(_message.Message):
    __slots__ = ("name", "holder", "lifetime_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    holder: str
    lifetime_s: int
    def __init__(self, name: _Optional[str] = ..., holder: _Optional[str] = ..., lifetime_s: _Optional[int] = ...) -> None: ...

class HoldArtifactVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_pb2.ArtifactVersion
    def __init__(self, version: _Optional[_Union[_artifact_pb2.ArtifactVersion, _Mapping]] = ...) -> None: ...

class ReleaseArtifactVersionsRequest(_message.Message):
    __slots__ = ("parent", "holder")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    holder: str
    def __init__(self, parent: _Optional[str] = ..., holder: _Optional[str] = ...) -> None: ...

class ReleaseArtifactVersionsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListArtifactEntriesRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListArtifactEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.ManifestEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_artifact_pb2.ManifestEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DownloadFileRequest(_message.Message):
    __slots__ = ("name", "path", "offset", "length_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    offset: int
    length_bytes: int
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., length_bytes: _Optional[int] = ...) -> None: ...

class DownloadFileResponse(_message.Message):
    __slots__ = ("blob", "data")
    BLOB_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    blob: _artifact_pb2.BlobId
    data: bytes
    def __init__(self, blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadFileRequest(_message.Message):
    __slots__ = ("parent", "upload", "data")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    parent: str
    upload: _file_pb2.FileUpload
    data: bytes
    def __init__(self, parent: _Optional[str] = ..., upload: _Optional[_Union[_file_pb2.FileUpload, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: _file_pb2.File
    def __init__(self, file: _Optional[_Union[_file_pb2.File, _Mapping]] = ...) -> None: ...

class PutFilesRequest(_message.Message):
    __slots__ = ("parent", "files")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    parent: str
    files: _containers.RepeatedCompositeFieldContainer[_file_pb2.File]
    def __init__(self, parent: _Optional[str] = ..., files: _Optional[_Iterable[_Union[_file_pb2.File, _Mapping]]] = ...) -> None: ...

class PutFilesResponse(_message.Message):
    __slots__ = ("files",)
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[_file_pb2.File]
    def __init__(self, files: _Optional[_Iterable[_Union[_file_pb2.File, _Mapping]]] = ...) -> None: ...

class GetFileRequest(_message.Message):
    __slots__ = ("parent", "path")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    parent: str
    path: str
    def __init__(self, parent: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class GetFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: _file_pb2.File
    def __init__(self, file: _Optional[_Union[_file_pb2.File, _Mapping]] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("parent", "directory", "recursive", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    directory: str
    recursive: bool
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., directory: _Optional[str] = ..., recursive: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_file_pb2.DirectoryEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_file_pb2.DirectoryEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListMediaRequest(_message.Message):
    __slots__ = ("parent", "key", "descending", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    key: str
    descending: bool
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., key: _Optional[str] = ..., descending: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMediaResponse(_message.Message):
    __slots__ = ("files", "next_page_token")
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[_file_pb2.File]
    next_page_token: str
    def __init__(self, files: _Optional[_Iterable[_Union[_file_pb2.File, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListMediaKeysRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class ListMediaKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[_media_pb2.MediaKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[_media_pb2.MediaKey, _Mapping]]] = ...) -> None: ...

class DeleteFilesRequest(_message.Message):
    __slots__ = ("parent", "path")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    parent: str
    path: str
    def __init__(self, parent: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class DeleteFilesResponse(_message.Message):
    __slots__ = ("file_count",)
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    file_count: int
    def __init__(self, file_count: _Optional[int] = ...) -> None: ...

class PublishFilesRequest(_message.Message):
    __slots__ = ("parent", "directory", "artifact", "type", "description")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    directory: str
    artifact: str
    type: str
    description: str
    def __init__(self, parent: _Optional[str] = ..., directory: _Optional[str] = ..., artifact: _Optional[str] = ..., type: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class PublishFilesResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_pb2.ArtifactVersion
    def __init__(self, version: _Optional[_Union[_artifact_pb2.ArtifactVersion, _Mapping]] = ...) -> None: ...

class UseArtifactVersionRequest(_message.Message):
    __slots__ = ("name", "run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    run: str
    def __init__(self, name: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class UseArtifactVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_pb2.ArtifactVersion
    def __init__(self, version: _Optional[_Union[_artifact_pb2.ArtifactVersion, _Mapping]] = ...) -> None: ...

class ListArtifactLinksRequest(_message.Message):
    __slots__ = ("parent", "version", "run", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    version: str
    run: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., version: _Optional[str] = ..., run: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListArtifactLinksResponse(_message.Message):
    __slots__ = ("links", "next_page_token")
    LINKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[_artifact_pb2.ArtifactLink]
    next_page_token: str
    def __init__(self, links: _Optional[_Iterable[_Union[_artifact_pb2.ArtifactLink, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetArtifactStorageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetArtifactStorageResponse(_message.Message):
    __slots__ = ("storage", "direct")
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    storage: _artifact_pb2.ArtifactStorage
    direct: bool
    def __init__(self, storage: _Optional[_Union[_artifact_pb2.ArtifactStorage, _Mapping]] = ..., direct: _Optional[bool] = ...) -> None: ...

class SetArtifactRetentionRequest(_message.Message):
    __slots__ = ("name", "retention")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    retention: _artifact_pb2.ArtifactRetention
    def __init__(self, name: _Optional[str] = ..., retention: _Optional[_Union[_artifact_pb2.ArtifactRetention, _Mapping]] = ...) -> None: ...

class SetArtifactRetentionResponse(_message.Message):
    __slots__ = ("storage",)
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    storage: _artifact_pb2.ArtifactStorage
    def __init__(self, storage: _Optional[_Union[_artifact_pb2.ArtifactStorage, _Mapping]] = ...) -> None: ...

class SetArtifactQuotaRequest(_message.Message):
    __slots__ = ("name", "quota_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    quota_bytes: int
    def __init__(self, name: _Optional[str] = ..., quota_bytes: _Optional[int] = ...) -> None: ...

class SetArtifactQuotaResponse(_message.Message):
    __slots__ = ("storage",)
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    storage: _artifact_pb2.ArtifactStorage
    def __init__(self, storage: _Optional[_Union[_artifact_pb2.ArtifactStorage, _Mapping]] = ...) -> None: ...
