"""Locks that say who is alive: the process that owns a spool, and the sender that reads it.

The kernel releases both when their process ends, however it ends.

The owner's lock is a POSIX record lock (`fcntl.lockf`): it belongs to the process, so a forked child does not hold it. The
price: closing *any* descriptor of the file in the owning process releases it. So the owner opens `owner.lock` exactly
once, and only other processes ask about it.

The sender's lock is a `flock`, which belongs to the descriptor: it may be tried from anywhere.

On Windows both are byte-range locks of `msvcrt`, which belong to the process.
"""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

__all__ = ["FolderLock", "OwnerLock", "SenderLock", "owner_is_alive", "sender_is_alive"]

OWNER_LOCK = "owner.lock"
SENDER_LOCK = "sender.lock"

if sys.platform == "win32":
    import msvcrt

    def _lock_for_process(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    _lock_for_descriptor = _lock_for_process
else:
    import fcntl

    def _lock_for_process(descriptor: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _lock_for_descriptor(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)


class OwnerLock:
    """Held by the process that writes a spool, from the making of the spool to the end of the process or `release`.

    Raises `OSError` when the file system has no locks or somebody else holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _open(folder / OWNER_LOCK)
        if not _lock_for_process(self._descriptor):
            os.close(self._descriptor)
            raise OSError(f"{folder / OWNER_LOCK} is locked by another process")

    def release(self) -> None:
        """Lets go. In a forked child: closes the child's copy of the descriptor, and the parent keeps the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FolderLock:
    """Held by the one process that may change what is in a folder. Use `try_acquire`."""

    FILE: ClassVar[str]

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def try_acquire(cls, folder: Path) -> Self | None:
        """Takes the lock, or returns None when another has it."""
        descriptor = _open(folder / cls.FILE)
        if _lock_for_descriptor(descriptor):
            return cls(descriptor)
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Lets go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class SenderLock(FolderLock):
    """Held by the one sender that reads a spool."""

    FILE = SENDER_LOCK


def owner_is_alive(folder: Path) -> bool:
    """Whether the process that writes a spool lives. Never call it in that process: it would drop the lock."""
    try:
        descriptor = os.open(folder / OWNER_LOCK, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    try:
        return not _lock_for_process(descriptor)
    finally:
        os.close(descriptor)


def sender_is_alive(folder: Path) -> bool:
    """Whether a sender reads a spool now."""
    lock = SenderLock.try_acquire(folder)
    if lock is None:
        return True
    lock.release()
    return False
