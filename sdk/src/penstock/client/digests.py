"""The digests of files of this machine, made by several threads, and remembered for files that did not change.

A file is known by its path, size, times of change and inode. What is remembered is in `digests.sqlite` in the home folder.
Everything here blocks: the clients call it in threads.
"""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from penstock.config import home
from penstock.errors import InvalidInput

__all__ = ["Digest", "Digesting"]

AT_ONCE_MAX: Final = 4
PIECE_BYTES: Final = 1024 * 1024
STEP_S: Final = 0.2
SETTLED_S: Final = 2.0
"""A file that changed so recently may change again without a new time, which some file systems count in 2 s."""
KEPT_S: Final = 90 * 86_400
"""What nobody asked for so long is forgotten."""
BUSY_S: Final = 5.0
"""How long another process may hold the file of what is remembered."""
VARIABLES_PER_QUERY: Final = 500

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS digests (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sha256 TEXT, used_s INTEGER
) WITHOUT ROWID
"""


class Digest(NamedTuple):
    """SHA-256 of a file as 64 hex digits, and its size in bytes."""

    sha256: str
    size: int


class _State(NamedTuple):
    """By what a file is known to be as it was."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Digesting:
    """The digests of some files, being made. Used by one thread at a time.

    Args:
        files: The files.

    Attributes:
        bytes_done: The bytes that were read so far, or need not be.
        bytes_total: All of them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(dict.fromkeys(files))
        self._order = files
        self._found: dict[Path, Digest] = {}
        self._new: dict[Path, tuple[_State, str]] = {}
        self._running: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(min(AT_ONCE_MAX, os.cpu_count() or 1), thread_name_prefix="penstock-digests")
        self.bytes_done = self.bytes_total = 0

    @property
    def files_done(self) -> int:
        """How many files are done."""
        return len(self._found)

    def start(self) -> None:
        """Looks up what is remembered, and begins to read the others. Raises `InvalidInput` if there is no such file."""
        states = {file: _state(file) for file in self._files}
        self.bytes_total = sum(state.size for state in states.values())
        for file, sha256 in _recalled(states).items():
            self._found[file] = Digest(sha256, states[file].size)
            self.bytes_done += states[file].size
        self._running = {self._pool.submit(self._read, file) for file in self._files if file not in self._found}

    def step(self) -> bool:
        """Waits a little. Returns whether there is more to do. Raises `InvalidInput` if a file cannot be read."""
        done, self._running = wait(self._running, STEP_S)
        for future in done:
            future.result()
        if not self._running:
            _remember(self._new)
        return bool(self._running)

    def digests(self) -> list[Digest]:
        """The digests, in the order of the files."""
        return [self._found[file] for file in self._order]

    def close(self) -> None:
        """Gives up what is not done."""
        self._pool.shutdown(cancel_futures=True)

    def _read(self, file: Path) -> None:
        digest = hashlib.sha256()
        size = 0
        buffer = memoryview(bytearray(PIECE_BYTES))
        try:
            with file.open("rb", buffering=0) as opened:
                before = _state_of(os.fstat(opened.fileno()))
                while count := opened.readinto(buffer):
                    digest.update(buffer[:count])
                    size += count
                    with self._lock:
                        self.bytes_done += count
                unchanged = _state_of(os.fstat(opened.fileno())) == before
        except OSError as error:
            raise _unreadable(file, error) from error
        sha256 = digest.hexdigest()
        settled_ns = time.time_ns() - round(SETTLED_S * 1e9)
        with self._lock:
            self._found[file] = Digest(sha256, size)
            if unchanged and size == before.size and max(before.mtime_ns, before.ctime_ns) < settled_ns:
                self._new[file] = (before, sha256)


def _state(file: Path) -> _State:
    try:
        return _state_of(file.stat())
    except OSError as error:
        raise _unreadable(file, error) from error


def _state_of(status: os.stat_result) -> _State:
    return _State(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _unreadable(file: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"{file} cannot be read: {error.strerror}.")


def _recalled(states: Mapping[Path, _State]) -> dict[Path, str]:
    """The digests that are remembered of files as they are now."""
    found: dict[Path, str] = {}
    by_path = {str(file.absolute()): file for file in states}
    # Without what is remembered it only takes longer.
    with suppress(sqlite3.Error, OSError, UnicodeError), _database() as database:
        now_s = round(time.time())
        for paths in _some(list(by_path)):
            marks = ",".join("?" * len(paths))
            rows = database.execute(
                f"SELECT path, sha256, size, mtime_ns, ctime_ns, inode FROM digests WHERE path IN ({marks})",  # noqa: S608 - marks only
                paths,
            ).fetchall()
            hits = [(path, sha256) for path, sha256, *state in rows if states[by_path[path]] == tuple(state)]
            found |= {by_path[path]: sha256 for path, sha256 in hits}
            database.executemany("UPDATE digests SET used_s = ? WHERE path = ?", [(now_s, path) for path, _ in hits])
    return found


def _remember(new: Mapping[Path, tuple[_State, str]]) -> None:
    if not new:
        return
    with suppress(sqlite3.Error, OSError, UnicodeError), _database() as database:
        now_s = round(time.time())
        database.execute("DELETE FROM digests WHERE used_s < ?", (now_s - KEPT_S,))
        database.executemany(
            "INSERT OR REPLACE INTO digests (path, size, mtime_ns, ctime_ns, inode, sha256, used_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(str(file.absolute()), *state, sha256, now_s) for file, (state, sha256) in new.items()],
        )


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """What is remembered, in one transaction."""
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "digests.sqlite"
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as database, database:
            database.execute(_SCHEMA)
            yield database
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        path.unlink()  # damaged, and worth nothing
        raise


def _some(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), VARIABLES_PER_QUERY):
        yield paths[start : start + VARIABLES_PER_QUERY]
