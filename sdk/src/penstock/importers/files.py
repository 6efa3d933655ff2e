"""Brings the files of a run to the server, under the paths that they have in the source.

Every file is compared with what is there under its path: a repeat sends only what is missing or has changed, and a kill costs
the file that was on its way. What cannot be read or has a path that none may have is told, and the others are brought.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from penstock.api.artifact.v1 import artifact_pb2, artifact_service_pb2, artifact_service_pb2_grpc, file_pb2, media_pb2
from penstock.artifact_paths import path_problem
from penstock.client._async.channel import AsyncChannel
from penstock.client.artifact_files import PIECE_BYTES, media_type
from penstock.errors import Conflict, InvalidInput, LimitExceeded, PenstockError
from penstock.importers.model import Readable, SourceDamaged, SourceFile, SourceRun

if TYPE_CHECKING:
    from penstock.importers.upload import Uploaded

__all__ = ["bring_files", "files_at", "files_below", "next_of", "open_file"]

UPLOAD_TIMEOUT_S: Final = 6 * 3_600.0
"""As long as a server waits for one file."""
FILES_PER_PAGE: Final = 1_000
FILES_LEFT_OUT_TOLD_MAX: Final = 100

_Thing = TypeVar("_Thing")


async def bring_files(
    channel: AsyncChannel, run: SourceRun, result: "Uploaded", on_bytes: Callable[[int], None]
) -> None:
    """Brings the files that the run does not have, or has otherwise. May be called again when it fails.

    Args:
        channel: The server.
        run: The run as the source has it.
        result: Takes what becomes of it. Its `damage` says of the first file that could not be read.
        on_bytes: Told of the next so many bytes that were sent.

    Raises:
        LimitExceeded: The project's quota is too small.
        PenstockError: What else the server said.
    """
    artifact: Any = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
    files = run.files()
    there: dict[str, file_pb2.File] | None = None
    result.files = left_out = 0
    while True:
        try:
            file = await asyncio.to_thread(next_of, files, "The list of files")
        except SourceDamaged as damage:
            result.damage = result.damage or damage
            return
        if file is None:
            return
        if there is None:
            there = await _there(artifact, result.run)
        problem = file.left_out or path_problem(file.path)
        try:
            if problem is None:
                added, problem = await _brought(artifact, result, file, there.get(file.path), on_bytes)
                result.files_added += added
        except SourceDamaged as damage:
            result.damage = result.damage or damage
            problem = f"cannot be read. {damage.message}"
        if problem is None:
            result.files += 1
        elif left_out < FILES_LEFT_OUT_TOLD_MAX:
            left_out += 1
            result.note(f"The file {file.path[:200]!r} was left out: it {problem.removesuffix('.')}.")


def files_below(folder: Path, prefix: str = "") -> Iterator[SourceFile]:
    """The files below a folder of this machine, by path. No link is followed; what is no file is left out.

    Args:
        folder: The folder; none if it is missing.
        prefix: What their paths begin with.
    """
    try:
        with os.scandir(folder) as listed:
            names = sorted(entry.name for entry in listed)
    except FileNotFoundError:
        return
    for name in names:
        yield from files_at(folder / name, f"{prefix}{name}")


def files_at(place: Path, path: str) -> Iterator[SourceFile]:
    """The file at a place of this machine, or the files below it if it is a folder: as `files_below`.

    Args:
        place: The file or folder.
        path: What it shall be called.
    """
    try:
        found = place.lstat()
    except OSError as error:
        yield SourceFile(path, partial(open_file, place), left_out=f"cannot be read: {error.strerror}")
        return
    if stat.S_ISDIR(found.st_mode):
        yield from files_below(place, f"{path}/")
    elif stat.S_ISREG(found.st_mode):
        yield SourceFile(path, partial(open_file, place), found.st_size)
    else:
        yield SourceFile(path, partial(open_file, place), left_out="is a link, a pipe or a device")


def open_file(path: Path) -> BinaryIO:
    """Opens a file of this machine to be read. Raises `OSError` and `SourceDamaged` for what is none, and for a link."""
    # It may have been replaced since it was listed.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | _NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceDamaged(f"{path} is no file any more.")
    return os.fdopen(descriptor, "rb")


_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
"""So that a pipe in the place of a file is not waited for."""


def _damage(error: Exception, what: str) -> PenstockError:
    """What to raise for an error of the source: itself if it says what is wrong."""
    return error if isinstance(error, PenstockError) else SourceDamaged.because(error, what)


async def _there(artifact: Any, run: str) -> dict[str, file_pb2.File]:
    """The files that the run has, by path."""
    found: dict[str, file_pb2.File] = {}
    request = artifact_service_pb2.ListFilesRequest(parent=run, recursive=True, page_size=FILES_PER_PAGE)
    while True:
        response = await artifact.ListFiles(request)
        found.update((entry.file.path, entry.file) for entry in response.entries)
        request.page_token = response.next_page_token
        if not request.page_token:
            return found


def next_of(things: Iterator[_Thing], what: str) -> _Thing | None:
    """The next thing that a source lists; None at the end. Raises `SourceDamaged`, or what else says what is wrong."""
    try:
        return next(things, None)
    except Exception as error:
        raise _damage(error, what) from None


async def _brought(
    artifact: Any,
    result: "Uploaded",
    file: SourceFile,
    known: file_pb2.File | None,
    on_bytes: Callable[[int], None],
) -> tuple[bool, str | None]:
    """Brings one file. Returns whether anything was added, and why it cannot be there, or None."""
    added = False
    if known is None or not await asyncio.to_thread(_is_same, file, known.blob):
        known, problem = await _sent(artifact, result.run, file, on_bytes)
        if known is None:
            return False, problem
        added = True
    media = _media_of(file)
    if media is not None and known.media != media:
        put = file_pb2.File(path=known.path, blob=known.blob, media_type=known.media_type, media=media)
        try:
            await artifact.PutFiles(artifact_service_pb2.PutFilesRequest(parent=result.run, files=[put]))
            added = True
        except (InvalidInput, LimitExceeded) as error:
            # As a file it is there.
            result.note(f"Media of {media.key[:60]!r} are there as files alone: {error.message}")
    return added, None


def _media_of(file: SourceFile) -> media_pb2.Media | None:
    if file.media is None:
        return None
    media = media_pb2.Media(key=file.media.key, kind=f"MEDIA_KIND_{file.media.kind}", step=file.media.step)
    media.log_time.FromMicroseconds(file.media.time_us)
    return media


def _is_same(file: SourceFile, blob: artifact_pb2.BlobId) -> bool:
    if file.size_bytes is not None and file.size_bytes != blob.size_bytes:
        return False
    if file.size_tells:
        return True
    digest = hashlib.sha256()
    opened = _open(file)
    try:
        while piece := opened.read(PIECE_BYTES):
            digest.update(piece)
    except Exception as error:
        raise _damage(error, f"The file {file.path!r}") from None
    finally:
        opened.close()
    return digest.hexdigest() == blob.sha256


def _open(file: SourceFile) -> Readable:
    try:
        return file.open()
    except Exception as error:
        raise _damage(error, f"The file {file.path!r}") from None


async def _sent(
    artifact: Any, run: str, file: SourceFile, on_bytes: Callable[[int], None]
) -> tuple[file_pb2.File | None, str | None]:
    """Sends a file. Returns it as it is there, once it is durable, or why it cannot be there."""
    sent: file_pb2.File | None = None
    opened = await asyncio.to_thread(_open, file)
    requests = _Requests(run, file, opened, on_bytes)
    try:
        async for response in artifact.UploadFile(requests.made(), timeout=UPLOAD_TIMEOUT_S):
            requests.let_in.set()
            sent = response.file if response.HasField("file") else None
    except PenstockError as error:
        if requests.trouble is not None:
            raise requests.trouble from None
        if not isinstance(error, (Conflict, InvalidInput)) or error.reason == "UPLOAD_SILENT":
            raise
        if error.reason == "BLOB_MISMATCH":
            return None, "changed while it was read: import it again"
        return None, f"was refused. {error.message}"
    finally:
        await asyncio.to_thread(opened.close)
    return sent, None


class _Requests:
    """The messages that send a file. `trouble` is why it could not be read to its end.

    Bytes follow once `let_in` is set, by the first answer: a refusal that meets a write can be lost.

    Args:
        run: The run.
        file: The file.
        opened: The same, opened.
        on_bytes: Told of what was sent.
    """

    def __init__(self, run: str, file: SourceFile, opened: Readable, on_bytes: Callable[[int], None]) -> None:
        self._run = run
        self._file = file
        self._opened = opened
        self._on_bytes = on_bytes
        self.let_in = asyncio.Event()
        self.trouble: PenstockError | None = None

    async def made(self) -> AsyncIterator[artifact_service_pb2.UploadFileRequest]:
        """Makes them as they are sent."""
        upload = file_pb2.FileUpload(path=self._file.path, media_type=media_type(self._file.path))
        if self._file.size_bytes is not None:
            # Then the quota is asked before and not after the bytes are sent.
            upload.size_bytes = self._file.size_bytes
        yield artifact_service_pb2.UploadFileRequest(parent=self._run, upload=upload)
        await self.let_in.wait()
        while True:
            try:
                piece = await asyncio.to_thread(self._opened.read, PIECE_BYTES)
            except Exception as error:
                # An error here would cancel the call, an end would make half a file a whole one. This is refused for certain.
                self.trouble = _damage(error, f"The file {self._file.path!r}")
                yield artifact_service_pb2.UploadFileRequest(upload=upload)
                return
            if not piece:
                return
            yield artifact_service_pb2.UploadFileRequest(data=piece)
            self._on_bytes(len(piece))
