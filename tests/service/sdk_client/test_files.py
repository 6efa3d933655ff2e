"""Files of runs and logged models through the client, against the real services behind the real gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli.main import build
from penstock.client import AsyncClient
from penstock.errors import Conflict, InvalidInput, LimitExceeded, NotFound

pytestmark = pytest.mark.usefixtures("home")

FILES = {"plots/loss.png": b"png", "weights.bin": bytes(range(256)) * 80_000, "empty": b""}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def run_command(*args: str) -> Any:
    return CliRunner().invoke(build(), args)


def said(*args: str) -> list[Any]:
    """What a command prints with --json, by line."""
    result = run_command(*args, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_files_of_a_run_there_and_back(project: Any, tmp_path: Path) -> None:
    client, run = project.client, project.new_run()
    made = client.put_files(run, written(tmp_path / "out", FILES), directory="results")
    assert [(file.path, file.media_type) for file in made] == [
        ("results/empty", ""),
        ("results/plots/loss.png", "image/png"),
        ("results/weights.bin", "application/octet-stream"),
    ]
    rows = client.files(run, "results").to_arrow().to_pylist()
    assert [(row["path"], row["directory"], row["size_bytes"]) for row in rows] == [
        ("results/empty", False, 0),
        ("results/plots", True, None),
        ("results/weights.bin", False, len(FILES["weights.bin"])),
    ]
    assert [entry.file.path for entry in client.files(run, recursive=True)] == [file.path for file in made]
    assert client.file(run, "results/weights.bin") == made[2]
    assert client.read_file(run, "results/plots/loss.png") == b"png"
    assert client.read_file(run, "results/weights.bin", offset=254, length=4) == b"\xfe\xff\x00\x01"
    assert client.read_file(run, "results/weights.bin", length=0) == b""
    got = client.get_files(run, tmp_path / "back", directory="results")
    assert contents(tmp_path / "back") == FILES
    assert len(got) == 3

    client.put_files(run, written(tmp_path / "again", {"empty": b"not any more"}) / "empty", directory="results")
    assert client.read_file(run, "results/empty") == b"not any more"
    version = client.publish_files(run, "net", directory="results", type="model", description="# One")
    assert (version.name, version.type, version.file_count) == (
        f"projects/{project.id}/artifacts/net/versions/1",
        "model",
        3,
    )
    assert client.delete_files(run, "results/plots") == 1
    assert client.delete_files(run, "") == 2
    assert list(client.files(run)) == []


def test_what_has_files_is_named_in_many_ways(project: Any, tmp_path: Path) -> None:
    client, run = project.client, project.new_run()
    model = f"m-{'ab' * 16}"
    file = written(tmp_path, {"f": b"x"}) / "f"
    client.put_files(run.rpartition("/")[2], file, project=project.id)
    client.put_files(model, file, project=project.id)
    assert client.read_file(run, "f") == b"x"
    assert client.read_file(f"projects/{project.id}/loggedModels/{model}", "f") == b"x"
    for wrong in (model, "x", f"projects/{project.id}", f"projects/{project.id}/loggedModels/x"):
        with pytest.raises(InvalidInput):
            client.file(wrong, "f")


def test_what_goes_wrong_with_files(project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = project.client, project.new_run()
    client.put_files(run, written(tmp_path / "out", {"a": b"1234"}))
    with pytest.raises(NotFound) as missing:
        client.read_file(run, "b")
    assert missing.value.reason == "FILE_NOT_FOUND"
    with pytest.raises(Conflict) as taken:
        client.put_files(run, tmp_path / "out", directory="a")
    assert taken.value.reason == "PATH_TAKEN"
    with pytest.raises(InvalidInput) as behind:
        client.read_file(run, "a", offset=5)
    assert behind.value.reason == "RANGE_INVALID"
    for wrong in (
        lambda: client.put_files(run, tmp_path / "absent"),
        lambda: client.put_files(run, tmp_path / "out", directory="../up"),
        lambda: client.get_files(run, tmp_path / "back", directory="b"),
    ):
        with pytest.raises(InvalidInput):
            wrong()
    monkeypatch.setattr("penstock.client._sync.files.READ_BYTES_MAX", 3)
    with pytest.raises(LimitExceeded):
        client.read_file(run, "a")
    assert client.read_file(run, "a", offset=1) == b"234"
    assert client.read_file(run, "a", length=3) == b"123"


def test_files_on_the_command_line(project: Any, tmp_path: Path) -> None:
    run, of = project.new_run().rpartition("/")[2], ("-p", project.id)
    folder = written(tmp_path / "out", FILES)
    put = said("file", "put", run[:8], str(folder), "-d", "results", *of)
    assert [one["path"] for one in put] == ["results/empty", "results/plots/loss.png", "results/weights.bin"]
    listed = said("file", "ls", run, "results/", *of)
    assert [(one["path"], one["directory"]) for one in listed] == [
        ("results/empty", False),
        ("results/plots", True),
        ("results/weights.bin", False),
    ]
    assert [one["path"] for one in said("file", "ls", run, "-r", "-n", "1", *of)] == ["results/empty"]
    shown = run_command("file", "ls", run, "results", *of).output
    assert "results/plots/" in shown
    assert f"{len(FILES['weights.bin']):,}" in shown
    (got,) = said("file", "get", run, str(tmp_path / "back"), "-d", "results", *of)
    assert (len(got["files"]), contents(tmp_path / "back")) == (3, FILES)
    assert run_command("file", "rm", run, "results/plots", *of).exit_code != 0, "nobody was asked"
    (removed,) = said("file", "rm", run, "results/plots/", "--yes", *of)
    assert removed["deleted"] == 1
    assert said("file", "ls", run, "results/plots", *of) == []


async def test_files_through_the_asynchronous_client(project: Any, tmp_path: Path) -> None:
    run = await asyncio.to_thread(project.new_run)
    folder = await asyncio.to_thread(written, tmp_path / "out", FILES)
    async with AsyncClient() as client:
        await client.put_files(run, folder)
        assert [entry.directory or entry.file.path async for entry in client.files(run)] == [
            "empty",
            "plots",
            "weights.bin",
        ]
        assert await client.read_file(run, "plots/loss.png") == b"png"
