"""Owns what an artifact and a path within it may be called: where files come in and where they are written to a disk."""

import re
from typing import Final

__all__ = ["ARTIFACT", "PATH_BYTES_MAX", "SEGMENT_BYTES_MAX", "path_problem"]

PATH_BYTES_MAX: Final = 1_024
SEGMENT_BYTES_MAX: Final = 255  # file systems end there

ARTIFACT: Final = re.compile(r"(?:(projects/[^/]+)/artifacts/)?((?!\.{1,2}\Z)[^/:\x00-\x1f\x7f]{1,256})\Z")
"""The name of an artifact, in full or by its last segment."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*([.:].*)?", re.IGNORECASE)


def path_problem(path: str) -> str | None:
    """Says what is wrong with a path, as the end of a sentence about it; None if it may be used.

    A path is 1 to `PATH_BYTES_MAX` bytes of UTF-8, in segments of 1 to `SEGMENT_BYTES_MAX` separated by `/`. It leads nowhere
    but below the folder that it is joined to, on any system.
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is no text"
    if not 1 <= size <= PATH_BYTES_MAX:
        return f"has {size} bytes; 1 to {PATH_BYTES_MAX} are allowed"
    if _CONTROL.search(path):
        return "has a control character"
    if "\\" in path:
        return "has a backslash: separate with /"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    return next((problem for segment in path.split("/") if (problem := _segment_problem(segment))), None)


def _segment_problem(segment: str) -> str | None:
    if not segment:
        return "has an empty segment"
    if segment in {".", ".."}:
        return f"has a segment {segment!r}"
    if len(segment.encode()) > SEGMENT_BYTES_MAX:
        return f"has a segment of more than {SEGMENT_BYTES_MAX} bytes"
    if segment[-1] in ". ":
        return "has a segment that ends with a dot or a space"
    if _DEVICE.fullmatch(segment):
        return f"has a segment {segment!r}, which is a device on Windows"
    return None
