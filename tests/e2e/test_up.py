"""`penstock up` as people and programs use it: ready, stopped, killed, started twice."""

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.platform import PENSTOCK, Platform, running_platform, running_processes


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform for the tests that leave it running."""
    with running_platform(tmp_path_factory.mktemp("up")) as platform:
        yield platform


def run(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(PENSTOCK), *arguments], env=platform.env, capture_output=True, text=True, timeout=60)


def call(platform: Any, path: str, body: Any = None) -> Any:
    """Calls a JSON twin as the owner."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {platform.token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(platform.http + path, data, headers), timeout=10) as answer:
        return json.load(answer)


def gone(pids: list[int]) -> bool:
    """Whether processes end, given some seconds."""
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)
    return not alive


def children(platform: Platform) -> list[int]:
    return [child.pid for child in psutil.Process(platform.pid).children(recursive=True)]


def dashboards(platform: Platform) -> list[psutil.Process]:
    return [child for child in psutil.Process(platform.pid).children() if "penstock_dashboard" in child.cmdline()]


def test_one_line_of_json_and_everything_answers(shared: Platform) -> None:
    platform = shared
    with urllib.request.urlopen(f"{platform.http}/healthz", timeout=10) as answer:
        assert json.load(answer)["status"] == "SERVING"
    with urllib.request.urlopen(f"{platform.http}/", timeout=10) as answer:
        assert "text/html" in answer.headers["content-type"]
    assert platform.setup_link.startswith(f"{platform.http}/setup#psl_")
    assert call(platform, "/api/v1/whoami")["owner"] is True
    local = platform.home / "local.json"
    assert stat.S_IMODE(local.stat().st_mode) == 0o600
    assert json.loads(local.read_text()) == {
        "http": platform.http,
        "grpc": platform.grpc,
        "token": platform.token,
        "pid": platform.pid,
    }
    # Clients on this machine need not be told.
    assert json.loads(run(platform, "whoami", "--json").stdout)["principal"] == "users/owner"
    # Data and credentials are the user's alone.
    data = platform.home / "data"
    for path in (data, *(path for path in data.iterdir() if path.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert [path for path in data.rglob("*") if path.is_file() and path.stat().st_mode & 0o077] == []


def test_the_link_signs_in_once_and_open_makes_another(shared: Platform) -> None:
    platform = shared
    secret = platform.setup_link.partition("#")[2]
    assert call(platform, "/api/v1/setupLinks:redeem", {"secret": secret})["sessionSecret"].startswith("pss_")
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(platform, "/api/v1/setupLinks:redeem", {"secret": secret})
    assert caught.value.code == 401
    caught.value.close()
    printed = run(platform, "open", "--print")
    assert (printed.returncode, printed.stderr) == (0, "")
    link = printed.stdout.strip()
    assert link.startswith(f"{platform.http}/setup#psl_")
    assert call(platform, "/api/v1/setupLinks:redeem", {"secret": link.partition("#")[2]})["sessionSecret"]
    assert json.loads(run(platform, "open", "--json").stdout)["setup_link"].startswith(f"{platform.http}/setup#psl_")


def test_a_stop_is_quick_clean_and_does_not_wait_for_streams(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        started = children(platform)
        assert started
        created = call(platform, "/api/v1/projects/default/runs", {"run": {}})["run"]["name"]
        request = urllib.request.Request(
            f"{platform.http}/api/v1/{created}:watch", headers={"Authorization": f"Bearer {platform.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as lines:
            assert json.loads(lines.readline())["event"]["run"]["name"] == created
            begun_s = time.monotonic()
            assert platform.stop() == 0
            assert time.monotonic() - begun_s < 10
            assert json.loads(lines.read().splitlines()[-1])["error"]["status"] == "UNAVAILABLE"
        assert gone(started)
        assert not (platform.home / "local.json").exists()
        assert run(platform, "whoami").returncode == 5


def test_a_restart_and_a_kill_keep_data_credentials_and_ports(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        created = call(platform, "/api/v1/projects/default/runs", {"run": {"displayName": "kept"}})["run"]
        log = f"/api/v1/{created['name']}:logBatch"
        call(platform, log, {"metrics": [{"key": "loss", "value": 0.5, "step": "7"}]})
        before = (platform.http, platform.grpc, platform.token)
        platform.restart()
        assert (platform.http, platform.grpc, platform.token) == before
        kept = call(platform, f"/api/v1/{created['name']}/metrics:latest")["metrics"]
        assert [(m["key"], m["value"], m["step"]) for m in kept] == [("loss", 0.5, "7")]

        call(platform, log, {"metrics": [{"key": "loss", "value": 0.25, "step": "8"}]})
        started = children(platform)
        assert started
        platform.kill()
        assert gone(started)
        # What the killed one left of itself misleads nobody.
        assert run(platform, "whoami").returncode == 5
        platform.restart()
        assert (platform.http, platform.grpc, platform.token) == before
        kept = call(platform, f"/api/v1/{created['name']}/metrics:latest")["metrics"]
        assert [(m["value"], m["step"]) for m in kept] == [(0.25, "8")]


def test_a_second_up_on_the_same_data_is_refused(shared: Platform) -> None:
    platform = shared
    second = run(platform, "up", "--http-port", "0", "--grpc-port", "0")
    assert second.returncode == 1
    assert f"process {platform.pid}" in second.stderr
    assert "--data-dir" in second.stderr
    assert "Traceback" not in second.stderr
    # The first one is not disturbed.
    assert call(platform, "/api/v1/whoami")["owner"] is True


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_that_is_taken_is_named_with_its_option(tmp_path: Path, option: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ports = {"--http-port": "0", "--grpc-port": "0"} | {option: port}
        arguments = [text for pair in ports.items() for text in pair]
        platform = Platform(tmp_path)
        ended = run(platform, "up", *arguments)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert f"127.0.0.1:{port} is in use" in ended.stderr
    assert option in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (platform.home / "local.json").exists()


def test_off_loopback_without_a_certificate_is_refused(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    ended = run(platform, "up", "--host", "0.0.0.0", "--http-port", "0", "--grpc-port", "0")
    assert ended.returncode == 2
    assert "in the clear" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(Platform(tmp_path), "up", "--data-dir", str(tmp_path / "file" / "data"))
    assert ended.returncode == 1
    assert "Cannot write in the data directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_dashboard_that_dies_is_started_again(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        [dashboard] = dashboards(platform)
        dashboard.kill()
        end_s = time.monotonic() + 30
        status = 0
        while status != 200 and time.monotonic() < end_s:
            time.sleep(0.1)
            if dashboard.is_running() and dashboard.status() != psutil.STATUS_ZOMBIE:
                continue
            try:
                with urllib.request.urlopen(f"{platform.http}/", timeout=5) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
                error.close()
                assert status == 503
        assert status == 200
        [another] = dashboards(platform)
        assert another.pid != dashboard.pid


def test_people_are_told_how_to_go_on(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    with subprocess.Popen(
        [str(PENSTOCK), "up", "--http-port", "0", "--grpc-port", "0"],
        env=platform.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == 0
    local = f"{platform.home / 'data'}"
    for text in (
        "Penstock is running",
        "/setup#psl_",
        "import penstock",
        "penstock open",
        "penstock login",
        'mlflow.set_tracking_uri("http://token:<the token in ',  # no secret where it may end in a file
        local,
        "Stopped.",
    ):
        assert text in said


def test_the_link_is_whole_on_a_narrow_terminal(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with (
        os.fdopen(ours, "rb", buffering=0) as screen,
        subprocess.Popen(
            [str(PENSTOCK), "up", "--http-port", "0", "--grpc-port", "0"],
            env={**platform.env, "TERM": "dumb"},
            stdout=theirs,
        ) as process,
    ):
        os.close(theirs)
        said = b""
        while b"Ctrl-C" not in said:
            said += screen.read(65_536)
        process.send_signal(signal.SIGINT)
    # As the server makes it: nothing before it on its line, nothing after it, and nothing in between.
    assert re.search(rb"^http://127\.0\.0\.1:\d+/setup#psl_[0-9a-f]{32}_[0-9a-f]{64}\r$", said, re.MULTILINE), said
    tracking_uri = rb"http://token:pst_[0-9a-f]{32}_[0-9a-f]{64}@127\.0\.0\.1:\d+"
    assert re.search(rb'^ +mlflow\.set_tracking_uri\("' + tracking_uri + rb'"\)\r$', said, re.MULTILINE), said


def test_it_is_light(shared: Platform, pytestconfig: pytest.Config) -> None:
    call(shared, "/api/v1/projects/default/runs", {"run": {}})
    processes = [psutil.Process(shared.pid), *psutil.Process(shared.pid).children(recursive=True)]
    # Its own: store servers take what they take.
    own = [process for process in processes if process.name().startswith(("penstock", "python"))]
    one = pytestconfig.getoption("--shape") == "one"
    # Of what several processes share, libraries above all, each has its part.
    sizes = [(p.name(), (p.memory_info().rss if one else p.memory_full_info().pss) / 1e6) for p in own]
    assert sum(megabytes for _, megabytes in sizes) <= (350 if one else 600), sizes


def test_the_demo_trains_beside_and_stdout_stays_one_line(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    with subprocess.Popen(
        [str(PENSTOCK), "up", "--json", "--demo", "--http-port", "0", "--grpc-port", "0"],
        env=platform.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = json.loads(process.stdout.readline())
        assert process.stderr.readline().startswith("Training ")
        platform.http = said["http"]
        platform.token = json.loads((platform.home / "local.json").read_text())["token"]
        end_s = time.monotonic() + 60
        while not call(platform, "/api/v1/projects/default/runs:search", {}).get("runs"):
            assert time.monotonic() < end_s
            time.sleep(0.2)
        started = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        process.stderr.read()
    assert process.returncode == 0
    assert rest == ""
    assert gone(started)


def test_four_processes_are_one_platform_and_each_may_die(tmp_path: Path) -> None:
    with running_processes(tmp_path) as platform:
        created = call(platform, "/api/v1/projects/default/runs", {"run": {"displayName": "kept"}})["run"]
        for name in platform.names:
            platform.kill_one(name)
            platform.restart_one(name)
            assert call(platform, f"/api/v1/{created['name']}")["run"]["displayName"] == "kept"
        with urllib.request.urlopen(f"{platform.http}/", timeout=10) as answer:
            assert answer.status == 200
        for name in reversed(platform.names):
            assert platform.stop_one(name) == 0
