"""The blob store on a file system: the contract, and what is peculiar to files."""

import errno
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock_kit.stores.blobs import BlobStoreFull
from penstock_kit.stores.contract.blobs import BlobStoreContract, in_chunks, whole
from penstock_kit.stores.embedded.blobs import INCOMING_KEPT_S, FilesystemBlobStore


class TestFilesystemBlobStore(BlobStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[FilesystemBlobStore]:
        store = FilesystemBlobStore(tmp_path / "blobs")
        yield store
        await store.close()


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_files_are_for_their_owner_only_and_folders_go_with_their_last_blob(tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path / "blobs")
    await store.put("a/b/c", in_chunks(b"data"))
    await store.put("a/d", in_chunks(b"data"))
    for path in (tmp_path / "blobs").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    await store.delete("a/b/c")
    assert not (tmp_path / "blobs" / "a" / "b").exists()
    await store.delete("a/d")
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [".incoming"]


async def test_a_failed_put_leaves_no_file(tmp_path: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(2_000_000)
        raise ConnectionError

    store = FilesystemBlobStore(tmp_path)
    with pytest.raises(ConnectionError):
        await store.put("blob", failing())
    assert files_below(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
async def test_a_full_disk_is_named_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FilesystemBlobStore(tmp_path)
    await store.put("kept", in_chunks(b"data"))
    # Each write to this device fails as on a full disk.
    real_open = os.open
    monkeypatch.setattr(
        "penstock_kit.stores.embedded.blobs._open_private",
        lambda path, flags: (os.close(real_open(path, flags, 0o600)), real_open("/dev/full", os.O_WRONLY))[1],
    )
    with pytest.raises(BlobStoreFull) as error:
        await store.put("blob", in_chunks(b"data"))
    assert isinstance(error.value.__cause__, OSError)
    assert error.value.__cause__.errno == errno.ENOSPC
    assert files_below(tmp_path) == ["kept="]
    assert await whole(store.get("kept")) == b"data"


async def test_what_a_dead_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    incoming = tmp_path / ".incoming"
    incoming.mkdir()
    for name, age_s in (("old", INCOMING_KEPT_S + 60), ("fresh", 60)):
        (incoming / name).write_bytes(b"half a blob")
        left = (incoming / name).stat().st_mtime - age_s
        os.utime(incoming / name, (left, left))
    store = FilesystemBlobStore(tmp_path)
    assert (await store.list()).blobs == []
    await store.put("blob", in_chunks(b"data"))
    assert files_below(tmp_path) == [".incoming/fresh", "blob="]


async def test_what_is_no_blob_is_not_listed(tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path)
    await store.put("blob", in_chunks(b"data"))
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "README").write_text("somebody's note")
    (tmp_path / ".hidden=").write_text("")
    assert [blob.key for blob in (await store.list()).blobs] == ["blob"]
