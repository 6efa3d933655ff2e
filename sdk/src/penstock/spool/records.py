"""The records of a spool segment: how one is framed, what each type holds, how reading goes on after damage.

All numbers are little-endian.

Segment: `00000001.log`, `00000002.log`, ..., each at most about `SEGMENT_BYTES_TARGET`. It starts with 16 bytes: magic
`PNSTKSPL`, u16 format version (1), u16 zero, u32 segment number. Then records, back to back.

Record:

    u16  0x5AF5, by which reading finds the next record after damage
    u32  CRC-32 of everything that follows, up to the end of the record
    u32  length of the payload in bytes, at most RECORD_BYTES_MAX
    u8   type
    ...  payload

| type | payload |
| --- | --- |
| 1 KEY | u32 id, counted from 0 by the writer without gaps; the key in UTF-8 |
| 2 KEY_SET | u32 id of the set; then u32 key ids |
| 3 ROW | u32 id of a key set; i64 step; i64 time in microseconds since 1970 UTC; one f64 per key of the set |
| 4 PARAM | JSON `{"key", "kind", "value"}`, kind as in `penstock.spool.values` |
| 5 TAG | JSON `{"key", "value"}`; value null removes the tag |
| 6 SUMMARY | JSON as PARAM |
| 7 DEFINITION | JSON `{"key", "x", "goal", "summary"}` |
| 8 FINISH | JSON `{"state", "end_time_us", "failure", "points", "dropped", "max_step", "orders"}`; nothing follows it |

A key is defined once per writer. A key set is defined in each segment before the first row that uses it there, so that a
segment can be read when those before it were sent and deleted.

Damage: a record that does not check out at the end of the last segment is a torn tail, left by a process that died while it
wrote; `log()` had not returned for it. Anywhere else it is corruption: reading goes on at the next record that checks out,
and what lies between is reported as lost.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

__all__ = [
    "HEADER",
    "MARKER",
    "RECORD_BYTES_MAX",
    "ROW_HEAD",
    "SEGMENT_BYTES_TARGET",
    "SEGMENT_HEADER_BYTES",
    "Found",
    "RecordType",
    "frame",
    "next_record",
    "record_at",
    "segment_header",
    "segment_header_problem",
]

FORMAT_VERSION: Final = 1
SEGMENT_BYTES_TARGET: Final = 64 * 1024 * 1024
RECORD_BYTES_MAX: Final = 1_000_000
"""Longest payload: a row of 10,000 values takes 80,020 bytes, a param of 32,000 characters at most 192,000."""

MARKER: Final = 0x5AF5
HEADER: Final = struct.Struct("<HIIB")
_MARKER_BYTES: Final = struct.pack("<H", MARKER)
_CRC_START: Final = 6
"""Where in a record the checksummed part begins: at the length."""
ROW_HEAD: Final = struct.Struct("<Iqq")
_SEGMENT_HEADER: Final = struct.Struct("<8sHHI")
_MAGIC: Final = b"PNSTKSPL"
SEGMENT_HEADER_BYTES: Final = _SEGMENT_HEADER.size


class RecordType(IntEnum):
    """What a record holds."""

    KEY = 1
    KEY_SET = 2
    ROW = 3
    PARAM = 4
    TAG = 5
    SUMMARY = 6
    DEFINITION = 7
    FINISH = 8


_TYPES: Final = frozenset(RecordType)


class Found(NamedTuple):
    """A record in a buffer.

    Attributes:
        type: A `RecordType`, as an int: this is made once per row.
        start: Where the payload begins.
        end: Where the record ends.
    """

    type: int
    start: int
    end: int


def segment_header(number: int) -> bytes:
    """The first 16 bytes of a segment."""
    return _SEGMENT_HEADER.pack(_MAGIC, FORMAT_VERSION, 0, number)


def segment_header_problem(data: bytes | memoryview, number: int) -> str | None:
    """Says what is wrong with the first 16 bytes of a segment, or None."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return "it is shorter than its header"
    magic, version, _, found = _SEGMENT_HEADER.unpack_from(data)
    if magic != _MAGIC:
        return "it does not begin as a segment does"
    if version != FORMAT_VERSION:
        return f"it has format {version}, and this version of penstock reads format {FORMAT_VERSION}"
    if found != number:
        return f"it says that it is segment {found}"
    return None


def frame(record_type: RecordType, payload: bytes) -> bytes:
    """A whole record. Raises `ValueError` when the payload is longer than `RECORD_BYTES_MAX`."""
    if len(payload) > RECORD_BYTES_MAX:
        raise ValueError(f"a record of {len(payload):,} bytes is longer than {RECORD_BYTES_MAX:,}")
    checked = struct.pack("<IB", len(payload), record_type) + payload
    return struct.pack("<HI", MARKER, zlib.crc32(checked)) + checked


def record_at(buffer: memoryview, position: int) -> Found | None:
    """The record that begins at a position, None if there is none that is whole and checks out."""
    start = position + HEADER.size
    if start > len(buffer):
        return None
    marker, crc, length, record_type = HEADER.unpack_from(buffer, position)
    end = start + length
    if (
        marker != MARKER
        or length > RECORD_BYTES_MAX
        or end > len(buffer)
        or zlib.crc32(buffer[position + _CRC_START : end]) != crc
        or record_type not in _TYPES
    ):
        return None
    return Found(record_type, start, end)


def next_record(buffer: memoryview, position: int) -> int | None:
    """Where the first record begins that checks out, at or after a position; None if there is none."""
    for candidate in _marker_positions(bytes(buffer[position:])):
        if record_at(buffer, position + candidate) is not None:
            return position + candidate
    return None


def _marker_positions(data: bytes) -> Iterator[int]:
    found = data.find(_MARKER_BYTES)
    while found >= 0:
        yield found
        found = data.find(_MARKER_BYTES, found + 1)
