"""What every hot store must do. An adapter passes by a subclass with the fixture `store` and the method `elapse`."""

import asyncio

import pytest

from penstock_kit.stores.hot import HotStore

__all__ = ["HotStoreContract"]

WINDOW_S = 2.0  # short, because an adapter may have to wait for it
PATIENCE_S = 5.0  # for a ring that must come


class HotStoreContract:
    """The contract of `HotStore`."""

    @pytest.fixture
    async def store(self) -> HotStore:
        """A new, empty store, closed afterwards."""
        raise NotImplementedError

    async def elapse(self, seconds: float) -> None:
        """Lets time pass, as the store sees it."""
        raise NotImplementedError

    async def test_a_value_is_cached_until_it_expires(self, store: HotStore) -> None:
        assert await store.get("key") is None
        await store.put("key", b"\0value", ttl_s=WINDOW_S)
        await store.put("other", b"", ttl_s=100)
        assert await store.get("key") == b"\0value"
        assert await store.get("other") == b""
        await self.elapse(WINDOW_S * 1.1)
        assert await store.get("key") is None
        assert await store.get("other") == b""

    async def test_the_last_put_holds(self, store: HotStore) -> None:
        await store.put("key", b"one", ttl_s=100)
        await store.put("key", b"two", ttl_s=100)
        assert await store.get("key") == b"two"
        await store.forget("key")
        await store.forget("key")
        assert await store.get("key") is None

    async def test_a_ring_wakes_all_who_listen_to_the_topic(self, store: HotStore) -> None:
        async with store.listen("topic") as first, store.listen("topic") as second, store.listen("other") as other:
            await store.ring("topic")
            await asyncio.wait_for(anext(first), PATIENCE_S)
            await asyncio.wait_for(anext(second), PATIENCE_S)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(other), 0.02)

    async def test_rings_before_one_looks_are_one(self, store: HotStore) -> None:
        async with store.listen("topic") as rings:
            for _ in range(3):
                await store.ring("topic")
            await asyncio.wait_for(anext(rings), PATIENCE_S)

    async def test_a_listener_hears_ring_after_ring(self, store: HotStore) -> None:
        heard = 0

        async def listen(ready: asyncio.Event) -> None:
            nonlocal heard
            async with store.listen("topic") as rings:
                ready.set()
                async for _ in rings:
                    heard += 1
                    if heard == 3:
                        return

        ready = asyncio.Event()
        listening = asyncio.ensure_future(listen(ready))
        await ready.wait()
        while not listening.done():
            await store.ring("topic")
            await asyncio.sleep(0.001)
        await listening
        assert heard == 3

    async def test_a_ring_that_nobody_hears(self, store: HotStore) -> None:
        await store.ring("topic")
        async with store.listen("topic"):
            pass
        await store.ring("topic")

    async def test_a_counter_sums_within_its_window(self, store: HotStore) -> None:
        assert await store.count("key", window_s=WINDOW_S) == 1
        assert await store.count("key", window_s=WINDOW_S, amount=4) == 5
        assert await store.count("other", window_s=WINDOW_S) == 1
        await self.elapse(WINDOW_S * 0.6)
        assert await store.count("key", window_s=WINDOW_S) == 6
        await self.elapse(WINDOW_S * 0.6)
        assert await store.count("key", window_s=WINDOW_S) == 2
        await self.elapse(WINDOW_S * 1.2)
        assert await store.count("key", window_s=WINDOW_S, amount=0) == 0

    async def test_a_counter_counts_everyone(self, store: HotStore) -> None:
        sums = await asyncio.gather(*(store.count("key", window_s=100) for _ in range(50)))
        assert sorted(sums) == list(range(1, 51))
