"""Latest values, columns and buckets, against plain Python."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_tracking.ingest.codec import DecodedBlock
from penstock_tracking.segments.batches import DecodedBatch
from penstock_tracking.series.columns import RunColumns
from penstock_tracking.series.downsample import downsample
from penstock_tracking.series.latest import LatestTable, LatestValue
from penstock_tracking.series.points import Points

Row = tuple[int, int, float]
values = st.one_of(st.floats(width=64), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]))
rows = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2), values), min_size=1, max_size=30)


def block(points: list[Row], key_ids: tuple[int, ...] = (0,)) -> DecodedBlock:
    return DecodedBlock(
        key_ids,
        np.array([p[0] for p in points], np.int64),
        np.array([p[1] for p in points], np.int64),
        np.array([[p[2]] * len(key_ids) for p in points]),
    )


def latest_of(table: LatestTable, key: str) -> LatestValue:
    [(_, latest)] = table.select([key])
    return latest


def bits(value: float) -> int:
    return int.from_bytes(struct.pack(">d", value), "big")


def rank_of(point: Row) -> tuple[int, int, float]:
    return (point[0], point[1], 0.0 if math.isnan(point[2]) else point[2])


@given(rows, st.integers(1, 5), st.randoms(use_true_random=False))
def test_latest_is_the_maximum_whatever_the_order_and_the_cut(points: list[Row], pieces: int, random: object) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined] - a Random
    table = LatestTable()
    keys = ["k"]
    for start in range(0, len(shuffled), pieces):
        table.take(keys, block(shuffled[start : start + pieces]))
    latest = latest_of(table, "k")
    assert rank_of((latest.step, latest.time_us, latest.value)) == max(rank_of(p) for p in points)
    assert latest.count == len(points)
    # Of what is equal by the rule the greatest bits count, so that the order decides nothing.
    equal = [p[2] for p in points if rank_of(p) == max(rank_of(p) for p in points)]
    assert bits(latest.value) == max(map(bits, equal))
    numbers = [p[2] for p in points if not math.isnan(p[2])]
    if numbers:
        assert (latest.min, latest.max) == (min(numbers), max(numbers))
    else:
        assert math.isnan(latest.min)
        assert math.isnan(latest.max)


def test_latest_of_many_keys_and_growing_tables() -> None:
    table = LatestTable()
    keys = [f"k{i}" for i in range(100)]
    for step in range(100):
        ids = tuple(range(step + 1))
        table.take(keys, DecodedBlock(ids, np.array([step]), np.array([step]), np.full((1, len(ids)), float(step))))
    assert len(table) == 100
    assert latest_of(table, "k0").count == 100
    assert latest_of(table, "k99").count == 1
    assert table.select(["k100"]) == []
    assert [name for name, _ in table.select(prefix="k9")] == ["k9", *(f"k{i}" for i in range(90, 100))]
    again = LatestTable.unpacked(table.packed())
    assert again.select() == table.select()
    again.take(["k0"], block([(1000, 0, -1.0)]))
    assert latest_of(again, "k0").min == -1.0


@given(st.lists(rows, min_size=1, max_size=4))
def test_columns_give_every_point_once_in_order(batches: list[list[Row]]) -> None:
    columns = RunColumns()
    keys = ["a", "b"]
    for index, points in enumerate(batches):
        columns.take(DecodedBatch(b"w", index % 2, index + 1, b"", keys, [block(points, (0, 1))], 1))
    everything = [p for points in batches for p in points]
    got = columns.points("a")
    assert list(zip(got.steps.tolist(), got.times_us.tolist(), strict=True)) == sorted((p[0], p[1]) for p in everything)
    assert sorted(map(repr, got.values.tolist())) == sorted(repr(p[2]) for p in everything)
    ranged = columns.points("b", first=0, last=1)
    assert len(ranged) == sum(0 <= p[0] <= 1 for p in everything)
    apart = [len(columns.points("a", rank=rank)) for rank in columns.ranks("a")]
    assert sum(apart) == len(everything)


def test_only_wanted_columns_are_kept() -> None:
    columns = RunColumns(["b"])
    columns.take(DecodedBatch(b"w", 0, 1, b"", ["a", "b"], [block([(1, 1, 2.0)], (0, 1))], 1))
    columns.take(DecodedBatch(b"w", 0, 2, b"", ["a", "b"], [block([(2, 1, 3.0)], (0,))], 1))
    assert columns.keys == ["b"]
    assert columns.points("b").values.tolist() == [2.0]
    assert len(columns.points("a")) == 0


@given(st.lists(values, min_size=1, max_size=200), st.integers(1, 50))
def test_buckets_keep_extremes_and_count_everything(series: list[float], buckets_max: int) -> None:
    n = len(series)
    points = Points(np.arange(n), np.arange(n) * 10, np.array(series))
    buckets = downsample(points, buckets_max)
    assert buckets.counts.sum() == n
    assert len(buckets.counts) == min(n, buckets_max)
    finite = [v for v in series if math.isfinite(v)]
    if finite:
        assert np.nanmin(buckets.mins) == min(finite)
        assert np.nanmax(buckets.maxs) == max(finite)
    assert buckets.nan_counts.sum() == sum(map(math.isnan, series))
    assert buckets.positive_infinity_counts.sum() == series.count(math.inf)
    assert buckets.negative_infinity_counts.sum() == series.count(-math.inf)
    start = 0
    for i, count in enumerate(buckets.counts.tolist()):
        inside = series[start : start + count]
        numbers = [v for v in inside if math.isfinite(v)]
        assert (buckets.first_steps[i], buckets.last_steps[i]) == (start, start + count - 1)
        assert repr(float(buckets.lasts[i])) == repr(inside[-1])
        if numbers:
            assert buckets.mins[i] == min(numbers)
            assert series[buckets.min_steps[i]] == min(numbers)
            assert series[buckets.max_steps[i]] == max(numbers)
        else:
            assert math.isnan(buckets.mins[i])
            assert math.isnan(buckets.means[i])
        start += count


def test_the_mean_of_values_whose_sum_overflows() -> None:
    largest = np.finfo(np.float64).max
    values = np.array([largest, largest, largest, largest / 2, -largest, -largest / 2])
    buckets = downsample(Points(np.arange(6), np.arange(6), values), 2)
    assert buckets.means.tolist() == [largest, pytest.approx(-largest / 3)]
