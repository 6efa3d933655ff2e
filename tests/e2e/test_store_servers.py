"""`penstock up --stores servers`: real MongoDB, Redis and S3 servers that belong to the data directory."""

import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from support.platform import PENSTOCK, Platform, running_platform
from support.training import connection_of, eventually

from penstock.api.tracking.v1 import run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock.client import Client
from penstock.errors import PenstockError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers")]

MANY_POINTS = """
import penstock
with penstock.init(system_metrics=False) as run:
    for step in range(6_000):
        run.log({f"loss/{key}": step + key for key in range(100)}, step=step)
"""
"""More points than a run may have outside of segments."""

PROGRAMS = {"mongod", "redis-server", "minio", "weed"}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path, "--stores", "servers") as started:
        yield started


def servers(platform: Platform) -> dict[str, psutil.Process]:
    """The store servers of a platform, by program."""
    children = psutil.Process(platform.pid).children()
    return {child.name(): child for child in children if child.name() in PROGRAMS}


def log_run(platform: Platform) -> str:
    with Client(connection_of(platform.env)) as client:
        request = pb.CreateRunRequest(parent="projects/default", run=run_pb2.Run(display_name="kept"))
        run = client.tracking.CreateRun(request).run.name
        metrics = [pb.MetricPoint(key="loss", value=0.5, step=7)]
        client.tracking.LogBatch(pb.LogBatchRequest(run=run, metrics=metrics))
    return run


def check_run(platform: Platform, run: str) -> None:
    with Client(connection_of(platform.env)) as client:
        assert client.run(run).display_name == "kept"
        [latest] = client.latest(run, keys=["loss"])
        assert (latest.step, latest.value) == (7, 0.5)


def test_data_and_token_survive_a_stop_and_a_kill(platform: Platform) -> None:
    run = log_run(platform)
    token = platform.token
    for end in (platform.stop, platform.kill):
        before = servers(platform)
        assert len(before) == 3
        end()
        _, alive = psutil.wait_procs(list(before.values()), timeout=10)
        assert alive == []
        platform.start()
        assert platform.token == token
        check_run(platform, run)


def test_what_is_kept_is_for_this_user_alone_and_no_password_can_be_seen(platform: Platform) -> None:
    data = platform.home / "data"
    kept = json.loads((data / "stores.json").read_text())
    assert kept["kind"] == "servers"
    assert stat.S_IMODE((data / "stores.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "servers").stat().st_mode) == 0o700
    assert [path for path in data.rglob("*") if path.is_file() and path.stat().st_mode & 0o077] == []
    for process in psutil.Process(platform.pid).children(recursive=True):
        assert kept["password"] not in " ".join(process.cmdline())


@pytest.mark.parametrize("program", ["mongod", "redis-server"])
def test_a_server_that_dies_is_started_again(platform: Platform, program: str) -> None:
    run = log_run(platform)
    killed = servers(platform)[program]
    killed.kill()
    eventually(lambda: servers(platform).get(program, killed).pid != killed.pid, f"another {program}")

    def answers() -> bool:
        try:
            check_run(platform, run)
        except PenstockError:
            return False
        return True

    eventually(answers, "the data is there again")
    assert "Server ended, and is started again" in (platform.home / "data/logs/platform.log").read_text()


def compactor(platform: Platform) -> psutil.Process | None:
    """The process that compacts, while there is one."""
    for child in psutil.Process(platform.pid).children():
        with contextlib.suppress(psutil.Error):  # one that ended just now
            if "penstock_tracking.compactor" in child.cmdline():
                return child
    return None


def test_compaction_is_a_process_of_its_own_that_comes_back(tmp_path: Path) -> None:
    with running_platform(tmp_path, "--processes", "--stores", "servers") as platform:
        first = eventually(lambda: compactor(platform), "a compactor")
        environment = first.environ()
        assert environment["PENSTOCK_TRACKING_COMPACTION"] == "false"  # nor does the service, which has the same
        first.kill()

        def another() -> bool:
            found = compactor(platform)
            return found is not None and found.pid != first.pid

        eventually(another, "another compactor")
        subprocess.run([sys.executable, "-c", MANY_POINTS], env=platform.env, check=True, timeout=60)
        with MongoClient[dict[str, Any]](environment["PENSTOCK_TRACKING_METRIC_LOG_URL"]) as mongo:
            batches = mongo.get_default_database()["metric_batches"]
            eventually(lambda: batches.estimated_document_count() == 0, "all batches in segments")
        with Client(connection_of(platform.env)) as client:
            [run] = client.runs("default")
            assert {latest.step for latest in client.latest(run.name)} == {5_999}


def test_data_in_stores_of_the_other_kind_is_not_passed_over(tmp_path: Path) -> None:
    for made, other in (("embedded", "servers"), ("servers", "embedded")):
        (tmp_path / made).mkdir()
        with running_platform(tmp_path / made, "--stores", made) as platform:
            run = log_run(platform)
            platform.stop()
            refused = up(platform.env, "--stores", other)
            assert json.loads(refused.stderr.splitlines()[-1])["error"]["reason"] == "STORES_DIFFER"
            assert f"--stores {made}" in refused.stderr
            platform.start()
            check_run(platform, run)


def test_a_program_that_cannot_be_had_is_named_with_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {"PATH": str(empty), "XDG_CACHE_HOME": str(empty), "PENSTOCK_HOME": str(tmp_path / "home")}
    refused = up(env, "--stores", "servers")
    assert refused.returncode != 0
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["reason"] == "PROGRAM_MISSING"
    assert "on PATH" in refused.stderr
    assert "python -m penstock_local.servers" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_several_tracking_services_need_servers(tmp_path: Path) -> None:
    refused = up({"PENSTOCK_HOME": str(tmp_path)}, "--processes", "--tracking-replicas", "2")
    assert refused.returncode != 0
    assert "--stores servers" in refused.stderr


def up(env: "dict[str, str]", *options: str) -> "subprocess.CompletedProcess[str]":
    """A start that must fail."""
    return subprocess.run(
        [PENSTOCK, "up", "--json", "--http-port", "0", "--grpc-port", "0", *options],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
