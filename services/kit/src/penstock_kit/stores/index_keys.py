"""Owns the order-preserving encoding of index keys: comparing the bytes compares the values.

Each value is a tag byte and a body. The tags put the types in the order of the port: None, bool, numbers, str, bytes.

    None    01
    bool    02, then 00 or 01
    number  03, then 8 bytes: the largest double at or below it, as an unsigned integer in the order of the doubles
            (negative: all bits flipped; else: the sign bit flipped), then 2 bytes: what is missing to the value.
            So int and float share one order, exactly: 1 equals 1.0, and 2**53 + 1 comes after 2.0**53.
            NaN is 8 + 2 zero bytes: before all numbers, equal to itself. -0.0 equals 0.0.
    str     04, then UTF-8 (whose order is that of the code points), then the end
    bytes   05, then the bytes, then the end

Within str and bytes, 00 is written 00 FF; the end is 00 01. A shorter text thus comes before its continuations, and no
encoded value is the beginning of another. A key is the encoded values of its fields followed by the plain UTF-8 of the
document's id. No byte FF can follow a whole value, so the keys that begin with certain values are those from `prefix`
up to `prefix + FF`.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["encode", "encode_fields", "upper_bound"]

_END = b"\x00\x01"
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def encode(values: Sequence[Any]) -> bytes:
    """Encodes values one after another. Raises `TypeError` for one that an index cannot hold."""
    return b"".join(map(_encode_one, values))


def encode_fields(body: Mapping[str, Any], paths: Sequence[tuple[str, ...]]) -> bytes | None:
    """Encodes the fields of a body at the given paths, None if one is missing. Raises `TypeError` as `encode` does."""
    values: list[Any] = []
    for path in paths:
        value: Any = body
        for name in path:
            if not isinstance(value, Mapping) or name not in value:
                return None
            value = value[name]
        values.append(value)
    return encode(values)


def upper_bound(prefix: bytes) -> bytes:
    """The end, exclusive, of the keys that begin with the encoded values `prefix`."""
    return prefix + b"\xff"


def _encode_one(value: Any) -> bytes:
    if value is None:
        return b"\x01"
    if isinstance(value, bool):
        return b"\x02\x01" if value else b"\x02\x00"
    if isinstance(value, int | float):
        return b"\x03" + _number(value)
    if isinstance(value, str):
        return b"\x04" + value.encode().replace(b"\x00", b"\x00\xff") + _END
    if isinstance(value, bytes):
        return b"\x05" + value.replace(b"\x00", b"\x00\xff") + _END
    raise TypeError(f"an index field cannot hold a {type(value).__name__}")


def _number(value: float) -> bytes:
    if isinstance(value, float) and math.isnan(value):
        return bytes(10)
    below = float(value)
    missing = 0
    if isinstance(value, int):
        if below > value:  # exact: Python compares int and float without rounding
            below = math.nextafter(below, -math.inf)
        missing = value - int(below)
    (bits,) = struct.unpack(">Q", struct.pack(">d", below + 0.0))  # + 0.0 makes -0.0 positive
    bits = bits ^ _ALL if bits & _SIGN else bits ^ _SIGN
    return struct.pack(">QH", bits, missing)
