"""Brings the versions of artifacts that a run wrote, each with the files of it that are still there.

A version that the run has written already, recognised by its manifest, is not published again: so a repeat adds nothing, and
one that was killed goes on with the first version that is missing. A file that is gone, or is not what the source says, is
told, and the others are brought; if it turns up, a later import publishes the whole version beside.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.api.artifact.v1 import artifact_pb2, artifact_service_pb2, artifact_service_pb2_grpc
from penstock.artifact_paths import ARTIFACT, path_problem
from penstock.client._async.channel import AsyncChannel
from penstock.client._async.transfers import AsyncTransfers
from penstock.client.artifact_files import Transfer, media_type
from penstock.client.names import project_of
from penstock.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from penstock.importers.files import next_of
from penstock.importers.model import (
    FoundFile,
    SourceArtifact,
    SourceArtifactFile,
    SourceArtifactReference,
    SourceDamaged,
    SourceRun,
    derived_id,
)

if TYPE_CHECKING:
    from penstock.importers.upload import Uploaded

__all__ = ["bring_artifacts"]

ENTRIES_MAX: Final = 20_000
"""What a version holds at most, as the contract says."""
ENTRIES_LEFT_OUT_TOLD_MAX: Final = 100
DESCRIPTION_CHARS_MAX: Final = 10_000
PUBLISH_TIMEOUT_S: Final = 120.0
LINKS_PER_PAGE: Final = 1_000
_REFUSALS: Final = frozenset({"MANIFEST_TOO_LARGE", "VERSION_LIMIT_REACHED"})
"""What is wrong with one artifact alone, among limits."""


async def bring_artifacts(
    channel: AsyncChannel, run: SourceRun, result: "Uploaded", on_bytes: Callable[[int], None]
) -> None:
    """Brings the versions that the run has not written yet. May be called again when it fails.

    Args:
        channel: The server.
        run: The run as the source has it.
        result: Takes what becomes of it. Its `damage` says why the list broke off.
        on_bytes: Told of the next so many bytes that were sent.

    Raises:
        LimitExceeded: The project's quota is too small.
        PenstockError: What else the server said.
    """
    result.artifacts = 0
    artifacts = run.artifacts()
    bringing: _Bringing | None = None
    while True:
        try:
            artifact = await asyncio.to_thread(next_of, artifacts, "The list of artifacts")
        except SourceDamaged as damage:
            result.damage = result.damage or damage
            return
        if artifact is None:
            return
        if bringing is None:
            service: Any = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
            bringing = _Bringing(service, result, on_bytes)
            await bringing.look()
        problem = artifact.left_out or _name_problem(artifact.name)
        try:
            problem = problem or await bringing.bring(artifact)
        except (Conflict, InvalidInput, LimitExceeded) as error:
            if isinstance(error, LimitExceeded) and error.reason not in _REFUSALS:
                raise
            problem = f"was refused. {error.message}"
        if problem:
            result.note(f"The artifact {artifact.name[:200]!r} was left out: it {problem.removesuffix('.')}.")
        else:
            result.artifacts += 1


class _Bringing:
    """The artifacts of one run on their way.

    Args:
        service: The generated stub of the artifact service.
        result: Takes what becomes of it.
        on_bytes: Told of the next so many bytes that were sent.
    """

    def __init__(self, service: Any, result: "Uploaded", on_bytes: Callable[[int], None]) -> None:
        self._service = service
        self._result = result
        self._on_bytes = on_bytes
        self._project = project_of(result.run)
        # By artifact: the versions that the run has written, and the manifests of these once they are asked for.
        self._written: dict[str, list[str]] = {}
        self._manifests: dict[str, dict[str, str]] = {}
        self._used: set[str] = set()
        self._entries_left_out = 0

    async def look(self) -> None:
        """Asks what the run has written and used so far."""
        request = artifact_service_pb2.ListArtifactLinksRequest(
            parent=self._project, run=self._result.run, page_size=LINKS_PER_PAGE
        )
        while True:
            response = await self._service.ListArtifactLinks(request)
            for link in response.links:
                if link.kind == artifact_pb2.ARTIFACT_LINK_KIND_USED:
                    self._used.add(link.version)
                else:
                    self._written.setdefault(link.version.rpartition("/versions/")[0], []).append(link.version)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def bring(self, artifact: SourceArtifact) -> str | None:
        """Publishes a version unless it is there. Returns why it cannot be there, or None."""
        name = f"{self._project}/artifacts/{artifact.name}"
        if len(artifact.entries) > ENTRIES_MAX:
            return f"has more than {ENTRIES_MAX:,} entries"
        entries, places = await self._entries(artifact)
        if not entries:
            return "has nothing that could be imported"
        known = await self._known(name)
        manifest = _manifest_of(entries)
        if manifest not in known:
            missing = len(artifact.entries) - len(entries)
            version = await self._published(name, artifact, entries, places, manifest, missing)
            known[manifest] = version
            self._result.artifacts_added += 1
        if artifact.used and known[manifest] not in self._used:
            await self._service.UseArtifactVersion(
                artifact_service_pb2.UseArtifactVersionRequest(name=known[manifest], run=self._result.run)
            )
            self._used.add(known[manifest])
            self._result.changed = True
        return None

    async def _entries(self, artifact: SourceArtifact) -> tuple[list[artifact_pb2.ManifestEntry], dict[str, Path]]:
        """What can be imported of an artifact, and where each of its files is, by digest."""
        entries: list[artifact_pb2.ManifestEntry] = []
        places: dict[str, Path] = {}
        for entry in artifact.entries:
            problem = path_problem(entry.path)
            try:
                if problem is None and isinstance(entry, SourceArtifactFile):
                    found = await asyncio.to_thread(entry.find)
                    entries.append(_file_entry(entry.path, found))
                    places[found.sha256] = found.place
                elif problem is None and isinstance(entry, SourceArtifactReference):
                    entries.append(_reference_entry(entry))
            except SourceDamaged as damage:
                problem = damage.message
            if problem is not None and self._entries_left_out < ENTRIES_LEFT_OUT_TOLD_MAX:
                self._entries_left_out += 1
                what = f"{entry.path[:200]!r} of the artifact {artifact.name[:200]!r}"
                self._result.note(f"The file {what} was left out: it {problem.removesuffix('.')}.")
        return entries, places

    async def _known(self, name: str) -> dict[str, str]:
        """The versions of an artifact that the run has written, by their manifests."""
        if name not in self._manifests:
            found: dict[str, str] = {}
            for version in self._written.get(name, []):
                try:
                    request = artifact_service_pb2.GetArtifactVersionRequest(name=version)
                    found[(await self._service.GetArtifactVersion(request)).version.manifest] = version
                except NotFound:
                    # Deleted meanwhile.
                    continue
            self._manifests[name] = found
        return self._manifests[name]

    async def _published(
        self,
        name: str,
        artifact: SourceArtifact,
        entries: Sequence[artifact_pb2.ManifestEntry],
        places: dict[str, Path],
        manifest: str,
        missing: int,
    ) -> str:
        """Sends what the project does not have, and publishes. Returns the version."""
        description = artifact.description
        if missing:
            lost = f"{missing:,} of {len(artifact.entries):,} entries could not be imported"
            description = f"Incomplete: {lost}.\n\n{description}"
        request = artifact_service_pb2.PublishArtifactVersionRequest(
            parent=name,
            type=artifact.type,
            entries=entries,
            description=description.strip()[:DESCRIPTION_CHARS_MAX],
            run=self._result.run,
            # Somebody else may import the same run at this moment.
            request_id=derived_id(self._result.run, name, manifest),
        )
        try:
            version = await self._sent(request, places)
        except NotFound:
            version = None
        if version is None or version.manifest != manifest:
            # What that call made was deleted since.
            request.request_id = ""
            version = await self._sent(request, places)
        return version.name

    async def _sent(
        self, request: artifact_service_pb2.PublishArtifactVersionRequest, places: dict[str, Path]
    ) -> artifact_pb2.ArtifactVersion:
        told = 0

        def tell(transfer: Transfer) -> None:
            nonlocal told
            # Less than before means that it begins anew with what is left.
            if transfer.bytes > told:
                self._on_bytes(transfer.bytes - told)
            told = transfer.bytes

        response = await AsyncTransfers(self._service, tell).upload(
            self._project,
            [entry.file.blob for entry in request.entries if entry.HasField("file")],
            places,
            lambda: self._service.PublishArtifactVersion(request, timeout=PUBLISH_TIMEOUT_S),
        )
        return response.version


def _name_problem(name: str) -> str | None:
    return None if ARTIFACT.fullmatch(name) and "/" not in name else "has a name that none may have"


def _file_entry(path: str, found: FoundFile) -> artifact_pb2.ManifestEntry:
    blob = artifact_pb2.BlobId(sha256=found.sha256, size_bytes=found.size_bytes)
    return artifact_pb2.ManifestEntry(path=path, file=artifact_pb2.ManifestFile(blob=blob, media_type=media_type(path)))


def _reference_entry(entry: SourceArtifactReference) -> artifact_pb2.ManifestEntry:
    reference = artifact_pb2.ManifestReference(uri=entry.uri, digest=entry.digest, size_bytes=entry.size_bytes)
    return artifact_pb2.ManifestEntry(path=entry.path, reference=reference)


def _manifest_of(entries: Sequence[artifact_pb2.ManifestEntry]) -> str:
    """The digest of a manifest, as the contract says it is made."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.path):
        if entry.HasField("file"):
            file = entry.file
            line = f"file {file.blob.sha256} {file.blob.size_bytes} {file.media_type or '-'}"
        else:
            reference = entry.reference
            size = reference.size_bytes if reference.HasField("size_bytes") else "-"
            line = f"reference {reference.digest or '-'} {size} {reference.uri}"
        digest.update(f"{line} {entry.path}\n".encode())
    return digest.hexdigest()
