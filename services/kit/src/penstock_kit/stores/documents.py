"""The document store port: small records by key, declared indexes, atomic batches in one partition, a change feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "BODY_BYTES_MAX",
    "OPERATIONS_PER_BATCH_MAX",
    "Change",
    "ChangePage",
    "Collection",
    "Delete",
    "Document",
    "DocumentExists",
    "DocumentMissing",
    "DocumentPage",
    "DocumentStore",
    "DocumentStoreError",
    "DocumentTooLarge",
    "Index",
    "Insert",
    "Operation",
    "Replace",
    "UniqueConflict",
    "VersionConflict",
]

BODY_BYTES_MAX = 8_000_000  # below the 16 MB of MongoDB, indexes and envelope included
OPERATIONS_PER_BATCH_MAX = 1_000

Scalar = str | int | float | bool | bytes | None
"""What an index field may hold. Ordering is by type first (None, bool, numbers, str, bytes), then by value."""


@dataclass(frozen=True, slots=True)
class Index:
    """A declared index: documents of a partition ordered by the named body fields, then by id.

    A field is a dotted path into the body. A document that lacks one of the fields is not in the index.
    `unique` forbids two documents of a partition with the same values.
    """

    name: str
    fields: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """A declared collection. A store is opened with all collections of its service, and knows no others."""

    name: str
    indexes: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A record. `body` holds str, int (64 bit), float, bool, None, bytes, and lists and string-keyed dicts of these.

    `version` counts its writes from 1. `revision` is the place of its last write in the order of all writes of its
    collection and partition.
    """

    collection: str
    partition: str
    id: str
    body: Mapping[str, Any]
    version: int
    revision: int


@dataclass(frozen=True, slots=True)
class Insert:
    """Adds a document. Fails with `DocumentExists` if the id is taken."""

    collection: str
    id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replace:
    """Replaces a document if its version is `expected`.

    Fails with `VersionConflict` otherwise, `DocumentMissing` if absent.
    """

    collection: str
    id: str
    body: Mapping[str, Any]
    expected: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes a document, if `expected` is None or its version.

    Fails with `VersionConflict` otherwise, `DocumentMissing` if absent.
    """

    collection: str
    id: str
    expected: int | None = None


Operation = Insert | Replace | Delete


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents in index order. `cursor` goes on after the last one; None means that there are no more."""

    documents: Sequence[Document]
    cursor: bytes | None


@dataclass(frozen=True, slots=True)
class Change:
    """A document as it is now, or that it is gone (`document` is None)."""

    id: str
    revision: int
    document: Document | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in order of revision. `revision` is where to go on; `more` says whether there are others already."""

    changes: Sequence[Change]
    revision: int
    more: bool


class DocumentStoreError(Exception):
    """An operation that the store refused. Carries what it was about, never text of a driver."""

    def __init__(self, collection: str, partition: str, id: str) -> None:
        super().__init__(f"{collection} {partition}/{id}")
        self.collection = collection
        self.partition = partition
        self.id = id


class DocumentMissing(DocumentStoreError):
    """There is no such document."""


class DocumentExists(DocumentStoreError):
    """The id is taken."""


class VersionConflict(DocumentStoreError):
    """The document changed since it was read."""


class UniqueConflict(DocumentStoreError):
    """Another document holds the values of a unique index."""


class DocumentTooLarge(DocumentStoreError):
    """The body is larger than `BODY_BYTES_MAX`."""


class DocumentStore(Protocol):
    """Small records. Every write is durable when its call returns. Reads see every write that returned before them."""

    async def get(self, collection: str, partition: str, id: str) -> Document:
        """Returns a document. Raises `DocumentMissing`."""
        ...

    async def get_many(self, collection: str, partition: str, ids: Sequence[str]) -> dict[str, Document]:
        """Returns those of the documents that exist, by id."""
        ...

    async def insert(self, collection: str, partition: str, id: str, body: Mapping[str, Any]) -> Document:
        """Adds a document. Raises `DocumentExists`, `UniqueConflict`, `DocumentTooLarge`."""
        ...

    async def replace(
        self, collection: str, partition: str, id: str, body: Mapping[str, Any], *, expected: int
    ) -> Document:
        """Replaces a document if its version is `expected`.

        Raises `VersionConflict` otherwise, `DocumentMissing` if absent, `UniqueConflict`, `DocumentTooLarge`.
        """
        ...

    async def delete(self, collection: str, partition: str, id: str, *, expected: int | None = None) -> None:
        """Removes a document. Raises `DocumentMissing`, `VersionConflict`."""
        ...

    async def apply(self, partition: str, operations: Sequence[Operation]) -> list[Document | None]:
        """Does all operations, in order, or none: at most `OPERATIONS_PER_BATCH_MAX` within one partition.

        Returns the documents written, None for a deletion. Raises what the single calls raise; then nothing is kept.
        """
        ...

    async def query(
        self,
        collection: str,
        partition: str,
        index: str,
        *,
        equal: tuple[Scalar, ...] = (),
        descending: bool = False,
        limit: int = 100,
        cursor: bytes | None = None,
    ) -> DocumentPage:
        """Returns documents in the order of a declared index (`"id"` is always there: by id).

        Args:
            equal: Only documents whose first index fields equal these.
            descending: The reverse order, ids included.
            limit: At most this many, 1 to 10,000.
            cursor: From the page before, of the same query. Documents written meanwhile appear in their places. Anybody may
                have made it up: any bytes are some place in the order. In the order of ids an id in UTF-8 is the place
                after it, whether there is such a document or not.
        """
        ...

    async def partitions(self, collection: str) -> list[str]:
        """Returns the partitions that hold documents of a collection, sorted."""
        ...

    async def changes(self, collection: str, partition: str, *, since: int, limit: int = 1000) -> ChangePage:
        """Returns what was written after revision `since` (0: everything), each document once, as it is now.

        No write that returned before this call is ever skipped by a caller who goes on from `ChangePage.revision`.
        """
        ...

    async def close(self) -> None:
        """Releases files and connections. The store is not usable afterwards."""
        ...
