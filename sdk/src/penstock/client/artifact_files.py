"""The local side of artifacts: which files a path means, their digests, and how a downloaded file comes to its place.

Everything here blocks: the clients call it in threads.
"""

import hashlib
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from penstock.artifact_paths import path_problem
from penstock.errors import InvalidInput, PenstockError

__all__ = ["Incoming", "LocalFile", "Transfer", "collect", "digest", "media_type", "read_piece", "target_in"]

PIECE_BYTES: Final = 1024 * 1024


class LocalFile(NamedTuple):
    """A file of this machine, and the path that it has within the artifact."""

    path: str
    file: Path


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


def collect(path: Path) -> list[LocalFile]:
    """The files that a path means: the file itself under its name, or all below a folder. A link counts as what it leads to.

    Raises:
        InvalidInput: There is nothing; a folder has no file, or a link to a folder, or something that is no file (a pipe, a
            device); or a name is none that an artifact may have.
    """
    if path.is_file():
        found = [LocalFile(path.name, path)]
    elif path.is_dir():
        found = sorted(_below(path, ""))
    else:
        raise InvalidInput(f"There is no file and no folder {path}.")
    if not found:
        raise InvalidInput(f"The folder {path} has no file.")
    for name, file in found:
        problem = path_problem(name)
        if problem is not None:
            raise InvalidInput(f"The path of {file} {problem}.", reason="PATH_INVALID")
    return found


def _below(folder: Path, prefix: str) -> list[LocalFile]:
    found: list[LocalFile] = []
    with os.scandir(folder) as listed:
        entries = list(listed)
    for entry in entries:
        name, file = prefix + entry.name, Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            found += _below(file, name + "/")
        elif entry.is_file():
            found.append(LocalFile(name, file))
        else:
            what = "a link to a folder" if entry.is_dir() else "no file"
            raise InvalidInput(f"{file} is {what}: leave it out, or log it by itself.")
    return found


def digest(file: Path) -> tuple[str, int]:
    """SHA-256 of a file as 64 hex digits, and its size in bytes. Raises `InvalidInput` if it cannot be read."""
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
            return found, opened.tell()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error


def media_type(path: str) -> str:
    """The media type that a path's ending says; empty if it says none."""
    return mimetypes.guess_type(path, strict=True)[0] or ""


def read_piece(opened: BinaryIO) -> bytes:
    """The next bytes of a file."""
    return opened.read(PIECE_BYTES)


def target_in(folder: Path, path: str) -> Path:
    """Where a file of an artifact belongs below a folder, which is made with what is between.

    Raises `InvalidInput` if it would lie elsewhere: the path is not allowed, or a link on the way leads out.
    """
    problem = path_problem(path)
    if problem is not None:
        raise InvalidInput(f"The path {path!r} {problem}: it is not written.", reason="PATH_INVALID")
    target = folder.joinpath(*path.split("/"))
    folder.mkdir(parents=True, exist_ok=True)
    parent = folder
    for segment in path.split("/")[:-1]:
        parent /= segment
        # One at a time: a link must be seen before anything is made behind it.
        if parent.is_symlink():
            raise InvalidInput(f"{parent} is a link: nothing is written through it.", reason="PATH_INVALID")
        parent.mkdir(exist_ok=True)
    return target


class Incoming:
    """A file that is being downloaded: written beside its place, moved there when its digest is right.

    What a download that was cut off left is gone on with.

    Args:
        target: Its place.
        sha256: Its digest.
        size: Its bytes.
    """

    def __init__(self, target: Path, sha256: str, size: int) -> None:
        self._target = target
        self._sha256 = sha256
        self._size = size
        self._partial = target.with_name(f".{sha256[:32]}.part")
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        self.offset = 0

    def is_there(self) -> bool:
        """Whether the file is in its place already."""
        return (
            not self._target.is_symlink()
            and self._target.is_file()
            and self._target.stat().st_size == self._size
            and digest(self._target)[0] == self._sha256
        )

    def open(self) -> None:
        """Opens it, with `offset` after what is there."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(self._partial, flags, 0o666), "r+b")
        while self.offset < self._size and (piece := self._file.read(min(PIECE_BYTES, self._size - self.offset))):
            self._digest.update(piece)
            self.offset += len(piece)
        self._file.seek(self.offset)
        self._file.truncate()

    def write(self, piece: bytes) -> None:
        """Adds the next bytes."""
        assert self._file is not None, "not open"
        self._file.write(piece)
        self._digest.update(piece)
        self.offset += len(piece)

    def finish(self) -> None:
        """Moves it to its place. Raises `PenstockError` if what came is not what it should be; nothing is left then."""
        self.close()
        if self.offset != self._size or self._digest.hexdigest() != self._sha256:
            self._partial.unlink()
            raise PenstockError(
                f"What was received of {self._target} is not what was uploaded: try it again.", reason="BLOB_MISMATCH"
            )
        self._partial.replace(self._target)

    def close(self) -> None:
        """Closes it; what is there stays for the next attempt."""
        if self._file is not None:
            self._file.close()
            self._file = None
