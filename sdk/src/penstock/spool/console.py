"""What a process printed, on its way: `console.log` of a spool.

The training process appends whole lines. The sender puts stretches of the file as files of the run, each under the offset at
which it begins, and notes in `console.sent` how far it is. A stretch that was put and not noted is put anew under the same
name, and may have grown: so each line is there once, whenever the sender is killed.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from penstock.spool.files import write_private

__all__ = ["CONSOLE_BYTES_MAX", "STRETCH_BYTES_MAX", "ConsoleSource", "ConsoleWriter", "Stretch"]

CONSOLE_FILE: Final = "console.log"
SENT_FILE: Final = "console.sent"
CONSOLE_BYTES_MAX: Final = 100_000_000
"""Of one process. What comes after is not kept, which the last line says."""
STRETCH_BYTES_MAX: Final = 1_000_000
_FULL: Final = b"penstock: what is printed from here on is not kept: there is too much.\n"


class ConsoleWriter:
    """Appends lines, also from forked children.

    Args:
        spool: The folder of the spool.

    Raises `OSError` when the disk does not take the file.
    """

    def __init__(self, spool: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(spool / CONSOLE_FILE, flags, 0o600)
        self._size = 0
        self.full = False

    def append(self, lines: bytes) -> None:
        """Appends whole lines. When it returns, they survive the death of the process. Raises `OSError`."""
        if self.full:
            return
        if self._size + len(lines) > CONSOLE_BYTES_MAX:
            self.full = True
            lines = _FULL
        self._size += os.write(self._descriptor, lines)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


class Stretch(NamedTuple):
    """Lines that were not put yet.

    Attributes:
        start: Where they begin in the file.
        data: The lines.
    """

    start: int
    data: bytes


class ConsoleSource:
    """The lines of a spool, for the sender that holds its lock. Blocks.

    Args:
        spool: The folder of the spool.
    """

    def __init__(self, spool: Path) -> None:
        self._file = spool / CONSOLE_FILE
        self._sent_file = spool / SENT_FILE
        try:
            self._sent = int(self._sent_file.read_text("ascii"))
        except (OSError, ValueError):
            self._sent = 0

    @property
    def left(self) -> int:
        """How many bytes were not put yet."""
        try:
            return self._file.stat().st_size - self._sent
        except FileNotFoundError:
            return 0

    def next(self) -> Stretch | None:
        """The next lines, at most `STRETCH_BYTES_MAX` unless one line alone is longer; None if there is none."""
        if self.left <= 0:
            return None
        with self._file.open("rb") as file:
            file.seek(self._sent)
            data = file.read(STRETCH_BYTES_MAX)
        end = data.rfind(b"\n") + 1
        return Stretch(self._sent, data[:end] if end else data)

    def put(self, stretch: Stretch) -> None:
        """Takes note, durably, that a stretch was put. Raises `OSError`."""
        sent = stretch.start + len(stretch.data)
        write_private(self._sent_file, str(sent).encode(), durable=True)
        self._sent = sent
