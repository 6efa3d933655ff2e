"""Tables as bytes, in chunks of consecutive rows: a chunk is a head, which says which rows and columns there are, and a
section per column, which can be read by itself.

    chunk    = head, section, section, ...
    head     = MessagePack of [FORMAT, ids, live (a bit per row), shapes, note, sections]
    shapes   = {collection: [place of each row in the pool, pool of lists of keys]}
    sections = [[collection, key, offset after the head, length, CRC-32], ...]
    section  = MessagePack of [rows from the first of the chunk or None for all, planes, texts]

An array is [type, length, bytes], shortened where it can be: see `_packed`. Whoever keeps chunks has to keep each head's
length and digest; so everything that is read is checked.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from penstock_kit.search.columns import Piece
from penstock_kit.search.table import Table

__all__ = [
    "FORMAT",
    "ROWS_PER_CHUNK",
    "Chunk",
    "ChunkDamaged",
    "ChunkRows",
    "ColumnKey",
    "EncodedChunk",
    "Section",
    "encode_chunk",
    "load_rows",
    "read_head",
]

FORMAT: Final = 3
ROWS_PER_CHUNK: Final = 8_192

ColumnKey = tuple[str, str]
"""Collection and key."""


class ChunkDamaged(Exception):
    """What was read is not what was written."""


@dataclass(frozen=True, slots=True)
class Section:
    """Where a column is within a chunk: its first byte after the head, its length in bytes and its CRC-32."""

    offset: int
    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where the columns of a chunk are.

    Attributes:
        first: The number of its first row.
        count: How many rows it has, removed ones included.
        sections: Where each column is.
    """

    first: int
    count: int
    sections: Mapping[ColumnKey, Section]

    def piece(self, key: ColumnKey, data: bytes) -> Piece:
        """The values of a column, from the bytes of its section. Raises `ChunkDamaged`."""
        self.check(key, data)
        rows, planes, texts = msgpack.unpackb(data)
        numbers = np.arange(self.count, dtype=np.int32) if rows is None else _unpacked(rows)
        return Piece(numbers + np.int32(self.first), [_unpacked(plane) for plane in planes], texts)

    def check(self, key: ColumnKey, data: bytes) -> None:
        """Raises `ChunkDamaged` if these are not the bytes of a column's section."""
        section = self.sections[key]
        if len(data) != section.length or zlib.crc32(data) != section.crc:
            raise ChunkDamaged(f"The section of {key} is not as it was written.")

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        return 400 * len(self.sections)


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows of a chunk.

    Attributes:
        ids: Of all, removed ones included.
        live: Whether each is there.
        shapes: By collection, for each row the place of its keys in a list of keys, and this list.
        note: Whatever the one who wrote the chunk added.
    """

    ids: Sequence[str]
    live: NDArray[np.bool_]
    shapes: Mapping[str, tuple[NDArray[np.int32], Sequence[Sequence[str]]]]
    note: bytes


def read_head(first: int, head: bytes) -> tuple[Chunk, ChunkRows]:
    """Reads a head, whose digest was checked, of a chunk that begins with the row `first`.

    Raises `ChunkDamaged` if it is of another format.
    """
    version, *rest = msgpack.unpackb(head)
    if version != FORMAT:
        raise ChunkDamaged(f"The chunk has format {version}, this program reads {FORMAT}.")
    ids, live, shapes, note, sections = rest
    rows = ChunkRows(
        ids,
        np.unpackbits(np.frombuffer(live, np.uint8), count=len(ids)).astype(np.bool_),
        {collection: (_unpacked(places), pool) for collection, (places, pool) in shapes.items()},
        note,
    )
    return Chunk(first, len(ids), {(name, key): Section(*place) for name, key, *place in sections}), rows


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """A chunk to be written.

    Attributes:
        head: Its first bytes.
        body: All sections.
        chunk: Where the columns are.
        included: What had been written to columns that were not loaded, by column and row: it is in the sections.
    """

    head: bytes
    body: bytes
    chunk: Chunk
    included: Mapping[ColumnKey, Mapping[int, Any]]


def encode_chunk(table: Table, number: int, before: Chunk | None, body: bytes, note: bytes) -> EncodedChunk:
    """Makes a chunk of a table.

    Args:
        table: The rows. Where a column is not loaded, its section of before is taken, with what was written since.
        number: Which chunk: the rows from `number * ROWS_PER_CHUNK` on, as many as there are, at most `ROWS_PER_CHUNK`.
        before: The chunk as it was written last, None if it was not.
        body: The sections of `before`. Empty if every column is loaded.
        note: Added to the head.

    Raises:
        ChunkDamaged: A section of before is not as it was written.
    """
    first = number * ROWS_PER_CHUNK
    end = min(first + ROWS_PER_CHUNK, table.row_count)
    data: dict[ColumnKey, bytes] = {}
    included: dict[ColumnKey, Mapping[int, Any]] = {}
    for key, column in table.columns.items():
        if column.loaded:
            piece = column.piece(first, end)
        else:
            written = column.written(first, end)
            section = before.sections.get(key) if before is not None else None
            kept = body[section.offset : section.offset + section.length] if section is not None else b""
            # A section that is of all rows does not say which: with more rows it means others.
            if before is not None and section is not None and not written and before.count == end - first:
                before.check(key, kept)
                data[key] = kept
                continue
            whole = table.new_column(*key, loaded=False)
            whole.load([before.piece(key, kept)] if before is not None and section is not None else [])
            for row, value in written.items():
                whole.set(row, value)
            piece = whole.piece(first, end)
            included[key] = written
        if len(piece.rows):
            data[key] = _section(piece, first, end)
    sections: dict[ColumnKey, Section] = {}
    offset = 0
    for key, content in data.items():
        sections[key] = Section(offset, len(content), zlib.crc32(content))
        offset += len(content)
    shapes: dict[str, Any] = {}
    for collection, of_rows in table.shapes.items():
        places, pool = of_rows.piece(first, end)
        shapes[collection] = [_packed(places), pool]
    live = np.packbits(table.live[first:end]).tobytes()
    places = [[*key, section.offset, section.length, section.crc] for key, section in sections.items()]
    head: Any = msgpack.packb([FORMAT, table.ids(first, end), live, shapes, note, places])
    return EncodedChunk(head, b"".join(data.values()), Chunk(first, end - first, sections), included)


def load_rows(table: Table, chunks: Sequence[tuple[Chunk, ChunkRows]]) -> None:
    """Adds the rows of chunks to an empty table, without values: each column waits to be loaded."""
    for chunk, rows in chunks:
        table.load_rows(rows.ids, rows.live, rows.shapes)
        for key in chunk.sections:
            table.expect(*key)


def _section(piece: Piece, first: int, end: int) -> bytes:
    rows = None if len(piece.rows) == end - first else _packed(piece.rows - np.int32(first))
    packed: Any = msgpack.packb([rows, [_packed(plane) for plane in piece.planes], piece.texts])
    return packed


def _packed(array: NDArray[Any]) -> list[Any]:
    """An array as [type, length, bytes], with one value if all are the same; integers as [type, length, bytes, base, narrower
    type], counted from the smallest."""
    kind, length = array.dtype.str, len(array)
    bits = array.view(f"u{array.dtype.itemsize}")
    if length and (bits == bits[0]).all():
        return [kind, length, array[:1].tobytes()]
    if length and array.dtype.kind in "iu":
        base = int(array.min())
        span = int(array.max()) - base
        narrow = np.min_scalar_type(span)
        if span <= np.iinfo(np.int64).max and narrow.itemsize < array.dtype.itemsize:
            return [kind, length, (array - array.dtype.type(base)).astype(narrow).tobytes(), base, narrow.str]
    return [kind, length, array.tobytes()]


def _unpacked(packed: Sequence[Any]) -> NDArray[Any]:
    kind, length, data, *narrowed = packed
    if narrowed:
        base, narrow = narrowed
        return np.frombuffer(data, narrow).astype(kind) + np.dtype(kind).type(base)
    values = np.frombuffer(data, kind)
    return np.full(length, values[0]) if len(values) == 1 and length != 1 else values
