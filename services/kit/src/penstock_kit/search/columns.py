"""Columns: the values of one key, for those rows that have one, in numpy arrays sorted by row.

A column is as large as its values are many, however many rows and columns there are. Arrays grow by doubling;
writes are collected and merged before the next read.
"""

import math
import sys
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from penstock_kit.search.patterns import LikePattern
from penstock_kit.search.syntax import Literal, Operator
from penstock_kit.search.values import INTEGER_MAX, Value, read_bool, read_number, text_of

__all__ = ["Column", "Mask", "MetricColumn", "NumberColumn", "Numbers", "Ranking", "SortClass", "ValueColumn"]

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]

PENDING_MAX = 8192  # writes collected before they are merged without a read
DEAD_TEXTS_MAX = 1024  # texts that no row holds any more, beyond as many as there are rows, before they are swept out

_GONE = object()


class SortClass(IntEnum):
    """The classes that values of mixed type fall into when sorted, in ascending order."""

    NUMBER = 0
    BOOL = 1
    TEXT = 2
    NAN = 3
    MISSING = 4


class Ranking:
    """The ranks of texts by their code points, kept up to date as texts are appended.

    Args:
        texts: The texts, all different. The list stays the caller's, who only appends to it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._order: NDArray[np.int32] = np.empty(0, np.int32)
        self._ranks: Numbers = np.empty(0)

    def _update(self) -> None:
        if len(self._order) < len(self._texts):
            order = self._order.tolist()
            order.extend(range(len(order), len(self._texts)))
            # The sort finds the sorted run that is there and is linear in it.
            order.sort(key=self._texts.__getitem__)
            self._order = np.array(order, np.int32)
            self._ranks = np.empty(len(order))
            self._ranks[self._order] = np.arange(len(order))

    def ranks(self) -> Numbers:
        """The rank of each text, in the order of the texts."""
        self._update()
        return self._ranks

    def position(self, text: str, chars_max: int = sys.maxsize) -> float:
        """Where a text stands among the ranks: a whole number if it is there, else a half between two.

        Texts count as equal when their first `chars_max` characters are; then the first of them gives the rank.
        """
        self._update()
        text = text[:chars_max]
        place = bisect_left(self._order, text, key=self._texts.__getitem__)
        there = place < len(self._order) and self._texts[self._order[place]][:chars_max] == text
        return float(place) if there else place - 0.5

    @property
    def nbytes(self) -> int:
        """Bytes of memory, the texts not included."""
        return self._order.nbytes + self._ranks.nbytes


class Column(ABC):
    """What all columns share: which rows have a value, and arrays ("planes") that hold it, one element per such row."""

    plane_types: ClassVar[tuple[type[np.generic], ...]]

    def __init__(self) -> None:
        self._count = 0
        self._rows: NDArray[np.int32] = np.empty(0, np.int32)
        self._planes: list[NDArray[Any]] = [np.empty(0, dtype) for dtype in self.plane_types]
        self._pending: dict[int, Any] = {}

    def set(self, row: int, value: Any) -> None:
        """Gives a row a value, instead of the one it has."""
        self._pending[row] = value
        if len(self._pending) >= PENDING_MAX:
            self._merge()

    def discard(self, row: int) -> None:
        """Takes a row's value away, if it has one."""
        self.set(row, _GONE)

    @property
    def rows(self) -> NDArray[np.int32]:
        """The rows that have a value, ascending. Valid until the next write."""
        self._merge()
        return self._rows[: self._count]

    def _plane(self, number: int) -> NDArray[Any]:
        self._merge()
        return self._planes[number][: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._rows.nbytes + sum(plane.nbytes for plane in self._planes) + 128 * len(self._pending)

    @abstractmethod
    def _encode(self, values: Collection[Any]) -> list[NDArray[Any]]:
        """The planes of new values."""

    @abstractmethod
    def sort_keys(self, aspect: str, chars_max: int) -> tuple[NDArray[np.uint8], Numbers]:
        """The `SortClass` of each value, and a number that sorts it within its class.

        Args:
            aspect: Of a metric.
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
        if not self._pending:
            return
        pending = self._pending
        self._pending = {}
        gone = [row for row, value in pending.items() if value is _GONE]
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

    def _numbers(self, aspect: str) -> Numbers:  # noqa: ARG002 - a plain number has no aspects
        return self._plane(0)

    def compare(self, operator: Operator, number: float, aspect: str) -> Mask:
        """For each value, whether it compares with a number as asked."""
        return _compare(operator, self._numbers(aspect), number)

    def among(self, numbers: Sequence[float], aspect: str) -> Mask:
        """For each value, whether it is one of some numbers."""
        return _among(self._numbers(aspect), numbers)

    @override
    def sort_keys(self, aspect: str, chars_max: int) -> tuple[NDArray[np.uint8], Numbers]:
        return _number_sort_keys(self._numbers(aspect))

    @override
    def sort_position(self, key: float | str, chars_max: int) -> float:
        # Only a forged token brings a text here: then the class decides, not the number.
        return 0.0 if isinstance(key, str) else key

    @override
    def sort_value(self, row: int, aspect: str, chars_max: int) -> float | str:
        return float(self._numbers(aspect)[self._slot(row)])


class MetricColumn(NumberColumn):
    """What stands for a metric's series. Values are tuples (last, min, max)."""

    plane_types = (np.float64, np.float64, np.float64)
    aspects: ClassVar[tuple[str, ...]] = ("last", "min", "max")

    @override
    def _encode(self, values: Collection[Any]) -> list[NDArray[Any]]:
        return list(np.array(list(values), np.float64).reshape(len(values), 3).T)

    @override
    def _numbers(self, aspect: str) -> Numbers:
        return self._plane(self.aspects.index(aspect))


class _Kind(IntEnum):
    """What a value of a `ValueColumn` is. The text kinds say how the text can be read."""

    INT = 0
    BIG_INT = 1
    """An integer that no float holds exactly: its text is kept too."""
    FLOAT = 2
    BOOL = 3
    TEXT = 4
    TEXT_NUMBER = 5
    TEXT_BOOL = 6


def _kinds(*kinds: _Kind) -> Mask:
    table = np.zeros(len(_Kind), np.bool_)
    table[list(kinds)] = True
    return table


_READS_AS_NUMBER = _kinds(_Kind.INT, _Kind.BIG_INT, _Kind.FLOAT, _Kind.TEXT_NUMBER)
_READS_AS_BOOL = _kinds(_Kind.BOOL, _Kind.TEXT_BOOL)
_IS_TEXT = _kinds(_Kind.TEXT, _Kind.TEXT_NUMBER, _Kind.TEXT_BOOL)
_HAS_CODE = _IS_TEXT | _kinds(_Kind.BIG_INT)
_SORT_CLASSES = np.array(
    [
        SortClass.NUMBER,
        SortClass.NUMBER,
        SortClass.NUMBER,
        SortClass.BOOL,
        SortClass.TEXT,
        SortClass.NUMBER,
        SortClass.BOOL,
    ],
    np.uint8,
)


class _Dictionary:
    """The different texts of a column, each with a code, and how each can be read."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.ranking = Ranking(self.texts)
        self.chars_max = 0
        self._codes: dict[str, int] = {}
        self._readings: list[tuple[_Kind, float]] = []
        self._text_bytes = 0

    def code(self, text: str) -> int | None:
        return self._codes.get(text)

    def intern(self, text: str) -> int:
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self.texts)
            self.texts.append(text)
            self.chars_max = max(self.chars_max, len(text))
            self._text_bytes += sys.getsizeof(text)
            if (number := read_number(text)) is not None:
                self._readings.append((_Kind.TEXT_NUMBER, number))
            elif (truth := read_bool(text)) is not None:
                self._readings.append((_Kind.TEXT_BOOL, float(truth)))
            else:
                self._readings.append((_Kind.TEXT, 0.0))
        return code

    def reading(self, code: int) -> tuple[_Kind, float]:
        return self._readings[code]

    @property
    def nbytes(self) -> int:
        # Beside the text: its places in the list and the hash table, and its reading.
        return self._text_bytes + 200 * len(self.texts) + self.ranking.nbytes


class ValueColumn(Column):
    """Text, numbers and truth values, mixed. Texts are kept once each.

    A text that spells a number is also read as this number, and one that spells a truth value as that.
    """

    plane_types = (np.uint8, np.float64, np.int32)  # _Kind; number, or 0 and 1 for truth; code in the dictionary or -1

    def __init__(self) -> None:
        super().__init__()
        self._dictionary = _Dictionary()

    @override
    @property
    def nbytes(self) -> int:
        return super().nbytes + self._dictionary.nbytes

    @override
    def _encode(self, values: Iterable[Value]) -> list[NDArray[Any]]:
        kinds: list[int] = []
        numbers: list[float] = []
        codes: list[int] = []
        for value in values:
            if isinstance(value, str):
                code = self._dictionary.intern(value)
                kind, number = self._dictionary.reading(code)
            elif isinstance(value, bool):
                kind, number, code = _Kind.BOOL, float(value), -1
            elif isinstance(value, float):
                kind, number, code = _Kind.FLOAT, value, -1
            elif -INTEGER_MAX <= value <= INTEGER_MAX:
                kind, number, code = _Kind.INT, float(value), -1
            else:
                kind, number, code = _Kind.BIG_INT, float(value), self._dictionary.intern(str(value))
            kinds.append(kind)
            numbers.append(number)
            codes.append(code)
        return [np.array(kinds, np.uint8), np.array(numbers, np.float64), np.array(codes, np.int32)]

    @override
    def _merge(self) -> None:
        if self._pending:
            super()._merge()
            if len(self._dictionary.texts) > 2 * self._count + DEAD_TEXTS_MAX:
                self._sweep()

    def _sweep(self) -> None:
        codes = self._planes[2][: self._count]
        used, inverse = np.unique(codes, return_inverse=True)
        old, self._dictionary = self._dictionary, _Dictionary()
        fresh = [self._dictionary.intern(old.texts[code]) if code >= 0 else -1 for code in used.tolist()]
        codes[:] = np.array(fresh, np.int32)[inverse]

    def compare(self, operator: Operator, literal: Literal) -> Mask:
        """For each value, whether it compares with a literal as asked: false where their types do not fit."""
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        if isinstance(literal, bool):
            return _READS_AS_BOOL[kinds] & _compare(operator, numbers, float(literal))
        if isinstance(literal, float):
            return _READS_AS_NUMBER[kinds] & _compare(operator, numbers, literal)
        if operator is Operator.EQ:
            return self._spelled([literal])
        if operator is Operator.NE:
            return ~self._spelled([literal])
        if not self._dictionary.texts:
            return np.zeros(len(kinds), np.bool_)
        ranks = self._dictionary.ranking.ranks()[codes]
        return _IS_TEXT[kinds] & _compare(operator, ranks, self._dictionary.ranking.position(literal))

    def among(self, literals: Sequence[Literal], *, negated: bool) -> Mask:
        """For each value, whether it equals any of the literals, or differs from each.

        A value neither equals nor differs from a literal of a type that it cannot be compared with.
        """
        kinds, numbers = self._plane(0), self._plane(1)
        texts = [literal for literal in literals if isinstance(literal, str)]
        truths = [float(literal) for literal in literals if isinstance(literal, bool)]
        floats = [literal for literal in literals if isinstance(literal, float)]
        comparable = np.ones(len(kinds), np.bool_)
        found = np.zeros(len(kinds), np.bool_)
        if texts:
            found |= self._spelled(texts)
        if truths:
            comparable &= _READS_AS_BOOL[kinds]
            found |= _READS_AS_BOOL[kinds] & _among(numbers, truths)
        if floats:
            comparable &= _READS_AS_NUMBER[kinds]
            found |= _READS_AS_NUMBER[kinds] & _among(numbers, floats)
        return comparable & ~found if negated else found

    def resembles(self, pattern: LikePattern) -> Mask:
        """For each value, whether its canonical text matches a pattern."""
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        found = np.zeros(len(kinds), np.bool_)
        texts = self._dictionary.texts
        if texts:
            by_code = np.fromiter(map(pattern.matches, texts), np.bool_, len(texts))
            found = _HAS_CODE[kinds] & by_code[codes]
        readers: list[tuple[_Kind, Callable[[float], Value]]] = [
            (_Kind.INT, int),
            (_Kind.FLOAT, float),
            (_Kind.BOOL, bool),
        ]
        for kind, read in readers:
            of_kind = kinds == kind
            if of_kind.any():
                unique, inverse = np.unique(numbers[of_kind], return_inverse=True)
                matched = [pattern.matches(text_of(read(number))) for number in unique.tolist()]
                found[of_kind] = np.array(matched)[inverse]
        return found

    @override
    def sort_keys(self, aspect: str, chars_max: int) -> tuple[NDArray[np.uint8], Numbers]:
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        classes, keys = _number_sort_keys(numbers)
        classes = np.maximum(classes, _SORT_CLASSES[kinds])
        is_text = classes == SortClass.TEXT
        if is_text.any():
            keys[is_text] = self._prefix_ranks(chars_max)[codes[is_text]]
        return classes, keys

    def _prefix_ranks(self, chars_max: int) -> Numbers:
        dictionary = self._dictionary
        ranks = dictionary.ranking.ranks()
        if dictionary.chars_max > chars_max:
            ranks = ranks.copy()
            for code, text in enumerate(dictionary.texts):
                if len(text) > chars_max:
                    ranks[code] = dictionary.ranking.position(text, chars_max)
        return ranks

    @override
    def sort_position(self, key: float | str, chars_max: int) -> float:
        return self._dictionary.ranking.position(key, chars_max) if isinstance(key, str) else key

    @override
    def sort_value(self, row: int, aspect: str, chars_max: int) -> float | str:
        slot = self._slot(row)
        if self._plane(0)[slot] == _Kind.TEXT:
            return self._dictionary.texts[self._plane(2)[slot]][:chars_max]
        return float(self._plane(1)[slot])

    def _spelled(self, texts: Sequence[str]) -> Mask:
        """For each value, whether its canonical text is one of these."""
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        wanted = [code for text in texts if (code := self._dictionary.code(text)) is not None]
        found = _HAS_CODE[kinds] & np.isin(codes, wanted)
        by_kind: dict[_Kind, list[float]] = {}
        for text in texts:
            if (reading := _canonical_reading(text)) is not None:
                by_kind.setdefault(reading[0], []).append(reading[1])
        for kind, spelled in by_kind.items():
            found |= (kinds == kind) & _among(numbers, spelled)
        return found


def _canonical_reading(text: str) -> tuple[_Kind, float] | None:
    """The value, other than a text, that has this canonical text."""
    if text in ("true", "false"):
        return _Kind.BOOL, float(text == "true")
    number = read_number(text)
    if number is None:
        return None
    if math.isfinite(number) and number.is_integer() and abs(number) <= INTEGER_MAX and text_of(int(number)) == text:
        return _Kind.INT, number
    return (_Kind.FLOAT, number) if text_of(number) == text else None


def _compare(operator: Operator, numbers: Numbers, number: float) -> Mask:
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


def _among(numbers: Numbers, wanted: Sequence[float]) -> Mask:
    found = np.isin(numbers, wanted)
    if any(map(math.isnan, wanted)):
        found |= np.isnan(numbers)
    return found


def _number_sort_keys(numbers: Numbers) -> tuple[NDArray[np.uint8], Numbers]:
    is_nan = np.isnan(numbers)
    classes = np.where(is_nan, np.uint8(SortClass.NAN), np.uint8(SortClass.NUMBER))
    return classes, np.where(is_nan, 0.0, numbers)


def _grown(array: NDArray[Any], count: int, capacity: int) -> NDArray[Any]:
    larger = np.empty(capacity, array.dtype)
    larger[:count] = array[:count]
    return larger
