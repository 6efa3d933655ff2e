"""Two tracking services on MongoDB, Redis and S3 behind a gateway: they share the work, either goes on for the other."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.platform import PENSTOCK, Processes, running_platform, running_processes
from support.training import (
    SteadyTraining,
    Watcher,
    check_all_arrived,
    connection_of,
    end_senders,
    eventually,
    points_on_server,
    rows_on_server,
    until_rows_grow,
    until_streaming,
)

from penstock.api.tracking.v1 import run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock.client import Client
from penstock.errors import ServerUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers")]

REPLICAS = ("tracking-1", "tracking-2")
OFFLINE = """
import sys
import penstock

with penstock.init(project="default", mode="offline", system_metrics=False) as run:
    for step in range(int(sys.argv[1])):
        run.log({"loss": 1 / (step + 1)}, step=step)
    run.tags.add("phase-" + sys.argv[1])
print(run.id)
"""
OFFLINE_ROWS = 20_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    folder = tmp_path_factory.mktemp("replicas")
    with running_processes(folder, "servers", tracking_replicas=2) as running, end_senders(running.home):
        yield running


@pytest.fixture
def client(platform: Processes) -> Iterator[Client]:
    with Client(connection_of(platform.env)) as opened:
        yield opened


def test_streams_go_on_at_the_replica_that_is_left(platform: Processes, client: Client, tmp_path: Path) -> None:
    folders = [tmp_path / f"training-{number}" for number in range(2)]
    for folder in folders:
        folder.mkdir()
    with (
        SteadyTraining(folders[0], 1, platform.env) as first,
        SteadyTraining(folders[1], 2, platform.env) as second,
    ):
        runs = [training.report("run") for training in (first, second)]
        for run in runs:
            until_streaming(client, run)
        watchers = [Watcher(connection_of(platform.env), run) for run in runs]
        for gone in (*REPLICAS, *REPLICAS):
            platform.kill_one(gone)
            # Each of them works alone for a while, with the streams of both.
            for run in runs:
                until_rows_grow(client, run)
            platform.restart_one(gone)
            for run in runs:
                until_rows_grow(client, run)
        for training, watcher in zip((first, second), watchers, strict=True):
            check_all_arrived(client, training)
            assert watcher.points() == {key: sorted(points) for key, points in training.points().items()}


def test_a_replica_that_is_told_to_stop_hands_its_streams_over(
    platform: Processes, client: Client, tmp_path: Path
) -> None:
    with SteadyTraining(tmp_path, 3, platform.env) as training:
        run = training.report("run")
        until_streaming(client, run)
        for gone in REPLICAS:
            assert platform.stop_one(gone) == 0
            until_rows_grow(client, run)
            platform.restart_one(gone)
        check_all_arrived(client, training)


def rows_seen(client: Client, run: str) -> int:
    """How many rows of a run are on the server, 0 if it does not say."""
    with contextlib.suppress(ServerUnavailable):
        return rows_on_server(client, run)
    return 0


def test_the_streams_of_a_frozen_replica_go_on_at_the_other(
    platform: Processes, client: Client, tmp_path: Path
) -> None:
    folders = [tmp_path / f"training-{number}" for number in range(2)]
    for folder in folders:
        folder.mkdir()
    with (
        SteadyTraining(folders[0], 5, platform.env) as first,
        SteadyTraining(folders[1], 6, platform.env) as second,
    ):
        runs = [training.report("run") for training in (first, second)]
        for run in runs:
            until_streaming(client, run)
        frozen = psutil.Process(platform.pid(REPLICAS[0]))
        frozen.suspend()
        try:
            # It is found out by its silence. Until then a call may come to it, and wait in vain.
            before = {run: eventually(lambda run=run: rows_seen(client, run), "an answer") for run in runs}
            for run, rows in before.items():
                eventually(lambda run=run, rows=rows: rows_seen(client, run) > rows, f"more rows than {rows}")
        finally:
            frozen.resume()
        for training in (first, second):
            check_all_arrived(client, training)


def test_a_search_sees_what_any_replica_acknowledged(platform: Processes, client: Client) -> None:
    # Calls take turns among the replicas: each write is looked for more often than there are replicas.
    run = client.tracking.CreateRun(pb.CreateRunRequest(parent="projects/default", run=run_pb2.Run())).run.name
    for step in range(1, 11):
        request = pb.LogBatchRequest(
            run=run,
            metrics=[pb.MetricPoint(key="loss", value=step, step=step)],
            tags=[run_pb2.Tag(key="step", value=str(step))],
        )
        client.tracking.LogBatch(request)
        for _ in range(2 * len(REPLICAS)):
            found = client.runs("default", filter=f'metrics.loss = {step} AND tags.step = "{step}"')
            assert [each.name for each in found] == [run]


def test_two_senders_of_one_spool_lose_and_double_nothing(platform: Processes, client: Client, tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = tmp_path / "offline.py"
    script.write_text(OFFLINE)
    env = platform.env | {"PENSTOCK_HOME": str(home)}
    made = subprocess.run(
        [PENSTOCK.with_name("python"), script, str(OFFLINE_ROWS)], env=env, capture_output=True, text=True, check=True
    )
    run = f"projects/default/runs/{made.stdout.strip()}"
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    senders = [
        subprocess.Popen([PENSTOCK, "sync"], env=env | {"PENSTOCK_HOME": str(each)}, stdout=subprocess.PIPE)
        for each in (home, copy)
    ]
    for sender in senders:
        sender.communicate(timeout=60)
    # One that was overtaken by a newer one stops.
    assert 0 in [sender.returncode for sender in senders]
    points = points_on_server(client, run)
    assert [step for step, _ in points["loss"]] == list(range(OFFLINE_ROWS))


def test_up_starts_replicas_and_servers_of_its_own(tmp_path: Path) -> None:
    options = ("--processes", "--stores", "servers", "--tracking-replicas", "2")
    with running_platform(tmp_path, *options) as platform, end_senders(platform.home):
        logs = platform.home / "data/logs"
        assert {log.name for log in logs.glob("tracking*")} == {"tracking-1.log", "tracking-2.log"}
        with SteadyTraining(tmp_path, 4, platform.env) as training, Client(connection_of(platform.env)) as client:
            until_streaming(client, training.report("run"))
            check_all_arrived(client, training)
