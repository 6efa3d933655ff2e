"""Artifacts on processes that are killed in mid-transfer: what was begun goes on, and no half file is visible."""

import hashlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.platform import PENSTOCK, Processes
from support.training import eventually

SIZE = 200_000_000


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started.start()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that takes a second or two to send. Its bytes are not all the same."""
    file = tmp_path / "large.bin"
    with file.open("wb") as opened:
        opened.truncate(SIZE)
        for place in range(0, SIZE, SIZE // 16):
            opened.seek(place)
            opened.write(hashlib.sha256(str(place).encode()).digest())
    return file


def started(processes: Processes, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(PENSTOCK), "artifact", *args, "--json"],
        env=processes.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: "subprocess.Popen[str]") -> list[Any]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def on_the_way(tmp_path: Path) -> bool:
    """Whether the service has some of the file."""
    return parts_kept(tmp_path) > 1


def parts_kept(tmp_path: Path) -> int:
    """How many parts are durable of files that are not whole."""
    parts = tmp_path / "data" / "artifact" / "blobs" / ".parts"
    return len(list(parts.glob("*/*.*")))


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@pytest.mark.parametrize("name", ["artifact", "gateway"])
def test_an_upload_outlives_a_kill_of_the_server(processes: Processes, tmp_path: Path, large: Path, name: str) -> None:
    putting = started(processes, "put", "net", str(large))
    eventually(lambda: on_the_way(tmp_path), "the upload has begun")
    processes.kill_one(name)
    processes.restart_one(name)
    (version,) = done(putting)
    assert (version["version"], version["size_bytes"]) == (1, SIZE)
    (entry,) = done(started(processes, "ls", "net/1"))
    assert entry["sha256"] == digest(large)
    (got,) = done(started(processes, "get", "net", str(tmp_path / "back")))
    assert [digest(Path(file)) for file in got["files"]] == [digest(large)]


def test_a_client_that_is_killed_leaves_nothing_visible_and_another_goes_on(
    processes: Processes, tmp_path: Path, large: Path
) -> None:
    putting = started(processes, "put", "net", str(large))
    eventually(lambda: on_the_way(tmp_path), "the upload has begun")
    putting.send_signal(signal.SIGKILL)
    putting.communicate()
    assert done(started(processes, "ls")) == []
    assert list((tmp_path / "data" / "artifact" / "blobs").rglob("*=")) == []
    kept = parts_kept(tmp_path)
    putting = started(processes, "put", "net", str(large))
    eventually(lambda: parts_kept(tmp_path) != kept, "the upload has gone on")
    assert parts_kept(tmp_path) > kept
    done(putting)
    assert len(list((tmp_path / "data" / "artifact" / "blobs").rglob("*="))) == 1
    assert parts_kept(tmp_path) == 0


def test_a_download_goes_on_after_kills_on_both_sides(processes: Processes, tmp_path: Path, large: Path) -> None:
    done(started(processes, "put", "net", str(large)))
    back = tmp_path / "back"

    def some_came(size: int) -> bool:
        return any(file.stat().st_size > size for file in back.glob(".*.part"))

    getting = started(processes, "get", "net", str(back))
    eventually(lambda: some_came(1_000_000), "the download has begun")
    getting.send_signal(signal.SIGKILL)
    getting.communicate()
    assert [file.name for file in back.iterdir() if not file.name.startswith(".")] == []
    (part,) = back.glob(".*.part")
    kept = part.stat().st_size
    getting = started(processes, "get", "net", str(back))
    eventually(lambda: not part.exists() or part.stat().st_size > kept, "the download has gone on")
    processes.kill_one("artifact")
    processes.restart_one("artifact")
    done(getting)
    assert [file.name for file in back.iterdir()] == ["large.bin"]
    assert digest(back / "large.bin") == digest(large)
