"""Exports: from the service to a Parquet file, beside writing the same points from memory; and the memory that it takes.

python -m loadtests.export RUN FOLDER    # one export in a process of its own, as JSON
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is started as the tests start it

import pyarrow.parquet as pq
from support.platform import running_platform

import penstock
from loadtests.report import MB, Figure, median, peak_bytes
from penstock.client import Client

__all__ = ["run"]

KEYS = [f"layer/{index}/loss" for index in range(100)]
STEPS = 50_000
ROUNDS = 3
MEMORY_GOAL_MB = 320.0


def run() -> list[Figure]:
    """Points per second, and the peak memory of the exporting process."""
    points = len(KEYS) * STEPS
    with tempfile.TemporaryDirectory() as name, running_platform(Path(name)) as platform:
        environment = {**platform.env, "PENSTOCK_URL": platform.http, "PENSTOCK_TOKEN": platform.token}
        run_name = _logged(environment)
        rounds = [_export(environment, run_name, Path(name) / str(index)) for index in range(ROUNDS)]
    own = [points / found["export_s"] for found in rounds]
    return [
        Figure(
            name="export of a run of 5 M points to Parquet",
            value=median(own),
            unit="points/s",
            goal=None,
            better="higher",
            beside_name="writing them from memory with pyarrow",
            beside=median([points / found["write_s"] for found in rounds]),
            details={"rounds": own},
        ),
        Figure(
            name="memory of the process that exports",
            value=max(found["peak_bytes"] for found in rounds) / MB,
            unit="MB",
            goal=MEMORY_GOAL_MB,
            better="lower",
            beside_name="with its libraries alone",
            beside=median([found["idle_bytes"] for found in rounds]) / MB,
        ),
    ]


def _logged(environment: Mapping[str, str]) -> str:
    """Logs the run. Returns its name when it is durable."""
    os.environ.update(environment)
    with penstock.init(project="default", system_metrics=False, capture=False) as active:
        for step in range(STEPS):
            active.log({key: (step * 7919 + index) % 1000 / 999.0 for index, key in enumerate(KEYS)}, step=step)
    active.finish()
    return active.resource_name


def _export(environment: Mapping[str, str], run_name: str, folder: Path) -> dict[str, float]:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.export", run_name, str(folder)],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _measure(run_name: str, folder: Path) -> dict[str, float]:
    file = folder / "points.parquet"
    idle_bytes = peak_bytes(os.getpid())
    with Client() as client:
        start_s = time.perf_counter()
        client.export_run(run_name, file)
        export_s = time.perf_counter() - start_s
    exported_bytes = peak_bytes(os.getpid())
    table = pq.read_table(file)
    start_s = time.perf_counter()
    with (folder / "again.parquet").open("wb") as again:
        pq.write_table(table, again, compression="zstd", row_group_size=262_144)
        again.flush()
        os.fsync(again.fileno())
    write_s = time.perf_counter() - start_s
    return {"export_s": export_s, "write_s": write_s, "peak_bytes": exported_bytes, "idle_bytes": idle_bytes}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
