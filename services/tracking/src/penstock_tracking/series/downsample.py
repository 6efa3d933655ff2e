"""Reduces a series to buckets of equally many points, minimum and maximum kept, so that a spike never disappears."""

from dataclasses import dataclass

import numpy as np

from penstock_tracking.ingest.codec import Float64s, Int64s
from penstock_tracking.series.columns import Points

__all__ = ["Buckets", "downsample"]


@dataclass(frozen=True, slots=True)
class Buckets:
    """B buckets; every column has B entries. See `MetricBuckets` in the contract for what each means."""

    first_steps: Int64s
    last_steps: Int64s
    last_times_unix_us: Int64s
    counts: Int64s
    mins: Float64s
    min_steps: Int64s
    maxs: Float64s
    max_steps: Int64s
    means: Float64s
    lasts: Float64s
    nan_counts: Int64s
    positive_infinity_counts: Int64s
    negative_infinity_counts: Int64s


def downsample(points: Points, buckets_max: int) -> Buckets:
    """Reduces N points, ordered by step, to at most `buckets_max` buckets of N / buckets_max points each.

    NaN and the infinities are counted, and left out of minimum, maximum and mean; a bucket with nothing else has NaN there,
    and its first step as the step of both.
    """
    n = len(points)
    buckets = min(buckets_max, n)
    edges = np.linspace(0, n, buckets + 1).astype(np.int64)
    starts, ends = edges[:-1], edges[1:] - 1
    counts = np.diff(edges)
    values = points.values
    finite = np.isfinite(values)
    all_finite = bool(finite.all())

    low = values if all_finite else np.where(finite, values, np.inf)
    high = values if all_finite else np.where(finite, values, -np.inf)
    mins = np.minimum.reduceat(low, starts)
    maxs = np.maximum.reduceat(high, starts)
    min_steps = points.steps[_first_places(low, mins, starts, counts)]
    max_steps = points.steps[_first_places(high, maxs, starts, counts)]
    if all_finite:
        finite_counts = counts
        zeros = np.zeros(buckets, np.int64)
        nans, positive, negative = zeros, zeros, zeros
    else:
        finite_counts = np.add.reduceat(finite.astype(np.int64), starts)
        nans = np.add.reduceat(np.isnan(values).astype(np.int64), starts)
        positive = np.add.reduceat((values == np.inf).astype(np.int64), starts)
        negative = np.add.reduceat((values == -np.inf).astype(np.int64), starts)
    empty = finite_counts == 0
    # Divided before they are summed: a sum of finite values may be infinite, their mean is not.
    shares = (values if all_finite else np.where(finite, values, 0.0)) / np.repeat(np.maximum(finite_counts, 1), counts)
    with np.errstate(over="ignore"):
        means = np.where(empty, np.nan, np.clip(np.add.reduceat(shares, starts), mins, maxs))
    return Buckets(
        first_steps=points.steps[starts],
        last_steps=points.steps[ends],
        last_times_unix_us=points.times_us[ends],
        counts=counts,
        mins=np.where(empty, np.nan, mins),
        min_steps=min_steps,
        maxs=np.where(empty, np.nan, maxs),
        max_steps=max_steps,
        means=means,
        lasts=values[ends],
        nan_counts=nans,
        positive_infinity_counts=positive,
        negative_infinity_counts=negative,
    )


def _first_places(values: Float64s, extremes: Float64s, starts: Int64s, counts: Int64s) -> Int64s:
    """The first place in each bucket that holds its extreme."""
    n = len(values)
    places = np.where(values == np.repeat(extremes, counts), np.arange(n), n)
    return np.minimum.reduceat(places, starts)
