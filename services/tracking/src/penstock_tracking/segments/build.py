"""Makes a segment of batches: rows of the same rank and keys become tables, column by column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from penstock_tracking.ingest.codec import DecodedBlock, Float64s, Int64s
from penstock_tracking.segments.batches import DecodedBatch
from penstock_tracking.segments.layout import CHUNK_ROWS, DIGEST_BYTES, HEADER, PYRAMID, Directory, Span, Table
from penstock_tracking.segments.numbers import framed, packed
from penstock_tracking.series.downsample import buckets_of
from penstock_tracking.series.latest import LatestTable
from penstock_tracking.series.points import in_order

__all__ = ["SegmentImage", "WriterTail", "build", "row_index"]

_DISTANT_FUTURE_US: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WriterTail:
    """Batches of one writer, at least one, that follow each other.

    Attributes:
        keys_before: How many keys the writer had defined before them.
        keys: All it had defined with the last of them, in the order of their numbers.
    """

    keys_before: int
    keys: list[str]
    batches: Sequence[DecodedBatch]

    @property
    def first_us(self) -> int:
        """The time of its first row."""
        for batch in self.batches:
            for block in batch.blocks:
                return int(block.times_us[0])
        return _DISTANT_FUTURE_US


@dataclass(frozen=True, slots=True)
class SegmentImage:
    """The bytes of a segment, in pieces, and its directory."""

    pieces: list[bytes]
    directory: Directory
    size: int
    directory_bytes: int


class _Sections:
    """What was written of a segment so far."""

    def __init__(self) -> None:
        self.pieces = [HEADER]
        self.size = len(HEADER)

    def add(self, data: bytes) -> int:
        """Adds a section, and returns its offset."""
        offset = self.size
        self.pieces.append(data)
        self.size += len(data)
        return offset


def build(tails: Sequence[WriterTail]) -> SegmentImage:
    """Makes a segment of the batches of writers. Those that began earlier come first, so that rows are in order oftener."""
    sections = _Sections()
    keys: dict[str, int] = {}
    spans: list[Span] = []
    blocks_of: dict[tuple[int, tuple[int, ...]], list[DecodedBlock]] = {}
    table_numbers: dict[tuple[int, tuple[int, ...]], int] = {}
    block_counts: list[int] = []
    block_tables: list[int] = []
    block_rows: list[int] = []
    digests: list[bytes] = []
    for tail in sorted(tails, key=lambda tail: tail.first_us):
        defined = [keys.setdefault(key, len(keys)) for key in tail.keys[tail.keys_before :]]
        known: dict[tuple[int, ...], tuple[int, ...]] = {}
        for batch in tail.batches:
            block_counts.append(len(batch.blocks))
            digests.append(batch.digest[:DIGEST_BYTES])
            for block in batch.blocks:
                ids = known.get(block.key_ids)
                if ids is None:
                    names_of = [tail.keys[key_id] for key_id in block.key_ids]
                    ids = known[block.key_ids] = tuple(keys.setdefault(key, len(keys)) for key in names_of)
                identity = (batch.rank, ids)
                block_tables.append(table_numbers.setdefault(identity, len(table_numbers)))
                block_rows.append(len(block.steps))
                blocks_of.setdefault(identity, []).append(block)
        first, last = tail.batches[0], tail.batches[-1]
        spans.append(
            Span(
                first.writer_key,
                first.rank,
                first.sequence,
                last.sequence,
                tail.keys_before,
                np.array(defined, np.int64),
            )
        )
    names = list(keys)
    latest = LatestTable()
    tables = [_table(sections, rank, ids, blocks_of.pop((rank, ids)), names, latest) for rank, ids in table_numbers]
    index = [packed(np.array(column, np.int64)) for column in (block_counts, block_tables, block_rows)]
    batches_at = sections.add(framed([*index, b"".join(digests)]))
    directory = Directory(names, spans, tables, batches_at, sections.size, latest.columns(names))
    end = directory.to_bytes(sections.size)
    sections.add(end)
    return SegmentImage(sections.pieces, directory, sections.size, len(end))


def _table(
    sections: _Sections,
    rank: int,
    ids: tuple[int, ...],
    blocks: list[DecodedBlock],
    names: list[str],
    latest: LatestTable,
) -> Table:
    steps = np.concatenate([block.steps for block in blocks])
    times = np.concatenate([block.times_us for block in blocks])
    values = np.empty((len(ids), len(steps)), np.float64)
    row = 0
    for block in blocks:
        values[:, row : row + len(block.steps)] = block.values.T
        row += len(block.steps)
    blocks.clear()
    latest.take(names, DecodedBlock(ids, steps, times, values.T))
    starts = np.arange(0, len(steps), CHUNK_ROWS)
    chunk_rows = np.diff(starts, append=len(steps))
    step_chunks, time_chunks = _chunks(steps, starts), _chunks(times, starts)
    rows_at = sections.add(b"".join(step_chunks + time_chunks))
    index_at = sections.add(row_index(step_chunks, time_chunks, steps, times, starts))
    index_end = sections.size
    value_offsets: list[int] = []
    pyramids: list[bytes] = []
    for column in values:
        chunks = _chunks(column, starts)
        value_offsets.append(sections.add(b"".join(chunks)))
        buckets = buckets_of(steps, times, column, starts)
        lengths = packed(np.array([len(chunk) for chunk in chunks], np.int64))
        pyramids.append(framed([lengths, *(packed(getattr(buckets, name)) for name in PYRAMID)]))
    value_offsets.append(sections.size)
    pyramid_offsets = [*(sections.add(pyramid) for pyramid in pyramids), sections.size]
    return Table(
        rank,
        in_order(steps, times),
        np.array(ids, np.int64),
        chunk_rows,
        rows_at,
        index_at,
        index_end,
        np.array(value_offsets, np.int64),
        np.array(pyramid_offsets, np.int64),
    )


def _chunks(column: Int64s | Float64s, starts: Int64s) -> list[bytes]:
    return [packed(column[start : start + CHUNK_ROWS]) for start in starts]


def row_index(
    step_chunks: Sequence[bytes], time_chunks: Sequence[bytes], steps: Int64s, times: Int64s, starts: Int64s
) -> bytes:
    """The index of the rows of a table whose chunks begin at `starts`: see `layout`."""
    ends = np.append(starts[1:], len(steps)) - 1
    columns: list[Any] = [
        np.array([len(chunk) for chunk in step_chunks], np.int64),
        np.array([len(chunk) for chunk in time_chunks], np.int64),
        steps[starts],
        steps[ends],
        np.minimum.reduceat(steps, starts),
        np.maximum.reduceat(steps, starts),
        times[starts],
        times[ends],
    ]
    return framed([packed(column) for column in columns])
