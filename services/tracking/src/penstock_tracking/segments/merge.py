"""Makes one segment of several that follow each other, without decoding more than what is small.

Tables of the same rank and keys become one, their chunks one after another as they are; only neighbours that fit into one
chunk together are decoded and packed anew. Columns pass through one at a time and in pieces, so that memory does not depend
on the size of the segments.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np

from penstock_tracking.ingest.codec import Int64s
from penstock_tracking.segments.layout import CHUNK_ROWS, HEADER, INDEX, PYRAMID, Directory, Span, Table
from penstock_tracking.segments.numbers import framed, packed
from penstock_tracking.segments.read import OpenSegment, RowIndex, decoded_chunks
from penstock_tracking.series.downsample import joined
from penstock_tracking.series.latest import LatestTable

__all__ = ["SegmentMerge", "Work"]

PIECE_BYTES: Final = 4_000_000  # of a column in memory at once


class Work(Protocol):
    """Does heavy work where it holds up nobody."""

    async def __call__(self, work: Callable[..., Any], *args: Any) -> Any:
        """Runs a function with arguments and returns its result."""
        ...


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of one of the segments."""

    segment: OpenSegment
    table: Table
    index: RowIndex


class _Groups:
    """Which chunks of the sources, one after another, become one. S sources, C chunks in all, G groups."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        counts = [len(source.index.rows) for source in sources]
        self.source_of = np.repeat(np.arange(len(sources)), counts)
        self.chunk_of = np.concatenate([np.arange(count) for count in counts])
        self.rows = np.concatenate([source.index.rows for source in sources])
        starts: list[int] = []
        gathered = CHUNK_ROWS
        for place, rows in enumerate(self.rows.tolist()):
            if gathered + rows > CHUNK_ROWS:
                starts.append(place)
                gathered = 0
            gathered += rows
        self.starts = np.array(starts, np.int64)
        self.ends = np.append(self.starts[1:], len(self.rows))
        self.group_rows: Int64s = np.add.reduceat(self.rows, self.starts)

    def pieces(self, lengths: Int64s) -> list[tuple[int, int]]:
        """Ranges of groups that have about `PIECE_BYTES` bytes each; `lengths` are those of the chunks."""
        sizes = np.add.reduceat(lengths, self.starts)
        found: list[tuple[int, int]] = []
        first, gathered = 0, 0
        for group, size in enumerate(sizes.tolist()):
            if group > first and gathered + size > PIECE_BYTES:
                found.append((first, group))
                first, gathered = group, 0
            gathered += size
        return [*found, (first, len(sizes))]

    def runs(self, first: int, end: int) -> list[tuple[int, slice]]:
        """The chunks of some groups: of each source that has some, which."""
        low, high = int(self.starts[first]), int(self.ends[end - 1])
        found: list[tuple[int, slice]] = []
        for source in np.unique(self.source_of[low:high]).tolist():
            own = self.chunk_of[low:high][self.source_of[low:high] == source]
            found.append((source, slice(int(own[0]), int(own[-1]) + 1)))
        return found


class SegmentMerge:
    """A merge under way. `pieces` yields the bytes of the new segment; `directory` is complete when they are all out."""

    def __init__(self, segments: Sequence[OpenSegment], work: Work) -> None:
        self._segments = segments
        self._work = work
        self._size = 0
        self.directory: Directory | None = None
        self.directory_bytes = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the new segment. Raises `SegmentGone`."""
        keys: dict[str, int] = {}
        for segment in self._segments:
            for key in segment.directory.keys:
                keys.setdefault(key, len(keys))
        names = list(keys)
        sources: dict[tuple[int, tuple[int, ...]], list[tuple[int, int]]] = {}
        for number, segment in enumerate(self._segments):
            places = np.array([keys[key] for key in segment.directory.keys], np.int64)
            for own, table in enumerate(segment.directory.tables):
                sources.setdefault((table.rank, tuple(places[table.keys].tolist())), []).append((number, own))
        yield self._sized(HEADER)
        tables: list[Table] = []
        for (rank, ids), places_of in sources.items():
            own_sources = [await self._source(number, own) for number, own in places_of]
            async for piece in self._table(rank, ids, own_sources, tables):
                yield self._sized(piece)
        batches_at = self._size
        table_numbers = {place: number for number, places in enumerate(sources.values()) for place in places}
        yield self._sized(await self._batches(table_numbers))
        latest = LatestTable()
        for segment in self._segments:
            await self._work(latest.take_columns, segment.directory.keys, segment.directory.latest)
        directory = Directory(names, self._spans(keys), tables, batches_at, self._size, latest.columns(names))
        end = await self._work(directory.to_bytes, self._size)
        yield self._sized(end)
        self.directory, self.directory_bytes = directory, len(end)

    def _sized(self, piece: bytes) -> bytes:
        self._size += len(piece)
        return piece

    async def _source(self, number: int, own: int) -> _Source:
        segment = self._segments[number]
        table = segment.directory.tables[own]
        return _Source(segment, table, await segment.row_index(table))

    async def _table(
        self, rank: int, ids: tuple[int, ...], sources: Sequence[_Source], tables: list[Table]
    ) -> AsyncIterator[bytes]:
        groups = _Groups(sources)
        rows_at = self._size
        row_lengths: list[Int64s] = []
        for which, name in enumerate(("step_bytes", "time_bytes")):
            lengths = [getattr(source.index, name) for source in sources]

            async def fetch_rows(source: int, chunks: slice, which: int = which) -> bytes:
                own = sources[source]
                return await own.segment.row_chunks(own.table, own.index, which, chunks)

            made: list[int] = []
            async for piece in self._column(groups, lengths, fetch_rows, np.int64, made):
                yield piece
            row_lengths.append(np.array(made, np.int64))
        index_at = self._size
        yield framed([packed(column) for column in (*row_lengths, *_index(groups, sources))])
        index_end = self._size
        values: list[int] = []
        pyramids: list[bytes] = []
        for column in range(len(ids)):
            values.append(self._size)
            read = [await source.segment.pyramid(source.table, source.index, column) for source in sources]

            async def fetch_values(source: int, chunks: slice, column: int = column, read: Any = read) -> bytes:
                own = sources[source]
                return await own.segment.values(own.table, column, read[source][0], chunks)

            made = []
            async for piece in self._column(groups, [lengths for lengths, _ in read], fetch_values, np.float64, made):
                yield piece
            buckets = joined([buckets for _, buckets in read]).grouped(groups.starts)
            lengths_made = packed(np.array(made, np.int64))
            pyramids.append(framed([lengths_made, *(packed(getattr(buckets, name)) for name in PYRAMID)]))
        values.append(self._size)
        pyramid_offsets = self._size + np.cumsum([0, *map(len, pyramids)])
        yield b"".join(pyramids)
        tables.append(
            Table(
                rank,
                _ordered(sources),
                np.array(ids, np.int64),
                groups.group_rows,
                rows_at,
                index_at,
                index_end,
                np.array(values, np.int64),
                pyramid_offsets,
            )
        )

    async def _column(
        self,
        groups: _Groups,
        lengths: Sequence[Int64s],
        fetch: Callable[[int, slice], Awaitable[bytes]],
        dtype: Any,
        made: list[int],
    ) -> AsyncIterator[bytes]:
        """The chunks of one column, merged; `made` gets the bytes of each."""
        for first, end in groups.pieces(np.concatenate(lengths)):
            data: list[bytes] = []
            own_lengths: list[Int64s] = []
            for source, chunks in groups.runs(first, end):
                data.append(await fetch(source, chunks))
                own_lengths.append(lengths[source][chunks])
            chunks_out = await self._work(
                _regrouped, b"".join(data), np.concatenate(own_lengths), groups, first, end, dtype
            )
            made += map(len, chunks_out)
            yield b"".join(chunks_out)

    async def _batches(self, table_numbers: dict[tuple[int, int], int]) -> bytes:
        counts: list[Int64s] = []
        tables: list[Int64s] = []
        rows: list[Int64s] = []
        digests: list[bytes] = []
        for number, segment in enumerate(self._segments):
            own = await segment.batches()
            mapped = [table_numbers[number, table] for table in range(len(segment.directory.tables))]
            counts.append(np.diff(own.block_starts))
            tables.append(np.array(mapped, np.int64)[own.tables])
            rows.append(own.rows)
            digests.append(own.digests)
        columns = [await self._work(packed, np.concatenate(column)) for column in (counts, tables, rows)]
        return framed([*columns, b"".join(digests)])

    def _spans(self, keys: dict[str, int]) -> list[Span]:
        spans: list[Span] = []
        for segment in self._segments:
            places = np.array([keys[key] for key in segment.directory.keys], np.int64)
            for span in segment.directory.spans:
                span = replace(span, defined=places[span.defined])
                before = spans[-1] if spans else None
                if before is not None and (before.writer_key, before.rank) == (span.writer_key, span.rank):
                    defined = np.concatenate([before.defined, span.defined])
                    spans[-1] = replace(before, last=span.last, defined=defined)
                else:
                    spans.append(span)
        return spans


def _regrouped(data: bytes, lengths: Int64s, groups: _Groups, first: int, end: int, dtype: Any) -> list[bytes]:
    """The chunks of some groups, made of those that follow each other in `data`."""
    found: list[bytes] = []
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    base = int(groups.starts[first])
    for group in range(first, end):
        low, high = int(groups.starts[group]), int(groups.ends[group])
        piece = data[offsets[low - base] : offsets[high - base]]
        if high - low > 1:
            rows = groups.rows[low:high]
            piece = packed(decoded_chunks(piece, lengths[low - base : high - base], rows, dtype))
        found.append(piece)
    return found


def _index(groups: _Groups, sources: Sequence[_Source]) -> list[Int64s]:
    """The index of merged rows but for the bytes of the chunks: see `INDEX`."""
    columns = {name: np.concatenate([getattr(source.index, name) for source in sources]) for name in INDEX}
    starts, ends = groups.starts, groups.ends - 1
    return [
        columns["first_steps"][starts],
        columns["last_steps"][ends],
        np.minimum.reduceat(columns["least_steps"], starts),
        np.maximum.reduceat(columns["greatest_steps"], starts),
        columns["first_times"][starts],
        columns["last_times"][ends],
    ]


def _ordered(sources: Sequence[_Source]) -> bool:
    """Whether the rows of all sources, one after another, are in order."""
    if not all(source.table.ordered for source in sources):
        return False
    for before, after in pairwise(sources):
        end = (before.index.last_steps[-1], before.index.last_times[-1])
        if end > (after.index.first_steps[0], after.index.first_times[0]):
            return False
    return True
