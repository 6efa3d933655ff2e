"""The gateway's own pages, and what holds for every request: hosts, headers, health, figures, descriptions."""

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.gateway import gateway_before, installation, raw_get

from penstock_gateway.backends import SERVICES
from penstock_gateway.json_twins.routes import Routes


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("localhost", True),
        ("LOCALHOST:7070", True),
        ("127.0.0.1:7070", True),
        ("[::1]:7070", True),
        ("192.168.3.4:7070", True),
        ("penstock.example.org", True),
        ("penstock.example.org.:443", True),
        ("evil.example.org", False),
        ("penstock.example.org.evil.com", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("", False),
    ],
)
async def test_only_known_hosts_are_answered(host: str, accepted: bool) -> None:
    async with gateway_before(public_hosts="other.example.org, Penstock.example.org") as front:
        for path in ("/.well-known/penstock", "/", "/api/v1/whoami"):
            answer = await front.http.get(path, headers={"Host": host})
            assert (answer.status_code != 421) is accepted, path
            if not accepted:
                assert answer.json()["error"]["details"][0]["reason"] == "HOST_NOT_ALLOWED"


async def test_own_answers_carry_security_headers_and_none_of_cors() -> None:
    async with gateway_before() as front:
        for path in ("/healthz", "/.well-known/penstock", "/openapi.json", "/api/v1/whoami", "/api/none", "/metrics"):
            answer = await front.http.get(path, headers={"Origin": "https://evil.example.org"})
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "cache-control" in answer.headers
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert "server" not in answer.headers


async def test_a_request_id_is_kept_if_it_is_one_and_made_if_not() -> None:
    async with gateway_before() as front:
        kept = await front.http.get("/healthz", headers={"X-Request-Id": "mine-1"})
        assert kept.headers["x-request-id"] == "mine-1"
        for bad in ("with space", "x" * 65, ""):
            made = await front.http.get("/healthz", headers={"X-Request-Id": bad})
            assert len(made.headers["x-request-id"]) == 32


async def test_the_well_known_page_tells_the_grpc_address() -> None:
    async with gateway_before() as front:
        told = (await front.http.get("/.well-known/penstock")).json()
        assert told == {"grpc": front.listeners.grpc_address, "version": told["version"], "project": "default"}
        assert told["version"]
    async with gateway_before(public_grpc_address="grpc.example.org:443") as front:
        assert (await front.http.get("/.well-known/penstock")).json()["grpc"] == "grpc.example.org:443"
    everywhere: dict[str, Any] = {
        "http_address": "0.0.0.0:0",
        "grpc_address": "0.0.0.0:0",
        "insecure_off_loopback": True,
    }
    async with gateway_before(**everywhere) as front:
        port = front.listeners.grpc_address.rpartition(":")[2]
        for host, expected in (
            ("192.168.3.4:1", "192.168.3.4"),
            ("[fe80::1]:7070", "[fe80::1]"),
            ("localhost", "localhost"),
        ):
            told = (await front.http.get("/.well-known/penstock", headers={"Host": host})).json()
            assert told["grpc"] == f"{expected}:{port}"


async def test_health_keys_and_figures_of_a_whole_installation(tmp_path: Any) -> None:
    async with installation(tmp_path) as whole:
        http = whole.front.http
        health = await http.get("/healthz")
        assert (health.status_code, health.json()) == (
            200,
            {
                "status": "SERVING",
                "services": dict.fromkeys(("auth", "tracking", "registry", "artifact"), "SERVING"),
            },
        )
        keys = await http.get("/.well-known/jwks.json")
        assert keys.headers["content-type"] == "application/jwk-set+json"
        assert all(key["alg"] == "ES256" and "d" not in key for key in keys.json()["keys"])
        await whole.call("GET", f"/api/v1/projects/default/runs/{'0' * 32}")
        figures = await http.get("/metrics")
        assert figures.headers["content-type"].startswith("text/plain")
        route = 'method="GET",route="/api/v1/{name=projects/*/runs/*}",status="404"'
        assert f"penstock_gateway_http_requests_total{{{route}}}" in figures.text
        assert (await http.get("/.well-known/other")).status_code == 404


async def test_health_says_which_service_is_not_ready() -> None:
    async with gateway_before() as front:
        health = await front.http.get("/healthz")
        assert health.status_code == 503
        assert health.json()["services"] == dict.fromkeys(("auth", "tracking", "registry", "artifact"), "NOT_SERVING")
        assert (await front.http.head("/healthz")).status_code == 503
        keys = await front.http.get("/.well-known/jwks.json")
        assert keys.json()["error"]["details"][0]["reason"] == "SERVICE_UNREACHABLE"


async def test_figures_are_for_this_machine_or_the_token() -> None:
    relayed = {"X-Forwarded-For": "203.0.113.7"}
    async with gateway_before() as front:
        assert (await front.http.get("/metrics")).status_code == 200
        refused = await front.http.get("/metrics", headers=relayed)
        assert refused.json()["error"]["details"][0]["reason"] == "METRICS_FORBIDDEN"
        # Without a token set, none opens the door.
        refused = await front.http.get("/metrics", headers=relayed | {"Authorization": "Bearer x"})
        assert refused.status_code == 403
    async with gateway_before(metrics_token="scrape") as front:
        for token, code in (("scrape", 200), ("scrap", 403), ("scrapes", 403)):
            headers = relayed | {"Authorization": f"Bearer {token}"}
            assert (await front.http.get("/metrics", headers=headers)).status_code == code


async def test_openapi_describes_every_route() -> None:
    async with gateway_before() as front:
        answer = await front.http.get("/openapi.json")
    document = answer.json()
    OpenAPIV31SpecValidator(document).validate()
    operations = {op["operationId"]: op for path in document["paths"].values() for op in path.values()}
    routes = list(Routes(SERVICES.items()))
    assert {route.method.name for route in routes} == {name.rstrip("0123456789") for name in operations}

    assert len(routes) == len(operations)

    get_run = document["paths"]["/api/v1/projects/{project}/runs/{run}"]["get"]
    assert get_run["summary"] == "Get run"
    assert [(p["name"], p["in"]) for p in get_run["parameters"]] == [
        ("project", "path"),
        ("run", "path"),
        ("readMask", "query"),
    ]
    read = operations["ReadMetricPoints"]
    assert "application/x-ndjson" in read["responses"]["200"]["content"]
    assert {"range.first", "range.last", "keys", "rankMode"} <= {p["name"] for p in read["parameters"]}
    assert operations["ExchangeToken"]["security"] == []
    assert "security" not in operations["WhoAmI"]
    run = document["components"]["schemas"]["tracking.v1.Run"]["properties"]
    assert run["forkStep"] == {"type": "string", "format": "int64"}
    assert run["createTime"] == {"type": "string", "format": "date-time"}
    tags = document["components"]["schemas"]["tracking.v1.Experiment"]["properties"]["tags"]
    assert tags == {"type": "object", "additionalProperties": {"type": "string"}}
    assert json.dumps(document).count("penstock.api") == 0


async def test_a_path_with_a_host_in_it_is_refused() -> None:
    async with gateway_before() as front:
        target = b"http://evil.example.org/api/v1/whoami"
        assert (await raw_get(front, target)).startswith(b"HTTP/1.1 400")
