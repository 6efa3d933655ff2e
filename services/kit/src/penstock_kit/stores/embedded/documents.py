"""The document store on SQLite: bodies as MessagePack in one generic table, declared indexes in another.

A collection and partition together are a *shelf*, known inside by a small integer. Its row counts the revisions. Index
entries hold keys whose bytes sort like the values (see `index_keys`), so that each query is one range of one B-tree. A
deleted document leaves a tombstone with the revision of its deletion, which a later insert of the same id removes.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgpack

from penstock_kit.stores import index_keys
from penstock_kit.stores.documents import (
    BODY_BYTES_MAX,
    OPERATIONS_PER_BATCH_MAX,
    Change,
    ChangePage,
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentPage,
    DocumentTooLarge,
    Index,
    Insert,
    Operation,
    Replace,
    Scalar,
    UniqueConflict,
    VersionConflict,
)
from penstock_kit.stores.embedded.sqlite import Schema, SqliteFile

__all__ = ["SqliteDocumentStore"]

QUERY_LIMIT_MAX = 10_000
IDS_PER_STATEMENT = 1_000  # SQLite takes 32,766 parameters

_SCHEMA = Schema(
    application_id=0x50534443,  # "PSDC"
    migrations=(
        (
            """CREATE TABLE shelves (
                shelf INTEGER PRIMARY KEY,
                collection TEXT NOT NULL,
                partition TEXT NOT NULL,
                revision INTEGER NOT NULL,
                documents INTEGER NOT NULL,
                UNIQUE (collection, partition)
            ) STRICT""",
            """CREATE TABLE documents (
                document INTEGER PRIMARY KEY,
                shelf INTEGER NOT NULL,
                id TEXT NOT NULL,
                version INTEGER NOT NULL,
                revision INTEGER NOT NULL,
                body BLOB NOT NULL,
                UNIQUE (shelf, id)
            ) STRICT""",
            "CREATE UNIQUE INDEX documents_by_revision ON documents (shelf, revision)",
            """CREATE TABLE tombstones (
                shelf INTEGER NOT NULL,
                id TEXT NOT NULL,
                revision INTEGER NOT NULL,
                PRIMARY KEY (shelf, id)
            ) STRICT, WITHOUT ROWID""",
            "CREATE UNIQUE INDEX tombstones_by_revision ON tombstones (shelf, revision)",
            """CREATE TABLE indexes (
                index_number INTEGER PRIMARY KEY,
                collection TEXT NOT NULL,
                name TEXT NOT NULL,
                definition TEXT NOT NULL, -- entries are made anew when it changes
                UNIQUE (collection, name)
            ) STRICT""",
            """CREATE TABLE entries (
                shelf INTEGER NOT NULL,
                index_number INTEGER NOT NULL,
                key BLOB NOT NULL,
                document INTEGER NOT NULL,
                PRIMARY KEY (shelf, index_number, key)
            ) STRICT, WITHOUT ROWID""",
        ),
    ),
)

_COLUMNS = "id, version, revision, body"


@dataclass(frozen=True, slots=True)
class _DeclaredIndex:
    number: int
    name: str
    paths: tuple[tuple[str, ...], ...]
    unique: bool


_Indexes = Mapping[str, Mapping[str, _DeclaredIndex]]  # by collection, then by name


@dataclass(frozen=True, slots=True)
class _Packed:
    """An operation with its body as bytes, made before the call waits: later changes of the body are not stored."""

    operation: Operation
    body: bytes


class SqliteDocumentStore:
    """The document store port on one SQLite file. Made by `open`.

    Where the medium is full, a write raises `OSError` with ENOSPC, and nothing of it is kept.
    """

    def __init__(self, file: SqliteFile, indexes: _Indexes) -> None:
        self._file = file
        self._indexes = indexes

    @classmethod
    async def open(cls, path: Path, collections: Sequence[Collection]) -> Self:
        """Opens or creates the file, and builds the entries of indexes that are new or were declared otherwise.

        Raises `StoreFileDamaged`, `StoreFileNewer`, `StoreFileBusy`; `UniqueConflict` if what is there does not fit a
        new unique index.
        """
        file = await SqliteFile.open(path, _SCHEMA)
        try:
            indexes = await file.write(lambda connection: _declare(connection, collections))
        except BaseException:
            await file.close()
            raise
        return cls(file, indexes)

    async def get(self, collection: str, partition: str, id: str) -> Document:
        """See `DocumentStore.get`."""
        found = await self.get_many(collection, partition, [id])
        if id not in found:
            raise DocumentMissing(collection, partition, id)
        return found[id]

    async def get_many(self, collection: str, partition: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore.get_many`."""
        self._known(collection)
        wanted = list(dict.fromkeys(ids))

        def work(connection: sqlite3.Connection) -> dict[str, Document]:
            shelf = _shelf(connection, collection, partition)
            found: dict[str, Document] = {}
            for start in range(0, len(wanted), IDS_PER_STATEMENT):
                part = wanted[start : start + IDS_PER_STATEMENT]
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM documents WHERE shelf = ? AND id IN ({', '.join('?' * len(part))})",
                    (shelf, *part),
                )
                found.update((row[0], _document(collection, partition, row)) for row in rows)
            return found

        return await self._file.read(work)

    async def insert(self, collection: str, partition: str, id: str, body: Mapping[str, Any]) -> Document:
        """See `DocumentStore.insert`."""
        return await self._write_one(partition, Insert(collection, id, body))

    async def replace(
        self, collection: str, partition: str, id: str, body: Mapping[str, Any], *, expected: int
    ) -> Document:
        """See `DocumentStore.replace`."""
        return await self._write_one(partition, Replace(collection, id, body, expected))

    async def delete(self, collection: str, partition: str, id: str, *, expected: int | None = None) -> None:
        """See `DocumentStore.delete`."""
        await self.apply(partition, [Delete(collection, id, expected)])

    async def apply(self, partition: str, operations: Sequence[Operation]) -> list[Document | None]:
        """See `DocumentStore.apply`. Raises `ValueError` for more than `OPERATIONS_PER_BATCH_MAX` operations."""
        if len(operations) > OPERATIONS_PER_BATCH_MAX:
            raise ValueError(
                f"{len(operations)} operations in one batch; at most {OPERATIONS_PER_BATCH_MAX} are allowed"
            )
        for operation in operations:
            self._known(operation.collection)
        packed = [_pack(partition, operation) for operation in operations]
        if not packed:
            return []
        return await self._file.write(
            lambda connection: [_apply(connection, self._indexes, partition, one) for one in packed]
        )

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
        """See `DocumentStore.query`. The cursor is the last key of the page; by id, it is the id."""
        if not 1 <= limit <= QUERY_LIMIT_MAX:
            raise ValueError(f"limit is {limit}; it must be from 1 to {QUERY_LIMIT_MAX}")
        declared = self._known(collection)
        if index == "id":
            return await self._query_by_id(collection, partition, equal, descending, limit, cursor)
        if index not in declared:
            raise ValueError(f"{collection} has no index {index!r}")
        if len(equal) > len(declared[index].paths):
            raise ValueError(f"{len(equal)} values for the index {index!r} of {len(declared[index].paths)} fields")
        prefix = index_keys.encode(equal)
        first, end = prefix, index_keys.upper_bound(prefix)
        if cursor is not None:
            # One bound at each end: of two, SQLite may search by the wider one and read all pages before again.
            if descending:
                end = min(end, cursor)
            else:
                first = max(first, cursor + b"\0")  # the next key there can be

        def work(connection: sqlite3.Connection) -> DocumentPage:
            shelf = _shelf(connection, collection, partition)
            rows = connection.execute(
                f"SELECT {_COLUMNS}, key FROM entries JOIN documents USING (document)"
                " WHERE entries.shelf = ? AND index_number = ? AND key >= ? AND key < ?"
                f" ORDER BY key {'DESC' if descending else 'ASC'} LIMIT ?",
                (shelf, declared[index].number, first, end, limit + 1),
            ).fetchall()
            documents = [_document(collection, partition, row) for row in rows[:limit]]
            return DocumentPage(documents, rows[limit - 1][4] if len(rows) > limit else None)

        return await self._file.read(work)

    async def partitions(self, collection: str) -> list[str]:
        """See `DocumentStore.partitions`."""
        self._known(collection)

        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT partition FROM shelves WHERE collection = ? AND documents > 0 ORDER BY partition", (collection,)
            )
            return [partition for (partition,) in rows]

        return await self._file.read(work)

    async def changes(self, collection: str, partition: str, *, since: int, limit: int = 1000) -> ChangePage:
        """See `DocumentStore.changes`."""
        if limit < 1:
            raise ValueError(f"limit is {limit}; it must be at least 1")
        self._known(collection)

        def work(connection: sqlite3.Connection) -> ChangePage:
            shelf = _shelf(connection, collection, partition)
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM documents WHERE shelf = ? AND revision > ? UNION ALL"
                " SELECT id, 0, revision, NULL FROM tombstones WHERE shelf = ? AND revision > ? ORDER BY 3 LIMIT ?",
                (shelf, since, shelf, since, limit + 1),
            ).fetchall()
            changes = [
                Change(row[0], row[2], None if row[3] is None else _document(collection, partition, row))
                for row in rows[:limit]
            ]
            return ChangePage(changes, changes[-1].revision if changes else since, len(rows) > limit)

        return await self._file.read(work)

    async def close(self) -> None:
        """See `DocumentStore.close`."""
        await self._file.close()

    async def _write_one(self, partition: str, operation: Insert | Replace) -> Document:
        (document,) = await self.apply(partition, [operation])
        assert document is not None
        return document

    async def _query_by_id(
        self,
        collection: str,
        partition: str,
        equal: tuple[Scalar, ...],
        descending: bool,
        limit: int,
        cursor: bytes | None,
    ) -> DocumentPage:
        if len(equal) > 1:
            raise ValueError(f"{len(equal)} values for the index by id")
        conditions = "AND id = ?" if equal else ""
        values: list[Any] = [*equal]
        if cursor is not None:
            conditions += f" AND id {'<' if descending else '>'} ?"
            values.append(cursor.decode(errors="replace"))  # anybody may have written it

        def work(connection: sqlite3.Connection) -> DocumentPage:
            shelf = _shelf(connection, collection, partition)
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM documents WHERE shelf = ? {conditions}"
                f" ORDER BY id {'DESC' if descending else 'ASC'} LIMIT ?",
                (shelf, *values, limit + 1),
            ).fetchall()
            documents = [_document(collection, partition, row) for row in rows[:limit]]
            return DocumentPage(documents, documents[-1].id.encode() if len(rows) > limit else None)

        return await self._file.read(work)

    def _known(self, collection: str) -> Mapping[str, _DeclaredIndex]:
        if collection not in self._indexes:
            raise ValueError(f"the store was not opened with a collection {collection!r}")
        return self._indexes[collection]


def _pack(partition: str, operation: Operation) -> _Packed:
    if isinstance(operation, Delete):
        return _Packed(operation, b"")
    body: Any = msgpack.packb(dict(operation.body))  # its stub also allows None
    if len(body) > BODY_BYTES_MAX:
        raise DocumentTooLarge(operation.collection, partition, operation.id)
    return _Packed(operation, body)


def _document(collection: str, partition: str, row: tuple[Any, ...]) -> Document:
    return Document(collection, partition, row[0], _unpack(row[3]), row[1], row[2])


def _unpack(body: bytes) -> dict[str, Any]:
    return msgpack.unpackb(body)


def _shelf(connection: sqlite3.Connection, collection: str, partition: str) -> int | None:
    row = connection.execute(
        "SELECT shelf FROM shelves WHERE collection = ? AND partition = ?", (collection, partition)
    ).fetchone()
    return None if row is None else row[0]


def _apply(connection: sqlite3.Connection, indexes: _Indexes, partition: str, packed: _Packed) -> Document | None:
    operation = packed.operation
    collection, id = operation.collection, operation.id
    declared = indexes[collection].values()
    shelf = _shelf(connection, collection, partition)
    before = (
        connection.execute(
            "SELECT document, version, body FROM documents WHERE shelf = ? AND id = ?", (shelf, id)
        ).fetchone()
        if shelf is not None
        else None
    )
    if isinstance(operation, Insert):
        if before is not None:
            raise DocumentExists(collection, partition, id)
    elif before is None:
        raise DocumentMissing(collection, partition, id)
    elif operation.expected is not None and operation.expected != before[1]:
        raise VersionConflict(collection, partition, id)
    shelf, revision = _next_revision(connection, collection, partition, operation)

    if before is not None:
        for index, key in _keys(declared, _unpack(before[2]), id):
            connection.execute(
                "DELETE FROM entries WHERE shelf = ? AND index_number = ? AND key = ?", (shelf, index.number, key)
            )
    if isinstance(operation, Delete):
        connection.execute("DELETE FROM documents WHERE shelf = ? AND id = ?", (shelf, id))
        connection.execute("INSERT INTO tombstones (shelf, id, revision) VALUES (?, ?, ?)", (shelf, id, revision))
        return None
    body = _unpack(packed.body)
    if before is None:
        version = 1
        connection.execute("DELETE FROM tombstones WHERE shelf = ? AND id = ?", (shelf, id))
        document = connection.execute(
            "INSERT INTO documents (shelf, id, version, revision, body) VALUES (?, ?, ?, ?, ?)",
            (shelf, id, version, revision, packed.body),
        ).lastrowid
        assert document is not None
    else:
        document, version = before[0], before[1] + 1
        connection.execute(
            "UPDATE documents SET version = ?, revision = ?, body = ? WHERE document = ?",
            (version, revision, packed.body, document),
        )
    stored = Document(collection, partition, id, body, version, revision)
    _add_entries(connection, shelf, document, declared, stored)
    return stored


def _next_revision(
    connection: sqlite3.Connection, collection: str, partition: str, operation: Operation
) -> tuple[int, int]:
    """Counts a write of a shelf, adding the shelf with its first. Returns its number and the new revision."""
    more = {Insert: 1, Replace: 0, Delete: -1}[type(operation)]
    return connection.execute(
        "INSERT INTO shelves (collection, partition, revision, documents) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (collection, partition) DO UPDATE"
        " SET revision = revision + 1, documents = documents + excluded.documents RETURNING shelf, revision",
        (collection, partition, more),
    ).fetchone()


def _keys(
    declared: Iterable[_DeclaredIndex], body: Mapping[str, Any], id: str
) -> Iterator[tuple[_DeclaredIndex, bytes]]:
    for index in declared:
        fields = index_keys.encode_fields(body, index.paths)
        if fields is not None:
            yield index, fields + id.encode()


def _add_entries(
    connection: sqlite3.Connection,
    shelf: int,
    document: int,
    declared: Iterable[_DeclaredIndex],
    stored: Document,
) -> None:
    for index, key in _keys(declared, stored.body, stored.id):
        if index.unique:
            fields = key.removesuffix(stored.id.encode())
            taken = connection.execute(
                "SELECT 1 FROM entries WHERE shelf = ? AND index_number = ? AND key >= ? AND key < ?",
                (shelf, index.number, fields, index_keys.upper_bound(fields)),
            ).fetchone()
            if taken is not None:
                raise UniqueConflict(stored.collection, stored.partition, stored.id)
        connection.execute(
            "INSERT INTO entries (shelf, index_number, key, document) VALUES (?, ?, ?, ?)",
            (shelf, index.number, key, document),
        )


def _declare(connection: sqlite3.Connection, collections: Sequence[Collection]) -> _Indexes:
    """Numbers the declared indexes and builds those that are new or declared otherwise than the file says."""
    stored = {
        (collection, name): (number, definition)
        for number, collection, name, definition in connection.execute(
            "SELECT index_number, collection, name, definition FROM indexes"
        )
    }
    indexes: dict[str, dict[str, _DeclaredIndex]] = {}
    for collection in collections:
        declared = indexes.setdefault(collection.name, {})
        for index in collection.indexes:
            if index.name == "id" or index.name in declared:
                raise ValueError(f"the index name {index.name!r} of {collection.name} is taken")
            definition = json.dumps({"fields": index.fields, "unique": index.unique})
            number, before = stored.pop((collection.name, index.name), (None, None))
            if before != definition:
                number = _renumber(connection, number, collection.name, index.name, definition)
            assert number is not None
            declared[index.name] = _declared_index(number, index)
            if before != definition:
                _build(connection, collection.name, declared[index.name])
    for (collection_name, _), (number, _) in stored.items():
        # Indexes of other collections stay: a collection that is not opened today is not written either.
        if collection_name in indexes:
            _forget(connection, number)
    return indexes


def _declared_index(number: int, index: Index) -> _DeclaredIndex:
    paths = tuple(tuple(field.split(".")) for field in index.fields)
    return _DeclaredIndex(number, index.name, paths, index.unique)


def _renumber(
    connection: sqlite3.Connection, number: int | None, collection: str, name: str, definition: str
) -> int | None:
    if number is not None:
        _forget(connection, number)
    return connection.execute(
        "INSERT INTO indexes (collection, name, definition) VALUES (?, ?, ?)", (collection, name, definition)
    ).lastrowid


def _forget(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM indexes WHERE index_number = ?", (number,))
    connection.execute("DELETE FROM entries WHERE index_number = ?", (number,))


def _build(connection: sqlite3.Connection, collection: str, index: _DeclaredIndex) -> None:
    shelves = connection.execute("SELECT shelf, partition FROM shelves WHERE collection = ?", (collection,)).fetchall()
    for shelf, partition in shelves:
        rows = connection.execute(f"SELECT {_COLUMNS}, document FROM documents WHERE shelf = ?", (shelf,))
        for row in rows:
            _add_entries(connection, shelf, row[4], [index], _document(collection, partition, row))
