"""The hot store in memory: the contract, and its limits."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock_kit.clock import ManualClock
from penstock_kit.stores.contract.hot import HotStoreContract
from penstock_kit.stores.embedded.hot import ENTRY_OVERHEAD_BYTES, InProcessHotStore


class TestInProcessHotStore(HotStoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[InProcessHotStore]:
        self.clock = ManualClock()
        store = InProcessHotStore(self.clock)
        yield store
        await store.close()

    async def elapse(self, seconds: float) -> None:
        self.clock.advance(seconds)


async def test_the_value_not_used_for_longest_goes_first() -> None:
    store = InProcessHotStore(ManualClock(), bytes_max=3 * (1 + 100 + ENTRY_OVERHEAD_BYTES))
    for key in "abc":
        await store.put(key, bytes(100), ttl_s=10)
    assert await store.get("a") is not None
    await store.put("d", bytes(100), ttl_s=10)
    assert [key for key in "abcd" if await store.get(key) is not None] == ["a", "c", "d"]


async def test_a_value_at_the_limit_and_one_above() -> None:
    store = InProcessHotStore(ManualClock(), bytes_max=1_000)
    await store.put("k", bytes(1_000 - 1 - ENTRY_OVERHEAD_BYTES), ttl_s=10)
    assert await store.get("k") is not None
    await store.put("k", bytes(1_000 - ENTRY_OVERHEAD_BYTES), ttl_s=10)
    assert await store.get("k") is None


async def test_replaced_and_expired_values_give_their_room_back() -> None:
    clock = ManualClock()
    store = InProcessHotStore(clock, bytes_max=2 * (1 + 100 + ENTRY_OVERHEAD_BYTES))
    await store.put("kept", b"", ttl_s=1_000)
    for n in range(100):
        await store.put("k", bytes(100), ttl_s=1)
        if n % 3 == 0:
            clock.advance(2)
            assert await store.get("k") is None
    assert await store.get("kept") == b""


async def test_closing_ends_those_who_listen() -> None:
    store = InProcessHotStore(ManualClock())
    async with store.listen("topic") as rings:
        waiting = asyncio.ensure_future(anext(rings, "ended"))
        await asyncio.sleep(0)
        await store.close()
        assert await waiting == "ended"
