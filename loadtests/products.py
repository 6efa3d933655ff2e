"""The same work through each product's own client and server, each on SQLite: 100 metrics × 1,000 steps by one process.

The clock runs from the first row until all of it can be read back; a row before it has seen to the connections. The peers are
MLflow 3.17, and FastTrackML, a server in Go that speaks MLflow's API, with MLflow's client, as its own needs an older one.
Each in both ways that the client has: `log_metrics` at each step, as a training loop does, and `log_batch` of 1,000 metrics,
the most it takes, with all of them known beforehand. For orientation, what a call costs the program when nothing is sent,
beside wandb's. `deploy/tools/peers.sh` installs them all.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is started as the tests start it

from support.platform import running_platform

from loadtests.products_client import METRICS, STEPS
from loadtests.report import Figure, ServiceMemory, median

__all__ = ["run"]

ROOT = Path(__file__).parents[1]
CLIENT = Path(__file__).with_name("products_client.py")
POINTS = METRICS * STEPS
PENSTOCK_ROUNDS = 5
"""It takes a fraction of a second; each of the others takes many, and one round."""
GOAL_RATIO = 50.0
START_TIMEOUT_S = 120.0
WORK_TIMEOUT_S = 900.0
SERVERS = {
    "MLflow": (
        "mlflow",
        "server",
        "--backend-store-uri",
        "sqlite:///{data}/db",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
    ),
    "FastTrackML": ("fml", "server", "--database-uri", "sqlite://{data}/db", "--listen-address", "{address}"),
}
"""The peers, with nothing but what puts their data and port in place."""
WAYS = {"step": "log_metrics at each step", "batch": "log_batch of 1,000 metrics"}


def run() -> list[Figure]:
    """Points per second of Penstock beside each peer and way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rounds, memory = _penstock(folder / "penstock")
        python = Path(
            subprocess.run(
                ["sh", "deploy/tools/peers.sh"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
            ).stdout.strip()
        )
        peers = _peers(python, folder)
        calls = _calls(python, folder)
    own = [POINTS / taken["log_s"] for taken in rounds]
    begun = [POINTS / taken["begin_s"] for taken in rounds]
    figures = [
        Figure(
            name="run.log of 100 metrics × 1,000 steps until readable, SQLite",
            value=median(own),
            unit="points/s",
            goal=None,
            better="higher",
            beside_name=f"{peer}, {WAYS[way]}",
            beside=POINTS / taken["log_s"],
            details={"rounds": own},
            ratio_goal=GOAL_RATIO if peer == "MLflow" else None,
        )
        for (peer, way), taken in peers.items()
    ]
    figures.append(
        Figure(
            name="the same from penstock.init on, which starts a sender",
            value=median(begun),
            unit="points/s",
            goal=None,
            better="higher",
            beside_name=f"MLflow, {WAYS['step']}, from start_run on",
            beside=POINTS / peers["MLflow", "step"]["begin_s"],
            details={"rounds": begun},
        )
    )
    return [*figures, *calls, memory]


def _penstock(folder: Path) -> tuple[list[dict[str, float]], Figure]:
    """What each round took, and the memory of the server."""
    folder.mkdir()
    with running_platform(folder) as platform:
        memory = ServiceMemory(platform.pid)
        environment = {**platform.env, "PENSTOCK_URL": platform.http, "PENSTOCK_TOKEN": platform.token}
        rounds = [_work(sys.executable, "penstock", "step", environment) for _ in range(PENSTOCK_ROUNDS)]
        return rounds, memory.figure("the work of other products", "all services in one process")


def _calls(python: Path, folder: Path) -> list[Figure]:
    """What a call costs the program when nothing is sent, beside wandb's client."""
    environment = {**os.environ, "PENSTOCK_HOME": str(folder / "home"), "WANDB_DIR": str(folder)}
    own = _work(sys.executable, "penstock", "call", environment)
    peer = _work(str(python), "wandb", "call", environment)
    return [
        Figure(
            name=f"one run.log of 100 metrics, offline, p{percent}",
            value=own[f"p{percent}_us"],
            unit="µs",
            goal=None,
            better="lower",
            beside_name="wandb, offline",
            beside=peer[f"p{percent}_us"],
        )
        for percent in (50, 99)
    ]


def _peers(python: Path, folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """What the work took each peer, by its name and the way."""
    taken: dict[tuple[str, str], dict[str, float]] = {}
    for name, command in SERVERS.items():
        data = folder / name
        data.mkdir()
        address = f"127.0.0.1:{_free_port()}"
        program, *options = (
            part.format(data=data, address=address, port=address.rpartition(":")[2]) for part in command
        )
        with _serving([str(python.with_name(program)), *options], f"http://{address}", data):
            for way in WAYS:
                environment = {**os.environ, "MLFLOW_TRACKING_URI": f"http://{address}"}
                taken[name, way] = _work(str(python), "mlflow", way, environment)
    return taken


def _work(python: str, product: str, way: str, environment: Mapping[str, str]) -> dict[str, float]:
    """Does the work in a process of its own. Returns what it says."""
    done = subprocess.run(
        # Without the folder of the script: modules there have names of the standard library.
        [python, "-P", str(CLIENT), product, way],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=WORK_TIMEOUT_S,
    )
    # MLflow prints links too.
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


@contextmanager
def _serving(command: Sequence[str], uri: str, folder: Path) -> Generator[None, None, None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        end_s = time.monotonic() + START_TIMEOUT_S
        while not _answers(uri):
            if process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"{command[0]} did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        # Its workers too: they are in its session.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
