"""Files of imported runs on a real artifact service: what is sent, what is not sent again, and what is told instead."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.artifact import RUN, Artifacts, blob_of, serving_artifacts
from support.importing_channel import GuardedChannel

from penstock.artifact_paths import PATH_BYTES_MAX
from penstock.errors import LimitExceeded, PenstockError, ServerUnavailable
from penstock.importers.files import FILES_LEFT_OUT_TOLD_MAX, bring_files, files_below
from penstock.importers.model import RunDraft, SourceDamaged, SourceFile, SourceMedia
from penstock.importers.upload import Uploaded


@pytest.fixture
async def server(tmp_path: Path) -> Any:
    async with serving_artifacts(tmp_path / "server") as server:
        yield server


async def brought(server: Artifacts, files: Sequence[SourceFile] | Iterator[SourceFile]) -> tuple[Uploaded, int]:
    """What became of the run, and how many bytes were sent."""
    run = RunDraft("imports", 0).finished("ab" * 16, [], lambda: iter(files))
    result = Uploaded(RUN)
    sent: list[int] = []
    channel = GuardedChannel(server)
    try:
        await bring_files(channel, run, result, sent.append)
    finally:
        await channel.close()
    return result, sum(sent)


def file_of(path: str, content: bytes, **fields: Any) -> SourceFile:
    return SourceFile(path, lambda: io.BytesIO(content), **fields)


async def digests(server: Artifacts) -> dict[str, str]:
    response = await server.call("ListFiles", parent=RUN, recursive=True)
    return {entry.file.path: entry.file.blob.sha256 for entry in response.entries}


async def test_only_what_changed_is_sent_again(server: Artifacts, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "media").mkdir(parents=True)
    contents = {"a.bin": bytes(3_000_000), "empty.txt": b"", "media/b.txt": b"b"}
    for path, content in contents.items():
        (folder / path).write_bytes(content)
    result, sent = await brought(server, files_below(folder))
    assert (result.files, result.files_added, result.notices, sent) == (3, 3, [], 3_000_001)
    assert await digests(server) == {path: blob_of(content).sha256 for path, content in contents.items()}

    result, sent = await brought(server, files_below(folder))
    assert (result.files, result.files_added, sent) == (3, 0, 0)

    (folder / "media" / "b.txt").write_bytes(b"c")  # as long as before
    result, sent = await brought(server, files_below(folder))
    assert (result.files, result.files_added, sent) == (3, 1, 1)
    assert (await digests(server))["media/b.txt"] == blob_of(b"c").sha256


async def test_a_size_tells_where_reading_costs_too_much(server: Artifacts) -> None:
    await brought(server, [file_of("a", b"one", size_bytes=3, size_tells=True)])
    result, sent = await brought(server, [file_of("a", b"two", size_bytes=3, size_tells=True)])
    assert (result.files, result.files_added, sent) == (1, 0, 0)
    result, sent = await brought(server, [file_of("a", b"four", size_bytes=4, size_tells=True)])
    assert (result.files_added, await digests(server)) == (1, {"a": blob_of(b"four").sha256})


async def test_media_are_told_of_once_and_files_become_media(server: Artifacts) -> None:
    await brought(server, [file_of("a.png", b"image")])
    image = file_of("a.png", b"image", media=SourceMedia("samples", "IMAGE", 7, 1_700_000_000_000_001))
    result, sent = await brought(server, [image])
    assert (result.files, result.files_added, sent) == (1, 1, 0)
    [found] = (await server.call("ListMedia", parent=RUN)).files
    assert (found.path, found.media.key, found.media.step) == ("a.png", "samples", 7)
    assert found.media.log_time.ToMicroseconds() == 1_700_000_000_000_001
    result, _ = await brought(server, [image])
    assert (result.files, result.files_added) == (1, 0)


async def test_links_and_pipes_are_not_followed(server: Artifacts, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "file").write_text("file")
    (folder / "link").symlink_to(secret / "key")
    (folder / "folder").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    result, _ = await brought(server, files_below(folder))
    assert list(await digests(server)) == ["file"]
    assert result.notices == [
        f"The file {name!r} was left out: it is a link, a pipe or a device." for name in ("folder", "link", "pipe")
    ]
    assert result.damage is None
    assert list(files_below(tmp_path / "missing")) == []

    # Also if they take the place of a file between the listing and the reading.
    listed = list(files_below(folder))
    (folder / "file").unlink()
    (folder / "file").symlink_to(secret / "key")
    result, _ = await brought(server, listed)
    assert result.damage is not None
    assert await digests(server) == {"file": blob_of(b"file").sha256}


@pytest.mark.parametrize("size", [None, 6_000_000])
async def test_a_file_that_breaks_off_is_no_file(server: Artifacts, size: int | None) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 2_000_000:
                raise OSError("the disk is gone")
            return super().read(size)

    files = [SourceFile("broken", lambda: Breaking(bytes(6_000_000)), size), file_of("whole", b"1")]
    result, _ = await brought(server, files)
    assert list(await digests(server)) == ["whole"]
    assert (result.files, result.files_added) == (1, 1)
    assert result.damage is not None
    assert "the disk is gone" in result.damage.message
    assert "'broken' was left out: it cannot be read" in result.notices[0]


async def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_time(server: Artifacts) -> None:
    result, _ = await brought(server, [file_of("log", b"longer", size_bytes=3)])
    assert result.notices == ["The file 'log' was left out: it changed while it was read: import it again."]
    assert await digests(server) == {}


async def test_paths_that_none_may_have_are_told(server: Artifacts) -> None:
    paths = ["../up", "/etc/passwd", "a\\b", "con", "x" * (PATH_BYTES_MAX + 1), "taken", "taken/below", "fine"]
    result, _ = await brought(server, [file_of(path, b"1") for path in paths])
    assert sorted(await digests(server)) == ["fine", "taken"]
    assert len(result.notices) == 6
    assert "'taken/below' was left out: it was refused" in result.notices[-1]
    result, _ = await brought(server, [file_of(f"a\\{number}", b"") for number in range(FILES_LEFT_OUT_TOLD_MAX + 1)])
    assert len(result.notices) == FILES_LEFT_OUT_TOLD_MAX


async def test_what_the_server_refuses_ends_it(server: Artifacts) -> None:
    await server.call("SetArtifactQuota", name="projects/default/artifactStorage", quota_bytes=10)
    with pytest.raises(LimitExceeded, match="quota"):
        await brought(server, [file_of("large", bytes(11), size_bytes=11)])


@pytest.mark.parametrize("error", [SourceDamaged("torn"), ServerUnavailable("away"), KeyError("size")])
async def test_a_list_that_breaks_off(server: Artifacts, error: Exception) -> None:
    def files() -> Iterator[SourceFile]:
        yield file_of("first", b"1")
        raise error

    if isinstance(error, ServerUnavailable):
        with pytest.raises(PenstockError, match="away"):
            await brought(server, files())
    else:
        result, _ = await brought(server, files())
        assert result.damage is not None
    assert list(await digests(server)) == ["first"]
