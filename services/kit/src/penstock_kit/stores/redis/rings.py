"""Owns the bells on Redis: one connection on which all topics are heard, and one task that rings.

Ringing never waits for Redis. Whoever listens is woken after every gap in the connection, because a ring may have been
missed in it; and by rings of this process alone while Redis is not there.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from penstock_kit.stores.redis.link import CALL_TIMEOUT_S, RedisLink

__all__ = ["RedisRings"]

PING_INTERVAL_S: Final = 2.0  # of silence; after as long again without an answer the connection is given up
RECONNECT_PAUSE_S_MIN: Final = 0.1
RECONNECT_PAUSE_S_MAX: Final = 2.0
TOPICS_PER_PIPELINE_MAX: Final = 1_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Topic:
    listeners: set[asyncio.Event] = field(default_factory=set)
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # Redis confirmed the subscription on this connection
    missed: bool = False  # there was a time without subscription since somebody listens


class RedisRings:
    """Rings and listens. `start` before use, `close` afterwards.

    Args:
        link: The Redis. Not closed here.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._prefix = f"penstock:{link.database}:"  # channels know no databases
        self._topics: dict[str, _Topic] = {}
        self._pubsub: PubSub | None = None
        self._waiting: set[str] = set()
        self._rung = asyncio.Event()
        self._connected = asyncio.Event()  # for the first time
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts its tasks, and returns when they listen; soon in any case."""
        self._tasks = [
            asyncio.create_task(self._keep_listening(), name="redis listening"),
            asyncio.create_task(self._keep_ringing(), name="redis ringing"),
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self._connected.wait()

    def ring(self, topic: str) -> None:
        """Rings soon. A topic that waits to be rung is rung once."""
        self._waiting.add(topic)
        self._rung.set()

    @contextlib.asynccontextmanager
    async def listen(self, topic: str) -> AsyncGenerator[AsyncIterator[None]]:
        """See `HotStore.listen`. The iteration ends when this is closed."""
        event = asyncio.Event()
        known = self._topics.setdefault(topic, _Topic())
        known.listeners.add(event)
        try:
            await self._subscribe(topic, known)
            yield self._heard(event)
        finally:
            known.listeners.discard(event)  # the subscription ends in `_sweep`: soon somebody may look again
            if self._pubsub is None:
                self._forget_idle()

    async def close(self) -> None:
        """Ends its tasks and all iterations."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._wake([*self._topics])

    async def _heard(self, event: asyncio.Event) -> AsyncIterator[None]:
        while True:
            await event.wait()
            if self._closed:
                return
            event.clear()
            yield

    async def _subscribe(self, topic: str, known: _Topic) -> None:
        """Returns when the topic is heard; at once if Redis is not there."""
        pubsub = self._pubsub
        if pubsub is None:
            known.missed = True
            return
        if known.heard.is_set():
            return
        with contextlib.suppress(RedisError, OSError):  # who reads there meets the same and connects anew
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await pubsub.subscribe(self._prefix + topic)
                await known.heard.wait()

    async def _keep_listening(self) -> None:
        pause_s = RECONNECT_PAUSE_S_MIN
        while True:
            started_s = time.monotonic()
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                self._link.lost(error)
            except Exception:
                _log.exception("listening on Redis failed")
            if time.monotonic() - started_s > RECONNECT_PAUSE_S_MAX:
                pause_s = RECONNECT_PAUSE_S_MIN
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, RECONNECT_PAUSE_S_MAX)

    async def _listen_once(self) -> None:
        """Listens on one connection, to its end. Never returns; raises what ended it."""
        async with self._link.client.pubsub() as pubsub:
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    await pubsub.connect()
                    self._pubsub = pubsub  # from here on new topics are subscribed to by those who listen
                    # The bare prefix is nobody's topic: with it there is always a subscription.
                    await pubsub.subscribe(self._prefix, *(self._prefix + topic for topic in self._topics))
                self._link.found()
                self._connected.set()
                await self._read(pubsub)
            finally:
                self._pubsub = None
                self._forget_idle()
                for topic in self._topics.values():
                    topic.heard.clear()
                    topic.missed = True

    async def _read(self, pubsub: PubSub) -> None:
        pinged = False
        swept_s = time.monotonic()
        while True:
            message = await pubsub.get_message(timeout=PING_INTERVAL_S)
            if message is not None:
                pinged = False
                self._take(message)
            elif pinged:
                raise RedisConnectionError("no answer to a ping")
            else:
                pinged = True
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    await pubsub.ping()
            if time.monotonic() - swept_s > PING_INTERVAL_S:
                swept_s = time.monotonic()
                await self._sweep(pubsub)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] not in ("subscribe", "message"):
            return
        name = message["channel"].decode().removeprefix(self._prefix)
        topic = self._topics.get(name)
        if topic is None:
            return
        if message["type"] == "message" or topic.missed:
            self._wake([name])
        if message["type"] == "subscribe":
            topic.heard.set()
            topic.missed = False

    async def _sweep(self, pubsub: PubSub) -> None:
        """Ends the subscriptions to topics that nobody listens to."""
        if idle := self._forget_idle():
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await pubsub.unsubscribe(*(self._prefix + name for name in idle))

    def _forget_idle(self) -> list[str]:
        idle = [name for name, topic in self._topics.items() if not topic.listeners]
        for name in idle:
            del self._topics[name]
        return idle

    async def _keep_ringing(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            while self._waiting:
                topics = [self._waiting.pop() for _ in range(min(len(self._waiting), TOPICS_PER_PIPELINE_MAX))]
                if await self._link.ask(lambda topics=topics: self._publish(topics)) is None:
                    self._wake(topics)

    async def _publish(self, topics: list[str]) -> bool:
        async with self._link.client.pipeline(transaction=False) as pipeline:
            for topic in topics:
                pipeline.publish(self._prefix + topic, b"")
            await pipeline.execute()
        return True

    def _wake(self, topics: list[str]) -> None:
        for name in topics:
            if (topic := self._topics.get(name)) is not None:
                for event in topic.listeners:
                    event.set()
