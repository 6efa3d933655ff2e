"""Texts by rank: what comparing and sorting texts as numbers takes."""

import sys
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranking"]

Numbers = NDArray[np.float64]


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
