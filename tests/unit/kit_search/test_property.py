"""Columns against a row-by-row evaluator that knows nothing of numpy, lark or re2: they must agree on everything."""

import functools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.search_rows import SCHEMA, filters, holds, orders, precedes, put, runs, write_field, write_filter

from penstock_kit.search import Position, Table, find, parse_filter, parse_order


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 12), st.none() | runs), max_size=30),
    filter_=filters,
    order=orders,
    peek=st.booleans(),
)
def test_columns_agree_with_rows(steps: Any, filter_: Any, order: Any, peek: bool) -> None:
    table = Table(SCHEMA)
    rows: dict[str, Any] = {}
    expression = parse_filter(write_filter(filter_), SCHEMA)
    terms = parse_order(", ".join(f"{write_field(f)} {'desc' if d else 'asc'}" for f, d in order), SCHEMA)
    for number, run in steps:
        run_id = f"{number * 7919 % 13:02}"  # ids do not come in order
        if run is None:
            table.remove(run_id)
            rows.pop(run_id, None)
        else:
            put(table, run_id, run)
            rows[run_id] = run
        if peek:  # reads between the writes merge them one by one
            find(table, expression, terms, limit=1)

    matching = [(run_id, run) for run_id, run in rows.items() if holds(filter_, run)]
    matching.sort(key=functools.cmp_to_key(lambda a, b: precedes(order, a, b)))
    expected = [run_id for run_id, _ in matching]

    assert len(table) == len(rows)
    assert list(find(table, expression, terms, limit=100).ids) == expected
    paged: list[str] = []
    after = None
    for _ in range(len(expected) // 2 + 1):
        page = find(table, expression, terms, limit=2, after=after)
        assert page.total == len(expected)
        paged += page.ids
        if page.next is None:
            break
        after = Position.from_state(page.next.state(), len(terms))
    assert paged == expected
    assert page.next is None
