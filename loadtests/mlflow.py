"""MLflow's REST API: the same requests by the same client to a real MLflow 3.17 server and to ours, each on SQLite.

The client is a plain HTTP one with connections that stay open, so that what is measured is the server. MLflow's is started as
people start it. Its 20,000 runs for the search are written into its database, which its API would take half an hour for.
"""

import contextlib
import http.client
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the servers are started as the tests start them

from support.mlflow_server import running_mlflow
from support.platform import running_platform

from loadtests.report import Figure, median

__all__ = ["run"]

ROOT = Path(__file__).parents[1]
BATCH = 1_000  # metrics: the most that MLflow takes
CLIENTS = 8
SINGLE_S = 6.0
RUNS = 20_000
SEARCHES = 5
HISTORY = 100_000
IDLE_S = 3.0
START_MS = 1_700_000_000_000
FOUND = 100
THRESHOLD = (RUNS - FOUND - 0.5) / RUNS


class _Server:
    """A tracking server, as a client sees it."""

    def __init__(self, address: str, token: str, process: psutil.Process) -> None:
        self._host = urlsplit(address).netloc
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = "Basic " + b64encode(f"token:{token}".encode()).decode()
        self._process = process
        self._local = threading.local()

    def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Makes a request on this thread's connection, and returns the JSON of the answer."""
        return json.loads(self.raw(method, path, b"" if body is None else json.dumps(body).encode(), query))

    def raw(self, method: str, path: str, body: bytes, query: Mapping[str, Any] | None = None) -> bytes:
        """The same with bytes."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._host, timeout=600)
        target = f"/api/2.0/mlflow/{path}" + (f"?{urlencode(query)}" if query else "")
        connection.request(method, target, body or None, self._headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content[:1_000]
        return content

    def reconnect(self) -> None:
        """Forgets the connection of this thread: servers close one that is idle for long."""
        self._local.connection = None

    def new_run(self) -> str:
        """Makes a run in the default experiment, and returns its id."""
        run = self.call("POST", "runs/create", {"experiment_id": "0", "start_time": START_MS, "run_name": "bench"})
        return run["run"]["info"]["run_id"]

    def resident_mb(self) -> float:
        """Memory of all of its processes."""
        processes = [self._process, *self._process.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes) / 1e6


def run() -> list[Figure]:
    """The figures of ours beside MLflow's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = Path(
            subprocess.run(
                ["sh", "deploy/tools/peers.sh"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
            ).stdout.strip()
        )
        with _ours(folder / "ours") as ours:
            own = _measured(ours, lambda: _make_runs_by_api(ours), batches=200)
        with _theirs(folder / "theirs", python) as theirs:
            database = folder / "theirs" / "mlflow.db"
            peer = _measured(theirs, lambda: _make_runs_in(database), batches=20)

    def figure(key: str, name: str, unit: str, better: str, ratio: float, details: dict[str, Any]) -> Figure:
        return Figure(
            name=name,
            value=own[key],
            unit=unit,
            goal=None,
            better=better,
            beside_name="MLflow 3.17 on SQLite",
            beside=peer[key],
            details=details,
            ratio_goal=ratio,
        )

    return [
        figure("idle", "idle memory of all processes, dashboard included", "MB", "lower", 1 / 4, {}),
        figure("batch", "log-batch of 1,000 metrics, one client", "points/s", "higher", 20.0, {}),
        figure("single", "log-metric, 8 clients", "requests/s", "higher", 3.0, {}),
        figure("search", f"runs/search over {RUNS:,} runs by a metric, 100 found", "s", "lower", 1 / 5, {}),
        figure("history", f"get-history of {HISTORY:,} points", "s", "lower", 1 / 5, {}),
    ]


@contextlib.contextmanager
def _ours(folder: Path) -> Iterator[_Server]:
    folder.mkdir()
    with running_platform(folder) as platform:
        yield _Server(platform.http, platform.token, psutil.Process(platform.pid))


@contextlib.contextmanager
def _theirs(folder: Path, python: Path) -> Iterator[_Server]:
    folder.mkdir()
    with running_mlflow(python, folder, as_usual=True) as server:
        yield _Server(server.address, "", psutil.Process(server.pid))


def _measured(server: _Server, make_runs: Callable[[], None], *, batches: int) -> dict[str, float]:
    server.new_run()
    time.sleep(IDLE_S)
    measured = {"idle": server.resident_mb()}
    server.reconnect()
    measured["batch"] = _batches(server, batches)
    measured["single"] = _singles(server)
    server.reconnect()
    measured["history"] = _history(server)
    make_runs()
    server.reconnect()
    measured["search"] = _search(server)
    return measured


def _batches(server: _Server, count: int) -> float:
    run = server.new_run()
    bodies = [
        json.dumps(
            {
                "run_id": run,
                "metrics": [
                    {"key": f"m{n % 10}", "value": n / 7, "timestamp": START_MS + n, "step": batch * BATCH + n}
                    for n in range(BATCH)
                ],
            }
        ).encode()
        for batch in range(count)
    ]
    server.raw("POST", "runs/log-batch", bodies[0])
    started_s = time.perf_counter()
    for body in bodies[1:]:
        server.raw("POST", "runs/log-batch", body)
    return (count - 1) * BATCH / (time.perf_counter() - started_s)


def _singles(server: _Server) -> float:
    runs = [server.new_run() for _ in range(CLIENTS)]
    counts = [0] * CLIENTS
    end_s = time.perf_counter() + SINGLE_S

    def log(number: int) -> None:
        while time.perf_counter() < end_s:
            step = counts[number]
            body = {
                "run_id": runs[number],
                "key": "loss",
                "value": step / 7,
                "timestamp": START_MS + step,
                "step": step,
            }
            server.call("POST", "runs/log-metric", body)
            counts[number] += 1

    threads = [threading.Thread(target=log, args=(number,)) for number in range(CLIENTS)]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started_s)


def _history(server: _Server) -> float:
    run = server.new_run()
    for first in range(0, HISTORY, BATCH):
        metrics = [
            {"key": "loss", "value": 1 / (step + 1), "timestamp": START_MS + step, "step": step}
            for step in range(first, first + BATCH)
        ]
        server.call("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})
    query = {"run_id": run, "metric_key": "loss"}
    assert len(server.call("GET", "metrics/get-history", query=query)["metrics"]) == HISTORY
    taken = []
    for _ in range(3):
        started_s = time.perf_counter()
        server.raw("GET", "metrics/get-history", b"", query)
        taken.append(time.perf_counter() - started_s)
    return median(taken)


def _search(server: _Server) -> float:
    body = {
        "experiment_ids": ["0"],
        "filter": f"metrics.score > {THRESHOLD}",
        "order_by": ["metrics.score DESC"],
        "max_results": 1_000,
    }
    found = server.call("POST", "runs/search", body)["runs"]
    assert len(found) == FOUND
    taken = []
    for _ in range(SEARCHES):
        started_s = time.perf_counter()
        server.raw("POST", "runs/search", json.dumps(body).encode())
        taken.append(time.perf_counter() - started_s)
    return median(taken)


def _make_runs_by_api(server: _Server) -> None:
    def make(numbers: range) -> None:
        for number in numbers:
            run = server.new_run()
            metric = {"key": "score", "value": number / RUNS, "timestamp": START_MS, "step": 0}
            param = {"key": "lr", "value": str(number % 100)}
            server.call("POST", "runs/log-batch", {"run_id": run, "metrics": [metric], "params": [param]})

    threads = [threading.Thread(target=make, args=(range(first, RUNS, CLIENTS),)) for first in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _make_runs_in(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for number in range(RUNS):
            run = f"{number:032x}"
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
                " source_version, lifecycle_stage, artifact_uri, experiment_id)"
                " VALUES (?, 'bench', 'UNKNOWN', '', '', '', 'RUNNING', ?, '', 'active', ?, 0)",
                (run, START_MS, f"mlflow-artifacts:/0/{run}/artifacts"),
            )
            connection.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'bench', ?)", (run,))
            connection.execute(
                "INSERT INTO params (key, value, run_uuid) VALUES ('lr', ?, ?)", (str(number % 100), run)
            )
            for table in ("metrics", "latest_metrics"):
                connection.execute(
                    f"INSERT INTO {table} (key, value, timestamp, run_uuid, step, is_nan)"
                    " VALUES ('score', ?, ?, ?, 0, 0)",
                    (number / RUNS, START_MS, run),
                )
