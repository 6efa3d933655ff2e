"""What `run.log()` costs the training process, beside a bare write of the same bytes to a file."""

import gc
import os
import tempfile
import time
from pathlib import Path

from loadtests.report import Figure, median, percentile

CALLS = 20_000
ROUNDS = 3
RECORD_OVERHEAD_BYTES = 40  # length, CRC, type, key set, step, time


def _log_times(scalars: int) -> list[float]:
    import penstock

    names = [f"train/metric_{index}" for index in range(scalars)]
    run = penstock.init(mode="offline", system_metrics=False, capture=False)
    try:
        times: list[float] = []
        clock = time.perf_counter_ns
        for step in range(CALLS):
            values = dict.fromkeys(names, step * 0.5)
            start = clock()
            run.log(values, step=step)
            times.append((clock() - start) / 1000)
        return times
    finally:
        run.finish()


def _write_times(nbytes: int, folder: Path) -> list[float]:
    data = os.urandom(nbytes)
    file = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        times: list[float] = []
        clock = time.perf_counter_ns
        for _ in range(CALLS):
            start = clock()
            os.write(file, data)
            times.append((clock() - start) / 1000)
        return times
    finally:
        os.close(file)


def run() -> list[Figure]:
    """Figures for 10 and 100 scalars, p50 and p99, in microseconds."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PENSTOCK_HOME"] = folder
        for scalars in (10, 100):
            logged: list[list[float]] = []
            written: list[list[float]] = []
            for _ in range(ROUNDS):
                gc.collect()
                logged.append(_log_times(scalars))
                written.append(_write_times(8 * scalars + RECORD_OVERHEAD_BYTES, Path(folder)))
            for percent, goal in ((50, 25.0), (99, 250.0)):
                rounds = [percentile(times, percent) for times in logged]
                bare = median([percentile(times, percent) for times in written])
                figures.append(
                    Figure(
                        name=f"run.log of {scalars} scalars, p{percent}",
                        value=median(rounds),
                        unit="µs",
                        goal=goal,
                        better="lower",
                        beside_name="a bare os.write of the same bytes",
                        beside=bare,
                        details={"rounds": rounds, "calls_per_round": CALLS},
                    )
                )
    return figures
