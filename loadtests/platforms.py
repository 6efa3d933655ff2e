"""What the benchmarks run against: the services in processes of their own, an empty sink, a bare MongoDB."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is started as the tests start it

from support.platform import Processes, running_processes

from penstock_local.servers import MongoServer

__all__ = ["Processes", "running_embedded", "running_mongo", "running_servers", "running_sink"]

MONGO_CACHE_GB: Final = 2.0  # of a mongod; by itself it would take half of the machine

running_embedded = running_processes
"""The services in processes of their own, on embedded stores."""


def running_servers(folder: Path, *, compaction: bool = True) -> Processes:
    """Starts the services in processes of their own, on MongoDB, Redis and S3. To be used with `with`."""
    return running_processes(folder, "servers", compaction=compaction, mongo_cache_gb=MONGO_CACHE_GB)


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
    with MongoServer(folder, cache_gb=MONGO_CACHE_GB) as server:
        yield server.url
