"""Artifacts of imported runs on a real artifact service: what is published once, what is told, and what goes on."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.artifact import PROJECT, RUN, Artifacts, blob_of, serving_artifacts
from support.importing_channel import GuardedChannel

from penstock.errors import LimitExceeded
from penstock.importers.artifacts import ENTRIES_LEFT_OUT_TOLD_MAX, ENTRIES_MAX, bring_artifacts
from penstock.importers.model import (
    FoundFile,
    RunDraft,
    SourceArtifact,
    SourceArtifactFile,
    SourceArtifactReference,
    SourceDamaged,
)
from penstock.importers.upload import Uploaded
from penstock_kit.access import Role

DATA = f"{PROJECT}/artifacts/data"


@pytest.fixture
async def server(tmp_path: Path) -> Any:
    async with serving_artifacts(tmp_path / "server") as server:
        yield server


class Files:
    """Files of this machine that artifacts are made of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def file(self, path: str, content: bytes) -> SourceArtifactFile:
        place = self._folder / hashlib.sha256(content).hexdigest()
        place.write_bytes(content)
        return SourceArtifactFile(path, lambda: FoundFile(place, blob_of(content).sha256, len(content)))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


def lost(path: str) -> SourceArtifactFile:
    def find() -> FoundFile:
        raise SourceDamaged("is gone: it was on the moon")

    return SourceArtifactFile(path, find)


def data(*entries: SourceArtifactFile | SourceArtifactReference, **fields: Any) -> SourceArtifact:
    return SourceArtifact(**{"name": "data", "type": "dataset", **fields}, entries=entries)


async def brought(
    server: Artifacts, artifacts: Sequence[SourceArtifact] | Iterator[SourceArtifact], by: str = "users/ada"
) -> Uploaded:
    run = RunDraft("imports", 0).finished("ab" * 16, [], artifacts=lambda: iter(artifacts))
    result = Uploaded(RUN)
    channel = GuardedChannel(server, by)
    try:
        await bring_artifacts(channel, run, result, lambda _: None)
    finally:
        await channel.close()
    return result


async def versions(server: Artifacts, artifact: str = DATA) -> dict[int, list[str]]:
    """The paths of each version."""
    listed = await server.call("ListArtifactVersions", parent=artifact)
    found: dict[int, list[str]] = {}
    for version in reversed(listed.versions):
        entries = await server.call("ListArtifactEntries", parent=version.name)
        found[int(version.name.rpartition("/")[2])] = [entry.path for entry in entries.entries]
    return found


async def links(server: Artifacts) -> set[tuple[str, int]]:
    response = await server.call("ListArtifactLinks", parent=PROJECT, run=RUN)
    return {(link.version.rpartition("/artifacts/")[2], link.kind) for link in response.links}


async def test_a_repeat_publishes_nothing_again(server: Artifacts, files: Files) -> None:
    first = data(
        files.file("a.txt", b"a"),
        files.file("large.bin", bytes(20_000_000)),
        SourceArtifactReference("web/b", "https://example.com/b", "etag", 7),
        SourceArtifactReference("web/c", "file:///etc/passwd", "", None),
        files.file("é/😀.png", b"image"),
        description="Some *data*.",
    )
    second = data(files.file("a.txt", b"changed"))
    result = await brought(server, [first, second, first])
    assert (result.artifacts, result.artifacts_added, result.notices) == (3, 2, [])
    assert await versions(server) == {1: ["a.txt", "large.bin", "web/b", "web/c", "é/😀.png"], 2: ["a.txt"]}
    assert await links(server) == {("data/versions/1", 1), ("data/versions/2", 1)}
    version = (await server.call("GetArtifactVersion", name=f"{DATA}/versions/1")).version
    assert (version.type, version.description, version.reference_count) == ("dataset", "Some *data*.", 2)
    assert await server.read(version.name, "é/😀.png") == b"image"
    # Of somebody else as well, for whom no id of a request tells it.
    server.guard.grant("default", "users/bob", Role.EDITOR)
    for by in ("users/ada", "users/bob"):
        result = await brought(server, [first, second], by)
        assert (result.artifacts, result.artifacts_added, result.changed) == (2, 0, False)
    assert list(await versions(server)) == [1, 2]


async def test_two_imports_at_once(server: Artifacts, files: Files) -> None:
    artifacts = [data(files.file("a", bytes([number]))) for number in range(4)]
    loop = asyncio.get_running_loop()
    asked, other_done = asyncio.Event(), threading.Event()

    def waiting() -> Iterator[SourceArtifact]:
        yield artifacts[0]
        # By now this import has asked what the run has written.
        loop.call_soon_threadsafe(asked.set)
        assert other_done.wait(20)
        yield from artifacts[1:]

    first = asyncio.create_task(brought(server, waiting()))
    await asked.wait()
    await brought(server, artifacts)
    other_done.set()
    await first
    assert list(await versions(server)) == [1, 2, 3, 4]


async def test_what_was_killed_goes_on(server: Artifacts, files: Files) -> None:
    artifacts = [data(files.file("a", bytes([number]))) for number in range(3)]

    def killed() -> Iterator[SourceArtifact]:
        yield artifacts[0]
        yield artifacts[1]
        raise SourceDamaged("torn")

    result = await brought(server, killed())
    assert (result.artifacts_added, result.damage and result.damage.message) == (2, "torn")
    result = await brought(server, artifacts)
    assert (result.artifacts, result.artifacts_added) == (3, 1)
    assert list(await versions(server)) == [1, 2, 3]


async def test_files_that_are_gone_are_told_and_may_turn_up(server: Artifacts, files: Files) -> None:
    kept = files.file("kept", b"kept")
    result = await brought(server, [data(kept, lost("gone")), data(lost("only"), name="empty")])
    assert (result.artifacts, result.artifacts_added) == (1, 1)
    assert result.notices == [
        "The file 'gone' of the artifact 'data' was left out: it is gone: it was on the moon.",
        "The file 'only' of the artifact 'empty' was left out: it is gone: it was on the moon.",
        "The artifact 'empty' was left out: it has nothing that could be imported.",
    ]
    version = (await server.call("GetArtifactVersion", name=f"{DATA}/versions/1")).version
    assert version.description == "Incomplete: 1 of 2 entries could not be imported."
    result = await brought(server, [data(kept, files.file("gone", b"found"))])
    assert result.artifacts_added == 1
    assert await versions(server) == {1: ["kept"], 2: ["gone", "kept"]}

    many = [lost(f"{number}") for number in range(ENTRIES_LEFT_OUT_TOLD_MAX + 1)]
    result = await brought(server, [data(kept, *many)])
    assert len(result.notices) == ENTRIES_LEFT_OUT_TOLD_MAX


async def test_what_none_may_have_is_told(server: Artifacts, files: Files) -> None:
    fine = files.file("fine", b"1")
    paths = ["../up", "/etc/passwd", "a\\b", "con", "a/../b"]
    result = await brought(
        server,
        [
            data(fine, *(files.file(path, b"2") for path in paths)),
            data(fine, name="../data"),
            data(fine, name="a/b"),
            data(fine, name=""),
            data(fine, files.file("fine/below", b"3"), name="places"),
            data(fine, files.file("fine", b"3"), name="twice"),
            data(SourceArtifactReference("r", "s3://" + "x" * 1_996, "", None), name="uri"),
            data(files.file("other", b"4"), type="model"),
            data(name="left", left_out="is one of many"),
        ],
    )
    assert await versions(server) == {1: ["fine"]}
    assert result.artifacts == 1
    assert [notice.partition(" was left out")[0] for notice in result.notices] == [
        *(f"The file {path!r} of the artifact 'data'" for path in paths),
        *(f"The artifact {name!r}" for name in ("../data", "a/b", "", "places", "twice", "uri", "data", "left")),
    ]
    assert "is of the type 'dataset', not 'model'" in result.notices[-2]
    [only] = (await server.call("ListArtifacts", parent=PROJECT)).artifacts
    assert only.name == DATA


async def test_as_many_entries_as_a_version_holds(server: Artifacts) -> None:
    def referring(count: int) -> SourceArtifact:
        return data(*(SourceArtifactReference(f"{number}", "s3://b/k", "", None) for number in range(count)))

    result = await brought(server, [referring(ENTRIES_MAX), referring(ENTRIES_MAX + 1)])
    assert (result.artifacts, result.notices) == (
        1,
        ["The artifact 'data' was left out: it has more than 20,000 entries."],
    )


async def test_what_was_deleted_here_comes_back(server: Artifacts, files: Files) -> None:
    first, second = data(files.file("a", b"1")), data(files.file("a", b"2"))
    await brought(server, [first, second])
    await server.call("DeleteArtifactVersion", name=f"{DATA}/versions/1")
    result = await brought(server, [first, second])
    assert (result.artifacts_added, list(await versions(server))) == (1, [2, 3])
    await server.call("DeleteArtifact", name=DATA)
    result = await brought(server, [first, second])
    assert result.artifacts_added == 2
    assert await versions(server) == {1: ["a"], 2: ["a"]}
    # The numbers begin anew: another version may have the number of the one that was imported.
    await server.call("DeleteArtifact", name=DATA)
    await server.publish({"other": b"3"}, parent=DATA, type="dataset")
    result = await brought(server, [first, second])
    assert await versions(server) == {1: ["other"], 2: ["a"], 3: ["a"]}
    assert await server.read(f"{DATA}/versions/2", "a") == b"1"


async def test_what_a_run_has_used_is_its_lineage(server: Artifacts, files: Files) -> None:
    used = data(files.file("a", b"1"), used=True)
    result = await brought(server, [used])
    assert (await links(server), result.changed) == ({("data/versions/1", 1), ("data/versions/1", 2)}, True)
    assert not (await brought(server, [used])).changed


async def test_bytes_that_change_while_they_are_sent_are_none(server: Artifacts, tmp_path: Path, files: Files) -> None:
    place = tmp_path / "changing"
    place.write_bytes(b"later")
    changing = SourceArtifactFile("a", lambda: FoundFile(place, blob_of(b"first").sha256, 5))
    result = await brought(server, [data(changing), data(files.file("b", b"2"), name="other")])
    assert result.artifacts == 1
    assert "The artifact 'data' was left out: it was refused." in result.notices[0]


async def test_what_the_server_refuses_ends_it(server: Artifacts, files: Files) -> None:
    await server.call("SetArtifactQuota", name=f"{PROJECT}/artifactStorage", quota_bytes=10)
    with pytest.raises(LimitExceeded, match="quota"):
        await brought(server, [data(files.file("large", bytes(11)))])
