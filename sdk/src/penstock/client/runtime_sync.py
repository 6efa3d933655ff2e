"""What the synchronous client does differently from the asynchronous one: channel, lock, sleep, threads, streams.

`runtime_async` has the same names. The clients' common source uses these and nothing else of threads.
"""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from typing import Any, ParamSpec, TypeAlias, TypeVar

import grpc

__all__ = ["Cancelled", "Lock", "SilenceGuard", "Stream", "in_thread", "open_channel", "sleep"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

Stream: TypeAlias = Generator[_R, None, None]
Cancelled = CancelledError
"""What waiting for a call raises after it was cancelled here."""
Lock = threading.Lock
sleep = time.sleep


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, str | int]]
) -> Any:
    """A channel that connects at the first call. Without credentials it is in clear."""
    if credentials is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, credentials, options=options)


def in_thread(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Calls something that blocks."""
    return function(*args, **kwargs)


class SilenceGuard:
    """Cancels a stream that has been silent for too long while its reader waited; at the latest after twice that time.

    Args:
        silence_s: How long a stream may be silent.
        cancel: Cancels the stream.
    """

    def __init__(self, silence_s: float, cancel: Callable[[], object]) -> None:
        self._silence_s = silence_s
        self._cancel = cancel
        self._deadline_s: float | None = None
        self._over = threading.Event()
        self.expired = False
        threading.Thread(target=self._watch, name="penstock-silence", daemon=True).start()

    def waiting(self) -> None:
        """The reader waits for the stream: counts from now."""
        self._deadline_s = time.monotonic() + self._silence_s

    def heard(self) -> None:
        """The stream said something, and the reader is busy with it: does not count."""
        self._deadline_s = None

    def stop(self) -> None:
        """The stream is over."""
        self._over.set()

    def _watch(self) -> None:
        # The reader only moves the deadline; this thread looks again when the one it knew has passed.
        pause_s = self._silence_s
        while not self._over.wait(pause_s):
            deadline_s = self._deadline_s
            pause_s = self._silence_s if deadline_s is None else deadline_s - time.monotonic()
            if pause_s <= 0:
                self.expired = True
                self._cancel()
                return
