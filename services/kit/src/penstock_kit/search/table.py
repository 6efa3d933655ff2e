"""The rows of one project, columnar: what filters and orders are evaluated on."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import GONE, Column, Mask, MetricColumn, NumberColumn, Numbers
from penstock_kit.search.ranking import Ranking
from penstock_kit.search.shapes import Shapes
from penstock_kit.search.syntax import ColumnType, Field, Schema
from penstock_kit.search.value_columns import ValueColumn

__all__ = ["Table"]

_COLUMN_CLASSES: dict[ColumnType, type[Column]] = {
    ColumnType.NUMBER: NumberColumn,
    ColumnType.TIME: NumberColumn,
    ColumnType.KEYS: NumberColumn,
    ColumnType.VALUE: ValueColumn,
    ColumnType.METRIC: MetricColumn,
}
_ROW_BYTES = 200  # estimate: the id, its places in the list and the hash table


class Table:
    """Rows by id, each with cells by collection and key. Not safe for use by two threads at once.

    Rows have numbers, in the order in which they came. A removed row leaves its number unused.

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
        self._shapes: dict[str, Shapes] = {}
        self._changed: set[int] = set()

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
            + 60 * len(self._changed)
            + sum(shapes.nbytes for shapes in self._shapes.values())
            + sum(500 + column.nbytes for column in self._columns.values())
        )

    def put(self, row_id: str, collection: str, cells: Mapping[str, Any]) -> None:
        """Makes `cells` the cells of a row in a collection: values are written, keys not named lose theirs.

        Args:
            row_id: The row. It is added if it is not there.
            collection: One of the schema, or `ATTRIBUTES`.
            cells: By key: an int or a float for NUMBER, an int or a float of microseconds for TIME, a str, int, float
                or bool for VALUE, a `MetricCell` for METRIC, 1 for KEYS.

        Raises:
            KeyError: The schema does not know the collection or the attribute.
        """
        row = self._row(row_id)
        for key, value in cells.items():
            self._writable(collection, key).set(row, value)
        shapes = self._shapes.get(collection)
        if shapes is None:
            shapes = self._shapes[collection] = Shapes()
        shape = tuple(cells)
        before = shapes[row]
        if shape != before:
            shapes[row] = shape
            for key in before:
                if key not in cells:
                    self._columns[collection, key].discard(row)

    def write(self, rows: Sequence[int], collection: str, key: str, value: Any) -> None:
        """Gives rows that are there one cell more, or another value of it."""
        shapes = self._shapes.setdefault(collection, Shapes())
        for row in rows:
            self._writable(collection, key).set(row, value)
            shape = shapes[row]
            if key not in shape:
                shapes[row] = (*shape, key)
        self._changed.update(rows)

    def remove(self, row_id: str) -> None:
        """Removes a row with all its cells. No error if there is none."""
        row = self._row_of.get(row_id)
        if row is None or not self._live[row]:
            return
        for collection, shapes in self._shapes.items():
            for key in shapes[row]:
                self._columns[collection, key].discard(row)
            shapes[row] = ()
        self._live[row] = False
        self._live_count -= 1
        self._changed.add(row)

    def column(self, field: Field) -> Column | None:
        """The column of a field, None if no row ever had a value. It may not be loaded."""
        return self._columns.get((field.collection, field.key))

    def keys_of(self, collection: str) -> list[str]:
        """The keys of a collection that any row ever had."""
        return [key for its_collection, key in self._columns if its_collection == collection]

    def row_id(self, row: int) -> str:
        """The id of a row number."""
        return self._ids[row]

    def rows_of(self, row_ids: Sequence[str]) -> NDArray[np.intp]:
        """The numbers of rows. Raises `KeyError` for an id that no row ever had."""
        return np.array([self._row_of[row_id] for row_id in row_ids], np.intp)

    def id_ranks(self, rows: NDArray[np.intp]) -> Numbers:
        """Numbers that sort some rows by their ids."""
        if self._many(rows):
            return self._ranking.ranks()[rows]
        ids = [self._ids[row] for row in rows.tolist()]
        ranks = np.empty(len(ids))
        ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
        return ranks

    def ids_after(self, rows: NDArray[np.intp], row_id: str) -> Mask:
        """For each of some rows, whether its id comes after another id, which need not be there."""
        if self._many(rows):
            return self._ranking.ranks()[rows] > self._ranking.position(row_id)
        return np.array([self._ids[row] > row_id for row in rows.tolist()], np.bool_)

    def _many(self, rows: NDArray[np.intp]) -> bool:
        # The ranks of all ids are worth their making if they serve a good part of the rows, and then once and again.
        return len(rows) > len(self._ids) // 8

    def spread(self, rows: NDArray[np.int32], chosen: Mask) -> Mask:
        """A mask over all row numbers, from one over the rows of a column."""
        mask = np.zeros(len(self._ids), np.bool_)
        mask[rows] = chosen
        return mask

    # What is kept elsewhere, in chunks of consecutive rows. See `chunks`.

    @property
    def columns(self) -> Mapping[tuple[str, str], Column]:
        """All columns by collection and key, loaded or not."""
        return self._columns

    @property
    def loaded(self) -> bool:
        """Whether every column has its values."""
        return all(column.loaded for column in self._columns.values())

    def ids(self, first: int, end: int) -> list[str]:
        """The ids of the rows from `first` to before `end`, removed ones included."""
        return self._ids[first:end]

    @property
    def shapes(self) -> Mapping[str, Shapes]:
        """By collection, which keys each row has."""
        return self._shapes

    def load_rows(
        self, ids: Sequence[str], live: Mask, shapes: Mapping[str, tuple[NDArray[np.int32], Sequence[Sequence[str]]]]
    ) -> None:
        """Adds rows after those that are there, with the keys that they have and without their values."""
        first = len(self._ids)
        self._ids.extend(ids)
        self._row_of.update(zip(ids, range(first, len(self._ids)), strict=True))
        self._live = np.concatenate([self._live[:first], live, np.zeros(16, np.bool_)])
        self._live_count += int(np.count_nonzero(live))
        for collection, (places, pool) in shapes.items():
            self._shapes.setdefault(collection, Shapes()).load(first, places, pool)

    def expect(self, collection: str, key: str) -> None:
        """Adds a column that is not loaded. No error if it is there."""
        if (collection, key) not in self._columns:
            self._columns[collection, key] = self.new_column(collection, key, loaded=False)

    def unload(self, collection: str, key: str) -> None:
        """Forgets the values of a column, which are kept elsewhere, but for those of changed rows."""
        whole = self._columns[collection, key]
        column = self._columns[collection, key] = self.new_column(collection, key, loaded=False)
        rows = sorted(self._changed)
        for row, value in zip(rows, whole.values(np.array(rows, np.intp)), strict=True):
            column.set(row, GONE if value is None else value)

    @property
    def changed(self) -> Set[int]:
        """The rows that were written since the last `take_changed`, and those given back."""
        return self._changed

    def take_changed(self) -> set[int]:
        """Returns `changed` and empties it."""
        changed, self._changed = self._changed, set()
        return changed

    def give_back_changed(self, rows: Set[int]) -> None:
        """Adds to `changed`: what was to be kept elsewhere was not."""
        self._changed |= rows

    def new_column(self, collection: str, key: str, *, loaded: bool = True) -> Column:
        """An empty column for a field, not part of the table. Raises `KeyError` as `put` does."""
        return _COLUMN_CLASSES[self._schema.type_of(collection, key)](loaded=loaded)

    def _row(self, row_id: str) -> int:
        row = self._row_of.get(row_id)
        if row is None:
            row = self._row_of[row_id] = len(self._ids)
            self._ids.append(row_id)
            if row >= len(self._live):
                self._live = np.concatenate([self._live, np.zeros(max(16, row), np.bool_)])
        if not self._live[row]:
            self._live[row] = True
            self._live_count += 1
        self._changed.add(row)
        return row

    def _writable(self, collection: str, key: str) -> Column:
        column = self._columns.get((collection, key))
        if column is None:
            column = self._columns[collection, key] = self.new_column(collection, key)
        return column
