"""Results as tables of Arrow, pandas or polars. None of these is imported before it is asked for.

pandas and polars tables are made from Arrow ones, so that a column has the same type in all three.
"""

import html
import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from penstock.api.tracking.v1 import metric_pb2
from penstock.client.names import run_id_of
from penstock.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = [
    "Rows",
    "arrow_points",
    "arrow_points_schema",
    "arrow_scalars",
    "arrow_table",
    "arrow_type",
    "require",
    "to_pandas",
    "to_polars",
]

HTML_ROWS_MAX = 20
"""Rows that a notebook shows."""

Item = TypeVar("Item")


class Rows(list[Item], Generic[Item]):
    """A list that can also be had as a table.

    Args:
        items: What it holds.
        rows_of: The rows of the table that stand for one item.
    """

    def __init__(self, items: Iterable[Item], rows_of: Callable[[Item], Iterable[Mapping[str, Any]]]) -> None:
        super().__init__(items)
        self._rows_of = rows_of

    def __repr__(self) -> str:
        kinds = " or ".join(sorted({type(item).__name__ for item in self}))
        return (
            f"<Rows: {len(self):,}{f' of {kinds}' if kinds else ''}: iterate, or to_arrow(), to_pandas(), to_polars()>"
        )

    def _repr_html_(self) -> str:
        """The first rows as a table, for notebooks. Everything is here already: nothing is fetched for it."""
        rows = list(islice((row for item in self for row in self._rows_of(item)), HTML_ROWS_MAX + 1))
        names = list(dict.fromkeys(name for row in rows for name in row))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(_cell(row.get(name)))}</td>' for name in names)}</tr>"
            for row in rows[:HTML_ROWS_MAX]
        )
        more = f"<p>The first {HTML_ROWS_MAX} rows; all by to_pandas().</p>" if len(rows) > HTML_ROWS_MAX else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def to_arrow(self) -> "pa.Table":
        """An Arrow table. Raises `MissingExtra`."""
        return arrow_table([row for item in self for row in self._rows_of(item)])

    def to_pandas(self) -> "pd.DataFrame":
        """A pandas data frame. Raises `MissingExtra`."""
        return to_pandas(self.to_arrow())

    def to_polars(self) -> "pl.DataFrame":
        """A polars data frame. Raises `MissingExtra`."""
        return to_polars(self.to_arrow())


def require(module: str, extra: str) -> Any:
    """Imports a module of an extra. Raises `MissingExtra`, which says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"This needs {module.partition('.')[0]}, which is not installed: pip install 'penstock[{extra}]'"
        ) from error


def arrow_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> "pa.Table":
    """An Arrow table of rows.

    A column whose values are of different kinds becomes the narrowest that holds all: whole numbers and fractions become
    float64, everything else mixed becomes text.

    Args:
        rows: The rows. A key that a row lacks is null there.
        columns: Columns that come first, in this order, even when no row has them.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pa = require("pyarrow", "arrow")
    names = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
    return pa.table({name: _arrow_column(pa, [row.get(name) for row in rows]) for name in names})


def arrow_type(kinds: Set[type]) -> Any:
    """The narrowest Arrow type that holds scalars of all these types, of bool, int, float and str; of none it is null."""
    pa = require("pyarrow", "arrow")
    if not kinds:
        return pa.null()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else pa.string()


def arrow_scalars(values: Sequence[Any], type_: Any) -> Any:
    """An Arrow array of scalars, of a type that `arrow_type` gave. None is null; for text, what is no text is put as JSON."""
    pa = require("pyarrow", "arrow")
    if pa.types.is_string(type_):
        return _texts(pa, values)
    if pa.types.is_float64(type_):
        return pa.array([None if value is None else float(value) for value in values], type_)
    return pa.array(values, type_)


def arrow_points_schema(by_rank: bool, *, by_run: bool = False) -> "pa.Schema":
    """The columns of points at full resolution: run_id if runs come apart, key, rank if ranks do, step, time, value."""
    pa = require("pyarrow", "arrow")
    run = [pa.field("run_id", pa.string())] if by_run else []
    rank = [pa.field("rank", pa.int32())] if by_rank else []
    return pa.schema(
        [
            *run,
            pa.field("key", pa.string()),
            *rank,
            pa.field("step", pa.int64()),
            pa.field("time", pa.timestamp("us", tz="UTC")),
            pa.field("value", pa.float64()),
        ]
    )


def arrow_points(series: metric_pb2.MetricSeries, by_rank: bool, *, by_run: bool = False) -> "pa.Table":
    """The points of one series, in the columns of `arrow_points_schema`. Values stay bit-exact."""
    pa = require("pyarrow", "arrow")
    count = len(series.points.steps)
    packed = _packed_columns(series.points)

    def numbers(field: int, type_: Any) -> Any:
        return pa.Array.from_buffers(type_, count, [None, pa.py_buffer(packed.get(field, b""))])

    schema = arrow_points_schema(by_rank, by_run=by_run)
    columns = [pa.repeat(pa.scalar(run_id_of(series.run), pa.string()), count)] if by_run else []
    columns.append(pa.repeat(pa.scalar(series.key, pa.string()), count))
    if by_rank:
        columns.append(pa.repeat(pa.scalar(series.rank, pa.int32()), count))
    columns += [
        numbers(metric_pb2.MetricPoints.STEPS_FIELD_NUMBER, schema.field("step").type),
        numbers(metric_pb2.MetricPoints.TIMES_UNIX_US_FIELD_NUMBER, schema.field("time").type),
        numbers(metric_pb2.MetricPoints.VALUES_FIELD_NUMBER, schema.field("value").type),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def to_pandas(table: "pa.Table") -> "pd.DataFrame":
    """The same table for pandas. Raises `MissingExtra`."""
    require("pandas", "pandas")
    return table.to_pandas()


def to_polars(table: "pa.Table") -> "pl.DataFrame":
    """The same table for polars. Raises `MissingExtra`."""
    return require("polars", "polars").from_arrow(table)


def _packed_columns(points: metric_pb2.MetricPoints) -> dict[int, memoryview]:
    """The columns of points by field number, 8 little-endian bytes per number.

    A packed fixed-width field is just that on the wire, and protobuf writes it in one copy; from Python its numbers can only
    be had one by one. Format: https://protobuf.dev/programming-guides/encoding/
    """
    points.DiscardUnknownFields()  # a newer server may send some that are no columns
    data = memoryview(points.SerializeToString())
    found: dict[int, memoryview] = {}
    at = 0
    while at < len(data):
        field = data[at] >> 3
        at, length, shift = at + 1, 0, 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found[field] = data[at : at + length]
        at += length
    return found


def _arrow_column(pa: Any, values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds and all(issubclass(kind, datetime) for kind in kinds):
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    if kinds == {list}:
        inner = {type(content) for value in values if value is not None for content in value}
        if inner <= {int}:
            return pa.array(values, pa.list_(pa.int64()))
        return pa.array(values, pa.list_(pa.string())) if inner == {str} else _texts(pa, values)
    return arrow_scalars(values, arrow_type(kinds))


def _texts(pa: Any, values: Sequence[Any]) -> Any:
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def _cell(value: Any) -> str:
    return "" if value is None else str(value) if isinstance(value, (datetime, float)) else _text(value)
