"""Owns the connections to one Redis: how they are opened, what errors mean, and what happens while it is not there.

Redis may be lost at any moment. A call never raises for it and never waits long: it does without. After one that failed,
the next second's calls do without at once. Loss and return are logged once each.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from penstock_kit.stores.errors import StoreError, StoreMisconfigured, StoreUnavailable

__all__ = ["RedisLink"]

T = TypeVar("T")

CALL_TIMEOUT_S: Final = 1.0  # of one call, waiting for a connection included
OPEN_TIMEOUT_S: Final = 5.0  # of the first
DOWN_PAUSE_S: Final = 1.0  # after a call that failed, until one is tried again
CONNECTIONS_MAX: Final = 32

_NOT_THERE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError)

_log = logging.getLogger(__name__)


class RedisLink:
    """One database of one Redis. Made by `open`.

    Attributes:
        client: The driver's client. It repeats nothing by itself.
        database: The number of the database.
    """

    def __init__(self, client: Redis, database: int, shown: str) -> None:
        self.client = client
        self.database = database
        self._shown = shown
        self._lost = False
        self._asked_again_s = 0.0

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connects, and checks that what is there will do.

        Args:
            url: `redis://user:password@host:port/number`, or `rediss://` for TLS.

        Raises:
            StoreUnavailable: Nothing answers there, or it is still reading its files.
            StoreMisconfigured: The URL is wrong, what is there is no Redis, or the credentials do not allow its use.
        """
        shown = _shown(url)
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS_MAX,
                timeout=None,  # every call has a timeout that counts the wait
                # The driver's own timeout goes through `wait_for`, which loses cancellations before Python 3.12.
                socket_timeout=None,
                socket_connect_timeout=OPEN_TIMEOUT_S,
                # A counter must not count twice, and connections that were cut are noticed before they are used.
                retry=Retry(NoBackoff(), 0, supported_errors=()),
                protocol=2,
                driver_info=None,
            )
        except ValueError as error:
            raise _misread(f"cannot be used: {error}") from None
        client: Redis = Redis.from_pool(pool)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await client.execute_command("PING")
        except TypeError:  # the driver's, for options that it does not know
            await client.aclose()
            raise _misread("has options that do not exist") from None
        except (RedisError, OSError) as error:
            await client.aclose()
            raise _translation(error, shown) from error
        except BaseException:
            await client.aclose()
            raise
        return cls(client, int(pool.connection_kwargs.get("db") or 0), shown)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Returns what a call returns, None if Redis is not there or refuses."""
        if time.monotonic() < self._asked_again_s:
            return None
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                result = await call()
        except (RedisError, OSError) as error:
            self.lost(error)
            return None
        self.found()
        return result

    def lost(self, error: BaseException) -> None:
        """Notes that a call failed."""
        if isinstance(error, _NOT_THERE):
            self._asked_again_s = time.monotonic() + DOWN_PAUSE_S
        if not self._lost:
            self._lost = True
            told = str(error) or type(error).__name__
            _log.warning("Redis %s cannot be used: going on without it (%s)", self._shown, told)

    def found(self) -> None:
        """Notes that a call succeeded."""
        if self._lost:
            self._lost = False
            _log.warning("Redis %s can be used again", self._shown)

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.aclose()


def _shown(url: str) -> str:
    """Returns a URL without what is secret. Raises `StoreMisconfigured` if it does not read as one."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # the driver would tell what stands there, which is a password that was not encoded
    except ValueError:
        raise _misread("cannot be read: percent-encode special characters in the password") from None
    database = parts.path.strip("/")
    if parts.fragment or (database and not database.isdecimal()):
        raise _misread("must end with the number of a database, or nothing")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _misread(reason: str) -> StoreMisconfigured:
    return StoreMisconfigured("The URL of the Redis store", reason, "It looks like redis://user:password@host:6379/0.")


def _translation(error: Exception, shown: str) -> StoreError:
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return StoreMisconfigured(
            shown, "refuses the credentials", "Check user and password in the URL, and what the user may do."
        )
    if isinstance(error, BusyLoadingError):
        return StoreUnavailable(shown, "is still reading its files", "Try again in a while.")
    if isinstance(error, InvalidResponse):
        return StoreMisconfigured(shown, "is no Redis server", "Correct the address.")
    if isinstance(error, ResponseError):
        return StoreMisconfigured(
            shown, f"refuses a command: {error}", "Use Redis 6.2 or newer, or one that speaks alike."
        )
    return StoreUnavailable(
        shown, "cannot be reached", "Start Redis there, or correct the address; rediss:// where it wants TLS."
    )
