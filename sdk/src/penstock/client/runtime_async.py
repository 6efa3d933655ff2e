"""What the asynchronous client does differently from the synchronous one: channel, lock, sleep, threads, streams.

`runtime_sync` has the same names. The clients' common source uses these and nothing else of asyncio.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar

import grpc

__all__ = ["Cancelled", "Lock", "SilenceGuard", "Stream", "in_thread", "open_channel", "sleep"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

Stream: TypeAlias = AsyncGenerator[_R, None]
Cancelled = asyncio.CancelledError
"""What reading from a stream raises after it was cancelled here."""
Lock = asyncio.Lock
sleep = asyncio.sleep


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, str | int]]
) -> Any:
    """A channel that connects at the first call. Without credentials it is in clear."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


async def in_thread(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Calls something that blocks, without holding up the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


class SilenceGuard:
    """Cancels a stream that has been silent for too long while its reader waited.

    Args:
        silence_s: How long a stream may be silent.
        cancel: Cancels the stream.
    """

    def __init__(self, silence_s: float, cancel: Callable[[], object]) -> None:
        self._silence_s = silence_s
        self._cancel = cancel
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def waiting(self) -> None:
        """The reader waits for the stream: counts from now."""
        self._timer = asyncio.get_running_loop().call_later(self._silence_s, self._expire)

    def heard(self) -> None:
        """The stream said something, and the reader is busy with it: does not count."""
        if self._timer is not None:
            self._timer.cancel()

    def stop(self) -> None:
        """The stream is over."""
        self.heard()

    def _expire(self) -> None:
        self.expired = True
        self._cancel()
