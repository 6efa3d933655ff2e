"""Runs over embedded stores, written batch by batch, and everything that can be read of one, for comparison."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from penstock.api.tracking.v1 import metric_pb2
from penstock_kit.clock import ManualClock
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.embedded.blobs import FilesystemBlobStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.metric_log import BatchRecord, MetricLog
from penstock_tracking.domain import Run
from penstock_tracking.ingest.writer import CHAIN_START, chained
from penstock_tracking.segments.compactor import Compactor
from penstock_tracking.segments.files import SegmentGone
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series.follower import LogFollower
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.series.points import Points
from penstock_tracking.series.reader import RunSeries, SeriesReader
from penstock_tracking.store import COLLECTIONS, TrackingStore

__all__ = ["RUN", "Block", "LoggedRun", "bits", "logged_run", "race"]

RUN = Run("default", "0" * 32, b"r" * 16, "0", "swift-delta", "users/ada", 1, 1, 1)


@dataclass(frozen=True)
class Block:
    """Rows of a batch: a value per key and row."""

    keys: Sequence[str]
    steps: Sequence[int]
    values: Any
    times_us: Sequence[int] | None = None


@dataclass
class _Writer:
    key: bytes
    rank: int
    sequence: int = 0
    points: int = 0
    chain: bytes = CHAIN_START
    keys: dict[str, int] = field(default_factory=dict)


@dataclass
class LoggedRun:
    """One run, its stores, and a compactor."""

    documents: DocumentStore
    log: MetricLog
    blobs: BlobStore
    clock: ManualClock = field(default_factory=ManualClock)
    run: Run = RUN
    writers: dict[bytes, _Writer] = field(default_factory=dict)
    compactors: list[Compactor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hot = InProcessHotStore(self.clock)
        self.segmented = self.replica()
        self.compactor = self.new_compactor()

    def replica(self) -> SegmentedLog:
        """The run's stores as another process sees them: nothing kept in memory."""
        return SegmentedLog(self.log, self.documents, self.blobs)

    def new_compactor(self) -> Compactor:
        """Another compactor."""
        self.compactors.append(Compactor(self.replica(), self.blobs, self.hot, self.clock))
        return self.compactors[-1]

    async def write(self, writer: str, *blocks: Block, rank: int = 0, collapse: bool = False) -> BatchRecord:
        """Appends the next batch of a writer."""
        key = hashlib.md5(writer.encode()).digest()
        state = self.writers.setdefault(key, _Writer(key, rank))
        new = [name for block in blocks for name in block.keys if name not in state.keys]
        known = len(state.keys)
        for name in new:
            state.keys.setdefault(name, len(state.keys))
        content = metric_pb2.MetricBatchContent(
            new_keys=[metric_pb2.MetricKey(id=n, key=name) for name, n in state.keys.items() if n >= known],
            blocks=[
                metric_pb2.MetricBlock(
                    key_ids=[state.keys[name] for name in block.keys],
                    steps=block.steps,
                    times_unix_us=block.steps if block.times_us is None else block.times_us,
                    values=np.asarray(block.values, np.float64).reshape(-1).tolist(),
                )
                for block in blocks
            ],
            collapse_identical=collapse,
        ).SerializeToString()
        # NaN payloads do not survive a Python float everywhere; bytes do.
        points = sum(len(block.steps) * len(block.keys) for block in blocks)
        digest = hashlib.sha256(content).digest()
        state.sequence += 1
        state.points += points
        state.chain = chained(state.chain, digest)
        record = BatchRecord(
            self.run.log_key, key, state.sequence, digest, state.chain, points, state.points, bool(new), rank, content
        )
        await self.log.append([record])
        return record

    async def compact(self) -> None:
        """Takes everything into segments, and merges them."""
        while await self.compactor.compact(self.run.log_key):
            await self.compactor.merge(self.run.log_key)

    async def series(self) -> RunSeries:
        """The run's series, from nothing kept in memory."""
        return await SeriesReader(self.replica()).open(self.run)

    async def everything(self) -> dict[str, Any]:
        """All that readers can see of the run, from nothing kept in memory, bit by bit."""
        log = self.replica()
        follower = LogFollower(log, self.run.log_key)
        batches: list[Any] = []
        async for piece in follower.advance():
            for batch in piece:
                blocks = [
                    (
                        [batch.keys[n] for n in block.key_ids],
                        block.steps.tolist(),
                        block.times_us.tolist(),
                        bits(block.values),
                    )
                    for block in batch.blocks
                ]
                batches.append((batch.writer_key, batch.rank, batch.sequence, blocks))
        series = await self.series()
        points: dict[tuple[str, int | None], Any] = {}
        for key in series.keys:
            for rank in (None, *series.ranks(key)):
                points[key, rank] = flat([window async for window in series.points(key, rank)])
        latest = await LatestReader(log, TrackingStore(self.documents)).of_run(self.run)
        return {
            "batches": batches,
            "points": points,
            # Which NaN is the minimum of nothing but NaN is open, and of 0.0 and -0.0 either.
            "latest": [
                (key, v.step, v.time_us, v.count, *bits([v.value]), repr(v.min + 0.0), repr(v.max + 0.0))
                for key, v in latest
            ],
            "standing": [await log.standing(self.run.log_key, key) for key in sorted(self.writers)],
            "digests": [
                [
                    (await log.digest(self.run.log_key, key, n) or b"")[:16]
                    for n in range(self.writers[key].sequence + 2)
                ]
                for key in sorted(self.writers)
            ],
        }

    async def fingerprint(self) -> str:
        """A digest of all points, of the batches they are in, and of the latest values: `everything` for many points."""
        log = self.replica()
        digest = hashlib.sha256()
        async for piece in LogFollower(log, self.run.log_key).advance():
            for batch in piece:
                digest.update(batch.writer_key + batch.sequence.to_bytes(8, "big"))
                for block in batch.blocks:
                    digest.update(repr([batch.keys[n] for n in block.key_ids]).encode())
                    for column in (block.steps, block.times_us, block.values):
                        digest.update(np.ascontiguousarray(column).tobytes())
        series = await self.series()
        for key in series.keys:
            async for points in series.points(key):
                for column in (points.steps, points.times_us, points.values):
                    digest.update(column.tobytes())
        digest.update(repr(await LatestReader(log, TrackingStore(self.documents)).of_run(self.run)).encode())
        return digest.hexdigest()

    async def logged(self) -> int:
        """How many batches are in the metric log."""
        return sum([len(await self.log.scan(self.run.log_key, key)) for key in self.writers])


def bits(values: Any) -> Any:
    """Floats as their bits."""
    return np.ascontiguousarray(values).view(np.uint64).tolist()


def flat(windows: Sequence[Points]) -> list[tuple[int, int, int]]:
    """The points of windows, one after another, values as bits.

    In which order points of equal step and time come that were logged with other keys or by other writers is open: by bits.
    """
    found = [
        point
        for window in windows
        for point in zip(window.steps.tolist(), window.times_us.tolist(), bits(window.values), strict=True)
    ]
    assert [point[:2] for point in found] == sorted(point[:2] for point in found)
    return sorted(found)


async def race(run: LoggedRun, *, batches: int, readers: int) -> None:
    """Writes, compacts and reads at once, until all is written and read.

    Every reader must see the batches of each writer in order, each once, and never less than before.
    """
    written = asyncio.Event()

    async def write() -> None:
        for number in range(batches):
            for rank in range(2):
                await run.write(f"w{rank}", Block(["a", f"b{number // 20}"], [number], [[number, -number]]), rank=rank)
        written.set()

    async def compact(compactor: Compactor) -> None:
        done = False
        while not done:
            done = written.is_set()
            while await compactor.compact(run.run.log_key):
                await compactor.merge(run.run.log_key)
            run.clock.advance(1_000)  # whatever was merged is removed with the next merge
            await asyncio.sleep(0)

    async def read() -> None:
        log = run.replica()
        follower, reader = LogFollower(log, run.run.log_key), SeriesReader(log)
        latest = LatestReader(log, TrackingStore(run.documents))
        seen: dict[bytes, int] = {}
        points = highest = 0
        steps: list[int] = []
        while min(len(steps), sum(seen.values())) < 2 * batches:
            async for piece in follower.advance():
                for batch in piece:
                    assert batch.sequence == seen.get(batch.writer_key, 0) + 1
                    seen[batch.writer_key] = batch.sequence
                    assert batch.blocks[0].values.tolist() == [[batch.sequence - 1, 1 - batch.sequence]]
                    names = [batch.keys[n] for n in batch.blocks[0].key_ids]
                    assert names == ["a", f"b{(batch.sequence - 1) // 20}"]
            try:
                windows = [window async for window in (await reader.open(run.run)).points("a")]
            except SegmentGone:
                continue  # as the service does: once more
            steps = [step for window in windows for step in window.steps.tolist()]
            assert steps == sorted(steps)
            assert len(steps) >= max(points, sum(seen.values()))
            points = len(steps)
            for key, value in await latest.of_run(run.run, ["a"]):
                assert (key, value.value) == ("a", value.step)
                assert value.step >= highest
                highest = value.step
        assert set(seen.values()) == {batches}
        assert steps == [step for step in range(batches) for _ in range(2)]
        assert highest == batches - 1

    await asyncio.gather(
        write(), compact(run.compactor), compact(run.new_compactor()), *(read() for _ in range(readers))
    )


@asynccontextmanager
async def logged_run(
    folder: Path,
    *,
    documents: Callable[[DocumentStore], DocumentStore] = lambda store: store,
    log: Callable[[MetricLog], MetricLog] = lambda store: store,
    blobs: Callable[[BlobStore], BlobStore] = lambda store: store,
) -> AsyncIterator[LoggedRun]:
    """A run over embedded stores in a folder. Something may be put in front of each store."""
    own_documents = await SqliteDocumentStore.open(folder / "documents.sqlite", COLLECTIONS)
    own_log = await SqliteMetricLog.open(folder / "metrics.sqlite")
    run = LoggedRun(
        documents(own_documents),
        log(own_log),
        blobs(FilesystemBlobStore(folder / "blobs")),
        run=replace(RUN),
    )
    try:
        yield run
    finally:
        for compactor in run.compactors:
            compactor.close()
        await own_log.close()
        await own_documents.close()
