"""The document store on SQLite: the contract, and what is peculiar to a file."""

import asyncio
import errno
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock_kit.stores.contract.documents import COLLECTIONS, DocumentStoreContract
from penstock_kit.stores.documents import Collection, DocumentStore, Index, Replace, UniqueConflict
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.embedded.sqlite import StoreClosed, StoreFileDamaged, StoreFileNewer


class TestSqliteDocumentStore(DocumentStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteDocumentStore]:
        self.path = tmp_path / "data" / "documents.db"
        store = await SqliteDocumentStore.open(self.path, COLLECTIONS)
        yield store
        await store.close()

    async def reopen(self, store: DocumentStore) -> DocumentStore:
        await store.close()
        return await SqliteDocumentStore.open(self.path, COLLECTIONS)


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = await SqliteDocumentStore.open(tmp_path / "data" / "documents.db", COLLECTIONS)
    finally:
        os.umask(before)
    await store.insert("events", "p", "e", {})
    files = sorted((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["documents.db", "documents.db-shm", "documents.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    await store.close()


async def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    store = await SqliteDocumentStore.open(tmp_path / "documents.db", COLLECTIONS)
    writes = [asyncio.ensure_future(store.insert("events", "p", f"e{n}", {})) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert len(await asyncio.gather(*writes)) == 20
    with pytest.raises(StoreClosed):
        await store.insert("events", "p", "late", {})
    with pytest.raises(StoreClosed):
        await store.get("events", "p", "e1")
    assert [file.name for file in tmp_path.iterdir()] == ["documents.db"]


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be one" * 100, b"x", b"SQLite format 3\0" + b"\xff" * 5_000]
)
async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "documents.db"
    path.write_bytes(content)
    with pytest.raises(StoreFileDamaged, match=r"documents\.db"):
        await SqliteDocumentStore.open(path, COLLECTIONS)
    assert path.read_bytes() == content


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreFileDamaged):
        await SqliteDocumentStore.open(tmp_path, COLLECTIONS)


async def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE recipes (name)")
    foreign.close()
    await (await SqliteMetricLog.open(tmp_path / "log.db")).close()
    for name in ("foreign.db", "log.db"):
        with pytest.raises(StoreFileDamaged, match="kind"):
            await SqliteDocumentStore.open(tmp_path / name, COLLECTIONS)


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    await (await SqliteDocumentStore.open(path, COLLECTIONS)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFileNewer, match="schema version 99"):
        await SqliteDocumentStore.open(path, COLLECTIONS)


async def test_broken_pages_are_named(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    store = await SqliteDocumentStore.open(path, COLLECTIONS)
    for n in range(50):
        await store.insert("runs", "p", f"r{n}", {"value": n, "fill": bytes(2_000)})
    await store.close()
    content = bytearray(path.read_bytes())
    # Pages 1 to 16 hold the schema and the beginnings of the tables and indexes.
    content[16 * 4_096 :] = bytes(len(content) - 16 * 4_096)
    path.write_bytes(content)
    store = await SqliteDocumentStore.open(path, COLLECTIONS)
    with pytest.raises(StoreFileDamaged):
        await store.query("runs", "p", "by_value")
    with pytest.raises(StoreFileDamaged):
        await store.insert("runs", "p", "new", {"value": 1})
    await store.close()


async def test_a_full_disk_fails_the_write_and_keeps_the_rest(tmp_path: Path) -> None:
    store = await SqliteDocumentStore.open(tmp_path / "documents.db", COLLECTIONS)
    kept = await store.insert("events", "p", "kept", {"n": 1})
    await _limit_pages(store, more=10)
    outcomes = await asyncio.gather(
        store.insert("events", "p", "small-1", {}),
        store.insert("events", "p", "large", {"fill": bytes(1_000_000)}),
        store.insert("events", "p", "small-2", {}),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], OSError)
    assert outcomes[1].errno == errno.ENOSPC
    assert {document.id for document in (await store.query("events", "p", "id")).documents} == {
        "kept",
        "small-1",
        "small-2",
    }
    assert await store.get("events", "p", "kept") == kept
    await _limit_pages(store, more=1_000)
    await store.insert("events", "p", "large", {"fill": bytes(1_000_000)})
    await store.close()


async def _limit_pages(store: SqliteDocumentStore, more: int) -> None:
    # There is no full disk to be had without being root; to SQLite, a file that may not grow is the same.
    def work(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    await store._file.write(work)


async def test_indexes_follow_their_declaration(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"

    async def ids(store: SqliteDocumentStore, index: str) -> list[str]:
        return [document.id for document in (await store.query("runs", "p", index)).documents]

    store = await SqliteDocumentStore.open(path, [Collection("runs", (Index("old", ("a",)), Index("changed", ("a",))))])
    await store.insert("runs", "p", "r1", {"a": 1, "b": 2})
    await store.insert("runs", "p", "r2", {"a": 2, "b": 1})
    assert await ids(store, "changed") == ["r1", "r2"]
    await store.close()

    collections = [Collection("runs", (Index("changed", ("b",)), Index("new", ("b",), unique=True)))]
    store = await SqliteDocumentStore.open(path, collections)
    assert await ids(store, "changed") == ["r2", "r1"]
    assert await ids(store, "new") == ["r2", "r1"]
    await store.replace("runs", "p", "r1", {"b": 0}, expected=1)
    assert await ids(store, "changed") == ["r1", "r2"]
    with pytest.raises(ValueError, match="no index"):
        await ids(store, "old")
    with pytest.raises(UniqueConflict):
        await store.insert("runs", "p", "r3", {"b": 0})
    await store.close()

    store = await SqliteDocumentStore.open(path, [Collection("runs", (Index("old", ("a",)),)), Collection("other")])
    assert await ids(store, "old") == ["r2"]
    await store.close()


async def test_a_unique_index_that_does_not_fit_refuses_to_open(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    store = await SqliteDocumentStore.open(path, [Collection("runs")])
    for run in ("a", "b"):
        await store.insert("runs", "p", run, {"name": "same"})
    await store.close()
    with pytest.raises(UniqueConflict):
        await SqliteDocumentStore.open(path, [Collection("runs", (Index("by_name", ("name",), unique=True),))])
    store = await SqliteDocumentStore.open(path, [Collection("runs")])
    assert len((await store.query("runs", "p", "id")).documents) == 2
    await store.close()


async def test_two_processes_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    first = await SqliteDocumentStore.open(path, COLLECTIONS)
    second = await SqliteDocumentStore.open(path, COLLECTIONS)
    await asyncio.gather(
        *(
            store.insert("events", "p", f"{name}{n}", {})
            for n in range(20)
            for name, store in (("a", first), ("b", second))
        )
    )
    changes = await first.changes("events", "p", since=0)
    assert [change.revision for change in changes.changes] == list(range(1, 41))
    await first.apply("p", [Replace("events", "a0", {"by": "first"}, 1)])
    assert (await second.get("events", "p", "a0")).body == {"by": "first"}
    await first.close()
    await second.close()
