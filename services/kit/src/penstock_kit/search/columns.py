"""Columns: the values of one key, for those rows that have one, in numpy arrays sorted by row.

A column is as large as its values are many, however many rows and columns there are. Arrays grow by doubling;
writes are collected and merged before the next read. A column whose values are kept elsewhere may be there without them:
it takes writes, and is read once the kept values were given to it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from penstock_kit.search.syntax import Operator

__all__ = [
    "GONE",
    "Column",
    "Mask",
    "MetricCell",
    "MetricColumn",
    "NumberColumn",
    "Numbers",
    "Piece",
    "SortClass",
    "among",
    "compare",
    "number_sort_keys",
]

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]

PENDING_MAX = 64  # writes collected before they are merged without a read: each takes as much memory as ten merged ones

GONE: Any = object()
"""Written in place of a value: the row has none any more."""


class SortClass(IntEnum):
    """The classes that values of mixed type fall into when sorted, in ascending order."""

    NUMBER = 0
    BOOL = 1
    TEXT = 2
    NAN = 3
    MISSING = 4


class MetricCell(NamedTuple):
    """What a row holds of a metric: the latest value, the smallest and the largest; the latest one's step and time in
    microseconds; how many points there are."""

    last: float
    min: float
    max: float
    step: int
    time_us: int
    count: int


class Piece(NamedTuple):
    """The values of a column in some rows: the rows, ascending; an array per plane; the texts that codes in them mean."""

    rows: NDArray[np.int32]
    planes: list[NDArray[Any]]
    texts: list[str]


class Column(ABC):
    """What all columns share: which rows have a value, and arrays ("planes") that hold it, one element per such row.

    Args:
        loaded: Whether the column has all its values. Otherwise it only takes writes until `load`.
    """

    plane_types: ClassVar[tuple[type[np.generic], ...]]

    def __init__(self, *, loaded: bool = True) -> None:
        self.loaded = loaded
        self._count = 0
        self._rows: NDArray[np.int32] = np.empty(0, np.int32)
        self._planes: list[NDArray[Any]] = [np.empty(0, dtype) for dtype in self.plane_types]
        self._pending: dict[int, Any] = {}

    def set(self, row: int, value: Any) -> None:
        """Gives a row a value, instead of the one it has."""
        self._pending[row] = value
        if len(self._pending) >= PENDING_MAX and self.loaded:
            self._merge()

    def discard(self, row: int) -> None:
        """Takes a row's value away, if it has one."""
        self.set(row, GONE)

    def load(self, pieces: Sequence[Piece]) -> None:
        """Gives a column that was not loaded the values kept elsewhere, below what was written since.

        Args:
            pieces: In order of their rows.
        """
        assert not self.loaded
        self._take(pieces)
        self._count = len(self._rows)
        self.loaded = True

    def piece(self, first: int, end: int) -> Piece:
        """The values of the rows from `first` to before `end`."""
        start, stop = np.searchsorted(self.rows, [first, end]).tolist()
        return self._piece(slice(start, stop))

    def written(self, first: int, end: int) -> Mapping[int, Any]:
        """Of a column that is not loaded: what was written to the rows from `first` to before `end`; `GONE` for nothing."""
        return {row: value for row, value in self._pending.items() if first <= row < end}

    def settle(self, kept: Mapping[int, Any]) -> None:
        """Of a column that is not loaded: forgets those of the writes that are kept elsewhere by now."""
        for row, value in kept.items():
            if not self.loaded and self._pending.get(row) is value:
                del self._pending[row]

    @property
    def rows(self) -> NDArray[np.int32]:
        """The rows that have a value, ascending. Valid until the next write."""
        self._merge()
        return self._rows[: self._count]

    def values(self, rows: NDArray[np.intp]) -> list[Any]:
        """The value of each of some rows as it was set, None where there is none."""
        present = self.rows
        slots = np.searchsorted(present, rows)
        there = slots < len(present)
        there[there] = present[slots[there]] == rows[there]
        found: list[Any] = [None] * len(rows)
        values = self._decode([self._plane(number)[slots[there]] for number in range(len(self.plane_types))])
        for place, value in zip(np.flatnonzero(there).tolist(), values, strict=True):
            found[place] = value
        return found

    def _plane(self, number: int) -> NDArray[Any]:
        self._merge()
        return self._planes[number][: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._rows.nbytes + sum(plane.nbytes for plane in self._planes) + 128 * len(self._pending)

    def _take(self, pieces: Sequence[Piece]) -> None:
        """Makes pieces the rows and planes."""
        if pieces:
            self._rows = np.concatenate([piece.rows for piece in pieces])
            self._planes = [
                np.concatenate([piece.planes[number] for piece in pieces]).astype(dtype, copy=False)
                for number, dtype in enumerate(self.plane_types)
            ]

    def _piece(self, slots: slice) -> Piece:
        return Piece(self.rows[slots], [self._plane(number)[slots] for number in range(len(self.plane_types))], [])

    @abstractmethod
    def _encode(self, values: Collection[Any]) -> list[NDArray[Any]]:
        """The planes of values."""

    @abstractmethod
    def _decode(self, planes: Sequence[NDArray[Any]]) -> Sequence[Any]:
        """The values in planes."""

    @abstractmethod
    def sort_keys(self, aspect: str, chars_max: int) -> tuple[NDArray[np.uint8], Numbers]:
        """The `SortClass` of each value, and a number that sorts it within its class.

        Args:
            aspect: Of the field.
            chars_max: Texts are compared by this many of their characters.
        """

    @abstractmethod
    def sort_position(self, key: float | str, chars_max: int) -> float:
        """What stands for a key that `sort_value` once gave, among the numbers of `sort_keys`."""

    @abstractmethod
    def sort_value(self, row: int, aspect: str, chars_max: int) -> float | str:
        """What is kept of a row's value to go on after it later: the number, or the first characters of the text."""

    def _slot(self, row: int) -> int:
        return int(np.searchsorted(self.rows, row))

    def _merge(self) -> None:
        if not self.loaded:
            raise RuntimeError("the column is read before it was loaded")
        if not self._pending:
            return
        pending = self._pending
        self._pending = {}
        gone = [row for row, value in pending.items() if value is GONE]
        for row in gone:
            del pending[row]
        if gone:
            self._remove(gone)
        if not pending:
            return
        rows = np.fromiter(pending, np.int32, len(pending))
        planes = self._encode(pending.values())
        if not all(a < b for a, b in pairwise(pending)):
            order = np.argsort(rows)
            rows = rows[order]
            planes = [plane[order] for plane in planes]
        present = self._rows[: self._count]
        slots = np.searchsorted(present, rows)
        known = slots < self._count
        known[known] = present[slots[known]] == rows[known]
        for plane, values in zip(self._planes, planes, strict=True):
            plane[slots[known]] = values[known]
        fresh = ~known
        if fresh.any():
            self._insert(slots[fresh], rows[fresh], [values[fresh] for values in planes])

    def _remove(self, gone: list[int]) -> None:
        kept = ~np.isin(self._rows[: self._count], gone)
        for array in (self._rows, *self._planes):
            survivors = array[: self._count][kept]
            array[: len(survivors)] = survivors
        self._count = int(np.count_nonzero(kept))

    def _insert(self, slots: NDArray[np.intp], rows: NDArray[np.int32], planes: list[NDArray[Any]]) -> None:
        count = self._count + len(rows)
        if slots[0] < self._count:
            self._rows = np.insert(self._rows[: self._count], slots, rows)
            self._planes = [
                np.insert(plane[: self._count], slots, values)
                for plane, values in zip(self._planes, planes, strict=True)
            ]
        else:
            if count > len(self._rows):
                capacity = max(16, 2 * len(self._rows), count)
                self._rows = _grown(self._rows, self._count, capacity)
                self._planes = [_grown(plane, self._count, capacity) for plane in self._planes]
            self._rows[self._count : count] = rows
            for plane, values in zip(self._planes, planes, strict=True):
                plane[self._count : count] = values
        self._count = count


class NumberColumn(Column):
    """Numbers: one float per row, of which NaN is one like the others."""

    plane_types = (np.float64,)

    @override
    def _encode(self, values: Collection[Any]) -> list[NDArray[Any]]:
        return [np.fromiter(values, np.float64, len(values))]

    @override
    def _decode(self, planes: Sequence[NDArray[Any]]) -> Sequence[Any]:
        return planes[0].tolist()

    def numbers(self, aspect: str) -> Numbers:  # noqa: ARG002 - a plain number has no aspects
        """The numbers, one per row that has one. Valid until the next write."""
        return self._plane(0)

    def compare(self, operator: Operator, number: float, aspect: str) -> Mask:
        """For each value, whether it compares with a number as asked."""
        return compare(operator, self.numbers(aspect), number)

    def among(self, numbers: Sequence[float], aspect: str) -> Mask:
        """For each value, whether it is one of some numbers."""
        return among(self.numbers(aspect), numbers)

    @override
    def sort_keys(self, aspect: str, chars_max: int) -> tuple[NDArray[np.uint8], Numbers]:
        return number_sort_keys(self.numbers(aspect))

    @override
    def sort_position(self, key: float | str, chars_max: int) -> float:
        # Only a forged token brings a text here: then the class decides, not the number.
        return 0.0 if isinstance(key, str) else key

    @override
    def sort_value(self, row: int, aspect: str, chars_max: int) -> float | str:
        return float(self.numbers(aspect)[self._slot(row)])


class MetricColumn(NumberColumn):
    """What stands for a metric's series. Values are `MetricCell`s."""

    plane_types = (np.float64, np.float64, np.float64, np.int64, np.int64, np.int64)
    aspects: ClassVar[tuple[str, ...]] = ("last", "min", "max")

    @override
    def _decode(self, planes: Sequence[NDArray[Any]]) -> Sequence[MetricCell]:
        return [MetricCell(*values) for values in zip(*(plane.tolist() for plane in planes), strict=True)]

    @override
    def _encode(self, values: Collection[Any]) -> list[NDArray[Any]]:
        return [
            np.array(column, dtype) for column, dtype in zip(zip(*values, strict=True), self.plane_types, strict=True)
        ]

    @override
    def numbers(self, aspect: str) -> Numbers:
        return self._plane(self.aspects.index(aspect))


def compare(operator: Operator, numbers: Numbers, number: float) -> Mask:
    """For each number, whether it compares with another as asked."""
    # IEEE, but for equality: NaN equals NaN, since otherwise nothing could find it.
    match operator:
        case Operator.EQ:
            return np.isnan(numbers) if math.isnan(number) else numbers == number
        case Operator.NE:
            return ~np.isnan(numbers) if math.isnan(number) else numbers != number
        case Operator.LT:
            return numbers < number
        case Operator.LE:
            return numbers <= number
        case Operator.GT:
            return numbers > number
        case Operator.GE:
            return numbers >= number


def among(numbers: Numbers, wanted: Sequence[float]) -> Mask:
    """For each number, whether it is one of some."""
    found = np.isin(numbers, wanted)
    if any(map(math.isnan, wanted)):
        found |= np.isnan(numbers)
    return found


def number_sort_keys(numbers: Numbers) -> tuple[NDArray[np.uint8], Numbers]:
    """The `SortClass` of each number, and what sorts it within its class."""
    is_nan = np.isnan(numbers)
    classes = np.where(is_nan, np.uint8(SortClass.NAN), np.uint8(SortClass.NUMBER))
    return classes, np.where(is_nan, 0.0, numbers)


def _grown(array: NDArray[Any], count: int, capacity: int) -> NDArray[Any]:
    larger = np.empty(capacity, array.dtype)
    larger[:count] = array[:count]
    return larger
