"""The order of rows, and pages that stay right while rows are added: a page goes on after a place, not a count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import Mask
from penstock_kit.search.evaluate import matches
from penstock_kit.search.sorting import (
    PositionInvalid,
    SortKey,
    SortKeys,
    behind,
    field_sort_keys,
    key_at,
    place_of,
    sort_key_from_state,
)
from penstock_kit.search.syntax import Expression, OrderTerm
from penstock_kit.search.table import Table

__all__ = ["ORDER_TEXT_CHARS_MAX", "Found", "Position", "find"]

ORDER_TEXT_CHARS_MAX = 640
"""The terms of an order share this many characters: with one term, texts are compared by their first 640, with ten by
their first 64. So a position fits into a page token."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an order: the sort key of each term (its class and its value) and the id of a row that stood there."""

    keys: tuple[SortKey, ...]
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
            return cls(tuple(sort_key_from_state(kind, value) for kind, value in keys), row_id)
        except (TypeError, ValueError) as error:
            raise PositionInvalid from error


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
    keys = [field_sort_keys(table, term.field, rows, chars_max, descending=term.descending) for term in order]
    if after is not None:
        chosen = _behind(table, order, keys, rows, after, chars_max)
        rows, keys = rows[chosen], [key.where(chosen) for key in keys]
    more = len(rows) > limit
    if more and keys:
        # Sorting costs more than finding those that could be in the page.
        chosen = keys[0].leading(limit)
        rows, keys = rows[chosen], [key.where(chosen) for key in keys]
    # lexsort decides by its last key first.
    planes: list[NDArray[Any]] = [table.id_ranks(rows)]
    for key in reversed(keys):
        planes += [key.values, key.classes]
    places = np.lexsort(planes)[:limit]
    page = [table.row_id(row) for row in rows[places].tolist()]
    if not more:
        return Found(page, total, None)
    last = int(places[-1])
    position = tuple(
        key_at(table, term.field, key.kind(last), int(rows[last]), chars_max)
        for term, key in zip(order, keys, strict=True)
    )
    return Found(page, total, Position(position, page[-1]))


def _behind(
    table: Table,
    order: Sequence[OrderTerm],
    keys: Sequence[SortKeys],
    rows: NDArray[np.intp],
    after: Position,
    chars_max: int,
) -> Mask:
    """Which rows stand behind a position."""
    if not keys:
        return table.ids_after(rows, after.row_id)
    places = [
        (key[0], place_of(table, term.field, key, chars_max)) for term, key in zip(order, after.keys, strict=True)
    ]
    later, level = behind(keys, places)
    later[level] = table.ids_after(rows[level], after.row_id)
    return later
