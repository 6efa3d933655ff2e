"""Files of runs and logged models as documents. Owns how they are found and written.

Partition = project id. Each path is a document of its own, whose id is the owner and the path; so a file costs the same
however many there are. Directories are not kept: they are what the ids of files say, in whose order a listing jumps over what
lies deeper.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from penstock_artifact.domain import BlobId, File
from penstock_artifact.errors import FileNotFound, PathTaken
from penstock_artifact.files.domain import OwnedFile, Owner, above, lies_below
from penstock_artifact.store import Page, insisting
from penstock_kit.names import RunName
from penstock_kit.stores.documents import (
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    Document,
    DocumentMissing,
    DocumentStore,
    Insert,
    Operation,
    Replace,
)

__all__ = ["COLLECTION", "FileStore"]

FILES: Final = "files"
COLLECTION: Final = Collection(FILES)

DOCUMENTS_PER_READ: Final = 100
"""Of a listing: what is read of a directory below before it is jumped over."""
DIGESTS_PER_PAGE: Final = 1_000
QUERIES_AT_ONCE: Final = 16

_LAST: Final = "\U0010ffff" * 64  # after every segment of a path, which has at most 255 bytes


class FileStore:
    """Domain nouns over the document store.

    Args:
        documents: A store opened with `COLLECTION`.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def put(self, owner: Owner, files: Sequence[File], by: str, now_us: int) -> list[OwnedFile]:
        """Puts files, in place of those that are there, all or none: at most `OPERATIONS_PER_BATCH_MAX`. Raises `PathTaken`.

        Of two calls at once that contradict each other, one making a file of what is a directory for the other, both may be
        kept. Each path can be read then, and deleted; a version of both cannot be published.
        """
        made = [OwnedFile(file, by, now_us) for file in files]

        async def attempt() -> list[OwnedFile]:
            there = await self._checked(owner, [file.path for file in files])
            operations: list[Operation] = []
            for one in made:
                now = there.get(one.file.path)
                key = _id(owner, one.file.path)
                operations.append(
                    Insert(FILES, key, _body(one)) if now is None else Replace(FILES, key, _body(one), now.version)
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


def _body(one: OwnedFile) -> dict[str, Any]:
    return {
        "sha256": one.file.blob.sha256,
        "size": one.file.blob.size,
        "media_type": one.file.media_type,
        "creator": one.creator,
        "update_us": one.update_us,
    }


def _file(owner: Owner, document: Document) -> OwnedFile:
    body = document.body
    path = document.id[len(_id(owner, "")) :]
    return OwnedFile(
        File(path, BlobId(body["sha256"], body["size"]), body["media_type"]), body["creator"], body["update_us"]
    )
