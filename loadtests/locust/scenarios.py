"""The scenarios: trainings that log, and people who look at what is logged.

All of them talk to the gateway, found as any client finds it (`PENSTOCK_URL` and `PENSTOCK_TOKEN`), and keep to the project
`loadtest`, which is made if it is missing and stays afterwards.
"""

import hashlib
import os
import queue
import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from locust import HttpUser, SequentialTaskSet, User, constant_pacing, constant_throughput, task
from locust.env import Environment

from penstock import config
from penstock.api.tracking.v1 import metric_pb2, run_pb2, tracking_service_pb2
from penstock.client import Client
from penstock.errors import AlreadyExists, PenstockError

__all__ = ["BROWSED_RUNS", "BrowseUser", "IngestUser", "fill"]

PROJECT = "loadtest"
KEYS = [f"layer/{index}/loss" for index in range(100)]
ROWS_MAX = 100
NOISE = [random.random() for _ in range(ROWS_MAX * len(KEYS))]
"""What is logged. Made once, so that the users cost the machine as little as they can."""
ROWS_PER_BATCH = 10
BATCH_INTERVAL_S = 1.0
"""How often a training sends what it logged: its sender gathers the rows of a second."""
BROWSED_RUNS = 20
BROWSED_STEPS = 2_000
TASKS_PER_SECOND = 2
"""How quickly somebody who browses goes on."""
PAGE_SIZE = 50
WATCH_S = 2.0
"""For how long somebody follows a run before looking at something else."""


@contextmanager
def measured(environment: Environment, kind: str, name: str) -> Generator[None, None, None]:
    """Counts what happens in the block as one request; an error of the client as one that failed."""
    start_s = time.perf_counter()
    failure: PenstockError | None = None
    try:
        yield
    except PenstockError as error:
        failure = error
    environment.events.request.fire(
        request_type=kind,
        name=name,
        response_time=(time.perf_counter() - start_s) * 1000,
        response_length=0,
        exception=failure,
    )


def fill() -> None:
    """Makes the project and the runs that are browsed, unless they are there."""
    with Client() as client:
        with suppress(AlreadyExists):
            client.create_project(PROJECT, title="Load tests")
        found = client.runs(PROJECT, filter="tags.browsed = 'yes'", columns=["name"], limit=BROWSED_RUNS).to_list()
        for number in range(len(found), BROWSED_RUNS):
            run = run_pb2.Run(
                display_name=f"browsed-{number}",
                params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1 / (number + 1)))],
                tags=[run_pb2.Tag(key="browsed", value="yes")],
            )
            name = _new_run(client, run)
            writer = _Writer(client, name)
            for first in range(0, BROWSED_STEPS, ROWS_MAX):
                writer.send(range(first, first + ROWS_MAX))
            writer.close()
            client.tracking.FinishRun(
                tracking_service_pb2.FinishRunRequest(name=name, state=run_pb2.RUN_STATE_FINISHED)
            )


class IngestUser(User):
    """A training: opens a writer on a run of its own, streams batches, and waits until each is durable."""

    weight = 4
    wait_time = constant_pacing(BATCH_INTERVAL_S)

    def on_start(self) -> None:
        self._client = Client()
        with measured(self.environment, "grpc", "open a writer"):
            self._run = _new_run(self._client, run_pb2.Run(display_name="ingested"))
            self._writer = _Writer(self._client, self._run)
        self._steps_sent = self._steps_acked = 0

    @task
    def log(self) -> None:
        """One batch, until it is acknowledged."""
        steps = range(self._steps_sent, self._steps_sent + ROWS_PER_BATCH)
        self._steps_sent = steps.stop
        with measured(self.environment, "grpc", "batch until durable"):
            self._writer.send(steps)
            self._steps_acked = steps.stop

    def on_stop(self) -> None:
        self._writer.close()
        with measured(self.environment, "grpc", "every point is there once"):
            points = sum(metric.points for metric in self._client.latest(self._run))
            # The end of the test may have come while the last batch was on its way: that one may be there or not.
            if not self._steps_acked * len(KEYS) <= points <= self._steps_sent * len(KEYS):
                raise PenstockError(f"{self._steps_acked * len(KEYS)} points were acknowledged, {points} are there")
        self._client.tracking.FinishRun(
            tracking_service_pb2.FinishRunRequest(name=self._run, state=run_pb2.RUN_STATE_FINISHED)
        )
        self._client.close()


class Visit(SequentialTaskSet):
    """What somebody does in front of the dashboard, one thing after the other."""

    user: "BrowseUser"

    @task
    def search(self) -> None:
        """A page of the table of runs."""
        with measured(self.user.environment, "grpc", "search"):
            self.user.grpc.tracking.SearchRuns(
                tracking_service_pb2.SearchRunsRequest(
                    parent=f"projects/{PROJECT}",
                    filter=f'metrics."{KEYS[0]}" >= 0 and params.lr < {random.uniform(0, 0.1)}',
                    order_by=f'metrics."{KEYS[1]}" asc',
                    page_size=PAGE_SIZE,
                    columns=["display_name", "state", "start_time", "params.lr", f"metrics.{KEYS[0]}"],
                )
            )

    @task
    def search_by_http(self) -> None:
        """Another one, through the JSON twin."""
        self.client.post(
            f"/api/v1/projects/{PROJECT}/runs:search",
            json={"filter": "state = 'FINISHED'", "pageSize": PAGE_SIZE, "columns": ["display_name", "params.lr"]},
            name="search by HTTP",
        )

    @task
    def open_run(self) -> None:
        """A run's page: its record, the keys of its metrics, their latest values."""
        grpc, name = self.user.grpc, random.choice(self.user.runs)
        with measured(self.user.environment, "grpc", "run page"):
            grpc.run(name, fields=["name", "display_name", "state", "params", "tags", "summary"])
            grpc.metric_keys(name, prefix="layer/1").to_list()
            grpc.latest(name, prefix="layer/1")

    @task
    def look_at_charts(self) -> None:
        """A page of charts: several runs, several metrics."""
        runs = random.sample(self.user.runs, 5)
        with measured(self.user.environment, "grpc", "charts of 5 runs × 10 metrics"):
            self.user.grpc.series(runs, random.sample(KEYS, 10), max_points=500)

    @task
    def watch(self) -> None:
        """Follows the run that began last, for a while."""
        grpc = self.user.grpc
        newest = grpc.runs(PROJECT, order_by="create_time desc", columns=["name"], limit=1).to_list()
        until_s = time.monotonic() + WATCH_S
        events = grpc.watch(newest[0].name, keys=KEYS[:5], from_now=True)
        try:
            with measured(self.user.environment, "grpc", "first word of a watched run"):
                next(events)
            while time.monotonic() < until_s and next(events, None) is not None:
                pass
        finally:
            events.close()


class BrowseUser(HttpUser):
    """Somebody in front of the dashboard, visit after visit."""

    weight = 1
    wait_time = constant_throughput(TASKS_PER_SECOND)
    host = config.resolve().http
    tasks = [Visit]  # noqa: RUF012 - Locust declares it so, and reads it from the class

    def on_start(self) -> None:
        self.grpc = Client()
        self.client.headers["Authorization"] = f"Bearer {self.grpc.connection.token}"
        browsed = self.grpc.runs(PROJECT, filter="tags.browsed = 'yes'", columns=["name"], limit=BROWSED_RUNS)
        self.runs = [run.name for run in browsed]

    def on_stop(self) -> None:
        self.grpc.close()


class _Writer:
    """The stream of one writer. Its requests go through a queue to the thread in which gRPC writes them."""

    def __init__(self, client: Client, run: str) -> None:
        self._requests: queue.Queue[metric_pb2.StreamMetricsRequest | None] = queue.Queue()
        self._responses: Any = client.tracking.StreamMetrics(self._outgoing())
        self._sequence = 0
        opening = metric_pb2.OpenWriter(run=run, writer_id=os.urandom(16).hex(), epoch=1)
        self._requests.put(metric_pb2.StreamMetricsRequest(open=opening))
        next(self._responses)

    def send(self, steps: range) -> None:
        """Sends a batch, and returns when it is durable."""
        self._sequence += 1
        now_us = time.time_ns() // 1000
        content = metric_pb2.MetricBatchContent(
            new_keys=[metric_pb2.MetricKey(id=i, key=key) for i, key in enumerate(KEYS)] if self._sequence == 1 else [],
            blocks=[
                metric_pb2.MetricBlock(
                    key_ids=range(len(KEYS)),
                    steps=steps,
                    times_unix_us=[now_us] * len(steps),
                    values=NOISE[: len(steps) * len(KEYS)],
                )
            ],
        )
        digest = hashlib.sha256(content.SerializeToString()).digest()
        batch = metric_pb2.MetricBatch(sequence=self._sequence, digest=digest, content=content)
        self._requests.put(metric_pb2.StreamMetricsRequest(batch=batch))
        while next(self._responses).acked_sequence < self._sequence:
            pass

    def close(self) -> None:
        """Ends the writer. Returns when all that it sent is durable."""
        self._requests.put(metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter()))
        for _ in self._responses:
            pass
        self._requests.put(None)

    def _outgoing(self) -> Iterator[metric_pb2.StreamMetricsRequest]:
        while (request := self._requests.get()) is not None:
            yield request


def _new_run(client: Client, run: run_pb2.Run) -> str:
    request = tracking_service_pb2.CreateRunRequest(parent=f"projects/{PROJECT}", run=run)
    return client.tracking.CreateRun(request).run.name
