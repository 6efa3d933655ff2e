"""The command line against the real services behind the real gateway."""

import csv
import json
import os
import pty
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.installation import Installation
from typer.testing import CliRunner

import penstock
from penstock import config
from penstock.api.tracking.v1 import experiment_pb2, run_pb2, tracking_service_pb2
from penstock.cli.main import build

pytestmark = pytest.mark.usefixtures("home")

COMMAND = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


def run(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(build(), args, **kwargs)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_login_keeps_a_checked_token_for_its_owner_alone(
    server: Installation, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_URL")
    monkeypatch.delenv("PENSTOCK_TOKEN")
    result = run("login", server.http, "--token-stdin", "--json", input=server.token + "\n")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["principal"] == "users/owner"
    assert server.token not in result.output
    assert stat.S_IMODE((home / "config.json").stat().st_mode) == 0o600
    assert config.resolve().source == "profile 127.0.0.1"
    assert run("whoami", "--json").exit_code == 0


def test_login_keeps_no_token_that_is_refused(server: Installation, home: Path) -> None:
    result = run("login", server.http, "--token-stdin", input="pst_" + "0" * 32 + "_wrong\n")
    assert result.exit_code == 4
    assert not home.exists()


def test_login_asks_on_a_terminal_without_echo(server: Installation, home: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "login", server.http, "--profile", "lab"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    while b"Token:" not in shown:
        shown += os.read(master, 4096)
    os.write(master, server.token.encode() + b"\n")
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait(timeout=30) == 0, shown
    os.close(master)
    assert server.token.encode() not in shown
    assert b"Signed in" in shown
    assert [profile.name for profile in config.profiles()] == ["lab"]


def test_whoami_and_status(server: Installation, project: Any) -> None:
    who = json.loads(run("whoami", "--json").stdout)
    assert (who["principal"], who["owner"], who["role"], who["source"]) == ("users/owner", True, "ADMIN", "environment")
    assert "users/owner (owner of the installation)" in run("whoami").stdout
    status = json.loads(run("status", "--json").stdout)
    assert status["http"] == server.http
    assert status["version"]
    assert project.id in status["projects"]
    assert status["spools_waiting"] == 0
    assert server.http in run("status").stdout


def test_a_wrong_token_is_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TOKEN", "pst_wrong")
    for words in (["whoami"], ["status"], ["run", "list"], ["project", "list"]):
        result = run(*words, "--json")
        assert result.exit_code == 4
        assert json.loads(result.stderr)["error"]["reason"] == "TOKEN_INVALID"


def test_doctor_is_content() -> None:
    result = run("doctor", "--json")
    checks = {check["name"]: check for check in lines(result.stdout)}
    assert {name: check["result"] for name, check in checks.items()} == dict.fromkeys(
        ["python", "packages", "home", "server", "token", "clock", "spool", "extras"], "ok"
    )
    assert result.exit_code == 0


def test_projects(project: Any) -> None:
    result = run("project", "create", f"{project.id}-x", "--title", "An x", "--json")
    assert json.loads(result.stdout)["name"] == f"projects/{project.id}-x"
    again = run("project", "create", f"{project.id}-x")
    assert again.exit_code == 1
    assert "Error:" in again.stderr
    assert run("project", "create", "Not Valid").exit_code == 2
    assert f"projects/{project.id}-x" in [found["name"] for found in lines(run("project", "list", "--json").stdout)]
    assert "An x" in run("project", "list").stdout


def test_tokens(project: Any, server: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("token", "create", "ci", "--project", project.id, "--role", "viewer", "--expires", "1d")
    secret = result.stdout.strip()
    assert secret.startswith("pst_")
    assert secret not in result.stderr
    listed = next(token for token in lines(run("token", "list", "--json").stdout) if token["title"] == "ci")
    assert (listed["role"], listed["projects"]) == ("VIEWER", [f"projects/{project.id}"])
    monkeypatch.setenv("PENSTOCK_TOKEN", secret)
    assert run("run", "list", "-p", project.id).exit_code == 0
    assert run("run", "list", "-p", "default").exit_code == 4
    monkeypatch.setenv("PENSTOCK_TOKEN", server.token)
    assert run("token", "revoke", listed["name"]).exit_code == 0
    monkeypatch.setenv("PENSTOCK_TOKEN", secret)
    assert run("whoami").exit_code == 4
    monkeypatch.setenv("PENSTOCK_TOKEN", server.token)
    assert run("token", "revoke", "0" * 32).exit_code == 3
    assert run("token", "create", "x", "--role", "king").exit_code == 2


def test_runs_are_grouped(project: Any) -> None:
    assert "No run" in run("run", "group", "-p", project.id, "--by", "params.model").stderr
    for index in range(4):
        model = run_pb2.Param(key="model", value=run_pb2.Value(string_value=f"resnet{index % 2}"))
        project.log(project.new_run(params=[model]), "val/loss", [index / 10])
    words = ["run", "group", "-p", project.id, "--by", "params.model", "--agg", "min(metrics.val/loss)"]
    table = run(*words).stdout
    assert [word in table for word in ("params.model", "RUNS", "min(metrics.val/loss)", "resnet1", "0.1")] == [True] * 5
    found = lines(run(*words, "--order-by", "mean(metrics.val/loss) desc", "--json").stdout)
    assert found == [
        {"params.model": "resnet1", "runs": 2, "min(metrics.val/loss)": 0.1},
        {"params.model": "resnet0", "runs": 2, "min(metrics.val/loss)": 0.0},
    ]
    assert "--limit" in run(*words, "--limit", "1").stderr


def test_a_wrong_query_is_shown_with_a_caret(project: Any) -> None:
    for words, message in (
        (["list", "--filter", "state = FINISHED"], "state = FINISHED\n        ^"),
        (["list", "--order-by", "stat"], "stat\n^"),
        (["group", "--by", "metrics.loss"], "metrics.loss\n^"),
        (["group", "--agg", "avg(duration)"], "avg(duration)\n^"),
        (["group", "--order-by", "count, median"], "count, median\n       ^"),
    ):
        result = run("run", *words, "-p", project.id)
        assert result.exit_code == 2
        assert message in result.stderr
    result = run("run", "list", "-p", project.id, "--filter", "params.lr <", "--json")
    error = json.loads(result.stderr)["error"]
    assert (error["reason"], error["metadata"]["position"]) == ("FILTER_INVALID", "11")


def test_an_empty_project_gives_a_hint(project: Any) -> None:
    result = run("run", "list", "-p", project.id)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f'penstock.init(project="{project.id}")' in result.stderr
    assert "matches" in run("run", "list", "-p", project.id, "--filter", 'state = "FAILED"').stderr
    assert run("run", "list", "-p", project.id, "--json").stdout == ""


def test_runs_are_listed(project: Any) -> None:
    for index in range(3):
        name = project.new_run(
            display_name=f"run {index}", params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=index / 10))]
        )
        project.log(name, "val/loss", [index / 10])
    table = run("run", "list", "-p", project.id).stdout
    assert "run 2" in table
    assert "running" in table
    chosen = run(
        "run", "list", "-p", project.id, "--columns", 'display_name,params.lr,metrics."val/loss"',
        "--order-by", 'metrics."val/loss" desc', "--limit", "2",
    )  # fmt: skip
    assert chosen.stdout.index("run 2") < chosen.stdout.index("run 1")
    assert "run 0" not in chosen.stdout
    assert "metrics.val/loss" in chosen.stdout
    assert "--limit" in chosen.stderr
    found = lines(
        run("run", "list", "-p", project.id, "--json", "-f", "params.lr < 0.15", "-c", "state,metrics.val/loss").stdout
    )
    assert [set(run) for run in found] == [{"name", "state", "metrics"}] * 2
    assert sorted(run["metrics"]["val/loss"] for run in found) == [0.0, 0.1]
    whole = lines(run("run", "list", "-p", project.id, "--json").stdout)
    assert {run["params"]["lr"] for run in whole} == {0.0, 0.1, 0.2}


def test_a_wrong_filter_is_2_and_says_where(project: Any) -> None:
    result = run("run", "list", "-p", project.id, "--filter", "state === 1", "--json")
    assert result.exit_code == 2
    error = json.loads(result.stderr)["error"]
    assert error["reason"] == "FILTER_INVALID"
    assert "position" in error["metadata"]


def test_another_project_is_3() -> None:
    assert run("run", "list", "-p", "nowhere").exit_code == 3


def test_a_run_is_shown_by_name_id_and_beginning_of_the_id(project: Any) -> None:
    name = project.new_run(
        run_id="abcd" + "0" * 28,
        display_name="shown",
        params=[run_pb2.Param(key="layers", value=run_pb2.Value(json_value="[1,2]"))],
        tags=[run_pb2.Tag(key="team", value="vision\x1b[31m")],
    )
    project.log(name, "val/loss", [float("nan"), 0.5])
    for way in ([name], [name.rpartition("/")[2], "-p", project.id], ["abcd", "-p", project.id]):
        shown = json.loads(run("run", "show", *way, "--json").stdout)
        assert shown["name"] == name
        assert shown["params"] == {"layers": [1, 2]}
        assert shown["metrics"]["val/loss"]["value"] == 0.5
    text = run("run", "show", name).stdout
    for part in ("shown", "layers", "[1, 2]", "vision", "val/loss", "0.5"):
        assert part in text
    assert "\x1b" not in text
    project.new_run(run_id="abcd1" + "0" * 27)
    several = run("run", "show", "abcd", "-p", project.id)
    assert several.exit_code == 2
    assert "give more" in several.stderr
    assert run("run", "show", "dddd", "-p", project.id).exit_code == 3
    assert run("run", "show", "0" * 32, "-p", project.id).exit_code == 3
    assert run("run", "show", "xyz", "-p", project.id).exit_code == 3


def test_a_run_is_shown_by_what_is_printed_when_it_starts(project: Any, server: Installation) -> None:
    # A name with a slash, with quotes, and one that could be an id.
    for title in ("mlp/seed-1", "it's", "beef"):
        name = project.new_run(display_name=title)
        for way in ([title, "-p", project.id], [f"{server.connection.http}/{name}"]):
            assert json.loads(run("run", "show", *way, "--json").stdout)["name"] == name
    project.new_run(display_name="beef")
    several = run("run", "show", "beef", "-p", project.id)
    assert several.exit_code == 2
    assert "several" in several.stderr.lower()
    unknown = run("run", "show", "cow", "-p", project.id)
    assert unknown.exit_code == 3
    assert "'cow'" in unknown.stderr


def test_runs_tell_their_experiment_by_its_name(project: Any) -> None:
    for title in ("sweep", "baseline"):
        response = project.client.tracking.CreateExperiment(
            tracking_service_pb2.CreateExperimentRequest(
                parent=f"projects/{project.id}", experiment=experiment_pb2.Experiment(display_name=title)
            )
        )
        name = project.new_run(display_name=f"of {title}", experiment=response.experiment.name)
        assert title in run("run", "show", name).stdout
    table = run("run", "list", "-p", project.id).stdout
    assert "sweep" in table
    assert "baseline" in table
    chosen = lines(run("run", "list", "-p", project.id, "--experiment", "sweep", "--json").stdout)
    assert [found["display_name"] for found in chosen] == ["of sweep"]
    for title in ("nothing", ""):
        assert run("run", "list", "-p", project.id, "--experiment", title).exit_code == 3


def test_a_run_is_followed_to_its_end(project: Any) -> None:
    name = project.new_run(display_name="followed")
    project.log(name, "x", [1.0, float("inf")])
    project.log(name, "y", [5.0])
    project.finish(name)
    events = lines(run("run", "tail", name, "--key", "x", "--json").stdout)
    assert [event["state"] for event in events if "state" in event] == ["FINISHED"]
    assert [(e["step"], e["value"]) for e in events if "value" in e] == [(0, 1.0), (1, "Infinity")]
    text = run("run", "tail", name)
    assert "x = 1" in text.stdout
    assert "followed is finished" in text.stderr


def test_following_ends_quietly_with_an_interrupt(project: Any) -> None:
    name = project.new_run()
    project.log(name, "x", [1.0])
    process = subprocess.Popen(
        [*COMMAND, "run", "tail", name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while '"value": 1.0' not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == ""


@pytest.fixture
def logged(project: Any) -> str:
    name = project.new_run()
    project.log(name, "long", [index / 7 for index in range(70_000)])
    project.log(name, "odd", [float("nan"), float("-inf"), -0.0])
    return name


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all().to_pylist()
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".jsonl":
        return lines(path.read_text())
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "json", "jsonl"])
def test_every_point_is_exported(logged: str, suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"points.{suffix}"
    result = run("run", "export", logged, "-o", str(target), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"run": logged, "file": str(target), "format": suffix, "points": 70_003}
    rows = read(target)
    assert list(rows[0]) == ["key", "step", "time", "value"]
    assert [float(row["value"]) for row in rows if row["key"] == "long"] == [index / 7 for index in range(70_000)]
    odd = [float(row["value"]) for row in rows if row["key"] == "odd"]
    assert repr(odd) == "[nan, -inf, -0.0]"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [target.name]


def test_export_replaces_only_when_told(logged: str, tmp_path: Path) -> None:
    target = tmp_path / "points.csv"
    target.write_text("kept")
    assert run("run", "export", logged, "-o", str(target)).exit_code == 2
    assert target.read_text() == "kept"
    assert run("run", "export", logged, "-o", str(target), "--key", "odd", "--force").exit_code == 0
    assert [row["step"] for row in read(target)] == ["0", "1", "2"]


def test_export_to_standard_output_is_only_the_points(logged: str) -> None:
    result = run("run", "export", logged, "-o", "-", "--format", "csv", "--key", "odd", "--by-rank")
    assert result.stdout.splitlines()[:2] == ["key,rank,step,time,value", "odd,0,0,2023-11-14T22:13:20Z,NaN"]


def test_an_export_of_nothing_is_a_whole_file(project: Any, tmp_path: Path) -> None:
    name = project.new_run()
    for suffix in ("parquet", "arrow", "csv", "json", "jsonl"):
        target = tmp_path / f"none.{suffix}"
        assert run("run", "export", name, "-o", str(target)).exit_code == 0
        assert read(target) == []
    assert run("run", "export", f"projects/{project.id}/runs/{'0' * 32}", "-o", str(tmp_path / "x.csv")).exit_code == 3
    assert not (tmp_path / "x.csv").exists()


def test_export_without_pyarrow_names_the_extra(logged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("run", "export", logged, "-o", str(tmp_path / "points.parquet"))
    assert result.exit_code == 1
    assert "pip install 'penstock[arrow]'" in result.stderr
    assert run("run", "export", logged, "-o", str(tmp_path / "points.csv"), "--key", "odd").exit_code == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["points.csv"]


def test_a_project_is_exported(project: Any, logged: str, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    result = run("export", project.id, "-o", str(folder), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"path": str(folder), "runs": 1, "points": 70_003, "resumed": False}
    assert pq.read_table(folder / "metrics").num_rows == 70_003
    assert run("export", project.id, "-o", str(folder)).exit_code == 2
    result = run("export", project.id, "-o", str(folder), "--force", "-k", "odd", "-e", "Default")
    assert result.stdout == f"Wrote 3 points of 1 runs to {folder}.\n"
    assert pq.read_table(folder / "metrics").num_rows == 3
    result = run("export", project.id, "-o", "-", "--format", "csv", "-k", "odd", "-f", "display_name = 'none'")
    assert result.stdout == "run_id,key,rank,step,time,value\n"


def test_an_export_that_fails_says_what_is_kept(
    project: Any, logged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("penstock.client.export.folder.Part.add", interrupt)
        result = run("export", project.id, "-o", str(tmp_path / "all"))
    assert result.exit_code == 130
    assert f"is kept in {tmp_path / 'all.partial'}" in result.stderr
    result = run("export", project.id, "-o", str(tmp_path / "all"))
    assert result.stdout.endswith("going on with an export that was cut short.\n")


def test_there_is_a_progress_bar_on_a_terminal_alone(logged: str, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", "export", logged, "-o", str(tmp_path / "points.csv")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65_536)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        shown += piece
    stdout, _ = process.communicate(timeout=30)
    os.close(master)
    assert process.returncode == 0
    assert b"Exporting" in shown
    assert stdout == f"Wrote 70,003 points to {tmp_path / 'points.csv'}.\n"
    assert run("run", "export", logged, "-o", str(tmp_path / "again.csv")).stderr == ""


def test_a_deleted_run_can_still_be_shown(project: Any) -> None:
    name = project.new_run(display_name="binned")
    project.client.tracking.DeleteRun(tracking_service_pb2.DeleteRunRequest(name=name))
    assert "binned" not in run("run", "list", "-p", project.id).stdout
    assert "binned" in run("run", "list", "-p", project.id, "--deleted").stdout
    assert "(in the bin)" in run("run", "show", name).stdout


OFFLINE = """
import sys, penstock
with penstock.init(project=sys.argv[1], name="offline", mode="offline", capture=False, system_metrics=False) as run:
    for step in range(1000):
        run.log({"loss": 1 / (step + 1)}, step=step)
print(run.id)
"""


def log_offline(project: Any) -> str:
    """Logs a run in a process of its own, without sending it. Returns the run's name."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, project.id], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return f"projects/{project.id}/runs/{done.stdout.strip()}"


def test_sync_sends_what_was_logged_offline_once(project: Any, home: Path) -> None:
    assert "Nothing waits" in run("sync").stderr
    name = log_offline(project)
    assert json.loads(run("status", "--json").stdout)["spools_waiting"] == 1
    assert "penstock sync" in run("doctor").stdout
    result = run("sync", "--json")
    assert result.exit_code == 0, result.output
    (sent,) = lines(result.stdout)
    assert (sent["run"], sent["ending"], sent["points_durable"]) == (name, "done", 1000)
    assert sent["receipt"]["points_logged"] == 1000
    assert sent["receipt"]["verified"] is True
    assert project.client.run(name).state == run_pb2.RUN_STATE_FINISHED
    assert project.client.history(name, keys=["loss"]).to_arrow().num_rows == 1000
    assert json.loads(run("status", "--json").stdout)["spools_waiting"] == 0
    assert run("sync", "--json").stdout == ""


def test_sync_of_a_folder_without_spools_is_2(tmp_path: Path) -> None:
    assert run("sync", str(tmp_path)).exit_code == 2


def test_sync_with_a_wrong_token_is_4_and_loses_nothing(
    project: Any, server: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = log_offline(project)
    monkeypatch.setenv("PENSTOCK_TOKEN", "pst_wrong")
    result = run("sync")
    assert result.exit_code == 4, result.output
    assert name in result.stdout
    monkeypatch.setenv("PENSTOCK_TOKEN", server.token)
    result = run("sync")
    assert result.exit_code == 0
    assert "1,000 points durable" in result.stdout


def test_sync_without_a_server_says_so_once(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log_offline(project)
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:9")
    soon = "import penstock.sender, sys; sys.modules['penstock.sender.sync'].UNREACHABLE_S = 1.5\n"
    done = subprocess.run(
        [sys.executable, "-c", soon + COMMAND[-1], "sync"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 5, done.stdout
    assert "nothing is lost" in done.stdout
    assert done.stderr == ""


def test_sync_says_how_to_give_up_what_is_refused(project: Any, home: Path) -> None:
    taken = project.new_run()
    with penstock.init(
        project.id, id=taken.rpartition("/")[2], resume="never", mode="offline", system_metrics=False
    ) as refused:
        refused.log({"loss": 1.0})
    result = run("sync")
    assert result.exit_code == 1
    # Without line breaks, since a folder may be long.
    assert "`penstocksync--discard`" in "".join(result.stdout.split())
    assert str(refused.spool_folder) in "".join(result.stdout.split())
    status = json.loads(run("status", "--json").stdout)
    assert (status["spools_waiting"], status["spools_refused"]) == (1, 1)
    assert "1 refused by the server" in run("status").stdout
    assert "--discard" in run("doctor").stdout
    assert run("sync", "--discard", str(refused.spool_folder), "--yes").exit_code == 0
    assert json.loads(run("status", "--json").stdout)["spools_waiting"] == 0


def test_sync_says_that_it_created_a_project(project: Any) -> None:
    with penstock.init(f"{project.id}-new", mode="offline", system_metrics=False, capture=False) as logged:
        logged.log({"loss": 1.0})
    assert f"created project {project.id}-new" in run("sync").stdout


def test_a_run_that_created_its_project_says_so_once(project: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with penstock.init(f"{project.id}-new", system_metrics=False, capture=False) as logged:
            logged.log({"loss": 1.0})
        assert logged.finish().complete
    assert capfd.readouterr().err.count(f"penstock: created project {project.id}-new\n") == 1


def test_tags_are_set_and_removed(project: Any) -> None:
    name = project.new_run(display_name="tagged")
    # The same change twice is meant twice.
    for value in ("vision", "audio", "vision"):
        result = run("run", "tag", "tagged", f"team={value}", "baseline", "note=a=b", "-p", project.id, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {"name": name, "tags": {"team": value, "baseline": "", "note": "a=b"}}
    shown = run("run", "tag", name, "--remove", "note", "--remove", "baseline")
    assert "vision" in shown.stdout
    assert "note" not in shown.stdout
    result = run("run", "tag", name, "--remove", "team")
    assert result.exit_code == 0
    assert "has no tag" in result.stderr
    assert run("run", "tag", "nothing", "a=b", "-p", project.id).exit_code == 3


def test_runs_go_to_the_bin_and_come_back(project: Any) -> None:
    name = project.new_run(display_name="binned")
    deleted = json.loads(run("run", "delete", "binned", "-p", project.id, "--json").stdout)
    assert deleted == {"name": name, "lifecycle_stage": "DELETED"}
    assert run("run", "list", "-p", project.id, "--json").stdout == ""
    assert f"penstock run restore {name}" in run("run", "delete", name).stdout
    assert "out of the bin" in run("run", "restore", "binned", "-p", project.id).stdout
    assert len(lines(run("run", "list", "-p", project.id, "--json").stdout)) == 1
    for action in ("delete", "restore"):
        assert run("run", action, "0" * 32, "-p", project.id).exit_code == 3


def test_experiments_go_to_the_bin_and_come_back(project: Any) -> None:
    made = json.loads(run("experiment", "create", "sweep", "-p", project.id, "--description", "Why.", "--json").stdout)
    assert (made["display_name"], made["description"]) == ("sweep", "Why.")
    assert run("experiment", "create", "sweep", "-p", project.id).exit_code == 1
    project.new_run(experiment=made["name"])
    assert "sweep" in run("experiment", "list", "-p", project.id).stdout
    assert run("experiment", "restore", "sweep", "-p", project.id).exit_code == 3
    deleted = json.loads(run("experiment", "delete", "sweep", "-p", project.id, "--json").stdout)
    assert deleted["lifecycle_stage"] == "DELETED"
    assert run("experiment", "delete", "sweep", "-p", project.id).exit_code == 3
    assert run("run", "list", "-p", project.id, "--json").stdout == ""
    listed = [e["display_name"] for e in lines(run("experiment", "list", "-p", project.id, "--json").stdout)]
    assert "sweep" not in listed
    assert "in the bin" in run("experiment", "list", "-p", project.id, "--deleted").stdout
    assert run("experiment", "restore", "sweep", "-p", project.id).exit_code == 0
    assert len(lines(run("run", "list", "-p", project.id, "--json").stdout)) == 1
    # Two of one name in the bin, and none in use.
    assert run("experiment", "delete", made["name"]).exit_code == 0
    assert run("experiment", "create", "sweep", "-p", project.id).exit_code == 0
    assert run("experiment", "delete", "sweep", "-p", project.id).exit_code == 0
    several = run("experiment", "restore", "sweep", "-p", project.id)
    assert several.exit_code == 2
    assert made["name"] in "".join(several.stderr.split())
    assert run("experiment", "restore", made["name"]).exit_code == 0


def test_the_default_experiment_stays(project: Any) -> None:
    result = run("experiment", "delete", f"projects/{project.id}/experiments/0", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["reason"] == "DEFAULT_EXPERIMENT"


def test_texts_out_of_their_limits_are_told_in_words(project: Any) -> None:
    for words, message in (
        (["token", "create", ""], "The title must not be empty."),
        (["token", "create", "x" * 201], "The title has 201 characters, at most 200 are allowed."),
        (["token", "create", "x", "--expires", "1s"], "60 seconds at least"),
        (["project", "create", f"{project.id}-y", "--title", "x" * 201], "at most 200"),
        (["project", "create", f"{project.id}-y", "--description", "x" * 10_001], "at most 10,000"),
    ):
        result = run(*words, "--json")
        assert result.exit_code == 2
        assert message in json.loads(result.stderr)["error"]["message"]
    assert run("token", "create", "x" * 200, "--expires", "60s").exit_code == 0
