"""What the registry asks of the artifact service: to keep the versions that models name, and what runs used.

A version of a model is registered in three steps: its files are held for a while, the version is written, and then they are
held for good. What a crash leaves out in between is made up for by `HoldKeeper`, and the first hold ends by itself.
"""

import logging
from dataclasses import dataclass
from typing import Final

from penstock.api.artifact.v1 import artifact_pb2
from penstock.api.artifact.v1 import artifact_service_pb2 as pb
from penstock_kit.calling import Neighbour, NeighbourUnavailable
from penstock_kit.errors import NotFound
from penstock_kit.stores.documents import (
    Collection,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    VersionConflict,
)
from penstock_registry.store import EVENTS, VERSIONS

__all__ = ["HELD_COLLECTION", "PENDING_S", "Artifacts", "Held", "HoldKeeper"]

PENDING_S: Final = 600
"""For so long files are held before the version that names them is written."""
LINKS_MAX: Final = 1_000
CHANGES_PER_READ: Final = 200

HELD: Final = "held"
HELD_COLLECTION: Final = Collection(HELD)
"""How far holds follow the versions of each project."""
_PLACE: Final = "versions"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A version of an artifact that is held: its name, the digest of its manifest, and its bytes."""

    name: str
    manifest: str
    size_bytes: int


class Artifacts:
    """The artifact service, as the registry sees it.

    Args:
        neighbour: How it is called.
    """

    def __init__(self, neighbour: Neighbour) -> None:
        self._neighbour = neighbour

    async def hold(self, version: str, holder: str, lifetime_s: int = 0) -> Held | None:
        """Holds a version, for good if no lifetime is given. None if there is no such version.

        Raises `NeighbourUnavailable`.
        """
        request = pb.HoldArtifactVersionRequest(name=version, holder=f"registry/{holder}", lifetime_s=lifetime_s)
        try:
            found = (await self._neighbour.call("HoldArtifactVersion", request)).version
        except NotFound:
            return None
        return Held(found.name, found.manifest, found.size_bytes)

    async def release(self, project: str, holder: str) -> None:
        """Ends what a holder holds. Raises `NeighbourUnavailable`."""
        request = pb.ReleaseArtifactVersionsRequest(parent=f"projects/{project}", holder=f"registry/{holder}")
        await self._neighbour.call("ReleaseArtifactVersions", request)

    async def used_by(self, project: str, run: str) -> list[str]:
        """The versions that a run used, at most `LINKS_MAX`. Raises `NeighbourUnavailable`."""
        return [link.version for link in await self._uses(project, run=run)]

    async def runs_using(self, project: str, version: str) -> list[str]:
        """The runs that used a version, at most `LINKS_MAX`. Raises `NeighbourUnavailable`."""
        return [link.run for link in await self._uses(project, version=version)]

    async def _uses(self, project: str, **of: str) -> list[artifact_pb2.ArtifactLink]:
        request = pb.ListArtifactLinksRequest(parent=f"projects/{project}", page_size=LINKS_MAX, **of)
        try:
            links = (await self._neighbour.call("ListArtifactLinks", request)).links
        except NotFound:
            return []
        return [link for link in links if link.kind == artifact_pb2.ARTIFACT_LINK_KIND_USED]


class HoldKeeper:
    """Follows the versions of models, and holds and releases what they name. Any replica may, several at once as well.

    Args:
        documents: Where versions are, and how far this is.
        artifacts: The artifact service.
    """

    def __init__(self, documents: DocumentStore, artifacts: Artifacts) -> None:
        self._documents = documents
        self._artifacts = artifacts

    async def run_once(self) -> None:
        """Makes up for what was left out, in all projects."""
        # Of a project whose models are all deleted there may be nothing but events.
        projects = {*await self._documents.partitions(EVENTS), *await self._documents.partitions(HELD)}
        for project in sorted(projects):
            try:
                while await self._step(project):
                    pass
            except NeighbourUnavailable as error:
                _log.info("Holds of %s wait for the artifact service: %s", project, error.message)
                return

    async def _step(self, project: str) -> bool:
        """Follows some changes. Returns whether there are more."""
        found = await self._documents.get_many(HELD, project, [_PLACE])
        place = found.get(_PLACE)
        since = place.body["revision"] if place is not None else 0
        page = await self._documents.changes(VERSIONS, project, since=since, limit=CHANGES_PER_READ)
        if page.revision == since:
            return False
        for change in page.changes:
            await self._follow(project, change.id, change.document)
        body = {"revision": page.revision}
        try:
            if place is None:
                await self._documents.insert(HELD, project, _PLACE, body)
            else:
                await self._documents.replace(HELD, project, _PLACE, body, expected=place.version)
        except (DocumentExists, DocumentMissing, VersionConflict):
            return False  # another replica was quicker
        return page.more

    async def _follow(self, project: str, version_id: str, document: Document | None) -> None:
        if document is None or document.body["deleted"]:
            await self._artifacts.release(project, version_id)
        elif (named := document.body.get("artifact_version", "")) and await self._artifacts.hold(
            named, version_id
        ) is None:
            _log.warning("The version %s of a model names %s, which is gone", version_id, named)
