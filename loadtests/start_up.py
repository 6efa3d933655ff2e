"""How long `penstock up` takes until it is ready, and what it holds in memory, beside a bare import of its libraries."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is started as the tests start it

from support.platform import running_platform

from loadtests.report import Figure, median

ROUNDS = 5
SETTLE_S = 3.0
LIBRARIES = "import grpc, numpy, dash, dash_mantine_components, dash_ag_grid, fastapi, uvicorn"


def _bare_import_s() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.perf_counter() - start


def _resident_bytes(pid: int) -> int:
    parent = psutil.Process(pid)
    return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True)))


def run() -> list[Figure]:
    """Figures for seconds to ready and bytes resident, all processes summed."""
    seconds: list[float] = []
    resident: list[float] = []
    bare: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(_bare_import_s())
            start = time.perf_counter()
            with running_platform(Path(folder)) as platform:
                seconds.append(time.perf_counter() - start)
                time.sleep(SETTLE_S)
                resident.append(_resident_bytes(platform.pid) / 1e6)
    idle = psutil.Process().memory_info().rss / 1e6
    return [
        Figure(
            name="penstock up, first start to ready",
            value=median(seconds),
            unit="s",
            goal=4.0,
            better="lower",
            beside_name="an interpreter that imports the libraries",
            beside=median(bare),
            details={"rounds": seconds},
        ),
        Figure(
            name="penstock up, resident memory of all processes",
            value=median(resident),
            unit="MB",
            goal=350.0,
            better="lower",
            beside_name="this benchmark's own process",
            beside=idle,
            details={"rounds": resident},
        ),
    ]
