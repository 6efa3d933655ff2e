"""What a client asks of the artifact service: files, artifacts and their versions, lineage, quotas."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from penstock.api.artifact.v1 import artifact_pb2, artifact_service_pb2
from penstock.client import records
from penstock.client._async.paging import AsyncPages
from penstock.client._async.transfers import AsyncTransfers, Tell
from penstock.client.artifact_files import Wanted, media_type, targets_in
from penstock.client.names import Named, artifact_name, artifact_version_name, project_name, project_of, run_name
from penstock.client.runtime_async import in_thread
from penstock.errors import InvalidInput
from penstock.local_files import collect

__all__ = ["AsyncArtifacts"]

PUBLISH_TIMEOUT_S = 120.0


class AsyncArtifacts:
    """The part of a client that speaks with the artifact service.

    An artifact is given by its full name, `projects/digits/artifacts/reader`, or by the last segment of it and a project. A
    version is given as `reader/3`, as `reader` for the newest one, or by its full name.

    Attributes:
        artifact_service: The generated stub of the artifact service, on the client's authenticated channel.
    """

    artifact_service: Any

    def artifacts(self, project: str = "default", *, limit: int | None = None) -> AsyncPages[artifact_pb2.Artifact]:
        """The artifacts of a project, by name."""
        parent = project_name(project)

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[artifact_pb2.Artifact], str]:
            response = await self.artifact_service.ListArtifacts(
                artifact_service_pb2.ListArtifactsRequest(parent=parent, page_size=page_size, page_token=page_token)
            )
            return response.artifacts, response.next_page_token

        return AsyncPages(fetch, records.artifact_record, ["name"], limit)

    def artifact_versions(
        self, artifact: str, *, project: str = "default", limit: int | None = None
    ) -> AsyncPages[artifact_pb2.ArtifactVersion]:
        """The versions of an artifact, newest first."""
        parent = artifact_name(artifact, project)

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[artifact_pb2.ArtifactVersion], str]:
            response = await self.artifact_service.ListArtifactVersions(
                artifact_service_pb2.ListArtifactVersionsRequest(
                    parent=parent, page_size=page_size, page_token=page_token
                )
            )
            return response.versions, response.next_page_token

        return AsyncPages(fetch, records.artifact_version_record, ["name", "version"], limit)

    async def artifact_version(self, version: str, *, project: str = "default") -> artifact_pb2.ArtifactVersion:
        """One version. Raises `NotFound`."""
        response = await self.artifact_service.GetArtifactVersion(
            artifact_service_pb2.GetArtifactVersionRequest(name=artifact_version_name(version, project))
        )
        return response.version

    def artifact_entries(
        self, version: str, *, project: str = "default", limit: int | None = None
    ) -> AsyncPages[artifact_pb2.ManifestEntry]:
        """The files and references of a version, by path."""
        parent = artifact_version_name(version, project)

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[artifact_pb2.ManifestEntry], str]:
            response = await self.artifact_service.ListArtifactEntries(
                artifact_service_pb2.ListArtifactEntriesRequest(
                    parent=parent, page_size=page_size, page_token=page_token
                )
            )
            return response.entries, response.next_page_token

        return AsyncPages(fetch, records.artifact_entry_record, ["path"], limit)

    async def put_artifact(
        self,
        artifact: str,
        path: str | PathLike[str] | None = None,
        *,
        project: str = "default",
        type: str = "",  # noqa: A002 - the contract's word
        description: str = "",
        references: Mapping[str, str] | None = None,
        run: "str | Named | None" = None,
        request_id: str = "",
        on_progress: Tell | None = None,
    ) -> artifact_pb2.ArtifactVersion:
        """Publishes a file, or all files below a folder, as the next version of an artifact. Creates it if there is none.

        What the project has already is not sent again, and what the newest version has already makes no other one: so a call
        that failed may simply be made again, and goes on after the last whole file, or the last whole part of a large one.
        Large files go straight to the object store where there is a way. A connection that breaks is waited for, for a
        minute without progress. The digests of files that did not change are remembered.

        Args:
            artifact: The artifact.
            path: The file or folder.
            project: The project.
            type: What it is, such as `model` or `dataset`. The first version decides; empty means `file`.
            description: What is new in it, Markdown.
            references: URIs by the path that each shall have. Recorded, never opened.
            run: The run that writes it.
            request_id: A later call with the same id returns the version of this one, whatever was published since; at most
                64 characters.
            on_progress: Called while files are read and sent.

        Raises:
            InvalidInput: There is nothing at `path`, or it has names that an artifact may not have.
            LimitExceeded: The project's quota is too small (reason QUOTA_EXCEEDED), or there are more than 20,000 files.
            Conflict: The artifact has another type (reason TYPE_DIFFERS).
            ServerUnavailable: The server cannot be reached.
        """
        name = artifact_name(artifact, project)
        if path is None and not references:
            raise InvalidInput("Give a path or references: a version has at least one.")
        files = await in_thread(collect, Path(path)) if path is not None else []
        blobs = await AsyncTransfers(self.artifact_service, on_progress).digests([file.file for file in files])
        entries = [
            artifact_pb2.ManifestEntry(
                path=file.path, file=artifact_pb2.ManifestFile(blob=blob, media_type=media_type(file.path))
            )
            for file, blob in zip(files, blobs, strict=True)
        ]
        entries += [
            artifact_pb2.ManifestEntry(path=key, reference=artifact_pb2.ManifestReference(uri=uri))
            for key, uri in (references or {}).items()
        ]
        request = artifact_service_pb2.PublishArtifactVersionRequest(
            parent=name,
            type=type,
            entries=entries,
            description=description,
            run="" if run is None else run_name(run, project_of(name)),
            request_id=request_id,
        )
        by_digest = {blob.sha256: file.file for file, blob in zip(files, blobs, strict=True)}
        return await self._publish(request, by_digest, on_progress)

    async def _publish(
        self,
        request: artifact_service_pb2.PublishArtifactVersionRequest,
        files: Mapping[str, Path],
        on_progress: Tell | None,
    ) -> artifact_pb2.ArtifactVersion:
        """Publishes a version, and sends those of its files, given by digest, that the project does not have."""
        blobs = [entry.file.blob for entry in request.entries if entry.HasField("file")]
        response = await AsyncTransfers(self.artifact_service, on_progress).upload(
            project_of(request.parent),
            blobs,
            files,
            lambda: self.artifact_service.PublishArtifactVersion(request, timeout=PUBLISH_TIMEOUT_S),
        )
        return response.version

    async def get_artifact(
        self,
        version: str,
        folder: str | PathLike[str],
        *,
        project: str = "default",
        paths: Sequence[str] | None = None,
        on_progress: Tell | None = None,
    ) -> list[Path]:
        """Downloads the files of a version into a folder. References are left out.

        Files that are there already are not loaded again; a download that was cut off is gone on with. Each file is put in
        its place whole, once its digest was verified.

        Args:
            version: The version.
            folder: Where to; made if it is missing.
            project: The project.
            paths: Only these files; None means all.
            on_progress: Called while files come.

        Returns the files.

        Raises:
            NotFound: There is no such version, or it has no such file.
            InvalidInput: A file would be written outside of the folder.
            ServerUnavailable: The server cannot be reached.
        """
        found = await self.artifact_version(version, project=project)
        entries = [entry async for entry in self.artifact_entries(found.name) if entry.HasField("file")]
        if paths is not None:
            wanted = set(paths)
            entries = [entry for entry in entries if entry.path in wanted]
            missing = wanted - {entry.path for entry in entries}
            if missing:
                raise InvalidInput(f"{version} has no file {sorted(missing)[0]!r}.", reason="FILE_NOT_FOUND")
        targets = await in_thread(targets_in, Path(folder), [entry.path for entry in entries])
        wanted = [Wanted(entry.path, entry.file.blob, target) for entry, target in zip(entries, targets, strict=True)]
        await AsyncTransfers(self.artifact_service, on_progress).download(found.name, wanted)
        return targets

    async def use_artifact(
        self, version: str, run: "str | Named", *, project: str = "default"
    ) -> artifact_pb2.ArtifactVersion:
        """Records that a run uses a version, and returns that. Safe to repeat. Raises `NotFound`."""
        name = artifact_version_name(version, project)
        response = await self.artifact_service.UseArtifactVersion(
            artifact_service_pb2.UseArtifactVersionRequest(name=name, run=run_name(run, project_of(name)))
        )
        return response.version

    async def copy_artifact(
        self, version: str, artifact: str, *, project: str = "default", run: "str | Named | None" = None
    ) -> artifact_pb2.ArtifactVersion:
        """Publishes what a version has as the next version of another artifact of the project. No bytes are moved.

        Raises:
            NotFound: There is no such version.
            InvalidInput: The artifact is of another project.
            Conflict: The artifact has another type (reason TYPE_DIFFERS).
        """
        found = await self.artifact_version(version, project=project)
        name = artifact_name(artifact, project)
        if project_of(name) != project_of(found.name):
            raise InvalidInput("Both must be of one project: files are kept per project. Download and put it instead.")
        entries = [entry async for entry in self.artifact_entries(found.name)]
        response = await self.artifact_service.PublishArtifactVersion(
            artifact_service_pb2.PublishArtifactVersionRequest(
                parent=name,
                type=found.type,
                entries=entries,
                description=found.description,
                run="" if run is None else run_name(run, project_of(name)),
            ),
            timeout=PUBLISH_TIMEOUT_S,
        )
        return response.version

    async def delete_artifact(self, artifact: str, *, project: str = "default") -> None:
        """Deletes an artifact with all its versions. Raises `NotFound`."""
        await self.artifact_service.DeleteArtifact(
            artifact_service_pb2.DeleteArtifactRequest(name=artifact_name(artifact, project))
        )

    async def delete_artifact_version(self, version: str, *, project: str = "default") -> None:
        """Deletes a version, given by its number. Raises `NotFound`."""
        await self.artifact_service.DeleteArtifactVersion(
            artifact_service_pb2.DeleteArtifactVersionRequest(name=artifact_version_name(version, project))
        )

    def artifact_links(
        self,
        *,
        version: str | None = None,
        run: "str | Named | None" = None,
        project: str = "default",
        limit: int | None = None,
    ) -> AsyncPages[artifact_pb2.ArtifactLink]:
        """Which runs wrote and used a version, or which versions a run wrote and used: give one of both."""
        if (version is None) == (run is None):
            raise InvalidInput("Give a version or a run.")
        of: dict[str, str] = (
            {"version": artifact_version_name(version, project)}
            if version is not None
            else {"run": run_name(run or "", project)}
        )
        parent = project_of(next(iter(of.values())))

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[artifact_pb2.ArtifactLink], str]:
            response = await self.artifact_service.ListArtifactLinks(
                artifact_service_pb2.ListArtifactLinksRequest(
                    parent=parent, page_size=page_size, page_token=page_token, **of
                )
            )
            return response.links, response.next_page_token

        return AsyncPages(fetch, records.artifact_link_record, ["version", "run", "kind"], limit)

    async def artifact_storage(self, project: str = "default") -> artifact_pb2.ArtifactStorage:
        """What the artifacts of a project take, and how much they may."""
        response = await self.artifact_service.GetArtifactStorage(
            artifact_service_pb2.GetArtifactStorageRequest(name=f"{project_name(project)}/artifactStorage")
        )
        return response.storage

    async def set_artifact_retention(
        self, versions: int | None, days: int | None, *, project: str = "default"
    ) -> artifact_pb2.ArtifactStorage:
        """Says which versions of the artifacts of a project are kept; all others are deleted within hours.

        Kept are the newest ones of each artifact, the young ones, and those that a registered model names.

        Args:
            versions: So many of the newest versions of each artifact, 1 to 1,000,000; None, with `days` None, keeps all.
            days: Versions until they are so many days old, 1 to 36,500.
            project: The project.

        Raises `InvalidInput`, `PermissionDenied`.
        """
        if (versions is None) != (days is None):
            raise InvalidInput("Give both, how many versions and how many days, or none of them.")
        kept = None if versions is None else artifact_pb2.ArtifactRetention(versions_kept=versions, days_kept=days)
        response = await self.artifact_service.SetArtifactRetention(
            artifact_service_pb2.SetArtifactRetentionRequest(
                name=f"{project_name(project)}/artifactStorage", retention=kept
            )
        )
        return response.storage

    async def set_artifact_quota(
        self, quota_bytes: int | None, *, project: str = "default"
    ) -> artifact_pb2.ArtifactStorage:
        """Sets how much the artifacts of a project may take; None for no limit. Raises `PermissionDenied`."""
        response = await self.artifact_service.SetArtifactQuota(
            artifact_service_pb2.SetArtifactQuotaRequest(
                name=f"{project_name(project)}/artifactStorage", quota_bytes=quota_bytes
            )
        )
        return response.storage
