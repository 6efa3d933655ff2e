"""The data directory: made for its owner alone, and locked, so that one platform at a time works on it."""

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from penstock.errors import PenstockError

__all__ = ["DataDirectory", "DataDirectoryInUse", "DataDirectoryUnusable"]

LOCK_FILE = "up.lock"

ORPHANS_END_S_MAX = 20.0
"""How long the processes of a launcher that was killed may take to end. They hold the lock as long as they live."""

LOCK_POLL_S = 0.05


class DataDirectoryInUse(PenstockError):
    """Another platform works on the directory."""

    default_reason = "DATA_DIRECTORY_IN_USE"


class DataDirectoryUnusable(PenstockError):
    """The directory cannot be made or written."""

    default_reason = "DATA_DIRECTORY_UNUSABLE"


class DataDirectory:
    """A locked data directory, as a context manager. The lock ends with the process, and those it gave it to, however that
    happens.

    Args:
        path: The directory; made with its parents if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def auth(self) -> Path:
        """What auth stores."""
        return self.of("auth")

    def of(self, service: str) -> Path:
        """What a service stores, which makes the directory."""
        return self.path / service

    @property
    def logs(self) -> Path:
        """The logs."""
        return self.path / "logs"

    @property
    def service_credential_file(self) -> Path:
        """The secret by which the services know each other."""
        return self.auth / "platform.credential"

    @property
    def owner_credential_file(self) -> Path:
        """The token of the local owner."""
        return self.auth / "owner.credential"

    @property
    def lock(self) -> int:
        """The open file that is the lock: a child process that inherits it holds the lock too. POSIX alone."""
        assert self._lock is not None, "not locked"
        return self._lock.fileno()

    def __enter__(self) -> Self:
        """Makes and locks it. Raises `DataDirectoryInUse`, `DataDirectoryUnusable`.

        Waits for what a launcher that was killed left behind, which ends by itself.
        """
        try:
            for path in (self.path, self.auth, self.logs):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not emptied by opening: the number of who holds the lock must survive our look at it.
            number = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
            lock = os.fdopen(number, "r+", encoding="ascii")
        except OSError as error:
            raise DataDirectoryUnusable(
                f"Cannot write in the data directory {self.path}: {error.strerror}. Choose another with --data-dir."
            ) from error
        give_up_s = time.monotonic() + ORPHANS_END_S_MAX
        while not _try_lock(lock):
            holder = (self.path / LOCK_FILE).read_text("ascii").strip()
            if not _is_alive(holder) and time.monotonic() < give_up_s:
                time.sleep(LOCK_POLL_S)
                continue
            lock.close()
            raise DataDirectoryInUse(
                f"Another `penstock up` (process {holder or 'unknown'}) works on {self.path}. Stop it, or choose another "
                "directory with --data-dir.",
                metadata={"pid": holder},
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        self._lock.close()


def _is_alive(holder: str) -> bool:
    # Without a number it is just being written.
    return not holder.isdecimal() or psutil.pid_exists(int(holder))


def _try_lock(lock: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            lock.seek(1_000)  # beyond the text: a locked range cannot be read there
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
