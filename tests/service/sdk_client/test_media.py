"""Media that runs log: from the training process through the spool to real servers, and back."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.installation import Installation

import penstock
from penstock.sender import sync
from penstock.sender.orders import TOGETHER_MAX
from penstock.spool import console

PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def listed(project: Any, run: penstock.Run, key: str = "") -> list[tuple[str, int, str]]:
    return [(one.media.key, one.media.step, one.media.caption) for one in project.client.media(run, key)]


def test_media_of_a_run_are_files_with_an_index_by_step(
    server: Installation, project: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    with penstock.init(project=project.id, system_metrics=False) as run:
        for step in (0, 10):
            run.log({"loss": 1.0, "val/samples": [penstock.Image(PIXELS + step, f"n{n}") for n in range(2)]}, step=step)
        run.log({"weights": penstock.Histogram([1.0, 2.0]), "scores": penstock.Table(["a"], [[1]])}, step=3)
        run.log({"tone": penstock.Audio(np.zeros(4), 8_000), "film": penstock.Video(PIXELS[None])}, step=4)
    receipt = run.finish()
    assert (receipt.points_durable, receipt.orders_durable, receipt.complete) == (2, 8, True)
    assert listed(project, run, "val/samples") == [
        ("val/samples", 0, "n0"),
        ("val/samples", 0, "n1"),
        ("val/samples", 10, "n0"),
        ("val/samples", 10, "n1"),
    ]
    keys = [(one.key, one.kind, one.last_step) for one in project.client.media_keys(run)]
    assert keys == [("film", 3, 4), ("scores", 4, 3), ("tone", 2, 4), ("val/samples", 1, 10), ("weights", 5, 3)]
    (last,) = project.client.media(run, "val/samples", descending=True, limit=1).to_list()
    data = project.client.read_file(run, last.path)
    assert (data[:8], last.media_type, last.blob.size_bytes) == (b"\x89PNG\r\n\x1a\n", "image/png", len(data))
    (table,) = project.client.media(run, "scores").to_arrow().to_pylist()
    assert (table["kind"], table["step"], table["media_type"]) == ("table", 3, "text/csv")
    assert project.client.read_file(run, table["path"]) == b"a\n1\n"


def test_media_of_an_offline_run_are_sent_once_and_in_order(
    server: Installation, project: Any, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "sample.png"
    file.write_bytes(b"as it is")
    run = penstock.init(project=project.id, mode="offline", system_metrics=False)
    for step in range(TOGETHER_MAX + 5):
        run.log({"histogram": penstock.Histogram([float(step)])}, step=step)
    run.log({"image": penstock.Image(file)}, step=1)
    # What is logged is what it was then.
    file.unlink()
    run.finish()
    assert run.spool_folder is not None
    (result,) = sync([run.spool_folder], connection=server.connection)
    assert result.receipt is not None
    assert (result.ending, result.receipt.orders_durable) == ("done", TOGETHER_MAX + 6)
    assert [step for _, step, _ in listed(project, run, "histogram")] == list(range(TOGETHER_MAX + 5))
    (image,) = project.client.media(run, "image")
    assert project.client.read_file(run, image.path) == b"as it is"


def test_one_that_is_refused_does_not_keep_the_others(server: Installation, project: Any, home: Path) -> None:
    run = penstock.init(project=project.id, mode="offline", system_metrics=False)
    run.log({"a": penstock.Histogram([1.0])}, step=1)
    run.log({"large": penstock.Table(["a"], [["x" * 200_000]])}, step=1)
    run.log({"b": penstock.Histogram([2.0])}, step=1)
    run.finish()
    assert run.spool_folder is not None
    project.client.set_artifact_quota(100_000, project=project.id)
    (refused,) = sync([run.spool_folder], connection=server.connection)
    assert (refused.ending, refused.reason) == ("refused", "QUOTA_EXCEEDED")
    assert listed(project, run) == [("a", 1, ""), ("b", 1, "")]
    project.client.set_artifact_quota(None, project=project.id)
    (result,) = sync([run.spool_folder], connection=server.connection)
    assert result.ending == "done"
    assert listed(project, run) == [("a", 1, ""), ("b", 1, ""), ("large", 1, "")]


def test_what_is_printed_becomes_files_of_the_run(server: Installation, project: Any, home: Path) -> None:
    with penstock.init(project=project.id, system_metrics=False, console=True) as run:
        print("step 1")
        print("step 2", file=sys.stderr)
    receipt = run.finish()
    assert (receipt.orders, receipt.complete) == (0, True)
    (file,) = [entry.file for entry in project.client.files(run, "console", recursive=True)]
    assert file.media_type == "text/plain"
    assert project.client.read_file(run, file.path).endswith(b"\nstep 1\nstep 2\n")


def test_what_is_printed_by_an_offline_run_comes_with_it(
    server: Installation, project: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = penstock.init(project=project.id, mode="offline", system_metrics=False, console=True)
    for n in range(200):
        print(f"line {n}")
    run.finish()
    assert run.spool_folder is not None
    monkeypatch.setattr(console, "STRETCH_BYTES_MAX", 1_000)
    (result,) = sync([run.spool_folder], connection=server.connection)
    assert result.ending == "done"
    files = [entry.file for entry in project.client.files(run, "console", recursive=True)]
    assert len(files) > 1
    text = b"".join(project.client.read_file(run, file.path) for file in files).decode()
    assert text.splitlines() == [f"line {n}" for n in range(200)]
