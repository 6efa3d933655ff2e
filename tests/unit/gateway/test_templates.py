"""Path templates and routes, without a server."""

from typing import Any
from urllib.parse import quote

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.backends import SERVICES
from penstock_gateway.errors import PathInvalid
from penstock_gateway.json_twins.routes import Routes
from penstock_gateway.json_twins.templates import PathTemplate, RequestPath


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/api/v1/projects", "/api/v1/projects", {}),
        ("/v1/{name=projects/*/runs/*}", "/v1/projects/a/runs/b", {"name": "projects/a/runs/b"}),
        ("/v1/{name=projects/*}:stop", "/v1/projects/a:stop", {"name": "projects/a"}),
        ("/v1/{name=projects/*}:stop", "/v1/projects/a%3Ab:stop", {"name": "projects/a:b"}),
        ("/v1/{name=projects/*}:stop", "/v1/projects/a", None),
        ("/v1/{name=projects/*}", "/v1/projects/a:stop", None),
        ("/v1/{parent=projects/*}/runs:search", "/v1/projects/a/runs:search", {"parent": "projects/a"}),
        ("/v1/{id}/x/{run.name=runs/*}", "/v1/7/x/runs/8", {"id": "7", "run.name": "runs/8"}),
        ("/v1/{name=projects/*}", "/v1/projects/", None),
        ("/v1/{name=projects/*}", "/v1/projects/a/b", None),
        ("/v1/*/x", "/v1/anything/x", {}),
        ("/v1/{name=projects/*}", "/v1/projects/caf%C3%A9", {"name": "projects/café"}),
        ("/v1/%7e", "/v1/~", None),
    ],
)
def test_matching(template: str, path: str, values: dict[str, str] | None) -> None:
    if "%" in template:
        with pytest.raises(ValueError, match="no segment"):
            PathTemplate.parse(template)
        return
    assert PathTemplate.parse(template).match(RequestPath.parse(path.encode())) == values


@pytest.mark.parametrize(
    "template",
    ["", "v1", "/v1/{name=**}", "/v1/**", "/v1/{name", "/v1/{name=a/{b}}", "/v1:two:verbs", "/v1/x y", "/v1/", "/:x"],
)
def test_templates_that_are_none(template: str) -> None:
    with pytest.raises(ValueError):
        PathTemplate.parse(template)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_segment_is_taken_as_it_was_meant_or_refused(segments: list[str]) -> None:
    try:
        raw = ("/" + "/".join(quote(segment, safe="") for segment in segments)).encode()
        path = RequestPath.parse(raw)
    except (PathInvalid, UnicodeEncodeError):
        bad = [s for s in segments if s in {".", ".."} or "/" in s or "\\" in s or not s.isprintable()]
        assert bad
        return
    assert path.segments == tuple(segments)
    assert path.verb == ""


def test_every_route_is_found_by_its_own_path() -> None:
    routes = Routes(SERVICES.items())
    for route in routes:
        text = "/".join("x" if segment == "*" else segment for segment in route.template.segments)
        verb = f":{route.template.verb}" if route.template.verb else ""
        found, _ = routes.find(route.http_method, RequestPath.parse(f"/{text}{verb}".encode()))
        assert found is route


def service_with(get: str = "", post: str = "", body: str = "", **method: bool) -> Routes:
    """Routes of a service with one method that has this annotation."""
    file = descriptor_pb2.FileDescriptorProto(name="bad.proto", package="bad", syntax="proto3")
    message = file.message_type.add(name="Request")
    message.field.add(name="name", number=1, type=9, label=1)
    message.field.add(name="size", number=2, type=5, label=1)
    file.message_type.add(name="Response").field.add(name="error", number=1, type=9, label=1)
    rpc = file.service.add(name="Bad").method.add(
        name="Do", input_type=".bad.Request", output_type=".bad.Response", **method
    )
    rule = rpc.options.Extensions[annotations_pb2.http]
    if get:
        rule.get = get
    else:
        rule.post = post
    rule.body = body
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return Routes([("bad", pool.FindServiceByName("bad.Bad"))])


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        ({"get": "/x/{nothing=a/*}"}, "no field nothing"),
        ({"get": "/x/{size=a/*}"}, "not a string"),
        ({"get": "/x/{name.more=a/*}"}, "no field name.more"),
        ({"post": "/x", "body": "name"}, "not a message"),
        ({"post": "/x", "body": "nothing"}, "no field nothing"),
        ({"post": "/x", "body": "*", "client_streaming": True}, "client stream"),
        ({"get": "/x", "server_streaming": True}, "named `error`"),
        ({"get": "x"}, "starts with a slash"),
    ],
)
def test_annotations_that_cannot_be_served_stop_the_start(annotation: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        service_with(**annotation)
