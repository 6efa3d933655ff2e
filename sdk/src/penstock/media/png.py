"""Writes arrays as PNG, also animated. The formats: https://www.w3.org/TR/png-3/"""

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from penstock.errors import InvalidInput

__all__ = ["PIXELS_MAX", "animation", "pixels_of", "png"]

PIXELS_MAX: Final = 100_000_000
"""Of an image, or of all frames of a film together."""
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""By channels: grey, grey with alpha, RGB, RGBA."""
_LEVEL: Final = 4
"""Of zlib: a little larger than the usual 6, and twice as fast."""


def pixels_of(array: Any, what: str) -> Any:
    """(H, W, C) uint8 with 1 to 4 channels, of an array (H, W), (H, W, C) or (C, H, W).

    uint8 is taken as it is; truth values are black and white; floats are 0 to 1, and clipped to that; other whole
    numbers are 0 to 255, and clipped to that. NaN is black. An array that may be read both ways has its channels last.

    Raises `InvalidInput` if its shape is none of these, or it has more than `PIXELS_MAX` pixels.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[2] not in _COLOUR_TYPES and array.shape[0] in _COLOUR_TYPES:
        array = np.moveaxis(array, 0, 2)
    if array.ndim != 3 or array.shape[2] not in _COLOUR_TYPES or 0 in array.shape:
        raise InvalidInput(
            f"{what} must have the shape (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels, not {array.shape}."
        )
    if array.shape[0] * array.shape[1] > PIXELS_MAX:
        raise InvalidInput(
            f"{what} has {array.shape[0] * array.shape[1]:,} pixels, at most {PIXELS_MAX:,} are allowed."
        )
    return as_bytes(array)


def as_bytes(array: Any) -> Any:
    """Values as uint8, as `pixels_of` says."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        return np.nan_to_num(np.clip(array, 0.0, 1.0) * 255.0 + 0.5, nan=0.0).astype(np.uint8)
    return np.clip(array, 0, 255).astype(np.uint8)


def png(pixels: Any) -> bytes:
    """A PNG of (H, W, C) uint8."""
    return b"".join([_SIGNATURE, _header(pixels), _chunk(b"IDAT", _compressed(pixels)), _chunk(b"IEND", b"")])


def animation(frames: Sequence[Any], fps: float) -> bytes:
    """An animated PNG of frames (H, W, C) uint8, repeated for ever. What does not know the format shows the first frame."""
    first = frames[0]
    height, width = first.shape[:2]
    parts = [_SIGNATURE, _header(first), _chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    sequence = 0
    delay = max(round(1000 / fps), 1)
    for number, frame in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", sequence, width, height, 0, 0, delay, 1000, 0, 0)
        parts.append(_chunk(b"fcTL", control))
        sequence += 1
        data = _compressed(frame)
        if number == 0:
            parts.append(_chunk(b"IDAT", data))
        else:
            parts.append(_chunk(b"fdAT", struct.pack(">I", sequence) + data))
            sequence += 1
    parts.append(_chunk(b"IEND", b""))
    return b"".join(parts)


def _header(pixels: Any) -> bytes:
    height, width, channels = pixels.shape
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0))


def _compressed(pixels: Any) -> bytes:
    height = pixels.shape[0]
    rows = pixels.reshape(height, -1)
    # Each row begins with its filter. 1 keeps differences to the pixel on the left, which compress better in most images.
    channels = pixels.shape[2]
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 1
    filtered[:, 1 : 1 + channels] = rows[:, :channels]
    np.subtract(rows[:, channels:], rows[:, :-channels], out=filtered[:, 1 + channels :])
    return zlib.compress(filtered.tobytes(), _LEVEL)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
