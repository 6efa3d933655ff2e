"""The hot store in the memory of one process, of one event loop, within a limit of bytes."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from penstock_kit.clock import Clock

__all__ = ["InProcessHotStore"]

BYTES_MAX = 67_108_864
ENTRY_OVERHEAD_BYTES = 200  # what a cached value costs beside its key and bytes, about
COUNTERS_MAX = 100_000
SLOTS_PER_WINDOW = 64  # amounts of one slot are kept as one: a counter forgets up to 1/64 of its window late


@dataclass(frozen=True, slots=True)
class _Cached:
    value: bytes
    expires_s: float
    size: int


@dataclass(slots=True)
class _Counter:
    total: int = 0
    slots: deque[tuple[int, int]] = field(default_factory=deque)  # (number of the slot, amount), oldest first


class InProcessHotStore:
    """The hot store port. The value, and the counter, that was not used for longest goes first.

    Args:
        clock: Tells what has expired.
        bytes_max: Of all cached keys and values with their overhead.
    """

    def __init__(self, clock: Clock, *, bytes_max: int = BYTES_MAX) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._bytes = 0
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        self._counters: OrderedDict[tuple[str, float], _Counter] = OrderedDict()
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """See `HotStore.get`."""
        cached = self._cache.get(key)
        if cached is None:
            return None
        if cached.expires_s <= self._clock.monotonic_s():
            self._drop(key)
            return None
        self._cache.move_to_end(key)
        return cached.value

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See `HotStore.put`. A value that exceeds the limit by itself is not kept."""
        self._drop(key)
        size = len(key) + len(value) + ENTRY_OVERHEAD_BYTES
        if size > self._bytes_max:
            return
        self._cache[key] = _Cached(value, self._clock.monotonic_s() + ttl_s, size)
        self._bytes += size
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._cache)))

    async def forget(self, key: str) -> None:
        """See `HotStore.forget`."""
        self._drop(key)

    async def ring(self, topic: str) -> None:
        """See `HotStore.ring`."""
        for event in self._listeners.get(topic, ()):
            event.set()

    @contextlib.asynccontextmanager
    async def listen(self, topic: str) -> AsyncGenerator[AsyncIterator[None]]:
        """See `HotStore.listen`. The iteration ends when the store is closed."""
        event = asyncio.Event()
        listeners = self._listeners.setdefault(topic, set())
        listeners.add(event)
        try:
            yield self._rings(event)
        finally:
            listeners.discard(event)
            if not listeners and self._listeners.get(topic) is listeners:
                del self._listeners[topic]

    async def count(self, key: str, *, window_s: float, amount: int = 1) -> int:
        """See `HotStore.count`."""
        counter = self._counters.setdefault((key, window_s), _Counter())
        self._counters.move_to_end((key, window_s))
        slot = int(self._clock.monotonic_s() / window_s * SLOTS_PER_WINDOW)
        while counter.slots and counter.slots[0][0] < slot - SLOTS_PER_WINDOW:
            counter.total -= counter.slots.popleft()[1]
        before = counter.slots.pop()[1] if counter.slots and counter.slots[-1][0] == slot else 0
        counter.slots.append((slot, before + amount))
        counter.total += amount
        while len(self._counters) > COUNTERS_MAX:
            self._counters.popitem(last=False)
        return counter.total

    async def close(self) -> None:
        """See `HotStore.close`."""
        self._closed = True
        for listeners in self._listeners.values():
            for event in listeners:
                event.set()
        self._cache.clear()
        self._counters.clear()
        self._bytes = 0

    async def _rings(self, event: asyncio.Event) -> AsyncIterator[None]:
        while True:
            await event.wait()
            if self._closed:
                return
            event.clear()
            yield

    def _drop(self, key: str) -> None:
        dropped = self._cache.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped.size
