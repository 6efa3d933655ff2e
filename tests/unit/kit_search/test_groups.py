"""Groups of rows against a row-by-row evaluation, and what they refuse."""

import math
import statistics
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.search_rows import (
    NUMBER_FIELDS,
    SCHEMA,
    VALUE_FIELDS,
    as_number,
    cell,
    filters,
    holds,
    put,
    runs,
    sort_key,
    write_field,
    write_filter,
)

from penstock_kit.search import (
    Aggregate,
    AggregateInvalid,
    Group,
    GroupByInvalid,
    GroupPosition,
    GroupTerm,
    OrderInvalid,
    PositionInvalid,
    Table,
    group,
    parse_aggregate,
    parse_filter,
    parse_group_by,
    parse_group_order,
)

FUNCTIONS = ["count", "min", "max", "mean", "sum", "std", "median"]

aggregates = st.lists(
    st.just(("count",)) | st.tuples(st.sampled_from(FUNCTIONS), st.sampled_from(VALUE_FIELDS + NUMBER_FIELDS)),
    max_size=6,
)
# Of few distinct values, so that groups have several rows.
members_of_groups = st.builds(
    lambda run, group: {**run, "params": {**run["params"], **group}},
    runs,
    st.fixed_dictionaries({}, optional={"k": st.sampled_from([1, "1.0", "a", True, math.nan])}),
)


def written(aggregate: tuple[Any, ...]) -> str:
    return "count" if len(aggregate) == 1 else f"{aggregate[0]}({write_field(aggregate[1])})"


def worked_out(aggregate: tuple[Any, ...], members: list[dict[str, Any]]) -> float | None:
    if len(aggregate) == 1:
        return len(members)
    function, field = aggregate
    values = [value for run in members if (value := cell(run, field)) is not None]
    if function == "count":
        return len(values)
    numbers = [number for value in values if (number := as_number(value)) is not None and not math.isnan(number)]
    if not numbers:
        return None
    if function in ("min", "max"):
        return min(numbers) if function == "min" else max(numbers)
    if function == "median":
        middle = sorted(numbers)
        low, high = middle[(len(middle) - 1) // 2], middle[len(middle) // 2]
        return low if low == high else low / 2 + high / 2
    total = sum(numbers)
    if function == "sum":
        return total
    mean = total / len(numbers)
    if function == "mean":
        return mean
    if any(map(math.isinf, numbers)):
        return math.nan
    return statistics.pstdev(numbers, mean)


def same(a: float | None, b: float | None) -> bool:
    if a is None or b is None or math.isnan(a) or math.isnan(b):
        return a is b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)


def shared(key: tuple[int, Any]) -> Any:
    """What a key stands for in the answer."""
    kind, value = key
    return {3: math.nan, 4: None}.get(kind, value)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    rows=st.integers(0, 14).flatmap(lambda size: st.lists(members_of_groups, min_size=size, max_size=size)),
    filter_=st.none() | st.none() | filters,
    by=st.lists(st.sampled_from(VALUE_FIELDS), max_size=2, unique=True),
    asked=aggregates,
    order=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=3),
    page=st.integers(1, 4),
)
def test_groups_agree_with_rows(
    rows: list[Any], filter_: Any, by: list[Any], asked: list[Any], order: list[Any], page: int
) -> None:
    table = Table(SCHEMA)
    for number, run in enumerate(rows):
        put(table, f"{number * 7 % 16:02}", run)
    expression = parse_filter(write_filter(filter_), SCHEMA) if filter_ else None
    fields = [parse_group_by(write_field(field), SCHEMA) for field in by]
    wanted = [parse_aggregate(written(aggregate), SCHEMA) for aggregate in asked]
    terms: list[GroupTerm] = []
    described: list[tuple[str, int, bool]] = []
    for of_key, which, descending in order:
        choice = by if of_key else asked
        if choice:
            which %= len(choice)
            text = (write_field if of_key else written)(choice[which])
            terms += parse_group_order(f"{text} {'desc' if descending else 'ASC'}", SCHEMA, fields)
            described.append(("key" if of_key else "aggregate", which, descending))

    members: dict[tuple[Any, ...], list[Any]] = {}
    for run in rows:
        if filter_ is None or holds(filter_, run):
            members.setdefault(tuple(sort_key(cell(run, field)) for field in by), []).append(run)
    expected = [(key, [worked_out(one, of_key) for one in asked], len(of_key)) for key, of_key in members.items()]

    def sorts(found: Any, what: str, which: int) -> tuple[int, Any]:
        return found[0][which] if what == "key" else sort_key(found[1][which])

    def precedes(a: Any, b: Any) -> int:
        for what, which, descending in described:
            left, right = sorts(a, what, which), sorts(b, what, which)
            if left == right or (left[0] == right[0] == 0 and same(left[1], right[1])):
                continue
            result = -1 if left < right else 1
            return -result if descending and max(left[0], right[0]) < 3 else result
        return -1 if a[0] < b[0] else 1

    found = group(table, expression, fields, wanted, terms, limit=1_000)
    assert found.total_groups == len(expected)
    assert found.total_rows == sum(count for _, _, count in expected)
    assert found.next is None
    by_key = {key: (values, count) for key, values, count in expected}
    keys_found = [tuple(sort_key(key) for key in one.keys) for one in found.groups]
    assert sorted(keys_found) == sorted(by_key)
    for key, one in zip(keys_found, found.groups, strict=True):
        values, count = by_key[key]
        assert one.rows == count
        assert all(same(a, b) for a, b in zip(one.aggregates, values, strict=True)), (one, values)
        assert [repr(part) for part in one.keys] == [
            repr(shared(part)) if part[0] else repr(one.keys[i]) for i, part in enumerate(key)
        ]
    in_order = [(key, by_key[key][0], 0) for key in keys_found]
    for a, b in pairwise(in_order):
        assert precedes(a, b) < 0

    paged: list[Group] = []
    after = None
    for _ in range(len(expected) + 1):
        part = group(table, expression, fields, wanted, terms, limit=page, after=after)
        paged += part.groups
        if part.next is None:
            break
        state = part.next.state()
        count = sum(isinstance(term.key, Aggregate) for term in terms)
        after = GroupPosition.from_state(state, aggregates=count, keys=len(fields))
    assert repr(paged) == repr(list(found.groups))


def table_of(*params: dict[str, Any]) -> Table:
    table = Table(SCHEMA)
    for number, cells in enumerate(params):
        table.put(f"{number:03}", "params", cells)
    return table


def groups_of(table: Table, by: str, *asked: str, order: str = "") -> list[tuple[Any, ...]]:
    fields = [parse_group_by(by, SCHEMA)]
    terms = parse_group_order(order, SCHEMA, fields) if order else ()
    wanted = [parse_aggregate(aggregate, SCHEMA) for aggregate in asked]
    found = group(table, None, fields, wanted, terms, limit=100)
    return [(*one.keys, one.rows, *one.aggregates) for one in found.groups]


def test_values_that_read_the_same_are_together() -> None:
    table = table_of({"k": 1}, {"k": "1.0"}, {"k": 1.0}, {"k": "TRUE"}, {"k": True}, {"k": "b"}, {"k": "a"}, {})
    assert groups_of(table, "params.k") == [(1, 3), (True, 2), ("a", 1), ("b", 1), (None, 1)]
    assert groups_of(table, "params.k", order="params.k desc") == [("b", 1), ("a", 1), (True, 2), (1, 3), (None, 1)]


def test_aggregates_leave_out_what_is_no_number() -> None:
    table = table_of(
        {"g": "a", "x": 1}, {"g": "a", "x": "3"}, {"g": "a", "x": math.nan}, {"g": "a", "x": "text"}, {"g": "b"}
    )
    asked = ("count", "count(params.x)", "min(params.x)", "MAX( params.x )", "mean(params.x)", "std(params.x)")
    assert groups_of(table, "params.g", *asked) == [("a", 4, 4, 4, 1, 3, 2, 1), ("b", 1, 1, 0, None, None, None, None)]


def test_groups_without_an_aggregate_come_last() -> None:
    table = table_of(
        {"g": "a"}, {"g": "b", "x": 1}, {"g": "c", "x": 2}, {"g": "d", "x": "inf"}, {"g": "d", "x": "-inf"}
    )
    for order, expected in (
        ("sum(params.x)", "bcda"),
        ("sum(params.x) desc", "cbda"),
        ("count desc, sum(params.x)", "dbca"),
    ):
        assert "".join(found[0] for found in groups_of(table, "params.g", order=order)) == expected


def test_long_texts_are_told_apart_by_what_a_token_holds() -> None:
    table = table_of({"k": "x" * 640 + "a"}, {"k": "x" * 640 + "b"}, {"k": "x" * 639 + "y"})
    assert groups_of(table, "params.k") == [("x" * 640, 2), ("x" * 639 + "y", 1)]


def test_pages_stay_right_while_rows_are_added_changed_and_removed() -> None:
    table = Table(SCHEMA)
    for number in range(60):
        table.put(f"{number:03}", "params", {"k": f"k{number % 20:02}"})
    by = [parse_group_by("params.k", SCHEMA)]
    order = parse_group_order("params.k desc", SCHEMA, by)
    seen: list[Any] = []
    after = None
    for number in range(100):
        page = group(table, None, by, [], order, limit=3, after=after)
        seen += [one.keys[0] for one in page.groups]
        if page.next is None:
            break
        after = page.next
        table.put(f"new{number}", "params", {"k": f"z{number}"})  # before all that is to come
        table.put("000", "params", {"k": "k05"})
        table.remove(f"{number:03}")
    assert seen == [f"k{number:02}" for number in reversed(range(20))]


@pytest.mark.parametrize(
    ("text", "position"),
    [("avg(params.x)", 0), ("min", 0), ("min(", 4), ("min(params.x", 12), ("min()", 4), ("", 0), ("count(nothing)", 6)],
)
def test_an_aggregate_that_cannot_be_understood_is_shown(text: str, position: int) -> None:
    with pytest.raises(AggregateInvalid) as refused:
        parse_aggregate(text, SCHEMA)
    assert refused.value.metadata["position"] == str(position)


@pytest.mark.parametrize("text", ["metrics.loss", "seconds", "", "params.", "params.a, params.b", "x" * 601])
def test_what_makes_no_groups_is_refused(text: str) -> None:
    with pytest.raises(GroupByInvalid):
        parse_group_by(text, SCHEMA)


@pytest.mark.parametrize("text", ["state", "metrics.loss", "count upwards", "min(params.k", ", ".join(["count"] * 11)])
def test_an_order_of_other_things_is_refused(text: str) -> None:
    with pytest.raises(OrderInvalid):
        parse_group_order(text, SCHEMA, [parse_group_by("params.k", SCHEMA)])


@pytest.mark.parametrize(
    "state",
    [None, 5, [], [[], []], [[[0, 1.0]], []], [[], [[2, 1.0]]], [[], [[0, math.nan]]], [[], [["a", 1.0]]], [[], [5]]],
)
def test_a_forged_position_is_refused(state: Any) -> None:
    with pytest.raises(PositionInvalid):
        GroupPosition.from_state(state, aggregates=0, keys=1)


def test_a_forged_position_of_another_type_does_no_harm() -> None:
    table = table_of({"k": 1}, {"k": 2})
    by = [parse_group_by("params.k", SCHEMA)]
    terms = parse_group_order("count", SCHEMA, by)
    position = GroupPosition.from_state([[[2, "text"]], [[2, "text"]]], aggregates=1, keys=1)
    assert group(table, None, by, [], terms, limit=1, after=position).groups == []
