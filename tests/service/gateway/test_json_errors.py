"""What the JSON twins refuse, and how: the HTTP code, the status, the reason."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from support.gateway import NOWHERE, Installation, gateway_before, installation, raw_get, raw_server

from penstock_gateway.bodies import BODY_BYTES_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUN = f"/api/v1/projects/default/runs/{'0' * 32}"
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installation(tmp_path_factory.mktemp("errors")) as running:
        yield running


def outcome(answer: httpx2.Response) -> tuple[int, str, str]:
    """The code, status and reason of an error, which must be whole."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"code", "status", "message", "details"}
    assert error["code"] == answer.status_code
    assert error["message"]
    info = error["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "penstock"
    assert "Traceback" not in answer.text
    return answer.status_code, error["status"], info["reason"]


async def test_errors_of_services_carry_their_reason(whole: Installation) -> None:
    missing = await whole.call("GET", RUN)
    assert outcome(missing) == (404, "NOT_FOUND", "RUN_NOT_FOUND")
    taken = await whole.call("POST", "/api/v1/projects", {"projectId": "default"})
    assert outcome(taken) == (409, "ALREADY_EXISTS", "PROJECT_EXISTS")
    default = await whole.call("DELETE", "/api/v1/projects/default/experiments/0")
    assert outcome(default) == (400, "FAILED_PRECONDITION", "DEFAULT_EXPERIMENT")
    body = {"project": {"title": "x", "etag": "old"}}["project"]
    stale = await whole.call("PATCH", "/api/v1/projects/default", body)
    assert outcome(stale) == (409, "ABORTED", "ETAG_MISMATCH")
    invalid = await whole.call("POST", "/api/v1/projects/default/runs:search", {"filter": "metrics.loss <"})
    assert outcome(invalid) == (400, "INVALID_ARGUMENT", "FILTER_INVALID")
    assert "position" in invalid.json()["error"]["details"][0]["metadata"]


async def test_rules_of_the_contract_hold_here_too(whole: Installation) -> None:
    for method, path, body in (
        ("GET", "/api/v1/projects/UPPER", None),
        ("GET", "/api/v1/projects?pageSize=1001", None),
        ("POST", "/api/v1/projects", {"projectId": "9"}),
        ("GET", "/api/v1/projects/default/runs/abc", None),
    ):
        answer = await whole.call(method, path, body)
        assert outcome(answer)[:2] == (400, "INVALID_ARGUMENT"), path


async def test_who_may_not(whole: Installation) -> None:
    http = whole.front.http
    none = await http.get("/api/v1/whoami")
    assert outcome(none)[:2] == (401, "UNAUTHENTICATED")
    assert none.headers["www-authenticate"].startswith("Bearer")
    for header in ("Bearer nonsense", f"Bearer pst_{'0' * 32}_{'0' * 64}", "Basic abc", "Bearer", "Bearer \xe9"):
        answer = await http.get("/api/v1/whoami", headers={"Authorization": header.encode("latin-1")})
        assert outcome(answer)[:2] == (401, "UNAUTHENTICATED"), header
    created = await whole.call("POST", "/api/v1/tokens", {"title": "reader", "role": "ROLE_VIEWER"})
    reader = {"Authorization": f"Bearer {created.json()['secret']}"}
    refused = await http.post("/api/v1/projects/default/runs", json={"run": {}}, headers=reader)
    assert outcome(refused)[:2] == (403, "PERMISSION_DENIED")
    assert (await http.post("/api/v1/projects/default/runs:search", json={}, headers=reader)).status_code == 200


async def test_an_access_token_is_taken_like_a_personal_one(whole: Installation) -> None:
    exchanged = await whole.front.http.post("/api/v1/tokens:exchange", json={"secret": whole.token})
    headers = {"Authorization": f"bearer {exchanged.json()['accessToken']}"}
    assert (await whole.front.http.get("/api/v1/whoami", headers=headers)).json()["principal"] == "users/owner"


async def test_a_revoked_token_is_refused_although_it_was_exchanged(whole: Installation) -> None:
    created = (await whole.call("POST", "/api/v1/tokens", {"title": "short-lived"})).json()
    headers = {"Authorization": f"Bearer {created['secret']}"}
    assert (await whole.front.http.get("/api/v1/whoami", headers=headers)).status_code == 200
    assert (await whole.call("POST", f"/api/v1/{created['token']['name']}:revoke")).status_code == 200
    # Auth itself knows at once; twice, since the first refusal also empties the cache.
    for _ in range(2):
        answer = await whole.front.http.get("/api/v1/whoami", headers=headers)
        assert outcome(answer) == (401, "UNAUTHENTICATED", "TOKEN_REVOKED")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"filter":"a","filter":"b"}', "'filter' is there twice"),
        (b'{"fliter":"x"}', "fliter"),
        (b'{"page_size":"many"}', "pageSize|page_size"),
        (b'{"page_size":1.5}', "pageSize|page_size"),
        (b'{"page_size":99999999999}', "pageSize|page_size"),
        (b'{"filter":7}', "filter"),
        (b'{"columns":"x"}', "columns"),
        (b'{"columns":[null]}', "columns"),
        (b'{"showDeleted":"yes"}', "showDeleted"),
        (b'{"filter":"\\ud800"}', "SearchRunsRequest"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"filter":' + b"1" * 5_000 + b"}", "not JSON|filter"),
        (b'{"pageSize":NaN}', "pageSize"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_bodies_that_are_not_the_request(whole: Installation, content: bytes, says: str) -> None:
    answer = await whole.call("POST", "/api/v1/projects/default/runs:search", content=content, headers=JSON)
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "JSON_INVALID")
    assert re.search(says, answer.json()["error"]["message"]), answer.text


@pytest.mark.parametrize(
    "query",
    [
        "nothing=1",
        "pageSize=x",
        "pageSize=1&pageSize=2",
        "pageSize=1&page_size=2",
        "pageSize=+1",
        "pageSize=1_0",
        "pageSize=99999999999",
        "show_deleted=1",
        "showDeleted=TRUE",
        "parent=projects/other",
        "display_name.x=1",
        "pageSize",
        "=1",
        "displayName=%ff",
        "&",
    ],
)
async def test_queries_that_are_not_the_request(whole: Installation, query: str) -> None:
    answer = await whole.call("GET", f"/api/v1/projects/default/experiments?{query}")
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "QUERY_INVALID")


async def test_queries_where_the_body_says_all(whole: Installation) -> None:
    answer = await whole.call("POST", "/api/v1/projects/default/runs:search?pageSize=1", {})
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "QUERY_INVALID")
    answer = await whole.call("PATCH", f"{RUN}?run.notes=x", {"notes": "y"})
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "QUERY_INVALID")
    answer = await whole.call("GET", f"{RUN}:watch?keys=a", {"keys": ["b"]})
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "JSON_INVALID")


async def test_a_body_that_contradicts_the_path(whole: Installation) -> None:
    body = {"parent": "projects/other", "run": {}}
    answer = await whole.call("POST", "/api/v1/projects/default/runs", body)
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "PATH_INVALID")
    answer = await whole.call("PATCH", f"{RUN}?updateMask=notes", {"name": "projects/other/runs/" + "1" * 32})
    assert outcome(answer) == (400, "INVALID_ARGUMENT", "PATH_INVALID")
    body = {"parent": "projects/default", "run": {}}
    assert (await whole.call("POST", "/api/v1/projects/default/runs", body)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/projects/..",
        "/api/v1/projects/%2e%2e",
        "/api/v1/projects/default%2fruns%2fx",
        "/api/v1/projects/default/runs/..%2f..%2fetc",
        "/api/v1/projects/default/runs/%2e%2e%2f%2e%2e",
        "/api/v1/projects/default%00",
        "/api/v1/projects/default%0d%0aX:%20y",
        "/api/v1/projects/..%5c..",
        "/api/v1/projects/%ff",
        "/api/v1/projects/.",
    ],
)
async def test_paths_that_lead_elsewhere(whole: Installation, path: str) -> None:
    answer = await raw_get(whole.front, path.encode(), b"Authorization: Bearer " + whole.token.encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"PATH_INVALID" in answer


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/projects",
        "/api/v1/projects/",
        "/api/v1//projects",
        "/api/v1/projects/default/",
        "/api/v1/projects/default/nothing",
        "/api/v1/projects:nothing",
        "/api/v1/projects/a:b:c",
        f"{RUN}:stream",
    ],
)
async def test_paths_that_are_none(whole: Installation, path: str) -> None:
    assert outcome(await whole.call("GET", path)) == (404, "NOT_FOUND", "ROUTE_NOT_FOUND")


async def test_methods_that_a_path_does_not_take(whole: Installation) -> None:
    for method, path, allow in (
        ("PUT", "/api/v1/projects/default", "GET, PATCH"),
        ("GET", f"{RUN}:finish", "POST"),
        ("OPTIONS", "/api/v1/projects", "GET, POST"),
        ("DELETE", "/healthz", "GET, HEAD"),
    ):
        answer = await whole.call(method, path)
        assert outcome(answer) == (405, "INVALID_ARGUMENT", "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "multipart/form-data",
        None,
    ],
)
async def test_bodies_that_are_not_declared_as_json(whole: Installation, content_type: str | None) -> None:
    headers = {"Authorization": f"Bearer {whole.token}"} | ({"Content-Type": content_type} if content_type else {})
    path = "/api/v1/projects/default/runs:search"
    answer = await whole.front.http.post(path, content=b"{}", headers=headers)
    assert outcome(answer) == (415, "INVALID_ARGUMENT", "CONTENT_TYPE_UNSUPPORTED")


async def test_a_body_of_the_largest_size_passes_and_one_byte_more_does_not(whole: Installation) -> None:
    body = b'{"fliter":"' + b"x" * (BODY_BYTES_MAX - 13) + b'"}'
    assert len(body) == BODY_BYTES_MAX
    path = "/api/v1/projects/default/runs:search"
    assert outcome(await whole.call("POST", path, content=body, headers=JSON))[2] == "JSON_INVALID"
    answer = await whole.call("POST", path, content=body + b" ", headers=JSON)
    assert outcome(answer) == (413, "RESOURCE_EXHAUSTED", "BODY_TOO_LARGE")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]
        yield b" "

    # Without a declared length the limit holds as well.
    answer = await whole.call("POST", path, content=pieces(), headers=JSON)
    assert outcome(answer) == (413, "RESOURCE_EXHAUSTED", "BODY_TOO_LARGE")


async def test_a_service_out_of_reach() -> None:
    async with gateway_before(tracking=NOWHERE) as front:
        answer = await front.http.get(RUN)
        assert outcome(answer) == (503, "UNAVAILABLE", "SERVICE_UNREACHABLE")
        assert NOWHERE not in answer.text
        assert answer.headers["retry-after"] == "1"


async def test_an_answer_that_cannot_be_read_is_an_internal_error_and_says_no_more() -> None:
    async def garbage(requests: Any, context: Any) -> None:
        await context.write(b"\xff\xff\xff")

    path = "/penstock.api.tracking.v1.TrackingService/GetRun"
    async with raw_server({path: garbage}) as address, gateway_before(tracking=address) as front:
        answer = await front.http.get(RUN, headers={"X-Request-Id": "find-me"})
    assert outcome(answer) == (500, "INTERNAL", "INTERNAL")
    assert "find-me" in answer.json()["error"]["message"]
    assert json.loads(answer.text)["error"]["details"][0]["metadata"] == {"request_id": "find-me"}
