"""What the benchmarks run against: the services in processes of their own, an empty sink, a bare MongoDB."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is started as the tests start it

from support.platform import Processes

from penstock_local.servers import MongoServer, RedisServer

__all__ = ["Processes", "Running", "running_mongo", "running_sink", "running_stores"]


@dataclass(frozen=True)
class Running:
    """The services in processes of their own, on MongoDB and Redis.

    Attributes:
        services: The processes.
        metric_log_url: The database of the metric log.
    """

    services: Processes
    metric_log_url: str


@contextmanager
def running_stores(folder: Path, *, compaction: bool = True) -> Iterator[Running]:
    """Starts the services and their stores in a folder, and ends them."""
    with MongoServer(folder / "mongo") as mongo, RedisServer(folder / "redis") as redis:
        services = Processes(folder)
        services.env |= {
            "PENSTOCK_AUTH_DOCUMENTS_URL": mongo.database_url("auth"),
            "PENSTOCK_TRACKING_DOCUMENTS_URL": mongo.database_url("tracking"),
            "PENSTOCK_TRACKING_METRIC_LOG_URL": mongo.database_url("metrics"),
            "PENSTOCK_TRACKING_HOT_URL": redis.url,
            "PENSTOCK_TRACKING_COMPACTION": str(compaction).lower(),
        }
        try:
            yield Running(services.start(), mongo.database_url("metrics"))
        finally:
            services.stop()


@contextmanager
def running_sink() -> Iterator[str]:
    """The address of an empty sink: a server with the options and the parse of the tracking service, and nothing else."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtests.sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["grpc"]
    finally:
        process.communicate("")


@contextmanager
def running_mongo(folder: Path) -> Iterator[str]:
    """The URL of a MongoDB that nobody else uses."""
    with MongoServer(folder) as server:
        yield server.url
