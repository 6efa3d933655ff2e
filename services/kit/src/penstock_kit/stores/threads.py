"""Waiting for work in threads, which cannot be cancelled."""

import asyncio
import contextlib
from typing import TypeVar

__all__ = ["settled"]

T = TypeVar("T")


async def settled(running: asyncio.Future[T]) -> T:
    """Returns the result of work in a thread. When cancelled, waits for its end first: what it uses is closed after that."""
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
