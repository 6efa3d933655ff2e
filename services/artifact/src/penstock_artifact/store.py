"""Artifacts, versions, manifests, blobs and links as documents. Owns how they are found and written.

Partition = project id. All changes of the versions of an artifact replace its record by its version, so they are one after
the other on every store. A blob's record is what makes its bytes visible: each upload writes bytes under a key of its own,
and the record names the one key that counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from penstock_artifact.domain import Artifact, ArtifactVersion, Link, LinkKind, Manifest, Retention, Storage
from penstock_artifact.errors import ArtifactNotFound, TooManyWriters, UploadNotFound, VersionNotFound
from penstock_artifact.holds import HOLD_COLLECTION, Holds
from penstock_kit.stores.documents import (
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    Index,
    Insert,
    Operation,
    Replace,
    VersionConflict,
)

__all__ = ["COLLECTIONS", "ArtifactStore", "Page", "StoredBlob", "insisting"]

ARTIFACTS: Final = "artifacts"
VERSIONS: Final = "versions"
MANIFESTS: Final = "manifests"
BLOBS: Final = "blobs"
LINKS: Final = "links"
PUBLICATIONS: Final = "publications"
STORAGE: Final = "storage"

COLLECTIONS: Final = (
    Collection(ARTIFACTS),
    Collection(VERSIONS, (Index("artifact", ("artifact", "number")),)),
    Collection(MANIFESTS),
    Collection(BLOBS, (Index("lease", ("lease_us",)), Index("key", ("key",)))),
    Collection(PUBLICATIONS),
    Collection(LINKS, (Index("run", ("run",)), Index("version", ("version",)))),
    Collection(STORAGE),
    HOLD_COLLECTION,
)

WRITE_ATTEMPTS_MAX: Final = (
    50  # concurrent writers of one artifact, or of one project's storage, progress one at a time
)
RETRY_PAUSE_S: Final = 0.005
LINKS_PER_BATCH: Final = 400
MANIFESTS_PER_PAGE: Final = 4  # each may have 4 MB

_STORAGE_ID: Final = "storage"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some values, and where to go on; None at the end."""

    items: list[T]
    cursor: bytes | None


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that counts.

    Attributes:
        sha256: Its digest.
        size: Its bytes.
        key: Where they are in the blob store.
        lease_us: It is not collected before a grace period after this time, in microseconds since 1970.
        version: Of its record.
    """

    sha256: str
    size: int
    key: str
    lease_us: int
    version: int = 0


class ArtifactStore:
    """Domain nouns over the document store.

    Args:
        documents: A store opened with `COLLECTIONS`.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents
        self._holds = Holds(documents)

    # Artifacts and versions

    async def artifact(self, project: str, artifact_id: str) -> Artifact:
        """Returns an artifact. Raises `ArtifactNotFound`."""
        return _artifact(project, await self._artifact_document(project, artifact_id))

    async def artifacts(self, project: str, limit: int, cursor: bytes | None) -> Page[Artifact]:
        """The artifacts of a project by name."""
        page = await self._documents.query(ARTIFACTS, project, "id", limit=limit, cursor=cursor)
        return Page([_artifact(project, document) for document in page.documents], page.cursor)

    async def version(self, project: str, artifact_id: str, number: int | None) -> ArtifactVersion:
        """Returns a version, for None the newest one. Raises `ArtifactNotFound`, `VersionNotFound`."""
        if number is None:
            number = (await self.artifact(project, artifact_id)).latest
        try:
            return _version(project, await self._documents.get(VERSIONS, project, _version_id(artifact_id, number)))
        except DocumentMissing:
            await self.artifact(project, artifact_id)
            raise _version_not_found(artifact_id, number) from None

    async def versions(self, project: str, artifact_id: str, limit: int, cursor: bytes | None) -> Page[ArtifactVersion]:
        """The versions of an artifact, newest first. Raises `ArtifactNotFound`."""
        await self.artifact(project, artifact_id)
        page = await self._documents.query(
            VERSIONS, project, "artifact", equal=(artifact_id,), descending=True, limit=limit, cursor=cursor
        )
        return Page([_version(project, document) for document in page.documents], page.cursor)

    async def manifest_text(self, version: ArtifactVersion) -> bytes:
        """The text of the manifest of a version. Raises `VersionNotFound` if it was deleted meanwhile."""
        key = _version_id(version.artifact_id, version.number)
        try:
            return (await self._documents.get(MANIFESTS, version.project, key)).body["text"]
        except DocumentMissing:
            raise _version_not_found(version.artifact_id, version.number) from None

    async def published(self, project: str, artifact_id: str, request_key: str) -> ArtifactVersion | None:
        """Returns the version that a call of `add_version` returned; None if there was none. Raises `VersionNotFound`."""
        try:
            call = await self._documents.get(PUBLICATIONS, project, request_key)
        except DocumentMissing:
            return None
        number = call.body["number"]
        version = await self.version(project, artifact_id, number)
        # An artifact that was deleted and made anew gives the same numbers again.
        if call.body.get("create_us", version.create_us) != version.create_us:
            raise _version_not_found(artifact_id, number)
        return version

    async def add_version(
        self,
        project: str,
        artifact_id: str,
        manifest: Manifest,
        decide: Callable[[Artifact | None], tuple[Artifact, ArtifactVersion]],
        *,
        run_id: str,
        request_key: str,
    ) -> ArtifactVersion:
        """Adds the version that `decide` makes for the artifact as it is. Returns the newest one if it has the same manifest.

        Args:
            decide: Returns the artifact as it shall be, and the version. May be called several times. What it raises passes.
            run_id: The run that writes it; empty for none.
            request_key: A former call with the same key is repeated: its version is returned. Empty means never.
        """

        async def attempt() -> ArtifactVersion:
            if request_key and (former := await self.published(project, artifact_id, request_key)) is not None:
                return former
            now: Document | None = None
            try:
                now = await self._documents.get(ARTIFACTS, project, artifact_id)
            except DocumentMissing:
                artifact, version = decide(None)
            else:
                artifact, version = decide(_artifact(project, now))
                latest = now.body["latest"]
                if latest:
                    newest = _version(
                        project, await self._documents.get(VERSIONS, project, _version_id(artifact_id, latest))
                    )
                    if newest.manifest == manifest.digest:
                        if run_id:
                            await self._link(newest, run_id, LinkKind.WRITTEN, version.create_us)
                        if request_key:
                            await self._documents.apply(project, [_publication(request_key, newest)])
                        return newest
            key = _version_id(artifact_id, version.number)
            operations: list[Operation] = [
                Insert(ARTIFACTS, artifact_id, _artifact_body(artifact))
                if now is None
                else Replace(ARTIFACTS, artifact_id, _artifact_body(artifact), now.version),
                Insert(VERSIONS, key, _version_body(version)),
                Insert(MANIFESTS, key, {"text": manifest.text}),
            ]
            if run_id:
                link = Link(artifact_id, version.number, run_id, LinkKind.WRITTEN, version.create_us)
                operations.append(Insert(LINKS, _link_id(link), _link_body(link)))
            if request_key:
                operations.append(_publication(request_key, version))
            await self._documents.apply(project, operations)
            return version

        return await insisting(attempt)

    async def delete_version(self, project: str, artifact_id: str, number: int, now_us: int) -> None:
        """Deletes a version and its links. Raises `ArtifactNotFound`, `VersionNotFound`, `VersionHeld`."""

        async def attempt() -> None:
            artifact = await self._artifact_document(project, artifact_id)
            key = _version_id(artifact_id, number)
            try:
                version = await self._documents.get(VERSIONS, project, key)
            except DocumentMissing:
                raise _version_not_found(artifact_id, number) from None
            page = await self._documents.query(
                VERSIONS, project, "artifact", equal=(artifact_id,), descending=True, limit=2
            )
            latest = next((one.body["number"] for one in page.documents if one.body["number"] != number), 0)
            body = _artifact_body(replace(_artifact(project, artifact), latest=latest, update_us=now_us))
            also = [Replace(ARTIFACTS, artifact_id, body, artifact.version)]
            await self._delete_with_links(project, version, also, now_us)

        await insisting(attempt)

    async def delete_artifact(self, project: str, artifact_id: str, now_us: int) -> None:
        """Deletes an artifact with all its versions. Raises `ArtifactNotFound`, `VersionHeld`.

        The oldest go first: whatever is left after a crash is an artifact as before, and may be deleted again.
        """

        await self._holds.check_artifact(project, artifact_id, now_us)

        async def attempt() -> bool:
            artifact = await self._artifact_document(project, artifact_id)
            page = await self._documents.query(VERSIONS, project, "artifact", equal=(artifact_id,), limit=1)
            if not page.documents:
                await self._documents.delete(ARTIFACTS, project, artifact_id, expected=artifact.version)
                return True
            version = page.documents[0]
            # Of the last version and the artifact neither goes without the other.
            last = version.body["number"] == artifact.body["latest"]
            also: Operation = (
                Delete(ARTIFACTS, artifact_id, artifact.version)
                if last
                else Replace(ARTIFACTS, artifact_id, artifact.body, artifact.version)
            )
            await self._delete_with_links(project, version, [also], now_us)
            return last

        while not await insisting(attempt):
            pass

    async def hold(self, version: ArtifactVersion, holder: str, end_us: int | None) -> None:
        """Keeps a version from being deleted until a time, None for until it is released. Raises `VersionNotFound`."""

        async def attempt() -> None:
            key = _version_id(version.artifact_id, version.number)
            try:
                document = await self._documents.get(VERSIONS, version.project, key)
            except DocumentMissing:
                raise _version_not_found(version.artifact_id, version.number) from None
            holding = await self._holds.holding(document, holder, end_us)
            await self._documents.apply(
                version.project, [Replace(VERSIONS, key, document.body, document.version), holding]
            )

        await insisting(attempt)

    async def release(self, project: str, holder: str) -> None:
        """Ends all that a holder holds in a project."""
        await self._holds.release(project, holder)

    async def use(self, version: ArtifactVersion, run_id: str, now_us: int) -> None:
        """Records that a run uses a version. Raises `VersionNotFound` if it was deleted meanwhile."""
        await insisting(lambda: self._link(version, run_id, LinkKind.USED, now_us))

    async def links_of_version(
        self, project: str, artifact_id: str, number: int, limit: int, cursor: bytes | None
    ) -> Page[Link]:
        """The lineage of a version."""
        return await self._links(project, "version", _version_id(artifact_id, number), limit, cursor)

    async def links_of_run(self, project: str, run_id: str, limit: int, cursor: bytes | None) -> Page[Link]:
        """The lineage of a run."""
        return await self._links(project, "run", run_id, limit, cursor)

    # Blobs

    async def projects(self) -> list[str]:
        """The projects that have or had blobs."""
        return await self._documents.partitions(STORAGE)

    async def blobs(self, project: str, digests: Sequence[str]) -> dict[str, StoredBlob]:
        """Returns those of the blobs that exist, by digest."""
        found: dict[str, StoredBlob] = {}
        for start in range(0, len(digests), 1_000):
            documents = await self._documents.get_many(BLOBS, project, digests[start : start + 1_000])
            found |= {digest: _blob(document) for digest, document in documents.items()}
        return found

    async def renew(self, project: str, blobs: Sequence[StoredBlob], now_us: int) -> None:
        """Keeps blobs from being collected from now on.

        Raises `VersionConflict`, `DocumentMissing` if one changed or is gone.
        """
        for start in range(0, len(blobs), OPERATIONS_PER_BATCH_MAX):
            await self._documents.apply(
                project,
                [
                    Replace(BLOBS, blob.sha256, _blob_body(replace(blob, lease_us=now_us)), blob.version)
                    for blob in blobs[start : start + OPERATIONS_PER_BATCH_MAX]
                ],
            )

    async def add_blobs(
        self, project: str, blobs: Sequence[StoredBlob], ending: Delete | None = None
    ) -> list[StoredBlob]:
        """Makes uploaded blobs count. Returns those that were there already, whose keys nobody needs.

        Args:
            project: The project's id.
            blobs: At most `OPERATIONS_PER_BATCH_MAX - 2`.
            ending: What must be there as it was read, and goes in the same write.

        Raises `QuotaExceeded`, `UploadNotFound` if `ending` is not there; then none counts.
        """

        async def attempt() -> list[StoredBlob]:
            if ending is not None:
                await self._check_there(project, ending)
            there = await self.blobs(project, [blob.sha256 for blob in blobs])
            unneeded = [blob for blob in blobs if blob.sha256 in there]
            new: dict[str, StoredBlob] = {}
            for blob in blobs:
                if blob.sha256 in new:
                    unneeded.append(blob)
                elif blob.sha256 not in there:
                    new[blob.sha256] = blob
            # The lease of those that are there is renewed too: somebody counts on them.
            renewed = [
                Replace(BLOBS, digest, _blob_body(replace(blob, lease_us=blobs[0].lease_us)), blob.version)
                for digest, blob in there.items()
            ]
            added = sum(blob.size for blob in new.values())
            operations: list[Operation] = [Insert(BLOBS, blob.sha256, _blob_body(blob)) for blob in new.values()]
            if new:
                storage, write = await self._storage(project)
                storage.check(added)
                operations.append(write(replace(storage, used=storage.used + added)))
            await self._documents.apply(project, [*operations, *renewed, *([ending] if ending is not None else [])])
            return unneeded

        return await insisting(attempt)

    async def _check_there(self, project: str, ending: Delete) -> None:
        found = await self._documents.get_many(ending.collection, project, [ending.id])
        if ending.id not in found or found[ending.id].version != ending.expected:
            raise UploadNotFound("The upload has ended: begin it anew.")

    async def idle_blobs(self, project: str, before_us: int, limit: int, cursor: bytes | None) -> Page[StoredBlob]:
        """The blobs whose lease is from before a time, oldest first."""
        page = await self._documents.query(BLOBS, project, "lease", limit=limit, cursor=cursor)
        blobs = [_blob(document) for document in page.documents]
        idle = [blob for blob in blobs if blob.lease_us < before_us]
        return Page(idle, page.cursor if len(idle) == len(blobs) else None)

    async def is_needed(self, project: str, key: str) -> bool:
        """Whether the record of a blob names a key."""
        return bool((await self._documents.query(BLOBS, project, "key", equal=(key,), limit=1)).documents)

    async def drop_blob(self, project: str, blob: StoredBlob) -> bool:
        """Makes a blob not count any more if its record is as it was read. Returns whether it was."""

        async def attempt() -> bool:
            storage, write = await self._storage(project)
            try:
                now = _blob(await self._documents.get(BLOBS, project, blob.sha256))
            except DocumentMissing:
                return False
            if now.version != blob.version or now.key != blob.key:
                return False
            used = max(0, storage.used - blob.size)
            await self._documents.apply(
                project, [Delete(BLOBS, blob.sha256, blob.version), write(replace(storage, used=used))]
            )
            return True

        return await insisting(attempt)

    async def manifest_texts(self, project: str, cursor: bytes | None) -> Page[bytes]:
        """The texts of all manifests of a project, some at a time."""
        page = await self._documents.query(MANIFESTS, project, "id", limit=MANIFESTS_PER_PAGE, cursor=cursor)
        return Page([document.body["text"] for document in page.documents], page.cursor)

    # Storage

    async def storage(self, project: str) -> Storage:
        """What the blobs of a project take."""
        return (await self._storage(project))[0]

    async def set_quota(self, project: str, quota: int | None) -> Storage:
        """Sets the quota of a project, None for no limit."""

        async def attempt() -> Storage:
            storage, write = await self._storage(project)
            changed = replace(storage, quota=quota)
            await self._documents.apply(project, [write(changed)])
            return changed

        return await insisting(attempt)

    async def set_retention(self, project: str, retention: Retention | None) -> Storage:
        """Sets which versions of a project are kept, None for all."""

        async def attempt() -> Storage:
            storage, write = await self._storage(project)
            changed = replace(storage, retention=retention)
            await self._documents.apply(project, [write(changed)])
            return changed

        return await insisting(attempt)

    async def _storage(self, project: str) -> tuple[Storage, Callable[[Storage], Operation]]:
        """The storage of a project, and what writes another one in its place."""
        try:
            document = await self._documents.get(STORAGE, project, _STORAGE_ID)
        except DocumentMissing:
            return Storage(), lambda storage: Insert(STORAGE, _STORAGE_ID, _storage_body(storage))
        return (
            _storage(document),
            lambda storage: Replace(STORAGE, _STORAGE_ID, _storage_body(storage), document.version),
        )

    async def _artifact_document(self, project: str, artifact_id: str) -> Document:
        try:
            return await self._documents.get(ARTIFACTS, project, artifact_id)
        except DocumentMissing:
            raise ArtifactNotFound(
                f"There is no artifact {artifact_id!r} in the project {project!r}.", artifact=artifact_id
            ) from None

    async def _link(self, version: ArtifactVersion, run_id: str, kind: LinkKind, now_us: int) -> None:
        link = Link(version.artifact_id, version.number, run_id, kind, now_us)
        key = _version_id(version.artifact_id, version.number)
        try:
            document = await self._documents.get(VERSIONS, version.project, key)
        except DocumentMissing:
            raise _version_not_found(version.artifact_id, version.number) from None
        if await self._documents.get_many(LINKS, version.project, [_link_id(link)]):
            return
        # The version is written as it is: whoever deletes it at the same moment finds it changed, and takes the link along.
        await self._documents.apply(
            version.project,
            [Insert(LINKS, _link_id(link), _link_body(link)), Replace(VERSIONS, key, document.body, document.version)],
        )

    async def _links(self, project: str, index: str, value: str, limit: int, cursor: bytes | None) -> Page[Link]:
        page = await self._documents.query(LINKS, project, index, equal=(value,), limit=limit, cursor=cursor)
        return Page([_link(document) for document in page.documents], page.cursor)

    async def _delete_with_links(self, project: str, version: Document, also: Sequence[Operation], now_us: int) -> None:
        # Looked for after the version was read: whoever comes to hold it now changes it.
        ended = await self._holds.ended(project, version.id, now_us)
        while True:
            page = await self._documents.query(LINKS, project, "version", equal=(version.id,), limit=LINKS_PER_BATCH)
            links: list[Operation] = [Delete(LINKS, link.id) for link in page.documents]
            if page.cursor is None:
                break
            await self._documents.apply(project, links)
        await self._documents.apply(
            project,
            [*also, Delete(VERSIONS, version.id, version.version), Delete(MANIFESTS, version.id), *links, *ended],
        )


async def insisting(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeats an attempt while others are quicker. Raises `TooManyWriters` in the end."""
    for turn in range(WRITE_ATTEMPTS_MAX):
        try:
            return await attempt()
        except (VersionConflict, DocumentExists, DocumentMissing):
            await asyncio.sleep(RETRY_PAUSE_S * min(turn, 20))
    raise TooManyWriters("Others changed it again and again at the same time: try it again.")


def _version_id(artifact_id: str, number: int) -> str:
    return f"{artifact_id}/{number:09d}"


def _publication(request_key: str, version: ArtifactVersion) -> Insert:
    return Insert(PUBLICATIONS, request_key, {"number": version.number, "create_us": version.create_us})


def _link_id(link: Link) -> str:
    return f"{_version_id(link.artifact_id, link.number)}/{link.run_id}/{link.kind}"


def _version_not_found(artifact_id: str, number: int) -> VersionNotFound:
    if number == 0:
        return VersionNotFound(f"The artifact {artifact_id!r} has no version.", artifact=artifact_id)
    return VersionNotFound(f"The artifact {artifact_id!r} has no version {number}.", artifact=artifact_id)


def _artifact_body(artifact: Artifact) -> dict[str, Any]:
    return {
        "type": artifact.type,
        "latest": artifact.latest,
        "last": artifact.last,
        "creator": artifact.creator,
        "create_us": artifact.create_us,
        "update_us": artifact.update_us,
    }


def _artifact(project: str, document: Document) -> Artifact:
    return Artifact(project=project, artifact_id=document.id, **document.body)


def _version_body(version: ArtifactVersion) -> dict[str, Any]:
    return {
        "artifact": version.artifact_id,
        "number": version.number,
        "type": version.type,
        "manifest": version.manifest,
        "file_count": version.file_count,
        "reference_count": version.reference_count,
        "size": version.size,
        "description": version.description,
        "creator": version.creator,
        "create_us": version.create_us,
    }


def _version(project: str, document: Document) -> ArtifactVersion:
    body = dict(document.body)
    return ArtifactVersion(project=project, artifact_id=body.pop("artifact"), **body)


def _link_body(link: Link) -> dict[str, Any]:
    return {
        "run": link.run_id,
        "version": _version_id(link.artifact_id, link.number),
        "artifact": link.artifact_id,
        "number": link.number,
        "kind": int(link.kind),
        "create_us": link.create_us,
    }


def _link(document: Document) -> Link:
    body = document.body
    return Link(body["artifact"], body["number"], body["run"], LinkKind(body["kind"]), body["create_us"])


def _blob_body(blob: StoredBlob) -> dict[str, Any]:
    return {"size": blob.size, "key": blob.key, "lease_us": blob.lease_us}


def _blob(document: Document) -> StoredBlob:
    return StoredBlob(
        document.id, document.body["size"], document.body["key"], document.body["lease_us"], document.version
    )


def _storage_body(storage: Storage) -> dict[str, Any]:
    kept = storage.retention
    return {"used": storage.used, "quota": storage.quota, "kept": [kept.versions, kept.days] if kept else None}


def _storage(document: Document) -> Storage:
    kept = document.body.get("kept")  # older records have none
    return Storage(document.body["used"], document.body["quota"], Retention(*kept) if kept else None)
