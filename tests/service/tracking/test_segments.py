"""Compaction changes nothing of what is read, whatever was logged and however it is cut into segments."""

import asyncio
import math
import struct
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.segments import Block, LoggedRun, bits, logged_run, race

import penstock_tracking.segments.build as build_module
import penstock_tracking.segments.compactor as compactor_module
import penstock_tracking.segments.files as files_module
import penstock_tracking.segments.merge as merge_module
import penstock_tracking.series.reader as reader_module

ODD = struct.unpack("<d", bytes.fromhex("0100000000f0f87f"))[0]
values = st.sampled_from([0.0, -0.0, 1.5, math.nan, ODD, math.inf, -math.inf, 1e308, -1e308, 5e-324])
blocks = st.builds(
    lambda keys, rows: Block(
        keys, [row[0] for row in rows], [row[2][: len(keys)] for row in rows], [row[1] for row in rows]
    ),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True),
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(0, 2), st.tuples(values, values, values)), min_size=1, max_size=6
    ),
)
batches = st.tuples(st.sampled_from(["w1", "w2", "w3"]), st.lists(blocks, max_size=3), st.booleans())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows a chunk, few batches a segment, blobs soon, merges soon."""
    make_small(monkeypatch)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "CHUNK_ROWS", 3)
    monkeypatch.setattr(merge_module, "CHUNK_ROWS", 3)
    monkeypatch.setattr(merge_module, "PIECE_BYTES", 100)
    monkeypatch.setattr(compactor_module, "BATCHES_MAX", 2)
    monkeypatch.setattr(compactor_module, "MERGE_FANOUT", 3)
    monkeypatch.setattr(compactor_module, "MERGE_LEVEL_BYTES", 500)
    monkeypatch.setattr(compactor_module, "INLINE_BYTES_MAX", 1_500)
    monkeypatch.setattr(files_module, "CACHED_READ_BYTES_MAX", 50)
    monkeypatch.setattr(files_module, "READ_AHEAD_BYTES", 200)


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(batches, min_size=1, max_size=9), st.data())
async def test_everything_reads_the_same(logged: list[tuple[str, list[Block], bool]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch)
        async with logged_run(Path(folder)) as run:
            for number, (writer, some, collapse) in enumerate(logged):
                await run.write(writer, *some, rank=int(writer == "w3"), collapse=collapse)
                if data.draw(st.integers(0, 3)) == 0:
                    before = await run.everything()
                    await run.compactor.compact(run.run.log_key)
                    assert await run.everything() == before, number
            before = await run.everything()
            await run.compact()
            assert await run.logged() == 0
            assert await run.everything() == before
            # What comes next is read after what is in segments.
            await run.write("w1", Block(["z", "a"], [9], [[1.0, 2.0]]))
            after = await run.everything()
            assert after["points"]["z", None] == [(9, 9, *bits([1.0]))]
            await run.compact()
            assert await run.everything() == after


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[LoggedRun]:
    async with logged_run(tmp_path) as run:
        yield run


async def test_points_of_equal_step_and_time_stay_as_they_were_logged(run: LoggedRun, small: None) -> None:
    for value in (3.0, 1.0, 2.0, 1.0):
        await run.write("w", Block(["loss"], [5, 5], [[value], [-value]], [7, 7]))
        await run.compact()
    [points] = [points async for points in (await run.series()).points("loss")]
    assert points.values.tolist() == [3.0, -3.0, 1.0, -1.0, 2.0, -2.0, 1.0, -1.0]


async def chart(run: LoggedRun, key: str, points_max: int, **options: Any) -> tuple[int, Any]:
    series = await run.series()
    found = await series.chart(key, options.get("rank"), options.get("first"), options.get("last"), points_max)
    return found() if callable(found) else found


@pytest.mark.parametrize("tail", [0, 3_000])
@pytest.mark.parametrize(("first", "last"), [(None, None), (1_000, 29_000), (12_345, 12_345), (29_999, None), (5, 70)])
async def test_a_chart_of_many_points_keeps_every_extreme(
    run: LoggedRun, monkeypatch: pytest.MonkeyPatch, tail: int, first: int | None, last: int | None
) -> None:
    monkeypatch.setattr(reader_module, "EXACT_POINTS_MAX", 500)
    monkeypatch.setattr(reader_module, "CHUNK_ROWS", 128)
    monkeypatch.setattr(build_module, "CHUNK_ROWS", 128)
    monkeypatch.setattr(merge_module, "CHUNK_ROWS", 128)
    rows = 30_000 + tail
    values = np.random.default_rng(3).normal(0, 1, (rows, 2))
    values[12_345] = 1e6, math.nan
    values[777] = -math.inf, -1e7
    for start in range(0, rows, 2_000):
        if start == 30_000:
            await run.compact()
        piece = np.arange(start, min(rows, start + 2_000))
        await run.write("w", Block(["a", "b"], piece.tolist(), values[piece], (10 * piece).tolist()))
    if not tail:
        await run.compact()
    low, high = 0 if first is None else first, rows - 1 if last is None else last
    for column, key in enumerate("ab"):
        wanted = values[low : high + 1, column]
        total, data = await chart(run, key, 20, first=first, last=last)
        assert total == len(wanted)
        if total <= 20:
            assert data.values.tolist() == wanted.tolist() or math.isnan(data.values[0])
            continue
        assert len(data) <= 20
        assert (data.first_steps[0], data.last_steps[-1]) == (low, high)
        assert (data.first_steps[1:] == data.last_steps[:-1] + 1).all()
        assert (data.last_times_unix_us == 10 * data.last_steps).all()
        for i in range(len(data)):
            inside = values[data.first_steps[i] : data.last_steps[i] + 1, column]
            finite = inside[np.isfinite(inside)]
            assert data.counts[i] == len(inside)
            assert (data.mins[i], data.maxs[i]) == (finite.min(), finite.max())
            assert values[data.min_steps[i], column] == finite.min()
            assert values[data.max_steps[i], column] == finite.max()
            assert data.means[i] == pytest.approx(finite.mean())
            assert bits(data.lasts[i]) == bits(inside[-1])
            assert data.nan_counts[i] == np.isnan(inside).sum()
            assert data.negative_infinity_counts[i] == (inside == -np.inf).sum()


async def test_a_chart_of_points_in_no_order(run: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "EXACT_POINTS_MAX", 500)
    monkeypatch.setattr(reader_module, "WINDOW_POINTS", 700)
    steps = np.random.default_rng(4).permutation(8_000)
    for rank in range(2):
        for start in range(0, 8_000, 1_000):
            piece = steps[start : start + 1_000]
            await run.write(f"w{rank}", Block(["a"], piece.tolist(), piece + rank / 2), rank=rank)
        await run.compact()
    total, data = await chart(run, "a", 10)
    assert (total, data.counts.sum(), len(data)) == (16_000, 16_000, 10)
    assert data.mins.tolist() == data.first_steps.tolist()
    assert data.maxs.tolist() == (data.last_steps + 0.5).tolist()
    windows = [points async for points in (await run.series()).points("a")]
    assert max(map(len, windows)) < 3_000
    assert np.concatenate([points.steps for points in windows]).tolist() == np.repeat(np.arange(8_000), 2).tolist()
    assert await (await run.series()).count("a", 1, 100, 199) == 100


async def test_across_ranks_there_is_a_bucket_for_each_step(run: LoggedRun) -> None:
    for rank in range(4):
        await run.write(f"w{rank}", Block(["a"], range(100), np.arange(100.0) * (rank + 1)), rank=rank)
        if rank == 1:
            await run.compact()
    total, data = await (await run.series()).across("a", 10, 19, 50)
    assert (total, data.first_steps.tolist(), data.last_steps.tolist()) == (40, [*range(10, 20)], [*range(10, 20)])
    assert (data.mins.tolist(), data.maxs.tolist()) == ([*range(10, 20)], [4 * step for step in range(10, 20)])
    assert data.means.tolist() == [2.5 * step for step in range(10, 20)]
    total, data = await (await run.series()).across("a", None, None, 7)
    assert (total, len(data), data.counts.sum()) == (400, 7, 400)
    assert (data.counts % 4 == 0).all()


async def test_two_compactors_at_once_lose_and_double_nothing(run: LoggedRun, small: None) -> None:
    other = run.new_compactor()
    for number in range(30):
        await run.write("w", Block(["a"], [number], [[float(number)]]))
    before = await run.everything()

    async def compact(compactor: Any) -> None:
        for _ in range(12):
            await compactor.compact(run.run.log_key)
            await compactor.merge(run.run.log_key)

    await asyncio.gather(compact(run.compactor), compact(other))
    await run.compact()
    assert await run.everything() == before
    assert await run.logged() == 0


async def test_a_gap_is_never_passed(run: LoggedRun) -> None:
    await run.write("w", Block(["a"], [1], [[1.0]]))
    missing = await run.write("w", Block(["a"], [2], [[2.0]]))
    await run.write("w", Block(["a"], [3], [[3.0]]))
    await run.log.trim(run.run.log_key, missing.writer_key, 2)  # as if 1 and 2 had never come
    await run.compact()
    assert (await run.segmented.manifests.get(run.run.log_key)).sequence(missing.writer_key) == 0
    assert await run.logged() == 1


async def test_a_batch_that_comes_late_once_more_is_read_once(run: LoggedRun) -> None:
    late = await run.write("w", Block(["a"], [1], [[1.0]]))
    await run.write("w", Block(["a"], [2], [[2.0]]))
    before = await run.everything()
    await run.compact()
    await run.log.append([late])  # by a replica that was frozen
    assert await run.everything() == before
    await run.write("w", Block(["b"], [3], [[3.0]]))
    before = await run.everything()
    await run.compact()
    assert await run.everything() == before


async def test_what_was_merged_long_ago_and_orphans_are_removed(run: LoggedRun, small: None) -> None:
    for number in range(20):
        await run.write("w", Block(["a"], range(50), np.random.default_rng(number).normal(0, 1, 50)))
        await run.compact()
    before = await run.everything()
    manifest = await run.segmented.manifests.get(run.run.log_key)
    assert manifest.retired
    await run.segmented.files.put(run.run.log_key, "ab" * 16, [b"an orphan"])
    await run.segmented.files.put(b"q" * 16, "cd" * 16, [b"of a run that has no manifest yet"])
    assert await run.compactor.sweep() == 2
    assert (await run.segmented.manifests.get(run.run.log_key)).retired == manifest.retired
    run.clock.advance(601)
    await run.compactor.sweep()
    manifest = await run.segmented.manifests.get(run.run.log_key)
    assert manifest.retired == ()
    stored = [blob.key.rpartition("/")[2] for blob in (await run.blobs.list()).blobs]
    assert sorted(stored) == sorted(s.segment_id for s in manifest.segments if not s.inline)
    assert await run.everything() == before


async def test_a_segment_under_way_is_not_published_once_it_was_swept(run: LoggedRun, small: None) -> None:
    await run.write("w", Block(["a"], range(500), np.random.default_rng(0).normal(0, 1, 500)))
    before = await run.everything()
    putting, put = run.segmented.files.put, asyncio.Event()
    swept = run.new_compactor()

    async def put_and_be_swept(run_key: bytes, segment_id: str, pieces: Any) -> int:
        size = await putting(run_key, segment_id, pieces)
        put.set()
        assert await swept.sweep() == 1
        return size

    run.compactor._log.files.put = put_and_be_swept  # type: ignore[method-assign] - a moment that no store call shows
    assert not await run.compactor.compact(run.run.log_key)
    assert put.is_set()
    assert await run.everything() == before
    del run.compactor._log.files.put
    await run.compact()
    assert await run.everything() == before


async def test_rounds_take_what_is_worth_it(run: LoggedRun) -> None:
    await run.write("w", Block(["a"], range(1_000), np.zeros(1_000)))
    await run.compactor.round()
    assert await run.logged() == 1
    run.clock.advance(60)
    await run.compactor.round()
    assert await run.logged() == 1  # small and idle: better left
    for _ in range(20):
        await run.write("w", Block(["a"], range(1_000), np.zeros(1_000)))
    run.clock.advance(1)
    await run.compactor.round()
    assert await run.logged() == 21
    run.clock.advance(11)
    assert await run.compactor.round()
    assert await run.logged() == 0


async def test_readers_see_every_batch_once_while_others_compact(run: LoggedRun, small: None) -> None:
    await race(run, batches=60, readers=2)


async def test_a_merge_reads_ahead(run: LoggedRun, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "READ_AHEAD_BYTES", 1_000_000)
    keys = [f"key/{number}" for number in range(20)]
    for step in range(6):
        await run.write(
            "w1", Block(keys, range(10 * step, 10 * step + 10), np.random.default_rng(step).random((10, 20)))
        )
    run.compactor = run.new_compactor()
    while await run.compactor.compact(run.run.log_key):
        pass
    assert len((await run.segmented.open(run.run.log_key)).segments) == 3
    before = await run.everything()
    gets = 0
    get = run.blobs.get

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal gets
        gets += 1
        return get(*args, **kwargs)

    monkeypatch.setattr(run.blobs, "get", counted)
    assert await run.compactor.merge(run.run.log_key)
    assert 3 <= gets <= 12  # of three segments with 20 columns each
    monkeypatch.undo()
    assert await run.everything() == before


async def test_a_run_that_another_compactor_works_at_is_left_to_it(run: LoggedRun) -> None:
    for _ in range(2):
        await run.write("w", Block(["a"], range(30_000), np.zeros(30_000)))
    other = run.new_compactor()
    assert await other._claim(run.run.log_key)
    await run.compactor._follow()
    run.clock.advance(11)
    assert await other._claim(run.run.log_key)
    assert not await run.compactor.round()
    assert await run.logged() == 2
    run.clock.advance(11)  # the other one is gone
    assert await run.compactor.round()
    assert await run.logged() == 0


async def test_rounds_are_cut_short_and_go_on(run: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactor_module, "RUNS_PER_ROUND_MAX", 2)
    for number in range(5):
        run.run = replace(run.run, log_key=bytes([number]) * 16)
        run.writers.clear()
        await run.write("w", Block(["a"], [1], [[1.0]]))
    rounds = 1
    while await run.compactor.round():
        rounds += 1
    assert rounds == 3
    run.clock.advance(11)
    while await run.compactor.round():
        pass
    assert not run.compactor._waiting  # small and idle: forgotten


async def test_what_is_nowhere_hides_nothing_else(run: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    await run.write("w", Block(["a"], [1], [[1.0]]))
    with monkeypatch.context() as losing:

        async def lose(records: Any) -> list[Any]:
            return []

        losing.setattr(run.log, "append", lose)
        await run.write("w", Block(["a"], [2], [[2.0]]))
    await run.write("w", Block(["a"], [3], [[3.0]]))
    for _ in range(2):
        [points] = [points async for points in (await run.series()).points("a")]
        assert points.steps.tolist() == [1, 3]
        await run.compact()  # up to the gap
