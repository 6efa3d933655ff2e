"""How sure the difference of two means is: percentile bootstrap.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Difference", "difference"]

RESAMPLES: Final = 2_000
SEED: Final = 20_261_128  # the same samples give the same verdict, whoever asks and however often
DRAWS_AT_ONCE: Final = 1_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two means, resampled.

    Attributes:
        value: The mean of the one minus the mean of the other.
        resampled: The same of `RESAMPLES` resamples, ascending.
        paired: Whether samples were resampled in pairs.
    """

    value: float
    resampled: Floats
    paired: bool

    def interval(self, confidence: float) -> tuple[float, float]:
        """The bounds between which the difference is, with this confidence (0 to 1)."""
        low, high = np.quantile(self.resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)


def difference(one: Floats, other: Floats) -> Difference:
    """Resamples the difference of the means of two samples, neither empty.

    Samples of the same length are taken to be of the same examples in the same order, and are resampled in pairs. Where they
    are not, the interval is about as wide as it would be without pairs.
    """
    rng = np.random.default_rng(SEED)
    paired = len(one) == len(other)
    with np.errstate(invalid="ignore"):  # infinities may make NaN, which passes no check
        resampled = _means(one - other, rng) if paired else _means(one, rng) - _means(other, rng)
        value = float(one.mean() - other.mean())
    resampled.sort()
    return Difference(value, resampled, paired)


def _means(samples: Floats, rng: np.random.Generator) -> Floats:
    count = len(samples)
    rows = max(1, DRAWS_AT_ONCE // count)
    means = np.empty(RESAMPLES)
    for first in range(0, RESAMPLES, rows):
        end = min(first + rows, RESAMPLES)
        means[first:end] = samples[rng.integers(0, count, (end - first, count))].mean(axis=1)
    return means
