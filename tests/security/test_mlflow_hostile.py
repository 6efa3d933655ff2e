"""Each field of each operation of MLflow's API, one by one, with hostile values in requests that are right otherwise.

`test_mlflow_bad_input.py` sends what is wrong as a whole, and so is mostly refused at the first field. Here the rest is
right, so that the value reaches whatever reads it.
"""

import itertools
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import pytest_asyncio
from support.gateway import Installation, installation

from penstock_gateway.mlflow import calls
from penstock_gateway.mlflow.fields import Field
from penstock_gateway.mlflow.routes import ROUTES, FileRoute, Route
from penstock_kit.ids import random_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "2.0/mlflow"
DEEP: Any = {}
for _ in range(900):
    DEEP = [DEEP]
WRONG: tuple[Any, ...] = ([[]], DEEP, [[[{"a": 1}]]])
"""Of the wrong type for every kind of field."""

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**63, -(2**63) - 1, 10**400, 1e308, "",
    " ", "0", "-1", "NaN", "1e999", "\x00", "\ud800", "é" * 300,
    "a" * 300_000, "../x", "..%2fx", "%2e%2e/x", "%252e%252e%252fx", "a\\..\\x", "a;b", "a#b", "a?b", "/etc/passwd",
    "//host/share", "\\\\host\\share", "C:\\x", "c:/x", "file:///etc/passwd", "file:etc", "http://169.254.169.254/x",
    "gopher://x", "s3://b/../x", "s3://b/%2e%2e/x", "s3://b/x;y", "s3://b/x#y", "mlflow-artifacts:/../x", "runs:/../x",
    "models:/../1", "' OR 1=1 --", "{{x}}", "<script>", "\u202e", [], {}, [None], [""], ["../x"], [{}], [{"key": "../x"}],
    [{"key": "k"}] * 1_001, [{"key": "k", "value": "v" * 200_000}], [{"key": None, "value": None, "timestamp": None}],
    [{"key": "k", "value": 1, "timestamp": -1, "step": 2**70}], [{"dataset": {"name": "x" * 600, "source": "../x"}}],
    [{"entity": 99, "action": -1}], {"entity": "PROMPT", "action": "SET"}, "a LIKE '%" + "%a" * 300 + "'", "(" * 300,
)  # fmt: skip
URIS = frozenset({"artifact_location", "source"})
"""The fields that hold a URI."""

PATHS = frozenset({"path", "artifact_directory_path"})
"""The fields that hold a path below the files of a run or a logged model."""

ASTRAY = (
    "/etc/passwd", "etc", "./x", "../x", "..", "~/x", "//host/share", "\\\\host\\share", "\\x", "C:\\x", "c:/x", "file:///etc",
    "file://host/share", "file:etc", "FILE:///etc", "s3://b/../x", "s3://b/x/..", "s3://b/%2e%2e/x", "s3://b/%2E./x",
    "s3://b/%252e%252e/x", "s3://../x", "s3://b/x\\y", "s3://b/x%5cy", "s3://b/x;y", "s3://b/x%3by", "s3://b/x#y", "s3://b/x%23y",
    "s3://b/x?a=../y", "s3://b/\x00", "s3://b/%00", "s3://b/a\nb", "http://localhost/x", "https://host/x", "ftp://h/x",
    "javascript:alert(1)", "data:text/plain,x", "mlflow-artifacts:/../x", "mlflow-artifacts:/1/%2e%2e/x", "dbfs:/../x",
)  # fmt: skip

ASTRAY_PATHS = (
    "..", "../x", "x/../y", "x/..", "x/./y", "%2e%2e/x",
    "x/%2E%2e/y", "%252e%252e/x", "..%2fx", "x%2f..%2fy", "/etc/passwd", "//host/share",
    "\\\\host\\share", "x\\y", "x%5cy", "x%255cy",
    "..\\x", "C:\\x", "x;y", "x%3by", "x#y", "x%23y", "x\x00y", "x%00y", "x\ny",
)  # fmt: skip


class World:
    """A project with one of each resource, and a request that is right for each operation.

    Attributes:
        fresh: Makes names that are not taken.
        known: What is there, by the fields that name it, and a value that is right for other fields.
        fields: Of the operation that was called last.
    """

    def __init__(self, whole: Installation) -> None:
        self._whole = whole
        self._project = f"hostile-{random_id()[:12]}"
        self.fresh = (f"fresh-{number}" for number in itertools.count())
        self.known: dict[str, Any] = {}
        self.fields: Sequence[Field] = ()

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """Makes a request below `/api` of the project."""
        return await self._whole.call(method, f"/projects/{self._project}/api/{path}", body, **options)

    async def make(self) -> None:
        async def post(path: str, body: Any) -> Any:
            answer = await self.call("POST", f"{API}/{path}", body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        made = await self._whole.call("POST", "/api/v1/projects", {"projectId": self._project})
        assert made.status_code == 200, made.text
        experiment = (await post("experiments/create", {"name": "kept"}))["experiment_id"]
        run = (await post("runs/create", {"experiment_id": experiment, "start_time": 1}))["run"]["info"]["run_id"]
        logged = (await post("logged-models", {"experiment_id": experiment, "name": "kept"}))["model"]["info"]
        await post("runs/log-batch", {"run_id": run, "tags": [{"key": "t", "value": "1"}]})
        await post("registered-models/create", {"name": "kept"})
        await post("model-versions/create", {"name": "kept", "source": "s3://bucket/kept"})
        await post("registered-models/alias", {"name": "kept", "alias": "best", "version": "1"})
        artifacts = f"{experiment}/{run}/artifacts"
        kept = await self.call("PUT", f"2.0/mlflow-artifacts/artifacts/{artifacts}/kept.txt", content=b"kept")
        assert kept.status_code == 200, kept.text
        events = [{"entity": "PROMPT", "action": "CREATED"}]
        hook = await post("webhooks", {"name": "kept", "url": "https://example.test/", "events": events})
        self.known = {
            "experiment_id": experiment,
            "experiment_ids": [experiment],
            "experiment_name": "kept",
            "name": "kept",
            "run_id": run,
            "run_uuid": run,
            "run_ids": [run],
            "metric_key": "m",
            "max_results": 5,
            "model_id": logged["model_id"],
            "webhook_id": hook["webhook"]["webhook_id"],
            "tag_key": "absent",
            "version": "1",
            "alias": "best",
            "stage": "Staging",
            "status": 1,
            "key": "t",
            "value": "1",
            "timestamp": 1,
            "model_json": "{}",
            "source": "s3://bucket/kept",
            "models": [],
            "url": "https://example.test/",
            "events": events,
            "artifact_path": f"{artifacts}/kept.txt",
        }

    def request(self, route: Route | FileRoute) -> dict[str, Any]:
        """The fields of an operation, as it takes them."""
        body = {field.name: self.known[field.name] for field in self.fields if field.name in self.known}
        if route.path.endswith(("/create", "/experiments/update", "/rename")) and "/model-versions/" not in route.path:
            body |= {
                name: next(self.fresh) for name in ("name", "new_name") if name in body or route.path.endswith("e")
            }
        if route.path.endswith("/rename"):
            body["name"] = "kept"
        if "logged-models/search" not in route.path and "logged-models" in route.path:
            body["status"] = "LOGGED_MODEL_READY"
        return body

    async def send(self, route: Route | FileRoute, body: dict[str, Any], **path: str) -> httpx2.Response:
        place = route.path.format(**(self.known | path)).removeprefix("/")
        if route.method == "GET":
            query = {
                name: value
                for name, value in body.items()
                if isinstance(value, str | int | float | list)
                and not (isinstance(value, list) and any(not isinstance(one, str) for one in value))
                and "\ud800" not in str(value)
                and len(str(value)) < 10_000
            }
            return await self.call("GET", place, params=query)
        headers = {"Content-Type": "application/json"}
        return await self.call(route.method, place, content=json.dumps(body).encode(), headers=headers)

    async def state(self) -> list[Any]:
        """All that is kept."""
        found = []
        for path in (
            f"runs/get?run_id={self.known['run_id']}",
            f"experiments/get?experiment_id={self.known['experiment_id']}",
            f"logged-models/{self.known['model_id']}",
            "experiments/search?max_results=1000&view_type=ALL",
            "registered-models/search?max_results=1000",
            "model-versions/search?max_results=1000",
            "webhooks?max_results=1000",
            f"artifacts/list?run_id={self.known['run_id']}",
        ):
            answer = await self.call("GET", f"{API}/{path}")
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installation(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def world(whole: Installation, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(whole)
    inner = calls.read

    def read(request: Any, fields: Sequence[Field]) -> Any:
        world.fields = fields
        return inner(request, fields)

    monkeypatch.setattr(calls, "read", read)
    await world.make()
    return world


async def learned(world: World, route: Route | FileRoute) -> list[str]:
    """The names of the fields of an operation, which it looks at before it refuses."""
    world.fields = ()
    checked(await world.send(route, {"": ""}, model_id="x", webhook_id="x", artifact_path="x"), route, {})
    return [field.name for field in world.fields]


def checked(answer: httpx2.Response, route: Route | FileRoute, sent: Any) -> None:
    where = f"{route.method} {route.path} {json.dumps(sent)[:300]}"
    if answer.status_code == 501:  # what MLflow's own server does not do either, with files that pass through it
        assert answer.json()["error_code"] == "NOT_IMPLEMENTED", where
        return
    assert answer.status_code < 500, (where, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error_code", "message"}, (where, answer.text)
        assert len(answer.content) < 20_000, where


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_field_of_an_operation(world: World, route: Route | FileRoute) -> None:
    names = await learned(world, route)
    before = await world.state()
    if route.method != "GET":
        for name in names:
            for value in WRONG:
                sent = world.request(route) | {name: value}
                answer = await world.send(route, sent)
                checked(answer, route, sent)
                assert answer.status_code == 400, (route.path, name, answer.text)
        assert await world.state() == before
    for index, name in enumerate(names):
        # Every value meets every kind of field many times over; each field meets a third of them.
        for value in HOSTILE[index % 3 :: 3]:
            sent = world.request(route) | {name: value}
            answer = await world.send(route, sent)
            checked(answer, route, sent)
    for name in set(re.findall(r"\{(\w+)\}", route.path)) - {"artifact_path"}:
        for value in (
            "%2e%2e",
            "..%2f..",
            "a%5Cb",
            "%00",
            "a%3Bb",
            "a%23b",
            "x" * 3_000,
            "%ff",
            "é",
            "m-" + "0" * 32,
        ):
            answer = await world.send(route, world.request(route), **{name: value})
            checked(answer, route, {name: value})
            assert answer.status_code in (400, 404), (route.path, value, answer.text)


async def test_uris_that_lead_astray_are_refused_wherever_one_is_taken(world: World) -> None:
    taken = 0
    for route in ROUTES:
        for name in URIS.intersection(await learned(world, route)):
            taken += 1
            before = await world.state()
            for uri in ASTRAY:
                answer = await world.send(route, world.request(route) | {name: uri})
                checked(answer, route, uri)
                assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), uri
                assert await world.state() == before
    assert taken == 2


async def test_paths_that_lead_astray_are_refused_wherever_one_is_taken(world: World) -> None:
    taken = 0
    before = await world.state()
    for route in ROUTES:
        for name in PATHS.intersection(await learned(world, route)):
            taken += 1
            for path in ASTRAY_PATHS:
                answer = await world.send(route, world.request(route) | {name: path})
                checked(answer, route, path)
                # 501: of an operation that does nothing.
                assert answer.status_code in (400, 501), (route.path, path, answer.text)
        if "{artifact_path}" in route.path:
            taken += 1
            folder = world.known["artifact_path"].rpartition("/")[0]
            for path in ASTRAY_PATHS:
                # Coded, so that the client of this test does not resolve it.
                answer = await world.send(route, {}, artifact_path=f"{folder}/x%2F{quote(path, safe='')}")
                checked(answer, route, path)
                assert answer.status_code == 400, (route.method, route.path, path, answer.text)
    assert taken == 15
    assert await world.state() == before


async def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    body = b'{"name": "' + b"a" * (16 * 1024 * 1024) + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = await world.call("POST", f"{API}/experiments/create", content=body, headers=headers)
    assert answer.status_code == 413
    assert set(answer.json()) == {"error_code", "message"}


async def test_json_within_json_is_read_once(world: World) -> None:
    headers = {"Content-Type": "application/json"}
    for times, status in ((1, 200), (2, 400), (9, 400)):
        body = json.dumps({"experiment_ids": ["0"]})
        for _ in range(times):
            body = json.dumps(body)
        answer = await world.call("POST", f"{API}/runs/search", content=body.encode(), headers=headers)
        assert answer.status_code == status, (times, answer.text)


async def test_other_methods_of_a_path_are_no_endpoints(world: World) -> None:
    paths = {route.path for route in ROUTES if "{" not in route.path}
    for path in sorted(paths):
        served = {route.method for route in ROUTES if route.path == path}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - served:
            answer = await world.call(method, path.removeprefix("/"), {} if method != "GET" else None)
            # `logged-models/search` is one of `logged-models/{model_id}` too.
            assert answer.status_code == 404 or "logged-models" in path, (method, path, answer.text)
            assert set(answer.json()) == {"error_code", "message"}
