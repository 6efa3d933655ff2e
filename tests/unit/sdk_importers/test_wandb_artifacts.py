"""Artifacts in the records of W&B: which files of this machine a record may have read, and which it may not."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.wandb_files import write_wandb_run

from penstock.importers.model import SourceArtifact, SourceArtifactFile, SourceArtifactReference, SourceDamaged
from penstock.importers.wandb import WandbOfflineSource

SECRET = b"secret of this machine"


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """W&B's staging folder; its cache is beside."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    staging = tmp_path / "data" / "artifacts" / "staging"
    staging.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(SECRET)
    return staging


def entry_of(place: Path | str, content: bytes, path: str = "file", **fields: Any) -> dict[str, Any]:
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return {"path": path, "local_path": str(place), "size": len(content), "digest": digest, **fields}


def artifacts_in(folder: Path, *records: dict[str, Any], more: list[Path] | None = None) -> list[SourceArtifact]:
    write_wandb_run(folder, *({"artifact": {"name": "a", **record}} for record in records))
    [entry] = WandbOfflineSource(folder, more or []).entries()
    return list(entry.read().artifacts())


def found(folder: Path, entry: dict[str, Any], more: list[Path] | None = None, **record: Any) -> bytes | str:
    """What is read for an entry, or why nothing is."""
    [artifact] = artifacts_in(folder, {"manifest": {"contents": [entry]}, **record}, more=more)
    [file] = artifact.entries
    assert isinstance(file, SourceArtifactFile)
    try:
        one = file.find()
    except SourceDamaged as damage:
        return damage.message
    content = one.place.read_bytes()
    assert (one.sha256, one.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    return content


def test_files_in_the_folders_of_wandb(staging: Path, tmp_path: Path) -> None:
    (staging / "tmp1").write_bytes(b"staged")
    assert found(tmp_path, entry_of(staging / "tmp1", b"staged")) == b"staged"
    # After an upload it is in the cache, by its digest.
    (staging / "tmp1").unlink()
    digest = hashlib.md5(b"staged", usedforsecurity=False).hexdigest()
    cached = tmp_path / "cache" / "artifacts" / "obj" / "md5" / digest[:2] / digest[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"staged")
    assert found(tmp_path, entry_of(staging / "tmp1", b"staged")) == b"staged"
    assert found(tmp_path, entry_of("", b"staged")) == b"staged"
    beside = tmp_path / "offline-run-1-x" / "files" / "table.json"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(b"{}")
    assert found(tmp_path, entry_of(beside, b"{}")) == b"{}"


def test_files_that_came_from_another_machine(staging: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    (copied / "data").mkdir(parents=True)
    (copied / "tmp7").write_bytes(b"staged")
    (copied / "data" / "x.bin").write_bytes(b"left where it was")
    for told in ("/cluster/home/.local/share/wandb/artifacts/staging/tmp7", r"C:\Users\ada\wandb\staging\tmp7"):
        assert "is gone: W&B had it at" in found(tmp_path, entry_of(told, b"staged"))  # type: ignore[operator] - a text
        assert found(tmp_path, entry_of(told, b"staged"), [copied]) == b"staged"
    # A path that was relative to where the run was started.
    assert found(tmp_path, entry_of("data/x.bin", b"left where it was"), [copied]) == b"left where it was"


def test_nothing_else_is_read(staging: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (staging / "link").symlink_to(secret)
    (staging / "out").symlink_to(tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "offline-run-1-x" / "files").mkdir(parents=True)
    (tmp_path / "offline-run-1-x" / "files" / "link").symlink_to(secret)
    (tmp_path / "offline-run-1-x" / "key").write_bytes(SECRET)
    places = [
        secret,
        "/etc/../" + str(secret),
        f"{staging}/../../../secret",
        "../../../secret",
        staging / "link",
        staging / "out" / "secret",
        tmp_path / "offline-run-1-x" / "files" / "link",
        tmp_path / "offline-run-1-x" / "key",
        f"{staging}-elsewhere/../../../secret",
        f"/proc/self/root{secret}",
    ]
    (tmp_path / "data" / "artifacts" / "staging-elsewhere").mkdir()
    for place in places:
        told = found(tmp_path, entry_of(place, SECRET))
        assert "is no folder of W&B: name one that it is in with --artifact-files" in str(told), place
    # Unless whoever imports says so.
    assert found(tmp_path, entry_of(secret, SECRET), [tmp_path]) == SECRET


def test_what_is_no_such_file(staging: Path, tmp_path: Path) -> None:
    (staging / "file").write_bytes(b"bytes")
    os.mkfifo(staging / "pipe")
    (staging / "loop").symlink_to(staging / "loop")
    assert "has another size than W&B logged" in str(found(tmp_path, entry_of(staging / "file", b"other, longer")))
    assert "has other bytes than W&B logged" in str(found(tmp_path, entry_of(staging / "file", b"BYTES")))
    assert "has other bytes" in str(found(tmp_path, entry_of(staging / "file", b"bytes", digest="no base64")))
    assert "has other bytes" in str(found(tmp_path, entry_of(staging / "file", b"bytes", digest="")))
    assert "is no file any more" in str(found(tmp_path, entry_of(staging / "pipe", b"")))
    for place in (staging / "loop", staging / "missing", f"{staging}/a\0b", f"{staging}/{'x' * 5_000}"):
        assert "is gone: W&B had it at" in str(found(tmp_path, entry_of(place, b"")))
    assert found(tmp_path, entry_of("", b"")) == "is not on this machine"
    assert found(tmp_path, entry_of("..", b"")) != b""


def test_where_the_digest_is_of_another_kind_only_the_size_is_compared(staging: Path, tmp_path: Path) -> None:
    (staging / "file").write_bytes(b"bytes")
    other = {"digest_algorithm": "MANIFEST_XXH128"}
    assert found(tmp_path, entry_of(staging / "file", b"BYTES"), **other) == b"bytes"
    assert "another size" in str(found(tmp_path, entry_of(staging / "file", b"other, longer"), **other))
    [artifact] = artifacts_in(tmp_path, other)
    assert "only their sizes were compared" in artifact.description


def test_references_are_taken_over_and_not_opened(tmp_path: Path, staging: Path) -> None:
    contents = [
        {"path": "s3", "ref": "s3://bucket/key", "digest": "etag", "size": 7},
        {"path": "file", "ref": f"file://{tmp_path}/my secret", "digest": "x" * 201},
        {"path": "web", "ref": "https://example.com/a", "digest": "https://example.com/a", "local_path": "/etc/passwd"},
    ]
    [artifact] = artifacts_in(tmp_path, {"manifest": {"contents": contents}})
    assert artifact.entries == [
        SourceArtifactReference("s3", "s3://bucket/key", "etag", 7),
        SourceArtifactReference("file", f"file://{tmp_path}/my%20secret", "", None),
        SourceArtifactReference("web", "https://example.com/a", "", None),
    ]


def test_what_has_no_field_is_told_in_the_description(tmp_path: Path, staging: Path) -> None:
    metadata = {"rows": 3, "by": {"name": "Ada"}}
    said = {"description": "Some *rows*.", "aliases": ["latest", "best", "a"], "tags": ["t"]}
    [artifact, long, wrong] = artifacts_in(
        tmp_path,
        {**said, "type": "data set/é", "metadata": json.dumps(metadata)},
        {"name": "long", "metadata": json.dumps({"text": "x" * 8_001}), "aliases": ["latest"]},
        {"name": "wrong", "metadata": "[" * 5_000, "type": "x" * 65},
    )
    assert artifact.type == "data-set--"
    assert artifact.description.split("\n\n")[:3] == ["Some *rows*.", "W&B's aliases: a, best", "W&B's tags: t"]
    assert json.loads(artifact.description.split("```json\n")[1].removesuffix("\n```")) == metadata
    assert long.description == "W&B's metadata were too long to be kept."
    assert (wrong.description, wrong.type) == ("", "x" * 64)


def test_what_is_no_version_by_itself_is_left_out(tmp_path: Path, staging: Path) -> None:
    told = artifacts_in(
        tmp_path,
        {"name": "many", "manifest": {"manifest_file_path": "/etc/passwd"}},
        {"name": "parts", "distributed_id": "d"},
        {"name": "more", "incremental": True},
    )
    assert [one.left_out for one in told] == [
        "has more than 100,000 files",
        "is one that several runs log together",
        "only adds files to a version on W&B's server",
    ]


def test_each_version_once_and_what_was_used(tmp_path: Path, staging: Path) -> None:
    first, second = {"digest": "1"}, {"digest": "2"}
    used = {"digest": "1", "use_after_commit": True}
    assert [one.used for one in artifacts_in(tmp_path, first, second, first, used)] == [False, False, True]

    write_wandb_run(tmp_path, {"use_artifact": {"name": "team/vision/data:v3", "type": "dataset"}})
    [entry] = WandbOfflineSource(tmp_path).entries()
    run = entry.read()
    assert run.tags["wandb.used.team/vision/data:v3"] == "dataset"
    assert "It used artifacts of W&B's server" in run.left_out[0]


@pytest.mark.parametrize(
    ("platform", "environment", "place"),
    [
        ("linux", {}, ".local/share/wandb"),
        ("linux", {"XDG_DATA_HOME": "xdg"}, "xdg/wandb"),
        ("darwin", {}, "Library/Application Support/wandb"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/wandb/wandb"),
    ],
)
def test_where_wandb_keeps_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], place: str
) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in environment.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("sys.platform", platform)
    staged = tmp_path / place / "artifacts" / "staging" / "tmp1"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"staged")
    assert found(tmp_path, entry_of(staged, b"staged")) == b"staged"
