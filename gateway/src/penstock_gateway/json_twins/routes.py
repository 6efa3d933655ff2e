"""Routes: which RPC answers which HTTP method and path, compiled from the `google.api.http` annotations."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from penstock_gateway.errors import MethodNotAllowed, RouteNotFound
from penstock_gateway.json_twins.templates import PathTemplate, RequestPath

__all__ = ["WHOLE_BODY", "Route", "Routes"]

WHOLE_BODY = "*"
"""The `body` of a rule by which the whole request message but its path fields is in the body."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to reach an RPC over HTTP.

    Attributes:
        backend: The name of the backend that serves it.
        method: The RPC.
        http_method: `GET`, `POST`, ...
        template_text: The path as in the contract.
        template: The path.
        body: `*`, or the request field that is the body, or empty: there is no body.
    """

    backend: str
    method: MethodDescriptor
    http_method: str
    template_text: str
    template: PathTemplate
    body: str

    @property
    def grpc_path(self) -> str:
        """The path of the RPC: `/package.Service/Method`."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


class Routes:
    """All routes of some services.

    Args:
        services: Backend names and the services they serve.

    Raises:
        ValueError: An annotation cannot be served. It comes from our own contract, so this is found by the first start.
    """

    def __init__(self, services: Iterable[tuple[str, ServiceDescriptor]]) -> None:
        self._routes = [route for backend, service in services for route in _compile(backend, service)]
        # A path is looked up by its shape first; the few routes of one shape are then tried in turn.
        self._by_shape: dict[tuple[int, str], list[Route]] = {}
        for route in self._routes:
            shape = len(route.template.segments), route.template.verb
            self._by_shape.setdefault(shape, []).append(route)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def find(self, http_method: str, path: RequestPath) -> tuple[Route, dict[str, str]]:
        """The route of a request and the values of its path variables. Raises `RouteNotFound`, `MethodNotAllowed`."""
        allowed: set[str] = set()
        for route in self._by_shape.get((len(path.segments), path.verb), ()):
            values = route.template.match(path)
            if values is None:
                continue
            if route.http_method == http_method:
                return route, values
            allowed.add(route.http_method)
        if allowed:
            methods = ", ".join(sorted(allowed))
            raise MethodNotAllowed(f"This path takes {methods}, not {http_method}.", allow=methods)
        raise RouteNotFound("There is no such path. /openapi.json lists those there are.")


def _compile(backend: str, service: ServiceDescriptor) -> Iterator[Route]:
    for method in service.methods:
        options: Any = method.GetOptions()  # the stubs do not know extensions
        if not options.HasExtension(annotations_pb2.http):
            continue
        rule = options.Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            yield _compile_binding(backend, method, binding)


def _compile_binding(backend: str, method: MethodDescriptor, rule: http_pb2.HttpRule) -> Route:
    where = method.full_name
    kind = rule.WhichOneof("pattern")
    if kind not in {"get", "put", "post", "delete", "patch"} or rule.response_body:
        raise ValueError(f"{where}: only get, put, post, delete and patch without response_body are served.")
    if method.client_streaming:
        raise ValueError(f"{where}: a client stream has no JSON twin.")
    if method.server_streaming and "error" in method.output_type.fields_by_name:
        raise ValueError(f"{where}: a field named `error` cannot be told from the end of a stream in JSON.")
    text: str = getattr(rule, kind)
    template = PathTemplate.parse(text)
    for variable in template.variables:
        field = _field(method.input_type, variable.field, where)
        if field.is_repeated or field.type != FieldDescriptor.TYPE_STRING:
            raise ValueError(f"{where}: {variable.field} in the path is not a string.")
    if rule.body not in {"", WHOLE_BODY}:
        body = _field(method.input_type, rule.body, where)
        if body.is_repeated or body.message_type is None:
            raise ValueError(f"{where}: the body field {rule.body} is not a message.")
    return Route(backend, method, kind.upper(), text, template, rule.body)


def _field(message: Descriptor, path: str, where: str) -> FieldDescriptor:
    field: FieldDescriptor | None = None
    for name in path.split("."):
        owner = message if field is None else field.message_type
        if owner is None or name not in owner.fields_by_name:
            raise ValueError(f"{where}: the request has no field {path}.")
        field = owner.fields_by_name[name]
    assert field is not None, "a path has at least one part"
    return field
