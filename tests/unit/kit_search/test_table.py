"""Tables: cells come and go, columns of every type, order, pages, memory."""

import math
from typing import Any

import pytest

from penstock_kit.search import (
    ATTRIBUTES,
    ColumnType,
    Field,
    FilterTooCostly,
    MetricCell,
    Position,
    PositionInvalid,
    Schema,
    Table,
    evaluate,
    find,
    parse_filter,
    parse_order,
)

SCHEMA = Schema(
    attributes={"name": ColumnType.VALUE, "start_time": ColumnType.TIME},
    aliases={},
    collections={"params": ColumnType.VALUE, "metrics": ColumnType.METRIC},
)


def ids(table: Table, filter_text: str = "", order_text: str = "") -> list[str]:
    expression = parse_filter(filter_text, SCHEMA) if filter_text else None
    order = parse_order(order_text, SCHEMA) if order_text else ()
    return list(find(table, expression, order, limit=1_000).ids)


def metric(last: float, least: float, most: float) -> MetricCell:
    return MetricCell(last, least, most, step=0, time_us=0, count=1)


def table_of(collection: str, **cells: Any) -> Table:
    """A table with one cell, of key x, in each of the rows named; None means that there is none."""
    table = Table(SCHEMA)
    for row_id, value in cells.items():
        table.put(row_id, collection, {} if value is None else {"x": value})
    return table


def test_put_replaces_the_cells_of_a_collection() -> None:
    table = Table(SCHEMA)
    table.put("a", "params", {"x": 1, "y": 2})
    table.put("a", "metrics", {"x": metric(1.0, 1.0, 1.0)})
    assert ids(table, "params.x = 1 and params.y = 2") == ["a"]
    table.put("a", "params", {"y": 3})
    assert ids(table, "params.x is null and params.y = 3 and metrics.x = 1") == ["a"]


def test_a_removed_row_is_gone_and_may_come_back() -> None:
    table = table_of("params", a=1, b=2)
    assert "a" in table
    table.remove("a")
    table.remove("a")
    table.remove("never")
    assert "a" not in table
    assert len(table) == 1
    assert table.row_count == 2
    assert ids(table) == ["b"]
    assert ids(table, "not params.x = 5") == ["b"]
    assert ids(table, "params.x is null") == []
    table.put("a", ATTRIBUTES, {"name": "again"})
    assert ids(table) == ["a", "b"]
    assert ids(table, "params.x is null") == ["a"]


def test_the_schema_is_kept() -> None:
    with pytest.raises(KeyError):
        Table(SCHEMA).put("a", ATTRIBUTES, {"nothing": 1})
    with pytest.raises(KeyError):
        Table(SCHEMA).put("a", "tags", {"x": 1})


def test_aspects_of_a_metric() -> None:
    table = table_of("metrics", a=metric(0.5, 0.1, 0.9))
    assert ids(table, 'metrics."x" = 0.5 and metrics."x".last = 0.5') == ["a"]
    assert ids(table, 'metrics."x".min = 0.1 and metrics."x".max = 0.9') == ["a"]


def test_missing_values() -> None:
    table = table_of("params", a=1, b=None)
    for clause in ("params.x = 1", "params.x != 2", "params.x not in (2)", "params.x not like '2'"):
        assert ids(table, clause) == ["a"]
    assert ids(table, "not params.x = 1") == ["b"]
    assert ids(table, "params.never != 1") == []
    assert ids(table, "not params.never = 1") == ["a", "b"]


def test_nan() -> None:
    table = table_of(
        "metrics", a=metric(1.0, 1.0, 1.0), b=metric(math.nan, math.nan, math.nan), c=metric(math.inf, 0.0, math.inf)
    )
    assert ids(table, "metrics.x = nan") == ["b"]
    assert ids(table, "metrics.x != nan") == ["a", "c"]
    assert ids(table, "metrics.x != 1") == ["b", "c"]
    assert ids(table, "metrics.x in (nan, 1)") == ["a", "b"]
    assert ids(table, "metrics.x not in (nan, 1)") == ["c"]
    assert ids(table, "metrics.x <= inf") == ["a", "c"]
    assert ids(table, "metrics.x >= nan or metrics.x < nan") == []
    assert ids(table, "metrics.x = inf") == ["c"]


def test_literals_compare_with_what_fits_them() -> None:
    table = table_of("params", f=0.1, i=3, t="0.1", w="word", b=True, s="True", j="[0.1]")
    assert ids(table, "params.x = 0.1") == ["f", "t"]
    assert ids(table, "params.x < 5") == ["f", "i", "t"]
    assert ids(table, "params.x != 3") == ["f", "t"]
    assert ids(table, "params.x not in (3)") == ["f", "t"]
    assert ids(table, "params.x = true") == ["b", "s"]
    assert ids(table, "params.x != false") == ["b", "s"]
    assert ids(table, "params.x = '0.1'") == ["f", "t"]
    assert ids(table, "params.x in ('3', 'true', 'word')") == ["b", "i", "w"]
    assert ids(table, "params.x != '3'") == ["b", "f", "j", "s", "t", "w"]
    assert ids(table, "params.x < 'a'") == ["j", "s", "t"]
    assert ids(table, "params.x like '%0.1%'") == ["f", "j", "t"]
    assert ids(table, "params.x ilike 'TRUE'") == ["b", "s"]
    assert ids(table, "params.x in (3, 'word')") == ["i", "w"]
    assert ids(table, "params.x not in (3, 'word')") == ["f", "t"]


def test_large_integers_are_exact_as_text() -> None:
    table = table_of("params", a=2**53, b=2**53 + 1, c=2**53 + 2)
    assert ids(table, f"params.x = '{2**53 + 1}'") == ["b"]
    assert ids(table, f"params.x != '{2**53 + 1}'") == ["a", "c"]
    assert ids(table, "params.x like '%993'") == ["b"]
    assert ids(table, f"params.x >= {2**53}") == ["a", "b", "c"]


def test_times() -> None:
    table = Table(SCHEMA)
    table.put("a", ATTRIBUTES, {"start_time": 1_767_225_600_000_001})
    assert ids(table, "start_time > '2026-01-01' and start_time > 1767225600000") == ["a"]
    assert ids(table, "start_time = '2026-01-01T00:00:00.000001Z'") == ["a"]


def test_order_of_mixed_values() -> None:
    table = table_of("params", a="b", b=2, c=math.nan, d=None, e=True, f="10", g=-math.inf, h=False, i="a", j="é")
    assert ids(table, "", "params.x") == ["g", "b", "f", "h", "e", "i", "a", "j", "c", "d"]
    assert ids(table, "", "params.x desc") == ["j", "a", "i", "e", "h", "f", "b", "g", "c", "d"]


def test_order_of_texts_as_such() -> None:
    table = table_of("params", a="b", b=2, c="nan", d=None, e="true", f="10", g="9", h=True, i="")
    assert ids(table, "", "params.x as text") == ["b", "h", "i", "f", "g", "a", "c", "e", "d"]
    assert ids(table, "", "params.x AS  TEXT desc") == ["e", "c", "a", "g", "f", "i", "h", "b", "d"]
    order = parse_order("params.x as text", SCHEMA)
    after = find(table, None, order, limit=4).next
    assert after is not None
    assert after.keys[0][1] == "10"
    assert list(find(table, None, order, limit=9, after=after).ids) == ["g", "a", "c", "e", "d"]


def test_ties_go_by_the_next_term_and_then_by_id() -> None:
    table = table_of("params", z=1, y=1, x=2, w=2)
    table.put("y", "metrics", {"m": metric(1.0, 1.0, 1.0)})
    assert ids(table, "", "params.x desc, metrics.m") == ["w", "x", "y", "z"]
    assert ids(table, "", "params.x desc") == ["w", "x", "y", "z"]
    assert ids(table) == ["w", "x", "y", "z"]


def test_long_texts_sort_by_their_first_characters() -> None:
    stem = "é" * 640
    table = table_of("params", d=stem + "b", c=stem + "a", b=stem, a=stem[:-1] + "z", e="f")
    assert ids(table, "", "params.x") == ["e", "a", "b", "c", "d"]
    order = parse_order("params.x", SCHEMA)
    position = find(table, None, order, limit=3).next
    assert position is not None
    assert position.keys[0][1] == stem
    assert list(find(table, None, order, limit=5, after=position).ids) == ["c", "d"]


def page_after(
    table: Table, order_text: str, position: Position | None, limit: int = 2
) -> tuple[list[str], Position | None]:
    found = find(table, None, parse_order(order_text, SCHEMA), limit=limit, after=position)
    return list(found.ids), found.next


@pytest.mark.parametrize("order_text", ["params.x", "params.x desc"])
def test_pages_stay_right_while_rows_are_added(order_text: str) -> None:
    table = table_of("params", a=1, b=2, c=3, d=4)
    first, position = page_after(table, order_text, None)
    table.put("0", "params", {"x": 0})
    table.put("e", "params", {"x": 5})
    table.put("m", "params", {"x": 2.5})
    second, _ = page_after(table, order_text, position, limit=10)
    assert first + second == (
        ["a", "b", "m", "c", "d", "e"] if order_text == "params.x" else ["d", "c", "m", "b", "a", "0"]
    )


def test_a_page_goes_on_after_a_row_that_is_gone() -> None:
    table = table_of("params", a="p", b="q", c="r")
    first, position = page_after(table, "params.x", None)
    assert first == ["a", "b"]
    table.remove("b")
    table.put("bb", "params", {"x": "qq"})
    assert page_after(table, "params.x", position) == (["bb", "c"], None)


def test_a_page_goes_on_among_missing_values() -> None:
    table = table_of("params", a=None, b=None, c=None, d=math.nan)
    first, position = page_after(table, "params.x desc, params.never", None)
    second, _ = page_after(table, "params.x desc, params.never", position)
    assert first + second == ["d", "a", "b", "c"]


@pytest.mark.parametrize(
    "state",
    [
        None,
        5,
        [],
        [[[0, 1.0]], 5],
        [[[0, 1.0], [0, 1.0]], "a"],
        [[[9, 1.0]], "a"],
        [[["0", 1.0]], "a"],
        [[[0, "x"]], "a"],
        [[[2, 1.0]], "a"],
        [[[0, math.nan]], "a"],
        [[[0]], "a"],
        [5, "a"],
        {"a": 1, "b": 2},
    ],
)
def test_a_forged_position_is_refused(state: Any) -> None:
    with pytest.raises(PositionInvalid):
        Position.from_state(state, 1)


def test_a_forged_position_of_another_type_does_no_harm() -> None:
    table = table_of("metrics", a=metric(1.0, 1.0, 1.0))
    position = Position.from_state([[[2, "text"]], "a"], 1)
    assert page_after(table, "metrics.x", position) == ([], None)


def test_sparse_columns_cost_what_they_hold() -> None:
    dense, sparse = Table(SCHEMA), Table(SCHEMA)
    for row in range(500):
        dense.put(f"{row}", "metrics", {"x": metric(1.0, 1.0, 1.0)})
        sparse.put(f"{row}", "metrics", {f"x{row}": metric(1.0, 1.0, 1.0)})
    assert ids(sparse, "metrics.x499 = 1") == ["499"]
    assert len(ids(dense, "metrics.x = 1")) == 500
    assert sparse.nbytes < dense.nbytes + 500 * 2_000


def test_rows_written_in_any_order() -> None:
    table = Table(SCHEMA)
    for row in range(100):
        table.put(f"{row:03}", ATTRIBUTES, {"name": f"n{row}"})
    for row in (50, 3, 99, 51, 3, 0):
        table.put(f"{row:03}", "params", {"x": row})
        assert f"{row:03}" in ids(table, "params.x >= 0")
    assert ids(table, "params.x >= 0", "params.x") == ["000", "003", "050", "051", "099"]


def test_texts_that_no_row_holds_are_swept_out() -> None:
    table = table_of("params", a="kept", b="first")
    for number in range(4_000):
        table.put("b", "params", {"x": f"text-{number}" * 10})
        if number % 100 == 0:
            ids(table, "params.x = ''")
    before = table.nbytes
    for number in range(4_000, 8_000):
        table.put("b", "params", {"x": f"text-{number}" * 10})
        if number % 100 == 0:
            ids(table, "params.x = ''")
    assert table.nbytes < before + 500_000
    assert ids(table, "params.x = 'kept'") == ["a"]
    assert ids(table, f"params.x = '{'text-7999' * 10}'") == ["b"]


def test_many_pending_writes_are_merged() -> None:
    table = Table(SCHEMA)
    for row in range(20_000):
        table.put(f"{row:05}", "params", {"x": row % 7})
    assert len(ids(table, "params.x = 3 and params.x like '3'")) == 1_000
    column = table.column(Field("params", "x", ColumnType.VALUE))
    assert column is not None
    assert len(column.rows) == 20_000


def test_patterns_are_compared_with_a_bounded_amount_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(SCHEMA)
    for row in range(100):
        table.put(f"{row:03}", "params", {"x": f"{row:040}", "n": row})
    limit = 2 * 100 * (40 + evaluate.TEXT_OVERHEAD_CHARS) + 100 * evaluate.TEXT_OVERHEAD_CHARS
    monkeypatch.setattr(evaluate, "FILTER_MATCH_CHARS_MAX", limit)
    assert ids(table, "params.x like '%7_' and not (params.x ilike '%70' or params.n like '0%')") != []
    with pytest.raises(FilterTooCostly) as refused:
        ids(table, "params.x like '%7_' and not (params.x ilike '%70' or params.x like '%1')")
    assert refused.value.metadata["limit"] == "FILTER_MATCH_CHARS_MAX"
