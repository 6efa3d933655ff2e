"""Groups of rows: rows that share the values of some fields, and what is worked out of each group.

Rows are sorted by the fields' keys once; from there on every group is a stretch of rows, and every aggregate one operation
over all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import Column, Mask, NumberColumn, Numbers, SortClass
from penstock_kit.search.evaluate import matches
from penstock_kit.search.ordering import ORDER_TEXT_CHARS_MAX
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
from penstock_kit.search.syntax import Aggregate, ColumnType, Expression, Field, Function, GroupTerm
from penstock_kit.search.table import Table
from penstock_kit.search.value_columns import ValueColumn
from penstock_kit.search.values import INTEGER_MAX, Value

__all__ = ["AGGREGATES_MAX", "GROUP_FIELDS_MAX", "FoundGroups", "Group", "GroupPosition", "group"]

GROUP_FIELDS_MAX: Final = 5
AGGREGATES_MAX: Final = 20

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GroupPosition:
    """A place in an order of groups: the values of the aggregates in the order, and the keys of a group that stood there."""

    aggregates: tuple[SortKey, ...]
    keys: tuple[SortKey, ...]

    def state(self) -> list[Any]:
        """The position in plain lists, for a page token."""
        return [[[int(kind), value] for kind, value in keys] for keys in (self.aggregates, self.keys)]

    @classmethod
    def from_state(cls, state: Any, *, aggregates: int, keys: int) -> Self:
        """Reads what `state` made, for an order with that many aggregates, of groups with that many keys.

        Raises `PositionInvalid`.
        """
        try:
            parts = [tuple(sort_key_from_state(kind, value) for kind, value in part) for part in state]
        except (TypeError, ValueError) as error:
            raise PositionInvalid from error
        if [len(part) for part in parts] != [aggregates, keys]:
            raise PositionInvalid
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class Group:
    """A group.

    Attributes:
        keys: What its rows share of each field; None where they have no value. A text is cut to as many characters as texts
            are told apart by; what reads as a number or a truth value is one.
        rows: How many they are.
        aggregates: What was asked for; None where no row has a value for it.
    """

    keys: tuple[Value | None, ...]
    rows: int
    aggregates: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class FoundGroups:
    """A page of groups.

    Attributes:
        groups: In order.
        total_groups: How many groups there are, on all pages.
        total_rows: How many rows are in them.
        next: Where the next page begins, None after the last.
    """

    groups: Sequence[Group]
    total_groups: int
    total_rows: int
    next: GroupPosition | None


def group(
    table: Table,
    expression: Expression | None,
    by: Sequence[Field],
    aggregates: Sequence[Aggregate],
    order: Sequence[GroupTerm],
    *,
    limit: int,
    after: GroupPosition | None = None,
) -> FoundGroups:
    """Returns a page of the groups of the rows that a filter matches.

    Two rows are in a group if none of the fields tells them apart when rows are sorted by it: 1, 1.0 and "1" are the same,
    NaN is NaN, and rows without a value are together. Groups that tie are in ascending order of their keys.

    Args:
        table: The rows.
        expression: The filter, None for all rows.
        by: What rows of a group share, fields of VALUE. Without any, all rows are one group.
        aggregates: What is worked out of each group.
        order: The terms, the first deciding first. May be empty.
        limit: At most this many groups, at least 1.
        after: Where to begin, from the page before of the same order. Whether a group stands behind it is decided by what
            the group is now.
    """
    rows = np.flatnonzero(table.live if expression is None else matches(expression, table))
    chars_max = ORDER_TEXT_CHARS_MAX // max(1, len(by))
    keys = [field_sort_keys(table, field, rows, chars_max, descending=False) for field in by]
    stretches = _Stretches.of(rows, keys)
    # Of each group one row is as good as any other.
    keys = [key.where(stretches.order[stretches.starts]) for key in keys]
    samples = stretches.rows[stretches.starts]
    with np.errstate(all="ignore"):  # infinities are numbers like the others
        terms = [_term_keys(table, term, by, keys, stretches) for term in order]
        places = np.arange(len(samples))
        if after is not None and not by:
            places = places[:0]  # the one group was on the page before
        elif after is not None:
            places = np.flatnonzero(_behind(table, order, terms, by, keys, after, chars_max))
        planes: list[NDArray[Any]] = [places]
        for term in reversed(terms):
            planes += [term.values[places], term.classes[places]]
        chosen = places[np.lexsort(planes)[:limit]]
        worked_out = [_aggregate(table, aggregate, stretches) for aggregate in aggregates]
    counts = stretches.counts
    found = [
        Group(
            tuple(
                _value(key_at(table, field, key.kind(place), int(samples[place]), chars_max))
                for field, key in zip(by, keys, strict=True)
            ),
            int(counts[place]),
            tuple(float(values[place]) if there[place] else None for values, there in worked_out),
        )
        for place in chosen.tolist()
    ]
    position = None
    if len(places) > limit:
        last = int(chosen[-1])
        position = GroupPosition(
            tuple(
                _aggregate_key(key, last)
                for term, key in zip(order, terms, strict=True)
                if isinstance(term.key, Aggregate)
            ),
            tuple(
                key_at(table, field, key.kind(last), int(samples[last]), chars_max)
                for field, key in zip(by, keys, strict=True)
            ),
        )
    return FoundGroups(found, len(samples), len(rows), position)


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Rows sorted so that each group is a stretch of them, the groups in ascending order of their keys.

    Attributes:
        rows: The sorted rows.
        order: Where each of them was before.
        starts: Where each group begins.
        group_of: The number of the group of each row.
    """

    rows: NDArray[np.intp]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    group_of: NDArray[np.intp]

    @classmethod
    def of(cls, rows: NDArray[np.intp], keys: Sequence[SortKeys]) -> "_Stretches":
        planes: list[NDArray[Any]] = []
        for key in reversed(keys):
            planes += [key.values, key.classes]
        order = np.lexsort(planes) if planes else np.arange(len(rows))
        first = np.zeros(len(rows), np.bool_)
        first[:1] = True
        for plane in planes:
            ordered = plane[order]
            first[1:] |= ordered[1:] != ordered[:-1]
        return cls(rows[order], order, np.flatnonzero(first), np.cumsum(first) - 1)

    @property
    def counts(self) -> Integers:
        """How many rows each group has."""
        return np.diff(self.starts, append=len(self.rows))

    def tally(self, groups: NDArray[np.intp], weights: Numbers | None = None) -> Numbers:
        """How often each group is named, or the sum of the weights with which it is."""
        return np.bincount(groups, weights, minlength=len(self.starts)).astype(np.float64)


def _term_keys(
    table: Table, term: GroupTerm, by: Sequence[Field], keys: Sequence[SortKeys], stretches: _Stretches
) -> SortKeys:
    if isinstance(term.key, Field):
        key = keys[by.index(term.key)]
        return SortKeys.directed(key.classes, key.values, descending=term.descending)
    values, there = _aggregate(table, term.key, stretches)
    nan = np.isnan(values)
    classes = np.where(there, np.where(nan, SortClass.NAN, SortClass.NUMBER), SortClass.MISSING).astype(np.uint8)
    return SortKeys.directed(classes, np.where(there & ~nan, values, 0.0), descending=term.descending)


def _aggregate_key(keys: SortKeys, place: int) -> SortKey:
    kind = keys.kind(place)
    value = float(keys.values[place])
    return kind, 0.0 if kind >= SortClass.NAN else -value if keys.descending else value


def _behind(
    table: Table,
    order: Sequence[GroupTerm],
    terms: Sequence[SortKeys],
    by: Sequence[Field],
    keys: Sequence[SortKeys],
    after: GroupPosition,
    chars_max: int,
) -> Mask:
    """Which groups stand behind a position."""
    own = [(key[0], place_of(table, field, key, chars_max)) for field, key in zip(by, after.keys, strict=True)]
    aggregates = iter(after.aggregates)
    places: list[tuple[SortClass, float]] = []
    for term in order:
        if isinstance(term.key, Field):
            places.append(own[by.index(term.key)])
        else:
            kind, value = next(aggregates)
            places.append((kind, value if isinstance(value, float) else 0.0))  # a text only in a forged token
    return behind([*terms, *keys], [*places, *own])[0]


def _aggregate(table: Table, aggregate: Aggregate, stretches: _Stretches) -> tuple[Numbers, Mask]:
    """The aggregate of each group, and whether it has one."""
    field, function = aggregate.field, aggregate.function
    always = np.ones(len(stretches.starts), np.bool_)
    if field is None:
        return stretches.counts.astype(np.float64), always
    column = table.column(field)
    if function is Function.COUNT:
        there = np.zeros(table.row_count, np.bool_)
        if column is not None:
            there[column.rows] = True
        return stretches.tally(stretches.group_of[there[stretches.rows]]), always
    numbers = np.full(table.row_count, np.nan)
    if column is not None:
        numbers[column.rows] = _numbers(column, field)
    numbers = numbers[stretches.rows]
    is_number = ~np.isnan(numbers)
    values, groups = numbers[is_number], stretches.group_of[is_number]
    counts = stretches.tally(groups)
    if not len(values):
        return counts, counts > 0
    return _worked_out(function, values, groups, counts, stretches), counts > 0


def _worked_out(
    function: Function, values: Numbers, groups: NDArray[np.intp], counts: Numbers, stretches: _Stretches
) -> Numbers:
    match function:
        case Function.MIN | Function.MAX:
            least = function is Function.MIN
            found = np.full(len(counts), np.inf if least else -np.inf)
            (np.minimum if least else np.maximum).at(found, groups, values)
            return found
        case Function.SUM:
            return stretches.tally(groups, values)
        case Function.MEAN:
            return stretches.tally(groups, values) / counts
        case Function.STD:
            mean = stretches.tally(groups, values) / counts
            return np.sqrt(stretches.tally(groups, (values - mean[groups]) ** 2) / counts)
        case Function.MEDIAN:
            values = values[np.lexsort((values, groups))]
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            lower = np.minimum(starts + (counts - 1) // 2, len(values) - 1).astype(np.intp)
            upper = np.minimum(starts + counts // 2, len(values) - 1).astype(np.intp)
            return np.where(lower == upper, values[lower], values[lower] / 2 + values[upper] / 2)
        case Function.COUNT:
            return counts


def _numbers(column: Column, field: Field) -> Numbers:
    """What the values of a column are as numbers, NaN for those that are none. Times are milliseconds."""
    if isinstance(column, ValueColumn):
        return column.as_numbers()
    assert isinstance(column, NumberColumn)
    numbers = column.numbers(field.aspect)
    return numbers / 1_000 if field.type is ColumnType.TIME else numbers


def _value(key: SortKey) -> Value | None:
    """The value that all rows with a key share."""
    match key:
        case SortClass.MISSING, _:
            return None
        case SortClass.NAN, _:
            return float("nan")
        case SortClass.BOOL, number:
            return bool(number)
        case SortClass.NUMBER, float(number) if number.is_integer() and abs(number) <= INTEGER_MAX:
            return int(number)
        case _, value:
            return value
