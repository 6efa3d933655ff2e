"""Which keys each row has in a collection, so that a key that is not written any more loses its value.

Rows with the same keys share one tuple, and a row holds its number.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shapes"]


class Shapes:
    """The keys of rows in one collection."""

    def __init__(self) -> None:
        self._pool: list[tuple[str, ...]] = [()]
        self._numbers: dict[tuple[str, ...], int] = {(): 0}
        self._of_row: NDArray[np.int32] = np.zeros(16, np.int32)

    def __getitem__(self, row: int) -> tuple[str, ...]:
        return self._pool[self._of_row[row]] if row < len(self._of_row) else ()

    def __setitem__(self, row: int, keys: tuple[str, ...]) -> None:
        if row >= len(self._of_row):
            grown = np.zeros(max(2 * len(self._of_row), row + 1), np.int32)
            grown[: len(self._of_row)] = self._of_row
            self._of_row = grown
        self._of_row[row] = self._number(keys)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        return self._of_row.nbytes + sum(200 + 60 * len(keys) for keys in self._pool)

    def piece(self, first: int, end: int) -> tuple[NDArray[np.int32], list[tuple[str, ...]]]:
        """For each row from `first` to before `end`: where its keys are in a list of keys, which is the other result."""
        numbers = np.zeros(end - first, np.int32)
        known = self._of_row[first:end]
        numbers[: len(known)] = known
        used, places = np.unique(numbers, return_inverse=True)
        return places.astype(np.int32), [self._pool[number] for number in used.tolist()]

    def load(self, first: int, places: NDArray[np.int32], pool: Sequence[Sequence[str]]) -> None:
        """Takes what `piece` gave, for the rows from `first` on."""
        if not len(places):
            return
        self[first + len(places) - 1] = ()
        self._of_row[first : first + len(places)] = np.array([self._number(tuple(keys)) for keys in pool])[places]

    def _number(self, keys: tuple[str, ...]) -> int:
        number = self._numbers.setdefault(keys, len(self._pool))
        if number == len(self._pool):
            self._pool.append(keys)
        return number
