"""The format of a segment, version 1.

A segment is written once and never changed. All numbers are little-endian. A column is what `numbers.packed` makes; a frame
is what `numbers.framed` makes.

    offset 0    "PSSG", the version as a byte, three zero bytes
    offset 8    sections, in no order that a reader relies on
    then        the directory: a msgpack map
    last 16     offset of the directory (u64), CRC-32 of the directory (u32), "PSSG"

**Tables.** Rows of one rank with the same keys in the same order. Rows stand as their writers logged them, batch by batch.
They are cut into chunks of at most `CHUNK_ROWS`, the same for all columns of the table, and each chunk of a column is a
column of its own, so that a range of rows is read without the rest. The directory says for each table

    rank, number of keys, number of chunks; whether it is ordered by (step, time); rows of each chunk; its keys
    offset of its rows      the chunks of the steps one after another, then those of the times
    offset of its index     frame of columns over the chunks: bytes of the steps, bytes of the times, then the first, last,
                            least and greatest step, the first and last time
    offsets of its values   one per key, and the end: the chunks of the key's values one after another
    offsets of its pyramids one per key, and the end: frame of columns over the chunks: bytes of the values, then the bucket
                            of the chunk (`PYRAMID`), its counts and steps being those of the index

**Spans.** A span is a contiguous range of one writer's batches: first and last sequence, rank, how many keys the writer had
defined before, and which it defined within. Spans stand in the order in which their batches' rows stand in the tables. The
section "batches" is a frame of columns: blocks of each batch; table and rows of each block; then the digests, the first
`DIGEST_BYTES` of each batch's. A batch says nothing but points here: what else it said is in the record of the run. Of points
that its writer wanted once (`collapse_identical`) there is one.

**Latest.** Step, time and value of the latest point of each key, its minimum, maximum and count, as `series.latest` defines
them.
"""

import struct
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack
import numpy as np

from penstock_tracking.ingest.codec import Int64s
from penstock_tracking.segments.numbers import packed, unpacked

__all__ = [
    "CHUNK_ROWS",
    "DIGEST_BYTES",
    "HEADER",
    "INDEX",
    "PYRAMID",
    "Directory",
    "SegmentDamaged",
    "Span",
    "Table",
]

CHUNK_ROWS: Final = 2_048
DIGEST_BYTES: Final = 16
VERSION: Final = 1
MAGIC: Final = b"PSSG"
HEADER: Final = MAGIC + bytes([VERSION, 0, 0, 0])
INDEX: Final = ("first_steps", "last_steps", "least_steps", "greatest_steps", "first_times", "last_times")
PYRAMID: Final = (
    "mins",
    "min_steps",
    "maxs",
    "max_steps",
    "means",
    "lasts",
    "nan_counts",
    "positive_infinity_counts",
    "negative_infinity_counts",
)
_TRAILER: Final = struct.Struct("<QI4s")


class SegmentDamaged(Exception):
    """What should be a segment is none, or one of a version that this program does not know."""


@dataclass(frozen=True, slots=True)
class Span:
    """A contiguous range of batches of one writer.

    Attributes:
        keys_before: How many keys the writer had defined before `first`.
        defined: The keys it defined within, by their place in the directory, in the order of the writer's numbers.
    """

    writer_key: bytes
    rank: int
    first: int
    last: int
    keys_before: int
    defined: Int64s

    @property
    def batches(self) -> int:
        """How many batches."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Table:
    """Where a table is in its segment: see the module. K keys, C chunks.

    Attributes:
        keys: (K,) by their place in the directory.
        chunk_rows: (C,).
        values: (K + 1,) offsets.
        pyramids: (K + 1,) offsets.
    """

    rank: int
    ordered: bool
    keys: Int64s
    chunk_rows: Int64s
    rows_at: int
    index_at: int
    index_end: int
    values: Int64s
    pyramids: Int64s

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.chunk_rows.sum())


@dataclass(frozen=True, slots=True)
class Directory:
    """What a segment holds and where."""

    keys: list[str]
    spans: list[Span]
    tables: list[Table]
    batches_at: int
    batches_end: int
    latest: dict[str, Any]
    spans_of: dict[bytes, list[tuple[int, Span]]] = field(default_factory=dict)
    """Writer → its spans, each with the place of its first batch among all batches."""
    _places: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = 0
        for span in self.spans:
            self.spans_of.setdefault(span.writer_key, []).append((place, span))
            place += span.batches

    @property
    def places(self) -> Mapping[str, list[tuple[int, int]]]:
        """Key → the tables that have it, and which of their columns it is."""
        # Not before it is wanted: for latest values, of many runs at once, it never is, and it is large.
        if not self._places:
            places: dict[str, list[tuple[int, int]]] = {}
            for number, table in enumerate(self.tables):
                for column, key in enumerate(table.keys.tolist()):
                    places.setdefault(self.keys[key], []).append((number, column))
            self._places.update(places)
        return self._places

    @property
    def batches(self) -> int:
        """How many batches."""
        return sum(span.batches for span in self.spans)

    @property
    def points(self) -> int:
        """How many points."""
        return sum(table.rows * len(table.keys) for table in self.tables)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, nearly."""
        columns = sum(len(table.keys) for table in self.tables)
        chunks = sum(len(table.chunk_rows) for table in self.tables)
        defined = sum(len(span.defined) for span in self.spans)
        return 4_000 + 120 * len(self.keys) + 200 * columns + 8 * (chunks + defined) + 500 * len(self.spans)

    def to_bytes(self, offset: int) -> bytes:
        """The end of a segment: the directory, which starts at `offset`, and what comes after it."""
        spans, tables = self.spans, self.tables
        body = {
            "keys": self.keys,
            "writers": b"".join(span.writer_key for span in spans),
            "spans": _columns(
                [
                    [span.rank for span in spans],
                    [span.first for span in spans],
                    [span.last for span in spans],
                    [span.keys_before for span in spans],
                    [len(span.defined) for span in spans],
                    _joined([span.defined for span in spans]),
                ]
            ),
            "tables": _columns(
                [
                    [table.rank for table in tables],
                    [table.ordered for table in tables],
                    [len(table.keys) for table in tables],
                    [len(table.chunk_rows) for table in tables],
                    [table.rows_at for table in tables],
                    [table.index_at for table in tables],
                    [table.index_end for table in tables],
                    _joined([table.keys for table in tables]),
                    _joined([table.chunk_rows for table in tables]),
                    _joined([table.values for table in tables]),
                    _joined([table.pyramids for table in tables]),
                ]
            ),
            "batches": [self.batches_at, self.batches_end],
            "latest": {name: packed(column) for name, column in self.latest.items()},
        }
        directory: Any = msgpack.packb(body)
        return directory + _TRAILER.pack(offset, zlib.crc32(directory), MAGIC)

    @classmethod
    def from_bytes(cls, end: bytes) -> "Directory":
        """Reads what `to_bytes` made. Raises `SegmentDamaged`."""
        directory = end[: -_TRAILER.size]
        try:
            _, checksum, magic = _TRAILER.unpack(end[-_TRAILER.size :])
        except struct.error:
            raise SegmentDamaged("it is too short") from None
        if magic != MAGIC or zlib.crc32(directory) != checksum:
            raise SegmentDamaged("its directory is not what was written")
        body = msgpack.unpackb(directory)
        keys = [sys.intern(key) for key in body["keys"]]  # runs of a project mostly log the same
        batches_at, batches_end = body["batches"]
        latest = {
            name: unpacked(column, np.float64 if name in ("value", "min", "max") else np.int64, len(keys))
            for name, column in body["latest"].items()
        }
        return cls(keys, _spans(body), _tables(body), batches_at, batches_end, latest)


def _columns(columns: list[Any]) -> list[list[Any]]:
    return [[len(column), packed(np.asarray(column, np.int64))] for column in columns]


def _joined(parts: list[Int64s]) -> Int64s:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _read(columns: list[list[Any]]) -> list[Int64s]:
    return [unpacked(column, np.int64, count) for count, column in columns]


def _pieces(column: Int64s, counts: Int64s) -> list[Int64s]:
    return np.split(column, np.cumsum(counts)[:-1]) if len(counts) else []


def _spans(body: dict[str, Any]) -> list[Span]:
    *columns, defined_counts, defined = _read(body["spans"])
    writers = body["writers"]
    ranks, firsts, lasts, before = (column.tolist() for column in columns)
    return [
        Span(writers[16 * i : 16 * i + 16], ranks[i], firsts[i], lasts[i], before[i], own)
        for i, own in enumerate(_pieces(defined, defined_counts))
    ]


def _tables(body: dict[str, Any]) -> list[Table]:
    ranks, ordered, key_counts, chunk_counts, rows_at, index_at, index_end, *joined = _read(body["tables"])
    keys, chunk_rows, values, pyramids = joined
    return [
        Table(int(ranks[i]), bool(ordered[i]), *own[:2], int(rows_at[i]), int(index_at[i]), int(index_end[i]), *own[2:])
        for i, own in enumerate(
            zip(
                _pieces(keys, key_counts),
                _pieces(chunk_rows, chunk_counts),
                _pieces(values, key_counts + 1),
                _pieces(pyramids, key_counts + 1),
                strict=True,
            )
        )
    ]
