"""Runs written straight into stores, and compacted: what the benchmarks of charts and of storage read."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock.api.tracking.v1 import metric_pb2
from penstock_kit.clock import SystemClock
from penstock_kit.stores.metric_log import BatchRecord
from penstock_tracking.app import TrackingStores
from penstock_tracking.domain import Run
from penstock_tracking.ingest.writer import CHAIN_START, chained
from penstock_tracking.segments.compactor import Compactor
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.store import TrackingStore

__all__ = ["PROJECT", "Losses", "compacted", "losses", "write_run"]

PROJECT = "default"
TIME_US = 1_760_000_000_000_000
_RECORDS_PER_APPEND = 10


@dataclass(frozen=True)
class Losses:
    """Points of a run: R rows of K metrics."""

    steps: NDArray[np.int64]
    times_us: NDArray[np.int64]
    values: NDArray[np.float64]


def losses(rows: int, keys: int, seed: int = 0) -> Losses:
    """Losses as a training in float32 logs them: falling, with noise, a row about every 100 ms."""
    rng = np.random.default_rng(seed)
    steps = np.arange(rows)
    times = TIME_US + steps * 100_000 + rng.integers(0, 20_000, rows)
    falling = 2.5 * np.exp(-steps / max(1, rows / 3))[:, None]
    values = (falling + rng.normal(0, 0.05, (rows, keys))).astype(np.float32).astype(np.float64)
    return Losses(steps, times, values)


async def write_run(stores: TrackingStores, number: int, points: Losses, rows_per_batch: int) -> Run:
    """Writes a run by one writer, keys `k0`, `k1`, ..., as the service keeps it."""
    run_id = f"{number:032x}"
    key = hashlib.sha256(run_id.encode()).digest()[:16]
    run = Run(PROJECT, run_id, key, "0", f"run-{number}", "users/ada", 1, 1, start_us=TIME_US)
    await TrackingStore(stores.documents).add_run(run)
    keys = points.values.shape[1]
    records: list[BatchRecord] = []
    chain, durable = CHAIN_START, 0
    for sequence, start in enumerate(range(0, len(points.steps), rows_per_batch), start=1):
        piece = slice(start, start + rows_per_batch)
        content = metric_pb2.MetricBatchContent(
            new_keys=[metric_pb2.MetricKey(id=n, key=f"k{n}") for n in range(keys)] if sequence == 1 else [],
            blocks=[
                metric_pb2.MetricBlock(
                    key_ids=range(keys),
                    steps=points.steps[piece].tolist(),
                    times_unix_us=points.times_us[piece].tolist(),
                    values=points.values[piece].reshape(-1).tolist(),
                )
            ],
        ).SerializeToString()
        digest = hashlib.sha256(content).digest()
        chain = chained(chain, digest)
        count = len(points.steps[piece]) * keys
        durable += count
        records.append(BatchRecord(key, key, sequence, digest, chain, count, durable, sequence == 1, 0, content))
        if len(records) == _RECORDS_PER_APPEND:
            await stores.metric_log.append(records)
            records = []
    await stores.metric_log.append(records)
    return run


async def compacted(stores: TrackingStores, runs: list[Run]) -> int:
    """Takes everything of some runs into segments, as the service does in the background. Returns their bytes."""
    log = SegmentedLog(stores.metric_log, stores.documents, stores.blobs)
    compactor = Compactor(log, stores.blobs, stores.hot, SystemClock())
    size = 0
    for run in runs:
        while await compactor.compact(run.log_key):
            await compactor.merge(run.log_key)
        size += sum(segment.size for segment in (await log.manifests.get(run.log_key)).segments)
    compactor.close()
    return size
