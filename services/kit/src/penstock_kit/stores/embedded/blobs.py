"""The blob store on a local file system.

Blob `a/b` is the file `a/b=` below the root: the mark, which no key contains, lets a blob `a` stand beside a folder.
A blob is written to `.incoming`, synced, and renamed to its place. One that comes in parts has a folder in `.parts`: the
file `data`, where each part is written to its place, and for each part that is durable an empty file `<number>.<bytes>`.
On a file system that ignores case, keys that differ in nothing else are one key.
"""

import asyncio
import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from penstock_kit.stores.blobs import (
    KEY_BYTES_MAX,
    KEY_PATTERN,
    BlobInfo,
    BlobMissing,
    BlobPage,
    BlobStoreFull,
    KeyInvalid,
)
from penstock_kit.stores.digests import STEP_BYTES, Digesting
from penstock_kit.stores.parts import (
    PartsGone,
    PartsMissing,
    PartsUpload,
    bounded,
    check_part,
    check_part_bytes,
    missing_parts,
)
from penstock_kit.stores.threads import settled

__all__ = ["FilesystemBlobStore"]

PIECE_BYTES_MAX = 1_048_576
WRITE_BYTES = 131_072  # at once: the kernel takes longer for the same bytes in larger pieces
INCOMING_KEPT_S = 86_400  # an unfinished blob that nothing was added to for a day was left by a process that died
RENAME_ATTEMPTS_MAX = 100  # deletions beside it may remove the empty folder as often

P = ParamSpec("P")
T = TypeVar("T")

_KEY_RE = re.compile(KEY_PATTERN)
_INCOMING = ".incoming"
_PARTS = ".parts"
_DATA = "data"
_MARK = "="


class FilesystemBlobStore:
    """The blob store port on a folder of a local disk.

    Args:
        root: The folder. It is made (mode 0700) with the first blob.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._swept = False
        self._gate = _PartsGate()

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> BlobInfo:
        """See `BlobStore.put`."""
        path = self._path(key)
        with _full_named():
            file = await _in_thread(self._open_incoming)
            try:
                with file:
                    size = await _write_all(file, chunks)
                    await _in_thread(os.fsync, file.fileno())
                await _in_thread(self._publish, Path(file.name), path)
            except BaseException:
                await _in_thread(Path(file.name).unlink, missing_ok=True)
                raise
        return BlobInfo(key, size)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.get`. Raises `ValueError` for a negative offset or length."""
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"offset {offset} and length {length} must not be negative")
        path = self._path(key)
        # A reader that goes away while the thread opens the file leaves it to the stack.
        with contextlib.ExitStack() as opened:
            try:
                file = await _in_thread(lambda: opened.enter_context(_open_at(path, offset)))
            except FileNotFoundError:
                raise BlobMissing(key) from None
            remaining = length
            while remaining is None or remaining > 0:
                wanted = PIECE_BYTES_MAX if remaining is None else min(PIECE_BYTES_MAX, remaining)
                piece = await _in_thread(file.read, wanted)
                if not piece:
                    return
                if remaining is not None:
                    remaining -= len(piece)
                yield piece

    async def digest(self, key: str, digesting: Digesting) -> None:
        """See `BlobStore.digest`."""
        path = self._path(key)
        try:
            await _in_thread(_digest, path, digesting)
        except FileNotFoundError:
            raise BlobMissing(key) from None

    async def stat(self, key: str) -> BlobInfo:
        """See `BlobStore.stat`."""
        path = self._path(key)
        try:
            status = await _in_thread(path.stat)
        except FileNotFoundError:
            raise BlobMissing(key) from None
        return BlobInfo(key, status.st_size)

    async def delete(self, key: str) -> None:
        """See `BlobStore.delete`."""
        await _in_thread(self._remove, self._path(key))

    async def list(self, prefix: str = "", *, limit: int = 1000, cursor: str | None = None) -> BlobPage:
        """See `BlobStore.list`. The cursor is the last key of the page."""
        if limit < 1:
            raise ValueError(f"limit is {limit}; it must be at least 1")

        def work() -> BlobPage:
            found = [*islice(self._walk(prefix, cursor or ""), limit + 1)]
            return BlobPage(found[:limit], found[limit - 1].key if len(found) > limit else None)

        return await _in_thread(work)

    async def begin_parts(self, key: str, part_bytes: int) -> PartsUpload:
        """See `BlobStore.begin_parts`."""
        self._path(key)
        check_part_bytes(part_bytes)
        upload = PartsUpload(key, secrets.token_hex(16), part_bytes)
        with _full_named():
            await _in_thread(self._begin, self._folder(upload))
        return upload

    async def put_part(self, upload: PartsUpload, number: int, chunks: AsyncIterator[bytes]) -> None:
        """See `BlobStore.put_part`."""
        check_part(number)
        folder = self._folder(upload)
        with _full_named():
            try:
                async with self._gate.writing(upload):
                    file = await _in_thread(_open_part, folder, number, upload.part_bytes)
                    with file:
                        size = await _write_all(file, bounded(chunks, upload.part_bytes))
                        await _in_thread(os.fsync, file.fileno())
                    # After the bytes: a part that is marked is whole.
                    await _in_thread(_mark_part, folder, number, size)
            except FileNotFoundError:
                raise PartsGone(upload.key) from None

    async def parts(self, upload: PartsUpload) -> dict[int, int]:
        """See `BlobStore.parts`."""
        try:
            return await _in_thread(_part_sizes, self._folder(upload))
        except FileNotFoundError:
            raise PartsGone(upload.key) from None

    async def finish_parts(self, upload: PartsUpload, size: int) -> None:
        """See `BlobStore.finish_parts`. Moves no bytes."""
        async with self._gate.finishing(upload):
            await _in_thread(self._finish, upload, size)

    async def drop_parts(self, upload: PartsUpload) -> None:
        """See `BlobStore.drop_parts`."""
        await _in_thread(shutil.rmtree, self._folder(upload), ignore_errors=True)

    async def close(self) -> None:
        """See `BlobStore.close`. There is nothing to release."""

    def _path(self, key: str) -> Path:
        if len(key) > KEY_BYTES_MAX or _KEY_RE.fullmatch(key) is None:
            raise KeyInvalid(f"{key[:100]!r} is not a key")
        return self._root / (key + _MARK)

    def _open_incoming(self) -> FileIO:
        folder = self._root / _INCOMING
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            for entry in os.scandir(folder):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < time.time() - INCOMING_KEPT_S:
                        Path(entry).unlink()
        return FileIO(str(folder / secrets.token_hex(16)), "xb", opener=_open_private)

    def _folder(self, upload: PartsUpload) -> Path:
        return self._root / _PARTS / upload.id

    def _begin(self, folder: Path) -> None:
        if folder.parent.is_dir():
            for entry in os.scandir(folder.parent):
                with contextlib.suppress(FileNotFoundError):
                    if Path(entry, _DATA).stat().st_mtime < time.time() - INCOMING_KEPT_S:
                        shutil.rmtree(entry, ignore_errors=True)
        _make_folders(folder)
        os.close(_open_private(str(folder / _DATA), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        _sync_folder(folder)

    def _finish(self, upload: PartsUpload, size: int) -> None:
        folder, path = self._folder(upload), self._path(upload.key)
        try:
            missing = missing_parts(_part_sizes(folder), upload.part_bytes, size)
            if missing:
                raise PartsMissing(missing[0])
            os.truncate(folder / _DATA, size)
            self._publish(folder / _DATA, path)
        except FileNotFoundError:
            # Whoever finished it before may have died before the folder was gone.
            if not path.is_file():
                raise PartsGone(upload.key) from None
        shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, incoming: Path, path: Path) -> None:
        for attempt in range(RENAME_ATTEMPTS_MAX):
            try:
                _make_folders(path.parent)
                incoming.replace(path)
                _sync_folder(path.parent)
            except (FileNotFoundError, FileExistsError):
                # A deletion beside us removed a folder while it was empty.
                if attempt + 1 == RENAME_ATTEMPTS_MAX:
                    raise
            else:
                return

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            return
        _sync_folder(path.parent)
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or a put beside us has just used it

    def _walk(self, prefix: str, after: str) -> Iterator[BlobInfo]:
        """Yields the blobs above `after` in order of their keys, entering only folders that may hold some."""
        # Folders and blobs still to visit, the next one last. A folder is named by the beginning of all keys in it.
        pending = [""]
        while pending:
            name = pending.pop()
            if name and not name.endswith("/"):
                with contextlib.suppress(FileNotFoundError):
                    yield BlobInfo(name, (self._root / (name + _MARK)).stat().st_size)
                continue
            try:
                entries = [*os.scandir(self._root / name)]
            except FileNotFoundError:
                continue
            names: list[str] = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below = name + entry.name + "/"
                    wanted = below.startswith(prefix) or prefix.startswith(below)
                    if wanted and (below > after or after.startswith(below)) and _KEY_RE.fullmatch(entry.name):
                        names.append(below)
                elif entry.name.endswith(_MARK):
                    key = name + entry.name.removesuffix(_MARK)
                    if key.startswith(prefix) and key > after and _KEY_RE.fullmatch(key):
                        names.append(key)
            pending.extend(sorted(names, reverse=True))


class _PartsGate:
    """Keeps those who write parts of an upload and who finishes it apart.

    A part that was still being written would change the blob after it is in its place.
    """

    def __init__(self) -> None:
        self._writers: Counter[str] = Counter()
        self._finished: set[str] = set()
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def writing(self, upload: PartsUpload) -> AsyncGenerator[None]:
        """Lets several in at once. Raises `PartsGone` while the upload is finished."""
        if upload.id in self._finished:
            raise PartsGone(upload.key)
        self._writers[upload.id] += 1
        try:
            yield
        finally:
            self._writers[upload.id] -= 1
            if not self._writers[upload.id]:
                del self._writers[upload.id]
            async with self._changed:
                self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def finishing(self, upload: PartsUpload) -> AsyncGenerator[None]:
        """Lets one in, when nobody writes any more."""
        async with self._changed:
            await self._changed.wait_for(lambda: upload.id not in self._finished)
            self._finished.add(upload.id)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: upload.id not in self._writers)
            yield
        finally:
            self._finished.discard(upload.id)
            async with self._changed:
                self._changed.notify_all()


async def _in_thread(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    return await settled(asyncio.ensure_future(asyncio.to_thread(function, *arguments, **options)))


async def _write_all(file: FileIO, chunks: AsyncIterator[bytes]) -> int:
    size = 0
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= PIECE_BYTES_MAX:
            await _in_thread(_write, file, waiting)
            size += len(waiting)
            waiting = bytearray()
    await _in_thread(_write, file, waiting)
    return size + len(waiting)


def _digest(path: Path, digesting: Digesting) -> None:
    buffer = memoryview(bytearray(STEP_BYTES))
    with FileIO(str(path)) as file:
        while (count := file.readinto(buffer)) and digesting.add(buffer[:count]):
            pass


def _write(file: FileIO, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view[:WRITE_BYTES]) :]


def _open_part(folder: Path, number: int, part_bytes: int) -> FileIO:
    """Opens the data of an upload at a part, which is not there from now on."""
    file = FileIO(str(folder / _DATA), "r+b")
    try:
        for marker in folder.glob(f"{number}.*"):
            marker.unlink(missing_ok=True)
            _sync_folder(folder)
        file.seek((number - 1) * part_bytes)
    except BaseException:
        file.close()
        raise
    return file


def _mark_part(folder: Path, number: int, size: int) -> None:
    os.close(_open_private(str(folder / f"{number}.{size}"), os.O_CREAT | os.O_WRONLY))
    _sync_folder(folder)


def _part_sizes(folder: Path) -> dict[int, int]:
    """The sizes of the parts that are durable. Raises `FileNotFoundError` once the data is in its place."""
    names = [entry.name for entry in os.scandir(folder)]
    if _DATA not in names:
        raise FileNotFoundError(folder)
    marks = (name.split(".") for name in names if name != _DATA)
    return {int(number): int(size) for number, size in marks}


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open_at(path: Path, offset: int) -> FileIO:
    file = FileIO(str(path))
    file.seek(offset)
    return file


def _make_folders(folder: Path) -> None:
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows syncs names by itself, and cannot open a folder
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _full_named() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise BlobStoreFull(str(error)) from error
        raise
