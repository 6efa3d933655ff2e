"""Bad input to every operation of MLflow's API: refused in MLflow's shape, never a 500, and nothing changes."""

import json
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from support.gateway import Installation, installation

from penstock_gateway.mlflow.routes import ROUTES, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = 12  # of each operation
FIELDS = (
    "experiment_id", "experiment_ids", "name", "new_name", "experiment_name", "artifact_location", "tags", "run_id",
    "run_uuid", "run_name", "user_id", "start_time", "end_time", "status", "key", "value", "timestamp", "step",
    "metrics", "params", "filter", "order_by", "max_results", "page_token", "run_view_type", "view_type", "metric_key",
    "run_ids", "start_step", "end_step", "model_json", "datasets", "models", "model_id", "source_run_id", "model_type",
    "dataset_name", "dataset_digest", "url", "events", "event", "description", "secret",
)  # fmt: skip
DEEP: Any = 1
for _ in range(900):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**63) - 1, 10**30, 1e308, "", " ", "0", "x", "NaN", "-1", "1e5",
    "null", "\x00", "\ud800", "é" * 300, "a" * 5_000, "../x", "..%2f", "%2e%2e/", "a\\b", "a;b", "a#b", "/etc/passwd",
    "\\\\host\\share", "C:\\x", "file:///etc/passwd", "http://localhost/x", "s3://b/../x", "s3://b/%2e%2e/x",
    "s3://b/x;y", "s3://b/x#y", "' OR 1=1 --", "m-" + "0" * 32, "0" * 32, [], {}, [None], [1], ["x"], [[]], [{}],
    [{"key": None}], [{"key": "a"}], [{"key": "a", "value": {}}], [{"key": "../a", "value": 1, "timestamp": 1}],
    [{"key": "a", "value": "x", "timestamp": 2**70}], [{"dataset": 1}], [{"dataset": {"name": 1}}],
    [{"entity": "MODEL_VERSION", "action": "CREATED"}], [{"entity": [], "action": {}}], {"entity": 1, "action": 99},
    "https://example.test/",
    [{"dataset": {}, "tags": {}}], [{"model_id": 3}], [{"field_name": "metrics."}], {"a": {"b": [{}]}}, DEEP,
    "metrics.a > ", "metrics.`a", "params.a LIKE '%" + "a%" * 400 + "'", "a AND " * 500, "(" * 200, "tags.a IN (",
    "status IS NULL",
)  # fmt: skip
BODIES = (
    b"", b"null", b"[]", b"1", b'"x"', b"{", b'"{\\"name\\": 1}"', b'"' + b"[" * 50 + b'"', b"[" * 100_000,
    b'{"a":' * 50_000, b"\xff\xfe", b"\x00", b'{"name": "\\ud800"}', b'{"max_results": 1e400}',
    b'{"start_time": ' + b"9" * 5_000 + b"}", b"NaN", b'{"name": "a", "name": "b"}',
    b'{"experimentId": "0", "experiment_id": "0"}',
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installation(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


async def state_of(whole: Installation, run: str, model: str) -> list[Any]:
    """All that may not change."""
    found = [await whole.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run}")]
    found.append(await whole.call("GET", f"/api/2.0/mlflow/logged-models/{model}"))
    return [answer.json() for answer in found]


def checked(route: Route, answer: Any, sent: Any) -> None:
    if answer.status_code == 501:  # which MLflow answers as well
        assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
        return
    assert answer.status_code < 500, (route.path, sent, answer.text)
    if answer.status_code >= 400:
        assert {"error_code", "message"} <= set(answer.json()), (route.path, sent)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_bad_input_is_refused(whole: Installation, route: Route) -> None:
    made = await whole.call("POST", "/api/2.0/mlflow/runs/create", {"start_time": 1, "run_name": "kept"})
    run = made.json()["run"]["info"]["run_id"]
    made = await whole.call("POST", "/api/2.0/mlflow/logged-models", {"experiment_id": "0", "name": "kept"})
    model = made.json()["model"]["info"]["model_id"]
    before = await state_of(whole, run, model)
    chance = random.Random(route.method + route.path)
    path = f"/api{route.path}"
    for body in BODIES:
        if route.method != "GET":
            headers = {"Content-Type": "application/json"}
            answer = await whole.call(route.method, re.sub(r"\{\w+\}", "x", path), content=body, headers=headers)
            checked(route, answer, body)
    for part in ("..", "%2e%2e", "%2e%2e%2f", "a%5Cb", "%00", "a;b", "a%23b", "x" * 3_000, "é"):
        answer = await whole.call(route.method, re.sub(r"\{\w+\}", part, path), {} if route.method != "GET" else None)
        checked(route, answer, part)
    for _ in range(ROUNDS):
        sent = {name: chance.choice(VALUES) for name in chance.sample(FIELDS, chance.randint(1, 12))}
        if route.method == "GET":
            query = {name: value for name, value in sent.items() if isinstance(value, str | int) and value != "\ud800"}
            answer = await whole.call("GET", re.sub(r"\{\w+\}", "x", path), params=query)
        else:
            headers = {"Content-Type": "application/json"}
            content = json.dumps(sent).encode()
            answer = await whole.call(route.method, re.sub(r"\{\w+\}", "x", path), content=content, headers=headers)
        checked(route, answer, sent)
    assert await state_of(whole, run, model) == before


@pytest.mark.parametrize(
    "location",
    [
        "/etc", "relative/path", "../up", "s3://b/../x", "s3://b/%2e%2e/x", "s3://b/%252e%252e/x", "s3://b/a\\b",
        "s3://b/a%5cb", "\\\\host\\share", "//host/share", "C:\\data", "C:/data", "file:///etc", "file:etc",
        "http://localhost/x", "s3://b/x#f", "s3://b/x%23f", "s3://b/x;p", "s3://b/x?a=..", "javascript:alert(1)",
        "s3://b/a\tb", "s3://b/\x00", "s3://[::1/x", "s3:" + "a" * 2_046,
    ],
)  # fmt: skip
async def test_locations_that_are_refused(whole: Installation, location: str) -> None:
    body = {"name": f"at {location[:100]}", "artifact_location": location}
    answer = await whole.call("POST", "/api/2.0/mlflow/experiments/create", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_locations_that_are_kept(whole: Installation) -> None:
    for number, location in enumerate(
        ("s3://bucket/a/b", "gs://b", "abfss://c@a.dfs.core.windows.net/x?y=1", "s3:" + "a" * 2_045)
    ):
        body = {"name": f"kept {number}", "artifact_location": location}
        answer = await whole.call("POST", "/api/2.0/mlflow/experiments/create", body)
        assert answer.status_code == 200, answer.text
        query = f"experiment_id={answer.json()['experiment_id']}"
        kept = (await whole.call("GET", f"/api/2.0/mlflow/experiments/get?{query}")).json()["experiment"]
        assert kept["artifact_location"] == location


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "x",
        "../x",
        "file:///etc",
        "C:\\x",
        "\\\\host\\share",
        "s3://b/../x",
        "s3://b/%2e%2e/x",
        "s3://b/x;y",
        "s3://b/x#y",
    ],
)
async def test_sources_that_are_refused(whole: Installation, source: str) -> None:
    name = f"model {source}".replace("/", " ").replace(":", " ")
    await whole.call("POST", "/api/2.0/mlflow/registered-models/create", {"name": name})
    answer = await whole.call("POST", "/api/2.0/mlflow/model-versions/create", {"name": name, "source": source})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    found = await whole.call("GET", "/api/2.0/mlflow/registered-models/get", params={"name": name})
    assert "latest_versions" not in found.json()["registered_model"]
