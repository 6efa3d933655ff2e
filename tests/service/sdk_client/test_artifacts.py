"""Artifacts through the client and the command line, against the real services behind the real gateway."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import penstock
from penstock.api.artifact.v1 import artifact_pb2
from penstock.cli.main import build
from penstock.client import AsyncClient
from penstock.client.artifact_files import Transfer
from penstock.errors import Conflict, InvalidInput, LimitExceeded, NotFound

pytestmark = pytest.mark.usefixtures("home")

FILES = {"config.json": b'{"a": 1}', "deep/er/weights.bin": bytes(range(256)) * 20_000, "empty": b""}


def run(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(build(), args, **kwargs)


def said(*args: str, **kwargs: Any) -> list[Any]:
    """What a command prints with --json, by line."""
    result = run(*args, "--json", **kwargs)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_there_and_back(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    folder = written(tmp_path / "model", FILES)
    told: list[Transfer] = []
    trained = project.new_run()
    version = client.put_artifact("net", folder, project=name, type="model", run=trained, on_progress=told.append)
    assert version.name == f"projects/{name}/artifacts/net/versions/1"
    assert (version.type, version.file_count) == ("model", 3)
    assert told[-1] == Transfer("uploading", 5_120_008, 5_120_008, 3, 3)
    entries = {entry.path: entry.file.media_type for entry in client.artifact_entries("net", project=name)}
    assert entries == {
        "config.json": "application/json",
        "deep/er/weights.bin": "application/octet-stream",
        "empty": "",
    }
    files = client.get_artifact("net", tmp_path / "back", project=name, on_progress=told.append)
    assert contents(tmp_path / "back") == FILES
    assert sorted(files) == sorted(tmp_path / "back" / path for path in FILES)
    assert told[-1] == Transfer("downloading", 5_120_008, 5_120_008, 3, 3)
    used = client.use_artifact("net/1", trained, project=name)
    assert used == version
    links = client.artifact_links(run=trained)
    assert [link.kind for link in links] == [
        artifact_pb2.ARTIFACT_LINK_KIND_WRITTEN,
        artifact_pb2.ARTIFACT_LINK_KIND_USED,
    ]
    assert [link.run for link in client.artifact_links(version=version.name)] == [trained, trained]


def test_what_is_stored_is_not_sent_again(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    folder = written(tmp_path / "model", FILES)
    first = client.put_artifact("net", folder, project=name)
    assert client.put_artifact("net", folder, project=name) == first
    (folder / "empty").write_bytes(b"not any more")
    told: list[Transfer] = []
    second = client.put_artifact("net", folder, project=name, on_progress=told.append)
    assert second.name.endswith("/2")
    assert told[-1] == Transfer("uploading", 12, 12, 1, 1)
    (version,) = said("artifact", "cp", "net/1", "copy", "-p", name)
    assert (version["manifest"], version["name"]) == (first.manifest, f"projects/{name}/artifacts/copy/versions/1")
    assert client.artifact_storage(name).used_bytes == 5_120_008 + 12


def test_a_download_goes_on_where_it_was_cut_off(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    content = FILES["deep/er/weights.bin"]
    source = written(tmp_path, {"weights.bin": content})
    version = client.put_artifact("net", source / "weights.bin", project=name)
    (entry,) = client.artifact_entries(version.name)
    back = tmp_path / "back"
    back.mkdir()
    partial = back / f".{entry.file.blob.sha256[:32]}.part"
    partial.write_bytes(content[:3_000_000])
    told: list[Transfer] = []
    client.get_artifact(version.name, back, on_progress=told.append)
    assert told[0].bytes == 3_000_000
    assert contents(back) == {"weights.bin": content}
    # What was left is something else: nothing wrong is put in its place, and the next attempt begins anew.
    (back / "weights.bin").unlink()
    partial.write_bytes(b"x" * 3_000_000)
    with pytest.raises(Exception, match="try it again"):
        client.get_artifact(version.name, back)
    assert contents(back) == {}
    client.get_artifact(version.name, back)
    assert contents(back) == {"weights.bin": content}


def test_nothing_is_written_through_a_link(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    version = client.put_artifact("net", written(tmp_path / "m", {"a/b": b"1", "c": b"2"}), project=name)
    back, outside = tmp_path / "back", tmp_path / "outside"
    back.mkdir()
    outside.mkdir()
    (back / "a").symlink_to(outside)
    with pytest.raises(InvalidInput, match="is a link"):
        client.get_artifact(version.name, back)
    assert contents(outside) == {}
    (outside / "target").write_bytes(b"kept")
    (back / "a").unlink()
    (back / "c").symlink_to(outside / "target")
    client.get_artifact(version.name, back)
    assert (back / "c").read_bytes() == b"2"
    assert contents(outside) == {"target": b"kept"}


def test_what_cannot_be_put(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(InvalidInput, match="has no file"):
        client.put_artifact("net", folder, project=name)
    with pytest.raises(InvalidInput, match="no file and no folder"):
        client.put_artifact("net", folder / "absent", project=name)
    with pytest.raises(InvalidInput, match="Give a path or references"):
        client.put_artifact("net", project=name)
    (folder / "loop").symlink_to(folder)
    with pytest.raises(InvalidInput, match="is a link to a folder"):
        client.put_artifact("net", folder, project=name)
    (folder / "loop").unlink()
    (folder / "nul.txt").write_bytes(b"")
    with pytest.raises(InvalidInput, match="is a device on Windows"):
        client.put_artifact("net", folder, project=name)
    with pytest.raises(NotFound):
        client.get_artifact("net", tmp_path, project=name)


def test_which_versions_are_kept(project: Any) -> None:
    client, name = project.client, project.id
    storage = f"projects/{name}/artifactStorage"
    assert said("artifact", "retention", "-p", name) == [{"name": storage, "kept": None}]
    there = said("artifact", "retention", "--versions", "10", "--days", "90", "-p", name)
    assert there == [{"name": storage, "kept": {"versions": 10, "days": 90}}]
    assert client.artifact_storage(name).retention.days_kept == 90
    assert said("artifact", "retention", "--all", "-p", name) == [{"name": storage, "kept": None}]
    for versions, days in ((1, None), (None, 1), (0, 1)):
        with pytest.raises(InvalidInput):
            client.set_artifact_retention(versions, days, project=name)


def test_quota_and_types(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    file = written(tmp_path, {"f": b"12345"}) / "f"
    said("artifact", "quota", "4", "-p", name)
    with pytest.raises(LimitExceeded, match="may store 4") as caught:
        client.put_artifact("a", file, project=name)
    assert caught.value.reason == "QUOTA_EXCEEDED"
    assert said("artifact", "quota", "none", "-p", name) == [
        {"name": f"projects/{name}/artifactStorage", "used_bytes": 0, "quota_bytes": None}
    ]
    client.put_artifact("a", file, project=name, type="model")
    with pytest.raises(Conflict, match="of the type 'model'"):
        client.put_artifact("a", project=name, type="dataset", references={"x": "s3://b/x"})


def test_the_command_line(project: Any, tmp_path: Path) -> None:
    name = project.id
    folder = written(tmp_path / "model", FILES)
    trained = project.new_run()
    (put,) = said(
        "artifact", "put", "net", str(folder), "-p", name, "-t", "model", "--run", trained, "--reference", "x=s3://b/x"
    )
    assert (put["version"], put["file_count"], put["reference_count"]) == (1, 3, 1)
    assert [(a["artifact"], a["type"], a["latest_version"]) for a in said("artifact", "ls", "-p", name)] == [
        ("net", "model", 1)
    ]
    assert [v["manifest"] for v in said("artifact", "ls", "net", "-p", name)] == [put["manifest"]]
    entries = said("artifact", "ls", "net/latest", "-p", name)
    assert [(e["path"], e["size_bytes"], e["uri"]) for e in entries] == [
        ("config.json", 8, None),
        ("deep/er/weights.bin", 5_120_000, None),
        ("empty", 0, None),
        ("x", None, "s3://b/x"),
    ]
    (got,) = said("artifact", "get", "net/1", str(tmp_path / "back"), "-p", name, "--path", "config.json")
    assert got["files"] == [str(tmp_path / "back" / "config.json")]
    assert contents(tmp_path / "back") == {"config.json": FILES["config.json"]}
    for listed in (["ls"], ["ls", "net"], ["ls", "net/1"], ["quota"]):
        shown = run("artifact", *listed, "-p", name)
        assert shown.exit_code == 0, shown.output
    assert "deep/er/weights.bin" in run("artifact", "ls", "net/1", "-p", name).stdout
    assert run("artifact", "rm", "net/latest", "-p", name, "--yes").exit_code == 2
    assert said("artifact", "rm", "net/1", "-p", name, "--yes")[0]["deleted"] is True
    assert run("artifact", "get", "net/1", str(tmp_path), "-p", name).exit_code == 3
    assert said("artifact", "rm", "net", "-p", name, "--yes")[0]["name"] == f"projects/{name}/artifacts/net"
    assert said("artifact", "ls", "-p", name) == []


def test_the_asynchronous_client(project: Any, tmp_path: Path) -> None:
    async def there_and_back() -> None:
        async with AsyncClient(project.client.connection) as client:
            version = await client.put_artifact("net", written(tmp_path / "m", FILES), project=project.id)
            await client.get_artifact(version.name, tmp_path / "back")
        assert contents(tmp_path / "back") == FILES

    asyncio.run(there_and_back())


def test_a_run_logs_and_uses_artifacts(project: Any, tmp_path: Path) -> None:
    """In a process of its own, which must not import gRPC."""
    written(tmp_path / "model", FILES)
    script = tmp_path / "train.py"
    script.write_text(
        f"""
import sys
import penstock
from penstock.errors import Conflict, InvalidInput, NotFound

with penstock.init(project={project.id!r}, capture=False) as run:
    logged = run.log_artifact("model", name="net", type="model", references={{"x": "s3://b/x"}})
    assert logged.version == 1 and logged.file_count == 3 and len(logged.manifest) == 64, logged
    assert run.log_artifacts("model/deep", name="deep").name.endswith("/artifacts/deep/versions/1")
    used = run.use_artifact("net", folder="back")
    assert used.manifest == logged.manifest
    for call, error in (
        (lambda: run.log_artifact("absent", name="net"), InvalidInput),
        (lambda: run.log_artifact("model", name="net", type="dataset"), Conflict),
        (lambda: run.use_artifact("none"), NotFound),
    ):
        try:
            call()
        except error:
            continue
        raise AssertionError(error)
assert not any(name.partition(".")[0] == "grpc" for name in sys.modules)
print(run.resource_name)
"""
    )
    environment = {
        **os.environ,
        "PENSTOCK_URL": project.client.connection.http,
        "PENSTOCK_TOKEN": project.client.connection.token,
        "PENSTOCK_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "back") == FILES
    links = project.client.artifact_links(run=done.stdout.split()[-1])
    assert [(link.version.split("/")[3], link.kind) for link in links] == [("deep", 1), ("net", 1), ("net", 2)]


def test_a_run_without_a_server_says_so() -> None:
    offline = penstock.init(project="p", mode="offline", capture=False)
    with offline, pytest.raises(InvalidInput, match="no connection to a server"):
        offline.use_artifact("a")


@pytest.mark.parametrize("change", ["gone", "other", "longer"])
def test_changed_file(project: Any, tmp_path: Path, change: str) -> None:
    client, name = project.client, project.id
    written(tmp_path, {"f": b"content"})

    def meanwhile(now: Transfer) -> None:
        if now.phase == "reading":
            if change == "gone":
                (tmp_path / "f").unlink(missing_ok=True)
            else:
                (tmp_path / "f").write_bytes(b"CONTENT" if change == "other" else b"content and more")

    with pytest.raises(InvalidInput, match="cannot be read" if change == "gone" else "announced"):
        client.put_artifact("a", tmp_path / "f", project=name, on_progress=meanwhile)
    with pytest.raises(NotFound):
        client.artifact_version("a", project=name)
