from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AccessScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_SCOPE_UNSPECIFIED: _ClassVar[AccessScope]
    ACCESS_SCOPE_PROJECT: _ClassVar[AccessScope]
    ACCESS_SCOPE_INSTALLATION: _ClassVar[AccessScope]
    ACCESS_SCOPE_AUTHENTICATED: _ClassVar[AccessScope]
    ACCESS_SCOPE_PUBLIC: _ClassVar[AccessScope]
ACCESS_SCOPE_UNSPECIFIED: AccessScope
ACCESS_SCOPE_PROJECT: AccessScope
ACCESS_SCOPE_INSTALLATION: AccessScope
ACCESS_SCOPE_AUTHENTICATED: AccessScope
ACCESS_SCOPE_PUBLIC: AccessScope
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor

class AccessRule(_message.Message):
    __slots__ = ("scope", "permission", "resource_field")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_FIELD_NUMBER: _ClassVar[int]
    scope: AccessScope
    permission: str
    resource_field: str
    def __init__(self, scope: _Optional[_Union[AccessScope, str]] = ..., permission: _Optional[str] = ..., resource_field: _Optional[str] = ...) -> None: ...
