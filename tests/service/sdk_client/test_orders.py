"""Alerts and artifacts that go through the spool, to real servers: once, whatever happens meanwhile."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.installation import Installation

import penstock
from penstock.errors import InvalidInput, RunFinished
from penstock.sender import SyncResult, sync
from penstock_kit.ids import random_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "weights").mkdir(parents=True)
    (made / "config.json").write_bytes(b"{}")
    (made / "weights" / "w.bin").write_bytes(bytes(range(256)) * 4_096)
    return made


def sent(server: Installation, *paths: Path) -> SyncResult:
    (result,) = sync(paths, connection=server.connection)
    return result


def links(project: Any, run: penstock.Run) -> list[str]:
    return [link.version.rpartition("/")[2] for link in project.client.artifact_links(run=run.resource_name)]


def test_an_artifact_of_an_offline_run_is_published_once(
    server: Installation, project: Any, home: Path, folder: Path, tmp_path: Path
) -> None:
    run = penstock.init(project=project.id, mode="offline")
    run.log({"loss": 1.0})
    waiting = run.log_artifact(folder, name="net", type="model", description="# First", references={"data": "s3://b/k"})
    assert (waiting.waiting, waiting.version, waiting.type, waiting.file_count) == (True, 0, "model", 2)
    run.log_artifact(folder / "config.json", name="config")
    # What is logged is what it was when it was logged.
    shutil.rmtree(folder)
    run.finish()
    assert run.spool_folder is not None
    # The machine that has the spool is copied before it was sent: both copies are sent, and another version comes between.
    copy = tmp_path / "copy" / run.spool_folder.parent.name / run.spool_folder.name
    shutil.copytree(run.spool_folder, copy)
    result = sent(server, run.spool_folder)
    assert result.receipt is not None
    assert (result.ending, result.receipt.orders, result.receipt.orders_durable) == ("done", 2, 2)
    assert not run.spool_folder.exists()
    (tmp_path / "other").write_bytes(b"other")
    project.client.put_artifact("net", tmp_path / "other", project=project.id)
    assert sent(server, copy).ending == "done"
    version = project.client.artifact_version("net/1", project=project.id)
    assert (version.type, version.description, version.file_count) == ("model", "# First", 2)
    assert [entry.path for entry in project.client.artifact_entries("net/1", project=project.id)] == [
        "config.json",
        "data",
        "weights/w.bin",
    ]
    assert [one.name[-1] for one in project.client.artifact_versions("net", project=project.id)] == ["2", "1"]
    assert [entry.path for entry in project.client.artifact_entries("config/1", project=project.id)] == ["config.json"]
    assert links(project, run) == ["1", "1"]


def test_an_artifact_waits_for_its_run_which_brings_a_new_project(
    server: Installation, home: Path, folder: Path
) -> None:
    with penstock.init(project=f"new-{random_id()[:8]}", system_metrics=False) as run:
        assert run.log_artifact(folder / "config.json", name="config").version == 1


def test_a_run_that_need_not_wait_does_not(server: Installation, project: Any, home: Path, folder: Path) -> None:
    with penstock.init(project=project.id, system_metrics=False) as run:
        waiting = run.log_artifact(folder, name="net", wait=False)
        assert waiting.waiting
        assert run.log_artifact(folder / "config.json", name="config").version == 1
        run.alert("Loss is NaN", "At step 7.", level="error", step=7)
        run.alert("Loss is NaN", wait_s=60)
        run.alert("Loss is NaN", wait_s=60)
    receipt = run.finish()
    assert (receipt.orders, receipt.orders_durable, receipt.complete) == (3, 3, True)
    assert "3 of 3 alerts, media and artifacts durable" in str(receipt)
    assert project.client.artifact_version("net", project=project.id).file_count == 2
    alerts = list(project.client.alerts(run))
    assert [(alert.title, alert.text, alert.HasField("step"), alert.step) for alert in alerts] == [
        ("Loss is NaN", "", False, 0),
        ("Loss is NaN", "At step 7.", True, 7),
    ]
    assert [alert["level"] for alert in project.client.alerts(project=project.id).to_arrow().to_pylist()] == [
        "info",
        "error",
    ]


def test_what_the_server_refuses_is_kept_and_sent_when_it_may(
    server: Installation, project: Any, home: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.client.set_artifact_quota(1_000, project=project.id)
    run = penstock.init(project=project.id, mode="offline")
    run.log({"loss": 1.0})
    run.log_artifact(folder, name="net")
    run.alert("after the artifact")
    run.finish()
    assert run.spool_folder is not None
    refused = sent(server, run.spool_folder)
    assert (refused.ending, refused.reason) == ("refused", "QUOTA_EXCEEDED")
    # All else is there.
    assert project.client.run(run).state == 2
    assert [alert.title for alert in project.client.alerts(run)] == ["after the artifact"]
    assert list(project.client.artifacts(project.id)) == []
    project.client.set_artifact_quota(None, project=project.id)
    result = sent(server, run.spool_folder)
    assert result.receipt is not None
    assert (result.ending, result.receipt.orders, result.receipt.orders_durable) == ("done", 2, 2)
    assert len(list(project.client.alerts(run))) == 1


def test_a_spool_that_is_still_written_is_sent_so_far(
    server: Installation, project: Any, home: Path, folder: Path
) -> None:
    run = penstock.init(project=project.id, mode="offline")
    run.alert("first")
    assert run.spool_folder is not None
    # From another process: this one holds the lock of who logs.
    command = [str(Path(sys.executable).with_name("penstock")), "sync", str(run.spool_folder), "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert json.loads(said)["ending"] == "caught_up"
    assert [alert.title for alert in project.client.alerts(run)] == ["first"]
    run.alert("second")
    run.finish()
    assert sent(server, run.spool_folder).ending == "done"
    assert [alert.title for alert in project.client.alerts(run)] == ["second", "first"]


def test_wrong_arguments_are_refused_at_once(home: Path, folder: Path) -> None:
    with penstock.init(mode="offline") as run:
        for wrong in ({"path": folder, "name": "a/b"}, {"path": folder / "nothing", "name": "net"}, {"name": "net"}):
            with pytest.raises(InvalidInput):
                run.log_artifact(**wrong)
        for wrong in (
            {"title": ""},
            {"title": "a\nb"},
            {"title": "x", "level": "loud"},
            {"title": "x", "text": "x" * 8_001},
        ):
            with pytest.raises(InvalidInput):
                run.alert(**wrong)
    assert run.finish().orders == 0
    for call in (lambda: run.alert("late"), lambda: run.log_artifact(folder, name="net")):
        with pytest.raises(RunFinished):
            call()


def test_a_run_that_keeps_nothing_takes_everything(home: Path, folder: Path) -> None:
    with penstock.init(mode="disabled") as run:
        assert run.log_artifact(folder, name="net").waiting
        run.alert("nobody hears it")
    assert not (home / "spool").exists()
