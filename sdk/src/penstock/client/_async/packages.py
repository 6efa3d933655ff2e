"""What a client does to move a version of a model between installations: both services have a part of it."""

import secrets
from os import PathLike
from pathlib import Path

from penstock.api.artifact.v1 import artifact_service_pb2
from penstock.api.registry.v1 import model_pb2, registry_service_pb2
from penstock.client._async.events import AsyncEvents
from penstock.client._async.files import AsyncFiles
from penstock.client._async.transfers import Tell
from penstock.client.export.files import check_file
from penstock.client.names import artifact_name, model_name
from penstock.client.packages import Package, PackageArtifact, folder_beside, pack, read, unpack
from penstock.client.runtime_async import in_thread
from penstock.config import Connection
from penstock.errors import InvalidInput, NotFound

__all__ = ["AsyncPackages"]


class AsyncPackages(AsyncEvents, AsyncFiles):
    """The part of a client that exports and imports versions of models.

    Attributes:
        connection: The server.
    """

    connection: Connection

    async def export_model_version(
        self,
        version: str,
        file: str | PathLike[str],
        *,
        project: str = "default",
        replace: bool = False,
        on_progress: Tell | None = None,
    ) -> Package:
        """Writes a version of a model with its files, signature, metrics and baseline to one file.

        What belongs to this installation is left out: aliases, stage, evaluations and verdicts. The run becomes a link.

        Args:
            version: The version: `reader/3` or `reader@production`.
            file: The file, a ZIP archive. It appears once it is whole.
            project: The project.
            replace: Whether a file that is there is replaced.
            on_progress: Called while files come.

        Returns what the file holds.

        Raises:
            NotFound: There is no such version.
            InvalidInput: The file is there already; or the version names files, but no version of an artifact that has them.
        """
        target = Path(file)
        check_file(target, replace=replace)
        # By its number: who asks by an alias gets no samples of metrics.
        found = await self.model_version((await self.model_version(version, project=project)).name)
        if found.artifact_manifest and not found.artifact_version:
            raise InvalidInput("The version names no version of an artifact, by which its files could be read.")
        baseline = await self._baseline(found.name)
        with folder_beside(target) as folder:
            artifact, files = None, dict[str, Path]()
            if found.artifact_version:
                of = await self.artifact_version(found.artifact_version)
                entries = [entry async for entry in self.artifact_entries(of.name)]
                artifact = PackageArtifact(of.name.split("/")[3], of.type, of.description, of.manifest, tuple(entries))
                paths = [entry.path for entry in entries if entry.HasField("file")]
                downloaded = await self.get_artifact(of.name, folder, paths=paths, on_progress=on_progress)
                files = dict(zip(paths, downloaded, strict=True))
            package = Package.of(found, baseline, artifact, self.connection.http)
            await in_thread(pack, package, files, target)
        return package

    async def import_model_version(
        self,
        file: str | PathLike[str],
        *,
        project: str = "default",
        model: str | None = None,
        artifact: str | None = None,
        on_progress: Tell | None = None,
    ) -> model_pb2.ModelVersion:
        """Registers a version of a model that `export_model_version` wrote to a file, of this installation or of another.

        Every file is compared with its digest before it is sent, and nothing is registered before all are durable. A repeat
        finds what was imported before.

        Args:
            file: The file.
            project: The project it goes to.
            model: The model, created if there is none; None means one of the same name.
            artifact: The artifact of its files; None means one of the same name.
            on_progress: Called while files are sent.

        Raises:
            InvalidInput: The file is damaged, or none of these (reason PACKAGE_INVALID).
            LimitExceeded: The project's quota is too small (reason QUOTA_EXCEEDED).
            Conflict: The artifact has another type (reason TYPE_DIFFERS).
        """
        source = Path(file)
        package = await in_thread(read, source)
        name = model_name(model or package.model, project)
        whole = model_pb2.ModelVersion()
        whole.CopyFrom(package.version)
        of = package.artifact
        if of is not None:
            request = artifact_service_pb2.PublishArtifactVersionRequest(
                parent=artifact_name(artifact or of.name, project),
                type=of.type,
                entries=of.entries,
                description=of.description,
            )
            with folder_beside(source) as folder:
                files = await in_thread(unpack, source, package, Path(folder))
                published = await self._publish(request, files, on_progress)
            if published.manifest != of.manifest:
                raise InvalidInput("The manifest is not the one that its digest says.", reason="PACKAGE_INVALID")
            whole.artifact_version = published.name
        request_id = package.digest
        try:
            return await self.register_version(name, whole, baseline=package.baseline, request_id=request_id)
        except NotFound as error:
            if error.reason != "VERSION_NOT_FOUND":
                raise
        # It was imported before and deleted since: this is another one.
        return await self.register_version(name, whole, baseline=package.baseline, request_id=secrets.token_hex(16))

    async def _baseline(self, version: str) -> model_pb2.ModelBaseline | None:
        try:
            response = await self.registry.GetModelBaseline(registry_service_pb2.GetModelBaselineRequest(name=version))
        except NotFound as error:
            if error.reason != "BASELINE_NOT_FOUND":
                raise
            return None
        return response.baseline
