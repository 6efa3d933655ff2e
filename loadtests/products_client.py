"""One program that logs 100 metrics × 1,000 steps, through the client of one product. A process of its own.

    python products_client.py penstock|mlflow WAY

    python products_client.py penstock|wandb call

The environment says where the server is, as that client reads it. Prints a JSON line: `begin_s` from the start of the run,
and `log_s` from the first row, both until all of it can be read back. A row that is logged and read back before the clock of
`log_s` starts sees to it that everything is connected by then. `call` needs no server: the run is kept on this machine, and
`p50_us` and `p99_us` are what one call of 100 metrics takes the program.

Imports nothing of Penstock's servers: it also runs where only clients are installed.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

METRICS = 100
STEPS = 1_000
KEYS = [f"layer/{index}/loss" for index in range(METRICS)]
METRICS_PER_BATCH = 1_000
"""The most that MLflow takes in one call."""
WARM_KEY = "warm"

Row = dict[str, float]


def rows() -> Iterator[tuple[int, Row]]:
    """The work: what is logged at each step."""
    for step in range(STEPS):
        yield step, {key: (step * 7919 + index) % 1000 / 999.0 for index, key in enumerate(KEYS)}


def penstock(way: str) -> dict[str, float]:
    """`step`: `run.log` per step; `call`: the same offline."""
    import penstock
    from penstock.client import Client
    from penstock.errors import NotFound

    if way == "call":
        with penstock.init(mode="offline", system_metrics=False, capture=False) as run:
            return _call_times(run.log)
    work = list(rows())
    begin_s = time.perf_counter()
    with (
        Client() as client,
        penstock.init(project="default", system_metrics=False, capture=False) as run,
    ):

        def points(prefix: str) -> int:
            try:
                return sum(metric.points for metric in client.latest(run, prefix=prefix))
            except NotFound:  # its sender has not come so far yet
                return 0

        def log() -> None:
            for step, row in work:
                run.log(row, step=step)

        return _timed(
            begin_s,
            warm=lambda: run.log({WARM_KEY: 1.0}, step=0),
            warmed=lambda: points(WARM_KEY) == 1,
            log=log,
            readable=lambda: points("layer/") == METRICS * STEPS,
        )


def mlflow(way: str) -> dict[str, float]:
    """`step`: `log_metrics` per step; `batch`: `log_batch` of as many metrics as it takes."""
    import mlflow

    work = list(rows())
    last = work[-1][1]
    client = mlflow.MlflowClient()
    begin_s = time.perf_counter()
    with mlflow.start_run() as active:
        run_id = active.info.run_id

        def latest() -> dict[str, float]:
            return client.get_run(run_id).data.metrics

        def log_steps() -> None:
            for step, row in work:
                mlflow.log_metrics(row, step=step)

        def log_batches() -> None:
            now_ms = int(time.time() * 1000)
            entries = [
                mlflow.entities.Metric(key, value, now_ms, step) for step, row in work for key, value in row.items()
            ]
            for first in range(0, len(entries), METRICS_PER_BATCH):
                client.log_batch(run_id, metrics=entries[first : first + METRICS_PER_BATCH])

        found = _timed(
            begin_s,
            warm=lambda: mlflow.log_metric(WARM_KEY, 1.0, step=0),
            warmed=lambda: latest().get(WARM_KEY) == 1.0,
            log={"step": log_steps, "batch": log_batches}[way],
            readable=lambda: all(latest().get(key) == value for key, value in last.items()),
        )
        # Its calls return when they are done: the latest values tell that all are there, and one series is counted.
        assert len(client.get_metric_history(run_id, KEYS[-1])) == STEPS
        return found


def wandb(way: str) -> dict[str, float]:
    """`call`: `run.log` per step, offline, without what it measures of the machine."""
    import wandb

    assert way == "call"
    settings = wandb.Settings(mode="offline", console="off", silent=True, x_disable_stats=True)
    with wandb.init(project="benchmark", settings=settings) as run:
        return _call_times(run.log)


def _call_times(log: Callable[..., Any]) -> dict[str, float]:
    times_us: list[float] = []
    for step, row in rows():
        start_ns = time.perf_counter_ns()
        log(row, step=step)
        times_us.append((time.perf_counter_ns() - start_ns) / 1000)
    times_us.sort()
    return {"p50_us": times_us[STEPS // 2], "p99_us": times_us[STEPS * 99 // 100]}


def _timed(
    begin_s: float,
    *,
    warm: Callable[[], Any],
    warmed: Callable[[], bool],
    log: Callable[[], Any],
    readable: Callable[[], bool],
) -> dict[str, float]:
    warm()
    while not warmed():
        time.sleep(0.001)
    warm_s = time.perf_counter()
    log()
    while not readable():
        time.sleep(0.001)
    end_s = time.perf_counter()
    return {"begin_s": end_s - begin_s, "log_s": end_s - warm_s}


if __name__ == "__main__":
    print(json.dumps({"penstock": penstock, "mlflow": mlflow, "wandb": wandb}[sys.argv[1]](sys.argv[2])), flush=True)
