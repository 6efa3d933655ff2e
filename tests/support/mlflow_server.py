"""A real tracking server of MLflow, on SQLite, in a process of the peers' environment."""

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock_local.ports import free_ports

__all__ = ["MlflowServer", "running_mlflow"]

START_S = 150
"""The server imports MLflow three times before it answers: on a busy machine that is minutes."""

_LEAN = {
    **os.environ,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "https,http",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
}
"""Without the eight processes that run jobs, and with webhooks that reach a receiver of the test."""


@dataclass(frozen=True)
class MlflowServer:
    """Where it is."""

    address: str
    pid: int


@contextlib.contextmanager
def running_mlflow(
    python: Path,
    folder: Path,
    *,
    as_usual: bool = False,
    artifacts: str = "",
    variables: Mapping[str, str] | None = None,
) -> Iterator[MlflowServer]:
    """Runs a server with `mlflow.db` and its artifacts in a folder.

    Args:
        python: Of the peers' environment.
        folder: Exists.
        as_usual: With as many processes as it starts when nobody says otherwise; else with few.
        artifacts: Where its artifacts are, by URL; empty for the folder.
        variables: Further environment.
    """
    # It takes seconds until it listens: meanwhile nobody must be given the port by the system.
    (port,) = free_ports(1)
    command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += [] if as_usual else ["--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        artifacts or str(folder),
    ]
    with (folder / "log").open("w") as log:
        environment = {**(os.environ if as_usual else _LEAN), **(variables or {})}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, address, folder / "log")
        yield MlflowServer(address, process.pid)
    finally:
        # It has workers of its own.
        os.killpg(process.pid, 15)
        process.wait(START_S)


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
