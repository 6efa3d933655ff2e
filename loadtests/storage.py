"""What points take once they are compacted, and how fast that goes: noisy float32 losses of 100 metrics that share steps.

Beside the bytes: a Parquet file of the same columns, compressed with zstd. Beside the speed: reading and decoding the same
batches, which whoever rewrites them does first. On embedded stores: which store holds a segment changes nothing of its bytes.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loadtests.report import Figure, median
from loadtests.segments import Losses, compacted, losses, write_run
from penstock_kit.clock import SystemClock
from penstock_tracking.app import TrackingStores, open_stores
from penstock_tracking.domain import Run
from penstock_tracking.segments.batches import decoded
from penstock_tracking.settings import TrackingSettings

KEYS = 100
ROWS = 50_000
ROWS_PER_BATCH = 100
ROUNDS = 3
RAW_BYTES_PER_POINT = 24  # step, time and value
BYTES_PER_POINT_GOAL = 4.0
POINTS_PER_S_GOAL = 5e6


def run() -> list[Figure]:
    """Measures."""
    points = losses(ROWS, KEYS)
    count = ROWS * KEYS
    seconds: list[float] = []
    reading: list[float] = []
    size = parquet = 0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            size, took, read = asyncio.run(_round(Path(folder), points))
            parquet = _parquet_bytes(Path(folder) / "points.parquet", points)
        seconds.append(took)
        reading.append(read)
    return [
        Figure(
            name="bytes per point after compaction, 100 metrics share steps and times",
            value=size / count,
            unit="B",
            goal=BYTES_PER_POINT_GOAL,
            better="lower",
            beside_name="Parquet with zstd",
            beside=parquet / count,
            details={"raw_bytes_per_point": RAW_BYTES_PER_POINT},
        ),
        Figure(
            name="compaction of blocks of 100 keys × 100 rows, one process",
            value=count / median(seconds),
            unit="points/s",
            goal=POINTS_PER_S_GOAL,
            better="higher",
            beside_name="reading and decoding the batches",
            beside=count / median(reading),
            details={"seconds": seconds},
        ),
    ]


async def _round(folder: Path, points: Losses) -> tuple[int, float, float]:
    """Bytes, seconds to compact, seconds to read the batches."""
    clock = SystemClock()
    stores = await open_stores(TrackingSettings(folder, "", Path()), clock)
    try:
        written = await write_run(stores, 1, points, ROWS_PER_BATCH)
        started = time.perf_counter()
        await _read(stores, written)
        read = time.perf_counter() - started
        started = time.perf_counter()
        return await compacted(stores, [written]), time.perf_counter() - started, read
    finally:
        await stores.close()


async def _read(stores: TrackingStores, written: Run) -> None:
    after, keys = 0, list[str]()
    while records := await stores.metric_log.scan(written.log_key, written.log_key, after=after):
        decoded(records, keys)
        after = records[-1].sequence


def _parquet_bytes(file: Path, points: Losses) -> int:
    columns = {"step": points.steps, "time": points.times_us}
    columns |= {f"k{n}": points.values[:, n] for n in range(points.values.shape[1])}
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.stat().st_size
