"""Keys that sort: the one order that values of any type have, wherever something is sorted by them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import Mask, Numbers, SortClass
from penstock_kit.search.syntax import Field
from penstock_kit.search.table import Table

__all__ = [
    "PositionInvalid",
    "SortKey",
    "SortKeys",
    "behind",
    "field_sort_keys",
    "key_at",
    "place_of",
    "sort_key_from_state",
]

SortKey = tuple[SortClass, float | str]
"""A value as it sorts: its class, and the number or the first characters of the text."""

_DESCENDING = np.array([SortClass.TEXT, SortClass.BOOL, SortClass.NUMBER, SortClass.NAN, SortClass.MISSING], np.uint8)
"""By class: where it stands in a descending order. It is its own inverse."""


class PositionInvalid(ValueError):
    """The state is not one that a position of this order gave."""


@dataclass(frozen=True, slots=True)
class SortKeys:
    """The keys of several values. Ascending in (class, value), whichever way they are sorted."""

    classes: NDArray[np.uint8]
    values: Numbers
    descending: bool

    @classmethod
    def directed(cls, classes: NDArray[np.uint8], values: Numbers, *, descending: bool) -> "SortKeys":
        """Keys of values of some classes. NaN and missing values come last in both directions."""
        if descending:
            return cls(_DESCENDING[classes], -values, descending)
        return cls(classes, values, descending)

    def where(self, chosen: Mask | NDArray[np.intp]) -> "SortKeys":
        """The keys of some of the values."""
        return SortKeys(self.classes[chosen], self.values[chosen], self.descending)

    def kind(self, place: int) -> SortClass:
        """The class of a value."""
        rank = int(self.classes[place])
        return SortClass(int(_DESCENDING[rank]) if self.descending else rank)

    def against(self, kind: SortClass, value: float) -> tuple[Mask, Mask]:
        """Which values come after one of a class, and which are level with it."""
        rank = int(_DESCENDING[kind]) if self.descending else int(kind)
        place = -value if self.descending else value
        same_class = self.classes == rank
        return (self.classes > rank) | (same_class & (self.values > place)), same_class & (self.values == place)

    def leading(self, count: int) -> Mask:
        """Which values are among the first `count`, of more, with all that tie with the last of these."""
        upto = np.cumsum(np.bincount(self.classes, minlength=len(SortClass)))
        last_class = int(np.searchsorted(upto, count))
        leading = self.classes < last_class
        of_class = self.classes == last_class
        values = self.values[of_class]
        place = count - int(np.count_nonzero(leading)) - 1
        leading[of_class] = values <= np.partition(values, place)[place]
        return leading


def behind(keys: Sequence[SortKeys], after: Sequence[tuple[SortClass, float]]) -> tuple[Mask, Mask]:
    """Of values with several keys, the first deciding first: which come after a place, and which are level with it."""
    count = len(keys[0].classes)
    after_place, level = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    for key, (kind, value) in zip(keys, after, strict=True):
        later, same = key.against(kind, value)
        after_place |= level & later
        level &= same
    return after_place, level


def field_sort_keys(
    table: Table, field: Field, rows: NDArray[np.intp], chars_max: int, *, descending: bool
) -> SortKeys:
    """The keys of some rows by a field, texts by their first `chars_max` characters."""
    classes = np.full(table.row_count, SortClass.MISSING, np.uint8)
    values = np.zeros(table.row_count)
    column = table.column(field)
    if column is not None:
        found = column.sort_keys(field.aspect, chars_max)
        classes[column.rows], values[column.rows] = found
    return SortKeys.directed(classes[rows], values[rows], descending=descending)


def key_at(table: Table, field: Field, kind: SortClass, row: int, chars_max: int) -> SortKey:
    """The key of a row by a field, by which its value has a class."""
    column = table.column(field)
    if column is None or kind >= SortClass.NAN:
        return kind, 0.0
    return kind, column.sort_value(row, field.aspect, chars_max)


def place_of(table: Table, field: Field, key: SortKey, chars_max: int) -> float:
    """What stands for a key among the values of `field_sort_keys`."""
    kind, value = key
    column = table.column(field)
    return column.sort_position(value, chars_max) if column is not None and kind < SortClass.NAN else 0.0


def sort_key_from_state(kind: Any, value: Any) -> SortKey:
    """Reads a key from a token. Raises `PositionInvalid`."""
    try:
        kind = SortClass(kind)
    except ValueError as error:
        raise PositionInvalid from error
    right = isinstance(value, str) if kind is SortClass.TEXT else isinstance(value, float) and not math.isnan(value)
    if not right:
        raise PositionInvalid
    return kind, value
