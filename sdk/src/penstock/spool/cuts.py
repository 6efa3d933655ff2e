"""Where a spool was cut into batches: `cuts`, written before a batch is sent.

A sender that takes over sends the same bytes under the same sequence, so the server can tell a repeat from something new.
A cut is 116 bytes, little-endian: sequence u64, start (segment u32, offset u64), end (u32, u64), points up to here u64, keys
up to here u32, encoder version u32, digest 32 bytes, chain 32 bytes, CRC-32 of what precedes u32.
"""

import errno
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.errors import SpoolCorrupt
from penstock.spool.files import write_private
from penstock.spool.reader import START, Position

__all__ = ["CHAIN_START", "Cut", "CutFile", "read_cuts"]

CUTS_FILE: Final = "cuts"
CHAIN_START: Final = bytes(32)
_CUT: Final = struct.Struct("<QIQIQQII32s32s")
_CRC: Final = struct.Struct("<I")
_CUT_BYTES: Final = _CUT.size + _CRC.size
_TRIM_CUTS_MIN: Final = 10_000
"""Acknowledged cuts are removed once there are this many: 1.5 MB, a quarter of an hour of live sending."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One batch.

    Attributes:
        sequence: Counted from 1 without gaps.
        start: Where its first record begins.
        end: Where its last record ends.
        points_total: Points in all batches up to and including this one.
        keys_total: Keys defined in all batches up to and including this one.
        encoder_version: The version of the encoder that made its content.
        digest: SHA-256 of its content.
        chain: SHA-256 over the chain before and the digest.
    """

    sequence: int
    start: Position
    end: Position
    points_total: int
    keys_total: int
    encoder_version: int
    digest: bytes
    chain: bytes

    def packed(self) -> bytes:
        """The cut as it lies in the file."""
        data = _CUT.pack(
            self.sequence,
            *self.start,
            *self.end,
            self.points_total,
            self.keys_total,
            self.encoder_version,
            self.digest,
            self.chain,
        )
        return data + _CRC.pack(zlib.crc32(data))


NO_CUT: Final = Cut(0, START, START, 0, 0, 0, bytes(32), CHAIN_START)
"""What comes before the first batch."""


def read_cuts(folder: Path) -> list[Cut]:
    """The cuts of a spool, ascending. A torn one at the end is left out: its batch was never sent.

    Raises `SpoolCorrupt` when one in the midst is damaged.
    """
    try:
        data = (folder / CUTS_FILE).read_bytes()
    except FileNotFoundError:
        return []
    cuts: list[Cut] = []
    for offset in range(0, len(data) - _CUT_BYTES + 1, _CUT_BYTES):
        cut = _parsed(data, offset)
        follows = not cuts or (cut is not None and cut.sequence == cuts[-1].sequence + 1 and cut.start == cuts[-1].end)
        if cut is None or not follows:
            if offset + 2 * _CUT_BYTES > len(data):
                break
            raise SpoolCorrupt(f"{folder / CUTS_FILE} is damaged: what was sent as which batch is not known any more.")
        cuts.append(cut)
    return cuts


def _parsed(data: bytes, offset: int) -> Cut | None:
    end = offset + _CUT.size
    (crc,) = _CRC.unpack_from(data, end)
    if zlib.crc32(data[offset:end]) != crc:
        return None
    sequence, segment, begin, segment_end, offset_end, points, keys, version, digest, chain = _CUT.unpack_from(
        data, offset
    )
    return Cut(
        sequence, Position(segment, begin), Position(segment_end, offset_end), points, keys, version, digest, chain
    )


class CutFile:
    """The cuts of a spool, for the sender that holds its lock.

    Args:
        folder: The spool.

    Raises `SpoolCorrupt` as `read_cuts` does.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CUTS_FILE
        self._cuts = read_cuts(folder)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        # A torn cut at the end is in the way of the next one.
        self._file.truncate(len(self._cuts) * _CUT_BYTES)

    @property
    def last(self) -> Cut:
        """The last cut; one with the sequence 0 before the first."""
        return self._cuts[-1] if self._cuts else NO_CUT

    def get(self, sequence: int) -> Cut | None:
        """The cut of a sequence; None if there is none, or it was removed because it was acknowledged long ago."""
        if sequence == 0:
            return NO_CUT
        index = sequence - self._cuts[0].sequence if self._cuts else -1
        return self._cuts[index] if 0 <= index < len(self._cuts) else None

    def append(self, cuts: Sequence[Cut]) -> None:
        """Adds cuts, durably: it returns when they survive a power failure. Raises `OSError`."""
        offset = len(self._cuts) * _CUT_BYTES
        # What a failed attempt left would pass for cuts that were sent.
        self._file.truncate(offset)
        self._file.seek(offset)
        data = b"".join(cut.packed() for cut in cuts)
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        os.fsync(self._file.fileno())
        self._cuts.extend(cuts)

    def trim(self, acked_sequence: int) -> None:
        """Forgets the cuts before an acknowledged one, when there are many. Raises `OSError`."""
        keep = acked_sequence - self._cuts[0].sequence if self._cuts else 0
        if keep < _TRIM_CUTS_MIN:
            return
        self._cuts = self._cuts[keep:]
        write_private(self._path, b"".join(cut.packed() for cut in self._cuts), durable=True)
        self._file.close()
        self._file = self._path.open("r+b", buffering=0)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
