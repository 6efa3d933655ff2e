"""Reads a spool while it is being written, and goes on behind damage.

Owns the question where records end: what is still being written, what a dead process left half-written, and what was
damaged. See `penstock.spool.records` for the format.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from penstock.errors import SpoolCorrupt
from penstock.spool.records import (
    HEADER,
    RECORD_BYTES_MAX,
    SEGMENT_HEADER_BYTES,
    RecordType,
    next_record,
    record_at,
    segment_header_problem,
)
from penstock.spool.segments import segment_numbers, segment_path

__all__ = ["START", "Damage", "Position", "Record", "SpoolReader", "parse_key_set"]

_CHUNK_BYTES: Final = 4 * 1024 * 1024
assert RECORD_BYTES_MAX + HEADER.size < _CHUNK_BYTES


class Position(NamedTuple):
    """A place between two records.

    Attributes:
        segment: The number of the segment.
        offset: Bytes from its beginning.
    """

    segment: int
    offset: int


START: Final = Position(1, SEGMENT_HEADER_BYTES)
"""Where the first record begins."""


class Record(NamedTuple):
    """A record that was read.

    Attributes:
        type: A `RecordType`, as an int.
        payload: A view of its payload.
        end: Where the next record begins.
    """

    type: int
    payload: memoryview
    end: Position


class Damage(NamedTuple):
    """Bytes of a spool that hold no readable record.

    Attributes:
        position: Where they begin.
        bytes: How many.
        torn_tail: Whether they are what a dead process left half-written at the very end: no `log()` had returned for it.
    """

    position: Position
    bytes: int
    torn_tail: bool

    def __str__(self) -> str:
        place = f"{self.bytes:,} bytes at offset {self.position.offset:,} of segment {self.position.segment}"
        if self.torn_tail:
            return f"The last record was not written to its end when the process died ({place}): it was left out."
        return f"The spool is damaged: {place} cannot be read and are lost. What follows is kept."


class SpoolReader:
    """Reads the records of a spool in order, from any position that a record of it ends at.

    Args:
        folder: The spool.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key_sets: dict[int, tuple[int, ...]] = {}
        self._key_sets_up_to = Position(0, 0)

    def end(self) -> Position:
        """Where the data ends now. It moves when something was written."""
        numbers = segment_numbers(self._folder)
        if not numbers:
            return Position(0, 0)
        try:
            return Position(numbers[-1], segment_path(self._folder, numbers[-1]).stat().st_size)
        except FileNotFoundError:
            return Position(numbers[-1], 0)

    def records(self, start: Position, *, ended: bool, damage: list[Damage]) -> Iterator[Record]:
        """Yields the records from a position to the last one that is whole.

        Args:
            start: Where to begin.
            ended: Whether nobody writes any more. Then what is half-written at the end is reported as a torn tail.
            damage: Takes what could not be read.

        Raises:
            SpoolCorrupt: A segment has a format that this version does not know.
        """
        position = start
        while True:
            # Looked up before the segment is read: once the next one is there, this one grows no more.
            following = [number for number in segment_numbers(self._folder) if number > position.segment]
            last = not following
            for record in self._records_of(position, complete=ended or not last, last=last, damage=damage):
                position = record.end
                yield record
            if last:
                return
            if following[0] != position.segment + 1:
                damage.append(Damage(Position(position.segment + 1, 0), 0, torn_tail=False))
            position = Position(following[0], SEGMENT_HEADER_BYTES)

    def key_sets(self, position: Position) -> dict[int, tuple[int, ...]]:
        """The key sets that are defined in a segment up to a position: key ids by the id of the set."""
        known = self._key_sets_up_to
        if known.segment != position.segment or known.offset > position.offset:
            self._key_sets = {}
            known = Position(position.segment, SEGMENT_HEADER_BYTES)
        if known != position:
            for record in self._records_of(known, complete=True, last=False, damage=[], stop=position.offset):
                if record.type == RecordType.KEY_SET:
                    set_id, key_ids = parse_key_set(record.payload)
                    self._key_sets[set_id] = key_ids
            self._key_sets_up_to = position
        return self._key_sets

    def _records_of(
        self, start: Position, *, complete: bool, last: bool, damage: list[Damage], stop: int | None = None
    ) -> Iterator[Record]:
        """Yields the records of one segment, up to the offset `stop` if there is one."""
        number = start.segment
        try:
            file = segment_path(self._folder, number).open("rb", buffering=0)
        except FileNotFoundError:
            return
        with file:
            problem = segment_header_problem(file.read(SEGMENT_HEADER_BYTES) or b"", number)
            if problem is not None:
                raise SpoolCorrupt(f"{segment_path(self._folder, number)} cannot be read: {problem}.")
            offset = start.offset
            while stop is None or offset < stop:
                file.seek(offset)
                buffer = memoryview(file.read(_CHUNK_BYTES) or b"")
                position = 0
                while (found := record_at(buffer, position)) is not None:
                    position = found.end
                    yield Record(found.type, buffer[found.start : position], Position(number, offset + position))
                    if stop is not None and offset + position >= stop:
                        return
                offset += position
                if not buffer:
                    return
                if position:
                    # A record may go on behind the chunk, or may have been written since.
                    continue
                file.seek(offset)
                # The whole rest at once: a record must not hide across two chunks. Damage is rare, and a segment ends.
                rest = memoryview(file.readall() or b"")
                found_at = next_record(rest, 0)
                if found_at is None:
                    if complete and len(rest):
                        damage.append(Damage(Position(number, offset), len(rest), torn_tail=last))
                    return
                if found_at:
                    damage.append(Damage(Position(number, offset), found_at, torn_tail=False))
                    offset += found_at


def parse_key_set(payload: memoryview) -> tuple[int, tuple[int, ...]]:
    """The id of a key set, and the ids of its keys."""
    set_id, *key_ids = struct.unpack(f"<{len(payload) // 4}I", payload)
    return set_id, tuple(key_ids)
