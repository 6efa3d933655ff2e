"""The hot store on Redis, for several processes at once.

A `put` or `forget` that Redis did not hear leaves the value before it until that expires: cache only what tells by itself
which state it is of. Counters go on in each process for itself while Redis is not there, so that a limit still holds.
"""

import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Self

from penstock_kit.clock import Clock
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.redis.link import RedisLink
from penstock_kit.stores.redis.rings import RedisRings

__all__ = ["RedisHotStore"]

SLOTS_PER_WINDOW: Final = 32  # amounts of one slot are kept as one: a counter forgets up to 1/32 of its window late

_CACHED = "c:"
_COUNTED = "n:"

# A hash of slot -> amount. The clock is that of Redis: one for all processes.
_COUNT: Final = """
local now = redis.call('TIME')
local window_us, slots, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local slot = math.floor((now[1] * 1000000 + now[2]) * slots / window_us)
if amount ~= 0 then
    redis.call('HINCRBY', KEYS[1], string.format('%d', slot), ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window_us * (slots + 1) / slots / 1000))
end
local counted = redis.call('HGETALL', KEYS[1])
local total = 0
for n = 1, #counted, 2 do
    if tonumber(counted[n]) < slot - slots then
        redis.call('HDEL', KEYS[1], counted[n])
    else
        total = total + tonumber(counted[n + 1])
    end
end
return total
"""


class RedisHotStore:
    """The hot store port. Made by `open`."""

    def __init__(self, link: RedisLink, clock: Clock) -> None:
        self._link = link
        self._rings = RedisRings(link)
        self._alone = InProcessHotStore(clock)
        self._count = link.client.register_script(_COUNT)

    @classmethod
    async def open(cls, url: str, clock: Clock) -> Self:
        """Connects.

        Args:
            url: `redis://user:password@host:port/number`, or `rediss://` for TLS. All that share the database share its
                values, topics and counters.
            clock: Tells what counters forget while Redis is not there.

        Raises:
            StoreUnavailable: Nothing answers there.
            StoreMisconfigured: The URL is wrong, what is there is no Redis, or the credentials do not allow its use.
        """
        store = cls(await RedisLink.open(url), clock)
        await store._rings.start()
        return store

    async def get(self, key: str) -> bytes | None:
        """See `HotStore.get`. None also if Redis is not there."""
        value = await self._link.ask(lambda: self._link.client.get(_CACHED + key))
        assert value is None or isinstance(value, bytes)  # the client decodes nothing
        return value

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See `HotStore.put`. No effect if Redis is not there, or has no room."""
        await self._link.ask(lambda: self._link.client.set(_CACHED + key, value, px=max(1, math.floor(ttl_s * 1000))))

    async def forget(self, key: str) -> None:
        """See `HotStore.forget`. No effect if Redis is not there."""
        await self._link.ask(lambda: self._link.client.delete(_CACHED + key))

    async def ring(self, topic: str) -> None:
        """See `HotStore.ring`. Returns at once; those in this process are woken also if Redis is not there."""
        self._rings.ring(topic)

    def listen(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """See `HotStore.listen`. The iteration ends when the store is closed, and yields once more after each gap in the
        connection to Redis."""
        return self._rings.listen(topic)

    async def count(self, key: str, *, window_s: float, amount: int = 1) -> int:
        """See `HotStore.count`. Counts this process alone while Redis is not there."""
        window_us = round(window_s * 1_000_000)
        arguments = (window_us, SLOTS_PER_WINDOW, amount)
        total = await self._link.ask(lambda: self._count(keys=[f"{_COUNTED}{window_us}:{key}"], args=arguments))
        if total is None:
            return await self._alone.count(key, window_s=window_s, amount=amount)
        return int(total)

    async def close(self) -> None:
        """See `HotStore.close`."""
        await self._rings.close()
        await self._link.close()
