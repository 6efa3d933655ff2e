"""The names of a spool's segments."""

import re
from pathlib import Path
from typing import Final

__all__ = ["segment_numbers", "segment_path", "spool_bytes"]

_NAME: Final = re.compile(r"([0-9]{8})\.log\Z")


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:08d}.log"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments that are there, ascending."""
    return sorted(int(match[1]) for entry in folder.iterdir() if (match := _NAME.match(entry.name)))


def spool_bytes(folder: Path) -> int:
    """The bytes in all segments."""
    total = 0
    for number in segment_numbers(folder):
        try:
            total += segment_path(folder, number).stat().st_size
        except FileNotFoundError:
            # Sent and deleted in this moment.
            continue
    return total
