"""Owns the data directory: that it is there and can be written, and that one process at a time starts on it."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from penstock_auth.errors import StartError

__all__ = ["exclusive", "prepare"]

LOCK_WAIT_S = 20.0
_LOCK_FILE = "start.lock"
_LOCK_RETRY_S = 0.02


def prepare(data_dir: Path) -> None:
    """Makes the directory if it is missing, for this user alone. Raises `StartError` if it cannot be written."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise _not_writable(data_dir, error) from error


@contextlib.asynccontextmanager
async def exclusive(data_dir: Path) -> AsyncGenerator[None]:
    """Holds the lock of a directory, so that of several processes one at a time is inside. It ends with its process.

    Raises `StartError` if the lock file cannot be written, or another process is inside for longer than `LOCK_WAIT_S`.
    """
    try:
        handle = os.open(data_dir / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _not_writable(data_dir, error) from error
    try:
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(handle):
            if time.monotonic() > deadline_s:
                raise StartError(
                    f"Another process is starting on {data_dir} and does not finish. Stop it, then try again."
                )
            await asyncio.sleep(_LOCK_RETRY_S)
        yield
    finally:
        os.close(handle)  # which releases the lock


def _not_writable(data_dir: Path, error: OSError) -> StartError:
    return StartError(
        f"Cannot write in the data directory {data_dir}: {error.strerror}. Make it writable for this user, or choose"
        " another directory."
    )


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
