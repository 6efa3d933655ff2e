"""Any process of the platform is killed or frozen while training streams to it: every point arrives, once, as it was.

Who watches the run meanwhile is told of every point once, too.

The moments are random, from a seed in the test's name, so that a failure can be looked for again.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.platform import PENSTOCK, Platform, Processes, running_platform, running_processes
from support.training import (
    SteadyTraining,
    Watcher,
    check_all_arrived,
    connection_of,
    end_senders,
    eventually,
    points_on_server,
    until_rows_grow,
    until_streaming,
)

from penstock.client import Client

pytestmark = pytest.mark.slow

SEEDS = range(1, 11) if os.environ.get("PENSTOCK_SOAK") == "1" else range(1, 2)
PAUSE_S_MAX = 1.0
"""The longest pause before a kill, and before what was killed starts again."""
FROZEN_S = 3.0


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("processes")) as running, end_senders(running.home):
        yield running


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path) as running, end_senders(running.home):
        yield running


@pytest.mark.parametrize("name", ["auth", "tracking", "gateway", "dashboard"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_process_loses_nothing(processes: Processes, tmp_path: Path, name: str, seed: int) -> None:
    chance = random.Random(f"{seed}/{name}")
    with SteadyTraining(tmp_path, seed, processes.env) as training, Client(connection_of(processes.env)) as client:
        until_streaming(client, training.report("run"))
        watcher = Watcher(client.connection, training.report("run"))
        for _ in range(2):
            time.sleep(chance.uniform(0, PAUSE_S_MAX))
            processes.kill_one(name)
            time.sleep(chance.uniform(0, PAUSE_S_MAX))
            processes.start_one(name)
            processes.wait_ready()
            until_rows_grow(client, training.report("run"))
        check_all_arrived(client, training)
        assert watcher.points() == training.points()


def test_a_frozen_tracking_service_loses_nothing(processes: Processes, tmp_path: Path) -> None:
    with SteadyTraining(tmp_path, 2, processes.env) as training, Client(connection_of(processes.env)) as client:
        until_streaming(client, training.report("run"))
        os.kill(processes.pid("tracking"), signal.SIGSTOP)
        try:
            time.sleep(FROZEN_S)
        finally:
            os.kill(processes.pid("tracking"), signal.SIGCONT)
        until_rows_grow(client, training.report("run"))
        check_all_arrived(client, training)


def test_a_killed_platform_loses_nothing(platform: Platform, tmp_path: Path) -> None:
    chance = random.Random(3)
    with SteadyTraining(tmp_path, 3, platform.env) as training, Client(connection_of(platform.env)) as client:
        until_streaming(client, training.report("run"))
        watcher = Watcher(client.connection, training.report("run"))
        for _ in range(2):
            time.sleep(chance.uniform(0, PAUSE_S_MAX))
            platform.kill()
            time.sleep(chance.uniform(0, PAUSE_S_MAX))
            platform.start()
            until_rows_grow(client, training.report("run"))
        check_all_arrived(client, training)
        assert watcher.points() == training.points()


def test_a_training_that_ends_while_the_platform_is_away(platform: Platform, tmp_path: Path) -> None:
    """It knew the server, and its sender goes on alone."""
    connection = connection_of(platform.env)
    with SteadyTraining(tmp_path, 4, platform.env, finish_timeout_s=0.5) as training:
        with Client(connection) as client:
            until_streaming(client, training.report("run"))
        platform.kill()
        time.sleep(PAUSE_S_MAX)
        training.stop()
        receipt = training.receipt()
        assert receipt["points_durable"] < receipt["points_logged"]
        assert "penstock sync" in training.words
        platform.start()
        with Client(connection) as client:
            run = training.report("run")
            eventually(lambda: client.run(run, fields=["state"]).state == 2, "the end of the run")
            assert points_on_server(client, run) == training.points()


def test_a_platform_that_comes_after_the_training(tmp_path: Path) -> None:
    """Nobody knew a server, so there is no sender: `penstock sync` is one."""
    platform = Platform(tmp_path)
    with SteadyTraining(tmp_path, 5, platform.env) as training:
        training.report("run")
        time.sleep(PAUSE_S_MAX)
        training.stop()
        receipt = training.receipt()
    assert (receipt["points_durable"], receipt["verified"]) == (0, False)
    assert "penstock sync" in training.words
    with running_platform(tmp_path) as platform, end_senders(platform.home):
        for _ in range(2):
            subprocess.run([PENSTOCK, "sync"], env=platform.env, check=True, timeout=60)
        with Client(connection_of(platform.env)) as client:
            assert points_on_server(client, receipt["run"]) == training.points()
            assert client.run(receipt["run"], fields=["state"]).state == 2
