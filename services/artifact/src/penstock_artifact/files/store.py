"""Files of runs and logged models as documents. Owns how they are found and written.

Partition = project id. Each path is a document of its own, whose id is the owner and the path; so a file costs the same
however many there are. Directories are not kept: they are what the ids of files say, in whose order a listing jumps over what
lies deeper.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from penstock_artifact.domain import BlobId, File
from penstock_artifact.errors import FileNotFound, PathTaken, TooManyMediaKeys
from penstock_artifact.files.domain import NewFile, OwnedFile, Owner, above, lies_below
from penstock_artifact.files.media import MEDIA_KEYS_PER_RUN_MAX, Media, MediaKey, MediaKind
from penstock_artifact.store import Page, insisting
from penstock_kit.names import RunName
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

__all__ = ["FILE_COLLECTIONS", "FileStore"]

FILES: Final = "files"
MEDIA_KEYS: Final = "media_keys"
FILE_COLLECTIONS: Final = (
    # Only media carry `media`.
    Collection(FILES, (Index("media", ("media.owner", "media.key", "media.step")),)),
    Collection(MEDIA_KEYS),
)

DOCUMENTS_PER_READ: Final = 100
"""Of a listing: what is read of a directory below before it is jumped over."""
DIGESTS_PER_PAGE: Final = 1_000
QUERIES_AT_ONCE: Final = 16

_LAST: Final = "\U0010ffff" * 64  # after every segment of a path, which has at most 255 bytes


class FileStore:
    """Domain nouns over the document store.

    Args:
        documents: A store opened with `FILE_COLLECTIONS`.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def put(self, owner: Owner, files: Sequence[NewFile], by: str, now_us: int) -> list[OwnedFile]:
        """Puts files, in place of those that are there, all or none: at most `OPERATIONS_PER_BATCH_MAX`.

        Of two calls at once that contradict each other, one making a file of what is a directory for the other, both may be
        kept. Each path can be read then, and deleted; a version of both cannot be published.

        Raises `PathTaken`, `TooManyMediaKeys`.
        """
        made = [OwnedFile(new.file, by, now_us, new.media) for new in files]
        keys = {new.media.key for new in files if new.media is not None}

        async def attempt() -> list[OwnedFile]:
            there = await self._checked(owner, [new.file.path for new in files])
            if keys:
                # Before the files: a key without files is left out when keys are listed.
                await self._note_media_keys(owner, keys)
            operations: list[Operation] = []
            for one in made:
                now = there.get(one.file.path)
                key = _id(owner, one.file.path)
                operations.append(
                    Insert(FILES, key, _body(owner, one))
                    if now is None
                    else Replace(FILES, key, _body(owner, one), now.version)
                )
            await self._documents.apply(owner.project, operations)
            return made

        return await insisting(attempt)

    async def check(self, owner: Owner, path: str) -> None:
        """Raises `PathTaken` if there cannot be a file at a path."""
        await self._checked(owner, [path])

    async def get(self, owner: Owner, path: str) -> OwnedFile:
        """Returns a file. Raises `FileNotFound`."""
        try:
            return _file(owner, await self._documents.get(FILES, owner.project, _id(owner, path)))
        except DocumentMissing:
            raise FileNotFound(f"{owner} has no file {path!r}.", path=path) from None

    async def below(self, owner: Owner, directory: str, limit: int, cursor: bytes | None) -> Page[OwnedFile]:
        """All files below a directory, by path. The uppermost one is empty."""
        first = _below(owner, directory)
        page = await self._documents.query(FILES, owner.project, "id", limit=limit, cursor=_placed(cursor, first))
        found = [_file(owner, document) for document in page.documents if document.id.startswith(first)]
        return Page(found, page.cursor if len(found) == len(page.documents) else None)

    async def directory(self, owner: Owner, directory: str, limit: int, cursor: bytes | None) -> Page[OwnedFile | str]:
        """What a directory holds, by path: files, and paths of directories, which have a slash at the end in that order."""
        first = _below(owner, directory)
        place = _placed(cursor, first)
        entries: list[OwnedFile | str] = []
        while True:
            page = await self._documents.query(
                FILES, owner.project, "id", limit=min(limit, DOCUMENTS_PER_READ), cursor=place
            )
            for document in page.documents:
                if not document.id.startswith(first):
                    return Page(entries, None)
                key = document.id.encode()
                if key < place:
                    continue  # of a directory that is jumped over
                if len(entries) == limit:
                    return Page(entries, place)
                name, slash, _ = document.id[len(first) :].partition("/")
                if slash:
                    entries.append(f"{directory}/{name}" if directory else name)
                    place = f"{first}{name}/{_LAST}".encode()
                else:
                    entries.append(_file(owner, document))
                    place = key
            if page.cursor is None:
                return Page(entries, None)

    async def delete(self, owner: Owner, path: str) -> int:
        """Deletes a file, and all files below the path; for an empty one all there are. Returns how many."""
        deleted = 0

        async def attempt() -> int:
            documents: list[Document] = []
            if path:
                found = await self._documents.get_many(FILES, owner.project, [_id(owner, path)])
                documents += found.values()
            first = _below(owner, path)
            page = await self._documents.query(
                FILES, owner.project, "id", limit=OPERATIONS_PER_BATCH_MAX - 1, cursor=first.encode()
            )
            documents += [document for document in page.documents if document.id.startswith(first)]
            await self._documents.apply(owner.project, [Delete(FILES, document.id) for document in documents])
            return len(documents)

        while some := await insisting(attempt):
            deleted += some
        return deleted

    async def digests(self, project: str, cursor: bytes | None) -> Page[str]:
        """The digests that all files of a project name, some at a time."""
        page = await self._documents.query(FILES, project, "id", limit=DIGESTS_PER_PAGE, cursor=cursor)
        return Page([document.body["sha256"] for document in page.documents], page.cursor)

    async def media(
        self, run: RunName, key: str, limit: int, cursor: bytes | None, *, descending: bool
    ) -> Page[OwnedFile]:
        """The media of a run, under one key or, if it is empty, under all: by key, step and path."""
        page = await self._documents.query(
            FILES,
            run.project,
            "media",
            equal=(_owner_id(run), key) if key else (_owner_id(run),),
            descending=descending,
            limit=limit,
            cursor=cursor,
        )
        return Page([_file(run, document) for document in page.documents], page.cursor)

    async def media_keys(self, run: RunName) -> list[MediaKey]:
        """The keys under which a run has media, by their UTF-8 bytes."""
        noted, _ = await self._noted_media_keys(run)
        found: list[MediaKey] = []
        for start in range(0, len(noted), QUERIES_AT_ONCE):
            last = await asyncio.gather(
                *(self.media(run, key, 1, None, descending=True) for key in noted[start : start + QUERIES_AT_ONCE])
            )
            # Those whose files were all deleted are left out.
            media = [page.items[0].media for page in last if page.items]
            found += [MediaKey(one.key, one.kind, one.step) for one in media if one is not None]
        return sorted(found, key=lambda one: one.key.encode())

    async def _note_media_keys(self, owner: Owner, keys: Set[str]) -> None:
        noted, document = await self._noted_media_keys(owner)
        if keys <= set(noted):
            return
        body = {"keys": sorted({*noted, *keys})}
        if len(body["keys"]) > MEDIA_KEYS_PER_RUN_MAX:
            raise TooManyMediaKeys(
                f"{owner} would have media under more than {MEDIA_KEYS_PER_RUN_MAX:,} keys: are steps or ids part of them?",
                limit="MEDIA_KEYS_PER_RUN_MAX",
            )
        if document is None:
            await self._documents.insert(MEDIA_KEYS, owner.project, _owner_id(owner), body)
        else:
            await self._documents.replace(MEDIA_KEYS, owner.project, _owner_id(owner), body, expected=document.version)

    async def _noted_media_keys(self, owner: Owner) -> tuple[list[str], Document | None]:
        try:
            document = await self._documents.get(MEDIA_KEYS, owner.project, _owner_id(owner))
        except DocumentMissing:
            return [], None
        return list(document.body["keys"]), document

    async def _checked(self, owner: Owner, paths: Sequence[str]) -> dict[str, Document]:
        """Returns those that are files already. Raises `PathTaken` for one below a file, or one that is a directory."""
        directories = {directory: path for path in paths for directory in above(path)}
        ids = {_id(owner, path): path for path in (*paths, *directories)}
        there = {
            ids[key]: document
            for key, document in (await self._documents.get_many(FILES, owner.project, list(ids))).items()
        }
        for directory, path in directories.items():
            if directory in there:
                raise lies_below(path, directory)
        new = [path for path in paths if path not in there]
        for start in range(0, len(new), QUERIES_AT_ONCE):
            await asyncio.gather(
                *(self._refuse_directory(owner, path) for path in new[start : start + QUERIES_AT_ONCE])
            )
        return there

    async def _refuse_directory(self, owner: Owner, path: str) -> None:
        if (await self.below(owner, path, 1, None)).items:
            raise PathTaken(f"The path {path!r} is a directory.", path=path)


def _owner_id(owner: Owner) -> str:
    return f"runs/{owner.run_id}" if isinstance(owner, RunName) else f"loggedModels/{owner.model_id}"


def _id(owner: Owner, path: str) -> str:
    return f"{_owner_id(owner)}/{path}"


def _below(owner: Owner, directory: str) -> str:
    """What the ids of files below a directory begin with."""
    return _id(owner, f"{directory}/" if directory else "")


def _placed(cursor: bytes | None, first: str) -> bytes:
    """Where a listing goes on. A cursor that somebody made up leads to no place before its beginning."""
    return max(cursor or b"", first.encode())


def _body(owner: Owner, one: OwnedFile) -> dict[str, Any]:
    body: dict[str, Any] = {
        "sha256": one.file.blob.sha256,
        "size": one.file.blob.size,
        "media_type": one.file.media_type,
        "creator": one.creator,
        "update_us": one.update_us,
    }
    if one.media is not None:
        media = one.media
        body["media"] = {
            "owner": _owner_id(owner),
            "key": media.key,
            "kind": int(media.kind),
            "step": media.step,
            "log_us": media.log_us,
            "rank": media.rank,
            "caption": media.caption,
        }
    return body


def _file(owner: Owner, document: Document) -> OwnedFile:
    body = document.body
    path = document.id[len(_id(owner, "")) :]
    return OwnedFile(
        File(path, BlobId(body["sha256"], body["size"]), body["media_type"]),
        body["creator"],
        body["update_us"],
        _media(body["media"]) if "media" in body else None,
    )


def _media(body: Mapping[str, Any]) -> Media:
    return Media(body["key"], MediaKind(body["kind"]), body["step"], body["log_us"], body["rank"], body["caption"])
