"""Owns the way to MongoDB: what a URL must lead to, the two drivers, transactions with their repeats, what errors mean.

Everything that is written is on the journals of a majority of the replica set when a call returns, and everything that is
read was: the URL cannot weaken that. Reads go to the primary. One that was deposed and does not know yet may answer from
before, for as long as an election takes.
"""

import asyncio
import contextlib
import errno
import inspect
import itertools
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Self, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from penstock_kit.stores.errors import StoreClosed, StoreError, StoreMisconfigured, StoreUnavailable
from penstock_kit.stores.mongo import MongoDriver

__all__ = ["DuplicateKey", "MongoConnection"]

T = TypeVar("T")

CALL_TIMEOUT_MS: Final = (
    10_000  # of one command, the driver's own repeats included; the URL may say otherwise: `timeoutMS`
)
SELECTION_TIMEOUT_MS: Final = 5_000  # to wait for a primary; the URL may say otherwise: `serverSelectionTimeoutMS`
PROBE_TIMEOUT_S: Final = 2.0  # to find out what listens at an address
TRANSACTION_TIMEOUT_S: Final = 30.0  # of a write with all its repeats
ABANDONED_S: Final = 2.0  # a transaction whose client was silent for so long is ended by those whom it holds up
BACKOFF_FIRST_S: Final = 0.002
BACKOFF_MAX_S: Final = 0.2
APP_NAME_CHARS_MAX: Final = 128
WIRE_VERSION_MIN: Final = 13  # MongoDB 5.0: reads at a snapshot

_DEFAULTS: Final = {
    "timeoutMS": CALL_TIMEOUT_MS,
    "serverSelectionTimeoutMS": SELECTION_TIMEOUT_MS,
}
_MAJORITY = WriteConcern("majority", j=True)
_TRANSIENT = "TransientTransactionError"
_UNKNOWN_COMMIT = "UnknownTransactionCommitResult"

_DUPLICATE_KEY = 11000
_NOT_ALLOWED = frozenset({13, 18})  # Unauthorized, AuthenticationFailed
_NO_ROOM = frozenset({14031, 12501})  # OutOfDiskSpace, quota exceeded


class DuplicateKey(Exception):
    """A write met a key that a unique index has already."""


class MongoConnection:
    """One database of a replica set, through one driver. Made by `open`.

    Attributes:
        database: The driver's database object. Both drivers' have the same calls, but for those that this class has.
    """

    def __init__(self, client: Any, name: str, app_name: str, shown: str) -> None:
        self._client = client
        self._app_name = app_name
        self._shown = shown
        self._closed = False
        self.database: Any = client.get_database(
            name, read_preference=ReadPreference.PRIMARY, write_concern=_MAJORITY, read_concern=ReadConcern("majority")
        )

    @classmethod
    async def open(cls, url: str, driver: MongoDriver = "motor") -> Self:
        """Connects, and checks that what is there will do.

        Args:
            url: `mongodb://host:port/database?options`. The database is for this store alone.
            driver: Which driver.

        Raises:
            StoreUnavailable: Nothing answers there, or the replica set has no primary.
            StoreMisconfigured: The URL is wrong, it leads to something else than a replica set of MongoDB 5.0 or newer,
                or the credentials do not allow its use.
        """
        seeds, name, options = await _parsed(url)
        shown = f"mongodb://{','.join(f'{host}:{port}' for host, port in seeds)}/{name}"
        await _probe(seeds, options, shown)
        arguments: dict[str, Any] = {name: value for name, value in _DEFAULTS.items() if name.lower() not in options}
        # The database in it tells whose transactions are whose.
        arguments["appName"] = app_name = options.get("appname", f"penstock {name}"[:APP_NAME_CHARS_MAX])
        client: Any
        if driver == "motor":
            client = AsyncIOMotorClient(url, io_loop=asyncio.get_running_loop(), **arguments)
        else:
            client = AsyncMongoClient(url, **arguments)
        connection = cls(client, name, app_name, shown)
        try:
            with connection.translated():
                # `hello` and `ping` are answered to anybody: this is the least that needs the credentials.
                await connection.database.command("listCollections", nameOnly=True, filter={"name": ""})
        except BaseException:
            await connection.close()
            raise
        return connection

    async def transaction(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Runs `work` with the session of a transaction, commits, and returns its result once it is durable.

        All that `work` reads is of one moment. It is run again from the start when another transaction was quicker or
        the primary changed, so it must leave no traces outside. What it raises is raised here, and nothing is kept. It is
        committed even if it wrote nothing: so what it read is durable too.

        Raises `DuplicateKey`, `OSError` (ENOSPC where there is no room), `StoreError`.
        """
        start = time.monotonic()
        give_up, look_at_others = start + TRANSACTION_TIMEOUT_S, start + ABANDONED_S
        with self.translated():
            for attempt in itertools.count():
                try:
                    return await self._transact(work, give_up)
                except PyMongoError as error:
                    if not error.has_error_label(_TRANSIENT) or time.monotonic() >= give_up:
                        raise
                if time.monotonic() >= look_at_others:
                    await self._end_abandoned()
                    look_at_others += ABANDONED_S
                await _back_off(attempt)
        raise AssertionError

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Any]:
        """Gives a session whose reads are all of one moment: every write that returned before is in it."""
        session = await _settled(self._client.start_session(snapshot=True))
        async with session:
            yield session

    @contextlib.contextmanager
    def translated(self) -> Generator[None]:
        """Turns errors of the driver into those of the stores. Raises `StoreClosed` after `close`."""
        if self._closed:
            raise StoreClosed(f"{self._shown} is closed")
        try:
            yield
        except PyMongoError as error:
            raise self._translation(error) from error

    async def close(self) -> None:
        """Closes the connections."""
        if self._closed:
            return
        self._closed = True
        if inspect.iscoroutinefunction(self._client.close):
            await self._client.close()
        else:
            # Motor says goodbye to the server in the calling thread.
            await asyncio.to_thread(self._client.close)

    async def _transact(self, work: Callable[[Any], Awaitable[T]], give_up: float) -> T:
        session = await _settled(self._client.start_session())
        async with session:
            await _settled(
                session.start_transaction(
                    read_concern=ReadConcern("snapshot"),
                    write_concern=_MAJORITY,
                    read_preference=ReadPreference.PRIMARY,
                )
            )
            try:
                result = await work(session)
            except BaseException:
                # Leaving the block would do it too, but Motor would hold the event loop up meanwhile.
                await session.abort_transaction()
                raise
            for attempt in itertools.count():
                try:
                    await session.commit_transaction()
                except PyMongoError as error:
                    # A commit may be repeated: it happens once.
                    if not error.has_error_label(_UNKNOWN_COMMIT) or time.monotonic() >= give_up:
                        raise
                    await _back_off(attempt)
                else:
                    return result
        raise AssertionError

    async def _end_abandoned(self) -> None:
        """Ends transactions on this database whose client died.

        The server notices no death and keeps their locks for a minute. Where a client only was slow, it starts again.
        """
        silent = [
            {"$currentOp": {"idleSessions": True}},
            {
                "$match": {
                    "type": "idleSession",
                    "appName": self._app_name,
                    "transaction.timeInactiveMicros": {"$gte": int(ABANDONED_S * 1_000_000)},
                }
            },
        ]
        found = await _settled(self._client.admin.aggregate(silent))
        sessions = [{"id": operation["lsid"]["id"]} async for operation in found]
        if sessions:
            await self._client.admin.command("killSessions", sessions)

    def _translation(self, error: PyMongoError) -> Exception:
        codes = _codes(error)
        if _DUPLICATE_KEY in codes:
            return DuplicateKey()
        if codes & _NO_ROOM:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._shown)
        if codes & _NOT_ALLOWED:
            return StoreMisconfigured(
                self._shown,
                "refuses the credentials",
                "Check user, password and authSource in the URL, and that the user has the role readWrite on the database.",
            )
        if isinstance(error, ServerSelectionTimeoutError):
            return StoreUnavailable(
                self._shown, "has no primary that answers", "Check that a majority of the replica set is up."
            )
        if error.has_error_label(_UNKNOWN_COMMIT):
            return StoreUnavailable(
                self._shown,
                "did not confirm a write in time",
                "It may have happened or not: read before you repeat it.",
            )
        if isinstance(error, ConnectionFailure) or error.timeout or error.has_error_label(_TRANSIENT):
            return StoreUnavailable(
                self._shown, "does not answer in time", "Try again, and look at its log and its load."
            )
        return StoreError(self._shown, "refused a command", "The server's log tells more.")


async def _parsed(url: str) -> tuple[list[tuple[str, int]], str, Mapping[str, Any]]:
    """Returns hosts and ports, the database, and the options under their names in lower case."""
    try:
        parsed = await asyncio.to_thread(parse_uri, url)  # in a thread: mongodb+srv asks the name service
    except (ConfigurationError, ValueError, OSError) as error:  # the last of files for TLS
        raise StoreMisconfigured(
            "The URL of the MongoDB store",
            f"cannot be used: {error}",
            "It looks like mongodb://user:password@host:27017/database?replicaSet=rs0.",
        ) from None
    seeds = [(str(host), int(port or 0)) for host, port in parsed["nodelist"]]
    if not parsed["database"]:
        raise StoreMisconfigured(
            "The URL of the MongoDB store",
            "names no database",
            "Give each service one of its own: mongodb://host:27017/penstock_tracking.",
        )
    return seeds, parsed["database"], {name.lower(): value for name, value in parsed["options"].items()}


async def _probe(seeds: list[tuple[str, int]], options: Mapping[str, Any], shown: str) -> None:
    """Asks the first host that answers what it is. Raises `StoreUnavailable`, `StoreMisconfigured`."""
    listening = answered = False
    for host, port in seeds:
        if not host.endswith(".sock") and not await _listens(host, port):
            continue
        listening = True
        tls = {key: value for key, value in options.items() if key.startswith(("tls", "ssl"))}
        client: Any = AsyncMongoClient(
            host,
            port or None,
            directConnection=True,
            serverSelectionTimeoutMS=int(PROBE_TIMEOUT_S * 1000),
            timeoutMS=int(PROBE_TIMEOUT_S * 1000),
            **tls,
        )
        try:
            hello = await client.admin.command("hello")
        except PyMongoError:
            # The driver remembers what went wrong. A server that keeps silent is frozen, or waits for another protocol.
            described = client.topology_description.server_descriptions().values()
            if not answered:
                answered = any(server.error is not None for server in described) or await _speaks(host, port)
            continue
        finally:
            await client.close()
        _check_kind(hello, options, shown)
        return
    if listening and not answered:
        raise StoreUnavailable(
            shown,
            f"takes connections, but says nothing for {PROBE_TIMEOUT_S:g} s",
            "Look whether mongod there is stopped or overloaded, or whether something else has the port.",
        )
    if listening:
        raise StoreMisconfigured(
            shown,
            "is no MongoDB server, or TLS is wanted on one side only",
            "Correct the address, or add tls=true to the URL or take it away.",
        )
    raise StoreUnavailable(shown, "cannot be reached", "Start mongod there, or correct the address.")


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # a timeout is one
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def _speaks(host: str, port: int) -> bool:
    """Whether a server says something to a line of text, as those of Redis, HTTP, SMTP do, and mongod does not."""
    if host.endswith(".sock"):
        return False
    with contextlib.suppress(OSError):
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n\r\n")
                return bool(await reader.read(1))
            finally:
                writer.close()
    return False


def _check_kind(hello: Mapping[str, Any], options: Mapping[str, Any], shown: str) -> None:
    if hello["maxWireVersion"] < WIRE_VERSION_MIN:
        raise StoreMisconfigured(shown, "is older than MongoDB 5.0", "Use 5.0 or newer.")
    if hello.get("isreplicaset"):
        raise StoreMisconfigured(
            shown, "is of a replica set that was not initiated", "Run rs.initiate() in mongosh once."
        )
    if "setName" not in hello and hello.get("msg") != "isdbgrid":  # which is what the router of a sharded cluster says
        raise StoreMisconfigured(
            shown,
            "is a standalone mongod, which has no transactions",
            "Start it with --replSet rs0 and run rs.initiate() in mongosh once: a replica set may have one node.",
        )
    wanted = options.get("replicaset")
    if wanted and hello.get("setName", wanted) != wanted:
        raise StoreMisconfigured(
            shown,
            f"is of the replica set {hello['setName']!r}, not {wanted!r}",
            "Correct replicaSet in the URL, or the address.",
        )


async def _settled(value: Any) -> Any:
    """Awaits what one driver returns as a coroutine and the other does not: the whole difference between the two."""
    return await value if inspect.isawaitable(value) else value


async def _back_off(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**attempt)))  # noqa: S311 - no secret


def _codes(error: PyMongoError) -> set[int]:
    if isinstance(error, BulkWriteError):
        failures = error.details.get("writeErrors", [])
        return {failure["code"] for failure in failures} | {error.code or 0}
    return {error.code} if isinstance(error, OperationFailure) and error.code else set()
