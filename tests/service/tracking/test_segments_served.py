"""What clients see of a service that compacts while they write: nothing of it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.tracking import Tracking, batch, content, serving_tracking

import penstock_tracking.segments.compactor as compactor_module
from penstock.api.tracking.v1 import metric_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.stores.metric_log import MetricLog


class Seen:
    """The metric log of the service, to know when it was trimmed."""

    def __init__(self) -> None:
        self.log: MetricLog | None = None

    def __call__(self, log: MetricLog) -> MetricLog:
        self.log = log
        return log

    async def trimmed(self, run_key: bytes) -> None:
        """Waits until everything of a run is in segments."""
        assert self.log is not None
        heads = await self.log.heads(run_key)
        while any([await self.log.scan(run_key, head.writer_key) for head in heads]):  # noqa: ASYNC110 - it is no task's work
            await asyncio.sleep(0.01)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def tracking(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tracking]:
    monkeypatch.setattr(compactor_module, "TAIL_BATCHES_MIN", 1)
    monkeypatch.setattr(compactor_module, "POLL_INTERVAL_S", 0.01)
    monkeypatch.setattr(compactor_module, "LOOK_INTERVAL_S", 0.01)
    async with serving_tracking(tmp_path, metric_log=seen) as server:
        yield server


async def run_keys(log: MetricLog) -> list[bytes]:
    return [change.run_key for change in (await log.changes(b"")).changes]


async def test_a_writer_goes_on_and_repeats_after_compaction(tracking: Tracking, seen: Seen) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    first = content([(0, [0.0, 1.0])], ["a", "b"])
    await writer.send(1, first)
    await writer.acked(1)
    assert seen.log is not None
    [run_key] = await run_keys(seen.log)
    await seen.trimmed(run_key)
    # The same again, within the stream and from another sender, is acknowledged; something else in its place is refused.
    await writer.send(1, first)
    assert (await writer.ack()).acked_sequence == 1
    again, start = await tracking.open(run, writer_id=writer.writer_id, epoch=2)
    assert (start.acked_sequence, start.durable_points) == (1, 2)
    assert start.chain == hashlib.sha256(bytes(32) + batch(1, first).batch.digest).digest()
    await again.send(1, first)
    assert (await again.ack()).acked_sequence == 1
    # Its keys are known, though the batch that defined them is gone.
    await again.send(2, content([(1, [2.0])], ["b"], first_key=1, defined=True))
    await again.send(3, content([(2, [3.0])], ["c"], first_key=2))
    await again.acked(3)
    await seen.trimmed(run_key)
    await again.send(1, content([(0, [9.0, 9.0])], ["a", "b"]))
    assert (await again.refused()).reason == "DIGEST_CONFLICT"
    assert await tracking.points(run, "b") == [(0, 1.0), (1, 2.0)]
    latest = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
    assert [(m.key, m.value, m.points) for m in latest.metrics] == [("a", 0.0, 1), ("b", 2.0, 2), ("c", 3.0, 1)]
    found = await tracking.call("SearchRuns", pb.SearchRunsRequest(parent="projects/default", filter="metrics.c = 3"))
    assert [found_run.name for found_run in found.runs] == [run]


async def test_a_watch_goes_on_from_any_cursor(tracking: Tracking, seen: Seen) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    keys = ["a", "b", "c"]
    for sequence in range(1, 4):
        await writer.send(sequence, content([(sequence, [1.0, 2.0, 3.0])], keys, defined=sequence > 1))
        await writer.acked(sequence)
    await writer.close()
    await tracking.call("FinishRun", pb.FinishRunRequest(name=run, state=2))

    async def told(cursor: str = "") -> list[metric_pb2.RunEvent]:
        responses = tracking.stream("WatchRun", pb.WatchRunRequest(run=run, cursor=cursor))
        return [response.event async for response in responses]

    def points(events: list[metric_pb2.RunEvent]) -> list[tuple[str, list[int]]]:
        return [(e.points.key, list(e.points.points.steps)) for e in events if e.WhichOneof("event") == "points"]

    assert seen.log is not None
    before = await told()
    [run_key] = await run_keys(seen.log)
    await seen.trimmed(run_key)
    flat = sorted((key, step) for key, steps in points(before) for step in steps)
    assert flat == [(key, step) for key in keys for step in (1, 2, 3)]
    for place, event in enumerate(before):
        rest = points(before[place + 1 :])
        now = points(await told(event.cursor))
        assert sorted((k, s) for k, steps in now for s in steps) == sorted((k, s) for k, steps in rest for s in steps)
