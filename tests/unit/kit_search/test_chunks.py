"""Tables as chunks of bytes, and back: what is read is what was written, bit by bit."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.search_rows import SCHEMA, put, runs

from penstock_kit.search import MetricCell, Table, chunks
from penstock_kit.search.chunks import Chunk, ChunkDamaged, EncodedChunk, encode_chunk, load_rows, read_head

CHUNK_ROWS = 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS_PER_CHUNK", CHUNK_ROWS)


def encoded(table: Table, before: Sequence[EncodedChunk] = ()) -> list[EncodedChunk]:
    """All chunks of a table, whose columns need not be loaded if it was read from those of before."""
    made: list[EncodedChunk] = []
    for number in range(-(-table.row_count // CHUNK_ROWS)):
        old = before[number] if number < len(before) else None
        made.append(encode_chunk(table, number, old and old.chunk, old.body if old else b"", b"note"))
    return made


def reread(written: Sequence[EncodedChunk], *, values: bool = True) -> Table:
    """The table in chunks, its columns loaded or not."""
    table = Table(SCHEMA)
    heads = [read_head(number * CHUNK_ROWS, one.head) for number, one in enumerate(written)]
    assert [chunk for chunk, _ in heads] == [one.chunk for one in written]
    load_rows(table, heads)
    for key, column in table.columns.items():
        if values:
            column.load([piece(one, key) for one in written if key in one.chunk.sections])
    return table


def piece(one: EncodedChunk, key: tuple[str, str]) -> Any:
    section = one.chunk.sections[key]
    return one.chunk.piece(key, one.body[section.offset : section.offset + section.length])


def content(table: Table) -> list[Any]:
    """Everything in a table, so that equal means equal to the bit and the type."""
    rows = np.arange(table.row_count)
    columns = {key: [repr(value) for value in column.values(rows)] for key, column in table.columns.items()}
    there = sorted((key, values) for key, values in columns.items() if set(values) != {"None"})
    shapes = [[shapes[row] for row in rows.tolist()] for _, shapes in sorted(table.shapes.items())]
    return [table.ids(0, table.row_count), table.live.tolist(), there, shapes]


steps = st.lists(st.tuples(st.integers(0, 9), st.none() | runs), max_size=20)


def apply(table: Table, changes: Sequence[tuple[int, Any]]) -> None:
    for number, run in changes:
        if run is None:
            table.remove(f"{number}")
        else:
            put(table, f"{number}", run)


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(first=steps, then=steps, last=steps)
def test_a_table_is_read_as_it_was_written(first: Any, then: Any, last: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "ROWS_PER_CHUNK", CHUNK_ROWS)
        table = Table(SCHEMA)
        apply(table, first)
        written = encoded(table)
        assert content(reread(written)) == content(table)
        # Without values in memory: what is written to it goes on top of what is in the chunks.
        lazy = reread(written, values=False)
        for changes in (then, last):
            apply(table, changes)
            apply(lazy, changes)
            again = encoded(lazy, written)
            for one in again:
                for key, included in one.included.items():
                    lazy.columns[key].settle(included)
            assert content(reread(again)) == content(table)
            written = again


def test_columns_that_are_unloaded_keep_what_was_changed() -> None:
    table = Table(SCHEMA)
    for row in range(10):
        table.put(f"{row}", "params", {"k": row, "a": "text"} if row % 3 else {"a": "text"})
    written = encoded(table)
    table.take_changed()
    table.put("2", "params", {"k": "new"})
    table.put("4", "params", {})
    table.put("new", "params", {"k": 7.5})
    expected = content(table)
    for key in list(table.columns):
        table.unload(*key)
    assert not table.loaded
    for key, column in table.columns.items():
        column.load([piece(one, key) for one in written if key in one.chunk.sections])
    assert content(table) == expected


@pytest.mark.parametrize(
    "values",
    [
        [0.0, -0.0, 0.0, 0.0, 1.0],
        [-0.0] * 5,
        [math.nan, math.inf, -math.inf, 5e-324, 1.7e308],
        [2**63 - 1, -(2**63), 0, -1, 1],
        [2**53 + 1] * 5,
        [True, False, "true", "1", 1],
        ["", "é", "𝄞" * 100, "\x00", "a"],
    ],
)
def test_values_of_every_kind_come_back(values: list[Any]) -> None:
    table = Table(SCHEMA)
    for row, value in enumerate(values):
        table.put(f"{row}", "params", {"k": value})
    assert content(reread(encoded(table))) == content(table)


@pytest.mark.parametrize("extreme", [0, 1, 255, 256, 65_536, 2**32, 2**63 - 1, -1, -(2**63)])
def test_integers_come_back_however_far_apart(extreme: int) -> None:
    table = Table(SCHEMA)
    for row, step in enumerate([0, 1, extreme, 3, 4]):
        table.put(f"{row}", "metrics", {"loss": MetricCell(math.nan, -0.0, math.inf, step, -step - 1, 1)})
    assert content(reread(encoded(table))) == content(table)


def test_a_chunk_of_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "FORMAT", 99)
    table = Table(SCHEMA)
    table.put("a", "params", {"k": 1})
    [written] = encoded(table)
    monkeypatch.undo()
    with pytest.raises(ChunkDamaged):
        read_head(0, written.head)


def test_a_section_that_is_not_as_it_was_written_is_refused() -> None:
    table = Table(SCHEMA)
    table.put("a", "params", {"k": 1})
    [written] = encoded(table)
    chunk: Chunk = written.chunk
    for data in (b"", written.body[:-1], written.body + b"\0", bytes([written.body[0] ^ 1]) + written.body[1:]):
        with pytest.raises(ChunkDamaged):
            chunk.piece(("params", "k"), data)
