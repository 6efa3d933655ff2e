"""The classic operations of MLflow 3.17: the committed list is that of its route table, and each is served."""

import re
from pathlib import Path

import httpx2
import pytest
from support.importing import Peer
from support.platform import Platform

from penstock_gateway.mlflow.routes import ROUTES, Route

FOLDER = Path(__file__).parent
OPERATIONS = (FOLDER / "mlflow_operations.txt").read_text().split("\n")[:-1]
OPEN = {"GET /health", "GET /version", "GET /api/3.0/mlflow/server-info"}
SERVED = OPEN | {f"{route.method} /api{route.path}" for route in ROUTES}


@pytest.mark.slow
def test_the_list_is_that_of_the_installed_package(peers: Path, tmp_path: Path) -> None:
    with Peer(peers, FOLDER / "writers" / "list_mlflow.py", tmp_path / "log") as peer:
        assert peer.ask("operations") == OPERATIONS


def test_nothing_is_served_that_is_not_in_the_list() -> None:
    assert set(OPERATIONS) >= SERVED


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_served(operation: str) -> None:
    assert operation in SERVED


def as_written(path: str) -> str:
    """How tests write a path: whole, or with constants for its beginning; what varies is anything."""
    segments = [r'[^"/]+' if segment.startswith("{") else re.escape(segment) for segment in path.split("/")[1:]]
    ends = ["/".join(segments[start:]) for start in range(1, len(segments)) if segments[start][0] != "["]
    return rf'"(?:{"/".join(segments)}|(?:2\.0/mlflow/)?(?:\{{\w+\}}/)?(?:{"|".join(ends)}))["/?]'


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_is_served_is_compared_with_mlflow(route: Route) -> None:
    tests = "".join(path.read_text() for path in FOLDER.glob("test_mlflow_same*.py"))
    assert re.search(as_written(route.path), tests)


def test_what_is_not_served_says_so(platform: Platform) -> None:
    with httpx2.Client(base_url=platform.http, trust_env=False, auth=("token", platform.token)) as http:
        for operation in [
            *OPERATIONS,
            "GET /api/3.0/mlflow/traces",
            "POST /v1/traces",
            "POST /api/2.0/mlflow/users/create",
        ]:
            if operation in SERVED:
                continue
            method, path = operation.split()
            answer = http.request(method, re.sub(r"\{\w+\}", "x", path), json={} if method != "GET" else None)
            assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), operation
