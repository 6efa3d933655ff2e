"""The use cases: what may happen to artifacts, versions and their bytes. Knows nothing of gRPC or of documents."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from penstock_artifact.contents import Contents, Download
from penstock_artifact.domain import (
    DEFAULT_TYPE,
    VERSIONS_PER_ARTIFACT_MAX,
    Artifact,
    ArtifactVersion,
    BlobId,
    Entry,
    File,
    Link,
    Manifest,
    Retention,
    Storage,
)
from penstock_artifact.errors import (
    FileNotFound,
    ReferenceNotStored,
    TypeDiffers,
    VersionLimitReached,
    VersionNotFound,
)
from penstock_artifact.signing import SignedUrl
from penstock_artifact.store import ArtifactStore, Page
from penstock_artifact.uploads import Part, Upload
from penstock_kit.clock import Clock
from penstock_kit.ids import derived_id
from penstock_kit.names import ArtifactName, ArtifactVersionName, ProjectName, RunName
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.threads import in_thread

__all__ = ["ArtifactService"]

MANIFESTS_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of text; read, it takes about ten times as much."""


class ArtifactService:
    """Artifacts of all projects.

    Args:
        store: The records.
        blobs: The bytes.
        contents: How blobs are counted on and read.
        clock: The time.
    """

    def __init__(self, store: ArtifactStore, blobs: BlobStore, contents: Contents, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._contents = contents
        self._clock = clock
        self._manifests = _ManifestCache(MANIFESTS_KEPT_BYTES)

    # Uploads

    async def missing_blobs(self, parent: ProjectName, wanted: Sequence[BlobId]) -> list[BlobId]:
        """Returns the blobs that have to be uploaded, and keeps the others for a while. Raises `QuotaExceeded`."""
        asked = {blob.sha256: blob for blob in wanted}
        there = await self._contents.relied(parent.project, list(asked))
        missing = [blob for digest, blob in asked.items() if digest not in there]
        (await self._store.storage(parent.project)).check(sum(blob.size for blob in missing))
        return missing

    def upload(self, parent: ProjectName, parts: AsyncIterator[Part]) -> AsyncIterator[int]:
        """Takes blobs; see `Upload.receive`."""
        return Upload(parent.project, self._store, self._blobs, self._clock).receive(parts)

    async def publish(
        self,
        name: ArtifactName,
        entries: Sequence[Entry],
        *,
        type_: str,
        description: str,
        run: RunName | None,
        request_id: str = "",
        by: str,
    ) -> ArtifactVersion:
        """Publishes a version; returns the newest one if it has the same manifest, and for a repeat that of the first call.

        Raises `PathInvalid`, `ManifestInvalid`, `ManifestTooLarge`, `BlobsMissing`, `TypeDiffers`, `VersionLimitReached`.
        """
        request_key = derived_id(by, request_id, f"version of {name}") if request_id else ""
        if request_key:
            former = await self._store.published(name.project, name.artifact_id, request_key)
            if former is not None:
                return former
        manifest = await in_thread(Manifest.of, entries)
        await self._contents.rely_on(name.project, manifest.files)
        now_us = self._clock.now_us()

        def decide(now: Artifact | None) -> tuple[Artifact, ArtifactVersion]:
            if now is not None and type_ and type_ != now.type:
                raise TypeDiffers(
                    f"The artifact {name.artifact_id!r} is of the type {now.type!r}, not {type_!r}. Choose another name.",
                    type=now.type,
                )
            number = 1 if now is None else now.last + 1
            if number > VERSIONS_PER_ARTIFACT_MAX:
                raise VersionLimitReached(
                    f"The artifact has had {VERSIONS_PER_ARTIFACT_MAX:,} versions: begin another one."
                )
            artifact = Artifact(
                project=name.project,
                artifact_id=name.artifact_id,
                type=type_ or DEFAULT_TYPE if now is None else now.type,
                latest=number,
                last=number,
                creator=by if now is None else now.creator,
                create_us=now_us if now is None else now.create_us,
                update_us=now_us,
            )
            return artifact, ArtifactVersion(
                project=name.project,
                artifact_id=name.artifact_id,
                number=number,
                type=artifact.type,
                manifest=manifest.digest,
                file_count=len(manifest.files),
                reference_count=len(manifest.entries) - len(manifest.files),
                size=sum(file.blob.size for file in manifest.files),
                description=description,
                creator=by,
                create_us=now_us,
            )

        return await self._store.add_version(
            name.project,
            name.artifact_id,
            manifest,
            decide,
            run_id=run.run_id if run is not None else "",
            request_key=request_key,
        )

    # Artifacts and versions

    async def artifact(self, name: ArtifactName) -> Artifact:
        """Returns an artifact. Raises `ArtifactNotFound`."""
        return await self._store.artifact(name.project, name.artifact_id)

    async def artifacts(self, parent: ProjectName, limit: int, cursor: bytes | None) -> Page[Artifact]:
        """The artifacts of a project by name."""
        return await self._store.artifacts(parent.project, limit, cursor)

    async def version(self, name: ArtifactVersionName) -> ArtifactVersion:
        """Returns a version. Raises `ArtifactNotFound`, `VersionNotFound`."""
        return await self._store.version(name.artifact.project, name.artifact.artifact_id, name.number)

    async def versions(self, name: ArtifactName, limit: int, cursor: bytes | None) -> Page[ArtifactVersion]:
        """The versions of an artifact, newest first. Raises `ArtifactNotFound`."""
        return await self._store.versions(name.project, name.artifact_id, limit, cursor)

    async def manifest(self, name: ArtifactVersionName) -> Manifest:
        """The manifest of a version. Raises `ArtifactNotFound`, `VersionNotFound`."""
        version = await self.version(name)
        manifest = self._manifests.get(version.manifest)
        if manifest is None:
            manifest = await in_thread(Manifest.read, await self._store.manifest_text(version))
            self._manifests.put(version.manifest, manifest)
        return manifest

    async def delete_version(self, name: ArtifactVersionName) -> None:
        """Deletes a version. Raises `ArtifactNotFound`, `VersionNotFound`, `VersionHeld`."""
        number = (await self.version(name)).number
        await self._store.delete_version(name.artifact.project, name.artifact.artifact_id, number, self._clock.now_us())

    async def delete_artifact(self, name: ArtifactName) -> None:
        """Deletes an artifact with all its versions. Raises `ArtifactNotFound`, `VersionHeld`."""
        await self._store.delete_artifact(name.project, name.artifact_id, self._clock.now_us())

    async def hold(self, name: ArtifactVersionName, holder: str, lifetime_s: int) -> ArtifactVersion:
        """Keeps a version from being deleted, 0 for until it is released, and returns it.

        Raises `ArtifactNotFound`, `VersionNotFound`.
        """
        version = await self.version(name)
        end_us = self._clock.now_us() + lifetime_s * 1_000_000 if lifetime_s else None
        await self._store.hold(version, holder, end_us)
        return version

    async def release(self, parent: ProjectName, holder: str) -> None:
        """Ends all that a holder holds in a project."""
        await self._store.release(parent.project, holder)

    # Downloads

    async def download(self, name: ArtifactVersionName, path: str, offset: int, length: int) -> Download:
        """Opens a file of a version from `offset`, to its end if `length` is 0.

        Raises `ArtifactNotFound`, `VersionNotFound`, `FileNotFound`, `ReferenceNotStored`, `RangeInvalid`.
        """
        (file,) = await self._files(name, [path])
        return await self._contents.download(name.artifact.project, file, offset, length, _gone(name))

    async def download_files(
        self, name: ArtifactVersionName, paths: Sequence[str]
    ) -> AsyncGenerator[tuple[int, bytes]]:
        """Yields files of a version, one after the other; see `Contents.download_files`. Raises as `download`."""
        files = await self._files(name, paths)
        async with aclosing(self._contents.download_files(name.artifact.project, files, _gone(name))) as pieces:
            async for piece in pieces:
                yield piece

    async def sign_download(self, name: ArtifactVersionName, path: str) -> tuple[BlobId, SignedUrl]:
        """Returns what a file of a version is, and a URL to get it from. Raises as `download`, and `NoDirectWay`."""
        (file,) = await self._files(name, [path])
        return file.blob, await self._contents.sign_download(name.artifact.project, file, _gone(name))

    async def _files(self, name: ArtifactVersionName, paths: Sequence[str]) -> list[File]:
        by_path = (await self.manifest(name)).by_path
        files: list[File] = []
        for path in paths:
            entry = by_path.get(path)
            if entry is None:
                raise FileNotFound(f"{name} has no file {path!r}.", path=path)
            if not isinstance(entry, File):
                raise ReferenceNotStored(f"{path!r} is a reference: its content is at {entry.uri}.", uri=entry.uri)
            files.append(entry)
        return files

    # Lineage

    async def use(self, name: ArtifactVersionName, run: RunName) -> ArtifactVersion:
        """Records that a run uses a version, and returns that. Raises `ArtifactNotFound`, `VersionNotFound`."""
        version = await self.version(name)
        await self._store.use(version, run.run_id, self._clock.now_us())
        return version

    async def links_of_version(self, name: ArtifactVersionName, limit: int, cursor: bytes | None) -> Page[Link]:
        """The lineage of a version, given by its number."""
        assert name.number is not None, "the contract asks for a number"
        artifact = name.artifact
        return await self._store.links_of_version(artifact.project, artifact.artifact_id, name.number, limit, cursor)

    async def links_of_run(self, run: RunName, limit: int, cursor: bytes | None) -> Page[Link]:
        """The lineage of a run."""
        return await self._store.links_of_run(run.project, run.run_id, limit, cursor)

    # Storage

    async def storage(self, parent: ProjectName) -> Storage:
        """What the blobs of a project take."""
        return await self._store.storage(parent.project)

    async def set_quota(self, parent: ProjectName, quota: int | None) -> Storage:
        """Sets the quota of a project, None for no limit."""
        return await self._store.set_quota(parent.project, quota)

    async def set_retention(self, parent: ProjectName, retention: Retention | None) -> Storage:
        """Sets which versions of a project are kept, None for all."""
        return await self._store.set_retention(parent.project, retention)


class _ManifestCache:
    """The manifests that were read last, by digest: whoever asks for a version was let to it before."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, Manifest] = OrderedDict()

    def get(self, digest: str) -> Manifest | None:
        """Returns a manifest, if it is kept."""
        if digest in self._kept:
            self._kept.move_to_end(digest)
        return self._kept.get(digest)

    def put(self, digest: str, manifest: Manifest) -> None:
        """Keeps a manifest, and forgets those that nobody asked for longest."""
        if digest in self._kept:
            return
        self._kept[digest] = manifest
        self._bytes += len(manifest.text)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.popitem(last=False)[1].text)


def _gone(name: ArtifactVersionName) -> VersionNotFound:
    return VersionNotFound(f"{name} was deleted meanwhile.")
