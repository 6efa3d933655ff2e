"""Owns how many heaps the threads of a process have."""

import contextlib
import ctypes
import sys
from typing import Final

__all__ = ["share_heaps"]

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h
_HEAPS: Final = 2


def share_heaps() -> None:
    """Has the threads of this process share two heaps, before there are many. Does nothing where glibc is not the C library.

    By default glibc gives threads up to eight heaps a core, and each keeps what was free in it. With two, tracking had 273 MB
    after charts of 500 series, and 376 before.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)
