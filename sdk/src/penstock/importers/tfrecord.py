"""The record format of TensorBoard's event files, TFRecord.

A record is: length u64, masked CRC-32C of the length u32, the data, masked CRC-32C of the data u32; little-endian.
Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock.importers.model import SourceDamaged

__all__ = ["records"]

CHECKED_BYTES_MAX: Final = 65_536
"""Longer records hold graphs, images and the like: checking one in Python would take longer than all scalars together."""
_HEAD: Final = struct.Struct("<QI")
_FOOT: Final = struct.Struct("<I")
_READ_BYTES: Final = 1024 * 1024
_MASK_DELTA: Final = 0xA282EAD8


def records(path: Path, *, check: bool) -> Iterator[bytes]:
    """Yields the data of each record. One that is cut off at the end is still being written, or never will be: left out.

    Args:
        path: The file.
        check: Whether checksums of the data are compared. Those of lengths always are.

    Raises:
        SourceDamaged: A checksum is wrong. What follows cannot be trusted.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        buffer = b""
        start = offset = 0
        while True:
            length, end = 0, start + _HEAD.size
            if end <= len(buffer):
                length, checksum = _HEAD.unpack_from(buffer, start)
                if _masked_crc(buffer[start : start + 8]) != checksum:
                    raise _damaged(path, offset + start)
                end += length + _FOOT.size
            if end > len(buffer):
                offset += start
                buffer, start = buffer[start:], 0
                # At least what is missing, in one piece: an image may be long, but no longer than the file.
                missing = min(end - len(buffer), os.fstat(file.fileno()).st_size)
                more = file.read(max(_READ_BYTES, missing))
                if not more:
                    return
                buffer += more
                continue
            data = buffer[start + _HEAD.size : end - _FOOT.size]
            if check and length <= CHECKED_BYTES_MAX and _FOOT.unpack_from(buffer, end - 4)[0] != _masked_crc(data):
                raise _damaged(path, offset + start)
            yield data
            start = end


def _damaged(path: Path, offset: int) -> SourceDamaged:
    return SourceDamaged(f"{path} is damaged at byte {offset:,}: what follows was not read.")


def _table() -> list[int]:
    """CRC-32C of each byte: the polynomial of Castagnoli, reflected."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_CRC_TABLE: Final = _table()


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    table = _CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
