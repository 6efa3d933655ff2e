"""Columns of mixed values: text, numbers and truth values of one key, and how each can be read as another."""

import math
import sys
from collections.abc import Callable, Collection, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from penstock_kit.search.columns import Column, Mask, Numbers, Piece, SortClass, among, compare, number_sort_keys
from penstock_kit.search.patterns import LikePattern
from penstock_kit.search.ranking import Ranking
from penstock_kit.search.syntax import AS_TEXT, Literal, Operator
from penstock_kit.search.values import INTEGER_MAX, Value, read_bool, read_number, text_of

__all__ = ["ValueColumn"]

DEAD_TEXTS_MAX = 1024  # texts that no row holds any more, beyond as many as there are rows, before they are swept out


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
        self.chars = 0
        self._text_bytes = 0

    def code(self, text: str) -> int | None:
        return self._codes.get(text)

    def intern(self, text: str, reading: tuple[_Kind, float] | None = None) -> int:
        """The code of a text, which gets one if it has none. Whoever knows how it reads can say so."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self.texts)
            self.texts.append(text)
            self.chars += len(text)
            self.chars_max = max(self.chars_max, len(text))
            self._text_bytes += sys.getsizeof(text)
            self._readings.append(_read(text) if reading is None else reading)
        return code

    def reading(self, code: int) -> tuple[_Kind, float]:
        return self._readings[code]

    @property
    def nbytes(self) -> int:
        # Beside the text: its places in the list and the hash table, and its reading.
        return self._text_bytes + 200 * len(self.texts) + self.ranking.nbytes


def _read(text: str) -> tuple[_Kind, float]:
    if (number := read_number(text)) is not None:
        return _Kind.TEXT_NUMBER, number
    if (truth := read_bool(text)) is not None:
        return _Kind.TEXT_BOOL, float(truth)
    return _Kind.TEXT, 0.0


class ValueColumn(Column):
    """Text, numbers and truth values, mixed. Texts are kept once each.

    A text that spells a number is also read as this number, and one that spells a truth value as that.
    """

    plane_types = (np.uint8, np.float64, np.int32)  # _Kind; number, or 0 and 1 for truth; code in the dictionary or -1

    def __init__(self, *, loaded: bool = True) -> None:
        super().__init__(loaded=loaded)
        self._dictionary = _Dictionary()

    @override
    @property
    def nbytes(self) -> int:
        return super().nbytes + self._dictionary.nbytes

    @override
    def _encode(self, values: Collection[Any]) -> list[NDArray[Any]]:
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
    def _decode(self, planes: Sequence[NDArray[Any]]) -> Sequence[Value]:
        values: list[Value] = []
        for kind, number, code in zip(*(plane.tolist() for plane in planes), strict=True):
            if kind == _Kind.BIG_INT:
                values.append(int(self._dictionary.texts[code]))
            elif code >= 0:
                values.append(self._dictionary.texts[code])
            else:
                values.append(number if kind == _Kind.FLOAT else bool(number) if kind == _Kind.BOOL else int(number))
        return values

    @override
    def _take(self, pieces: Sequence[Piece]) -> None:
        super()._take(
            [Piece(piece.rows, [*piece.planes[:2], self._own_codes(piece)], []) for piece in pieces],
        )

    def _own_codes(self, piece: Piece) -> NDArray[np.int32]:
        """The codes of a piece, in this column's dictionary."""
        kinds, numbers, codes = piece.planes
        used, first = np.unique(codes, return_index=True)
        translated = np.full(len(piece.texts) + 1, -1, np.int32)  # the last for the code -1
        for code, kind, number in zip(used.tolist(), kinds[first].tolist(), numbers[first].tolist(), strict=True):
            if code >= 0:
                kind = _Kind.TEXT_NUMBER if kind == _Kind.BIG_INT else _Kind(kind)
                translated[code] = self._dictionary.intern(piece.texts[code], (kind, number))
        return translated[codes]

    @override
    def _piece(self, slots: slice) -> Piece:
        rows, (kinds, numbers, codes), _ = super()._piece(slots)
        used, places = np.unique(codes, return_inverse=True)
        without = int(used[:1].tolist() == [-1])
        texts = [self._dictionary.texts[code] for code in used[without:].tolist()]
        return Piece(rows, [kinds, numbers, (places - without).astype(np.int32)], texts)

    @override
    def _merge(self) -> None:
        written = bool(self._pending)
        super()._merge()
        if written and len(self._dictionary.texts) > 2 * self._count + DEAD_TEXTS_MAX:
            self._sweep()

    def _sweep(self) -> None:
        codes = self._planes[2][: self._count]
        used, inverse = np.unique(codes, return_inverse=True)
        old, self._dictionary = self._dictionary, _Dictionary()
        fresh = [self._dictionary.intern(old.texts[code]) if code >= 0 else -1 for code in used.tolist()]
        codes[:] = np.array(fresh, np.int32)[inverse]

    def as_numbers(self) -> Numbers:
        """What each value reads as, NaN if it reads as no number."""
        return np.where(_READS_AS_NUMBER[self._plane(0)], self._plane(1), np.nan)

    def text_size(self) -> tuple[int, int]:
        """How many texts a pattern is compared with at most, numbers written out; and the characters of those kept."""
        written_out = int(np.count_nonzero(self._plane(2) < 0))
        return len(self._dictionary.texts) + written_out, self._dictionary.chars

    def compare(self, operator: Operator, literal: Literal) -> Mask:
        """For each value, whether it compares with a literal as asked: false where their types do not fit."""
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        if isinstance(literal, bool):
            return _READS_AS_BOOL[kinds] & compare(operator, numbers, float(literal))
        if isinstance(literal, float):
            return _READS_AS_NUMBER[kinds] & compare(operator, numbers, literal)
        if operator is Operator.EQ:
            return self._spelled([literal])
        if operator is Operator.NE:
            return ~self._spelled([literal])
        if not self._dictionary.texts:
            return np.zeros(len(kinds), np.bool_)
        ranks = self._dictionary.ranking.ranks()[codes]
        return _IS_TEXT[kinds] & compare(operator, ranks, self._dictionary.ranking.position(literal))

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
            found |= _READS_AS_BOOL[kinds] & among(numbers, truths)
        if floats:
            comparable &= _READS_AS_NUMBER[kinds]
            found |= _READS_AS_NUMBER[kinds] & among(numbers, floats)
        return comparable & ~found if negated else found

    def resembles(self, pattern: LikePattern) -> Mask:
        """For each value, whether its canonical text matches a pattern."""
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        found = np.zeros(len(kinds), np.bool_)
        texts = self._dictionary.texts
        if texts:
            by_code = np.array(pattern.matches_each(texts), np.bool_)
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
                matched = pattern.matches_each([text_of(read(number)) for number in unique.tolist()])
                found[of_kind] = np.array(matched)[inverse]
        return found

    @override
    def sort_keys(self, aspect: str, chars_max: int) -> tuple[NDArray[np.uint8], Numbers]:
        kinds, numbers, codes = self._plane(0), self._plane(1), self._plane(2)
        classes, keys = number_sort_keys(numbers)
        if aspect == AS_TEXT:
            classes[_IS_TEXT[kinds]] = SortClass.TEXT
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
        kind = self._plane(0)[slot]
        if kind == _Kind.TEXT or (aspect == AS_TEXT and _IS_TEXT[kind]):
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
            found |= (kinds == kind) & among(numbers, spelled)
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
