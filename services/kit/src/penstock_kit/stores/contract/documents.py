"""What every document store must do. An adapter passes by a subclass with the fixture `store` and the method `reopen`."""

import asyncio
import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_kit.stores.contract.ordering import sort_key
from penstock_kit.stores.documents import (
    BODY_BYTES_MAX,
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    DocumentStoreError,
    DocumentTooLarge,
    Index,
    Insert,
    Operation,
    Replace,
    UniqueConflict,
    VersionConflict,
)

__all__ = ["COLLECTIONS", "DocumentStoreContract"]

COLLECTIONS = (
    Collection(
        "runs",
        (
            Index("by_state", ("state", "info.started")),
            Index("by_value", ("value",)),
            Index("by_name", ("name",), unique=True),
        ),
    ),
    Collection("events"),
)
"""What the fixture opens the store with."""

PARTITION = "projects/one"

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 2.0**53 + 2, 2**63 - 1, 2.0**63, -0.0, 0.0, 5e-324]),
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.sampled_from(["", "\0", "a", "a\0", "a\0b", "ab", "a\x01", "\U0010ffff", "\uffff"]),
    st.binary(max_size=4),
    st.sampled_from([b"", b"\0", b"\0\0", b"\0\xff", b"\xff"]),
)
_IDS = st.sampled_from(["a", "b", "c", "d\0", "é", "\U00010000"])
_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "value": _VALUES,
        "state": st.sampled_from(["on", "off"]),
        "name": st.sampled_from(["x", "y", 1, 1.0, None]),
    },
)
_OPERATIONS = st.one_of(
    st.builds(Insert, st.just("runs"), _IDS, _BODIES),
    st.builds(Replace, st.just("runs"), _IDS, _BODIES, st.integers(1, 3)),
    st.builds(Delete, st.just("runs"), _IDS, st.none() | st.integers(1, 3)),
)


class DocumentStoreContract:
    """The contract of `DocumentStore`."""

    @pytest.fixture
    async def store(self) -> DocumentStore:
        """A new, empty store, opened with `COLLECTIONS`, and closed afterwards."""
        raise NotImplementedError

    async def reopen(self, store: DocumentStore) -> DocumentStore:
        """Closes the store and opens it again with what was written. The caller closes what is returned."""
        raise NotImplementedError

    async def test_a_document_comes_back_as_it_was_written(self, store: DocumentStore) -> None:
        body: dict[str, Any] = {
            "none": None,
            "flags": [True, False],
            "numbers": [0, -1, 2**63 - 1, -(2**63), 0.5, math.inf],
            "text": "snow ☃ \0 \U0010ffff",
            "bytes": b"\x00\xff",
            "nested": {"list": [{"deep": [1, [2, []]]}], "": {}, "with.dot": 1, "$dollar": 2},
        }
        written = await store.insert("runs", PARTITION, "r1", body)
        read = await store.get("runs", PARTITION, "r1")
        assert written == read
        assert read.body == body
        assert (read.collection, read.partition, read.id, read.version) == ("runs", PARTITION, "r1", 1)
        assert type(read.body["numbers"][4]) is float

    async def test_nan_and_negative_zero_survive(self, store: DocumentStore) -> None:
        await store.insert("events", PARTITION, "e", {"nan": math.nan, "zero": -0.0})
        body = (await store.get("events", PARTITION, "e")).body
        assert math.isnan(body["nan"])
        assert math.copysign(1, body["zero"]) == -1

    async def test_a_body_changed_after_the_call_is_not_stored(self, store: DocumentStore) -> None:
        body = {"tags": ["a"]}
        written = await store.insert("events", PARTITION, "e", body)
        body["tags"].append("b")
        assert written.body == {"tags": ["a"]}
        assert (await store.get("events", PARTITION, "e")).body == {"tags": ["a"]}

    async def test_partitions_and_collections_are_apart(self, store: DocumentStore) -> None:
        await store.insert("runs", "p1", "x", {"n": 1})
        await store.insert("runs", "p2", "x", {"n": 2})
        await store.insert("events", "p1", "x", {"n": 3})
        assert (await store.get("runs", "p1", "x")).body == {"n": 1}
        assert (await store.get("runs", "p2", "x")).body == {"n": 2}
        assert (await store.get("events", "p1", "x")).body == {"n": 3}
        assert await store.partitions("runs") == ["p1", "p2"]
        assert await store.partitions("events") == ["p1"]
        await store.delete("runs", "p1", "x")
        assert await store.partitions("runs") == ["p2"]

    async def test_missing_documents(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "there", {})
        for operation in (
            store.get("runs", PARTITION, "absent"),
            store.get("runs", "projects/absent", "there"),
            store.replace("runs", PARTITION, "absent", {}, expected=1),
            store.delete("runs", PARTITION, "absent"),
            store.delete("runs", PARTITION, "absent", expected=1),
        ):
            with pytest.raises(DocumentMissing):
                await operation
        assert await store.get_many("runs", PARTITION, ["absent", "there", "there"]) == {
            "there": await store.get("runs", PARTITION, "there")
        }
        assert await store.get_many("runs", PARTITION, []) == {}

    async def test_many_documents_in_one_read(self, store: DocumentStore) -> None:
        ids = [f"r{n:04}" for n in range(2_500)]
        for start in range(0, len(ids), OPERATIONS_PER_BATCH_MAX):
            part = ids[start : start + OPERATIONS_PER_BATCH_MAX]
            await store.apply(PARTITION, [Insert("events", id, {"id": id}) for id in part])
        found = await store.get_many("events", PARTITION, ids)
        assert {id: document.body["id"] for id, document in found.items()} == {id: id for id in ids}

    async def test_an_id_is_taken_once(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "r", {"n": 1})
        with pytest.raises(DocumentExists) as error:
            await store.insert("runs", PARTITION, "r", {"n": 2})
        assert (error.value.collection, error.value.partition, error.value.id) == ("runs", PARTITION, "r")
        assert (await store.get("runs", PARTITION, "r")).body == {"n": 1}

    async def test_of_concurrent_inserts_one_wins(self, store: DocumentStore) -> None:
        outcomes = await asyncio.gather(
            *(store.insert("runs", PARTITION, "r", {"n": n}) for n in range(20)), return_exceptions=True
        )
        won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(won) == 1
        assert [type(outcome) for outcome in outcomes].count(DocumentExists) == 19
        assert await store.get("runs", PARTITION, "r") == won[0]

    async def test_replace_wants_the_version(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "r", {"n": 1})
        second = await store.replace("runs", PARTITION, "r", {"n": 2}, expected=1)
        assert second.version == 2
        with pytest.raises(VersionConflict):
            await store.replace("runs", PARTITION, "r", {"n": 3}, expected=1)
        with pytest.raises(VersionConflict):
            await store.delete("runs", PARTITION, "r", expected=1)
        assert await store.get("runs", PARTITION, "r") == second
        await store.delete("runs", PARTITION, "r", expected=2)
        with pytest.raises(DocumentMissing):
            await store.get("runs", PARTITION, "r")

    async def test_concurrent_read_modify_write_loses_nothing(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "r", {"n": 0})

        async def add_one() -> None:
            while True:
                before = await store.get("runs", PARTITION, "r")
                try:
                    await store.replace("runs", PARTITION, "r", {"n": before.body["n"] + 1}, expected=before.version)
                except VersionConflict:
                    continue
                return

        await asyncio.gather(*(add_one() for _ in range(15)))
        document = await store.get("runs", PARTITION, "r")
        assert (document.body["n"], document.version) == (15, 16)

    async def test_a_batch_is_all_or_nothing(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "old", {"n": 1})
        before = await store.changes("runs", PARTITION, since=0)
        for failing, error in (
            (Insert("runs", "old", {}), DocumentExists),
            (Replace("runs", "old", {}, 7), VersionConflict),
            (Replace("runs", "absent", {}, 1), DocumentMissing),
            (Delete("runs", "absent"), DocumentMissing),
            (Insert("runs", "large", {"fill": bytes(BODY_BYTES_MAX)}), DocumentTooLarge),
        ):
            with pytest.raises(error):
                await store.apply(
                    PARTITION,
                    [Insert("runs", "new", {}), Insert("events", "new", {}), Replace("runs", "old", {}, 1), failing],
                )
        assert await store.changes("runs", PARTITION, since=0) == before
        assert await store.partitions("events") == []

    async def test_a_batch_does_its_operations_in_order(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "b", {"name": "taken"})
        results = await store.apply(
            PARTITION,
            [
                Insert("runs", "a", {"n": 1}),
                Replace("runs", "a", {"n": 2}, 1),
                Delete("runs", "b"),
                Insert("runs", "c", {"name": "taken"}),
                Insert("events", "a", {}),
            ],
        )
        assert [result and (result.collection, result.id, result.version) for result in results] == [
            ("runs", "a", 1),
            ("runs", "a", 2),
            None,
            ("runs", "c", 1),
            ("events", "a", 1),
        ]
        assert (await store.get("runs", PARTITION, "a")).body == {"n": 2}

    async def test_a_failing_call_does_not_touch_those_beside_it(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "taken", {})
        outcomes = await asyncio.gather(
            *(store.insert("runs", PARTITION, "taken" if n % 2 else f"r{n}", {"n": n}) for n in range(20)),
            return_exceptions=True,
        )
        assert [isinstance(outcome, DocumentExists) for outcome in outcomes] == [bool(n % 2) for n in range(20)]
        assert len((await store.query("runs", PARTITION, "id")).documents) == 11

    async def test_limits_of_a_batch(self, store: DocumentStore) -> None:
        most = [Insert("events", f"e{n}", {}) for n in range(OPERATIONS_PER_BATCH_MAX)]
        assert len(await store.apply(PARTITION, most)) == OPERATIONS_PER_BATCH_MAX
        with pytest.raises(ValueError, match="at most"):
            await store.apply(PARTITION, [Insert("events", f"f{n}", {}) for n in range(OPERATIONS_PER_BATCH_MAX + 1)])
        assert await store.apply(PARTITION, []) == []

    async def test_limits_of_a_body(self, store: DocumentStore) -> None:
        with pytest.raises(DocumentTooLarge):
            await store.insert("events", PARTITION, "e", {"fill": bytes(BODY_BYTES_MAX)})
        # The rest is for the names and the framing of the encoding.
        body = {"fill": bytes(BODY_BYTES_MAX - 100)}
        await store.insert("events", PARTITION, "e", body)
        assert (await store.get("events", PARTITION, "e")).body == body
        with pytest.raises(DocumentTooLarge):
            await store.replace("events", PARTITION, "e", {"fill": bytes(BODY_BYTES_MAX)}, expected=1)

    async def test_query_in_the_order_of_an_index(self, store: DocumentStore) -> None:
        values = [None, False, True, math.nan, -math.inf, -(2**63), -1.5, 0, 0.5, 2**53, 2**53 + 1, 2**63 - 1, math.inf]
        values += ["", "a", "a\0", "a\0b", "aa", "b", "\uffff", "\U00010000", b"", b"\0", b"\0\xff", b"\x01", b"\xff"]
        for number, value in enumerate(reversed(values)):
            await store.insert("runs", PARTITION, f"r{number:02}", {"value": value})
        await store.insert("runs", PARTITION, "without", {})
        expected = [f"r{number:02}" for number in reversed(range(len(values)))]
        page = await store.query("runs", PARTITION, "by_value")
        assert [document.id for document in page.documents] == expected
        assert page.cursor is None
        page = await store.query("runs", PARTITION, "by_value", descending=True)
        assert [document.id for document in page.documents] == expected[::-1]

    async def test_equal_numbers_are_one_value(self, store: DocumentStore) -> None:
        for id, value in (("a", 1), ("b", 1.0), ("c", True), ("d", "1"), ("e", -0.0), ("f", 0)):
            await store.insert("runs", PARTITION, id, {"value": value})
        assert await self._ids(store, "by_value", equal=(1,)) == ["a", "b"]
        assert await self._ids(store, "by_value", equal=(1.0,)) == ["a", "b"]
        assert await self._ids(store, "by_value", equal=(True,)) == ["c"]
        assert await self._ids(store, "by_value", equal=(0,)) == ["e", "f"]

    async def test_equal_to_the_first_fields(self, store: DocumentStore) -> None:
        for number, (state, started) in enumerate(itertools.product(["on", "of", "on\0", "one"], [3, 1, 2])):
            await store.insert("runs", PARTITION, f"r{number:02}", {"state": state, "info": {"started": started}})
        await store.insert("runs", PARTITION, "x1", {"state": "on"})
        await store.insert("runs", PARTITION, "x2", {"state": "on", "info": 7})
        assert await self._ids(store, "by_state", equal=("on",)) == ["r01", "r02", "r00"]
        assert await self._ids(store, "by_state", equal=("on",), descending=True) == ["r00", "r02", "r01"]
        assert await self._ids(store, "by_state", equal=("on", 2)) == ["r02"]
        assert await self._ids(store, "by_state", equal=("absent",)) == []
        assert await self._ids(store, "id", equal=("x1",)) == ["x1"]
        assert await self._ids(store, "id", equal=("absent",)) == []

    @pytest.mark.parametrize("index", ["id", "by_value"])
    @pytest.mark.parametrize("descending", [False, True])
    async def test_pages_follow_each_other(self, store: DocumentStore, index: str, descending: bool) -> None:
        for number in range(10):
            await store.insert("runs", PARTITION, f"r{number}", {"value": number // 3})
        expected = [f"r{number}" for number in range(10)]
        if descending:
            expected.reverse()
        for limit in (1, 3, 5, 10):
            found: list[str] = []
            cursor = None
            for _ in range(math.ceil(10 / limit)):
                assert not found or cursor is not None
                page = await store.query("runs", PARTITION, index, descending=descending, limit=limit, cursor=cursor)
                assert len(page.documents) == min(limit, 10 - len(found))
                found += [document.id for document in page.documents]
                cursor = page.cursor
            assert found == expected
            assert cursor is None

    async def test_a_page_goes_on_where_the_last_document_was(self, store: DocumentStore) -> None:
        for id in "bdf":
            await store.insert("runs", PARTITION, id, {"value": id})
        page = await store.query("runs", PARTITION, "by_value", limit=2)
        await store.delete("runs", PARTITION, "d")
        await store.insert("runs", PARTITION, "a", {"value": "a"})
        await store.insert("runs", PARTITION, "e", {"value": "e"})
        page = await store.query("runs", PARTITION, "by_value", limit=2, cursor=page.cursor)
        assert [document.id for document in page.documents] == ["e", "f"]

    @pytest.mark.parametrize("cursor", [b"", b"\0", b"\xff" * 40, b"\x92\x01\x02", b"text"])
    async def test_a_cursor_that_somebody_made_up_is_some_place(self, store: DocumentStore, cursor: bytes) -> None:
        await store.insert("runs", PARTITION, "a", {"value": 1})
        await store.insert("runs", "another", "b", {"value": 1})
        for index, equal in (("id", ()), ("by_value", ()), ("by_value", (1,))):
            for descending in (False, True):
                page = await store.query(
                    "runs", PARTITION, index, equal=equal, descending=descending, cursor=cursor, limit=5
                )
                assert {document.id for document in page.documents} <= {"a"}

    async def test_an_id_is_a_place_in_the_order_of_ids(self, store: DocumentStore) -> None:
        ids = ["a", "a-b", "a/b", "a/b/c", "a/\U0010ffff", "a/\U0010ffff\U0010ffff", "a0", "b"]
        for id in reversed(ids):
            await store.insert("runs", PARTITION, id, {})
        for place in (*ids, "", "a/", "a/b/", "a/c", "a/\U0010ffff" + "\U0010ffff" * 8, "c"):
            page = await store.query("runs", PARTITION, "id", cursor=place.encode(), limit=3)
            assert [document.id for document in page.documents] == [id for id in ids if id > place][:3]

    async def test_a_query_knows_its_limits(self, store: DocumentStore) -> None:
        for limit in (0, 10_001):
            with pytest.raises(ValueError, match="limit"):
                await store.query("runs", PARTITION, "id", limit=limit)
        assert (await store.query("runs", PARTITION, "id", limit=10_000)).documents == []
        with pytest.raises(ValueError, match="no index"):
            await store.query("runs", PARTITION, "by_colour")
        with pytest.raises(ValueError, match="values"):
            await store.query("runs", PARTITION, "by_name", equal=("a", "b"))
        with pytest.raises(ValueError, match="collection"):
            await store.get("colours", PARTITION, "red")

    async def test_an_index_holds_scalars_only(self, store: DocumentStore) -> None:
        with pytest.raises(TypeError):
            await store.insert("runs", PARTITION, "r", {"value": [1]})
        assert await store.partitions("runs") == []

    async def test_an_index_follows_its_documents(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "a", {"value": 1})
        await store.insert("runs", PARTITION, "b", {"value": 2})
        await store.replace("runs", PARTITION, "a", {"value": 3}, expected=1)
        assert await self._ids(store, "by_value") == ["b", "a"]
        await store.replace("runs", PARTITION, "a", {}, expected=2)
        assert await self._ids(store, "by_value") == ["b"]
        await store.delete("runs", PARTITION, "b")
        assert await self._ids(store, "by_value") == []

    async def test_a_unique_index_admits_a_value_once(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "a", {"name": "x"})
        await store.insert("runs", PARTITION, "b", {"name": "y"})
        await store.insert("runs", PARTITION, "c", {})
        await store.insert("runs", PARTITION, "d", {})
        await store.insert("runs", "projects/other", "e", {"name": "x"})
        with pytest.raises(UniqueConflict):
            await store.insert("runs", PARTITION, "f", {"name": "x"})
        with pytest.raises(UniqueConflict):
            await store.replace("runs", PARTITION, "b", {"name": "x"}, expected=1)
        assert await self._ids(store, "id") == ["a", "b", "c", "d"]
        await store.replace("runs", PARTITION, "a", {"name": "x", "more": 1}, expected=1)
        await store.delete("runs", PARTITION, "a")
        await store.replace("runs", PARTITION, "b", {"name": "x"}, expected=1)
        assert await self._ids(store, "by_name", equal=("x",)) == ["b"]

    async def test_changes_show_each_document_once_as_it_is_now(self, store: DocumentStore) -> None:
        assert (await store.changes("runs", PARTITION, since=0)).changes == []
        a = await store.insert("runs", PARTITION, "a", {"n": 1})
        b = await store.insert("runs", PARTITION, "b", {"n": 1})
        assert a.revision < b.revision
        start = await store.changes("runs", PARTITION, since=0)
        assert [change.document for change in start.changes] == [a, b]
        assert (start.revision, start.more) == (b.revision, False)
        idle = await store.changes("runs", PARTITION, since=start.revision)
        assert (idle.changes, idle.revision, idle.more) == ([], start.revision, False)

        a2 = await store.replace("runs", PARTITION, "a", {"n": 2}, expected=1)
        a3 = await store.replace("runs", PARTITION, "a", {"n": 3}, expected=2)
        await store.delete("runs", PARTITION, "b")
        await store.insert("events", PARTITION, "e", {})
        page = await store.changes("runs", PARTITION, since=start.revision)
        assert [(change.id, change.document) for change in page.changes] == [("a", a3), ("b", None)]
        assert [change.revision for change in page.changes] == sorted({change.revision for change in page.changes})
        assert a2.revision < a3.revision < page.revision

        again = await store.insert("runs", PARTITION, "b", {"n": 9})
        page = await store.changes("runs", PARTITION, since=0)
        assert [change.document for change in page.changes] == [a3, again]
        assert again.version == 1

    async def test_changes_in_pages(self, store: DocumentStore) -> None:
        for n in range(5):
            await store.insert("events", PARTITION, f"e{n}", {})
        await store.delete("events", PARTITION, "e1")
        found: list[str] = []
        since, more = 0, True
        while more:
            page = await store.changes("events", PARTITION, since=since, limit=2)
            assert len(page.changes) <= 2
            found += [change.id for change in page.changes]
            since, more = page.revision, page.more
        assert found == ["e0", "e2", "e3", "e4", "e1"]

    async def test_a_follower_of_changes_misses_nothing_under_load(self, store: DocumentStore) -> None:
        seen: dict[str, int] = {}
        since = 0
        done = asyncio.Event()

        async def follow() -> None:
            nonlocal since
            while True:
                last = done.is_set()
                page = await store.changes("events", PARTITION, since=since, limit=7)
                for change in page.changes:
                    assert change.document is not None
                    seen[change.id] = change.document.body["n"]
                since = page.revision
                if last and not page.more:
                    return

        async def write(writer: int) -> None:
            for n in range(10):
                id = f"w{writer}"
                if n == 0:
                    await store.insert("events", PARTITION, id, {"n": n})
                else:
                    await store.replace("events", PARTITION, id, {"n": n}, expected=n)

        following = asyncio.ensure_future(follow())
        await asyncio.gather(*(write(writer) for writer in range(8)))
        done.set()
        await following
        assert seen == {f"w{writer}": 9 for writer in range(8)}

    async def test_what_was_written_is_there_after_reopening(self, store: DocumentStore) -> None:
        await store.insert("runs", PARTITION, "a", {"value": 1})
        b = await store.insert("runs", PARTITION, "b", {"value": 2})
        await store.delete("runs", PARTITION, "a")
        before = await store.changes("runs", PARTITION, since=0)
        again = await self.reopen(store)
        try:
            assert await again.get("runs", PARTITION, "b") == b
            assert await again.changes("runs", PARTITION, since=0) == before
            assert await self._ids(again, "by_value") == ["b"]
            c = await again.insert("runs", PARTITION, "c", {})
            assert c.revision > before.revision
        finally:
            await again.close()

    @given(st.lists(st.lists(_OPERATIONS, min_size=1, max_size=3), min_size=1, max_size=12))
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        # The store is shared by the examples on purpose: each has a partition of its own.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_it_does_what_a_model_does(self, store: DocumentStore, batches: list[list[Operation]]) -> None:
        partition = f"example-{len(await store.partitions('events')):04}"
        await store.insert("events", partition, "example", {})
        model = _Model()
        for batch in batches:
            expected = model.apply(batch)
            if expected is None:
                await store.apply(partition, batch)
            else:
                with pytest.raises(expected):
                    await store.apply(partition, batch)
        for index in ("id", "by_value", "by_name"):
            for descending in (False, True):
                page = await store.query("runs", partition, index, descending=descending)
                assert [document.id for document in page.documents] == model.ids(index, descending)
        changes = await store.changes("runs", partition, since=0)
        assert [change.id for change in changes.changes] == model.changed_ids()
        for change in changes.changes:
            if change.document is None:
                assert change.id not in model.documents
            else:
                assert change.document.version == model.documents[change.id].version
                assert repr(change.document.body) == repr(model.documents[change.id].body)

    async def _ids(self, store: DocumentStore, index: str, **options: Any) -> list[str]:
        page = await store.query("runs", PARTITION, index, **options)
        return [document.id for document in page.documents]


@dataclass(frozen=True, slots=True)
class _Held:
    body: dict[str, Any]
    version: int


@dataclass(slots=True)
class _Model:
    """One partition of the collection `runs`, as simple as can be."""

    documents: dict[str, _Held] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)

    def apply(self, batch: list[Operation]) -> type[DocumentStoreError] | None:
        """Does the batch, or returns the error that it must end in."""
        documents, revisions = dict(self.documents), dict(self.revisions)
        revision = max(revisions.values(), default=0)
        for operation in batch:
            held = documents.get(operation.id)
            if isinstance(operation, Insert):
                if held is not None:
                    return DocumentExists
                version = 1
            elif held is None:
                return DocumentMissing
            elif operation.expected not in (None, held.version):
                return VersionConflict
            else:
                version = held.version + 1
            revision += 1
            revisions[operation.id] = revision
            if isinstance(operation, Delete):
                del documents[operation.id]
                continue
            documents[operation.id] = _Held(dict(operation.body), version)
            names = [sort_key(other.body["name"]) for other in documents.values() if "name" in other.body]
            if len(set(names)) < len(names):
                return UniqueConflict
        self.documents, self.revisions = documents, revisions
        return None

    def ids(self, index: str, descending: bool) -> list[str]:
        """Returns the ids in the order of an index."""
        if index == "id":
            return sorted(self.documents, reverse=descending)
        name = index.removeprefix("by_")
        keys = [(sort_key(held.body[name]), id) for id, held in self.documents.items() if name in held.body]
        return [id for _, id in sorted(keys, reverse=descending)]

    def changed_ids(self) -> list[str]:
        """Returns every id that was ever written, in the order of its last write."""
        return sorted(self.revisions, key=lambda id: self.revisions[id])
