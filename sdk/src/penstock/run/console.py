"""Keeps what the training process prints. `sys.stdout` and `sys.stderr` go on as they were; whole lines go to the spool, too.

What is printed past Python, by a library in C or by a program that is started, is not seen. A line that is drawn over and
over, as progress bars are, is kept as it was at last.
"""

import sys
import threading
from pathlib import Path
from typing import Any, Final, TextIO

from penstock.spool.console import ConsoleWriter

__all__ = ["Console"]

LINE_CHARS_MAX: Final = 100_000
"""A longer line is kept in parts."""


class Console:
    """Keeps what is printed from now on.

    Args:
        spool: The folder of the spool.

    Raises `OSError` when the disk does not take it.
    """

    def __init__(self, spool: Path) -> None:
        self._writer: ConsoleWriter | None = ConsoleWriter(spool)
        # Re-entrant: a signal handler may print in the midst of a print.
        self._lock = threading.RLock()
        self._lines: dict[str, str] = {"stdout": "", "stderr": ""}
        self._streams: dict[str, _Stream] = {}
        for name in self._lines:
            stream = _Stream(getattr(sys, name), self, name)
            self._streams[name] = stream
            setattr(sys, name, stream)

    def take(self, name: str, text: str) -> None:
        """Takes what was written to a stream."""
        with self._lock:
            if self._writer is None:
                return
            *whole, rest = (self._lines[name] + text).split("\n")
            if len(rest) > LINE_CHARS_MAX:
                whole.append(rest)
                rest = ""
            self._lines[name] = rest
            if whole:
                self._append(whole)

    def close(self) -> None:
        """Keeps what was begun, and nothing more. What somebody else put in place of a stream stays. Safe to repeat."""
        with self._lock:
            for name, stream in self._streams.items():
                if getattr(sys, name) is stream:
                    setattr(sys, name, stream.original)
            left = [line for line in self._lines.values() if line]
            if left and self._writer is not None:
                self._append(left)
            if self._writer is not None:  # which a full disk closed
                self._writer.close()
                self._writer = None

    def after_fork_in_child(self) -> None:
        """Makes it usable in a forked child, which writes to the file of its parent."""
        self._lock = threading.RLock()
        self._lines = dict.fromkeys(self._lines, "")

    def _append(self, lines: list[str]) -> None:
        assert self._writer is not None, "not closed"
        text = "".join(f"{_as_seen(line)}\n" for line in lines)
        try:
            self._writer.append(text.encode("utf-8", "replace"))
        except OSError:
            # A full disk must not keep anybody from printing.
            self._writer.close()
            self._writer = None


class _Stream:
    """A stream as it was, which tells what is written to it."""

    def __init__(self, original: TextIO, console: Console, name: str) -> None:
        self.original = original
        self._console = console
        self._name = name

    def write(self, text: str) -> int:
        written = self.original.write(text)
        if isinstance(text, str):
            self._console.take(self._name, text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def _as_seen(line: str) -> str:
    """A line as it is seen at last: what a carriage return goes back over is not."""
    seen = line.rstrip("\r")
    return seen.rpartition("\r")[2]
