"""Reduces a series to buckets, minimum and maximum kept, so that a spike never disappears.

A bucket keeps the mean of its points and not their sum, since a sum of finite values may be infinite. Buckets of adjacent
pieces make the bucket of both: so a segment keeps small ones, and a chart gets large ones made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np

from penstock_tracking.ingest.codec import Float64s, Int64s
from penstock_tracking.series.points import Points

__all__ = ["NO_BUCKETS", "Buckets", "buckets_of", "downsample", "joined"]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of one series, in its order; every column has one value for each. See `MetricBuckets` in the contract.

    `min_steps` and `max_steps` are of the first point with that value. Where no value is finite, `mins`, `maxs` and `means`
    are NaN and the steps those of the first point.
    """

    counts: Int64s
    first_steps: Int64s
    last_steps: Int64s
    last_times_unix_us: Int64s
    mins: Float64s
    min_steps: Int64s
    maxs: Float64s
    max_steps: Int64s
    means: Float64s
    lasts: Float64s
    nan_counts: Int64s
    positive_infinity_counts: Int64s
    negative_infinity_counts: Int64s

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, piece: slice) -> Self:
        return type(self)(**{name: getattr(self, name)[piece] for name in NAMES})

    @property
    def finite_counts(self) -> Int64s:
        """How many values are finite."""
        return self.counts - self.nan_counts - self.positive_infinity_counts - self.negative_infinity_counts

    def grouped(self, starts: Int64s) -> Self:
        """One bucket for each group of adjacent ones, the groups starting at `starts`, the first of which is 0."""
        ends = np.append(starts[1:], len(self)) - 1
        sizes = ends + 1 - starts
        finite = self.finite_counts
        totals = np.add.reduceat(finite, starts)
        mins, maxs = np.fmin.reduceat(self.mins, starts), np.fmax.reduceat(self.maxs, starts)
        shares = finite / np.repeat(np.maximum(totals, 1), sizes)
        with np.errstate(over="ignore"):
            means = np.add.reduceat(np.where(finite > 0, self.means, 0.0) * shares, starts)
        return type(self)(
            counts=np.add.reduceat(self.counts, starts),
            first_steps=self.first_steps[starts],
            last_steps=self.last_steps[ends],
            last_times_unix_us=self.last_times_unix_us[ends],
            mins=mins,
            min_steps=self.min_steps[_first_places(self.mins, mins, starts, sizes)],
            maxs=maxs,
            max_steps=self.max_steps[_first_places(self.maxs, maxs, starts, sizes)],
            means=np.where(totals > 0, np.clip(means, mins, maxs), np.nan),
            lasts=self.lasts[ends],
            nan_counts=np.add.reduceat(self.nan_counts, starts),
            positive_infinity_counts=np.add.reduceat(self.positive_infinity_counts, starts),
            negative_infinity_counts=np.add.reduceat(self.negative_infinity_counts, starts),
        )

    def at_most(self, count: int) -> Self:
        """At most `count` buckets with about equally many points, made of these."""
        if len(self) <= count:
            return self
        before = np.cumsum(self.counts) - self.counts
        # Which of `count` equal shares of all points the first point of each bucket is in.
        share = before * count // max(1, int(self.counts.sum()))
        starts = np.flatnonzero(np.diff(share, prepend=-1))
        return self.grouped(starts)


NAMES: Final = tuple(field.name for field in fields(Buckets))


def _empty(name: str) -> Any:
    return np.zeros(0, np.float64 if name in ("mins", "maxs", "means", "lasts") else np.int64)


NO_BUCKETS: Final = Buckets(**{name: _empty(name) for name in NAMES})


def joined(parts: Sequence[Buckets]) -> Buckets:
    """The buckets of adjacent stretches of a series, one after another."""
    if len(parts) == 1:
        return parts[0]
    return Buckets(
        **{name: np.concatenate([getattr(part, name) for part in parts] or [_empty(name)]) for name in NAMES}
    )


def buckets_of(steps: Int64s, times_us: Int64s, values: Float64s, starts: Int64s) -> Buckets:
    """The buckets of points (N of them, N > 0), one for each piece; pieces start at `starts`, the first of which is 0."""
    ends = np.append(starts[1:], len(steps)) - 1
    counts = ends + 1 - starts
    finite = np.isfinite(values)
    zeros = np.zeros(len(starts), np.int64)
    if finite.all():
        low = high = shown = values
        finite_counts, nans, positives, negatives = counts, zeros, zeros, zeros
    else:
        low, high = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
        shown = np.where(finite, values, 0.0)
        finite_counts = np.add.reduceat(finite.astype(np.int64), starts)
        nans = np.add.reduceat(np.isnan(values).astype(np.int64), starts)
        positives = np.add.reduceat((values == np.inf).astype(np.int64), starts)
        negatives = counts - finite_counts - nans - positives
    none = finite_counts == 0
    mins, maxs = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    min_places = _first_places(low, mins, starts, counts)
    max_places = _first_places(high, maxs, starts, counts)
    # Divided before they are summed: a sum of finite values may be infinite, their mean is not.
    with np.errstate(over="ignore"):
        means = np.add.reduceat(shown / np.repeat(np.maximum(finite_counts, 1), counts), starts)
    return Buckets(
        counts=counts,
        first_steps=steps[starts],
        last_steps=steps[ends],
        last_times_unix_us=times_us[ends],
        mins=np.where(none, np.nan, mins),
        min_steps=steps[min_places],
        maxs=np.where(none, np.nan, maxs),
        max_steps=steps[max_places],
        means=np.where(none, np.nan, np.clip(means, mins, maxs)),
        lasts=values[ends],
        nan_counts=nans,
        positive_infinity_counts=positives,
        negative_infinity_counts=negatives,
    )


def downsample(points: Points, buckets_max: int) -> Buckets:
    """Reduces N points, ordered by step, to at most `buckets_max` buckets of N / buckets_max points each."""
    n = len(points)
    starts = np.linspace(0, n, min(buckets_max, n) + 1).astype(np.int64)[:-1]
    return buckets_of(points.steps, points.times_us, points.values, starts)


def _first_places(values: Float64s, extremes: Float64s, starts: Int64s, counts: Int64s) -> Int64s:
    """The first place in each piece that holds its extreme; the piece's first place where it is NaN."""
    n = len(values)
    places = np.where(values == np.repeat(extremes, counts), np.arange(n), n)
    found = np.minimum.reduceat(places, starts)
    return np.where(found == n, starts, found)
