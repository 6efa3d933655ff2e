"""From `run.log()` of 100 metrics in one process to durable on the server, through spool and sender."""

import contextlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from loadtests.platforms import running_servers
from loadtests.report import Figure, ServiceMemory, median
from loadtests.stream import key_names

KEYS: Final = 100
ROWS_AT_A_TIME: Final = 1_000  # between looks at the clock
ROUNDS: Final = 3
LOG_S: Final = float(os.environ.get("PENSTOCK_BENCH_ROUND_S", "10"))
GOAL: Final = 2e6


def _rows() -> list[dict[str, float]]:
    """Rows with values as they come out of a model."""
    noise = random.Random(7)
    return [{name: noise.gauss(1.0, 0.1) for name in key_names(KEYS)} for _ in range(64)]


@contextlib.contextmanager
def _home(folder: Path, **settings: str) -> Iterator[None]:
    """The environment of a training process with a home of its own."""
    before = dict(os.environ)
    os.environ.update(settings, PENSTOCK_HOME=str(folder))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _logged(mode: str, rows: list[dict[str, float]]) -> tuple[float, float, dict[str, Any]]:
    """Logs for `LOG_S` as quickly as it goes, and finishes. Points a second until logged, and until durable."""
    import penstock

    run = penstock.init(mode=mode, system_metrics=False, capture=False)
    start_s = time.perf_counter()
    step = 0
    while time.perf_counter() < start_s + LOG_S:
        for _ in range(ROWS_AT_A_TIME):
            run.log(rows[step % len(rows)], step=step)
            step += 1
    logged_s = time.perf_counter() - start_s
    receipt = run.finish()
    durable_s = time.perf_counter() - start_s
    if mode == "online" and not (receipt.verified and receipt.points_durable == step * KEYS):
        raise RuntimeError(f"not everything arrived: {receipt}")
    details = {"points": step * KEYS, "logged_s": logged_s, "durable_s": durable_s}
    return step * KEYS / logged_s, step * KEYS / durable_s, details


def run() -> list[Figure]:
    """The figure, and the memory of the service."""
    rows = _rows()
    spooled: list[float] = []
    durable: list[float] = []
    details: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, running_servers(Path(folder)) as services:
        platform = services
        memory = ServiceMemory(platform.pid("tracking"))
        for number in range(ROUNDS):
            with _home(Path(folder) / f"offline{number}"):
                spooled.append(_logged("offline", rows)[0])
            with _home(Path(folder) / f"online{number}", PENSTOCK_URL=platform.http, PENSTOCK_TOKEN=platform.token):
                _, rate, found = _logged("online", rows)
            durable.append(rate)
            details.append(found)
        of_memory = memory.figure(f"run.log of {KEYS} metrics")
    return [
        Figure(
            name=f"from run.log of {KEYS} metrics in one process to durable, {LOG_S:g} s",
            value=median(durable),
            unit="points/s",
            goal=GOAL,
            better="higher",
            beside_name="the same calls with the spool alone (offline)",
            beside=median(spooled),
            details={"rounds": durable, "of_rounds": details},
        ),
        of_memory,
    ]
