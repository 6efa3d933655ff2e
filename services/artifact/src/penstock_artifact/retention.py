"""Deletes versions that a project does not want to keep any longer.

A version goes if it is neither among the newest of its artifact nor young enough, and nobody holds it. It is deleted as by
whoever asks for that, so a hold and a deletion at once are decided in the same way, and several replicas may do it at once.
"""

import logging
from typing import Final

from penstock_artifact.domain import Artifact, Retention
from penstock_artifact.errors import ArtifactNotFound, VersionHeld, VersionNotFound
from penstock_artifact.store import ArtifactStore
from penstock_kit.clock import Clock

__all__ = ["Retainer"]

DAY_US: Final = 86_400_000_000
_PAGE: Final = 1_000

_log = logging.getLogger(__name__)


class Retainer:
    """Applies what projects say of their versions.

    Args:
        store: The records.
        clock: The time.
    """

    def __init__(self, store: ArtifactStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def apply(self) -> None:
        """Goes through all projects once."""
        for project in await self._store.projects():
            retention = (await self._store.storage(project)).retention
            if retention is None:
                continue
            deleted = 0
            cursor: bytes | None = None
            while True:
                page = await self._store.artifacts(project, _PAGE, cursor)
                for artifact in page.items:
                    deleted += await self._apply_to(artifact, retention)
                cursor = page.cursor
                if cursor is None:
                    break
            if deleted:
                _log.info(
                    "deleted versions that are not kept any longer", extra={"project": project, "versions": deleted}
                )

    async def _apply_to(self, artifact: Artifact, retention: Retention) -> int:
        deleted = 0
        try:
            for number in await self._unwanted(artifact, retention):
                try:
                    now_us = self._clock.now_us()
                    await self._store.delete_version(artifact.project, artifact.artifact_id, number, now_us)
                    deleted += 1
                except (VersionHeld, VersionNotFound):
                    pass  # it is kept for somebody, or somebody else deleted it
        except ArtifactNotFound:
            pass  # it was deleted meanwhile
        return deleted

    async def _unwanted(self, artifact: Artifact, retention: Retention) -> list[int]:
        """The numbers of versions that are too old and too many, oldest first."""
        before_us = self._clock.now_us() - retention.days * DAY_US
        unwanted: list[int] = []
        seen = 0
        cursor: bytes | None = None
        while True:
            page = await self._store.versions(artifact.project, artifact.artifact_id, _PAGE, cursor)
            for version in page.items:
                seen += 1
                if seen > retention.versions and version.create_us < before_us:
                    unwanted.append(version.number)
            cursor = page.cursor
            if cursor is None:
                return unwanted[::-1]
