"""Histograms."""

import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from penstock.errors import InvalidInput
from penstock.media.base import Encoded, Media, array_of

__all__ = ["Histogram"]

BINS_MAX: Final = 10_000


class Histogram(Media):
    """How values are distributed, such as weights or gradients. It becomes JSON with `edges`, `counts`, `nan_count` and
    `infinity_count`.

    Args:
        values: The values: an array of numpy, torch or jax of any shape, or a list of numbers. NaN and the infinities
            are counted apart.
        bins: How many bins of equal width, 1 to 10,000.
        counts: The counts of a histogram that was made elsewhere, in place of `values`; with `edges`.
        edges: Its edges, ascending, one more than counts.
        caption: What it shows, at most 2,000 characters.

    Raises `InvalidType`, `InvalidInput` if it is none of these.
    """

    kind: ClassVar[str] = "histogram"

    def __init__(
        self,
        values: Any = None,
        bins: int = 64,
        *,
        counts: Sequence[float] | None = None,
        edges: Sequence[float] | None = None,
        caption: str = "",
    ) -> None:
        super().__init__(caption)
        if not 1 <= bins <= BINS_MAX:
            raise InvalidInput(f"bins must be 1 to {BINS_MAX:,}, not {bins!r}.")
        if (values is None) == (counts is None) or (counts is None) != (edges is None):
            raise InvalidInput("Give values, or counts and edges.")
        self.nan_count = self.infinity_count = 0
        if values is not None:
            # Now and not when it is logged: training goes on with the same memory.
            self.counts, self.edges = self._counted(array_of(values, "A histogram"), bins)
        else:
            self.counts = [float(count) for count in counts or ()]
            self.edges = [float(edge) for edge in edges or ()]
            self._check()

    def encoded(self) -> Encoded:
        """JSON."""
        content = {
            "edges": self.edges,
            "counts": self.counts,
            "nan_count": self.nan_count,
            "infinity_count": self.infinity_count,
        }
        return Encoded(json.dumps(content, allow_nan=False).encode(), ".json", "application/json")

    def _counted(self, array: Any, bins: int) -> tuple[list[float], list[float]]:
        # Needs numpy, which is there now.
        import numpy as np

        flat = array.reshape(-1).astype(np.float64)
        finite = flat[np.isfinite(flat)]
        self.nan_count = int(np.isnan(flat).sum())
        self.infinity_count = len(flat) - len(finite) - self.nan_count
        if len(finite) == 0:
            return [0.0], [0.0, 1.0]
        low, high = float(finite.min()), float(finite.max())
        if not math.isfinite(high - low):
            raise InvalidInput("The values of a histogram are too far apart for 64-bit floating-point numbers.")
        counts, edges = np.histogram(finite, bins)
        return counts.tolist(), edges.tolist()

    def _check(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or len(self.counts) > BINS_MAX:
            raise InvalidInput(f"A histogram has one more edge than counts, of which there are at most {BINS_MAX:,}.")
        if not all(map(math.isfinite, (*self.edges, *self.counts))) or min(self.counts, default=0) < 0:
            raise InvalidInput("Edges and counts of a histogram are finite, and counts are not negative.")
        if any(first >= second for first, second in zip(self.edges, self.edges[1:], strict=False)):
            raise InvalidInput("The edges of a histogram ascend.")
