"""Offline runs of W&B, imported by the command and read back point by point."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.importing import Peer, Points, imported_files, imported_points, run_import
from support.platform import Platform

from penstock.client import Client
from penstock.client.records import run_record

pytestmark = pytest.mark.slow

ROWS = 200


@pytest.fixture(scope="module")
def logged(writer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run with all that W&B knows."""
    folder = tmp_path_factory.mktemp("wandb")
    return {**writer.ask("write", folder=str(folder), rows=ROWS), "folder": folder}


def steps_and_values(points: Points) -> dict[str, list[tuple[int, str]]]:
    return {
        key: [(step, value) for step, _, value in series]
        for key, series in points.items()
        if not key.startswith("system/")
    }


def as_logged(answer: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    return {key: sorted((step, value) for step, value in points) for key, points in answer["points"].items()}


def test_everything_that_was_logged(platform: Platform, client: Client, logged: dict[str, Any]) -> None:
    done = run_import(platform, "wandb-offline", str(logged["folder"]), "-p", "wb-all")
    assert (done.exit_code, list(done.outcomes().values())) == (0, ["imported"]), done.error
    [imported] = done.runs.values()
    there = imported_points(client, imported["run"])
    assert steps_and_values(there) == as_logged(logged)
    times = [time for points in there.values() for _, time, _ in points]
    assert logged["began_us"] <= min(times) <= max(times) <= logged["ended_us"]

    run = run_record(client.run(imported["run"]))
    assert (run["display_name"], run["notes"], run["group"]) == ("baseline", "The *first* one.", "ablation")
    assert run["state"] == "FINISHED"
    assert run["params"] == {
        "lr": 0.01,
        "layers": [64, 32],
        "optimizer.name": "adam",
        "optimizer.amsgrad": True,
        "seed": 7,
        "resume": None,
        "epochs": 3,
    }
    expected_tags = {"paper": "", "gpu": "", "wandb.id": logged["id"], "wandb.job_type": "train"}
    assert expected_tags.items() <= run["tags"].items()
    assert run["tags"]["penstock.import.tool"] == "wandb-offline"
    # What W&B itself repeats there, the last value of each metric, is no summary of the user's.
    assert run["summary"] == {"best_accuracy": 0.875, "text": "hello"}
    assert imported_files(client, imported["run"]) == logged["files"]
    assert [path for path in logged["files"] if path.startswith("media/images/sample_")]
    left_out = " ".join(imported["notices"])
    assert "'text'" in left_out
    assert "histograms" in left_out
    [experiment] = client.experiments("wb-all", display_name="vision")
    assert run["experiment"] == experiment.name

    again = run_import(platform, "wandb-offline", str(logged["folder"]), "-p", "wb-all")
    assert (list(again.outcomes().values()), again.summary["points_added"]) == (["unchanged"], 0)
    assert (again.summary["files"], again.summary["files_added"]) == (len(logged["files"]), 0)


def test_a_file_that_is_still_being_written(
    platform: Platform, client: Client, logged: dict[str, Any], tmp_path: Path
) -> None:
    file = Path(logged["file"])
    copy = tmp_path / file.parent.name / file.name
    copy.parent.mkdir()
    # Cut within a record.
    copy.write_bytes(file.read_bytes()[: file.stat().st_size // 10])
    begun = run_import(platform, "wandb-offline", str(tmp_path), "-p", "wb-grown", "--experiment", "mine")
    [first] = begun.runs.values()
    assert (begun.exit_code, first["outcome"], first["state"]) == (0, "imported", "CRASHED")
    assert 0 < first["points"] < len(as_logged(logged)["loss"]) * 2

    moved = tmp_path / "moved"
    shutil.copytree(file.parent, moved)
    grown = run_import(platform, "wandb-offline", str(moved / file.name), "-p", "wb-grown", "--experiment", "mine")
    [second] = grown.runs.values()
    assert (second["outcome"], second["state"], second["run"]) == ("continued", "FINISHED", first["run"])
    assert first["points"] + second["points_added"] == second["points"]
    assert steps_and_values(imported_points(client, second["run"])) == as_logged(logged)
    assert client.run(second["run"]).failure == ""
    assert run_record(client.run(second["run"]))["params"]["epochs"] == 3


def test_a_failed_run_and_damaged_files(
    platform: Platform, client: Client, writer: Peer, logged: dict[str, Any], tmp_path: Path
) -> None:
    failed = writer.ask("fail", folder=str(tmp_path))
    file = Path(logged["file"])
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    for name, content in (("flipped", bytes(data)), ("foreign", b"no file of W&B"), ("empty", b"")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"run-{name}.wandb").write_bytes(content)
    done = run_import(platform, "wandb-offline", str(tmp_path), "-p", "wb-damaged")
    assert done.exit_code == 1
    whole = next(label for label in done.runs if label.endswith(failed))
    assert done.outcomes() == {"flipped": "failed", "foreign": "failed", "empty": "failed", whole: "imported"}
    assert "is damaged at byte" in done.runs["flipped"]["message"]
    assert "does not begin as a file of W&B does" in done.runs["foreign"]["message"]
    assert "ends too early" in done.runs["empty"]["message"]
    assert (done.summary["failed"], done.summary["imported"]) == (3, 1)
    record = client.run(done.runs[whole]["run"])
    assert (run_record(record)["state"], record.failure) == ("FAILED", "Exit code 3.")
    # What was read before the damage is there.
    before = steps_and_values(imported_points(client, done.runs["flipped"]["run"]))["loss"]
    assert before == as_logged(logged)["loss"][: len(before)]


@pytest.fixture(scope="module")
def artifacts(writer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that logged artifacts. W&B's staged files are in a folder of their own, as if they were from another machine."""
    folder = tmp_path_factory.mktemp("artifacts")
    logged = writer.ask("log_artifacts", folder=str(folder / "runs"), data=str(folder / "data"))
    return {**logged, "runs": folder / "runs", "staging": folder / "data" / "artifacts" / "staging"}


def contents(client: Client, version: str) -> dict[str, str]:
    """The digest of each file, or its reference, by path."""
    return {
        entry.path: entry.file.blob.sha256 if entry.HasField("file") else entry.reference.uri
        for entry in client.artifact_entries(version)
    }


def test_artifacts(platform: Platform, client: Client, artifacts: dict[str, Any]) -> None:
    command = ["wandb-offline", str(artifacts["runs"]), "-p", "wb-artifacts", "--artifact-files"]
    done = run_import(platform, *command, str(artifacts["staging"]))
    [imported] = done.runs.values()
    assert (done.exit_code, imported["outcome"]) == (0, "imported"), done.error
    # Of a file that was not copied, W&B says only where it was.
    [left_out] = [notice for notice in imported["notices"] if " of the artifact " in notice]
    assert "'left/large.bin' of the artifact 'digits' was left out: it is at" in left_out
    assert "name one that it is in with --artifact-files" in left_out
    first, second = artifacts["versions"]
    without = {path: what for path, what in first.items() if path != "left/large.bin"}
    [newest, whole] = client.artifact_versions("digits", project="wb-artifacts")
    assert contents(client, whole.name) == without
    assert contents(client, newest.name) == second
    assert without["outside/rows.csv"].startswith("file://")
    assert {"samples.table.json", "notes.txt", "images/0.bin", "large.bin"} < without.keys()
    assert (whole.type, whole.reference_count) == ("dataset", 2)
    assert "Some *digits*." in whole.description
    assert "Incomplete: 1 of " in whole.description
    assert "W&B's aliases: best, v-one" in whole.description
    assert json.loads(whole.description.split("```json\n")[1].removesuffix("\n```")) == {"rows": 1, "by": {"n": [1, 2]}}

    types = {one.name.rpartition("/")[2]: one.type for one in client.artifacts("wb-artifacts")}
    code = next(name for name in types if name.startswith("source-"))
    assert types == {
        "digits": "dataset",
        "reader": "model",
        f"run-{artifacts['id']}-table": "run_table",
        code: "code",
    }
    links = list(client.artifact_links(run=imported["run"]))
    assert (len(links), imported["artifacts"], imported["artifacts_added"]) == (5, 5, 5)
    assert {link.run for link in client.artifact_links(version=newest.name)} == {imported["run"]}

    again = run_import(platform, *command, str(artifacts["staging"]))
    assert list(again.outcomes().values()) == ["unchanged"]
    assert (again.summary["artifacts"], again.summary["artifacts_added"]) == (5, 0)
    # Once the file may be read, the version with it is published beside.
    also = run_import(platform, *command, str(artifacts["staging"]), "--artifact-files", str(artifacts["runs"] / "own"))
    assert list(also.outcomes().values()) == ["continued"]
    assert (also.summary["artifacts"], also.summary["artifacts_added"]) == (5, 1)
    assert contents(client, "projects/wb-artifacts/artifacts/digits/versions/latest") == first
    assert len(list(client.artifact_versions("digits", project="wb-artifacts"))) == 3


def test_staged_files_that_are_gone_or_changed(
    platform: Platform, client: Client, artifacts: dict[str, Any], tmp_path: Path
) -> None:
    staging = tmp_path / "staging"
    shutil.copytree(artifacts["staging"], staging)
    gone, changed = (staging / Path(artifacts[name]).name for name in ("staged", "samples"))
    gone.unlink()
    data = changed.read_bytes()
    changed.chmod(0o600)
    changed.write_bytes(bytes(len(data)))
    # The folder that W&B has them in by itself is not this one: nothing in it is read.
    command = ["wandb-offline", str(artifacts["runs"]), "-p", "wb-gone"]
    none = run_import(platform, *command)
    [imported] = none.runs.values()
    assert (none.exit_code, imported["outcome"], imported["artifacts"]) == (0, "imported", 1)
    assert set(contents(client, "projects/wb-gone/artifacts/digits/versions/latest")) == {
        "outside/digits.csv",
        "outside/rows.csv",
    }
    some = run_import(platform, *command, "--artifact-files", str(staging))
    [imported] = some.runs.values()
    told = [notice for notice in imported["notices"] if " of the artifact " in notice]
    assert (some.exit_code, imported["outcome"], imported["artifacts"], len(told)) == (0, "continued", 5, 3)
    assert any("'notes.txt' of the artifact 'digits' was left out: it is " in notice for notice in told)
    assert any("'samples.table.json' of the artifact 'digits' was left out: it has other bytes" in one for one in told)
    paths = set(contents(client, "projects/wb-gone/artifacts/digits/versions/2"))
    assert paths == artifacts["versions"][0].keys() - {"notes.txt", "samples.table.json", "left/large.bin"}
