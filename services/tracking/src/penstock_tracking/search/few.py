"""Searches over resources that are few: the columns are made anew from all of them each time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock_kit import paging
from penstock_kit.search import And, Expression, OrderTerm, Position, Schema, Table, find
from penstock_tracking.search.queries import position_in

__all__ = ["Cells", "all_of", "find_among"]

Cells = Mapping[str, Mapping[str, Any]]
"""The cells of a row, by collection and key."""


def all_of(clauses: Sequence[Expression]) -> Expression | None:
    """What all of these ask for, None if they are none."""
    if len(clauses) > 1:
        return And(tuple(clauses))
    return clauses[0] if clauses else None


def find_among(
    schema: Schema,
    rows: Iterable[tuple[str, Cells]],
    condition: Expression | None,
    order: Sequence[OrderTerm],
    *,
    page_size: int,
    page_token: str,
    fingerprint: str,
) -> tuple[Sequence[str], str]:
    """Returns the ids of a page of rows in order, and the token of the next page, empty after the last.

    Args:
        schema: What the cells are.
        rows: Ids and cells.
        condition: Which rows; None means all.
        order: The order. Rows that tie go by id.
        page_size: At most this many, at least 1.
        page_token: From the page before, empty for the first.
        fingerprint: Text that is equal for the queries among which a page token is good.

    Raises:
        PageTokenInvalid: The token is not of this query.
        FilterTooCostly: The patterns of the condition would be compared with too much text.
    """
    after = position_in(page_token, fingerprint, lambda state: Position.from_state(state, len(order)))
    table = Table(schema)
    for row_id, cells in rows:
        for collection, by_key in cells.items():
            table.put(row_id, collection, by_key)
    found = find(table, condition, order, limit=page_size, after=after)
    return found.ids, paging.seal(fingerprint, found.next.state()) if found.next else ""
