"""Metric logs that break one promise each: what the checker of the fault tests must find."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from penstock.api.tracking.v1 import metric_pb2
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord, MetricLog, WriterHead

__all__ = [
    "AcksBeforeCommit",
    "AppliesTwice",
    "ChangesOneBit",
    "DropsBatches",
    "LyingLog",
    "ReadsStaleReplica",
    "RemembersInHotStoreOnly",
    "Reorders",
]

COMMIT_LAG_S = 0.3
REPLICA_LAG_S = 0.5
EVERY = 5  # of the batches, the first never: it defines the keys


class LyingLog:
    """A metric log in front of another. Calls that it does not have go through."""

    def __init__(self, log: MetricLog) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        return await self.log.append([self.changed(record) for record in records])

    def changed(self, record: BatchRecord) -> BatchRecord:
        if record.sequence % EVERY:
            return record
        content = metric_pb2.MetricBatchContent.FromString(record.content)
        self.change(content)
        return replace(record, content=content.SerializeToString())

    def change(self, content: metric_pb2.MetricBatchContent) -> None:
        """Changes the content of a batch."""


class DropsBatches(LyingLog):
    """Keeps the place of some batches, and none of their points."""

    def change(self, content: metric_pb2.MetricBatchContent) -> None:
        del content.blocks[:]


class AppliesTwice(LyingLog):
    """Keeps the points of some batches twice."""

    def change(self, content: metric_pb2.MetricBatchContent) -> None:
        content.blocks.extend(
            [metric_pb2.MetricBlock.FromString(block.SerializeToString()) for block in content.blocks]
        )


class ChangesOneBit(LyingLog):
    """Changes the last bit of one value."""

    def changed(self, record: BatchRecord) -> BatchRecord:
        if record.sequence % EVERY:
            return record
        # Values are the last field of a block, and blocks of the content: their last byte but seven is the least one.
        content = bytearray(record.content)
        content[-8] ^= 1
        return replace(record, content=bytes(content))


class Reorders(LyingLog):
    """Keeps two neighbours in each other's place: the first waits for the second, and is acknowledged meanwhile."""

    def __init__(self, log: MetricLog) -> None:
        super().__init__(log)
        self._waiting: dict[bytes, BatchRecord] = {}

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        kept: list[BatchRecord] = []
        for record in records:
            first = self._waiting.pop(record.writer_key, None)
            if first is not None:
                kept += [replace(first, content=record.content), replace(record, content=first.content)]
            elif record.sequence % EVERY == 0:
                self._waiting[record.writer_key] = record
            else:
                kept.append(record)
        await self.log.append(kept)
        return [AppendOutcome.APPENDED] * len(records)


class AcksBeforeCommit(LyingLog):
    """Says that batches are durable, and writes them a little later. What waits when the process dies is lost."""

    def __init__(self, log: MetricLog) -> None:
        super().__init__(log)
        self._tasks: list[asyncio.Task[None]] = []
        self._order = asyncio.Lock()

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        self._tasks.append(asyncio.create_task(self._later(records)))
        return [AppendOutcome.APPENDED] * len(records)

    async def _later(self, records: Sequence[BatchRecord]) -> None:
        async with self._order:
            await asyncio.sleep(COMMIT_LAG_S)
            await self.log.append(records)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.log.close()


class RemembersInHotStoreOnly(LyingLog):
    """Knows what it has from something that a restart empties: afterwards the same batches are new ones."""

    def __init__(self, log: MetricLog) -> None:
        super().__init__(log)
        self._life = time.monotonic_ns().to_bytes(16, "big")

    def _now(self, writer_key: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(writer_key, self._life, strict=True))

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        return await self.log.append([replace(record, writer_key=self._now(record.writer_key)) for record in records])

    async def head(self, run_key: bytes, writer_key: bytes) -> WriterHead | None:
        return await self.log.head(run_key, self._now(writer_key))


class ReadsStaleReplica(LyingLog):
    """Answers readers from where the log stood a moment ago."""

    def __init__(self, log: MetricLog) -> None:
        super().__init__(log)
        self._written: dict[bytes, list[tuple[float, int]]] = defaultdict(list)

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        outcomes = await self.log.append(records)
        for record in records:
            self._written[record.writer_key].append((time.monotonic(), record.sequence))
        return outcomes

    async def heads(self, run_key: bytes) -> list[WriterHead]:
        stale: list[WriterHead] = []
        for head in await self.log.heads(run_key):
            replicated = [n for at, n in self._written[head.writer_key] if at < time.monotonic() - REPLICA_LAG_S]
            batch = await self.log.batch(run_key, head.writer_key, max(replicated, default=0))
            if batch is not None:
                stale.append(
                    replace(
                        head,
                        sequence=batch.sequence,
                        digest=batch.digest,
                        chain=batch.chain,
                        durable_points=batch.durable_points,
                    )
                )
        return stale

    async def heads_of(self, run_keys: Sequence[bytes]) -> dict[bytes, list[WriterHead]]:
        return {run_key: await self.heads(run_key) for run_key in run_keys}
