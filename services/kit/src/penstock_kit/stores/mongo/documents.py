"""The document store on MongoDB: one Mongo collection per declared collection, writes of a partition in groups.

A row is `{_id: {p: partition, i: id}, v: version, r: revision, b: body, x: {<index>: key}}`. Bodies are MessagePack, so that
names of users never are names of fields. Index keys sort like the values (see `index_keys`). They are stored as text with a
code point per byte, because MongoDB orders binary values by their length first, and text like its bytes. A deleted document
leaves `{_id, r}`, which a later insert of the same id replaces.

Each partition has a row `{_id: {p: partition}, last: revision, documents: count}`, written by every transaction that writes
to the partition. Of two such transactions at once MongoDB lets one go on and the other starts again. So:

- Within a partition transactions happen one after another, and what one read is still so when it commits: conditions are
  checked on what was read, and the unique indexes of MongoDB only guard against writers that know other declarations.
- Revisions are in the order of the commits. Who sees one of them sees all before it, on any replica of the service, so
  `changes` skips nothing.

Within one process nobody has to start again: the calls that wait for a partition share the next transaction of it.
"""

import asyncio
import hashlib
from collections import ChainMap, deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgpack
from bson import MaxKey, MinKey
from pymongo import ASCENDING, DESCENDING, ReplaceOne, UpdateOne
from pymongo.errors import DuplicateKeyError

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
    DocumentStoreError,
    DocumentTooLarge,
    Index,
    Insert,
    Operation,
    Replace,
    Scalar,
    UniqueConflict,
    VersionConflict,
)
from penstock_kit.stores.errors import StoreClosed, StoreUnavailable
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.connection import DuplicateKey, MongoConnection

__all__ = ["MongoDocumentStore"]

QUERY_LIMIT_MAX: Final = 10_000
IDS_PER_READ: Final = 1_000
OPERATIONS_PER_GROUP_MAX: Final = 1_000
GROUP_BYTES_MAX: Final = 8_000_000  # a group beyond holds one call
DUPLICATE_ATTEMPTS_MAX: Final = 4  # the first rows of a partition may meet those of another process
ROWS_PER_REBUILD: Final = 500

_PREFIX: Final = "documents."  # the metric log may be in the same database
_DECLARATIONS: Final = "document_declarations"
_LIVE: Final = {"b": {"$exists": True}}


@dataclass(frozen=True, slots=True)
class _DeclaredIndex:
    name: str
    field: str  # below x; made of the whole declaration, so that an index declared otherwise is another one
    paths: tuple[tuple[str, ...], ...]
    unique: bool


@dataclass(frozen=True, slots=True)
class _Packed:
    """An operation with its body as bytes, made before the call waits: later changes of the body are not stored."""

    operation: Operation
    body: bytes
    keys: Mapping[str, str]
    unique: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Call:
    packed: Sequence[_Packed]
    done: "asyncio.Future[list[Document | None]]"

    @property
    def size(self) -> int:
        return sum(len(one.body) for one in self.packed)


@dataclass(frozen=True, slots=True)
class _Held:
    """A live document, as far as conditions ask for it. `keys` are those of unique indexes."""

    version: int
    keys: frozenset[tuple[str, str]]


@dataclass(slots=True)
class _Shelf:
    """One collection's part of a partition while a transaction is made up."""

    last: int = 0
    documents: int = 0
    held: MutableMapping[str, _Held | None] = field(default_factory=dict)
    holders: MutableMapping[tuple[str, str], str | None] = field(default_factory=dict)
    writes: list[Any] = field(default_factory=list)

    def draft(self) -> "_Shelf":
        """Returns what starts as this and leaves it as it is."""
        return _Shelf(self.last, self.documents, ChainMap({}, self.held), ChainMap({}, self.holders))

    def take(self, draft: "_Shelf") -> None:
        """Takes over what happened to a draft of this."""
        assert isinstance(draft.held, ChainMap)
        assert isinstance(draft.holders, ChainMap)
        self.last, self.documents = draft.last, draft.documents
        self.held.update(draft.held.maps[0])
        self.holders.update(draft.holders.maps[0])
        self.writes += draft.writes


_Outcome = list[Document | None] | Exception


class MongoDocumentStore:
    """The document store port on one database of MongoDB. Made by `open`.

    Where the medium is full, a write raises `OSError` with ENOSPC. Calls raise `StoreUnavailable` where the server does not
    answer in time. A write that ends so may have happened.
    """

    def __init__(self, connection: MongoConnection, indexes: Mapping[str, Mapping[str, _DeclaredIndex]]) -> None:
        self._connection = connection
        self._indexes = indexes
        self._waiting: dict[str, deque[_Call]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def open(cls, url: str, collections: Sequence[Collection], *, driver: MongoDriver = "motor") -> Self:
        """Connects, and builds the keys of indexes that are new or were declared otherwise.

        Replicas of a service declare the same. While a newer version takes over from an older one, what the older one
        writes is in the new indexes once a replica of the newer one was opened after it.

        Raises `StoreUnavailable`, `StoreMisconfigured`; `UniqueConflict` if what is there does not fit a new unique index.
        """
        connection = await MongoConnection.open(url, driver)
        try:
            with connection.translated():
                indexes = {one.name: await _declare(connection, one) for one in collections}
        except BaseException:
            await connection.close()
            raise
        return cls(connection, indexes)

    async def get(self, collection: str, partition: str, id: str) -> Document:
        """See `DocumentStore.get`."""
        found = await self.get_many(collection, partition, [id])
        if id not in found:
            raise DocumentMissing(collection, partition, id)
        return found[id]

    async def get_many(self, collection: str, partition: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore.get_many`."""
        rows = self._rows(collection)
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Document] = {}
        with self._connection.translated():
            for start in range(0, len(wanted), IDS_PER_READ):
                part = [_row_id(partition, id) for id in wanted[start : start + IDS_PER_READ]]
                for row in await rows.find({"_id": {"$in": part}, **_LIVE}, {"x": 0}).to_list(None):
                    document = _document(collection, row)
                    found[document.id] = document
        return found

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
        packed = [_pack(self._known(one.collection).values(), partition, one) for one in operations]
        if self._closed:
            raise StoreClosed("the document store is closed")
        if not packed:
            return []
        call = _Call(packed, asyncio.get_running_loop().create_future())
        if partition in self._waiting:
            self._waiting[partition].append(call)
        else:
            self._waiting[partition] = deque([call])
            writing = asyncio.create_task(self._write_all(partition))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
        return await call.done

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
        direction = DESCENDING if descending else ASCENDING
        if index == "id":
            if len(equal) > 1:
                raise ValueError(f"{len(equal)} values for the index by id")
            condition = _range_by_id(partition, equal, descending, cursor) | _LIVE
            order = "_id"
        else:
            if index not in declared:
                raise ValueError(f"{collection} has no index {index!r}")
            if len(equal) > len(declared[index].paths):
                raise ValueError(f"{len(equal)} values for the index {index!r} of {len(declared[index].paths)} fields")
            order = f"x.{declared[index].field}"
            condition = {"_id.p": partition, order: _range_of_keys(index_keys.encode(equal), descending, cursor)}
        with self._connection.translated():
            found = self._rows(collection).find(condition).sort([(order, direction)]).limit(limit + 1)
            rows = await found.to_list(None)
        documents = [_document(collection, row) for row in rows[:limit]]
        if len(rows) <= limit:
            return DocumentPage(documents, None)
        last = rows[limit - 1]
        position = last["_id"]["i"] if index == "id" else last["x"][declared[index].field]
        return DocumentPage(documents, position.encode())

    async def partitions(self, collection: str) -> list[str]:
        """See `DocumentStore.partitions`."""
        rows = self._rows(collection)
        with self._connection.translated():
            return sorted([row["_id"]["p"] async for row in rows.find({"documents": {"$gt": 0}}, {"_id": 1})])

    async def changes(self, collection: str, partition: str, *, since: int, limit: int = 1000) -> ChangePage:
        """See `DocumentStore.changes`."""
        if limit < 1:
            raise ValueError(f"limit is {limit}; it must be at least 1")
        rows = self._rows(collection)
        with self._connection.translated():
            found = rows.find({"_id.p": partition, "r": {"$gt": since}}, {"x": 0}).sort([("r", ASCENDING)])
            page = await found.limit(limit + 1).to_list(None)
        more = len(page) > limit
        # A row that is written while the rows are read may be met at its old place and at its new one.
        changes = {
            row["_id"]["i"]: Change(row["_id"]["i"], row["r"], _document(collection, row) if "b" in row else None)
            for row in page[:limit]
        }
        in_order = sorted(changes.values(), key=lambda change: change.revision)
        return ChangePage(in_order, in_order[-1].revision if in_order else since, more)

    async def close(self) -> None:
        """See `DocumentStore.close`. Finishes the writes that wait."""
        self._closed = True
        await asyncio.gather(*self._writing)
        await self._connection.close()

    async def _write_one(self, partition: str, operation: Insert | Replace) -> Document:
        (document,) = await self.apply(partition, [operation])
        assert document is not None
        return document

    def _known(self, collection: str) -> Mapping[str, _DeclaredIndex]:
        if collection not in self._indexes:
            raise ValueError(f"the store was not opened with a collection {collection!r}")
        return self._indexes[collection]

    def _rows(self, collection: str) -> Any:
        self._known(collection)
        return self._connection.database[_PREFIX + collection]

    async def _write_all(self, partition: str) -> None:
        """Writes what waits for a partition, a group at a time, until nothing does."""
        waiting = self._waiting[partition]
        while waiting:
            group = [waiting.popleft()]
            operations, size = len(group[0].packed), group[0].size
            while waiting:
                operations += len(waiting[0].packed)
                size += waiting[0].size
                if operations > OPERATIONS_PER_GROUP_MAX or size > GROUP_BYTES_MAX:
                    break
                group.append(waiting.popleft())
            _deliver(group, await self._commit(partition, group))
        del self._waiting[partition]

    async def _commit(self, partition: str, group: Sequence[_Call]) -> Sequence[_Outcome]:
        try:
            return await self._commit_together(partition, group)
        except StoreUnavailable as error:
            return [error] * len(group)
        except Exception as error:
            if len(group) == 1:
                return [error]
            # Each alone, so that only those suffer that cannot be written.
            return [outcome for call in group for outcome in await self._commit(partition, [call])]

    async def _commit_together(self, partition: str, group: Sequence[_Call]) -> list[_Outcome]:
        async def work(session: Any) -> list[_Outcome]:
            shelves = await self._load(partition, group, session)
            outcomes = [_do(partition, call, shelves) for call in group]
            for collection, shelf in shelves.items():
                if shelf.writes:
                    count = {"$set": {"last": shelf.last, "documents": shelf.documents}}
                    first = UpdateOne(_count_of(partition), count, upsert=True)
                    await self._rows(collection).bulk_write([first, *shelf.writes], ordered=True, session=session)
            return outcomes

        for _ in range(DUPLICATE_ATTEMPTS_MAX):
            try:
                return await self._connection.transaction(work)
            except DuplicateKey:
                continue
        operation = group[0].packed[0].operation
        raise UniqueConflict(operation.collection, partition, operation.id)

    async def _load(self, partition: str, group: Sequence[_Call], session: Any) -> dict[str, _Shelf]:
        """Reads what the conditions of a group ask for: its documents, and those that hold its unique keys."""
        packed = [one for call in group for one in call.packed]
        shelves: dict[str, _Shelf] = {}
        for collection in dict.fromkeys(one.operation.collection for one in packed):
            here = [one for one in packed if one.operation.collection == collection]
            ids = dict.fromkeys(one.operation.id for one in here)
            unique = [index.field for index in self._known(collection).values() if index.unique]
            conditions: list[Any] = [
                {"_id": {"$in": [_count_of(partition)["_id"], *(_row_id(partition, id) for id in ids)]}}
            ]
            for one in unique:
                keys = list({operation.keys[one] for operation in here if one in operation.keys})
                if keys:
                    conditions.append({"_id.p": partition, f"x.{one}": {"$in": keys}})
            shelf = shelves[collection] = _Shelf()
            condition = {"$or": conditions} if len(conditions) > 1 else conditions[0]
            async for row in self._rows(collection).find(condition, {"b": 0}, session=session):
                id = row["_id"].get("i")
                if id is None:
                    shelf.last, shelf.documents = row["last"], row["documents"]
                elif "v" in row:
                    held = _Held(row["v"], frozenset((one, row["x"][one]) for one in unique if one in row["x"]))
                    shelf.held[id] = held
                    shelf.holders.update(dict.fromkeys(held.keys, id))
        return shelves


def _do(partition: str, call: _Call, shelves: Mapping[str, _Shelf]) -> _Outcome:
    """Does the operations of a call on the shelves, or nothing of it."""
    drafts: dict[str, _Shelf] = {}
    documents: list[Document | None] = []
    try:
        for one in call.packed:
            collection = one.operation.collection
            if collection not in drafts:
                drafts[collection] = shelves[collection].draft()
            documents.append(_do_one(partition, one, drafts[collection]))
    except DocumentStoreError as error:
        return error
    for collection, draft in drafts.items():
        shelves[collection].take(draft)
    return documents


def _do_one(partition: str, packed: _Packed, shelf: _Shelf) -> Document | None:
    operation = packed.operation
    collection, id = operation.collection, operation.id
    before = shelf.held.get(id)
    if isinstance(operation, Insert):
        if before is not None:
            raise DocumentExists(collection, partition, id)
    elif before is None:
        raise DocumentMissing(collection, partition, id)
    elif operation.expected is not None and operation.expected != before.version:
        raise VersionConflict(collection, partition, id)
    shelf.last += 1
    if before is not None:
        shelf.holders.update(dict.fromkeys(before.keys, None))
    row_id = {"_id": _row_id(partition, id)}
    if isinstance(operation, Delete):
        shelf.documents -= 1
        shelf.held[id] = None
        shelf.writes.append(ReplaceOne(row_id, {"r": shelf.last}, upsert=True))
        return None
    for key in packed.unique:
        if shelf.holders.get(key) is not None:
            raise UniqueConflict(collection, partition, id)
        shelf.holders[key] = id
    version = 1 if before is None else before.version + 1
    shelf.documents += before is None
    shelf.held[id] = _Held(version, packed.unique)
    row = {"v": version, "r": shelf.last, "b": packed.body, "x": packed.keys}
    shelf.writes.append(ReplaceOne(row_id, row, upsert=True))
    return Document(collection, partition, id, _unpack(packed.body), version, shelf.last)


def _deliver(group: Sequence[_Call], outcomes: Sequence[_Outcome]) -> None:
    for call, outcome in zip(group, outcomes, strict=True):
        if call.done.done():  # the caller was cancelled
            continue
        if isinstance(outcome, Exception):
            call.done.set_exception(outcome)
        else:
            call.done.set_result(outcome)


def _pack(declared: Iterable[_DeclaredIndex], partition: str, operation: Operation) -> _Packed:
    if isinstance(operation, Delete):
        return _Packed(operation, b"", {}, frozenset())
    body: Any = msgpack.packb(dict(operation.body))  # its stub also allows None
    if len(body) > BODY_BYTES_MAX:
        raise DocumentTooLarge(operation.collection, partition, operation.id)
    keys = _keys(declared, operation.body, operation.id)
    unique = frozenset((index.field, keys[index.field]) for index in declared if index.unique and index.field in keys)
    return _Packed(operation, body, keys, unique)


def _keys(declared: Iterable[_DeclaredIndex], body: Mapping[str, Any], id: str) -> dict[str, str]:
    """Returns the key of a document in each index that it is in. Raises `TypeError` for what an index cannot hold."""
    keys: dict[str, str] = {}
    for index in declared:
        values = index_keys.encode_fields(body, index.paths)
        if values is not None:
            # A unique key is without the id, so that MongoDB guards the values; there is nothing to be put in order then.
            keys[index.field] = _as_text(values if index.unique else values + id.encode())
    return keys


def _as_text(key: bytes) -> str:
    return key.decode("latin-1")


def _range_of_keys(prefix: bytes, descending: bool, cursor: bytes | None) -> dict[str, str]:
    first, end = _as_text(prefix), _as_text(index_keys.upper_bound(prefix))
    if cursor is None:
        return {"$gte": first, "$lt": end}
    if descending:
        return {"$gte": first, "$lt": min(end, _place(cursor))}
    return {"$gt": max(first, _place(cursor)), "$lt": end}


def _range_by_id(
    partition: str, equal: tuple[Scalar, ...], descending: bool, cursor: bytes | None
) -> dict[str, dict[str, Any]]:
    condition: dict[str, Any] = {"$gte": {"p": partition, "i": ""}, "$lt": {"p": partition, "i": MaxKey()}}
    if cursor is not None:
        condition |= {("$lt" if descending else "$gt"): _row_id(partition, _place(cursor))}
    if equal:
        condition["$eq"] = {"p": partition, "i": equal[0]}
    return {"_id": condition}


def _place(cursor: bytes) -> str:
    """The key in a cursor. Anybody may have written it: what is no text is some place all the same."""
    return cursor.decode(errors="replace")


def _row_id(partition: str, id: str) -> dict[str, str]:
    return {"p": partition, "i": id}


def _count_of(partition: str) -> dict[str, Any]:
    return {"_id": {"p": partition}}


def _document(collection: str, row: Mapping[str, Any]) -> Document:
    return Document(collection, row["_id"]["p"], row["_id"]["i"], _unpack(row["b"]), row["v"], row["r"])


def _unpack(body: bytes) -> dict[str, Any]:
    return msgpack.unpackb(body)


def _declared_index(index: Index) -> _DeclaredIndex:
    declaration: Any = msgpack.packb([index.name, list(index.fields), index.unique])
    name = hashlib.sha256(declaration).hexdigest()[:16]
    return _DeclaredIndex(index.name, name, tuple(tuple(path.split(".")) for path in index.fields), index.unique)


async def _declare(connection: MongoConnection, collection: Collection) -> dict[str, _DeclaredIndex]:
    """Makes the indexes of a collection, and the keys in them where they are not there yet."""
    rows = connection.database[_PREFIX + collection.name]
    declared = [_declared_index(index) for index in collection.indexes]
    await rows.create_index([("_id.p", ASCENDING), ("r", ASCENDING)], name="revisions")
    await rows.create_index([("documents", ASCENDING)], name="partitions", sparse=True)
    fields = sorted(index.field for index in declared)
    row = await connection.database[_DECLARATIONS].find_one({"_id": collection.name})
    for name in await rows.index_information():
        if name.startswith("x.") and name.removeprefix("x.") not in fields:
            await rows.drop_index(name)
    for index in declared:
        order = f"x.{index.field}"
        try:
            await rows.create_index(
                [("_id.p", ASCENDING), (order, ASCENDING)],
                name=order,
                unique=index.unique,
                partialFilterExpression={order: {"$exists": True}},
            )
        except DuplicateKeyError:
            raise UniqueConflict(collection.name, "", "") from None
    if row is None or row["fields"] != fields:
        await _rebuild(connection, collection.name, declared)
        await connection.database[_DECLARATIONS].replace_one({"_id": collection.name}, {"fields": fields}, upsert=True)
    return {index.name: index for index in declared}


async def _rebuild(connection: MongoConnection, collection: str, declared: Sequence[_DeclaredIndex]) -> None:
    rows = connection.database[_PREFIX + collection]
    after: Any = MinKey()
    while True:
        some = rows.find({"_id": {"$gt": after}, **_LIVE}).sort([("_id", ASCENDING)]).limit(ROWS_PER_REBUILD)
        found = await some.to_list(None)
        if not found:
            return
        after = found[-1]["_id"]
        for row in found:
            keys = _keys(declared, _unpack(row["b"]), row["_id"]["i"])
            if keys == row["x"]:
                continue
            try:
                # Unless it was written meanwhile: then it has the keys.
                await rows.update_one({"_id": row["_id"], "r": row["r"]}, {"$set": {"x": keys}})
            except DuplicateKeyError:
                raise UniqueConflict(collection, row["_id"]["p"], row["_id"]["i"]) from None
