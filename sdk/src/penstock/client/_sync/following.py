# Generated from _async/following.py by deploy/tools/unasync.py. Change that one.
"""Following a stream over the absence of its server."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from penstock.client.runtime_sync import Stream, sleep
from penstock.errors import ServerUnavailable

__all__ = ["SILENCE_S", "following"]

SILENCE_S = 30.0
"""A server that says nothing on a stream for so long counts as gone. It sends a sign of life every ten seconds."""
RETURN_S = 60.0
"""For how long a watcher waits for a server that went away."""
PAUSE_S = 1.0
"""The pause between its attempts, varied by half."""

T = TypeVar("T")


def following(begin: Callable[[], Stream[T]], *, ends: bool) -> Stream[T]:
    """Yields what a stream yields, and begins it anew when its server went away for less than a minute.

    Args:
        begin: Begins the stream, from where the caller is by then.
        ends: Whether the stream has an end of its own. If not, one that ended is begun anew.

    Raises:
        ServerUnavailable: The server went away and did not return.
    """
    gone_s: float | None = None
    while True:
        responses = begin()
        try:
            for response in responses:
                gone_s = None
                yield response
            if ends:
                return
        except ServerUnavailable:
            now_s = time.monotonic()
            gone_s = now_s if gone_s is None else gone_s
            if now_s - gone_s > RETURN_S:
                raise
        finally:
            responses.close()
        sleep(PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, keeps no secret
