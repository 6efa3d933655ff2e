"""Batches of a part: bytes that the contract reads, and the same keys wherever sending goes on."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.tracking.v1 import metric_pb2
from penstock.errors import Conflict, ServerUnavailable
from penstock.importers.batches import KEYS_PER_ROW_MAX, POINT, PartSource
from penstock.importers.model import Part, Row, SourceDamaged
from penstock.sender.source import Outgoing
from penstock.spool.cuts import CHAIN_START
from penstock.spool.meta import SpoolMeta

META = SpoolMeta("0" * 32, "1" * 32, "default", 0)
Point = tuple[str, int, int, bytes]

ROWS = st.lists(
    st.builds(
        Row,
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**60),
        st.dictionaries(st.sampled_from(["a", "b", "c/d", "ключ"]), st.floats(width=64), min_size=1),
    ),
    max_size=40,
)


def source_of(part: Part, durable: Counter[bytes] | None = None, batch_bytes: int = 200) -> PartSource:
    return PartSource(META, part, lambda: durable or Counter(), batch_bytes)


def part_of(rows: Sequence[Row], metric: str | None = None) -> Part:
    return Part("part", lambda: iter(rows), metric)


def all_batches(source: PartSource) -> list[Outgoing]:
    made: list[Outgoing] = []
    while not source.ended:
        made.extend(source.cut_more(1))
    return made


def content_of(batch: Outgoing) -> metric_pb2.MetricBatchContent:
    return metric_pb2.StreamMetricsRequest.FromString(batch.message).batch.content


def points_of(batches: Sequence[Outgoing]) -> Counter[Point]:
    """The points as a server reads them. Fails when a key is used before it is defined, or defined out of turn."""
    keys: list[str] = []
    found: Counter[Point] = Counter()
    for batch in batches:
        content = content_of(batch)
        for key in content.new_keys:
            assert key.id == len(keys)
            keys.append(key.key)
        assert len(set(keys)) == len(keys)
        for block in content.blocks:
            for row, (step, time_us) in enumerate(zip(block.steps, block.times_unix_us, strict=True)):
                for column, key_id in enumerate(block.key_ids):
                    value = block.values[row * len(block.key_ids) + column]
                    found[keys[key_id], step, time_us, POINT.pack(step, time_us, value)] += 1
    return found


def expected(rows: Sequence[Row]) -> Counter[Point]:
    return Counter(
        (key, row.step, row.time_us, POINT.pack(row.step, row.time_us, value))
        for row in rows
        for key, value in row.values.items()
    )


@settings(max_examples=60)
@given(ROWS)
def test_sending_can_go_on_behind_every_batch(rows: list[Row]) -> None:
    whole = all_batches(source_of(part_of(rows)))
    assert points_of(whole) == expected(rows)
    for sent in range(len(whole) + 1):
        source = source_of(part_of(rows))
        last = whole[sent - 1].cut if sent else None
        source.resume(sent, last.chain if last else b"", last.points_total if last else 0)
        rest = all_batches(source)
        # Byte for byte: a server that has one of them already takes it for the repeat that it is.
        assert [batch.message for batch in rest] == [batch.message for batch in whole[sent:]]
        assert [batch.cut for batch in rest] == [batch.cut for batch in whole[sent:]]


@settings(max_examples=60)
@given(ROWS, ROWS)
def test_what_grew_meanwhile_follows_what_was_sent(rows: list[Row], more: list[Row]) -> None:
    sent = all_batches(source_of(part_of(rows)))
    source = source_of(part_of([*rows, *more]))
    points = sum(len(row.values) for row in rows)
    source.resume(len(sent), sent[-1].cut.chain if sent else b"", points)
    assert points_of([*sent, *all_batches(source)]) == expected([*rows, *more])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, math.nan])), max_size=20),
    st.sets(st.integers(0, 19)),
)
def test_points_of_one_metric_are_recognised_wherever_they_are(
    points: list[tuple[int, float]], durable: set[int]
) -> None:
    rows = [Row(step, 7, {"m": value}) for step, value in points]
    had = [row for index, row in enumerate(rows) if index in durable]
    sent = all_batches(source_of(part_of(had, "m")))
    source = source_of(part_of(rows, "m"), Counter(point for _, _, _, point in expected(had).elements()))
    source.resume(len(sent), sent[-1].cut.chain if sent else b"", len(had))
    assert points_of([*sent, *all_batches(source)]) == expected(rows)


def test_a_server_that_does_not_show_what_it_acknowledged_is_not_believed() -> None:
    rows = [Row(step, 0, {"m": 1.0}) for step in range(3)]
    source = source_of(part_of(rows, "m"))
    source.resume(1, bytes(32), 2)
    with pytest.raises(ServerUnavailable):
        source.cut_more(1)


@pytest.mark.parametrize("metric", [None, "m"])
def test_a_source_that_lost_points_adds_nothing(metric: str | None) -> None:
    source = source_of(part_of([Row(0, 0, {"m": 1.0})], metric))
    source.resume(1, bytes(32), 2)
    with pytest.raises(Conflict) as caught:
        source.cut_more(1)
    assert caught.value.reason == "SOURCE_ALTERED"


def test_a_boundary_within_a_row_is_an_altered_source() -> None:
    source = source_of(part_of([Row(0, 0, {"a": 1.0, "b": 2.0})]))
    source.resume(1, bytes(32), 1)
    with pytest.raises(Conflict):
        source.cut_more(1)


def test_damage_ends_a_part_and_keeps_what_was_before() -> None:
    def rows() -> Iterator[Row]:
        yield Row(0, 0, {"m": 1.0})
        raise SourceDamaged("broken")

    source = source_of(Part("part", rows))
    assert len(points_of(all_batches(source))) == 1
    assert source.reader.damage is not None
    # Once more has been imported than can be read now, there is nothing to add.
    later = source_of(Part("part", rows))
    later.resume(1, bytes(32), 5)
    assert all_batches(later) == []


def test_what_a_reader_did_not_expect_is_damage_as_well() -> None:
    def rows() -> Iterator[Row]:
        yield Row(0, 0, {"m": 1.0})
        raise ZeroDivisionError

    source = source_of(Part("part", rows))
    assert len(points_of(all_batches(source))) == 1
    assert "ZeroDivisionError" in str(source.reader.damage)


@pytest.mark.parametrize("row", [Row(2**63, 0, {"m": 1.0}), Row(0, -(2**63) - 1, {"m": 1.0})])
def test_steps_and_times_beyond_64_bits(row: Row) -> None:
    source = source_of(part_of([Row(0, 0, {"m": 1.0}), row]))
    assert len(points_of(all_batches(source))) == 1
    assert source.reader.damage is not None


def test_names_that_are_not_allowed_are_left_out() -> None:
    rows = [Row(0, 0, {"good": 1.0, "": 2.0, "x" * 251: 3.0, "line\nbreak": 4.0}), Row(1, 0, {"": 5.0})]
    source = source_of(part_of(rows))
    assert {key for key, *_ in points_of(all_batches(source))} == {"good"}
    assert source.reader.left_out == {"", "x" * 251, "line\nbreak"}


def test_a_wide_row_fits_into_batches() -> None:
    row = Row(1, 2, {f"{number:05d}" + "é" * 240: float(number) for number in range(10 * KEYS_PER_ROW_MAX)})
    batches = all_batches(source_of(part_of([row]), batch_bytes=1_000_000))
    assert points_of(batches) == expected([row])
    assert max(len(batch.message) for batch in batches) < 2_000_000
    assert max(len(block.key_ids) for batch in batches for block in content_of(batch).blocks) == KEYS_PER_ROW_MAX


def test_an_empty_part_sends_nothing() -> None:
    source = source_of(part_of([]))
    source.resume(0, b"", 0)
    assert all_batches(source) == []
    assert source.last_cut.chain == CHAIN_START
