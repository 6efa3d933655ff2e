"""Reads segments: rows, columns and batches of them, fetching no more than is asked for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from penstock_kit.threads import in_thread
from penstock_tracking.ingest.codec import DecodedBlock, Float64s, Int64s
from penstock_tracking.segments.batches import DecodedBatch
from penstock_tracking.segments.files import SegmentReads
from penstock_tracking.segments.layout import DIGEST_BYTES, PYRAMID, Directory, Span, Table
from penstock_tracking.segments.manifest import SegmentRef
from penstock_tracking.segments.numbers import unframed, unpacked, unpacked_into
from penstock_tracking.series.downsample import Buckets

__all__ = ["Batches", "OpenSegment", "RowIndex", "decoded_chunks"]

READS_AT_ONCE: Final = 8  # of one segment


@dataclass(frozen=True, slots=True)
class RowIndex:
    """What is known of the chunks of a table without their rows; (C,) each."""

    rows: Int64s
    step_bytes: Int64s
    time_bytes: Int64s
    first_steps: Int64s
    last_steps: Int64s
    least_steps: Int64s
    greatest_steps: Int64s
    first_times: Int64s
    last_times: Int64s


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a segment, B of them, and their blocks."""

    block_starts: Int64s  # (B + 1,)
    tables: Int64s  # of each block
    rows: Int64s
    first_rows: Int64s  # in its table
    digests: bytes


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """A segment of a run, its directory at hand. Its methods raise `SegmentGone`, `SegmentDamaged`."""

    files: SegmentReads
    run_key: bytes
    ref: SegmentRef
    directory: Directory

    async def section(self, start: int, end: int) -> bytes:
        """Bytes of the segment."""
        return await self.files.read(self.run_key, self.ref, start, end)

    async def row_index(self, table: Table) -> RowIndex:
        """The index of a table."""
        data = await self.section(table.index_at, table.index_end)
        count = len(table.chunk_rows)
        columns = [unpacked(part, np.int64, count) for part in unframed(data)]
        return RowIndex(table.chunk_rows, *columns)

    async def row_chunks(self, table: Table, index: RowIndex, which: int, chunks: slice) -> bytes:
        """The bytes of the steps (0) or times (1) of some chunks, for `decoded_chunks`."""
        if which == 0:
            return await self._chunks(table.rows_at, index.step_bytes, chunks)
        return await self._chunks(table.rows_at + int(index.step_bytes.sum()), index.time_bytes, chunks)

    async def pyramid(self, table: Table, index: RowIndex, column: int) -> tuple[Int64s, Buckets]:
        """How many bytes each chunk of a column of an ordered table has, and the bucket of each."""
        data = await self.section(int(table.pyramids[column]), int(table.pyramids[column + 1]))
        count = len(table.chunk_rows)
        lengths, *columns = unframed(data)
        own: dict[str, Any] = {
            name: unpacked(part, np.int64 if name.endswith(("steps", "counts")) else np.float64, count)
            for name, part in zip(PYRAMID, columns, strict=True)
        }
        buckets = Buckets(
            counts=table.chunk_rows,
            first_steps=index.first_steps,
            last_steps=index.last_steps,
            last_times_unix_us=index.last_times,
            **own,
        )
        return unpacked(lengths, np.int64, count), buckets

    async def value_lengths(self, table: Table, column: int) -> Int64s:
        """How many bytes each chunk of a column has."""
        data = await self.section(int(table.pyramids[column]), int(table.pyramids[column + 1]))
        return unpacked(unframed(data)[0], np.int64, len(table.chunk_rows))

    async def values(self, table: Table, column: int, lengths: Int64s, chunks: slice) -> bytes:
        """The bytes of the values of some chunks, for `decoded_chunks`."""
        return await self._chunks(int(table.values[column]), lengths, chunks)

    async def _chunks(self, start: int, lengths: Int64s, chunks: slice) -> bytes:
        before = int(lengths[: chunks.start].sum())
        wanted = int(lengths[chunks].sum())
        return await self.section(start + before, start + before + wanted)

    async def batches(self) -> Batches:
        """The batches and their blocks."""
        directory = self.directory
        counts, tables, rows, digests = unframed(await self.section(directory.batches_at, directory.batches_end))
        batch_count = directory.batches
        block_starts = np.concatenate([[0], np.cumsum(unpacked(counts, np.int64, batch_count))])
        blocks = int(block_starts[-1])
        block_tables, block_rows = unpacked(tables, np.int64, blocks), unpacked(rows, np.int64, blocks)
        first_rows = np.empty(blocks, np.int64)
        order = np.argsort(block_tables, kind="stable")
        ends = np.cumsum(block_rows[order])
        before = ends - block_rows[order]
        table_starts = np.flatnonzero(np.diff(block_tables[order], prepend=-1))
        sizes = np.diff(table_starts, append=blocks)
        first_rows[order] = before - np.repeat(before[table_starts], sizes) if blocks else before
        return Batches(block_starts, block_tables, block_rows, first_rows, bytes(digests))

    async def digest(self, writer_key: bytes, sequence: int) -> bytes | None:
        """The beginning of the digest of a batch, None if the batch is not here."""
        for place, span in self.directory.spans_of.get(writer_key, ()):
            if span.first <= sequence <= span.last:
                start = (place + sequence - span.first) * DIGEST_BYTES
                return (await self.batches()).digests[start : start + DIGEST_BYTES]
        return None

    async def read(self, place: int, span: Span, after: int, upto: int, bytes_max: int) -> list[DecodedBatch]:
        """The batches of a span above `after` and up to `upto`, at least one, and no further one above `bytes_max` bytes.

        Args:
            place: The place of the first batch of the span, see `Directory.spans_of`.
        """
        batches = await self.batches()
        tables = self.directory.tables
        first = place + max(after + 1, span.first) - span.first
        stop = place + min(upto, span.last) + 1 - span.first
        column_counts = np.array([len(table.keys) for table in tables], np.int64)
        block_bytes = batches.rows * (column_counts[batches.tables] * 8 + 16)
        bytes_before = np.concatenate([[0], np.cumsum(block_bytes)])[batches.block_starts]
        fitting = int(np.searchsorted(bytes_before, bytes_before[first] + bytes_max, side="right")) - 1
        stop = min(stop, max(fitting, first + 1))
        blocks = slice(int(batches.block_starts[first]), int(batches.block_starts[stop]))
        wanted = np.unique(batches.tables[blocks])
        decoded: dict[int, tuple[int, DecodedBlock]] = {}
        for number in wanted.tolist():
            mine = np.flatnonzero(batches.tables[blocks] == number) + blocks.start
            start = int(batches.first_rows[mine[0]])
            decoded[number] = await self._table_rows(
                tables[number], start, int(batches.first_rows[mine[-1]] + batches.rows[mine[-1]])
            )
        found: list[DecodedBatch] = []
        for batch in range(first, stop):
            own: list[DecodedBlock] = []
            rank = span.rank
            for block in range(int(batches.block_starts[batch]), int(batches.block_starts[batch + 1])):
                number = int(batches.tables[block])
                rank = tables[number].rank
                first_row, rows = decoded[number]
                start = int(batches.first_rows[block]) - first_row
                piece = slice(start, start + int(batches.rows[block]))
                own.append(DecodedBlock(rows.key_ids, rows.steps[piece], rows.times_us[piece], rows.values[piece]))
            found.append(
                DecodedBatch(
                    writer_key=span.writer_key,
                    rank=rank,
                    sequence=span.first + batch - place,
                    digest=batches.digests[batch * DIGEST_BYTES : (batch + 1) * DIGEST_BYTES],
                    keys=self.directory.keys,
                    blocks=own,
                    content_bytes=int(bytes_before[batch + 1] - bytes_before[batch]),
                )
            )
        return found

    async def _table_rows(self, table: Table, start: int, end: int) -> tuple[int, DecodedBlock]:
        """The rows of a table from `start` to before `end`, and some around them; and which row the first of them is."""
        index = await self.row_index(table)
        ends = np.cumsum(index.rows)
        low, high = np.searchsorted(ends, [start, end - 1], side="right")
        chunks = slice(int(low), int(high) + 1)
        some_rows = index.rows[chunks]
        turn = asyncio.Semaphore(READS_AT_ONCE)

        async def column_of(column: int) -> tuple[bytes, Int64s]:
            async with turn:
                lengths = await self.value_lengths(table, column)
                return await self.values(table, column, lengths, chunks), lengths[chunks]

        step_data = await self.row_chunks(table, index, 0, chunks)
        time_data = await self.row_chunks(table, index, 1, chunks)
        columns = await asyncio.gather(*(column_of(column) for column in range(len(table.keys))))

        def work() -> DecodedBlock:
            values = np.empty((int(some_rows.sum()), len(columns)), np.float64)
            for number, (data, lengths) in enumerate(columns):
                values[:, number] = decoded_chunks(data, lengths, some_rows, np.float64)
            return DecodedBlock(
                tuple(table.keys.tolist()),
                decoded_chunks(step_data, index.step_bytes[chunks], some_rows, np.int64),
                decoded_chunks(time_data, index.time_bytes[chunks], some_rows, np.int64),
                values,
            )

        return int(ends[chunks.start] - index.rows[chunks.start]), await in_thread(work)


def decoded_chunks(data: bytes, lengths: Int64s | Sequence[int], rows: Int64s | Sequence[int], dtype: Any) -> Any:
    """The chunks of a column, which follow each other in `data`, as one column."""
    column: Int64s | Float64s = np.empty(int(np.sum(rows)), dtype)
    view = memoryview(data)
    start = row = 0
    for length, count in zip(lengths, rows, strict=True):
        unpacked_into(view[start : start + length], column[row : row + count])
        start += length
        row += count
    return column
