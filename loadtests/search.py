"""Search in many runs, through the RPC: warm, and as the first call to a service that has just started.

The stores are filled directly, and the columns of the project are kept once, as the service does it by itself within a
minute. Each run has 20 params and 20 metrics. The search keeps the half of the runs that a metric decides, orders by
another, and asks for a page of 100 runs with 10 columns. Beside it: numpy with the same arrays in memory, and nothing else.
"""

import asyncio
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.lone_service import running_service
from loadtests.report import Figure, ServiceMemory, median, percentile
from penstock.api.tracking.v1 import metric_pb2, tracking_service_pb2, tracking_service_pb2_grpc
from penstock_kit.clock import SystemClock
from penstock_kit.stores.documents import Insert
from penstock_kit.stores.metric_log import BatchRecord
from penstock_local.servers import MongoServer
from penstock_tracking.app import TrackingStores, open_stores
from penstock_tracking.domain import Run, RunState
from penstock_tracking.search import RunIndex
from penstock_tracking.series.latest import LatestValue
from penstock_tracking.settings import TrackingSettings
from penstock_tracking.store import RUNS, run_body

RUNS_TOTAL = int(os.environ.get("PENSTOCK_BENCH_RUNS", "100000"))
RUNS_AT_ONCE = 1_000
KEYS = 20
STARTS = 5
CALLS = 200
PAGE = 100
PROJECT = "default"
TIME_US = 1_760_000_000_000_000
MODELS = ("resnet50", "resnet101", "vit-base", "vit-large", "convnext")
COLUMNS = (
    *("display_name", "state", "start_time", "params.p0", "params.p1", "params.p2"),
    *("metrics.m0", "metrics.m1", "metrics.m2", "metrics.m3"),
)
WARM_GOAL_MS = 50.0
COLD_GOAL_S = 2.0


@dataclass(frozen=True)
class Stores:
    """Where a round keeps its runs: the settings of the service, and the name of the stores for the report."""

    name: str
    settings: dict[str, str]

    def opened(self) -> TrackingSettings:
        """The settings, read."""
        fields: dict[str, Any] = dict(self.settings)
        return TrackingSettings(Path(fields.pop("data_dir")), "", Path(), **fields)


def _run(number: int, chance: random.Random) -> Run:
    params = [
        chance.choice(MODELS),
        chance.randrange(1_000),
        10 ** chance.uniform(-5, -1),
        f"note {number}" if number % 2 else chance.choice(MODELS),
    ]
    start_us = 1_750_000_000_000_000 + number * 60_000_000
    return Run(
        PROJECT,
        f"{chance.getrandbits(128):032x}",
        chance.randbytes(16),
        "0",
        f"run-{number}",
        "users/owner",
        start_us,
        start_us,
        start_us,
        end_us=start_us + chance.randrange(10**9, 10**10),
        state=RunState.FINISHED,
        params={f"p{key}": params[key % len(params)] for key in range(KEYS)},
        tags={"team": chance.choice(("vision", "speech"))},
    )


class _Logged:
    """What was logged, known without reading the log: that is for the service to do, and is not what is measured here."""

    def __init__(self) -> None:
        self._values: dict[str, NDArray[np.float64]] = {}

    def batch(self, run: Run, chance: np.random.Generator) -> BatchRecord:
        """A batch of two points of every metric."""
        values = chance.random((2, KEYS))
        self._values[run.run_id] = values
        return _batch(run, values, chance.bytes(16))

    async def latest(self, project: str, run_id: str) -> Mapping[str, LatestValue]:  # noqa: ARG002 - there is but one
        """The latest value of every metric of a run."""
        first, last = self._values.pop(run_id).tolist()
        return {
            f"m{key}": LatestValue(b, 1, TIME_US, min(a, b), max(a, b), 2)
            for key, (a, b) in enumerate(zip(first, last, strict=True))
        }


def _batch(run: Run, values: NDArray[np.float64], writer: bytes) -> BatchRecord:
    content = metric_pb2.MetricBatchContent(
        new_keys=[metric_pb2.MetricKey(id=key, key=f"m{key}") for key in range(KEYS)],
        blocks=[
            metric_pb2.MetricBlock(
                key_ids=range(KEYS),
                steps=range(2),
                times_unix_us=[TIME_US, TIME_US],
                values=values.ravel(),
            )
        ],
    ).SerializeToString()
    digest = hashlib.sha256(content).digest()
    chain = hashlib.sha256(bytes(32) + digest).digest()
    points = 2 * KEYS
    return BatchRecord(run.log_key, writer, 1, digest, chain, points, points, True, 0, content)


async def _fill(stores: TrackingStores) -> None:
    """Fills the stores, and keeps the columns."""
    chance = random.Random(20261128)
    numbers = np.random.default_rng(20261128)
    logged = _Logged()
    for first in range(0, RUNS_TOTAL, RUNS_AT_ONCE):
        runs = [_run(number, chance) for number in range(first, min(first + RUNS_AT_ONCE, RUNS_TOTAL))]
        await stores.documents.apply(PROJECT, [Insert(RUNS, run.run_id, run_body(run)) for run in runs])
        await stores.metric_log.append([logged.batch(run, numbers) for run in runs])
    index = RunIndex(stores.documents, stores.metric_log, logged, stores.blobs, SystemClock())
    assert await index.keep(PROJECT)


@dataclass
class _Service:
    """A service that runs: how it is called, and its process."""

    stub: Any
    metadata: tuple[tuple[str, str], ...]
    pid: int

    def search(self, key: int) -> float:
        """Searches, and returns how many milliseconds it took."""
        request = tracking_service_pb2.SearchRunsRequest(
            parent=f"projects/{PROJECT}",
            filter=f"metrics.m{key} < 0.5",
            order_by=f"metrics.m{(key + 1) % KEYS} desc",
            page_size=PAGE,
            columns=COLUMNS,
        )
        started = time.perf_counter()
        found = self.stub.SearchRuns(request, metadata=self.metadata, timeout=60)
        took_ms = (time.perf_counter() - started) * 1_000
        assert len(found.runs) == PAGE
        assert 0.45 < found.total_size / RUNS_TOTAL < 0.55
        assert all(len(run.latest_metrics) == 4 and len(run.params) == 3 for run in found.runs)
        return took_ms


@contextmanager
def _service(stores: Stores) -> Iterator[_Service]:
    with running_service("tracking", stores.settings) as service:
        stub = tracking_service_pb2_grpc.TrackingServiceStub(service.channel)
        yield _Service(stub, service.metadata, service.pid)


def _numpy_ms() -> float:
    """The same filter and order over arrays in memory, median of some rounds."""
    chance = np.random.default_rng(1)
    decides, orders = chance.random(RUNS_TOTAL), chance.random(RUNS_TOTAL)
    found: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        rows = np.flatnonzero(decides < 0.5)
        keys = -orders[rows]
        page = np.argpartition(keys, PAGE)[:PAGE]
        page[np.argsort(keys[page])]
        found.append((time.perf_counter() - started) * 1_000)
    return median(found)


def _read_ms(folder: Path) -> float:
    """Reading everything that is kept, as files, median of some rounds."""
    found: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        for path in folder.rglob("*"):
            if path.is_file():
                path.read_bytes()
        found.append((time.perf_counter() - started) * 1_000)
    return median(found)


def _measure(stores: Stores) -> list[Figure]:
    async def fill() -> None:
        opened = await open_stores(stores.opened(), SystemClock())
        try:
            await _fill(opened)
        finally:
            await opened.close()

    asyncio.run(fill())
    cold_ms: list[float] = []
    for start in range(STARTS):
        with _service(stores) as service:
            cold_ms.append(service.search(start % KEYS))
    with _service(stores) as service:
        memory = ServiceMemory(service.pid)
        for key in range(KEYS):
            service.search(key)
        warm_ms = [service.search(call % KEYS) for call in range(CALLS)]
        held = memory.figure(f"search, {stores.name}")
    what = f"in {RUNS_TOTAL:,} runs, {stores.name}"
    return [
        Figure(
            name=f"search {what}, warm p95",
            value=percentile(warm_ms, 95),
            unit="ms",
            goal=WARM_GOAL_MS,
            better="lower",
            beside_name="numpy: filter and order alone, in memory",
            beside=_numpy_ms(),
            details={"median_ms": median(warm_ms), "calls": CALLS, "columns": len(COLUMNS), "page": PAGE},
        ),
        Figure(
            name=f"search {what}, first call after a start",
            value=max(cold_ms) / 1_000,
            unit="s",
            goal=COLD_GOAL_S,
            better="lower",
            beside_name="reading all that is kept, as files",
            beside=_read_ms(Path(stores.settings["data_dir"]) / "blobs") / 1_000,
            details={"starts_ms": cold_ms},
        ),
        held,
    ]


def run() -> list[Figure]:
    """Figures on SQLite and on MongoDB."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        figures += _measure(Stores("SQLite", {"data_dir": folder}))
    with tempfile.TemporaryDirectory() as folder, MongoServer(Path(folder) / "mongo") as mongo:
        settings = {
            "data_dir": folder,
            "documents_url": mongo.database_url("tracking"),
            "metric_log_url": mongo.database_url("metrics"),
            "compaction": "false",  # with such stores it is a process of its own
        }
        figures += _measure(Stores("MongoDB", settings))
    return figures
