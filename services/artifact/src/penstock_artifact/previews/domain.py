"""Owns what can be shown of a file, and what a text or a medium is told by. Knows nothing of gRPC or storage."""

import codecs
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath
from typing import Final

from penstock_artifact.domain import BlobId

__all__ = [
    "CELL_CHARS_MAX",
    "COLUMNS_MAX",
    "HEAD_BYTES",
    "ROWS_MAX",
    "Column",
    "Content",
    "Media",
    "Preview",
    "Table",
    "Text",
    "TextFormat",
    "media_in",
    "suffix_of",
    "text_in",
]

HEAD_BYTES: Final = 262_144
"""What is read of a file to show it, unless it is Parquet."""
ROWS_MAX: Final = 100
COLUMNS_MAX: Final = 50
CELL_CHARS_MAX: Final = 200
"""Of a cell, and of the name and the type of a column."""


class TextFormat(IntEnum):
    """How a text is written. The values are those of the contract."""

    PLAIN = 1
    JSON = 2
    MARKDOWN = 3


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a text; `truncated` if there is more in the file."""

    text: str
    format: TextFormat
    truncated: bool


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `type` is empty if columns have none."""

    name: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The beginning of a table.

    Attributes:
        columns: The first ones.
        rows: The first ones, each with a cell for each of `columns`; None for a null.
        column_count: How many columns there are.
        row_count: How many rows there are, None if that is not known.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str | None, ...], ...]
    column_count: int
    row_count: int | None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a film."""

    media_type: str


Content = Text | Table | Media


@dataclass(frozen=True, slots=True)
class Preview:
    """What can be shown of a file; `problem` says why it is nothing although the name promises something."""

    blob: BlobId
    content: Content | None = None
    problem: str = ""


_FORMATS: Final = {
    ".json": TextFormat.JSON,
    ".ipynb": TextFormat.JSON,
    ".geojson": TextFormat.JSON,
    ".md": TextFormat.MARKDOWN,
    ".markdown": TextFormat.MARKDOWN,
}


def _is_mpeg(head: bytes) -> bool:
    # After `ID3` comes a version: a text may begin with these letters.
    return head.startswith((b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")) or (head.startswith(b"ID3") and head[3:4] < b"\x10")


_SIGNATURES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("image/png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", lambda head: head.startswith(b"\xff\xd8\xff")),
    ("image/gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("image/webp", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    ("image/bmp", lambda head: head.startswith(b"BM") and head[6:10] == b"\0\0\0\0"),
    ("audio/wav", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WAVE"),
    ("audio/flac", lambda head: head.startswith(b"fLaC")),
    ("audio/mpeg", _is_mpeg),
    ("audio/ogg", lambda head: head.startswith(b"OggS")),
    ("video/mp4", lambda head: head[4:8] == b"ftyp"),
    ("video/webm", lambda head: head.startswith(b"\x1aE\xdf\xa3")),
)


def suffix_of(path: str) -> str:
    """The last suffix of a path with its dot, in lower case; empty if it has none."""
    return PurePosixPath(path).suffix.lower()


def media_in(path: str, head: bytes) -> Media | None:
    """What a file is that may be seen or heard, told by its first bytes."""
    if suffix_of(path) == ".svg" and b"<svg" in head:
        return Media("image/svg+xml")
    return next((Media(media_type) for media_type, fits in _SIGNATURES if fits(head)), None)


def text_in(path: str, head: bytes, *, truncated: bool) -> Text | None:
    """The text that a file begins with, if it is one in UTF-8.

    Args:
        path: Says how it is written.
        head: The first bytes of the file.
        truncated: Whether there are more; then the last character may be cut off, and is left out.
    """
    if b"\0" in head:
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=not truncated)
    except UnicodeDecodeError:
        return None
    kind = _FORMATS.get(suffix_of(path), TextFormat.PLAIN)
    if kind is TextFormat.JSON and not truncated and "\n" not in text.strip():
        text = _laid_out(text)
    return Text(text, kind, truncated)


def _laid_out(text: str) -> str:
    """JSON in several lines; as it is if it is none, is nested too deep, or becomes too long."""
    try:
        laid_out = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
    return laid_out if len(laid_out) <= HEAD_BYTES else text
