"""Answers of indexes that go on from kept columns, beside those of one that was made from nothing."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.registry import settings_in

from penstock.api.registry.v1 import model_pb2
from penstock_kit.clock import ManualClock
from penstock_kit.errors import PenstockError
from penstock_kit.names import ModelAliasName, ModelName, ModelVersionName
from penstock_kit.search import chunks, kept
from penstock_kit.search.kept import KEPT_COLUMNS, KeptColumns
from penstock_kit.stores.documents import Document
from penstock_registry.app import RegistryStores, open_stores
from penstock_registry.convert import draft_from_message
from penstock_registry.domain import Stage
from penstock_registry.search import ModelIndex, Query, index
from penstock_registry.service import RegistryService
from penstock_registry.store import RegistryStore

PROJECT = "p"
CHUNK_ROWS = 4
NAMES = ("ape", "bat", "cat", "dog")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks, kept):
        monkeypatch.setattr(module, "ROWS_PER_CHUNK", CHUNK_ROWS)
    monkeypatch.setattr(index, "KEEP_AFTER_CHANGES", 1)


@dataclass
class Bench:
    """A registry, and indexes over it."""

    stores: RegistryStores
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.service = RegistryService(RegistryStore(self.stores.documents), self.clock)

    def replica(self) -> ModelIndex:
        return ModelIndex(self.stores.documents, self.stores.blobs, self.clock)

    def scratch(self) -> ModelIndex:
        documents: Any = Blind(self.stores.documents)
        return ModelIndex(documents, self.stores.blobs, self.clock)

    async def version(self, name: str, **fields: Any) -> None:
        draft = draft_from_message(PROJECT, model_pb2.ModelVersion(**fields))
        await self.service.create_version(ModelName(PROJECT, name), draft, None, request_id="", by="users/ada")

    async def check(self, *replicas: ModelIndex) -> None:
        """Compares the answers of replicas with those of an index made from nothing."""
        scratch = self.scratch()
        for filter_, order in QUERIES:
            query = Query(filter_, order, 1_000, "", "f")
            expected = await scratch.versions(PROJECT, query)
            for replica in replicas:
                assert await replica.versions(PROJECT, query) == expected, query
        for filter_, order in MODEL_QUERIES:
            query = Query(filter_, order, 1_000, "", "f")
            expected = await scratch.models(PROJECT, query)
            for replica in replicas:
                assert await replica.models(PROJECT, query) == expected, query
        latest = await scratch.latest_of_stages(PROJECT, NAMES, list(Stage))
        for replica in replicas:
            assert await replica.latest_of_stages(PROJECT, NAMES, list(Stage)) == latest


class Blind:
    """A document store that holds no manifest."""

    def __init__(self, documents: Any) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def get_many(self, collection: str, partition: str, ids: Sequence[str]) -> dict[str, Document]:
        return {} if collection == KEPT_COLUMNS else await self._documents.get_many(collection, partition, ids)


QUERIES = [
    ("", ""),
    ("aliases.production = true", "model desc, version"),
    ("aliases.a is null and tags.t is not null", "tags.t, metrics.acc desc"),
    ("metrics.acc > 0.5 or stage = 'Staging'", "metrics.acc"),
    ("model in ('ape', 'cat')", "version desc"),
    ("model like '%a%' and not tags.t = '1'", ""),
]
MODEL_QUERIES = [("", ""), ("aliases.production > 1", "latest_version desc"), ("tags.t = '1'", "update_time")]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = ManualClock()
    stores = await open_stores(settings_in(tmp_path), clock)
    yield Bench(stores, clock)
    await stores.close()


@pytest.mark.parametrize("seed", [*range(6), 67, 70, 74, 79])
async def test_answers_are_those_of_an_index_made_from_nothing(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    replicas = [bench.replica(), bench.replica()]

    async def step() -> None:
        bench.clock.advance(1)
        name = ModelName(PROJECT, chance.choice(NAMES))
        version = ModelVersionName(name, chance.randint(1, 4))
        match chance.randrange(14):
            case 0 | 1:
                await bench.service.create_model(name, description="", tags={}, request_id="", by="users/ada")
            case 2 | 3 | 4:
                metrics = [model_pb2.ModelMetric(key="acc", value=chance.random())]
                await bench.version(name.model_id, metrics=metrics, tags={"t": chance.choice("12")})
            case 5:
                await bench.service.update_version_tags(version, {"t": chance.choice("123")}, [], by="users/ada")
            case 6:
                await bench.service.update_model_tags(name, {"t": chance.choice("12")}, [], by="users/ada")
            case 7 | 8:
                alias = ModelAliasName(name, chance.choice(["production", "a"]))
                await bench.service.set_alias(alias, version.number, reason="", expected=None, by="users/ada")
            case 9:
                await bench.service.delete_version(version, delete_aliases=chance.random() < 0.5, by="users/ada")
            case 10:
                await bench.service.rename_model(name, chance.choice(NAMES), by="users/ada")
            case 11 if chance.random() < 0.5:
                await bench.service.delete_model(name, by="users/ada")
            case 12:
                stage = chance.choice(list(Stage))
                await bench.service.set_stage(version, stage, archive_existing=False, by="users/ada")
            case _:
                place = chance.randrange(2)
                if chance.random() < 0.5:
                    await replicas[place].keep(PROJECT)
                else:
                    replicas[place] = bench.replica()

    for _ in range(6):
        for _ in range(15):
            with suppress(PenstockError):
                await step()
        await bench.check(*replicas, bench.replica())


async def filled(bench: Bench) -> None:
    for name in NAMES:
        await bench.service.create_model(ModelName(PROJECT, name), description="", tags={}, request_id="", by="u")
        for number in range(3):
            await bench.version(name, tags={"t": str(number)})


async def test_a_new_replica_reads_no_records_that_are_kept(bench: Bench) -> None:
    await filled(bench)
    assert await bench.replica().keep(PROJECT)
    read = 0

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(bench.stores.documents, name)

        async def changes(self, *args: Any, **how: Any) -> Any:
            nonlocal read
            page = await bench.stores.documents.changes(*args, **how)
            read += len(page.changes)
            return page

    documents: Any = Counting()
    replica = ModelIndex(documents, bench.stores.blobs, bench.clock)
    assert (await replica.versions(PROJECT, Query("tags.t = '1'", "", 10, "", "f"))).total == 4
    assert read == 0
    await bench.version("ape", tags={"t": "1"})
    assert (await replica.versions(PROJECT, Query("tags.t = '1'", "", 10, "", "f"))).total == 5
    assert read == 2  # the version, and its model
    await bench.check(replica)


async def test_of_replicas_that_keep_at_once_one_wins(bench: Bench) -> None:
    await filled(bench)
    replicas = [bench.replica(), bench.replica()]
    kept_by = await asyncio.gather(*(replica.keep(PROJECT) for replica in replicas))
    assert True in kept_by
    await bench.check(*replicas, bench.replica())
    assert not await bench.replica().keep(PROJECT), "nothing changed since"


@pytest.mark.parametrize("harm", ["deleted", "altered", "cut"])
async def test_harmed_chunks_are_noticed_and_made_anew(bench: Bench, tmp_path: Path, harm: str) -> None:
    await filled(bench)
    assert await bench.replica().keep(PROJECT)
    for file in (tmp_path / "blobs").rglob("*"):
        if file.is_file():
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            match harm:
                case "deleted":
                    file.unlink()
                case "altered":
                    file.write_bytes(content)
                case _:
                    file.write_bytes(content[: len(content) // 2])
    await bench.check(bench.replica())
    await bench.version("ape")
    assert await bench.replica().keep(PROJECT)
    await bench.check(bench.replica())


async def test_an_end_between_two_chunks_leaves_what_was_kept(bench: Bench) -> None:
    await filled(bench)
    assert await bench.replica().keep(PROJECT)
    columns = KeptColumns(bench.stores.documents, bench.stores.blobs, bench.clock)
    whole = await columns.manifest(PROJECT)
    assert whole is not None
    for name in NAMES:
        await bench.version(name, tags={"t": "9"})
    left = 2

    class Dying:
        def __getattr__(self, name: str) -> Any:
            return getattr(bench.stores.blobs, name)

        async def put(self, key: str, content: AsyncIterator[bytes]) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError("killed")
            return await bench.stores.blobs.put(key, content)

    blobs: Any = Dying()
    dying = ModelIndex(bench.stores.documents, blobs, bench.clock)
    with pytest.raises(OSError, match="killed"):
        await dying.keep(PROJECT)
    assert await columns.manifest(PROJECT) == whole
    await bench.check(bench.replica(), dying)
    left = 100
    assert await dying.keep(PROJECT), "what was not kept still counts as changed"
    await bench.check(bench.replica(), dying)
