"""`penstock up --processes`: a process for each part, started again when it dies, and gone when the launcher is."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.platform import PENSTOCK, Platform, running_platform
from support.training import eventually

PARTS = ("auth", "tracking", "registry", "artifact", "gateway", "dashboard")
COMPACTOR = "compactor"
"""Compaction has a process of its own where the metric log is on a server."""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path, "--processes") as started:
        yield started


def parts(platform: Platform) -> dict[str, psutil.Process]:
    """The processes of a platform, by name."""
    found: dict[str, psutil.Process] = {}
    for child in psutil.Process(platform.pid).children():
        with contextlib.suppress(psutil.Error):  # one that ended just now
            words = child.cmdline()
            if words[1:2] == ["-m"]:
                found[words[2].removeprefix("penstock_").rpartition(".")[2]] = child
    return found


def call(platform: Platform, path: str, body: Any = None) -> Any:
    """Calls a JSON twin as the owner. Returns None while it cannot be answered."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {platform.token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(platform.http + path, data, headers), timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 503:
            raise
    except OSError:
        pass
    return None


def test_each_part_is_a_process_and_comes_back_when_it_dies(platform: Platform, pytestconfig: pytest.Config) -> None:
    before = parts(platform)
    names = (*PARTS, COMPACTOR) if pytestconfig.getoption("--stores") == "servers" else PARTS
    assert set(before) == set(names)
    run = call(platform, "/api/v1/projects/default/runs", {"run": {"displayName": "kept"}})["run"]["name"]
    for name in names:
        before[name].kill()
        back = eventually(lambda name=name: running_anew(platform, name, before[name].pid), f"{name} is there again")
        assert back.pid != before[name].pid
        eventually(lambda: call(platform, "/healthz"), f"healthy after the death of {name}")
        kept = eventually(lambda: call(platform, f"/api/v1/{run}"), f"answers after the death of {name}")
        assert kept["run"]["displayName"] == "kept"
    eventually(lambda: shown(platform), "the dashboard is shown again")
    log = [json.loads(line) for line in (platform.home / "data/logs/platform.log").read_text().splitlines()]
    said = {line["message"]: line for line in log}
    for name in names:
        assert said[f"{name} ended"]["status"] == -signal.SIGKILL
        assert f"{name} is started again" in said
    assert platform.stop() == 0


def running_anew(platform: Platform, name: str, former: int) -> psutil.Process | None:
    process = parts(platform).get(name)
    return process if process is not None and process.pid != former else None


def shown(platform: Platform) -> bool:
    try:
        with urllib.request.urlopen(f"{platform.http}/sign-in", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_a_stop_ends_all_in_order_and_they_say_so(platform: Platform) -> None:
    processes = list(parts(platform).values())
    assert platform.stop() == 0
    assert not [process for process in processes if process.is_running()]
    for name in ("auth", "tracking", "registry", "artifact"):
        lines = (platform.home / f"data/logs/{name}.log").read_text().splitlines()
        assert json.loads(lines[-1])["message"] == "Stopping"
    log = (platform.home / "data/logs/platform.log").read_text()
    assert "ended" not in log


def test_a_killed_launcher_leaves_nothing_behind_and_the_next_one_goes_on(platform: Platform) -> None:
    run = call(platform, "/api/v1/projects/default/runs", {"run": {"displayName": "kept"}})["run"]["name"]
    orphans = [process for name, process in parts(platform).items() if name != "dashboard"]
    before = (platform.http, platform.grpc, platform.token)
    platform.kill()
    # At once: it waits until the services are gone, and then takes their ports and the data.
    platform.start()
    assert not [process for process in orphans if process.is_running()]
    assert (platform.http, platform.grpc, platform.token) == before
    assert call(platform, f"/api/v1/{run}")["run"]["displayName"] == "kept"


def test_the_data_is_the_same_in_both_shapes(tmp_path: Path) -> None:
    with running_platform(tmp_path, "--processes") as platform:
        run = call(platform, "/api/v1/projects/default/runs", {"run": {"displayName": "kept"}})["run"]["name"]
        token = platform.token
    with running_platform(tmp_path) as platform:
        assert platform.token == token
        assert call(platform, f"/api/v1/{run}")["run"]["displayName"] == "kept"


def test_a_part_that_cannot_start_says_why(tmp_path: Path) -> None:
    with running_platform(tmp_path, "--processes", "--stores", "embedded") as platform:
        platform.stop()
        for beside in (platform.home / "data/tracking").glob("metrics.sqlite-*"):
            beside.unlink()
        with sqlite3.connect(platform.home / "data/tracking/metrics.sqlite") as database:
            database.execute("PRAGMA user_version = 1000000")
        database.close()
        again = subprocess.run(
            [PENSTOCK, "up", "--processes", "--http-port", "0", "--grpc-port", "0", "--json"],
            env=platform.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert again.returncode != 0
    assert json.loads(again.stderr.splitlines()[-1])["error"]["reason"] == "CANNOT_START"
    assert "tracking does not start" in again.stderr
    assert "metrics.sqlite" in again.stderr
