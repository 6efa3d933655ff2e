"""The one source of time of a service, so that a test can move it."""

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved.

    Args:
        start: Where it stands at first.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._us = int(start.timestamp() * 1_000_000)

    def now_us(self) -> int:
        return self._us

    def monotonic_s(self) -> float:
        return self._us / 1_000_000

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        self._us += round(seconds * 1_000_000)
