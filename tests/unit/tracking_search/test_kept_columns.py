"""Columns that outlive the process: answers from them are those of an index made from nothing, whatever happens to them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.kept_columns import CHUNK_ROWS, check, keep_soon, wander
from support.run_index import PROJECT, Platform, platform_at

from penstock_kit.search import kept
from penstock_kit.search.kept import KEPT_COLUMNS
from penstock_kit.stores.documents import Document
from penstock_tracking.search import RunIndex, RunQuery, index, project
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.store import RUNS


@pytest.fixture
async def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    keep_soon(monkeypatch)
    async with platform_at(tmp_path) as made:
        yield made


async def filled(platform: Platform, runs: int = 3 * CHUNK_ROWS + 3) -> None:
    for number in range(runs):
        run = await platform.add(number, params={"lr": number / 10, "model": f"resnet{number}"})
        await platform.log_points(run, "loss", [float(number)])


def blobs_of(platform: Platform, tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())


async def manifest(platform: Platform) -> Document:
    return await platform.documents.get(KEPT_COLUMNS, PROJECT, kept._MANIFEST)


async def test_a_new_replica_goes_on_from_what_is_kept(platform: Platform) -> None:
    await filled(platform)
    assert await platform.index.keep(PROJECT)
    assert not await platform.index.keep(PROJECT)  # nothing changed
    read: list[str] = []

    class Counting(LatestReader):
        async def latest(self, project: str, run_id: str) -> Any:
            read.append(run_id)
            return await super().latest(project, run_id)

    replica = platform.replica(latest=Counting(platform.runs, platform.store))
    await check(platform, replica)
    assert read == []
    run = await platform.add(1_000)
    await platform.log_points(run, "loss", [1.0])
    await check(platform, replica)
    assert read == [run.run_id]


@pytest.mark.parametrize("seed", range(6))
async def test_answers_are_those_of_an_index_made_from_nothing(platform: Platform, seed: int) -> None:
    await wander(platform, seed)


async def test_columns_that_are_not_used_are_unloaded_and_come_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "PROJECT_BYTES_MAX", 1)
    await filled(platform)
    replica = platform.replica()
    for number in range(3):
        await replica.keep(PROJECT)
        await check(platform, replica)
        run = await platform.add(100 + number, params={"lr": -1})
        await platform.log_points(run, "loss", [5.0])
        await check(platform, replica)


async def test_only_chunks_with_changed_rows_are_written_anew(platform: Platform) -> None:
    await filled(platform)
    await platform.index.keep(PROJECT)
    before = (await manifest(platform)).body["tables"]["runs"]
    run = await platform.store.run(PROJECT, f"{CHUNK_ROWS:032x}")
    await platform.change(run.value, notes="changed")
    await platform.add(1_000)
    assert await platform.index.keep(PROJECT)
    after = (await manifest(platform)).body["tables"]["runs"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, False]
    await check(platform, platform.index, platform.replica())


@pytest.mark.parametrize("harm", ["gone", "cut", "flipped", "swapped"])
@pytest.mark.parametrize("place", [0, 40, -1])
async def test_harmed_chunks_are_noticed_and_made_anew(
    platform: Platform, tmp_path: Path, harm: str, place: int
) -> None:
    await filled(platform)
    await platform.index.keep(PROJECT)
    victim, other = blobs_of(platform, tmp_path)[:2]
    data = bytearray(victim.read_bytes())
    if harm == "gone":
        victim.unlink()
    elif harm == "cut":
        victim.write_bytes(data[:place])
    elif harm == "flipped":
        data[place] ^= 1
        victim.write_bytes(data)
    else:
        victim.write_bytes(other.read_bytes())
    replica = platform.replica()
    await check(platform, replica)
    await platform.add(1_000)
    await replica.keep(PROJECT)
    await replica.keep(PROJECT)
    await check(platform, replica, platform.replica())


async def test_chunks_that_vanish_under_a_replica_do_no_harm(platform: Platform, tmp_path: Path) -> None:
    await filled(platform)
    await platform.index.keep(PROJECT)
    replica = platform.replica()
    await replica.search(RunQuery(PROJECT, "state = 'RUNNING'"))  # has not loaded all
    other = platform.replica()
    run = await platform.store.run(PROJECT, f"{0:032x}")
    await platform.change(run.value, notes="changed")
    platform.clock.advance(2 * kept.LEFT_OVER_S)
    assert await other.keep(PROJECT)
    await check(platform, replica)


async def test_of_two_who_keep_at_once_one_wins_and_both_are_right(platform: Platform) -> None:
    await filled(platform)
    replicas = [platform.replica(), platform.replica()]
    kept_by = await asyncio.gather(*(replica.keep(PROJECT) for replica in replicas))
    assert sorted(kept_by) == [False, True]
    await platform.add(1_000, params={"lr": 0.5})
    await check(platform, *replicas, platform.replica())
    kept_by = await asyncio.gather(*(replica.keep(PROJECT) for replica in replicas))
    assert True in kept_by
    await check(platform, *replicas, platform.replica())


def failing_after(put: Any, count: int) -> Any:
    """A `put` that fails from the count-th call on."""
    left = count

    async def put_some(key: str, content: AsyncIterator[bytes]) -> Any:
        nonlocal left
        left -= 1
        if left <= 0:
            raise OSError("killed")
        return await put(key, content)

    return put_some


async def test_an_end_at_any_moment_leaves_what_was_kept(platform: Platform, tmp_path: Path) -> None:
    await filled(platform)
    await platform.index.keep(PROJECT)
    whole = (await manifest(platform)).version
    for number in range(4 * CHUNK_ROWS):
        await platform.add(1_000 + number)
    for written in range(1, 6):
        dying = platform.replica()
        put = failing_after(platform.blobs.put, written)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(platform.blobs, "put", put)
            with pytest.raises(OSError, match="killed"):
                await dying.keep(PROJECT)
        assert (await manifest(platform)).version == whole
        await check(platform, dying, platform.replica())
    blobs = blobs_of(platform, tmp_path)
    assert len(blobs) > 4
    platform.clock.advance(2 * kept.LEFT_OVER_S)
    assert await dying.keep(PROJECT)  # the rows that were not kept still count as changed
    await check(platform, dying, platform.replica())
    assert len(blobs_of(platform, tmp_path)) == len((await manifest(platform)).body["tables"]["runs"])


async def test_searches_while_columns_are_kept(platform: Platform) -> None:
    await filled(platform)
    replica = platform.replica()
    keeping = asyncio.create_task(replica.keep(PROJECT))
    added = 0
    while not keeping.done():
        run = await platform.add(1_000 + added, params={"lr": -1})
        await platform.log_points(run, "loss", [-1.0])
        added += 1
        assert len(await platform.find("metrics.loss = -1", replica, page_size=1_000)) == added
    assert await keeping
    await check(platform, replica, platform.replica())
    await replica.keep(PROJECT)
    await check(platform, replica, platform.replica())


async def test_a_project_where_most_rows_are_dead_is_read_anew(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "DEAD_ROWS_MAX", 4)
    await filled(platform)
    await platform.index.keep(PROJECT)
    for number in range(2, 3 * CHUNK_ROWS):
        await platform.documents.delete(RUNS, PROJECT, f"{number:032x}")
    await check(platform, platform.index, platform.replica())
    await platform.index.keep(PROJECT)
    assert len((await manifest(platform)).body["tables"]["runs"]) == 1
    await check(platform, platform.index, platform.replica())


async def test_latest_values_that_could_not_be_read_are_read_by_who_reads_what_is_kept(platform: Platform) -> None:
    await filled(platform)
    documents, log, blobs = platform.documents, platform.log, platform.blobs
    runs_read = asyncio.Event()
    late = False

    class Documents:
        def __getattr__(self, name: str) -> Any:
            return getattr(documents, name)

        async def changes(self, collection: str, partition: str, **how: Any) -> Any:
            page = await documents.changes(collection, partition, **how)
            if collection == RUNS:
                runs_read.set()
            return page

    class Log:
        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        async def changes(self, cursor: bytes) -> Any:
            # A run that is made, and logs, after the run documents were read and before the log is.
            nonlocal late
            await runs_read.wait()
            if not late:
                late = True
                await platform.log_points(await platform.add(1_000), "loss", [-7.0])
            return await log.changes(cursor)

    class Failing(LatestReader):
        async def latest(self, project: str, run_id: str) -> Any:
            if int(run_id, 16) == 1_000:
                raise OSError("disk")
            return await super().latest(project, run_id)

    class Blobs:
        def __getattr__(self, name: str) -> Any:
            return getattr(blobs, name)

        async def put(self, key: str, content: AsyncIterator[bytes]) -> Any:
            # A search between two chunks learns of the run, and not what it logged.
            with pytest.raises(OSError, match="disk"):
                await replica.search(RunQuery(PROJECT, "metrics.loss = -7"))
            return await blobs.put(key, content)

    proxies: tuple[Any, Any, Any] = (Documents(), Log(), Blobs())
    failing = Failing(platform.runs, platform.store)
    replica = RunIndex(proxies[0], proxies[1], failing, proxies[2], platform.clock)
    assert await replica.keep(PROJECT)
    assert await platform.find("metrics.loss = -7", platform.replica()) == [1_000]
