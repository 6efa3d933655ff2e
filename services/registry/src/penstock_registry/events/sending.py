"""Makes one attempt at a delivery. Owns the HTTP: no redirects, no proxies, bounded answers, bounded time."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore2

from penstock_kit.clock import Clock
from penstock_registry.errors import TargetForbidden
from penstock_registry.events.domain import DELIVERY_TIMEOUT_S, ERROR_CHARS_MAX, Attempt
from penstock_registry.events.guard import GuardedBackend, TargetGuard
from penstock_registry.events.requests import Request

__all__ = ["Sender", "Sent"]

ANSWER_BYTES_MAX: Final = 16_384  # of which only the beginning of a refusal is kept
CONNECTIONS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt, and the beginning of what was answered."""

    attempt: Attempt
    answer: str


class Sender:
    """Sends requests.

    Args:
        guard: Where they may go.
        clock: The time of attempts.
    """

    def __init__(self, guard: TargetGuard, clock: Clock) -> None:
        self._guard = guard
        self._clock = clock
        # Connections are not kept: each request goes where its host leads at that moment.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(guard),
        )

    async def send(self, request: Request) -> Sent:
        """Makes an attempt, which may fail, and says how it went. Raises nothing but cancellation."""
        time_us, started_s = self._clock.now_us(), time.monotonic()
        status, answer, error, retry_after_s = 0, "", "", None
        try:
            self._guard.check_url(request.url)
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                status, answer, retry_after = await self._post(request)
            answer = answer[:ERROR_CHARS_MAX]
            if not 200 <= status < 300:
                error = answer
                retry_after_s = _seconds(retry_after, time_us)
        except TargetForbidden as refusal:
            error = refusal.message
        except TimeoutError:
            error = f"No answer within {DELIVERY_TIMEOUT_S:.0f} s."
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, ssl.SSLError) as failure:
            # What these say is about the connection; they hold nothing of the request.
            error = f"{type(failure).__name__}: {failure}"[:ERROR_CHARS_MAX]
        except (ValueError, OSError) as failure:
            error = f"The request cannot be made: {type(failure).__name__}."
        duration_ms = round((time.monotonic() - started_s) * 1_000)
        return Sent(Attempt(time_us, duration_ms, status, error, retry_after_s), answer)

    async def close(self) -> None:
        """Closes what is open."""
        await self._pool.aclose()

    async def _post(self, request: Request) -> tuple[int, str, str]:
        """Returns the status, the beginning of the answer, and the header `retry-after`."""
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        async with self._pool.stream("POST", request.url, headers=headers, content=request.body) as response:
            answer = b""
            async for piece in response.aiter_stream():
                answer += piece
                if len(answer) > ANSWER_BYTES_MAX:
                    break
            return response.status, answer.decode(errors="replace"), _header(response.headers, b"retry-after")


def _header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


def _seconds(retry_after: str, now_us: int) -> float | None:
    """The header `retry-after` in seconds (RFC 9110, section 10.2.3), None if there is none that can be read."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now_us / 1_000_000, UTC)).total_seconds())
