"""The use cases of files of runs and logged models. Knows nothing of gRPC or of documents."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from penstock_artifact.contents import Contents, Download
from penstock_artifact.domain import ENTRIES_MAX, ArtifactVersion, BlobId, File
from penstock_artifact.errors import FileNotFound, ManifestTooLarge
from penstock_artifact.files.domain import FileUpload, NewFile, OwnedFile, Owner, check_directory, check_paths
from penstock_artifact.files.incoming import IncomingFile
from penstock_artifact.files.media import MediaKey
from penstock_artifact.files.store import FileStore
from penstock_artifact.service import ArtifactService
from penstock_artifact.signing import SignedUrl
from penstock_artifact.store import ArtifactStore, Page
from penstock_kit.clock import Clock
from penstock_kit.names import ArtifactName, RunName
from penstock_kit.stores.blobs import BlobStore

__all__ = ["FileService"]

FILES_PER_READ: Final = 1_000


class FileService:
    """Files of the runs and logged models of all projects.

    Args:
        files: The records of files.
        store: Those of blobs.
        blobs: The bytes.
        contents: How blobs are counted on and read.
        artifacts: Publishes versions.
        clock: The time.
    """

    def __init__(
        self,
        files: FileStore,
        store: ArtifactStore,
        blobs: BlobStore,
        contents: Contents,
        artifacts: ArtifactService,
        clock: Clock,
    ) -> None:
        self._files = files
        self._store = store
        self._blobs = blobs
        self._contents = contents
        self._artifacts = artifacts
        self._clock = clock

    async def admit(self, owner: Owner, upload: FileUpload) -> None:
        """Looks whether a file may come. Raises `PathInvalid`, `PathTaken`, `QuotaExceeded`."""
        check_paths([upload.path])
        await self._files.check(owner, upload.path)
        (await self._store.storage(owner.project)).check(upload.size or 0)

    async def upload(self, owner: Owner, upload: FileUpload, parts: AsyncIterator[bytes], by: str) -> OwnedFile:
        """Takes the bytes of an admitted file and puts it under its path.

        Raises `PathTaken`, `BlobMismatch`, `UploadSilent`, `QuotaExceeded`, `StoreFull`.
        """
        incoming = IncomingFile(owner.project, upload.size, self._store, self._blobs, self._contents, self._clock)
        return await self.place(owner, upload, await incoming.receive(parts), by)

    async def place(self, owner: Owner, upload: FileUpload, blob: BlobId, by: str) -> OwnedFile:
        """Puts a file under its path whose bytes have just come to count. Raises `PathTaken`."""
        file = File(upload.path, blob, upload.media_type)
        (there,) = await self._files.put(owner, [NewFile(file)], by, self._clock.now_us())
        return there

    async def put(self, owner: Owner, files: Sequence[NewFile], by: str) -> list[OwnedFile]:
        """Puts blobs that the project has under paths, all or none.

        Raises `PathInvalid`, `PathTaken`, `BlobsMissing`, `ManifestInvalid` for a wrong size, `TooManyMediaKeys`.
        """
        check_paths([new.file.path for new in files])
        await self._contents.rely_on(owner.project, [new.file for new in files])
        return await self._files.put(owner, files, by, self._clock.now_us())

    async def get(self, owner: Owner, path: str) -> OwnedFile:
        """Returns a file. Raises `FileNotFound`."""
        return await self._files.get(owner, path)

    async def below(self, owner: Owner, directory: str, limit: int, cursor: bytes | None) -> Page[OwnedFile]:
        """All files below a directory, by path. Raises `PathInvalid`."""
        check_directory(directory)
        return await self._files.below(owner, directory, limit, cursor)

    async def directory(self, owner: Owner, directory: str, limit: int, cursor: bytes | None) -> Page[OwnedFile | str]:
        """What a directory holds: files, and paths of directories. Raises `PathInvalid`."""
        check_directory(directory)
        return await self._files.directory(owner, directory, limit, cursor)

    async def media(
        self, run: RunName, key: str, limit: int, cursor: bytes | None, *, descending: bool
    ) -> Page[OwnedFile]:
        """The media of a run, under one key or, if it is empty, under all: by key, step and path."""
        return await self._files.media(run, key, limit, cursor, descending=descending)

    async def media_keys(self, run: RunName) -> list[MediaKey]:
        """The keys under which a run has media."""
        return await self._files.media_keys(run)

    async def download(self, owner: Owner, path: str, offset: int, length: int) -> Download:
        """Opens a file from `offset`, to its end if `length` is 0. Raises `FileNotFound`, `RangeInvalid`."""
        file = (await self._files.get(owner, path)).file
        gone = FileNotFound(f"{path!r} of {owner} was deleted meanwhile.", path=path)
        return await self._contents.download(owner.project, file, offset, length, gone)

    async def download_files(self, owner: Owner, paths: Sequence[str]) -> AsyncGenerator[tuple[int, bytes]]:
        """Yields files, one after the other; see `Contents.download_files`. Raises `FileNotFound`."""
        files = [(await self._files.get(owner, path)).file for path in paths]
        gone = FileNotFound(f"Files of {owner} were deleted meanwhile.")
        async with aclosing(self._contents.download_files(owner.project, files, gone)) as pieces:
            async for piece in pieces:
                yield piece

    async def sign_download(self, owner: Owner, path: str) -> tuple[BlobId, SignedUrl]:
        """Returns what a file is, and a URL to get it from. Raises `FileNotFound`, `NoDirectWay`."""
        file = (await self._files.get(owner, path)).file
        gone = FileNotFound(f"{path!r} of {owner} was deleted meanwhile.", path=path)
        return file.blob, await self._contents.sign_download(owner.project, file, gone)

    async def delete(self, owner: Owner, path: str) -> int:
        """Deletes a file or a directory, all there is for an empty path. Returns how many. Raises `PathInvalid`."""
        check_directory(path)
        return await self._files.delete(owner, path)

    async def publish(
        self, owner: Owner, directory: str, name: ArtifactName, *, type_: str, description: str, by: str
    ) -> ArtifactVersion:
        """Publishes the files below a directory as a version of an artifact of the same project.

        Raises `PathInvalid`, `FileNotFound` if there are none, and what `ArtifactService.publish` raises.
        """
        check_directory(directory)
        files: list[File] = []
        cursor: bytes | None = None
        while len(files) <= ENTRIES_MAX:
            page = await self._files.below(owner, directory, FILES_PER_READ, cursor)
            files += [one.file for one in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        if not files:
            raise FileNotFound(f"{owner} has no files below {directory!r}.", path=directory)
        if len(files) > ENTRIES_MAX:
            raise ManifestTooLarge(f"There are more than {ENTRIES_MAX:,} files. Pack small files together.")
        start = len(directory) + 1 if directory else 0
        return await self._artifacts.publish(
            name,
            [replace(file, path=file.path[start:]) for file in files],
            type_=type_,
            description=description,
            run=owner if isinstance(owner, RunName) else None,
            by=by,
        )
