"""The document store on MongoDB: the contract through both drivers, and what is peculiar to a server."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from support.mongo import failing, reported

from penstock_kit.stores.contract.documents import COLLECTIONS, DocumentStoreContract
from penstock_kit.stores.documents import Collection, Delete, DocumentStore, Index, UniqueConflict
from penstock_kit.stores.errors import StoreClosed
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.documents import MongoDocumentStore

Opened = Callable[..., Awaitable[MongoDocumentStore]]


class TestMongoDocumentStore(DocumentStoreContract):
    @pytest.fixture(params=["motor", "pymongo"])
    def driver(self, request: pytest.FixtureRequest) -> MongoDriver:
        return request.param

    @pytest.fixture
    async def store(self, mongodb_url: str, driver: MongoDriver) -> AsyncIterator[MongoDocumentStore]:
        self.url, self.driver = mongodb_url, driver
        store = await MongoDocumentStore.open(mongodb_url, COLLECTIONS, driver=driver)
        yield store
        await store.close()

    async def reopen(self, store: DocumentStore) -> DocumentStore:
        await store.close()
        return await MongoDocumentStore.open(self.url, COLLECTIONS, driver=self.driver)


@pytest.fixture
async def opened(mongodb_url: str) -> AsyncIterator[Opened]:
    """Opens stores on one database, and closes them after the test."""
    stores: list[MongoDocumentStore] = []

    async def open_store(
        collections: Sequence[Collection] = COLLECTIONS, driver: MongoDriver = "motor"
    ) -> MongoDocumentStore:
        stores.append(await MongoDocumentStore.open(mongodb_url, collections, driver=driver))
        return stores[-1]

    yield open_store
    for store in stores:
        await store.close()


async def test_closing_finishes_what_was_asked_for(opened: Opened) -> None:
    store = await opened()
    writes = [asyncio.ensure_future(store.insert("events", f"p{n % 3}", f"e{n}", {})) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert len(await asyncio.gather(*writes)) == 20
    with pytest.raises(StoreClosed):
        await store.insert("events", "p", "late", {})
    with pytest.raises(StoreClosed):
        await store.get("events", "p", "e1")


async def test_indexes_follow_their_declaration(opened: Opened) -> None:
    async def ids(store: MongoDocumentStore, index: str) -> list[str]:
        return [document.id for document in (await store.query("runs", "p", index)).documents]

    collections = [Collection("runs", (Index("old", ("a",)), Index("changed", ("a",))))]
    store = await opened(collections)
    r1 = await store.insert("runs", "p", "r1", {"a": 1, "b": 2})
    await store.insert("runs", "p", "r2", {"a": 2, "b": 1})
    assert await ids(store, "changed") == ["r1", "r2"]
    await store.close()

    collections = [Collection("runs", (Index("changed", ("b",)), Index("new", ("b",), unique=True)))]
    store = await opened(collections)
    assert await store.get("runs", "p", "r1") == r1
    assert await ids(store, "changed") == ["r2", "r1"]
    assert await ids(store, "new") == ["r2", "r1"]
    await store.replace("runs", "p", "r1", {"b": 0}, expected=1)
    assert await ids(store, "changed") == ["r1", "r2"]
    with pytest.raises(ValueError, match="no index"):
        await ids(store, "old")
    with pytest.raises(UniqueConflict):
        await store.insert("runs", "p", "r3", {"b": 0})
    await store.close()

    store = await opened([Collection("runs", (Index("old", ("a",)),)), Collection("other")])
    assert await ids(store, "old") == ["r2"]


async def test_a_unique_index_that_does_not_fit_refuses_to_open(opened: Opened) -> None:
    store = await opened([Collection("runs")])
    for run in ("a", "b"):
        await store.insert("runs", "p", run, {"name": "same"})
    await store.close()
    with pytest.raises(UniqueConflict):
        await opened([Collection("runs", (Index("by_name", ("name",), unique=True),))])
    store = await opened([Collection("runs")])
    assert len((await store.query("runs", "p", "id")).documents) == 2
    await store.insert("runs", "p", "c", {"name": "same"})


async def test_replicas_share_a_partition(opened: Opened) -> None:
    stores = [await opened(driver=driver) for driver in ("motor", "pymongo", "motor", "pymongo")]
    outcomes = await asyncio.gather(
        *(
            store.insert("runs", "p", f"{n}-{number}", {"name": f"{n // 2}-{number % 2}"})
            for n in range(20)
            for number, store in enumerate(stores)
        ),
        return_exceptions=True,
    )
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(conflict) for conflict in conflicts} == {UniqueConflict}
    assert len(conflicts) == 60
    changes = await stores[0].changes("runs", "p", since=0)
    assert [change.revision for change in changes.changes] == list(range(1, 21))
    assert await stores[1].partitions("runs") == ["p"]
    await stores[2].apply("p", [Delete("runs", change.id) for change in changes.changes])
    assert await stores[3].partitions("runs") == []


async def test_a_follower_on_another_replica_misses_nothing(opened: Opened) -> None:
    writers = [await opened() for _ in range(3)]
    reader = await opened(driver="pymongo")
    returned: dict[str, int] = {}
    writing = True

    async def write(number: int, store: MongoDocumentStore) -> None:
        document = await store.insert("events", "p", f"w{number}", {})
        for _ in range(25):
            document = await store.replace("events", "p", f"w{number}", {}, expected=document.version)
            returned[document.id] = document.version

    async def follow() -> None:
        seen: dict[str, int] = {}
        since = 0
        while writing:
            expected = dict(returned)
            more = True
            while more:
                page = await reader.changes("events", "p", since=since, limit=3)
                for change in page.changes:
                    assert change.document is not None
                    assert change.document.version >= seen.get(change.id, 0)
                    seen[change.id] = change.document.version
                since, more = page.revision, page.more
            assert all(seen.get(name, 0) >= version for name, version in expected.items())

    following = asyncio.ensure_future(follow())
    await asyncio.gather(*(write(number, writers[number % 3]) for number in range(6)))
    writing = False
    await following


async def test_reads_use_an_index(opened: Opened, mongodb_url: str) -> None:
    store = await opened()
    await store.insert("runs", "p", "r", {"value": 1, "name": "x"})
    with reported(mongodb_url) as commands:
        await store.query("runs", "p", "by_value", equal=(1,), limit=5)
        await store.query("runs", "p", "by_value", descending=True, limit=5)
        await store.query("runs", "p", "id", limit=5)
        await store.changes("runs", "p", since=0)
        await store.partitions("runs")
        await store.get("runs", "p", "r")
        await store.replace("runs", "p", "r", {"name": "x"}, expected=1)
    plans = [command["planSummary"] for command in commands if command["op"] == "query"]
    by_value, by_name = (f"_id.p: 1, x.{store._indexes['runs'][name].field}: 1" for name in ("by_value", "by_name"))
    *plans, of_a_write = plans
    assert set(of_a_write.removeprefix("IXSCAN ").split(", IXSCAN ")) == {"{ _id: 1 }", f"{{ {by_name} }}"}
    assert plans == [
        f"IXSCAN {{ {by_value} }}",
        f"IXSCAN {{ {by_value} }}",
        "IXSCAN { _id: 1 }",
        "IXSCAN { _id.p: 1, r: 1 }",
        "IXSCAN { documents: 1 }",
        "IXSCAN { _id: 1 }",
    ]


async def test_no_room_is_for_those_only_that_do_not_fit(opened: Opened, mongodb_url: str) -> None:
    store = await opened()
    kept = await store.insert("events", "p", "kept", {})
    with failing(mongodb_url, ["update"], errorCode=14031), pytest.raises(OSError, match="No space") as error:
        await store.insert("events", "p", "more", {})
    assert error.value.errno == errno.ENOSPC
    # The first attempt of the group, of all three, fails; then the first of them alone.
    with failing(mongodb_url, ["update"], times=2, errorCode=14031):
        first = asyncio.ensure_future(store.insert("events", "q", "first", {}))
        await asyncio.sleep(0)
        outcomes = await asyncio.gather(
            first, *(store.insert("events", "q", f"e{n}", {}) for n in range(3)), return_exceptions=True
        )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Document", "Document", "Document", "OSError"]
    assert await store.get("events", "p", "kept") == kept


async def test_a_lost_connection_does_not_write_twice(opened: Opened, mongodb_url: str) -> None:
    store = await opened()
    document = await store.insert("events", "p", "e", {"n": 0})
    for command in ("find", "update", "commitTransaction"):
        with failing(mongodb_url, [command], times=1, closeConnection=True):
            document = await store.replace("events", "p", "e", {"command": command}, expected=document.version)
    assert (document.version, document.revision) == (4, 4)
    assert await store.get("events", "p", "e") == document
