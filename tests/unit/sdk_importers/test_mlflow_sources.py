"""Where MLflow's runs are looked for, and what a server hears of us."""

import base64
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import AuthenticationFailed, InvalidInput, NotFound, PenstockError, ServerUnavailable
from penstock.importers.mlflow import mlflow_source
from penstock.importers.model import SourceDamaged


class Answers(ThreadingHTTPServer):
    """A server that gives one answer to everything, and takes note of the authorization it saw."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.body, self.headers = status, body, headers
        self.seen: list[str | None] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.seen.append(self.headers.get("Authorization"))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        pass


@pytest.fixture
def answering() -> Iterator[Any]:
    servers: list[Answers] = []

    def start(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Answers:
        server = Answers(status, body, headers or {})
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("uri", "error", "said"),
    [
        ("absent", NotFound, "no folder or database"),
        ("sqlite:////absent/mlflow.db", NotFound, "no database /absent/mlflow.db"),
        ("postgresql://somewhere/mlflow", InvalidInput, "tracking server"),
        ("http://127.0.0.1:9", ServerUnavailable, "does not answer"),
        ("http://", InvalidInput, "not the address"),
    ],
)
def test_places_that_hold_nothing(uri: str, error: type[PenstockError], said: str) -> None:
    with pytest.raises(error, match=said):
        mlflow_source(uri).entries()


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no run"):
        mlflow_source(str(tmp_path)).entries()
    (tmp_path / "mlruns").mkdir()
    assert mlflow_source(tmp_path.as_uri()).location == str(tmp_path / "mlruns")


def test_a_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something (a)")
        connection.commit()
    with pytest.raises(SourceDamaged, match="cannot be read as a database of MLflow"):
        mlflow_source(str(path)).entries()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 5_000)
    with pytest.raises(SourceDamaged):
        mlflow_source(f"sqlite:///{path}").entries()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"", AuthenticationFailed),
        (500, b'{"message": "no"}', ServerUnavailable),
        (400, b'{"message": "no"}', SourceDamaged),
        (404, b"<html>", ServerUnavailable),
        (200, b"<html>", ServerUnavailable),
        (200, b"[]", ServerUnavailable),
        (200, b"{}", NotFound),
    ],
)
def test_what_a_server_may_say(answering: Any, status: int, body: bytes, error: type[PenstockError]) -> None:
    with pytest.raises(error):
        mlflow_source(f"http://{answering(status, body).address}").entries()


def test_credentials_go_to_the_server_and_nowhere_else(answering: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = answering(200, b"{}")
    server = answering(302, headers={"Location": f"http://{elsewhere.address}/api/2.0/mlflow/experiments/search"})
    source = mlflow_source(f"http://me:s%40cret@{server.address}/prefix")
    assert source.location == f"http://{server.address}/prefix"
    with pytest.raises(PenstockError):
        source.entries()
    assert server.seen == [f"Basic {base64.b64encode(b'me:s@cret').decode()}"]
    assert elsewhere.seen == []

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
    empty = answering(200, json.dumps({"experiments": []}).encode())
    with pytest.raises(NotFound):
        mlflow_source(f"http://{empty.address}").entries()
    assert empty.seen == ["Bearer token"]
