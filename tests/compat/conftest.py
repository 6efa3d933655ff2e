"""A platform for all tests of this folder, and the environment of the tools whose files they import."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from support.differential import Pair, Side
from support.importing import Peer
from support.mlflow_server import running_mlflow
from support.platform import Platform, running_platform
from support.training import connection_of

from penstock.client import Client
from penstock_kit.ids import random_id

ROOT = Path(__file__).parents[2]
EXPERIMENTS_BEFORE = 20


@pytest.fixture(scope="session")
def peers() -> Path:
    """The Python of the peers' environment, which is made if it is not there."""
    return _environment("peers")


@pytest.fixture(scope="session")
def older_peers() -> Path:
    """The Python of the environment with a client of MLflow before version 3."""
    return _environment("mlflow2")


@pytest.fixture(scope="session")
def skinny_peers() -> Path:
    """The Python of the environment with MLflow's client alone."""
    return _environment("mlflow-skinny")


def _environment(name: str) -> Path:
    command = ["sh", "deploy/tools/peers.sh", name]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if made.returncode and os.environ.get("PENSTOCK_TEST_SERVERS") != "required":
        pytest.skip(f"the tools to compare with cannot be installed: {made.stderr.strip()[-200:]}")
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One for all: each test imports into a project of its own. Its webhooks reach a receiver of the test."""
    folder = tmp_path_factory.mktemp("platform")
    with running_platform(folder, PENSTOCK_REGISTRY_WEBHOOK_HOSTS="127.0.0.1") as platform:
        yield platform


@pytest.fixture(scope="session")
def client(platform: Platform) -> Iterator[Client]:
    with Client(connection_of(platform.env)) as client:
        yield client


@pytest.fixture(scope="module")
def writer(request: pytest.FixtureRequest, peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The tool of the module: `write_<tool>.py` for `test_import_<tool>.py`."""
    tool = request.module.__name__.rpartition("test_import_")[2]
    script = Path(__file__).parent / "writers" / f"write_{tool}.py"
    with Peer(peers, script, tmp_path_factory.mktemp("writer") / "log") as peer:
        yield peer


@pytest.fixture(scope="session")
def mlflow_server(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server of MLflow. It has experiments: a new one never has the number that it has here."""
    with running_mlflow(peers, tmp_path_factory.mktemp("mlflow")) as server:
        for number in range(EXPERIMENTS_BEFORE):
            made = httpx2.post(
                f"{server.address}/api/2.0/mlflow/experiments/create",
                json={"name": f"before {number}"},
                trust_env=False,
            )
            assert made.status_code == 200, made.text
        yield server.address


@pytest.fixture
def pair(platform: Platform, client: Client, mlflow_server: str) -> Iterator[Pair]:
    """MLflow's server, and a project of ours that nobody else uses."""
    project = f"same-{random_id()[:12]}"
    client.create_project(project)
    uri = f"{platform.http}/projects/{project}"
    with (
        httpx2.Client(base_url=uri, auth=("token", platform.token), trust_env=False, timeout=60) as ours,
        httpx2.Client(base_url=mlflow_server, trust_env=False, timeout=60) as theirs,
    ):
        yield Pair(Side(ours), Side(theirs))
