"""The rows of one project, columnar: what filters and orders are evaluated on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import Column, Mask, MetricColumn, NumberColumn, Numbers, Ranking, ValueColumn
from penstock_kit.search.syntax import ColumnType, Field, Schema

__all__ = ["Table"]

_COLUMN_CLASSES: dict[ColumnType, type[Column]] = {
    ColumnType.NUMBER: NumberColumn,
    ColumnType.TIME: NumberColumn,
    ColumnType.VALUE: ValueColumn,
    ColumnType.METRIC: MetricColumn,
}
_ROW_BYTES = 400  # estimate: the id, its places in the list and the hash table, the references to its shapes


class Table:
    """Rows by id, each with cells by collection and key. Not safe for use by two threads at once.

    Args:
        schema: Which collections and attributes there are, and what they hold.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._ranking = Ranking(self._ids)
        self._live = np.zeros(16, np.bool_)
        self._live_count = 0
        self._columns: dict[tuple[str, str], Column] = {}
        # Which keys a row has in each collection. Rows with the same keys share one tuple.
        self._shapes: dict[str, dict[int, tuple[str, ...]]] = {}
        self._shape_pool: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __len__(self) -> int:
        """How many rows there are."""
        return self._live_count

    def __contains__(self, row_id: str) -> bool:
        row = self._row_of.get(row_id)
        return row is not None and bool(self._live[row])

    @property
    def row_count(self) -> int:
        """How many row numbers are in use, those of removed rows included."""
        return len(self._ids)

    @property
    def live(self) -> Mask:
        """For each row number, whether the row is there."""
        return self._live[: len(self._ids)]

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        return (
            _ROW_BYTES * len(self._ids)
            + self._ranking.nbytes
            + sum(200 + 60 * len(shape) for shape in self._shape_pool)
            + sum(500 + column.nbytes for column in self._columns.values())
        )

    def put(self, row_id: str, collection: str, cells: Mapping[str, Any]) -> None:
        """Makes `cells` the cells of a row in a collection: values are written, keys not named lose theirs.

        Args:
            row_id: The row. It is added if it is not there.
            collection: One of the schema, or `ATTRIBUTES`.
            cells: By key: an int or a float for NUMBER, an int or a float of microseconds for TIME, a str, int, float
                or bool for VALUE, a tuple (last, min, max) for METRIC.

        Raises:
            KeyError: The schema does not know the collection or the attribute.
        """
        row = self._row(row_id)
        for key, value in cells.items():
            self._writable(collection, key).set(row, value)
        shapes = self._shapes.setdefault(collection, {})
        shape = tuple(cells)
        before = shapes.get(row, ())
        if shape != before:
            shapes[row] = self._shape_pool.setdefault(shape, shape)
            for key in before:
                if key not in cells:
                    self._columns[collection, key].discard(row)

    def remove(self, row_id: str) -> None:
        """Removes a row with all its cells. No error if there is none."""
        row = self._row_of.get(row_id)
        if row is None or not self._live[row]:
            return
        for collection, shapes in self._shapes.items():
            for key in shapes.pop(row, ()):
                self._columns[collection, key].discard(row)
        self._live[row] = False
        self._live_count -= 1

    def column(self, field: Field) -> Column | None:
        """The column of a field, None if no row ever had a value."""
        return self._columns.get((field.collection, field.key))

    def row_id(self, row: int) -> str:
        """The id of a row number."""
        return self._ids[row]

    def id_ranks(self) -> Numbers:
        """The rank of each row's id, by row number."""
        return self._ranking.ranks()

    def id_position(self, row_id: str) -> float:
        """Where an id stands among the ranks of `id_ranks`, a half between two if it is not there."""
        return self._ranking.position(row_id)

    def spread(self, rows: NDArray[np.int32], chosen: Mask) -> Mask:
        """A mask over all row numbers, from one over the rows of a column."""
        mask = np.zeros(len(self._ids), np.bool_)
        mask[rows] = chosen
        return mask

    def _row(self, row_id: str) -> int:
        row = self._row_of.get(row_id)
        if row is None:
            row = self._row_of[row_id] = len(self._ids)
            self._ids.append(row_id)
            if row == len(self._live):
                self._live = np.concatenate([self._live, np.zeros_like(self._live)])
        if not self._live[row]:
            self._live[row] = True
            self._live_count += 1
        return row

    def _writable(self, collection: str, key: str) -> Column:
        column = self._columns.get((collection, key))
        if column is None:
            column = _COLUMN_CLASSES[self._schema.type_of(collection, key)]()
            self._columns[collection, key] = column
        return column
