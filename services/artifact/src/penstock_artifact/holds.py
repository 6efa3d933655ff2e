"""Who keeps versions from being deleted, as documents. Owns how holds are found; `store` writes them beside their versions.

A hold is written together with its version, which stays as it is: whoever deletes that at the same moment finds it changed.
"""

from collections.abc import Sequence
from typing import Final

from penstock_artifact.errors import VersionHeld
from penstock_kit.stores.documents import (
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    Document,
    DocumentMissing,
    DocumentStore,
    Index,
    Insert,
    Operation,
    Replace,
)

__all__ = ["HOLD_COLLECTION", "Holds"]

HOLDS: Final = "holds"
HOLD_COLLECTION: Final = Collection(
    HOLDS,
    (Index("version", ("version",)), Index("artifact", ("artifact",)), Index("holder", ("holder",))),
)

_PAGE: Final = 500


class Holds:
    """The holds of versions.

    Args:
        documents: A store opened with `HOLD_COLLECTION`.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def holding(self, version: Document, holder: str, end_us: int | None) -> Operation:
        """What makes a holder hold a version until a time, None for until it is released."""
        key = f"{version.id}/{holder}"
        body = {"version": version.id, "artifact": version.body["artifact"], "holder": holder, "end_us": end_us}
        found = await self._documents.get_many(HOLDS, version.partition, [key])
        return Replace(HOLDS, key, body, found[key].version) if key in found else Insert(HOLDS, key, body)

    async def release(self, project: str, holder: str) -> None:
        """Ends all that a holder holds."""
        while True:
            page = await self._documents.query(
                HOLDS, project, "holder", equal=(holder,), limit=OPERATIONS_PER_BATCH_MAX
            )
            if not page.documents:
                return
            try:
                await self._documents.apply(project, [Delete(HOLDS, document.id) for document in page.documents])
            except DocumentMissing:
                continue  # somebody else releases it too, or the version was deleted

    async def ended(self, project: str, version_id: str, now_us: int) -> list[Operation]:
        """What deletes the holds of a version, which have ended all, or a page of them. Raises `VersionHeld` otherwise."""
        ended = await self._checked(project, "version", version_id, now_us)
        return [Delete(HOLDS, document.id, document.version) for document in ended]

    async def check_artifact(self, project: str, artifact_id: str, now_us: int) -> None:
        """Raises `VersionHeld` if somebody holds a version of an artifact."""
        await self._checked(project, "artifact", artifact_id, now_us)

    async def _checked(self, project: str, index: str, value: str, now_us: int) -> Sequence[Document]:
        """The first page of the holds that an index finds. Raises `VersionHeld` if one of all has not ended."""
        first: Sequence[Document] | None = None
        cursor: bytes | None = None
        while True:
            page = await self._documents.query(HOLDS, project, index, equal=(value,), limit=_PAGE, cursor=cursor)
            _check(page.documents, now_us)
            first = page.documents if first is None else first
            cursor = page.cursor
            if cursor is None:
                return first


def _check(holds: Sequence[Document], now_us: int) -> None:
    for hold in holds:
        end_us, holder = hold.body["end_us"], hold.body["holder"]
        if end_us is None or end_us > now_us:
            artifact, _, number = hold.body["version"].rpartition("/")
            raise VersionHeld(
                f"Version {int(number)} of the artifact {artifact!r} is held by {holder}. Delete the version of a model that "
                "names it first.",
                version=str(int(number)),
                holder=holder,
            )
