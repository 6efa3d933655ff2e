"""The hot store on Redis: the contract, several processes, and Redis that goes and comes back."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from penstock_kit.clock import ManualClock, SystemClock
from penstock_kit.stores.contract.hot import HotStoreContract
from penstock_kit.stores.errors import StoreError, StoreMisconfigured, StoreUnavailable
from penstock_kit.stores.redis.hot import RedisHotStore
from penstock_local.servers import RedisServer

PATIENCE_S = 20.0
SECRET = "correct-horse"


async def flushed(url: str) -> None:
    async with Redis.from_url(url, protocol=2) as client:
        await client.flushall()


@pytest.fixture
async def url(redis_server: RedisServer) -> str:
    await flushed(redis_server.url)
    return redis_server.url


@pytest.fixture
def own_server(redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may kill."""
    with RedisServer(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisHotStore]:
    store = await RedisHotStore.open(url, SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


class TestRedisHotStore(HotStoreContract):
    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[RedisHotStore]:
        async with opened(url) as store:
            yield store

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def test_two_processes_share_values_rings_and_counters(url: str) -> None:
    async with opened(url) as one, opened(url) as other:
        await one.put("key", b"\0value", ttl_s=100)
        assert await other.get("key") == b"\0value"
        await other.forget("key")
        assert await one.get("key") is None
        async with other.listen("topic") as rings:
            await one.ring("topic")
            await asyncio.wait_for(anext(rings), PATIENCE_S)
        assert await one.count("key", window_s=100) == 1
        assert await other.count("key", window_s=100, amount=3) == 4
        assert await other.count("key", window_s=50) == 1


async def test_databases_of_one_redis_are_apart(url: str) -> None:
    async with opened(url) as one, opened(url.removesuffix("/0") + "/1") as other:
        await one.put("key", b"value", ttl_s=100)
        assert await other.get("key") is None
        async with other.listen("topic") as rings:
            await one.ring("topic")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(rings), 0.1)


async def test_nothing_stays_for_ever(url: str) -> None:
    async with opened(url) as store, Redis.from_url(url, protocol=2) as client:
        await store.put("key", b"value", ttl_s=7)
        await store.put("soon", b"value", ttl_s=0.000_1)
        await store.count("key", window_s=7)
        keys = await client.keys()
        assert keys
        for key in keys:
            assert await client.pttl(key) in range(-2 if key == b"c:soon" else 0, 8_000)


async def test_many_calls_at_once(url: str) -> None:
    async with opened(url) as store:
        await asyncio.gather(*(store.put(f"key {n}", str(n).encode(), ttl_s=100) for n in range(500)))
        values = await asyncio.gather(*(store.get(f"key {n}") for n in range(500)))
        assert values == [str(n).encode() for n in range(500)]


async def test_a_flush_loses_only_what_may_be_lost(url: str) -> None:
    async with opened(url) as store:
        await store.put("key", b"value", ttl_s=100)
        await store.count("key", window_s=100, amount=5)
        async with store.listen("topic") as rings:
            await flushed(url)
            assert await store.get("key") is None
            assert await store.count("key", window_s=100) == 1
            await store.ring("topic")
            await asyncio.wait_for(anext(rings), PATIENCE_S)


async def test_subscriptions_that_nobody_needs_end(url: str) -> None:
    async with opened(url) as store, Redis.from_url(url, protocol=2) as client:

        async def subscribed() -> bool:
            return b"penstock:0:topic" in await client.pubsub_channels()

        async def unsubscribed() -> bool:
            return not await subscribed()

        async with store.listen("topic"):
            assert await subscribed()
        await until(unsubscribed)
        async with store.listen("topic") as rings:
            await store.ring("topic")
            await asyncio.wait_for(anext(rings), PATIENCE_S)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_redis_goes_and_comes_back(own_server: RedisServer, how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with opened(own_server.url) as store, store.listen("topic") as rings:
        await store.put("key", b"value", ttl_s=100)
        await asyncio.to_thread(own_server.kill if how == "killed" else own_server.stop)

        for n in range(1, 20):
            assert await store.get("key") is None
            await store.put("key", b"value", ttl_s=100)
            await store.forget("key")
            assert await store.count("key", window_s=100) == n  # alone
        await store.ring("topic")
        await asyncio.wait_for(anext(rings), PATIENCE_S)  # who is in the same process is woken all the same
        async with store.listen("another") as others:
            await asyncio.to_thread(own_server.start)

            async def cached() -> bool:
                await store.put("key", b"new", ttl_s=100)
                return await store.get("key") == b"new"

            await until(cached)
            for waiting in (rings, others):  # rings may have been missed: whoever listens looks once
                await asyncio.wait_for(anext(waiting), PATIENCE_S)
            async with opened(own_server.url) as other:
                await other.ring("topic")
                await asyncio.wait_for(anext(rings), PATIENCE_S)
                await other.ring("another")
                await asyncio.wait_for(anext(others), PATIENCE_S)
            assert await store.count("key", window_s=100) == 1
    told = [record.getMessage() for record in caplog.records if record.name.startswith("penstock_kit")]
    assert len(told) == 2
    assert "cannot be used" in told[0]
    assert "can be used again" in told[1]


async def test_redis_that_hangs_holds_nobody_up_for_long(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        await store.put("key", b"value", ttl_s=100)
        own_server.pause()
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(1_000):  # a wait for each would take minutes
                assert await store.get("key") is None
            await store.ring("topic")
            async with store.listen("topic") as rings:
                await store.ring("topic")
                await anext(rings)
        own_server.resume()

        async def back() -> bool:
            return await store.get("key") == b"value"

        await until(back)
        async with opened(own_server.url) as other, store.listen("topic") as rings:
            await other.ring("topic")
            await asyncio.wait_for(anext(rings), PATIENCE_S)


async def test_a_connection_that_hangs_is_given_up(own_server: RedisServer) -> None:
    """Nobody calls: those who only listen notice by themselves, and are woken when Redis goes on."""
    async with opened(own_server.url) as store, store.listen("topic") as rings:
        own_server.pause()
        waiting = asyncio.ensure_future(anext(rings))
        await asyncio.sleep(5)
        own_server.resume()
        await asyncio.wait_for(waiting, PATIENCE_S)


async def test_no_room(own_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(own_server.url) as store, Redis.from_url(own_server.url, protocol=2) as client:
        await store.put("key", b"value", ttl_s=100)
        await client.config_set("maxmemory", "1mb")
        await client.config_set("maxmemory-policy", "noeviction")
        for _ in range(10):
            await store.put("big", bytes(1_000_000), ttl_s=100)
        assert await store.get("big") is None
        assert await store.get("key") == b"value"


async def test_closing_ends_those_who_listen(url: str) -> None:
    store = await RedisHotStore.open(url, ManualClock())
    async with store.listen("topic") as rings:
        waiting = asyncio.ensure_future(anext(rings, "ended"))
        await asyncio.sleep(0)
        await store.close()
        assert await waiting == "ended"


async def refusal(url: str) -> StoreError:
    with pytest.raises(StoreError) as error:
        await RedisHotStore.open(url, SystemClock())
    assert SECRET not in str(error.value)
    return error.value


async def test_nobody_listens(unused_tcp_port: int) -> None:
    error = await refusal(f"redis://:{SECRET}@127.0.0.1:{unused_tcp_port}/0")
    assert isinstance(error, StoreUnavailable)
    assert str(error) == (
        f"redis://127.0.0.1:{unused_tcp_port}/0 cannot be reached. "
        "Start Redis there, or correct the address; rediss:// where it wants TLS."
    )


async def test_wrong_credentials(redis_server: RedisServer, tmp_path: Path) -> None:
    with RedisServer(tmp_path, password=SECRET) as server:
        async with opened(server.url) as store:
            await store.put("key", b"value", ttl_s=100)
            assert await store.get("key") == b"value"
        for wrong in (f":not-{SECRET}@", f"ada:{SECRET}@", ""):
            error = await refusal(f"redis://{wrong}127.0.0.1:{server.port}/0")
            assert isinstance(error, StoreMisconfigured)
            assert error.reason == "refuses the credentials"


async def test_something_else_listens() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await refusal(f"redis://127.0.0.1:{port}/0")
    assert isinstance(error, StoreMisconfigured)
    assert error.reason == "is no Redis server"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/0", "redis://127.0.0.1:port/0", "127.0.0.1:6379", ""])
async def test_a_url_of_something_else(url: str) -> None:
    assert isinstance(await refusal(url), StoreMisconfigured)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"redis://:{SECRET}/@127.0.0.1:1/0", "percent-encode"),
        (f"redis://:{SECRET}#@127.0.0.1:1/0", "percent-encode"),
        (f"redis://:{SECRET}@[::1/0", "percent-encode"),
        (f"redis://:{SECRET}@127.0.0.1:1/penstock", "number of a database"),
        (f"redis://:{SECRET}@127.0.0.1:1/0#1", "number of a database"),
        (f"redis://:{SECRET}@127.0.0.1:1/0?socket_timeout={SECRET}", "Invalid value for 'socket_timeout'"),
        (f"redis://:{SECRET}@127.0.0.1:1/0?{SECRET}=1", "options that do not exist"),
    ],
)
async def test_a_url_that_was_not_written_well(url: str, reason: str) -> None:
    error = await refusal(url)
    assert isinstance(error, StoreMisconfigured)
    assert reason in error.reason
