"""The hot store port: what is worth having quickly and may be lost at any moment. Nothing is ever only here."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

__all__ = ["HotStore"]


class HotStore(Protocol):
    """A cache, a bell and a counter. Losing it loses nothing: every caller can do without, only slower."""

    async def get(self, key: str) -> bytes | None:
        """Returns a cached value, None if there is none (any more)."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Caches a value for at most `ttl_s` seconds."""
        ...

    async def forget(self, key: str) -> None:
        """Drops a cached value."""
        ...

    async def ring(self, topic: str) -> None:
        """Wakes those who listen to a topic now. Says nothing but that something happened."""
        ...

    def listen(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yields after each ring of a topic, several rings being one. May miss some: poll as well."""
        ...

    async def count(self, key: str, *, window_s: float, amount: int = 1) -> int:
        """Adds to a counter, and returns its sum within the last `window_s` seconds, this amount included.

        An amount may be forgotten up to a tenth of the window late, never early.
        """
        ...

    async def close(self) -> None:
        """Releases connections. The store is not usable afterwards."""
        ...
