"""Private twins of other tools' protobuf messages: the fields that are read here, and no others.

The tools' own generated code would bind this package to their versions of protobuf, and registers names that may be taken in
the same process. Field numbers never change meaning, so a twin reads what any version wrote.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

__all__ = ["message_classes"]

_SCALARS: Final = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("double", "float", "int32", "int64", "uint32", "uint64", "sint64", "bool", "string", "bytes")
}


def message_classes(name: str, messages: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Makes message classes.

    Args:
        name: Distinguishes these messages from all others, such as `tensorboard`.
        messages: The fields of each message, as a `.proto` file of proto2 says them: `optional double wall_time = 1`, so that
            a field that is set can be told from one that is not. A type that is neither a scalar nor one of these messages
            is one of `google.protobuf`, such as `Value`.
    """
    package = f"penstock.importers.{name}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"penstock/importers/{name}.proto",
        package=package,
        syntax="proto2",
        dependency=[struct_pb2.DESCRIPTOR.name],
    )
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for text in fields:
            label, kind, field_name, _, number = text.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = descriptor_pb2.FieldDescriptorProto.Label.Value(f"LABEL_{label.upper()}")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}" if kind in messages else f".google.protobuf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        message_name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message_name}"))
        for message_name in messages
    }
