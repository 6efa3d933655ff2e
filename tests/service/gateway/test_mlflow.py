"""MLflow's API at the front door: who may come in and how, projects, what is open to all, links, errors."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from support.gateway import Installation, gateway_before, installation

from penstock_gateway.tokens import TokenExchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/api/2.0/mlflow"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installation(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


async def get(whole: Installation, path: str, authorization: str = "", **options: Any) -> httpx2.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return await whole.front.http.get(path, headers=headers, **options)


def basic(password: str, user: str = "token") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_bearer_and_basic_sign_in(whole: Installation) -> None:
    path = f"{API}/experiments/get?experiment_id=0"
    for authorization in (
        f"Bearer {whole.token}",
        f"bearer {whole.token}",
        basic(whole.token),
        basic(whole.token, user="anybody"),
        basic(whole.token, user=""),
    ):
        answer = await get(whole, path, authorization)
        assert answer.status_code == 200, answer.text
        assert answer.json()["experiment"]["name"] == "Default"
    exchanged = await whole.call("POST", "/api/v1/tokens:exchange", {"secret": whole.token})
    assert (await get(whole, path, f"Bearer {exchanged.json()['accessToken']}")).status_code == 200


async def test_who_is_not_let_in(whole: Installation) -> None:
    path = f"{API}/experiments/get?experiment_id=0"
    for authorization in (
        "",
        "Bearer",
        "Bearer pst_wrong",
        f"Bearer {whole.token}x",
        "Basic",
        "Basic !!",
        basic(""),
        basic("pst_wrong"),
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic " + base64.b64encode(b"token:\xff").decode(),
        basic("a\nb"),
        f"Token {whole.token}",
    ):
        answer = await get(whole, path, authorization)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED"), authorization
        assert "Basic" in answer.headers["www-authenticate"]
        assert whole.token not in answer.text


async def test_a_token_is_verified_once_for_many_requests(whole: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{API}/experiments/get?experiment_id=0"
    await get(whole, path, basic(whole.token))
    # Auth is not there to ask any more.
    monkeypatch.setattr(TokenExchange, "_exchanged", None)
    for _ in range(5):
        assert (await get(whole, path, basic(whole.token))).status_code == 200


async def test_a_token_without_the_right_is_refused(whole: Installation) -> None:
    body = {"title": "reader", "projects": ["projects/default"], "role": "ROLE_VIEWER"}
    reader = (await whole.call("POST", "/api/v1/tokens", body)).json()["secret"]
    assert (await get(whole, f"{API}/experiments/get?experiment_id=0", basic(reader))).status_code == 200
    answer = await whole.front.http.post(
        f"{API}/experiments/create", json={"name": "no"}, headers={"Authorization": basic(reader)}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


async def test_one_tracking_uri_per_project(whole: Installation) -> None:
    await whole.call("POST", "/api/v1/projects", {"projectId": "vision"})
    other = f"/projects/vision{API}"
    for at, name in ((API, "here"), (other, "there")):
        assert (await whole.call("POST", f"{at}/experiments/create", {"name": name})).json() == {"experiment_id": "1"}
    for at, name in ((API, "here"), (other, "there")):
        found = (await whole.call("POST", f"{at}/experiments/search", {"max_results": 10})).json()["experiments"]
        assert [(e["experiment_id"], e["name"]) for e in found] == [("1", name), ("0", "Default")]
    run = (await whole.call("POST", f"{other}/runs/create", {"start_time": 1})).json()["run"]["info"]["run_id"]
    assert (await whole.call("GET", f"{other}/runs/get?run_id={run}")).status_code == 200
    assert (await whole.call("GET", f"{API}/runs/get?run_id={run}")).status_code == 404
    for project in ("absent", "NOT-A-NAME", "%2e%2e", "-"):
        answer = await whole.call("GET", f"/projects/{project}{API}/experiments/get?experiment_id=0")
        assert answer.status_code in (403, 404), answer.text
    token = await whole.call(
        "POST", "/api/v1/tokens", {"title": "t", "projects": ["projects/vision"], "role": "ROLE_EDITOR"}
    )
    assert (await get(whole, f"{other}/runs/get?run_id={run}", basic(token.json()["secret"]))).status_code == 200
    assert (
        await get(whole, f"{API}/experiments/get?experiment_id=0", basic(token.json()["secret"]))
    ).status_code == 403


@pytest.mark.parametrize("base", ["", "/projects/vision"])
async def test_what_is_open_to_all(whole: Installation, base: str) -> None:
    health = await get(whole, f"{base}/health")
    assert (health.status_code, health.text) == (200, "OK")
    version = await get(whole, f"{base}/version")
    assert (version.status_code, version.text) == (200, "3.17.2")
    info = await get(whole, f"{base}/api/3.0/mlflow/server-info")
    assert info.status_code == 200
    assert info.json()["workspaces_enabled"] is False
    assert info.json()["features_enabled"] == {"gateway": False}


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/nothing",
        "/api/2.0/mlflow",
        "/api/3.0/mlflow/traces",
        "/api/2.0/mlflow/users/create",
        "/ajax-api/2.0/mlflow/experiments/search",
        "/projects/default/api/2.0/mlflow/nothing",
        "/projects/default/api/v1/whoami",
        "/v1/traces",
    ],
)
async def test_what_there_is_not(whole: Installation, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await whole.call(method, path, {} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


async def test_links_that_clients_print_lead_to_our_pages(whole: Installation) -> None:
    for path in ("/", "/projects/vision/"):
        answer = await whole.front.http.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200
        assert "/#/experiments/" in answer.text
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")


async def test_a_body_needs_its_type_and_an_end(whole: Installation) -> None:
    path = f"{API}/experiments/create"
    for headers, said in (({}, "header is missing"), ({"Content-Type": "text/plain"}, "must be one of")):
        answer = await whole.call("POST", path, headers=headers, content=b"{}")
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert said in answer.json()["message"]
    large = b'{"name": "' + b"n" * 16_800_000 + b'"}'
    answer = await whole.call("POST", path, headers={"Content-Type": "application/json"}, content=large)
    assert answer.status_code == 413
    assert "error_code" in answer.json()


async def test_services_that_do_not_answer() -> None:
    async with gateway_before() as front:
        answer = await front.http.get(
            f"{API}/experiments/get?experiment_id=0", headers={"Authorization": "Bearer a.b.c"}
        )
        assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
