"""Runs in embedded stores, and indexes over them that stand for the replicas of a service."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from penstock.api.tracking.v1 import metric_pb2
from penstock_kit.clock import ManualClock
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.embedded.blobs import FilesystemBlobStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.metric_log import BatchRecord, MetricLog
from penstock_tracking.domain import Run
from penstock_tracking.search import LatestSource, RunIndex, RunQuery
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.store import COLLECTIONS, EXPERIMENTS, TrackingStore

__all__ = ["PROJECT", "Platform", "platform_at"]

PROJECT = "vision"


@dataclass
class Platform:
    """Stores with runs in them, and indexes over them."""

    documents: DocumentStore
    log: MetricLog
    blobs: BlobStore
    store: TrackingStore
    clock: ManualClock = field(default_factory=ManualClock)
    sequences: dict[str, int] = field(default_factory=dict)

    @property
    def runs(self) -> SegmentedLog:
        """The runs as a replica reads them that has nothing in memory."""
        return SegmentedLog(self.log, self.documents, self.blobs)

    @cached_property
    def index(self) -> RunIndex:
        return self.replica()

    def replica(self, bytes_max: int = 1_000_000, latest: LatestSource | None = None) -> RunIndex:
        source = latest or LatestReader(self.runs, self.store)
        return RunIndex(self.documents, self.log, source, self.blobs, self.clock, bytes_max=bytes_max)

    async def add(self, number: int, project: str = PROJECT, **fields: object) -> Run:
        run_id = f"{number:032x}"
        key = hashlib.md5(f"{project}/{run_id}".encode()).digest()
        run = Run(project, run_id, key, "0", f"run-{number}", "users/ada", 1, 1, start_us=number * 1_000_000)
        stored, _ = await self.store.add_run(replace(run, **fields))
        return stored.value

    async def add_experiment(self, experiment_id: str, name: str, project: str = PROJECT) -> None:
        await self.documents.insert(EXPERIMENTS, project, experiment_id, {"display_name": name})

    async def rename_experiment(self, experiment_id: str, name: str, project: str = PROJECT) -> None:
        before = await self.documents.get(EXPERIMENTS, project, experiment_id)
        body = {**before.body, "display_name": name}
        await self.documents.replace(EXPERIMENTS, project, experiment_id, body, expected=before.version)

    async def change(self, run: Run, **fields: object) -> None:
        await self.store.change_run(run.project, run.run_id, lambda before: replace(before, **fields))

    async def log_points(self, run: Run, key: str, values: Sequence[float]) -> None:
        """Appends points; each call is a batch of a writer of its own."""
        number = self.sequences[run.run_id] = self.sequences.get(run.run_id, 0) + 1
        content = metric_pb2.MetricBatchContent(
            new_keys=[metric_pb2.MetricKey(id=0, key=key)],
            blocks=[
                metric_pb2.MetricBlock(
                    key_ids=[0],
                    steps=[number * 1000 + step for step in range(len(values))],
                    times_unix_us=[0] * len(values),
                    values=values,
                )
            ],
        ).SerializeToString()
        digest = hashlib.sha256(content).digest()
        chain = hashlib.sha256(bytes(32) + digest).digest()
        writer = number.to_bytes(16, "big")
        points = len(values)
        await self.log.append([BatchRecord(run.log_key, writer, 1, digest, chain, points, points, True, 0, content)])

    async def find(self, filter_: str = "", index: RunIndex | None = None, **fields: object) -> list[int]:
        """The numbers of the runs found."""
        query = replace(RunQuery(PROJECT, filter_), **fields)
        return [int(run_id, 16) for run_id in (await (index or self.index).search(query)).run_ids]


@asynccontextmanager
async def platform_at(path: Path) -> AsyncIterator[Platform]:
    documents = await SqliteDocumentStore.open(path / "documents.db", COLLECTIONS)
    log = await SqliteMetricLog.open(path / "log.db")
    yield Platform(documents, log, FilesystemBlobStore(path / "blobs"), TrackingStore(documents))
    await log.close()
    await documents.close()
