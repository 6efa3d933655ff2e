"""Points of one metric, as columns, and their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from penstock_tracking.ingest.codec import Float64s, Int64s

__all__ = ["NO_POINTS", "Points", "in_order", "merged"]


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one metric: `(steps[i], times_us[i], values[i])`, by step, then time, then as logged."""

    steps: Int64s
    times_us: Int64s
    values: Float64s

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, piece: slice) -> "Points":
        return Points(self.steps[piece], self.times_us[piece], self.values[piece])

    def within(self, first: int | None, last: int | None) -> "Points":
        """Those with `first <= step <= last`."""
        if first is None and last is None:
            return self
        kept = np.ones(len(self), np.bool_)
        if first is not None:
            kept &= self.steps >= first
        if last is not None:
            kept &= self.steps <= last
        return self if kept.all() else Points(self.steps[kept], self.times_us[kept], self.values[kept])


NO_POINTS: Final = Points(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))


def in_order(steps: Int64s, times_us: Int64s) -> bool:
    """Whether points stand by step, then time."""
    later_step = steps[1:] > steps[:-1]
    return bool(np.all(later_step | ((steps[1:] == steps[:-1]) & (times_us[1:] >= times_us[:-1]))))


def merged(parts: Sequence[Points]) -> Points:
    """Points of several sources in their order. Those of equal step and time stay as they came."""
    if not parts:
        return NO_POINTS
    if len(parts) == 1:
        steps, times, values = parts[0].steps, parts[0].times_us, parts[0].values
    else:
        steps = np.concatenate([part.steps for part in parts])
        times = np.concatenate([part.times_us for part in parts])
        values = np.concatenate([part.values for part in parts])
    if len(steps) > 1 and not in_order(steps, times):
        order = np.lexsort((times, steps))  # stable
        steps, times, values = steps[order], times[order], values[order]
    return Points(steps, times, np.ascontiguousarray(values))
