"""One installation for all tests of a module: each test makes a project of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.installation import Installation, installation

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import Client


@dataclass
class Project:
    """A project of one test, and the means to fill it.

    Attributes:
        id: Without `projects/`.
        client: The owner.
    """

    id: str
    client: Client

    def new_run(self, *, finished: bool = False, run_id: str = "", **fields: Any) -> str:
        """Creates a run and returns its name."""
        response = self.client.tracking.CreateRun(
            tracking_service_pb2.CreateRunRequest(
                parent=f"projects/{self.id}", run_id=run_id, run=run_pb2.Run(**fields)
            )
        )
        if finished:
            self.finish(response.run.name)
        return response.run.name

    def finish(self, name: str) -> None:
        """Ends a run."""
        self.client.tracking.FinishRun(
            tracking_service_pb2.FinishRunRequest(name=name, state=run_pb2.RUN_STATE_FINISHED)
        )

    def log(self, name: str, key: str, values: list[float], first_step: int = 0, **fields: Any) -> None:
        """Logs a series, a second per step."""
        points = [
            tracking_service_pb2.MetricPoint(
                key=key, value=value, step=step, time_unix_us=1_700_000_000_000_000 + step * 1_000_000
            )
            for step, value in enumerate(values, first_step)
        ]
        self.client.tracking.LogBatch(tracking_service_pb2.LogBatchRequest(run=name, metrics=points, **fields))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation")) as running:
        yield running


@pytest.fixture
def project(server: Installation, request: pytest.FixtureRequest) -> Iterator[Project]:
    name = "p" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:40].strip("-")
    with Client(server.connection) as client:
        client.create_project(name)
        yield Project(name, client)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Installation) -> Path:
    """A home folder of its own; the environment names the server."""
    for name in ("PENSTOCK_PROFILE", "PENSTOCK_PROJECT", "PENSTOCK_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"
