"""Charts through the RPC, on MongoDB and S3: one series of 10 million points, and many series of 10,000.

The stores are filled directly and compacted before the service starts. Calls are made one after another to a service that is
warm. Beside each: numpy, which reads the same values from a flat file and takes minimum and maximum of as many buckets.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.lone_service import LoneService, running_service
from loadtests.report import Figure, ServiceMemory, percentile
from loadtests.segments import PROJECT, compacted, losses, write_run
from penstock.api.tracking.v1 import tracking_service_pb2, tracking_service_pb2_grpc
from penstock_kit.clock import SystemClock
from penstock_local.servers import MinioServer, MongoServer, ProgramMissing, S3Server, SeaweedServer
from penstock_tracking.app import open_stores
from penstock_tracking.settings import TrackingSettings

LONG_POINTS = int(os.environ.get("PENSTOCK_BENCH_CHART_POINTS", "10000000"))
RUNS, KEYS, POINTS = 50, 10, 10_000
BUCKETS = 1_000
CALLS = 40
WARM_UP = 3
LONG_GOAL_MS = 50.0
MANY_GOAL_MS = 500.0


def run() -> list[Figure]:
    """Measures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with MongoServer(folder / "mongo") as mongo, _s3(folder / "s3") as s3:
            s3.make_bucket("charts")
            settings = {
                "data_dir": str(folder),
                "documents_url": mongo.database_url("tracking"),
                "metric_log_url": mongo.database_url("metrics"),
                "blobs_url": s3.bucket_url("charts"),
                "compaction": "false",  # with such stores it is a process of its own
            }
            files = asyncio.run(_fill(folder, settings))
            with running_service("tracking", settings) as service:
                memory = ServiceMemory(service.pid)
                long = _calls(service, [0], 1)
                many = _calls(service, [*range(1, RUNS + 1)], KEYS)
                figures = [memory.figure("charts")]
            beside_long = [_numpy_ms(files[:1], BUCKETS) for _ in range(CALLS // 4)]
            beside_many = [_numpy_ms(files[1:], BUCKETS) for _ in range(CALLS // 4)]
    return [
        _figure(f"chart of one series of {LONG_POINTS:,} points, {BUCKETS:,} buckets", long, LONG_GOAL_MS, beside_long),
        _figure(f"chart of {RUNS} runs × {KEYS} keys × {POINTS:,} points", many, MANY_GOAL_MS, beside_many),
        *figures,
    ]


def _figure(name: str, calls_ms: list[float], goal_ms: float, beside_ms: list[float]) -> Figure:
    return Figure(
        name=f"{name}, p95",
        value=percentile(calls_ms, 95),
        unit="ms",
        goal=goal_ms,
        better="lower",
        beside_name="numpy from a flat file, p95",
        beside=percentile(beside_ms, 95),
        details={"calls_ms": calls_ms},
    )


def _s3(folder: Path) -> S3Server:
    try:
        MinioServer.fetch()
    except ProgramMissing:
        return SeaweedServer(folder)
    return MinioServer(folder)


async def _fill(folder: Path, settings: dict[str, str]) -> list[Path]:
    """Writes and compacts the runs. Returns flat files with the values of each, column after column."""
    fields: dict[str, Any] = {**settings}
    stores = await open_stores(TrackingSettings(Path(fields.pop("data_dir")), "", Path(), **fields), SystemClock())
    files: list[Path] = []
    try:
        for number in range(RUNS + 1):
            points = losses(LONG_POINTS, 1) if number == 0 else losses(POINTS, KEYS, number)
            files.append(folder / f"{number}.values")
            np.ascontiguousarray(points.values.T).tofile(files[-1])
            written = await write_run(stores, number, points, 20_000 if number == 0 else 1_000)
            await compacted(stores, [written])
    finally:
        await stores.close()
    return files


def _calls(service: LoneService, runs: list[int], keys: int) -> list[float]:
    """How long calls take, in milliseconds, after those that warm up."""
    request = tracking_service_pb2.GetMetricSeriesRequest(
        parent=f"projects/{PROJECT}",
        runs=[f"projects/{PROJECT}/runs/{number:032x}" for number in runs],
        keys=[f"k{n}" for n in range(keys)],
        max_points=BUCKETS,
    )
    took: list[float] = []
    stub = tracking_service_pb2_grpc.TrackingServiceStub(service.channel)
    for _ in range(WARM_UP + CALLS):
        started = time.perf_counter()
        response = stub.GetMetricSeries(request, metadata=service.metadata, timeout=60)
        took.append((time.perf_counter() - started) * 1e3)
        assert len(response.series) == len(runs) * keys
    return took[WARM_UP:]


def _numpy_ms(files: list[Path], buckets: int) -> float:
    started = time.perf_counter()
    for file in files:
        for column in np.fromfile(file).reshape(1 if file is files[0] and len(files) == 1 else KEYS, -1):
            starts = np.linspace(0, len(column), buckets + 1).astype(np.int64)[:-1]
            np.minimum.reduceat(column, starts)
            np.maximum.reduceat(column, starts)
    return (time.perf_counter() - started) * 1e3
