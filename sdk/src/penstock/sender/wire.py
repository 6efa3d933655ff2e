"""The protobuf wire format, as far as batches need it.

Batches are encoded by hand, for two reasons. A batch that is encoded again, by a later sender with another version of
protobuf, must have the same bytes, and protobuf promises that for no two of its versions. And columns are copied as they
lie in the spool, 8 little-endian bytes per number, which is what a packed fixed-width field is.

The result is what `SerializeToString` of the generated messages makes today; a test holds the two together.
Format: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from typing import Any, Final

__all__ = ["bytes_field", "metric_block", "metric_key", "packed_varints", "param", "stream_batch", "varint"]

_LENGTH_DELIMITED: Final = 2
_FIXED64: Final = 1
_DOUBLE: Final = struct.Struct("<d")
_INT64_WRAP: Final = 1 << 64


def varint(number: int) -> bytes:
    """A whole number. Negative ones take ten bytes, as int64 fields do."""
    if number < 0:
        number += _INT64_WRAP
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def bytes_field(number: int, data: bytes) -> bytes:
    """A field of strings, bytes, messages or packed numbers, even if it is empty."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(data)) + data


def text_field(number: int, text: str) -> bytes:
    """A string field; nothing if it is empty."""
    return bytes_field(number, text.encode()) if text else b""


def varint_field(number: int, value: int) -> bytes:
    """A field of whole numbers or an enum; nothing if it is zero."""
    return varint(number << 3) + varint(value) if value else b""


def packed_varints(numbers: tuple[int, ...]) -> bytes:
    """The payload of a packed field of whole numbers."""
    if not numbers or max(numbers) < 0x80:
        return bytes(numbers)
    return b"".join(map(varint, numbers))


def metric_key(key_id: int, key: bytes) -> bytes:
    """A `MetricKey`."""
    return varint_field(1, key_id) + bytes_field(2, key)


def metric_block(key_ids: tuple[int, ...], steps: bytes, times: bytes, values: bytes) -> bytes:
    """A `MetricBlock`. The columns are little-endian, 8 bytes per number."""
    return b"".join(
        (
            bytes_field(1, packed_varints(key_ids)),
            bytes_field(2, steps),
            bytes_field(3, times),
            bytes_field(4, values),
        )
    )


def typed_value(kind: str, value: Any) -> bytes:
    """A `Value` of a kind as in `penstock.spool.values`. A member of a oneof is there even if it is zero."""
    if kind == "string":
        return bytes_field(1, value.encode())
    if kind == "int":
        return varint(2 << 3) + varint(value)
    if kind == "double":
        return varint(3 << 3 | _FIXED64) + _DOUBLE.pack(value)
    if kind == "bool":
        return varint(4 << 3) + varint(bool(value))
    return bytes_field(5, value.encode())


def param(key: str, kind: str, value: Any) -> bytes:
    """A `Param`, or a `SummaryEntry`, which looks the same."""
    return text_field(1, key) + bytes_field(2, typed_value(kind, value))


def tag(key: str, value: str) -> bytes:
    """A `Tag`."""
    return text_field(1, key) + text_field(2, value)


def metric_definition(key: str, x_key: str, goal: int, summary: int) -> bytes:
    """A `MetricDefinition`."""
    return text_field(1, key) + text_field(2, x_key) + varint_field(3, goal) + varint_field(4, summary)


def stream_batch(sequence: int, digest: bytes, content: bytes) -> bytes:
    """A `StreamMetricsRequest` that holds a `MetricBatch`."""
    return bytes_field(2, varint_field(1, sequence) + bytes_field(2, digest) + bytes_field(3, content))
