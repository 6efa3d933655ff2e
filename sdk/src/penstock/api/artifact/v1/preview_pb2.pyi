from penstock.api.artifact.v1 import artifact_pb2 as _artifact_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TextFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TEXT_FORMAT_UNSPECIFIED: _ClassVar[TextFormat]
    TEXT_FORMAT_PLAIN: _ClassVar[TextFormat]
    TEXT_FORMAT_JSON: _ClassVar[TextFormat]
    TEXT_FORMAT_MARKDOWN: _ClassVar[TextFormat]
TEXT_FORMAT_UNSPECIFIED: TextFormat
TEXT_FORMAT_PLAIN: TextFormat
TEXT_FORMAT_JSON: TextFormat
TEXT_FORMAT_MARKDOWN: TextFormat

class FilePreview(_message.Message):
    __slots__ = ("blob", "text", "table", "media", "problem")
    BLOB_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    blob: _artifact_pb2.BlobId
    text: TextPreview
    table: TablePreview
    media: MediaPreview
    problem: str
    def __init__(self, blob: _Optional[_Union[_artifact_pb2.BlobId, _Mapping]] = ..., text: _Optional[_Union[TextPreview, _Mapping]] = ..., table: _Optional[_Union[TablePreview, _Mapping]] = ..., media: _Optional[_Union[MediaPreview, _Mapping]] = ..., problem: _Optional[str] = ...) -> None: ...

class TextPreview(_message.Message):
    __slots__ = ("text", "format", "truncated")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    text: str
    format: TextFormat
    truncated: bool
    def __init__(self, text: _Optional[str] = ..., format: _Optional[_Union[TextFormat, str]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class TablePreview(_message.Message):
    __slots__ = ("columns", "rows", "column_count", "row_count")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMN_COUNT_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[TableColumn]
    rows: _containers.RepeatedCompositeFieldContainer[TableRow]
    column_count: int
    row_count: int
    def __init__(self, columns: _Optional[_Iterable[_Union[TableColumn, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[TableRow, _Mapping]]] = ..., column_count: _Optional[int] = ..., row_count: _Optional[int] = ...) -> None: ...

class TableColumn(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class TableRow(_message.Message):
    __slots__ = ("cells",)
    CELLS_FIELD_NUMBER: _ClassVar[int]
    cells: _containers.RepeatedCompositeFieldContainer[TableCell]
    def __init__(self, cells: _Optional[_Iterable[_Union[TableCell, _Mapping]]] = ...) -> None: ...

class TableCell(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class MediaPreview(_message.Message):
    __slots__ = ("media_type",)
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    def __init__(self, media_type: _Optional[str] = ...) -> None: ...

class PreviewFileRequest(_message.Message):
    __slots__ = ("name", "path")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class PreviewFileResponse(_message.Message):
    __slots__ = ("preview",)
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    preview: FilePreview
    def __init__(self, preview: _Optional[_Union[FilePreview, _Mapping]] = ...) -> None: ...
