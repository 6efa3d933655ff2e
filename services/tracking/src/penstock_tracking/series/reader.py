"""Series of a run for charts and exports: from its segments, and from what came after them.

A chart of many points is made of the small buckets that segments keep, where the points stand in order; then only those
chunks are decoded that the asked range cuts. Otherwise points are decoded, in windows of steps, so that memory does not
depend on how many there are; only points that share one step are never apart.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from penstock_kit.search import ByteBoundedCache
from penstock_kit.stores.metric_log import WriterHead
from penstock_kit.threads import in_thread
from penstock_tracking.domain import Run
from penstock_tracking.ingest.codec import Int64s
from penstock_tracking.segments.layout import CHUNK_ROWS, Table
from penstock_tracking.segments.log import RunSegments, SegmentedLog
from penstock_tracking.segments.read import OpenSegment, RowIndex, decoded_chunks
from penstock_tracking.series.columns import RunColumns
from penstock_tracking.series.downsample import Buckets, buckets_of, downsample, joined
from penstock_tracking.series.follower import LogFollower
from penstock_tracking.series.points import NO_POINTS, Points, in_order, merged

__all__ = ["CACHE_BYTES_MAX", "Charted", "RankMode", "RunSeries", "SeriesReader"]

CACHE_BYTES_MAX: Final = 32_000_000  # of what is not in segments yet
WINDOW_POINTS: Final = 500_000  # decoded at once, nearly
EXACT_POINTS_MAX: Final = 1_000_000  # of a series that is decoded as a whole
CHUNKS_PER_READ: Final = 256
_INT64: Final = np.iinfo(np.int64)


class RankMode(Enum):
    """How the ranks of a run are read: see the contract."""

    TOGETHER = "together"
    APART = "apart"
    ACROSS = "across"


Charted = tuple[int, Points | Buckets]
"""How many points the range holds, and they, or what they were reduced to."""


class _Part(ABC):
    """Points that stand together: of one column of one table. C chunks, with at least one row each."""

    def __init__(self, rows: Int64s, least: Int64s, greatest: Int64s, ordered: bool) -> None:
        self.rows = rows
        self.least = least
        self.greatest = greatest
        self.ordered = ordered

    def overlapping(self, first: int, last: int) -> npt.NDArray[np.bool_]:
        """The chunks that may hold steps of a range."""
        return (self.greatest >= first) & (self.least <= last)

    def inside(self, first: int, last: int) -> npt.NDArray[np.bool_]:
        """The chunks that hold nothing but steps of a range."""
        return (self.least >= first) & (self.greatest <= last)

    @property
    @abstractmethod
    def start(self) -> tuple[int, int]:
        """Step and time of the first row."""

    @property
    @abstractmethod
    def end(self) -> tuple[int, int]:
        """Step and time of the last row."""

    @abstractmethod
    async def fetch(self, chunks: slice) -> Callable[[], Points]:
        """Reads some chunks; what is returned decodes them, and may do so in a thread."""

    @abstractmethod
    async def buckets(self) -> Buckets:
        """A bucket for each chunk, of an ordered part."""


class _Rows:
    """Steps and times of some chunks of a table, decoded once for all its columns."""

    def __init__(self, index: RowIndex, chunks: slice, steps: bytes, times: bytes) -> None:
        self.count = int(index.rows[chunks].sum())
        self._index = index
        self._chunks = chunks
        self._data = steps, times
        self._decoded: tuple[Int64s, Int64s] | None = None

    def decoded(self) -> tuple[Int64s, Int64s]:
        """Both."""
        if self._decoded is None:
            index, rows = self._index, self._index.rows[self._chunks]
            self._decoded = (
                decoded_chunks(self._data[0], index.step_bytes[self._chunks], rows, np.int64),
                decoded_chunks(self._data[1], index.time_bytes[self._chunks], rows, np.int64),
            )
        return self._decoded


class _SharedRows:
    """The rows that were read last, `EXACT_POINTS_MAX` at most: the next series is often of the same table."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int, int], _Rows] = {}
        self._count = 0

    async def read(self, segment: OpenSegment, table: Table, index: RowIndex, chunks: slice) -> _Rows:
        """The rows of some chunks."""
        place = (id(segment), table.rows_at, chunks.start, chunks.stop)
        rows = self._kept.get(place)
        if rows is None:
            steps = await segment.row_chunks(table, index, 0, chunks)
            rows = _Rows(index, chunks, steps, await segment.row_chunks(table, index, 1, chunks))
            if self._count + rows.count > EXACT_POINTS_MAX:
                self._kept.clear()
                self._count = 0
            self._kept[place] = rows
            self._count += rows.count
        return rows


class _SegmentPart(_Part):
    def __init__(self, segment: OpenSegment, table: Table, index: RowIndex, column: int, shared: _SharedRows) -> None:
        super().__init__(index.rows, index.least_steps, index.greatest_steps, table.ordered)
        self._segment = segment
        self._table = table
        self._index = index
        self._column = column
        self._shared = shared

    @property
    @override
    def start(self) -> tuple[int, int]:
        return int(self._index.first_steps[0]), int(self._index.first_times[0])

    @property
    @override
    def end(self) -> tuple[int, int]:
        return int(self._index.last_steps[-1]), int(self._index.last_times[-1])

    @override
    async def fetch(self, chunks: slice) -> Callable[[], Points]:
        rows = self.rows[chunks]
        lengths = await self._segment.value_lengths(self._table, self._column)
        shared = await self._shared.read(self._segment, self._table, self._index, chunks)
        values = await self._segment.values(self._table, self._column, lengths, chunks)

        def decode() -> Points:
            steps, times = shared.decoded()
            return Points(steps, times, decoded_chunks(values, lengths[chunks], rows, np.float64))

        return decode

    @override
    async def buckets(self) -> Buckets:
        return (await self._segment.pyramid(self._table, self._index, self._column))[1]


class _TailPart(_Part):
    def __init__(self, points: Points) -> None:
        starts = np.arange(0, len(points), CHUNK_ROWS)
        super().__init__(
            np.diff(starts, append=len(points)),
            np.minimum.reduceat(points.steps, starts),
            np.maximum.reduceat(points.steps, starts),
            in_order(points.steps, points.times_us),
        )
        self._points = points
        self._starts = starts

    @property
    @override
    def start(self) -> tuple[int, int]:
        return int(self._points.steps[0]), int(self._points.times_us[0])

    @property
    @override
    def end(self) -> tuple[int, int]:
        return int(self._points.steps[-1]), int(self._points.times_us[-1])

    @override
    async def fetch(self, chunks: slice) -> Callable[[], Points]:
        some = self._points[chunks.start * CHUNK_ROWS : chunks.stop * CHUNK_ROWS]
        return lambda: some

    @override
    async def buckets(self) -> Buckets:
        points = self._points
        return await in_thread(
            buckets_of, points.steps, points.times_us, np.ascontiguousarray(points.values), self._starts
        )


class RunSeries:
    """The series of a run as they were at one moment. Reads of what was merged and removed since raise `SegmentGone`."""

    def __init__(self, segments: RunSegments, tail: RunColumns) -> None:
        self._segments = segments
        self._tail = tail
        self._indexes: dict[tuple[str, int], RowIndex] = {}
        self._shared = _SharedRows()

    @property
    def keys(self) -> list[str]:
        """The metrics, in order."""
        found = set(self._tail.keys)
        for segment in self._segments.segments:
            found.update(segment.directory.places)
        return sorted(found)

    def ranks(self, key: str) -> list[int]:
        """The ranks that logged a metric, in order."""
        found = set(self._tail.ranks(key))
        for segment in self._segments.segments:
            directory = segment.directory
            found.update(directory.tables[number].rank for number, _ in directory.places.get(key, ()))
        return sorted(found)

    async def _parts(self, key: str, rank: int | None) -> list[_Part]:
        parts: list[_Part] = []
        for segment in self._segments.segments:
            for number, column in segment.directory.places.get(key, ()):
                table = segment.directory.tables[number]
                if rank is None or table.rank == rank:
                    place = (segment.ref.segment_id, number)
                    index = self._indexes.get(place)
                    if index is None:
                        index = self._indexes[place] = await segment.row_index(table)
                    parts.append(_SegmentPart(segment, table, index, column, self._shared))
        parts += [_TailPart(points) for points in self._tail.parts(key, rank) if len(points)]
        return parts

    async def chart(
        self, key: str, rank: int | None, first: int | None, last: int | None, points_max: int
    ) -> Callable[[], Charted] | Charted:
        """The points of a range for a chart, reduced to buckets where they are more than `points_max`.

        What is left to do where they are few may be done in a thread, for many series at once: then it is returned.
        """
        parts = await self._parts(key, rank)
        low, high = _range(first, last)
        chunks = [part.overlapping(low, high) for part in parts]
        rows = sum(int(part.rows[some].sum()) for part, some in zip(parts, chunks, strict=True))
        inside = sum(int(part.rows[part.inside(low, high)].sum()) for part in parts)
        if inside >= max(CHUNK_ROWS * points_max, EXACT_POINTS_MAX) and _in_sequence(parts):
            buckets = [await _buckets_within(part, low, high) for part in parts]
            whole = joined([piece for pieces in buckets for piece in pieces])
            return int(whole.counts.sum()), whole.at_most(points_max)
        if rows <= EXACT_POINTS_MAX:
            decoders = [
                await part.fetch(run) for part, some in zip(parts, chunks, strict=True) for run in _runs_of(some)
            ]
            return lambda: _reduced(merged([decode().within(first, last) for decode in decoders]), points_max)
        return await self._reduced_in_windows(parts, low, high, points_max, rows)

    async def _reduced_in_windows(
        self, parts: Sequence[_Part], low: int, high: int, points_max: int, rows: int
    ) -> Charted:
        size = -(-rows // points_max)
        found: list[Buckets] = []
        async for points in _windows(parts, low, high):
            starts = np.arange(0, len(points), size)
            found.append(await in_thread(buckets_of, points.steps, points.times_us, points.values, starts))
        whole = joined(found)
        return int(whole.counts.sum()), whole.at_most(points_max)

    async def across(self, key: str, first: int | None, last: int | None, buckets_max: int) -> Charted:
        """The points of all ranks in buckets of whole steps: one for each step, where there are at most `buckets_max`."""
        low, high = _range(first, last)
        parts = await self._parts(key, None)
        found: list[Buckets] = []
        waiting = 0
        async for points in _windows(parts, low, high):
            starts = np.flatnonzero(np.diff(points.steps, prepend=points.steps[0])).tolist()
            found.append(
                await in_thread(buckets_of, points.steps, points.times_us, points.values, np.array([0, *starts]))
            )
            waiting += len(found[-1])
            if waiting > WINDOW_POINTS:
                # Halved, and halved again as long as they come: what was halved before counts as much as it holds.
                found = [joined(found).at_most(WINDOW_POINTS // 2)]
                waiting = len(found[0])
        whole = joined(found)
        return int(whole.counts.sum()), whole.at_most(buckets_max)

    async def count(self, key: str, rank: int | None, first: int | None, last: int | None) -> int:
        """How many points of a metric a range holds."""
        low, high = _range(first, last)
        total = 0
        for part in await self._parts(key, rank):
            inside = part.inside(low, high)
            total += int(part.rows[inside].sum())
            for run in _runs_of(part.overlapping(low, high) & ~inside):
                total += len(await in_thread(_decoded_within, await part.fetch(run), low, high))
        return total

    async def points(
        self, key: str, rank: int | None = None, first: int | None = None, last: int | None = None
    ) -> AsyncGenerator[Points]:
        """Every point of a metric within a range, in order, in windows."""
        async for points in _windows(await self._parts(key, rank), *_range(first, last)):
            yield points


def _range(first: int | None, last: int | None) -> tuple[int, int]:
    return _INT64.min if first is None else first, _INT64.max if last is None else last


def _decoded_within(decode: Callable[[], Points], low: int, high: int) -> Points:
    return decode().within(low, high)


def _reduced(points: Points, points_max: int) -> Charted:
    return len(points), points if len(points) <= points_max else downsample(points, points_max)


def _in_sequence(parts: Sequence[_Part]) -> bool:
    """Whether the points of all parts, one part after another, are in order."""
    return all(part.ordered for part in parts) and all(before.end <= after.start for before, after in pairwise(parts))


def _runs_of(chunks: npt.NDArray[np.bool_]) -> list[slice]:
    """The marked chunks as slices of adjacent ones, none of more than `CHUNKS_PER_READ`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chunks, [False]]).astype(np.int8)))
    return [
        slice(start, min(start + CHUNKS_PER_READ, end))
        for low, end in edges.reshape(-1, 2).tolist()
        for start in range(low, end, CHUNKS_PER_READ)
    ]


async def _buckets_within(part: _Part, low: int, high: int) -> list[Buckets]:
    """The buckets of an ordered part for a range: its own, and new ones of the chunks at the ends that the range cuts."""
    overlapping, inside = part.overlapping(low, high), part.inside(low, high)
    if not overlapping.any():
        return []
    own = await part.buckets()
    found: list[Buckets] = []
    for run in _runs_of(overlapping):
        place = run.start
        while place < run.stop:
            if inside[place]:
                end = place
                while end < run.stop and inside[end]:
                    end += 1
                found.append(own[place:end])
                place = end
                continue
            points = await in_thread(_decoded_within, await part.fetch(slice(place, place + 1)), low, high)
            if len(points):
                found.append(buckets_of(points.steps, points.times_us, points.values, np.zeros(1, np.int64)))
            place += 1
    return found


async def _windows(parts: Sequence[_Part], low: int, high: int) -> AsyncGenerator[Points]:
    """The points of a range in order, in windows of steps with about `WINDOW_POINTS` each."""
    for start, end in _cuts(parts, low, high):
        found = [
            await in_thread(_decoded_within, await part.fetch(run), start, end)
            for part in parts
            for run in _runs_of(part.overlapping(start, end))
        ]
        points = await in_thread(merged, found) if found else NO_POINTS
        if len(points):
            yield points


def _cuts(parts: Sequence[_Part], low: int, high: int) -> list[tuple[int, int]]:
    """Ranges of steps, both ends included, that together are a range and hold about `WINDOW_POINTS` each."""
    marked = [part.overlapping(low, high) for part in parts]
    if not any(some.any() for some in marked):
        return []
    least = np.concatenate([part.least[some] for part, some in zip(parts, marked, strict=True)])
    greatest = np.concatenate([part.greatest[some] for part, some in zip(parts, marked, strict=True)])
    rows = np.concatenate([part.rows[some] for part, some in zip(parts, marked, strict=True)])
    order = np.argsort(least, kind="stable")
    least, greatest, rows = least[order], greatest[order], rows[order]
    cuts: list[tuple[int, int]] = []
    start, gathered = max(low, int(least[0])), 0
    for place in range(len(least)):
        # Here, if the chunks before fill a window, and this one begins later than they did.
        if gathered >= WINDOW_POINTS and int(least[place]) > start:
            cuts.append((start, int(least[place]) - 1))
            start, gathered = int(least[place]), 0
        gathered += int(rows[place])
    cuts.append((start, min(high, int(greatest.max()))))
    return [piece for cut in cuts for piece in _halved(cut, least, greatest, rows)]


def _halved(cut: tuple[int, int], least: Int64s, greatest: Int64s, rows: Int64s) -> list[tuple[int, int]]:
    """A range cut into equal ones where its chunks hold much more than a window: they stand in no order."""
    start, end = cut
    held = int(rows[(greatest >= start) & (least <= end)].sum())
    pieces = min(held // (2 * WINDOW_POINTS) + 1, end - start + 1)
    width = -(-(end - start + 1) // pieces)
    return [(first, min(end, first + width - 1)) for first in range(start, end + 1, width)]


@dataclass(slots=True)
class _Tail:
    """What a run has above the watermarks `base`."""

    base: Mapping[bytes, int]
    columns: RunColumns
    follower: LogFollower
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def nbytes(self) -> int:
        return self.columns.nbytes

    async def catch_up(self, heads: Sequence[WriterHead]) -> None:
        async with self.lock:
            async for piece in self.follower.advance(heads):
                # Whoever is cancelled here has taken the piece: the follower is past it.
                await in_thread(self.columns.take_all, piece)


class SeriesReader:
    """Gives the series of runs, every acknowledged point in them."""

    def __init__(self, log: SegmentedLog) -> None:
        self._log = log
        self._cache: ByteBoundedCache[_Tail] = ByteBoundedCache(CACHE_BYTES_MAX)

    async def open(self, run: Run, keys: Collection[str] | None = None) -> RunSeries:
        """The series of a run.

        What is not in segments is kept for the next call while that of all kept runs fits into `CACHE_BYTES_MAX`. Where it
        does not fit it is read anew each time, and only `keys` of it (None: all).
        """
        segments = await self._log.open(run.log_key)
        heads = await self._log.heads(run.log_key)
        marks = segments.manifest.watermarks
        points = sum(
            head.durable_points - (marks[head.writer_key].points if head.writer_key in marks else 0) for head in heads
        )
        base = segments.watermarks
        if points * 10 > CACHE_BYTES_MAX:  # 8 bytes a value, and its share of step and time
            apart = _Tail(base, RunColumns(keys), LogFollower(self._log, run.log_key, base))
            await apart.catch_up(heads)
            return RunSeries(segments, apart.columns)
        name = run.log_key.hex()
        tail = self._cache.get(name)
        if tail is None or tail.base != base:
            tail = _Tail(base, RunColumns(), LogFollower(self._log, run.log_key, base))
            self._cache.put(name, tail)
        try:
            await tail.catch_up(heads)
        finally:
            self._cache.put(name, tail)  # weighed anew
        return RunSeries(segments, tail.columns)
