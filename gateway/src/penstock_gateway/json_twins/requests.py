"""HTTP to a request message: the body, the query and the path, by the rules of `google.api.http` and proto3 JSON.

Names are accepted as in the contract (`page_size`) and as proto3 JSON writes them (`pageSize`). What names no field, or
would set one field from two places, is an error and never ignored: a misspelt `filter` must not answer with everything.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from penstock_gateway.errors import JsonInvalid, PathInvalid, QueryInvalid
from penstock_gateway.json_twins.routes import WHOLE_BODY, Route

__all__ = ["build_request"]

_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_FIELD_MASK = "google.protobuf.FieldMask"
# Messages that proto3 JSON writes as one string, so that a query parameter can hold them.
_STRING_MESSAGES = frozenset({_FIELD_MASK, "google.protobuf.Timestamp", "google.protobuf.Duration"})


def build_request(route: Route, path: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes) -> Message:
    """Makes the request message of a route.

    Args:
        route: The route.
        path: The values of the path variables, by field.
        query: The query parameters, decoded, in order.
        body: The body as it came.

    Raises:
        JsonInvalid: The body is not JSON of the message, or there is one and the route takes none.
        QueryInvalid: A parameter names no field or holds no value of it, or belongs into the body.
        PathInvalid: The body says something else than the path.
    """
    request = GetMessageClass(route.method.input_type)()
    if route.body:
        _read_body(route, body, request)
    elif body:
        raise JsonInvalid(f"{route.http_method} takes no body here.")
    parameters = _read_query(route, path, query)
    if parameters:
        _parse(parameters, request, QueryInvalid, "The query")
    for field, value in path.items():
        _set_from_path(request, field, value)
    return request


def _read_body(route: Route, body: bytes, request: Message) -> None:
    target = request
    if route.body != WHOLE_BODY:
        target = getattr(request, route.body)
        target.SetInParent()
    if not body:
        return  # an empty body is an empty message, so that verbs without arguments need none
    try:
        # A lone surrogate or a byte order mark is no UTF-8 JSON.
        value = json.loads(body.decode(), object_pairs_hook=_object)
    except RecursionError as error:
        raise JsonInvalid("The body is nested too deeply.") from error
    except ValueError as error:
        raise JsonInvalid(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise JsonInvalid("The body is not a JSON object.")
    _parse(value, target, JsonInvalid, "The body")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return value


def _parse(value: dict[str, Any], message: Message, error_type: type[JsonInvalid | QueryInvalid], what: str) -> None:
    try:
        json_format.ParseDict(value, message)
    except json_format.ParseError as error:
        text = str(error).replace("\n", " ")
        raise error_type(f"{what} is not a {message.DESCRIPTOR.name}: {text}") from error
    except (RecursionError, OverflowError, TypeError, ValueError, AttributeError) as error:
        # The converter trusts the shapes of a few well-known types more than it should.
        raise error_type(f"{what} is not a {message.DESCRIPTOR.name}.") from error


def _read_query(route: Route, path: Mapping[str, str], query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters as the proto3 JSON object that says the same."""
    result: dict[str, Any] = {}
    for name, text in query:
        if route.body == WHOLE_BODY:
            raise QueryInvalid(f"{name!r}: this call takes no query parameters, all its fields are in the body.")
        fields = _find(route.method.input_type, name)
        dotted = ".".join(field.name for field in fields)
        if dotted in path:
            raise QueryInvalid(f"{name!r} is in the path already.")
        if route.body and fields[0].name == route.body:
            raise QueryInvalid(f"{name!r} belongs into the body.")
        leaf = fields[-1]
        value = _value(leaf, name, text)
        owner = result
        for field in fields[:-1]:
            owner = owner.setdefault(field.name, {})
        if leaf.is_repeated:
            owner.setdefault(leaf.name, []).append(value)
        elif leaf.name in owner:
            raise QueryInvalid(f"{name!r} is there twice and holds one value only.")
        else:
            owner[leaf.name] = value
    return result


def _find(message: Descriptor, name: str) -> list[FieldDescriptor]:
    """The fields along a dotted parameter name."""
    fields: list[FieldDescriptor] = []
    owner: Descriptor | None = message
    for part in name.split("."):
        field = None
        if owner is not None and owner.full_name not in _STRING_MESSAGES:
            field = owner.fields_by_name.get(part) or next((f for f in owner.fields if f.json_name == part), None)
        if field is None or (fields and fields[-1].is_repeated):
            raise QueryInvalid(f"{name!r} is no parameter of this call.")
        fields.append(field)
        owner = field.message_type
    return fields


def _value(field: FieldDescriptor, name: str, text: str) -> Any:
    """A parameter's text as the JSON value that proto3 JSON would have there."""
    if field.message_type is not None:
        if field.message_type.full_name not in _STRING_MESSAGES:
            raise QueryInvalid(f"{name!r} is an object: name its fields, as in {name}.field=value.")
        if field.message_type.full_name == _FIELD_MASK:
            return ",".join(_camel(path.strip()) for path in text.split(",")) if text.strip() else ""
        return text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in {"true", "false"}:
            raise QueryInvalid(f"{name!r} is true or false.")
        return text == "true"
    if field.cpp_type in _INTEGERS:
        if not _INTEGER.fullmatch(text):
            raise QueryInvalid(f"{name!r} is a whole number.")
        return int(text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM and _INTEGER.fullmatch(text):
        return int(text)
    return text


def _camel(path: str) -> str:
    """A mask path as proto3 JSON writes it: `display_name` as `displayName`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), path)


def _set_from_path(request: Message, field: str, value: str) -> None:
    *owners, leaf = field.split(".")
    owner = request
    for name in owners:
        owner = getattr(owner, name)
    said = getattr(owner, leaf)
    if said not in {"", value}:
        raise PathInvalid(f"The path says {value!r} and the body says {said!r} for {field}.")
    setattr(owner, leaf, value)
