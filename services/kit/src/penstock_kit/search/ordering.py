"""The order of rows, and pages that stay right while rows are added: a page goes on after a place, not a count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import Numbers, SortClass
from penstock_kit.search.evaluate import matches
from penstock_kit.search.syntax import Expression, OrderTerm
from penstock_kit.search.table import Table

__all__ = ["ORDER_TEXT_CHARS_MAX", "Found", "Position", "PositionInvalid", "find"]

ORDER_TEXT_CHARS_MAX = 640
"""The terms of an order share this many characters: with one term, texts are compared by their first 640, with ten by
their first 64. So a position fits into a page token."""


class PositionInvalid(ValueError):
    """The state is not one that `Position.state` made for this order."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an order: the sort key of each term (its class and its value) and the id of a row that stood there."""

    keys: tuple[tuple[SortClass, float | str], ...]
    row_id: str

    def state(self) -> list[Any]:
        """The position in plain lists, for a page token."""
        return [[[int(kind), value] for kind, value in self.keys], self.row_id]

    @classmethod
    def from_state(cls, state: Any, terms: int) -> Self:
        """Reads what `state` made, for an order of `terms` terms. Raises `PositionInvalid`."""
        try:
            keys, row_id = state
            if not isinstance(row_id, str) or len(keys) != terms:
                raise PositionInvalid
            return cls(tuple(_key(kind, value) for kind, value in keys), row_id)
        except (TypeError, ValueError) as error:
            raise PositionInvalid from error


def _key(kind: Any, value: Any) -> tuple[SortClass, float | str]:
    kind = SortClass(kind)
    right = isinstance(value, str) if kind is SortClass.TEXT else isinstance(value, float) and not math.isnan(value)
    if not right:
        raise PositionInvalid
    return kind, value


@dataclass(frozen=True, slots=True)
class Found:
    """A page.

    Attributes:
        ids: The ids of its rows, in order.
        total: How many rows match, on all pages.
        next: Where the next page begins, None after the last.
    """

    ids: Sequence[str]
    total: int
    next: Position | None


@dataclass(frozen=True, slots=True)
class _SortKeys:
    """The keys of one term, by row number. Ascending in (class, value) whichever way the term goes."""

    term: OrderTerm
    classes: NDArray[np.uint8]
    values: Numbers

    def where(self, chosen: NDArray[np.bool_]) -> "_SortKeys":
        """The keys of some of the rows."""
        return _SortKeys(self.term, self.classes[chosen], self.values[chosen])


def find(
    table: Table,
    expression: Expression | None,
    order: Sequence[OrderTerm],
    *,
    limit: int,
    after: Position | None = None,
) -> Found:
    """Returns a page of the rows that a filter matches.

    Values sort numbers, truth values, texts; NaN and then missing values come last in both directions. Rows that tie
    sort by id, ascending.

    Args:
        table: The rows.
        expression: The filter, None for all rows.
        order: The terms, the first deciding first. May be empty.
        limit: At most this many rows, at least 1.
        after: Where to begin, from the page before of the same order. Whether a row stands behind it is decided by
            what the row holds now.
    """
    mask = table.live if expression is None else matches(expression, table)
    rows = np.flatnonzero(mask)
    total = len(rows)
    chars_max = ORDER_TEXT_CHARS_MAX // max(1, len(order))
    keys = [_sort_keys(table, term, rows, chars_max) for term in order]
    if after is not None:
        behind = _behind(table, keys, rows, after, chars_max)
        rows, keys = rows[behind], [key.where(behind) for key in keys]
    more = len(rows) > limit
    if more and keys:
        # Sorting costs more than finding those that could be in the page.
        leading = _leading(keys[0], limit)
        rows, keys = rows[leading], [key.where(leading) for key in keys]
    # lexsort decides by its last key first.
    planes: list[NDArray[Any]] = [table.id_ranks(rows)]
    for key in reversed(keys):
        planes += [key.values, key.classes]
    chosen = np.lexsort(planes)[:limit]
    page = [table.row_id(row) for row in rows[chosen].tolist()]
    if not more:
        return Found(page, total, None)
    last = int(chosen[-1])
    position = tuple(_position_key(table, key, last, int(rows[last]), chars_max) for key in keys)
    return Found(page, total, Position(position, page[-1]))


def _sort_keys(table: Table, term: OrderTerm, rows: NDArray[np.intp], chars_max: int) -> _SortKeys:
    classes = np.full(table.row_count, SortClass.MISSING, np.uint8)
    values = np.zeros(table.row_count)
    column = table.column(term.field)
    if column is not None:
        classes[column.rows], values[column.rows] = column.sort_keys(term.field.aspect, chars_max)
    classes, values = classes[rows], values[rows]
    if term.descending:
        classes = _DESCENDING[classes]
        values = -values
    return _SortKeys(term, classes, values)


_DESCENDING = np.array([SortClass.TEXT, SortClass.BOOL, SortClass.NUMBER, SortClass.NAN, SortClass.MISSING], np.uint8)
"""By class: where it stands in a descending order. It is its own inverse."""


def _leading(key: _SortKeys, count: int) -> NDArray[np.bool_]:
    """Which rows are among the first `count` by one key, with all that tie with the last of these."""
    upto = np.cumsum(np.bincount(key.classes, minlength=len(SortClass)))
    last_class = int(np.searchsorted(upto, count))
    leading = key.classes < last_class
    of_class = key.classes == last_class
    values = key.values[of_class]
    place = count - int(np.count_nonzero(leading)) - 1
    leading[of_class] = values <= np.partition(values, place)[place]
    return leading


def _behind(
    table: Table, keys: Sequence[_SortKeys], rows: NDArray[np.intp], after: Position, chars_max: int
) -> NDArray[np.bool_]:
    """Which rows stand behind a position."""
    behind = np.zeros(len(rows), np.bool_)
    level = np.ones(len(rows), np.bool_)
    for key, (kind, value) in zip(keys, after.keys, strict=True):
        column = table.column(key.term.field)
        place = 0.0
        if column is not None and kind < SortClass.NAN:
            place = column.sort_position(value, chars_max)
        rank = int(_DESCENDING[kind]) if key.term.descending else int(kind)
        if key.term.descending:
            place = -place
        same_class = key.classes == rank
        behind |= level & ((key.classes > rank) | (same_class & (key.values > place)))
        level &= same_class & (key.values == place)
    behind[level] = table.ids_after(rows[level], after.row_id)
    return behind


def _position_key(table: Table, key: _SortKeys, place: int, row: int, chars_max: int) -> tuple[SortClass, float | str]:
    """The key of the row at a place among the sort keys."""
    rank = int(key.classes[place])
    kind = SortClass(int(_DESCENDING[rank]) if key.term.descending else rank)
    column = table.column(key.term.field)
    if column is None or kind >= SortClass.NAN:
        return kind, 0.0
    return kind, column.sort_value(row, key.term.field.aspect, chars_max)
