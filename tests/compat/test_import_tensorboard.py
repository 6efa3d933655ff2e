"""Event files of tensorboardX and TensorBoard, imported by the command and read back point by point."""

import hashlib
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from support.importing import Peer, as_points, ended_import, imported_files, imported_points, run_import, start_import
from support.platform import Platform

from penstock.api.artifact.v1 import media_pb2
from penstock.client import Client
from penstock.client.records import run_record
from penstock.errors import NotFound

pytestmark = pytest.mark.slow

EVENTS = 40_000
KEYS = 10
KILLS_MAX = 3


@pytest.fixture(scope="module")
def large(writer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log folder with one run of 400,000 points: several batches."""
    folder = tmp_path_factory.mktemp("large") / "logs"
    assert writer.ask("large", folder=str(folder / "run"), events=EVENTS, keys=KEYS) == EVENTS * KEYS
    return folder


def test_points_params_and_states(platform: Platform, client: Client, writer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    logged = {
        "group/old": writer.ask("old", folder=str(folder / "group" / "old"), first=0, last=50),
        "odd": writer.ask("odd", folder=str(folder / "odd")),
        "new": writer.ask("new", folder=str(folder / "new")),
    }
    done = run_import(platform, "tensorboard", str(folder), "-p", "tb-points")
    assert done.exit_code == 0, done.error
    assert done.outcomes() == dict.fromkeys(sorted(logged), "imported")
    for label, points in logged.items():
        assert imported_points(client, done.runs[label]["run"]) == as_points(points)

    new = run_record(client.run(done.runs["new"]["run"]))
    assert new["params"] == {"lr": 0.1, "units": 32, "optimizer": "adam", "augment": True}
    assert (new["state"], new["group"], new["display_name"]) == ("FAILED", "sweep-7", "new")
    assert new["end_time"].timestamp() == 1_700_000_030.75
    assert new["tags"] == {"penstock.import.tool": "tensorboard", "penstock.import.source": str(folder)}
    old = run_record(client.run(done.runs["group/old"]["run"]))
    assert (old["state"], old["display_name"]) == ("FINISHED", "group/old")
    # tensorboardX has a way of its own for the tags of texts.
    files = imported_files(client, done.runs["odd"]["run"])
    assert sorted(files) == ["images/group/image/1.png", "text/note/text_summary/1-2.md", "text/note/text_summary/1.md"]
    assert files["text/note/text_summary/1.md"] == hashlib.sha256(b"hello").hexdigest()
    assert done.runs["odd"]["notices"] == ["Data of the plugin 'histograms' was left out."]
    [experiment] = client.experiments("tb-points", display_name="logs")
    assert {new["experiment"], old["experiment"]} == {experiment.name}


def test_media_become_files(platform: Platform, client: Client, writer: Peer, tmp_path: Path) -> None:
    files = writer.ask("media", folder=str(tmp_path))
    done = run_import(platform, "tensorboard", str(tmp_path), "-p", "tb-media")
    assert (done.exit_code, done.runs["."]["notices"]) == (0, ["created project tb-media"])
    assert imported_files(client, done.runs["."]["run"]) == files
    media = [
        (file.media.key, file.media.step, media_pb2.MediaKind.Name(file.media.kind), file.path)
        for file in client.media(done.runs["."]["run"])
    ]
    assert media == [
        ("batch", 7, "MEDIA_KIND_IMAGE", "images/batch/7-2.png"),
        ("batch", 7, "MEDIA_KIND_IMAGE", "images/batch/7.png"),
        ("voice", 7, "MEDIA_KIND_AUDIO", "audio/voice/7.wav"),
    ]
    again = run_import(platform, "tensorboard", str(tmp_path), "-p", "tb-media")
    assert (again.outcomes(), again.summary["files_added"]) == ({".": "unchanged"}, 0)


def test_a_run_that_grew_is_continued_and_nothing_is_added_twice(
    platform: Platform, client: Client, writer: Peer, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    first = writer.ask("old", folder=str(folder), first=0, last=30)
    begun = run_import(platform, "tensorboard", str(folder), "-p", "tb-grown")
    again = run_import(platform, "tensorboard", str(folder), "-p", "tb-grown")
    assert (begun.outcomes(), again.outcomes()) == ({".": "imported"}, {".": "unchanged"})
    assert again.summary["points_added"] == 0

    more = writer.ask("old", folder=str(folder), first=30, last=75)
    # Also when the folder was moved meanwhile, and the training goes on in another process.
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved / "elsewhere")
    another = writer.ask("new", folder=str(moved / "elsewhere"))
    grown = run_import(platform, "tensorboard", str(moved), "-p", "tb-grown")
    [label] = grown.runs
    assert grown.runs[label]["outcome"] == "continued"
    assert grown.runs[label]["run"] == begun.runs["."]["run"]
    assert grown.summary["points_added"] == 2 * 45 + 20
    assert imported_points(client, grown.runs[label]["run"]) == as_points(first, more, another)


def test_killed_in_the_middle_and_run_again(platform: Platform, client: Client, large: Path) -> None:
    for attempt in range(KILLS_MAX):
        project = f"tb-killed-{attempt}"
        found = run_import(platform, "tensorboard", str(large), "-p", project, "--dry-run")
        [run] = (document["run"] for document in found.runs.values())
        importing = start_import(platform, "tensorboard", str(large), "-p", project)
        while not points_of(client, run) and importing.poll() is None:
            pass
        importing.send_signal(signal.SIGKILL)
        importing.communicate()
        before = points_of(client, run)
        if before < EVENTS * KEYS:
            break
    assert 0 < before < EVENTS * KEYS, "never killed in the middle"
    again = run_import(platform, "tensorboard", str(large), "-p", project)
    assert (again.exit_code, again.outcomes()) == (0, {"run": "continued"})
    assert before + again.summary["points_added"] == again.summary["points"] == EVENTS * KEYS
    check_large(client, run)


def test_two_imports_at_once(platform: Platform, client: Client, large: Path) -> None:
    both = [start_import(platform, "tensorboard", str(large), "-p", "tb-both") for _ in range(2)]
    done = [ended_import(process) for process in both]
    assert [one.exit_code for one in done] == [0, 0], [one.error for one in done]
    assert all(one.summary["points"] == EVENTS * KEYS for one in done)
    check_large(client, done[0].runs["run"]["run"])


def test_damaged_files_do_not_keep_the_others(platform: Platform, client: Client, writer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    points = writer.ask("odd", folder=str(folder / "whole"))
    writer.ask("odd", folder=str(folder / "flipped"))
    [flipped] = (folder / "flipped").iterdir()
    data = bytearray(flipped.read_bytes())
    data[-20] ^= 1
    flipped.write_bytes(data)
    (folder / "foreign").mkdir()
    (folder / "foreign" / "events.out.tfevents.1.x").write_bytes(b"this is no event file at all")
    done = run_import(platform, "tensorboard", str(folder), "-p", "tb-damaged")
    assert done.exit_code == 1
    assert done.outcomes() == {"flipped": "failed", "foreign": "failed", "whole": "imported"}
    assert "is damaged at byte" in done.runs["flipped"]["message"]
    assert done.runs["foreign"]["reason"] == "SOURCE_DAMAGED"
    assert imported_points(client, done.runs["whole"]["run"]) == as_points(points)


def test_the_server_dies_meanwhile(platform: Platform, client: Client, large: Path) -> None:
    importing = start_import(platform, "tensorboard", str(large), "-p", "tb-restart")
    found = run_import(platform, "tensorboard", str(large), "-p", "tb-restart", "--dry-run")
    [run] = (document["run"] for document in found.runs.values())
    while not points_of(client, run):
        assert importing.poll() is None
    platform.kill()
    platform.restart()
    done = ended_import(importing)
    assert (done.exit_code, done.outcomes()) == (0, {"run": "imported"}), done.error
    assert done.summary["points_added"] == EVENTS * KEYS
    check_large(client, run)


def test_a_folder_that_holds_nothing(platform: Platform, tmp_path: Path) -> None:
    done = run_import(platform, "tensorboard", str(tmp_path))
    assert (done.exit_code, done.summary) == (3, {})
    assert str(tmp_path) in done.error


def test_a_dry_run_changes_nothing(platform: Platform, client: Client, writer: Peer, tmp_path: Path) -> None:
    writer.ask("odd", folder=str(tmp_path))
    done = run_import(platform, "tensorboard", str(tmp_path), "-p", "tb-dry", "--dry-run")
    assert (done.exit_code, done.outcomes(), done.summary["points"]) == (0, {".": "found"}, 4)
    with pytest.raises(NotFound):
        client.run(done.runs["."]["run"])


def points_of(client: Client, run: str) -> int:
    try:
        return sum(metric.points for metric in client.latest(run))
    except NotFound:
        return 0


def check_large(client: Client, run: str) -> None:
    steps: dict[str, Any] = {}
    for piece in client.history(run):
        steps.setdefault(piece.key, []).extend(piece.points.steps)
    assert steps == {f"m/{key}": list(range(EVENTS)) for key in range(KEYS)}
