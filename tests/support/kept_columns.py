"""Answers of indexes that go on from kept columns, beside those of one that was made from nothing."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from support.run_index import PROJECT, Platform

from penstock_kit.search import chunks, kept
from penstock_kit.search.kept import KEPT_COLUMNS
from penstock_kit.stores.documents import Document, DocumentStore
from penstock_tracking.domain import JsonText, RunState
from penstock_tracking.search import RunIndex, RunQuery, index
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.store import RUNS

__all__ = ["CHUNK_ROWS", "check", "keep_soon", "wander"]

CHUNK_ROWS = 8


def keep_soon(patch: pytest.MonkeyPatch) -> None:
    """Has columns kept after every change, in small chunks."""
    for module in (chunks, kept):
        patch.setattr(module, "ROWS_PER_CHUNK", CHUNK_ROWS)
    patch.setattr(index, "KEEP_AFTER_CHANGES", 1)


class Blind:
    """A document store that holds no manifest."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def get_many(self, collection: str, partition: str, ids: Sequence[str]) -> dict[str, Document]:
        return {} if collection == KEPT_COLUMNS else await self._documents.get_many(collection, partition, ids)


QUERIES = [
    RunQuery(PROJECT, page_size=1_000),
    RunQuery(PROJECT, "metrics.loss < 50", "metrics.loss desc", page_size=7, metric_keys=("loss", "accuracy")),
    RunQuery(
        PROJECT, 'metrics."loss".min < 20 or metrics.accuracy is null', "params.lr, display_name", page_size=1_000
    ),
    RunQuery(PROJECT, "params.model like 'res%' or params.size is not null or params.big > 0", "tags.team desc"),
    RunQuery(PROJECT, "experiment_name like '%2%' and tags.team != 'b'", "params.flag, experiment_name", page_size=9),
    RunQuery(PROJECT, "notes ilike '%N1%' or duration > 1", "duration", show_deleted=True, page_size=1_000),
]


async def check(platform: Platform, *replicas: RunIndex) -> None:
    """Compares the answers of replicas with those of an index made from nothing."""
    documents: Any = Blind(platform.documents)
    latest = LatestReader(platform.runs, platform.store)
    scratch = RunIndex(documents, platform.log, latest, platform.blobs, platform.clock)
    for query in QUERIES:
        expected = await scratch.search(query)
        for replica in replicas:
            assert await replica.search(query) == expected, query


async def wander(platform: Platform, seed: int, rounds: int = 8) -> None:
    """Writes, searches, keeps and starts anew in an order that a seed gives, and checks the answers again and again."""
    chance = random.Random(seed)
    for number in range(4):
        await platform.add_experiment(str(number), f"experiment {number}")
    runs: dict[int, Any] = {}
    replicas = [platform.replica(), platform.replica()]
    values = [1, 0.5, "0.25", "text", True, JsonText("[1]"), 2**60, float("nan"), -(2**63), "true"]

    async def step() -> None:
        match chance.randrange(12):
            case 0 | 1 | 2 | 3:
                number = len(runs)
                runs[number] = await platform.add(
                    number,
                    experiment_id=str(chance.randrange(4)),
                    params={key: chance.choice(values) for key in ("lr", "flag", "big") if chance.random() < 0.7},
                    tags={"team": chance.choice("abc")} if chance.random() < 0.5 else {},
                )
            case 4 | 5 if runs:
                key = chance.choice(["loss", "accuracy", "other"])
                await platform.log_points(chance.choice(list(runs.values())), key, [chance.uniform(0, 100)])
            case 6 if runs:
                changes = [
                    {"tags": {"team": chance.choice("abc")}},
                    {"tags": {}},
                    {"notes": f"n{chance.randrange(9)}"},
                    {"params": {"model": chance.choice(["resnet", "vit"]), "size": JsonText("[2, 2]")}},
                    {"state": RunState.FINISHED, "end_us": 10_000_000},
                    {"experiment_id": str(chance.randrange(4))},
                ]
                await platform.change(chance.choice(list(runs.values())), **chance.choice(changes))
            case 7 if runs:
                number = chance.choice(list(runs))
                await platform.documents.delete(RUNS, PROJECT, runs.pop(number).run_id)
                runs[number] = await platform.add(number)
            case 8:
                await platform.rename_experiment(str(chance.randrange(4)), f"renamed {chance.randrange(99)}")
            case 9 | 10:
                await chance.choice(replicas).keep(PROJECT)
            case _:
                if chance.random() < 0.5:
                    await replicas[0].search(chance.choice(QUERIES))
                else:
                    replicas[chance.randrange(2)] = platform.replica()

    for _ in range(rounds):
        for _ in range(15):
            await step()
        await check(platform, *replicas, platform.replica())
