"""Owns SQLite files: how they are created, checked, written by one thread and read by several. Knows no tables.

Writes are functions of a connection. The writer thread takes all that wait, runs each in its own savepoint and commits
them together, so that one fsync serves every caller who waited. While it syncs, the next group gathers: there is no
timer.
"""

import asyncio
import contextlib
import errno
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from penstock_kit.stores.errors import StoreClosed

__all__ = [
    "Schema",
    "SqliteFile",
    "StoreClosed",
    "StoreFileBusy",
    "StoreFileDamaged",
    "StoreFileError",
    "StoreFileNewer",
]

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5_000  # how long another process may hold the write lock
READERS = 4  # threads, each with a connection of its own
WRITES_PER_COMMIT_MAX = 4_096  # bounds how long the first of a group waits for the last
CACHE_KIB = 8_192  # pages that the writer keeps in memory
WAL_BYTES_MAX = 67_108_864  # the log is cut back to this after a checkpoint

_MAGIC = b"SQLite format 3\0"
_OF_ONE_WRITE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_MISUSE,
    }
)
"""Codes that say something of a statement, and nothing of the transaction it is in."""


class StoreFileError(Exception):
    """A store file cannot be used. The message says which one and why."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class StoreFileDamaged(StoreFileError):
    """The file is not a SQLite database, is one of something else, or its pages are broken."""


class StoreFileNewer(StoreFileError):
    """A newer version of Penstock wrote the file. It is left as it is."""


class StoreFileBusy(StoreFileError):
    """Another process held the write lock for longer than `BUSY_TIMEOUT_MS`."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file must hold.

    Attributes:
        application_id: Marks the kind of the file, 32 bit, not 0.
        migrations: The statements that lead from each version to the next, from an empty file on. Only ever grows.
        page_size: Bytes, a power of two. Holds for new files.
        checkpoint_pages: The writer moves the write-ahead log into the file when it has this many pages.
    """

    application_id: int
    migrations: tuple[tuple[str, ...], ...]
    page_size: int = 4_096
    checkpoint_pages: int = 1_000

    @property
    def version(self) -> int:
        """The version that this program writes, from 1."""
        return len(self.migrations)


@dataclass(frozen=True, slots=True)
class _Write:
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    error: Exception | None = None


class SqliteFile:
    """One SQLite file in WAL mode with full sync: a write that returned survives the loss of power.

    Made by `open`. May be used from any event loop; a call returns in the loop that made it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._writer = connection
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._idle_readers: deque[sqlite3.Connection] = deque()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"read-{path.name}")
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"write-{path.name}", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> Self:
        """Opens a file, made (mode 0600) with its folder (0700) if need be, and brings it to the schema's version.

        Raises `StoreFileDamaged`, `StoreFileNewer`, `StoreFileBusy`; `StoreFileError` where the system does not let it.
        """
        try:
            return cls(path, await asyncio.to_thread(_prepare, path, schema))
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}. Let this user read and write it, or choose another path."
            raise StoreFileError(path, problem) from error

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in the writer thread and returns its result once it is durable.

        `work` must be repeatable: it may run again after a rollback. What it raises is raised here, and nothing of it
        is kept. Raises `OSError` (ENOSPC where the medium is full), `StoreFileError`, `StoreClosed`.
        """
        if self._closed:
            raise StoreClosed(f"{self._path} is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writes.put(_Write(work, loop, future))
        return await future

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a reader thread, on one snapshot that holds every write that returned before.

        Raises what `work` raises, `OSError`, `StoreFileError`, `StoreClosed`.
        """
        if self._closed:
            raise StoreClosed(f"{self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finishes the writes that wait, then releases the file."""
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._thread.join()
        self._readers.shutdown()
        while self._idle_readers:
            self._idle_readers.pop().close()
        # Last, because the last connection to leave moves the log into the file and removes it.
        self._writer.close()

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            connection = _connect_reader(self._path)
        try:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _translated(self._path, error) from error
        finally:
            self._idle_readers.append(connection)

    def _run(self) -> None:
        last = False
        while not last:
            first = self._writes.get()
            if first is None:
                return
            group = [first]
            while len(group) < WRITES_PER_COMMIT_MAX:
                try:
                    write = self._writes.get_nowait()
                except queue.Empty:
                    break
                if write is None:
                    last = True
                    break
                group.append(write)
            _deliver(group, self._commit(group))

    def _commit(self, group: Sequence[_Write]) -> list[_Outcome]:
        try:
            return self._commit_together(group)
        except sqlite3.Error as error:
            if len(group) > 1 and _primary_code(error) == sqlite3.SQLITE_FULL:
                # A large one may have taken the last page: each alone, so that only those suffer that do not fit.
                return [outcome for write in group for outcome in self._commit([write])]
            return [_Outcome(error=_translated(self._path, error)) for _ in group]

    def _commit_together(self, group: Sequence[_Write]) -> list[_Outcome]:
        connection = self._writer
        outcomes: list[_Outcome] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for write in group:
                connection.execute("SAVEPOINT one")
                try:
                    outcomes.append(_Outcome(value=write.work(connection)))
                except sqlite3.Error as error:
                    if not connection.in_transaction or _primary_code(error) not in _OF_ONE_WRITE:
                        raise
                    connection.execute("ROLLBACK TO one")
                    outcomes.append(_Outcome(error=_translated(self._path, error)))
                except Exception as error:
                    connection.execute("ROLLBACK TO one")
                    outcomes.append(_Outcome(error=error))
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes


def _deliver(group: Sequence[_Write], outcomes: Sequence[_Outcome]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Outcome]]] = {}
    for write, outcome in zip(group, outcomes, strict=True):
        by_loop.setdefault(write.loop, []).append((write.future, outcome))
    for loop, settled in by_loop.items():
        # A loop that is gone has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[asyncio.Future[Any], _Outcome]]) -> None:
    for future, outcome in settled:
        if future.done():  # the caller was cancelled
            continue
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.value)


def _prepare(path: Path, schema: Schema) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Created here, because SQLite gives -wal and -shm the mode of the file, and the umask could open it to others.
    if path.exists() and not path.is_file():
        raise StoreFileDamaged(path, "is not a file. Choose another path.")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # SQLite takes a very short file for an empty one, and would write over it.
        if os.read(descriptor, len(_MAGIC)) not in (b"", _MAGIC):
            raise StoreFileDamaged(path, "is not a SQLite database.")
    finally:
        os.close(descriptor)
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        _configure(path, connection, schema)
        _migrate(path, connection, schema)
    except sqlite3.Error as error:
        connection.close()
        raise _translated(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
    # One snapshot: between two reads another process may create the same file.
    connection.execute("BEGIN")
    found = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    connection.execute("COMMIT")
    if found != schema.application_id and (found or version or tables):
        raise StoreFileDamaged(path, "is a SQLite database, but not of this kind of store.")
    if version > schema.version:
        raise StoreFileNewer(
            path,
            f"has schema version {version}; this program knows {schema.version}. Use the newer version of Penstock.",
        )
    connection.execute(f"PRAGMA page_size = {schema.page_size}")
    if _pragma(connection, "journal_mode = WAL") != "wal":
        raise StoreFileError(path, "cannot have a write-ahead log. It must be on a local disk.")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {schema.checkpoint_pages}")


def _migrate(path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may have been quicker.
        version = _pragma(connection, "user_version")
        if version > schema.version:
            raise StoreFileNewer(path, f"was just brought to schema version {version} by another process.")
        for statements in schema.migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < schema.version:
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect_reader(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )


def _pragma(connection: sqlite3.Connection, pragma: str) -> Any:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _primary_code(error: sqlite3.Error) -> int:
    # Errors of the driver itself, such as the use of a closed connection, carry no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _translated(path: Path, error: sqlite3.Error) -> Exception:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreFileDamaged(path, "is not a SQLite database, or it is damaged.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreFileBusy(path, "is in use by another process.")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    return StoreFileError(path, "refused a statement.")
