"""OpenAPI 3.1 of the JSON twins, from the descriptors that the routes are made from.

Summaries are the names of the RPCs in words; what they mean in detail is in the comments of the contract under
`protos/`, which descriptors at run time do not carry.
"""

import re
from collections import Counter
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from penstock_gateway.json_twins.routes import WHOLE_BODY, Route, Routes
from penstock_gateway.json_twins.templates import ANY
from penstock_kit.access import AccessScope, access_rule

__all__ = ["describe"]

Schema = dict[str, Any]

_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {"type": "string", "description": "The google.rpc.Code, such as NOT_FOUND."},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "description": "A google.rpc.ErrorInfo with the reason for programs.",
                        "properties": {
                            "@type": {"type": "string"},
                            "reason": {"type": "string"},
                            "domain": {"type": "string"},
                            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                        },
                    },
                },
            },
        }
    },
}

_INT64: Schema = {"type": "string", "format": "int64"}
_UINT64: Schema = {"type": "string", "format": "uint64"}
_INT32: Schema = {"type": "integer", "format": "int32"}
_UINT32: Schema = {"type": "integer", "format": "uint32", "minimum": 0}
_DOUBLE: Schema = {"oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}

_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: _DOUBLE,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_FLOAT: _DOUBLE,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_UINT64: _UINT64,
}

_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "description": "Field names, separated by commas."},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}


def describe(routes: Routes, version: str) -> dict[str, Any]:
    """Describes routes as an OpenAPI document.

    Args:
        routes: The routes.
        version: The version of the platform.
    """
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    met: Counter[str] = Counter()
    for route in routes:
        text, parameters = _path(route)
        name = route.method.name
        met[name] += 1
        # An operation has a single route in OpenAPI: of a method with several, the later ones are numbered.
        operation_id = name if met[name] == 1 else f"{name}{met[name]}"
        paths.setdefault(text, {})[route.http_method.lower()] = _operation(route, operation_id, parameters, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": version},
        "paths": paths,
        "security": [{"bearer": []}],
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A personal access token (pst_...) or an access token (JWT).",
                }
            },
            "schemas": {**schemas.known, "Error": _ERROR},
        },
    }


class _Schemas:
    """The schemas of messages and enums met so far, by name."""

    def __init__(self) -> None:
        self.known: dict[str, Schema] = {}

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field's value."""
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self.single(entry.fields_by_name["value"])}
        if field.is_repeated:
            return {"type": "array", "items": self.single(field)}
        return self.single(field)

    def single(self, field: FieldDescriptor) -> Schema:
        """The schema of one value of a field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self.enum(field.enum_type)
        return _SCALARS[field.type]

    def message(self, message: Descriptor) -> Schema:
        """A reference to the schema of a message, which is added if it is new."""
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        name = _schema_name(message)
        if name not in self.known:
            self.known[name] = {}  # a message may contain itself
            self.known[name] = {
                "type": "object",
                "properties": {field.json_name: self.field(field) for field in message.fields},
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def enum(self, enum: EnumDescriptor) -> Schema:
        """A reference to the schema of an enum, which is added if it is new."""
        name = _schema_name(enum)
        self.known[name] = {"type": "string", "enum": [value.name for value in enum.values]}
        return {"$ref": f"#/components/schemas/{name}"}


def _schema_name(thing: Descriptor | EnumDescriptor) -> str:
    """`penstock.api.tracking.v1.Run` as `tracking.v1.Run`."""
    return thing.full_name.removeprefix("penstock.api.")


def _path(route: Route) -> tuple[str, list[Schema]]:
    """The path with a parameter for each open segment, named after the collection before it, and these parameters."""
    template = route.template
    names: list[str] = []
    segments: list[str] = []
    for index, segment in enumerate(template.segments):
        if segment != ANY:
            segments.append(segment)
            continue
        collection = template.segments[index - 1]
        names.append(re.sub(r"s$", "", collection))
        segments.append(f"{{{names[-1]}}}")
    text = "/" + "/".join(segments) + (f":{template.verb}" if template.verb else "")
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return text, parameters


def _operation(route: Route, operation_id: str, parameters: list[Schema], schemas: _Schemas) -> Schema:
    method = route.method
    words = re.findall(r"[A-Z][a-z]*", method.name)
    operation: Schema = {
        "operationId": operation_id,
        "summary": " ".join([words[0], *(word.lower() for word in words[1:])]),
        "tags": [method.containing_service.name],
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", "content": _content(route, schemas)},
            "default": {
                "description": "Refused or failed.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if access_rule(method).scope is AccessScope.PUBLIC:
        operation["security"] = []
    in_path = {variable.field for variable in route.template.variables}
    if route.body == WHOLE_BODY:
        operation["requestBody"] = _body(schemas.message(method.input_type))
    else:
        if route.body:
            operation["requestBody"] = _body(schemas.single(method.input_type.fields_by_name[route.body]))
        operation["parameters"] = parameters + _query(method.input_type, "", "", {route.body} | in_path, schemas)
    return operation


def _body(schema: Schema) -> Schema:
    # Fields that are in the path may be left out of the body.
    return {"required": False, "content": {"application/json": {"schema": schema}}}


def _content(route: Route, schemas: _Schemas) -> Schema:
    schema = schemas.message(route.method.output_type)
    if not route.method.server_streaming:
        return {"application/json": {"schema": schema}}
    # One message per line; a last line with `error` alone says that the stream broke off.
    return {"application/x-ndjson": {"schema": {"oneOf": [schema, {"$ref": "#/components/schemas/Error"}]}}}


def _query(message: Descriptor, prefix: str, json_prefix: str, excluded: set[str], schemas: _Schemas) -> list[Schema]:
    """The fields of a request that go into the query: scalars and lists of them, also within messages."""
    parameters: list[Schema] = []
    for field in message.fields:
        dotted = prefix + field.name
        if dotted in excluded:
            continue
        nested = field.message_type
        if nested is not None and nested.full_name not in _WELL_KNOWN:
            if not field.is_repeated:
                inner = _query(nested, f"{dotted}.", f"{json_prefix}{field.json_name}.", excluded, schemas)
                parameters += inner
            continue
        parameters.append({"name": json_prefix + field.json_name, "in": "query", "schema": schemas.field(field)})
    return parameters
