"""The local side of artifacts: how a downloaded file comes to its place.

Everything here blocks: the clients call it in threads.
"""

import hashlib
import mimetypes
import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from penstock.api.artifact.v1 import artifact_pb2, transfer_pb2
from penstock.artifact_paths import path_problem
from penstock.errors import InvalidInput, PenstockError

__all__ = [
    "Incoming",
    "SmallFiles",
    "Transfer",
    "Wanted",
    "media_type",
    "read_piece",
    "targets_in",
]

PIECE_BYTES: Final = 1024 * 1024
WRITE_BYTES: Final = 128 * 1024
"""So many bytes are written at once: the kernel took up to four times as long for the same bytes in larger pieces."""


@dataclass(frozen=True)
class Transfer:
    """How far an upload or a download is.

    Attributes:
        phase: `reading` (digests are made), `uploading` or `downloading`.
        bytes: The bytes that are done.
        bytes_total: All of this phase.
        files: The files that are done.
        files_total: All of this phase.
    """

    phase: str
    bytes: int
    bytes_total: int
    files: int
    files_total: int


def media_type(path: str) -> str:
    """The media type that a path's ending says; empty if it says none."""
    return mimetypes.guess_type(path, strict=True)[0] or ""


def read_piece(opened: BinaryIO, most: int = PIECE_BYTES) -> bytes:
    """The next bytes of a file."""
    return opened.read(min(PIECE_BYTES, most))


def targets_in(folder: Path, paths: Sequence[str]) -> list[Path]:
    """Where files of an artifact belong below a folder, which is made with what is between.

    Raises `InvalidInput` if one would lie elsewhere: its path is not allowed, or a link on the way leads out.
    """
    for path in paths:
        problem = path_problem(path)
        if problem is not None:
            raise InvalidInput(f"The path {path!r} {problem}: it is not written.", reason="PATH_INVALID")
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {"": folder}
    return [_made(folder, path.rpartition("/")[0], made) / path.rpartition("/")[2] for path in paths]


def _made(folder: Path, path: str, made: dict[str, Path]) -> Path:
    """A folder below another one, made if need be. `made` has those that were."""
    if path not in made:
        above, _, name = path.rpartition("/")
        found = _made(folder, above, made) / name
        # One at a time: a link must be seen before anything is made behind it.
        if found.is_symlink():
            raise InvalidInput(f"{found} is a link: nothing is written through it.", reason="PATH_INVALID")
        found.mkdir(exist_ok=True)
        made[path] = found
    return made[path]


@dataclass(frozen=True)
class Wanted:
    """A file that is to be downloaded.

    Attributes:
        path: Its path in the version.
        blob: Its id.
        target: Its place on this machine.
    """

    path: str
    blob: artifact_pb2.BlobId
    target: Path

    def may_be_there(self) -> bool:
        """Whether a file of its size is in its place."""
        return (
            not self.target.is_symlink()
            and self.target.is_file()
            and self.target.stat().st_size == self.blob.size_bytes
        )


class SmallFiles:
    """Files that are being downloaded one after the other, each put in its place whole, when its digest is right.

    Args:
        wanted: The files, in the order in which they come.
    """

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._wanted = wanted
        self._done = 0
        self._data = bytearray()

    @property
    def left(self) -> Sequence[Wanted]:
        """Those that are not in their places yet."""
        return self._wanted[self._done :]

    def add(self, pieces: Sequence[transfer_pb2.FilePiece]) -> list[Wanted]:
        """Takes the next bytes. Returns the files that are in their places now. Raises `PenstockError` if bytes are wrong."""
        before = self._done
        for piece in pieces:
            if piece.file != self._done:
                self._refuse()
            wanted = self._wanted[self._done]
            self._data += piece.data
            if len(self._data) > wanted.blob.size_bytes:
                self._refuse()
            if len(self._data) == wanted.blob.size_bytes:
                self._write(wanted)
                self._data = bytearray()
                self._done += 1
        return list(self._wanted[before : self._done])

    def check_whole(self) -> None:
        """Raises `PenstockError` unless all came."""
        if self._done < len(self._wanted):
            self._refuse()

    def _write(self, wanted: Wanted) -> None:
        if hashlib.sha256(self._data).hexdigest() != wanted.blob.sha256:
            self._refuse()
        partial = _partial_of(wanted)
        with _opened_to_write(partial) as file:
            _cut(file, 0)
            _write_all(file, memoryview(self._data))
        partial.replace(wanted.target)

    def _refuse(self) -> NoReturn:
        raise _not_what_was_uploaded(self._wanted[min(self._done, len(self._wanted) - 1)].target)


class _Digester:
    """Digests pieces in order in a thread of its own, while the caller does something else with them."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._pieces: queue.SimpleQueue[memoryview | bytes | None] = queue.SimpleQueue()
        self._done = threading.Semaphore(0)
        self._waiting = 0
        self._thread = threading.Thread(target=self._run, name="penstock-digest", daemon=True)
        self._thread.start()

    def add(self, piece: memoryview | bytes) -> None:
        """Takes the next bytes, which must stay as they are until `wait`."""
        self._waiting += 1
        self._pieces.put(piece)

    def wait(self) -> None:
        """Returns when all that came is digested."""
        while self._waiting:
            self._done.acquire()
            self._waiting -= 1

    def hexdigest(self) -> str:
        """The digest of all that came."""
        self.wait()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Ends the thread. Harmless if it has ended."""
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._digest.update(piece)
            self._done.release()


class Incoming:
    """A file that is being downloaded: written beside its place, moved there when its digest is right.

    What a download that was cut off left is gone on with.

    Args:
        wanted: What and where.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._target = wanted.target
        self._sha256 = wanted.blob.sha256
        self._size = wanted.blob.size_bytes
        self._partial = _partial_of(wanted)
        self._digester = _Digester()
        self._file: BinaryIO | None = None
        self.offset = 0

    def open(self) -> None:
        """Opens it, with `offset` after what is there."""
        self._file = _opened_to_write(self._partial)
        while self.offset < self._size and (piece := self._file.read(min(PIECE_BYTES, self._size - self.offset))):
            self._digester.add(piece)
            self._digester.wait()
            self.offset += len(piece)
        self._file.seek(self.offset)
        _cut(self._file, self.offset)

    def write(self, piece: bytes | memoryview) -> None:
        """Adds the next bytes. They are digested while they are written."""
        assert self._file is not None, "not open"
        view = memoryview(piece)
        try:
            for start in range(0, len(view), PIECE_BYTES):
                step = view[start : start + PIECE_BYTES]
                self._digester.add(step)
                _write_all(self._file, step)
        finally:
            self._digester.wait()
        self.offset += len(piece)

    def finish(self) -> None:
        """Moves it to its place. Raises `PenstockError` if what came is not what it should be; nothing is left then."""
        digest = self._digester.hexdigest()
        self.close()
        if self.offset != self._size or digest != self._sha256:
            self._partial.unlink()
            raise _not_what_was_uploaded(self._target)
        self._partial.replace(self._target)

    def close(self) -> None:
        """Closes it; what is there stays for the next attempt."""
        self._digester.close()
        if self._file is not None:
            self._file.close()
            self._file = None


def _partial_of(wanted: Wanted) -> Path:
    """Where a file is written before it is whole: beside its place."""
    return wanted.target.with_name(f".{wanted.blob.sha256[:32]}.part")


def _opened_to_write(file: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(file, flags, 0o666), "r+b", buffering=0)


def _cut(file: BinaryIO, size: int) -> None:
    """Leaves so many bytes of a file. One that has no more is let alone: what was cut to 0, ext4 writes out at the close."""
    if os.fstat(file.fileno()).st_size > size:
        file.truncate(size)


def _write_all(file: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data[:WRITE_BYTES]) :]


def _not_what_was_uploaded(target: Path) -> PenstockError:
    return PenstockError(
        f"What was received of {target} is not what was uploaded: try it again.", reason="BLOB_MISMATCH"
    )
