"""Media in a row of `run.log`: told from numbers, encoded, and written as orders of the spool."""

import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from penstock.artifact_paths import path_problem
from penstock.errors import InvalidInput
from penstock.media.base import Encoded, Media
from penstock.media.figure import Figure, is_figure
from penstock.media.image import Image
from penstock.spool.values import check_key, flat_items
from penstock.spool.writer import SpoolWriter

__all__ = ["MEDIA_PER_KEY_MAX", "split_row", "write_media"]

MEDIA_PER_KEY_MAX: Final = 1_000
"""Under one key of one row."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_SEGMENT_CHARS_MAX: Final = 60


def split_row(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Media]]]:
    """A row as flat numbers, or what else it has, and media by key: one or a list under each, or a figure or image of others.

    Raises `InvalidInput` if there are more than `MEDIA_PER_KEY_MAX` under a key.
    """
    numbers: dict[str, Any] = {}
    media: dict[str, list[Media]] = {}
    for key, value in flat_items(row, "A metric's name"):
        found = _media_of(value)
        if not found:
            numbers[key] = value
            continue
        if len(found) > MEDIA_PER_KEY_MAX:
            raise InvalidInput(
                f"{key!r} has {len(found):,} media in one log(), at most {MEDIA_PER_KEY_MAX:,} are allowed."
            )
        media[check_key(key, "A metric's name")] = found
    return numbers, media


def write_media(writer: SpoolWriter, media: Mapping[str, list[tuple[Media, Encoded]]], step: int) -> None:
    """Writes encoded media at a step. Raises as `SpoolWriter.write_order` does."""
    time_us = time.time_ns() // 1000
    for key, several in media.items():
        name = f"media/{_directory(key)}/{step}-{secrets.token_hex(6)}"
        for number, (one, encoded) in enumerate(several):
            content = {
                "path": f"{name}-{number}{encoded.extension}",
                "media_type": encoded.media_type,
                "media": {"key": key, "kind": one.kind, "step": step, "time_us": time_us, "caption": one.caption},
            }
            writer.write_order("file", content, _filler(encoded))


def _media_of(value: Any) -> list[Media]:
    """The media that a value is; none if it is none."""
    if isinstance(value, Media):
        return [value]
    if isinstance(value, (list, tuple)) and value:
        several = [_media_of(one) for one in value if not isinstance(one, (list, tuple))]
        return [one[0] for one in several] if len(several) == len(value) and all(several) else []
    if is_figure(value):
        return [Figure(value)]
    return [Image(value)] if type(value).__module__.partition(".")[0] == "PIL" else []


def _filler(encoded: Encoded) -> Callable[[Path], object]:
    data = encoded.data
    if isinstance(data, Path):
        return lambda path: shutil.copyfile(data, path)
    return lambda path: path.write_bytes(data)


def _directory(key: str) -> str:
    """Where media of a key lie: like the key, and a path on every system. Two keys may share it: names of files differ."""
    segments = [_UNSAFE.sub("_", segment)[:_SEGMENT_CHARS_MAX].rstrip(".") or "_" for segment in key.split("/")[:8]]
    return "/".join(segment if path_problem(segment) is None else f"_{segment}" for segment in segments)
