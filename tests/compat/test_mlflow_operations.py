"""The classic operations of MLflow 3.17: the committed list is that of its route table, and each is served or says that it is
not."""

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
# Written out, so that an operation cannot leave unseen: what waits for files.
NOT_YET = re.compile(r"/(?:artifacts|mlflow-artifacts)\b")


@pytest.mark.slow
def test_the_list_is_that_of_the_installed_package(peers: Path, tmp_path: Path) -> None:
    with Peer(peers, FOLDER / "writers" / "list_mlflow.py", tmp_path / "log") as peer:
        assert peer.ask("operations") == OPERATIONS


def test_nothing_is_served_that_is_not_in_the_list() -> None:
    assert set(OPERATIONS) >= SERVED


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_served_or_waits_for_another_service(operation: str) -> None:
    assert (operation in SERVED) != bool(NOT_YET.search(operation))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_is_served_is_compared_with_mlflow(route: Route) -> None:
    tests = "".join(path.read_text() for path in FOLDER.glob("test_mlflow_same*.py"))
    path = re.sub(r"\\\{\w+\\\}", "<[a-z]+>", re.escape(route.path.partition("/mlflow/")[2]))
    assert re.search(rf'"{path}"|"2\.0/mlflow/{path}"|experiments/\{{operation\}}', tests)


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
