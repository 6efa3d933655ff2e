"""The sender against the real services: ranks, resuming, refusals, and servers that come and go."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.installation import Installation, installation
from support.spools import new_spool
from support.training import end_senders, eventually, points_on_server

import penstock
from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import Client
from penstock.errors import NotFound, ServerUnavailable
from penstock.run import Run
from penstock.sender import sync
from penstock.spool.meta import SpoolMeta, read_status
from penstock.spool.names import random_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def home(server: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("MODE", "PROJECT", "RUN_ID", "PROFILE", "EXPERIMENT"):
        monkeypatch.delenv(f"PENSTOCK_{name}", raising=False)
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (server.environment | {"PENSTOCK_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    with end_senders(tmp_path):
        yield tmp_path
        penstock.finish(timeout_s=0)


@pytest.fixture
def client(server: Installation) -> Iterator[Client]:
    with Client(server.connection) as client:
        yield client


def start(**arguments: Any) -> Run:
    return penstock.init(**({"system_metrics": False, "capture": False} | arguments))


def test_a_run_arrives_whole(client: Client, home: Path) -> None:
    with start(
        experiment="sender",
        name="whole",
        notes="**why**",
        group="g",
        config={"lr": 0.1, "model": {"depth": 3}, "layers": [1, 2]},
        tags={"team": "vision"},
    ) as run:
        for step in range(100):
            run.log({"train/loss": 1 / (step + 1), "train/accuracy": step / 100})
        run.define_metric("train/loss", goal="minimize", summary="min")
        run.summary["best"] = 0.01
    receipt = run.finish()
    assert receipt.complete
    assert (receipt.points_logged, receipt.points_durable, receipt.state) == (200, 200, "FINISHED")
    found = client.run(run.resource_name)
    assert (found.state, found.display_name, found.notes, found.group) == (
        run_pb2.RUN_STATE_FINISHED,
        "whole",
        "**why**",
        "g",
    )
    assert {param.key for param in found.params} == {"lr", "model/depth", "layers"}
    assert {tag.key: tag.value for tag in found.tags} == {"team": "vision"}
    assert found.summary[0].value.double_value == 0.01
    assert found.metric_definitions[0].goal == run_pb2.METRIC_GOAL_MINIMIZE
    # Nothing is left but the receipt, which is there before the spool goes.
    eventually(lambda: not list(home.glob("spool/*/*")), "the removal of the spool")
    assert len(list(home.glob("receipts/*.json"))) == 1


def test_a_failure_is_told(client: Client) -> None:
    with pytest.raises(ValueError, match="boom"), start() as run:
        raise ValueError("boom")
    found = client.run(run.resource_name)
    assert found.state == run_pb2.RUN_STATE_FAILED
    assert "ValueError: boom" in found.failure


def test_a_missing_project_is_created(client: Client) -> None:
    with start(project="brand-new") as run:
        run.log({"a": 1.0})
    assert run.finish().complete
    assert any(project.name == "projects/brand-new" for project in client.projects())


def test_curves_are_live(client: Client) -> None:
    run = start()
    run.log({"a": 1.0})
    eventually(lambda: _latest(client, run, "a") == 1.0, "the first point")
    run.log({"a": 2.0})
    eventually(lambda: _latest(client, run, "a") == 2.0, "the second point")
    assert client.run(run.resource_name, fields=["state"]).state == run_pb2.RUN_STATE_RUNNING
    assert run.finish().complete


def _latest(client: Client, run: Run, key: str) -> float | None:
    try:
        found = client.latest(run.resource_name, keys=[key])
    except NotFound:
        return None
    return found[0].value if found else None


RANK = """
import sys, penstock
run = penstock.init(system_metrics=False, capture=False, name=f"rank {sys.argv[1]}")
for step in range(50):
    run.log({"loss": step * 1000 + int(sys.argv[1])}, step=step)
receipt = run.finish()
assert receipt.points_durable == 50 and receipt.verified, receipt
"""


def test_ranks_write_into_one_run(client: Client) -> None:
    run_id = random_id()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank)], env={**os.environ, "RANK": str(rank), "PENSTOCK_RUN_ID": run_id}
        )
        # The one that creates the run comes last.
        for rank in (2, 1, 0)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = client.run(f"projects/default/runs/{run_id}")
    assert (found.state, found.display_name, list(found.ranks)) == (run_pb2.RUN_STATE_FINISHED, "rank 0", [0, 1, 2])
    points = points_on_server(client, found.name, by_rank=True)
    assert {key: len(series) for key, series in points.items()} == {"loss@0": 50, "loss@1": 50, "loss@2": 50}


def test_forked_children_write_into_the_run(client: Client, home: Path) -> None:
    program = """
import os, sys, penstock
run = penstock.init(system_metrics=False, capture=False)
run.log({"parent": 1.0})
if os.fork() == 0:
    run.log({"child": 2.0})
    sys.exit(0)
os.wait()
print(run.resource_name, run.finish().complete)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    name, complete = done.stdout.split()
    assert complete == "True"
    eventually(lambda: set(points_on_server(client, name)) == {"parent", "child"}, "both processes' points")
    assert client.run(name, fields=["state"]).state == run_pb2.RUN_STATE_FINISHED


def test_resuming(client: Client) -> None:
    with start(config={"lr": 0.1}, name="the first") as first:
        first.log({"a": 1.0})
        first.log({"a": 2.0})
    assert first.finish().complete
    second = start(id=first.id, resume="must")
    assert second.name == first.name
    second.log({"a": 3.0})
    eventually(lambda: _latest(client, second, "a") == 3.0, "the resumed run's point")
    assert client.run(first.resource_name, fields=["state"]).state == run_pb2.RUN_STATE_RUNNING
    assert second.finish().complete
    third = start(id=first.id)
    third.log({"a": 4.0})
    assert third.finish().complete
    assert [step for step, _ in points_on_server(client, first.resource_name)["a"]] == [0, 1, 2, 3]
    assert client.run(first.resource_name, fields=["state"]).state == run_pb2.RUN_STATE_FINISHED


def test_resume_must_of_a_run_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="run"):
        start(id="a" * 32, resume="must")


def test_resume_must_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:9")
    with pytest.raises(ServerUnavailable):
        start(id="a" * 32, resume="must")


def test_resume_never_of_a_run_that_is_there(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    with start() as first:
        first.log({"a": 1.0})
    second = start(id=first.id, resume="never")
    second.log({"a": 2.0})
    receipt = second.finish()
    assert (receipt.points_logged, receipt.points_durable) == (1, 0)
    assert capsys.readouterr().err.count("exists already") == 1
    assert len(points_on_server(client, first.resource_name)["a"]) == 1


def test_a_deleted_run_takes_no_more_and_that_is_said_once(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    run = start()
    run.log({"a": 1.0})
    eventually(lambda: _latest(client, run, "a") == 1.0, "the first point")
    client.tracking.DeleteRun(tracking_service_pb2.DeleteRunRequest(name=run.resource_name))
    run.log({"a": 2.0})
    receipt = run.finish()
    assert not receipt.complete
    said = capsys.readouterr().err
    assert said.count("in the bin") == 1
    assert run.spool_folder is not None
    status = read_status(run.spool_folder)
    assert status is not None
    assert (status.state, status.reason) == ("refused", "RUN_DELETED")
    # Restored, the rest can be sent.
    client.tracking.RestoreRun(tracking_service_pb2.RestoreRunRequest(name=run.resource_name))
    (result,) = sync([run.spool_folder])
    assert (result.ending, result.points_durable) == ("done", 2)


@pytest.mark.parametrize("token", [None, "pst_" + "0" * 32 + "_wrong"])
def test_a_token_that_is_missing_or_wrong(
    client: Client,
    server: Installation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str | None,
) -> None:
    if token is None:
        monkeypatch.delenv("PENSTOCK_TOKEN")
    else:
        monkeypatch.setenv("PENSTOCK_TOKEN", token)
    run = start()
    run.log({"a": 1.0})
    assert not run.finish().complete
    said = capsys.readouterr().err
    assert "token" in said
    assert "Nothing is lost" in said
    assert "Traceback" not in said
    monkeypatch.setenv("PENSTOCK_TOKEN", server.token)
    assert run.spool_folder is not None
    (result,) = sync([run.spool_folder])
    assert (result.ending, result.points_durable) == ("done", 1)


def test_another_projects_token(
    client: Client, server: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.create_project("theirs")
    secret = client.create_token("narrow", projects=["default"], role="editor").secret
    monkeypatch.setenv("PENSTOCK_TOKEN", secret)
    with start(project="default") as allowed:
        allowed.log({"a": 1.0})
    assert allowed.finish().complete
    run = start(project="theirs")
    run.log({"a": 1.0})
    assert not run.finish().complete
    assert run.spool_folder is not None
    status = read_status(run.spool_folder)
    assert status is not None
    assert status.state == "refused"
    assert "Nothing is lost" in capsys.readouterr().err


def test_a_param_that_differs_is_a_warning(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    with start(config={"lr": 0.1}) as first:
        first.log({"a": 1.0})
    with start(id=first.id, config={"lr": 0.2}) as second:
        second.log({"a": 2.0})
        eventually(lambda: _latest(client, second, "a") == 2.0, "the resumed run's point")
        said = ""

        def warned() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return "did not apply" in said

        eventually(warned, "the warning")
    assert second.finish().complete
    assert client.run(first.resource_name).params[0].value.double_value == 0.1


def test_a_server_that_comes_later_is_found(
    client: Client, server: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_URL")
    monkeypatch.delenv("PENSTOCK_TOKEN")
    run = start()
    run.log({"a": 1.0})
    assert run.url is None
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    assert run.finish().complete
    assert run.url is not None
    assert len(points_on_server(client, run.resource_name)["a"]) == 1


VANISHING = """
import os, signal, penstock
run = penstock.init(system_metrics=False, capture=False)
run.log({"a": 1.0})
print(run.spool_folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_init_adopts_what_a_dead_sender_left(client: Client, server: Installation, home: Path) -> None:
    # Nobody knows a server, so nobody sends; then the process dies.
    lonely = {name: value for name, value in os.environ.items() if name not in server.environment}
    done = subprocess.run(
        [sys.executable, "-c", VANISHING], env=lonely, capture_output=True, text=True, timeout=60, check=False
    )
    orphan = Path(done.stdout.strip())
    name = SpoolMeta.read(orphan).run_name
    long_ago_s = time.time() - 3600
    os.utime(orphan / "meta.json", (long_ago_s, long_ago_s))
    with start() as run:
        run.log({"b": 1.0})
    eventually(lambda: not orphan.exists(), "the adoption")
    assert client.run(name, fields=["state"]).state == run_pb2.RUN_STATE_CRASHED
    assert len(points_on_server(client, name)["a"]) == 1


def test_a_run_that_was_resumed_elsewhere_is_not_ended_by_its_old_spool(client: Client, home: Path) -> None:
    old = new_spool(home / "old")
    run_id = old.folder.parent.name
    old.write_row({"a": 1.0}, 0)
    long_ago_us = time.time_ns() // 1000 - 3600 * 1_000_000
    SpoolMeta(run_id, old.folder.name, "default", long_ago_us).write(old.folder)
    old.abandon()
    os.utime(old.folder / "00000001.log", (long_ago_us / 1e6, long_ago_us / 1e6))
    run = start(id=run_id)
    run.log({"a": 2.0}, step=1)
    eventually(lambda: _latest(client, run, "a") == 2.0, "the resumed run's point")
    (result,) = sync([old.folder])
    assert result.ending == "done"
    assert client.run(run.resource_name, fields=["state"]).state == run_pb2.RUN_STATE_RUNNING
    assert run.finish().complete
    assert len(points_on_server(client, run.resource_name)["a"]) == 2


def test_a_process_that_was_silent_before_it_vanished_is_ended_by_its_spool(client: Client, home: Path) -> None:
    """The server heard of the run long after the spool's last point, but from a sender of this very spool."""
    writer = new_spool(home / "silent")
    long_ago_us = time.time_ns() // 1000 - 3600 * 1_000_000
    meta = SpoolMeta(writer.folder.parent.name, writer.folder.name, "default", long_ago_us)
    meta.write(writer.folder)
    writer.write_row({"a": 1.0}, 0)
    writer.abandon()
    os.utime(writer.folder / "00000001.log", (long_ago_us / 1e6, long_ago_us / 1e6))
    run = start(id=meta.run_id)
    run.log({"a": 2.0}, step=1)
    eventually(lambda: _latest(client, run, "a") == 2.0, "a sign of life")
    assert run.finish().complete
    (writer.folder / "heartbeat").write_text(str(time.time_ns() // 1000))
    (result,) = sync([writer.folder])
    assert result.ending == "done"
    assert client.run(meta.run_name, fields=["state"]).state == run_pb2.RUN_STATE_CRASHED


def test_a_living_offline_run_is_sent_as_far_as_it_is(client: Client, home: Path) -> None:
    program = """
import sys, penstock
run = penstock.init(mode="offline", system_metrics=False, capture=False)
run.log({"a": 1.0})
print(run.spool_folder, flush=True)
sys.stdin.readline()
run.log({"a": 2.0})
run.finish()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (result,) = sync()
        assert (result.ending, result.points_durable) == ("caught_up", 1)
        process.communicate("\n", timeout=30)
    (result,) = sync()
    assert (result.ending, result.points_durable) == ("done", 2)
    assert len(points_on_server(client, result.run)["a"]) == 2
    assert not folder.exists()


def test_damage_is_told_and_the_rest_is_sent(client: Client, home: Path) -> None:
    writer = new_spool(home / "damaged")
    meta = SpoolMeta(writer.folder.parent.name, writer.folder.name, "default", time.time_ns() // 1000)
    meta.write(writer.folder)
    for step in range(10):
        writer.write_row({"a": step}, step)
    writer.finish("FINISHED", "", closes_run=True)
    path = writer.folder / "00000001.log"
    data = bytearray(path.read_bytes())
    data[300] ^= 0xFF
    path.write_bytes(data)
    (result,) = sync([writer.folder])
    assert result.ending == "done"
    assert "damaged" in result.message
    assert result.receipt is not None
    assert (result.receipt.points_logged, result.receipt.points_durable, result.receipt.verified) == (10, 9, True)


def test_a_sender_that_died_between_receipt_and_removal(client: Client, home: Path) -> None:
    writer = new_spool(home / "late")
    writer.finish("FINISHED", "", closes_run=True)
    receipt = {
        "run": "r",
        "state": "FINISHED",
        "points_logged": 1,
        "points_durable": 1,
        "dropped": 0,
        "digest": "",
        "verified": True,
    }
    (writer.folder / "receipt.json").write_text(json.dumps(receipt))
    (result,) = sync([writer.folder])
    assert result.ending == "done"
    assert not writer.folder.exists()
