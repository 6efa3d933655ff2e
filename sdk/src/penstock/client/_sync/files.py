# Generated from _async/files.py by deploy/tools/unasync.py. Change that one.
"""What a client asks of the artifact service about the files of a run or a logged model."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from penstock.api.artifact.v1 import artifact_pb2, artifact_service_pb2, file_pb2, media_pb2
from penstock.client import records
from penstock.client._sync.artifacts import PUBLISH_TIMEOUT_S, Artifacts
from penstock.client._sync.paging import Pages
from penstock.client._sync.transfers import SILENCE_S, Transfers, Tell
from penstock.client.artifact_files import Wanted, media_type, targets_in
from penstock.client.names import Named, artifact_name, file_owner_name, project_of, run_name
from penstock.client.runtime_sync import in_thread
from penstock.errors import InvalidInput, LimitExceeded
from penstock.local_files import collect

__all__ = ["Files"]

FILES_PER_CALL = 1_000
READ_BYTES_MAX = 64 * 1024 * 1024
"""So many bytes are read into memory. Larger files are downloaded."""


class Files(Artifacts):
    """The part of a client that reads and writes the files of runs and logged models.

    What has the files is given as an open run, as the name of a run or of a logged model, `projects/digits/runs/0af...` or
    `projects/digits/loggedModels/m-0af...`, or by its last segment and a project.
    """

    def files(
        self,
        owner: "str | Named",
        directory: str = "",
        *,
        recursive: bool = False,
        project: str | None = None,
        limit: int | None = None,
    ) -> Pages[file_pb2.DirectoryEntry]:
        """What a directory holds, by path: files and directories; or all files below it. One without files is empty."""
        parent = file_owner_name(owner, project)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[file_pb2.DirectoryEntry], str]:
            response = self.artifact_service.ListFiles(
                artifact_service_pb2.ListFilesRequest(
                    parent=parent,
                    directory=directory,
                    recursive=recursive,
                    page_size=page_size,
                    page_token=page_token,
                )
            )
            return response.entries, response.next_page_token

        return Pages(fetch, records.directory_entry_record, ["path"], limit)

    def file(self, owner: "str | Named", path: str, *, project: str | None = None) -> file_pb2.File:
        """What is known of one file. Raises `NotFound` (reason FILE_NOT_FOUND)."""
        response = self.artifact_service.GetFile(
            artifact_service_pb2.GetFileRequest(parent=file_owner_name(owner, project), path=path)
        )
        return response.file

    def media(
        self,
        run: "str | Named",
        key: str = "",
        *,
        descending: bool = False,
        project: str | None = None,
        limit: int | None = None,
    ) -> Pages[file_pb2.File]:
        """The media that a run logged, under one key or under all: files with `media`, by key, step and path.

        Args:
            run: The run.
            key: The key; empty for all.
            descending: Whether the greatest key and step come first.
            project: The project of a run that is given by its id.
            limit: How many at most.
        """
        parent = run_name(run, project)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[file_pb2.File], str]:
            response = self.artifact_service.ListMedia(
                artifact_service_pb2.ListMediaRequest(
                    parent=parent, key=key, descending=descending, page_size=page_size, page_token=page_token
                )
            )
            return response.files, response.next_page_token

        return Pages(fetch, records.media_record, ["key", "step", "path"], limit)

    def media_keys(self, run: "str | Named", *, project: str | None = None) -> list[media_pb2.MediaKey]:
        """The keys under which a run logged media, with the kind and the last step of each."""
        response = self.artifact_service.ListMediaKeys(
            artifact_service_pb2.ListMediaKeysRequest(parent=run_name(run, project))
        )
        return list(response.keys)

    def read_file(
        self,
        owner: "str | Named",
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        project: str | None = None,
    ) -> bytes:
        """The bytes of a file, or `length` of them from `offset`.

        Raises:
            NotFound: There is no such file (reason FILE_NOT_FOUND).
            InvalidInput: `offset` is behind its end (reason RANGE_INVALID).
            LimitExceeded: It has more than `READ_BYTES_MAX` bytes: download it, or read it by ranges.
        """
        if length is not None and length <= 0:
            return b""
        request = artifact_service_pb2.DownloadFileRequest(
            name=file_owner_name(owner, project), path=path, offset=offset, length_bytes=length or 0
        )
        size = (self.file(owner, path, project=project)).blob.size_bytes
        if min(size - offset, length or size) > READ_BYTES_MAX:
            raise LimitExceeded(f"{path!r} has {size:,} bytes: download it, or read {READ_BYTES_MAX:,} at a time.")
        responses = self.artifact_service.DownloadFile(request, silence_s=SILENCE_S)
        return b"".join([response.data for response in responses])

    def put_files(
        self,
        owner: "str | Named",
        path: str | PathLike[str],
        *,
        directory: str = "",
        project: str | None = None,
        on_progress: Tell | None = None,
    ) -> list[file_pb2.File]:
        """Puts a file, or all files below a folder, into a directory of a run or a logged model. What was there is replaced.

        Bytes that the project has already are not sent again, and a call that failed may simply be made again.

        Args:
            owner: The run or the logged model.
            path: The file or folder of this machine.
            directory: The directory; empty for the uppermost one.
            project: The project, where `owner` does not say it.
            on_progress: Called while files are read and sent.

        Returns the files as they are there.

        Raises:
            InvalidInput: There is nothing at `path`, or a name is not allowed.
            LimitExceeded: The project's quota is too small (reason QUOTA_EXCEEDED).
            Conflict: A file lies where there is a directory, or the other way round (reason PATH_TAKEN).
            ServerUnavailable: The server was away for a minute.
        """
        parent = file_owner_name(owner, project)
        files = in_thread(collect, Path(path))
        transfers = Transfers(self.artifact_service, on_progress)
        blobs = transfers.digests([file.file for file in files])
        wanted = [
            file_pb2.File(
                path=f"{directory}/{file.path}" if directory else file.path,
                blob=blob,
                media_type=media_type(file.path),
            )
            for file, blob in zip(files, blobs, strict=True)
        ]
        by_digest = {blob.sha256: file.file for file, blob in zip(files, blobs, strict=True)}
        made: list[file_pb2.File] = []
        for start in range(0, len(wanted), FILES_PER_CALL):
            request = artifact_service_pb2.PutFilesRequest(parent=parent, files=wanted[start : start + FILES_PER_CALL])
            needed = [file.blob for file in request.files]
            response = transfers.upload(
                project_of(parent),
                needed,
                by_digest,
                lambda request=request: self.artifact_service.PutFiles(request, timeout=PUBLISH_TIMEOUT_S),
            )
            made += response.files
        return made

    def get_files(
        self,
        owner: "str | Named",
        folder: str | PathLike[str],
        *,
        directory: str = "",
        project: str | None = None,
        on_progress: Tell | None = None,
    ) -> list[Path]:
        """Downloads all files below a directory into a folder, where their paths begin below the directory.

        As with `get_artifact`, what is there already is not loaded again, and each file is put in its place whole.

        Returns the files.

        Raises:
            InvalidInput: There are no files (reason FILE_NOT_FOUND), or one would be written outside of the folder.
            ServerUnavailable: The server was away for a minute.
        """
        parent = file_owner_name(owner, project)
        found = [entry.file for entry in self.files(parent, directory, recursive=True)]
        if not found:
            raise InvalidInput(f"{parent} has no files below {directory!r}.", reason="FILE_NOT_FOUND")
        start = len(directory) + 1 if directory else 0
        targets = in_thread(targets_in, Path(folder), [file.path[start:] for file in found])
        wanted = [Wanted(file.path, file.blob, target) for file, target in zip(found, targets, strict=True)]
        Transfers(self.artifact_service, on_progress).download(parent, wanted)
        return targets

    def delete_files(self, owner: "str | Named", path: str, *, project: str | None = None) -> int:
        """Deletes a file, or a directory with all below; an empty path means all files. Returns how many there were."""
        response = self.artifact_service.DeleteFiles(
            artifact_service_pb2.DeleteFilesRequest(parent=file_owner_name(owner, project), path=path)
        )
        return response.file_count

    def publish_files(
        self,
        owner: "str | Named",
        artifact: str,
        *,
        directory: str = "",
        type: str = "",  # noqa: A002 - the contract's word
        description: str = "",
        project: str | None = None,
    ) -> artifact_pb2.ArtifactVersion:
        """Publishes the files below a directory as the next version of an artifact. No bytes are moved.

        Raises:
            NotFound: There are no files (reason FILE_NOT_FOUND).
            LimitExceeded: There are more than 20,000.
            Conflict: The artifact has another type (reason TYPE_DIFFERS).
        """
        parent = file_owner_name(owner, project)
        response = self.artifact_service.PublishFiles(
            artifact_service_pb2.PublishFilesRequest(
                parent=parent,
                directory=directory,
                artifact=artifact_name(artifact, project_of(parent)),
                type=type,
                description=description,
            ),
            timeout=PUBLISH_TIMEOUT_S,
        )
        return response.version
