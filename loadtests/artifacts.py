"""Artifacts on the S3 server, by the client as people use it, each figure beside its peer doing the same in the same run.

A file of 2 GB (PENSTOCK_BENCH_ARTIFACT_MB) there and back, beside the faster of minio-py and boto3; it is random, made anew
for each round, and digested, verified and kept as a version by ours alone. 10,000 small files (PENSTOCK_BENCH_ARTIFACT_FILES)
there and back, beside MLflow's client and server over the same store. A folder of 2 GB that did not change a second time,
beside the first time and bare hashing.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from loadtests.platforms import Processes, running_servers
from loadtests.report import Figure, median, peak_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the server of the peer is started as the tests start it

from support.mlflow_server import running_mlflow

MB = 1_000_000
SIZE_MB = int(os.environ.get("PENSTOCK_BENCH_ARTIFACT_MB", "2000"))
FILES = int(os.environ.get("PENSTOCK_BENCH_ARTIFACT_FILES", "10000"))
FOLDER_FILES = 200
ROUNDS = 3
THROUGHPUT_RATIO = 0.8
MEMORY_GOAL_MB = 100.0
SMALL_RATIO = 1 / 3
SECOND_RATIO = 0.05
HASHING_RATIO = 1.1
SETTLED_S = 3.0
"""A file that has just changed is not remembered."""

ROOT = Path(__file__).parents[1]
CLIENT = Path(__file__).with_name("artifact_client.py")
WAYS = {"put": "upload", "get": "download"}
CLIENTS = ("minio", "penstock", "boto3")
"""Each round begins with another one."""


@dataclass(frozen=True)
class _Place:
    """The platform, the S3 server beside it, and the environment of the peers."""

    folder: Path
    platform: Processes
    peers_python: str

    def does(self, client: str, do: str, path: Path, **variables: str) -> dict[str, float]:
        """Lets a client do something in a process of its own."""
        python = self.peers_python if client in {"boto3", "mlflow"} else sys.executable
        done = subprocess.run(
            [python, "-P", str(CLIENT), client, do, str(path)],
            env={**os.environ, **self.platform.env, **self._s3("peer"), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if client == "mlflow" else None,  # its bars
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def mlflow(self) -> Iterator[dict[str, str]]:
        """A server of MLflow whose artifacts are on the same store. Yields what its client needs."""
        folder = self.folder / "mlflow"
        folder.mkdir()
        address = f"http://127.0.0.1:{self.platform.s3.port}"
        variables = {**self._s3("mlflow"), "MLFLOW_S3_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"}
        self.platform.s3.make_bucket("mlflow")
        with running_mlflow(
            Path(self.peers_python), folder, as_usual=True, artifacts="s3://mlflow", variables=variables
        ) as server:
            yield {"MLFLOW_TRACKING_URI": server.address}

    def _s3(self, bucket: str) -> dict[str, str]:
        keys, _, _ = self.platform.s3.bucket_url(bucket).removeprefix("s3://").partition("@")
        user, _, password = keys.partition(":")
        return {
            "BENCH_S3_ADDRESS": f"127.0.0.1:{self.platform.s3.port}",
            "BENCH_S3_BUCKET": bucket,
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": password,
        }


def run() -> list[Figure]:
    """Measures everything."""
    peers = subprocess.run(
        ["sh", "deploy/tools/peers.sh"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as name, running_servers(Path(name, "platform")) as platform:
        platform.s3.make_bucket("peer")
        place = _Place(Path(name), platform, peers)
        return [*_large(place), *_unchanged(place), *_small(place)]


def _large(place: _Place) -> list[Figure]:
    file, back = place.folder / "file", place.folder / "back"
    idle = {
        service: psutil.Process(place.platform.pid(service)).memory_info().rss for service in ("gateway", "artifact")
    }
    rates: dict[tuple[str, str], list[float]] = {}
    memory_mb = 0.0
    for turn in range(ROUNDS):
        clients = CLIENTS[turn % len(CLIENTS) :] + CLIENTS[: turn % len(CLIENTS)]
        digest = _write(file, SIZE_MB)
        for do in WAYS:
            for client in clients:
                shutil.rmtree(back, ignore_errors=True)
                back.mkdir()
                os.sync()  # what one has written is not written while the next one is measured
                done = place.does(client, do, file if do == "put" else back)
                rates.setdefault((client, do), []).append(SIZE_MB / done["seconds"])
                if client == "penstock":
                    memory_mb = max(memory_mb, done["above_idle_mb"])
                    assert do == "put" or _digest(next(back.iterdir())) == digest
    shutil.rmtree(back)
    file.unlink()
    figures: list[Figure] = []
    for do, way in WAYS.items():
        peer = max(("minio", "boto3"), key=lambda client: median(rates[client, do]))
        figures.append(
            Figure(
                name=f"artifact {way} of {SIZE_MB} MB by the client",
                value=median(rates["penstock", do]),
                unit="MB/s",
                goal=None,
                better="higher",
                beside_name=f"{peer} straight to the same S3 server",
                beside=median(rates[peer, do]),
                details={client: rates[client, do] for client in ("penstock", "minio", "boto3")},
                ratio_goal=THROUGHPUT_RATIO,
            )
        )
    figures.append(_memory("client", memory_mb, 0.0))
    for service, before in idle.items():
        above_mb = (peak_bytes(place.platform.pid(service)) - before) / MB
        figures.append(_memory(service, above_mb, before / MB))
    return figures


def _memory(what: str, above_mb: float, idle_mb: float) -> Figure:
    return Figure(
        name=f"memory of the {what} above idle, files of {SIZE_MB} MB",
        value=above_mb,
        unit="MB",
        goal=MEMORY_GOAL_MB,
        better="lower",
        beside_name="idle",
        beside=idle_mb,
    )


def _unchanged(place: _Place) -> list[Figure]:
    folder = place.folder / "folder"
    folder.mkdir()
    for number in range(FOLDER_FILES):
        _write(folder / f"{number:03}", SIZE_MB / FOLDER_FILES)
    time.sleep(SETTLED_S)
    first_s = place.does("penstock", "put", folder)["seconds"]
    kept = [place.does("penstock", "put", folder)["seconds"] for _ in range(ROUNDS)]
    anew: list[float] = []
    bare: list[float] = []
    for _ in range(ROUNDS):
        bare.append(_timed(lambda: [_digest(file) for file in sorted(folder.iterdir())]))
        (place.platform.home / "digests.sqlite").unlink()
        anew.append(place.does("penstock", "put", folder)["seconds"])
    shutil.rmtree(folder)

    def figure(name: str, rounds: list[float], beside_name: str, beside: float, ratio: float) -> Figure:
        return Figure(
            name=name,
            value=median(rounds),
            unit="s",
            goal=None,
            better="lower",
            beside_name=beside_name,
            beside=beside,
            details={"rounds": rounds, "bare_rounds": bare},
            ratio_goal=ratio,
        )

    what = f"second upload of an unchanged folder of {SIZE_MB} MB"
    return [
        figure(what, kept, "the first one", first_s, SECOND_RATIO),
        figure(
            f"{what}, nothing remembered", anew, "bare hashing, one file after the other", median(bare), HASHING_RATIO
        ),
    ]


def _small(place: _Place) -> list[Figure]:
    folder = place.folder / "small"
    for number in range(FILES):
        file = folder / f"{number % 100:02}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(200 + number * 7 % 2_000))
    own = {do: place.does("penstock", do, _target(place, folder, do))["seconds"] for do in WAYS}
    with place.mlflow() as variables:
        peer = {do: place.does("mlflow", do, _target(place, folder, do), **variables)["seconds"] for do in WAYS}
    return [
        Figure(
            name=f"artifact {way} of {FILES:,} small files",
            value=own[do],
            unit="s",
            goal=None,
            better="lower",
            beside_name="MLflow 3.17's client and server on the same S3 server",
            beside=peer[do],
            ratio_goal=SMALL_RATIO,
        )
        for do, way in WAYS.items()
    ]


def _target(place: _Place, folder: Path, do: str) -> Path:
    back = place.folder / "back"
    shutil.rmtree(back, ignore_errors=True)
    back.mkdir()
    return folder if do == "put" else back


def _write(path: Path, size_mb: float) -> str:
    digest = hashlib.sha256()
    left = round(size_mb * MB)
    with path.open("wb") as file:
        while left:
            piece = os.urandom(min(MB, left))
            digest.update(piece)
            file.write(piece)
            left -= len(piece)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _timed(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s
