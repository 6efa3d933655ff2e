"""The command line without a server: how it starts, what it says, how it ends."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from penstock.cli import backlog, failures, output
from penstock.cli.main import build
from penstock.errors import (
    AlreadyExists,
    AuthenticationFailed,
    InvalidInput,
    NotConnected,
    NotFound,
    PenstockError,
    PermissionDenied,
    ServerUnavailable,
)
from penstock.jsonable import jsonable
from penstock.spool.locks import SenderLock
from penstock.spool.meta import SpoolMeta

COMMANDS = [
    ["login"],
    ["whoami"],
    ["status"],
    ["doctor"],
    ["sync"],
    ["project", "create"],
    ["project", "list"],
    ["run", "list"],
    ["run", "show"],
    ["run", "tail"],
    ["run", "export"],
    ["export"],
    ["run", "tag"],
    ["run", "delete"],
    ["run", "restore"],
    ["experiment", "list"],
    ["experiment", "create"],
    ["experiment", "delete"],
    ["experiment", "restore"],
    ["token", "create"],
    ["token", "list"],
    ["token", "revoke"],
]
NEEDS_SERVER = [
    ["whoami"],
    ["status"],
    ["project", "list"],
    ["project", "create", "digits"],
    ["run", "list"],
    ["run", "show", "0" * 32],
    ["run", "tail", "0" * 32],
    ["run", "export", "0" * 32, "-o", "points.csv"],
    ["export", "digits", "-o", "folder"],
    ["run", "tag", "0" * 32, "a=b"],
    ["run", "delete", "0" * 32],
    ["run", "restore", "0" * 32],
    ["experiment", "list"],
    ["experiment", "create", "sweep"],
    ["experiment", "delete", "sweep"],
    ["experiment", "restore", "sweep"],
    ["token", "create", "ci"],
    ["token", "list"],
    ["token", "revoke", "0" * 32],
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PENSTOCK_URL", "PENSTOCK_TOKEN", "PENSTOCK_PROFILE", "PENSTOCK_PROJECT", "PENSTOCK_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def run(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(build(), args, **kwargs)


def command(*args: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from penstock.cli.main import main; main()", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **kwargs,
    )


def test_help_needs_no_heavy_package() -> None:
    script = (
        "import sys; sys.argv = ['penstock', '--help']\n"
        "from penstock.cli.main import main\n"
        "try:\n main()\n"
        "except SystemExit as end:\n assert not end.code\n"
        "found = {'grpc', 'google', 'pyarrow', 'pandas', 'polars', 'numpy'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Usage: penstock" in done.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_json_and_an_example(words: list[str]) -> None:
    result = run(*words, "--help", env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "--json" in result.output
    assert "Example" in result.output
    assert f"penstock {' '.join(words)}" in result.output


@pytest.mark.parametrize("words", NEEDS_SERVER, ids=" ".join)
def test_without_a_server_every_command_says_what_to_do(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 5
    assert "No Penstock server found. Start one with `penstock up`" in result.stderr
    assert result.stdout == ""
    result = run(*words, "--json")
    assert result.exit_code == 5
    assert json.loads(result.stderr)["error"]["reason"] == "NOT_CONNECTED"


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run", "list", "--nonsense"],
        ["run", "list", "--limit", "0"],
        ["token", "create"],
        ["run", "export", "x"],
    ],
)
def test_wrong_usage_is_2(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    result = run(*words, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["reason"] == "USAGE"
    assert error["message"]


def test_help_is_no_error_with_json() -> None:
    result = run("run", "list", "--help", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tag", "r"], "as KEY=VALUE"),
        (["tag", "r", "=x"], "A tag must not be empty."),
        (["tag", "r", "a=1", "a=2"], "given twice"),
        (["tag", "r", "a=1", "--remove", "a"], "both"),
        (["tag", "r", "penstock.host=x"], "by penstock itself"),
        (["tag", "r", "a=" + "x" * 8001], "8,001 characters"),
        (["tag", "r", "a\nb=1"], "control character"),
    ],
)
def test_wrong_tags_are_2(words: list[str], message: str) -> None:
    result = run("run", *words, "--json")
    assert result.exit_code == 2
    assert message in json.loads(result.stderr)["error"]["message"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 501])
def test_an_experiment_needs_a_name(name: str) -> None:
    result = run("experiment", "create", name)
    assert result.exit_code == 2
    assert "The name " in result.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PenstockError("x"), 1),
        (AlreadyExists("x"), 1),
        (InvalidInput("x"), 2),
        (NotFound("x"), 3),
        (AuthenticationFailed("x"), 4),
        (PermissionDenied("x"), 4),
        (NotConnected("x"), 5),
        (ServerUnavailable("x"), 5),
        (OSError(28, "No space left on device", "/data"), 1),
        (RuntimeError("boom"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=repr,
)
def test_errors_end_in_a_message_and_a_status(error: BaseException, status: int) -> None:
    app = typer.Typer(cls=failures.Commands, pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["fail"])
    assert result.exit_code == status
    assert "Traceback" not in result.output
    if status == 130:
        assert result.output == ""
    elif isinstance(error, RuntimeError):
        assert "boom" in result.stderr
        assert "PENSTOCK_DEBUG=1" in result.stderr
        assert "Traceback" in CliRunner().invoke(app, ["fail"], env={"PENSTOCK_DEBUG": "1"}).stderr


def test_an_unreachable_server_is_5_and_named() -> None:
    result = run("status", env={"PENSTOCK_URL": "http://127.0.0.1:1", "PENSTOCK_TOKEN": "pst_x"})
    assert result.exit_code == 5
    assert "http://127.0.0.1:1" in result.stderr


def test_an_address_that_is_none_is_2() -> None:
    assert run("login", "http://", "--token-stdin", input="pst_x\n").exit_code == 2


def test_login_without_a_terminal_says_how_to_pipe_the_token() -> None:
    result = run("login", "http://127.0.0.1:1", input="")
    assert result.exit_code == 2
    assert "--token-stdin" in result.stderr


@pytest.mark.parametrize("secret", ["", "two words", "pst_" + "x" * 300])
def test_login_refuses_what_is_no_token_and_does_not_repeat_it(secret: str, home: Path) -> None:
    result = run("login", "http://127.0.0.1:1", "--token-stdin", input=secret + "\n")
    assert result.exit_code == 2
    assert "xxx" not in result.output
    assert not home.exists()


def test_login_keeps_nothing_when_the_server_does_not_answer(home: Path) -> None:
    result = run("login", "http://127.0.0.1:1", "--token-stdin", input="pst_x\n")
    assert result.exit_code == 5
    assert not home.exists()


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["-o", "points.xyz"], 2),
        (["-o", "points"], 2),
        (["-o", "gone/points.csv"], 2),
        (["-o", "there.csv"], 2),
        (["-o", "-", "--format", "csv", "--json"], 2),
    ],
)
def test_export_looks_before_it_asks(args: list[str], status: int, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("kept")
    assert run("run", "export", "0" * 32, *args).exit_code == status
    assert (tmp_path / "there.csv").read_text() == "kept"


@pytest.mark.parametrize(
    "args",
    [
        ["-o", "gone/folder"],
        ["-o", "gone/points.csv"],
        ["-o", "there.csv"],
        ["-o", "there"],
        ["-o", "-"],
        ["-o", "folder", "--format", "xyz"],
        ["-o", "-", "--format", "csv", "--json"],
    ],
)
def test_export_of_a_project_looks_before_it_asks(args: list[str], tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("kept")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("kept")
    assert run("export", "digits", *args).exit_code == 2
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "there" / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize("text", ["", "0d", "12", "d", "-1d", "1.5d"])
def test_a_lifetime_that_is_none_is_2(text: str) -> None:
    assert run("token", "create", "ci", "--expires", text).exit_code == 2


def test_doctor_without_a_server_fails_and_says_why() -> None:
    result = run("doctor", "--json")
    assert result.exit_code == 1
    checks = {check["name"]: check for check in map(json.loads, result.stdout.splitlines())}
    assert set(checks) == {"python", "packages", "home", "server", "spool", "extras"}
    assert checks["server"]["result"] == "failure"
    assert {checks[name]["result"] for name in ("python", "packages", "home", "spool")} == {"ok"}
    assert "✗ server: No Penstock server found" in run("doctor").stdout


def test_unsent_data_is_told(home: Path) -> None:
    spool = home / "spool" / ("0" * 32) / ("1" * 32)
    spool.mkdir(parents=True)
    (spool / "00000001.log").write_bytes(b"x" * 1024 * 1024)
    (spool / "status.json").write_text('{"state": "left", "message": "The server was away."}')
    result = run("doctor", "--json")
    check = next(c for c in map(json.loads, result.stdout.splitlines()) if c["name"] == "spool")
    assert check["result"] == "warning"
    assert "1.0 MiB" in check["message"]
    assert "The server was away." in check["message"]
    assert "penstock sync" in check["remedy"]
    (spool / "status.json").write_text(f'{{"state": "streaming", "sender_process_id": {os.getpid()}}}')
    result = run("doctor", "--json")
    check = next(c for c in map(json.loads, result.stdout.splitlines()) if c["name"] == "spool")
    assert check["result"] == "ok"


def spool_at(home: Path, state: str = "refused") -> Path:
    folder = home / "spool" / ("0" * 32) / ("1" * 32)
    folder.mkdir(parents=True)
    SpoolMeta(run_id="0" * 32, writer_id="1" * 32, project="digits", start_time_us=1).write(folder)
    (folder / "00000001.log").write_bytes(b"x" * 100)
    (folder / "status.json").write_text(json.dumps({"state": state, "message": "The run is deleted."}))
    return folder


def test_what_is_refused_is_told_apart_from_what_waits(home: Path) -> None:
    folder = spool_at(home)
    assert backlog.told(list(backlog.waiting_spools())) == (
        "1 refused by the server (The run is deleted): `penstock sync` tries again, "
        f"`penstock sync --discard {folder}` gives it up"
    )
    (folder / "status.json").write_text('{"state": "left"}')
    assert backlog.told(list(backlog.waiting_spools())) == "1: send them with `penstock sync`"
    assert backlog.told([]) == ""


def test_discard_needs_a_yes_and_a_spool(home: Path) -> None:
    folder = spool_at(home)
    for words in ([], [str(folder.parent)], [str(home / "spool")], [str(folder)], [str(folder), str(home)]):
        result = run("sync", "--discard", *words, "--json")
        assert result.exit_code == 2
        assert json.loads(result.stderr)["error"]["reason"] == "INVALID_INPUT"
    assert folder.exists()
    result = run("sync", "--discard", str(folder), "--yes", "--json")
    assert result.exit_code == 0
    run_name = f"projects/digits/runs/{'0' * 32}"
    assert json.loads(result.stdout) == {"folder": str(folder), "run": run_name, "discarded": True}
    assert not folder.parent.exists()


def test_discard_leaves_what_is_in_use(home: Path) -> None:
    folder = spool_at(home)
    lock = SenderLock.try_acquire(folder)
    assert lock is not None
    with lock:
        result = run("sync", "--discard", str(folder), "--yes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["reason"] == "SPOOL_IN_USE"
    assert folder.exists()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1)])
def test_discard_asks_on_a_terminal(home: Path, answer: str, status: int) -> None:
    folder = spool_at(home)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from penstock.cli.main import main; main()", "sync", "--discard", str(folder)],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(slave)
    os.write(master, answer.encode())
    stdout, stderr = process.communicate(timeout=30)
    os.close(master)
    assert process.returncode == status, stderr
    assert "100 bytes of projects/digits/runs/" in stderr
    assert folder.exists() == bool(status)
    assert ("Discarded" in stdout) == (not status)


def test_doctor_sees_files_that_others_can_read(home: Path) -> None:
    home.mkdir()
    (home / "config.json").write_text("{}")
    (home / "config.json").chmod(0o644)
    result = run("doctor", "--json")
    check = next(c for c in map(json.loads, result.stdout.splitlines()) if c["name"] == "home")
    assert check["result"] == "warning"
    assert "chmod 600" in check["remedy"]
    assert stat.S_IMODE((home / "config.json").stat().st_mode) == 0o644


def test_doctor_sees_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("doctor", "--json", env={"PENSTOCK_HOME": str(tmp_path / "file")})
    check = next(c for c in map(json.loads, result.stdout.splitlines()) if c["name"] == "home")
    assert check["result"] == "failure"


def test_other_packages_plug_commands_in(tmp_path: Path) -> None:
    info = tmp_path / "plug-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[penstock.commands]\ngood = plug_good:app\nbad = plug_bad:app\n")
    (tmp_path / "plug_good.py").write_text(
        "import typer\napp = typer.Typer()\n@app.command()\ndef greet(name: str) -> None:\n    print('hello', name)\n"
    )
    (tmp_path / "plug_bad.py").write_text("raise ImportError('broken on purpose')\n")
    done = command("greet", "ada", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0
    assert done.stdout == "hello ada\n"
    assert "plug_bad:app could not be loaded: broken on purpose" in done.stderr


def test_an_interrupt_is_130_and_quiet(tmp_path: Path) -> None:
    info = tmp_path / "plug-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[penstock.commands]\nwait = plug_wait:app\n")
    (tmp_path / "plug_wait.py").write_text(
        "import time, typer\napp = typer.Typer()\n@app.command()\ndef wait() -> None:\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from penstock.cli.main import main; main()", "wait"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "Abort" not in stderr


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    info = tmp_path / "plug-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[penstock.commands]\nflood = plug_flood:app\n")
    (tmp_path / "plug_flood.py").write_text(
        "import typer\nfrom penstock.cli.output import print_json\napp = typer.Typer()\n@app.command()\n"
        "def flood() -> None:\n    while True:\n        print_json({'x': 'y' * 1000})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from penstock.cli.main import main; main()", "flood"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 141
    assert "Traceback" not in stderr
    assert "Broken" not in stderr


def test_json_has_no_nan() -> None:
    assert jsonable({"a": [float("nan"), float("inf"), -float("inf"), 1.5]}) == {
        "a": ["NaN", "Infinity", "-Infinity", 1.5]
    }


def test_a_cell_is_short_and_cannot_steer_the_terminal() -> None:
    assert output.cell("a\x1b[31mb\nc") == "a [31mb c"
    assert output.cell("x" * 81) == "x" * 79 + "…"
    assert output.cell(None) == ""
    assert output.cell(True) == "yes"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.9, "5 s"), (61, "1 min 1 s"), (3661, "1 h 1 min"), (90_000, "1 d 1 h"), (-1, "0 s")]
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text
