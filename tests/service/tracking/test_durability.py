"""StreamMetrics over a metric log that is slow or fails: acks, fencing and reconnects at the worst moments."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from support.tracking import Tracking, content, refusal, serving_tracking

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.ids import random_id
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord, LogFull, MetricLog, WriterHead

T = TypeVar("T")


class TroubledLog:
    """The metric log with gates that hold its calls, and errors that it raises once.

    Attributes:
        append_gate: Appends wait here before they are done.
        head_gate: `head` waits here with its answer.
        fail_before: Raised by the next append instead of doing it.
        fail_after: Raised by the next append once it is done: its reply is lost.
        appending: Set when an append came to its gate; `heading` likewise.
    """

    def __init__(self, log: MetricLog) -> None:
        self._log = log
        self.append_gate = asyncio.Event()
        self.head_gate = asyncio.Event()
        self.append_gate.set()
        self.head_gate.set()
        self.appending = asyncio.Event()
        self.heading = asyncio.Event()
        self.appended = 0
        self.fail_before: Exception | None = None
        self.fail_after: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        return await self._troubled(self._log.append(records), len(records))

    async def append_new(self, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        return await self._troubled(self._log.append_new(requests), len(requests))

    async def _troubled(self, append: Coroutine[Any, Any, T], records: int) -> T:
        self.appending.set()
        await self.append_gate.wait()
        if self.fail_before is not None:
            append.close()
            error, self.fail_before = self.fail_before, None
            raise error
        outcome = await append
        self.appended += records
        if self.fail_after is not None:
            error, self.fail_after = self.fail_after, None
            raise error
        return outcome

    async def head(self, run_key: bytes, writer_key: bytes) -> WriterHead | None:
        head = await self._log.head(run_key, writer_key)
        self.heading.set()
        await self.head_gate.wait()
        return head


@pytest.fixture
def log() -> list[TroubledLog]:
    return []


@pytest.fixture
async def tracking(tmp_path: Path, log: list[TroubledLog]) -> AsyncIterator[Tracking]:
    def troubled(inner: MetricLog) -> Any:
        log.append(TroubledLog(inner))
        return log[0]

    async with serving_tracking(tmp_path, metric_log=troubled) as server:
        yield server


def row(step: int, *, defined: bool = True) -> metric_pb2.MetricBatchContent:
    return content([(step, [float(step)])], ["loss"], defined=defined)


async def test_no_ack_comes_before_the_batch_is_durable(tracking: Tracking, log: list[TroubledLog]) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    log[0].append_gate.clear()
    await writer.send(1, row(0, defined=False))
    await log[0].appending.wait()
    await writer.send(1, row(0, defined=False))  # a repeat is no reason to acknowledge either
    ack = asyncio.ensure_future(writer.acked(1))
    for _ in range(5):  # what goes on meanwhile gives an ack every chance to come
        await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
    assert not ack.done()
    log[0].append_gate.set()
    assert (await ack).durable_points == 1


async def test_a_lost_reply_after_the_commit_loses_and_doubles_nothing(
    tracking: Tracking, log: list[TroubledLog]
) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    log[0].fail_after = RuntimeError("the reply was lost")
    await writer.send(1, row(0, defined=False))
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    again, start = await tracking.open(run, writer_id=writer.writer_id, epoch=2)
    assert (start.acked_sequence, start.durable_points) == (1, 1)
    await again.send(1, row(0, defined=False))
    await again.send(2, row(1))
    await again.acked(2)
    assert await tracking.points(run, "loss") == [(0, 0.0), (1, 1.0)]


async def test_a_full_disk_keeps_no_batch_after_the_lost_one(tracking: Tracking, log: list[TroubledLog]) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    log[0].append_gate.clear()
    log[0].fail_before = LogFull("no room")
    await writer.send(1, row(0, defined=False))
    await log[0].appending.wait()
    for sequence in range(2, 6):  # these gather behind the one that fails
        await writer.send(sequence, row(sequence - 1))
    log[0].append_gate.set()
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    again, start = await tracking.open(run, writer_id=writer.writer_id, epoch=2)
    assert start.acked_sequence == 0
    for sequence in range(1, 6):
        await again.send(sequence, row(sequence - 1, defined=sequence > 1))
    await again.acked(5)
    assert [step for step, _ in await tracking.points(run, "loss")] == [0, 1, 2, 3, 4]


async def test_a_full_disk_refuses_a_log_batch_and_its_repeat_completes(
    tracking: Tracking, log: list[TroubledLog]
) -> None:
    run = (await tracking.new_run()).name
    request = pb.LogBatchRequest(run=run, metrics=[pb.MetricPoint(key="loss", value=1.0)])
    log[0].fail_before = LogFull("no room")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await tracking.call("LogBatch", request)
    assert refusal(raised.value).reason == "STORAGE_FULL"
    assert not (await tracking.call("LogBatch", request)).repeated_request
    assert await tracking.points(run, "loss") == [(0, 1.0)]


async def test_a_newer_sender_repeats_what_the_older_one_had_in_flight(
    tracking: Tracking, log: list[TroubledLog]
) -> None:
    run = (await tracking.new_run()).name
    old, _ = await tracking.open(run)
    await old.send(1, row(0, defined=False))
    await old.acked(1)
    log[0].append_gate.clear()
    log[0].appending.clear()
    second = content([(1, [1.0])], ["accuracy"], first_key=1)  # in flight, and it defines a key
    await old.send(2, second)
    await log[0].appending.wait()
    # The newer sender is told of batch 1; batch 2 becomes durable before the writer's keys are read.
    log[0].head_gate.clear()
    log[0].heading.clear()
    opening = asyncio.ensure_future(tracking.open(run, writer_id=old.writer_id, epoch=2))
    await log[0].heading.wait()
    log[0].append_gate.set()
    assert (await old.refused()).reason == "WRITER_FENCED"
    assert log[0].appended == 2
    log[0].head_gate.set()
    new, start = await opening
    assert start.acked_sequence == 1
    await new.send(2, second)
    await new.send(3, row(2))
    ack = await new.acked(3)
    assert ack.durable_points == 3
    await new.close()
    assert await tracking.points(run, "loss") == [(0, 0.0), (2, 2.0)]
    assert await tracking.points(run, "accuracy") == [(1, 1.0)]


async def test_of_two_opens_at_once_the_newer_wins_whoever_is_slower(
    tracking: Tracking, log: list[TroubledLog]
) -> None:
    run = (await tracking.new_run()).name
    writer_id = random_id()
    log[0].head_gate.clear()
    slow = asyncio.ensure_future(tracking.open(run, writer_id=writer_id, epoch=1))
    await log[0].heading.wait()
    log[0].heading.clear()
    quick = asyncio.ensure_future(tracking.open(run, writer_id=writer_id, epoch=2))
    await log[0].heading.wait()
    log[0].head_gate.set()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await slow
    assert refusal(raised.value).reason == "WRITER_FENCED"
    writer, _ = await quick
    await writer.send(1, row(0, defined=False))
    await writer.acked(1)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await tracking.open(run, writer_id=writer_id, epoch=1)
    assert refusal(raised.value).reason == "WRITER_FENCED"


async def test_a_run_that_is_deleted_while_a_stream_opens_takes_nothing(
    tracking: Tracking, log: list[TroubledLog]
) -> None:
    run = (await tracking.new_run()).name
    log[0].head_gate.clear()
    opening = asyncio.ensure_future(tracking.open(run))
    await log[0].heading.wait()
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run))
    log[0].head_gate.set()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await opening
    assert refusal(raised.value).reason == "RUN_DELETED"
    await tracking.call("RestoreRun", pb.RestoreRunRequest(name=run))
    writer, start = await tracking.open(run)
    assert start.acked_sequence == 0
    await writer.send(1, row(0, defined=False))
    await writer.acked(1)


async def test_a_restored_run_goes_on_where_its_writer_was(tracking: Tracking, log: list[TroubledLog]) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    await writer.send(1, row(0, defined=False))
    await writer.acked(1)
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run))
    assert (await writer.refused()).reason == "RUN_DELETED"
    await tracking.call("RestoreRun", pb.RestoreRunRequest(name=run))
    again, start = await tracking.open(run, writer_id=writer.writer_id, epoch=1)
    assert start.acked_sequence == 1
    await again.send(2, row(1))
    await again.acked(2)
    assert await tracking.points(run, "loss") == [(0, 0.0), (1, 1.0)]


async def test_a_client_that_vanishes_at_any_moment_loses_and_doubles_nothing(
    tracking: Tracking, log: list[TroubledLog]
) -> None:
    def tagged(sequence: int) -> metric_pb2.MetricBatchContent:
        inner = row(sequence, defined=sequence > 1)
        inner.tags.append(run_pb2.Tag(key="last", value=str(sequence)))  # a write of the record, to be cut off in
        return inner

    run = (await tracking.new_run()).name
    writer_id = random_id()
    log[0].append_gate.clear()
    for epoch in range(1, 12):
        writer, start = await tracking.open(run, writer_id=writer_id, epoch=epoch)
        for sequence in range(start.acked_sequence + 1, start.acked_sequence + 4):
            await writer.send(sequence, tagged(sequence))
        for _ in range(epoch):  # a few rounds of the loop further each time
            await asyncio.sleep(0)
        writer.call.cancel()
        if epoch % 3 == 0:
            log[0].append_gate.set()
            await asyncio.sleep(0)
            log[0].append_gate.clear()
    log[0].append_gate.set()
    writer, start = await tracking.open(run, writer_id=writer_id, epoch=99)
    for sequence in range(start.acked_sequence + 1, 41):
        await writer.send(sequence, tagged(sequence))
    await writer.close()
    assert [step for step, _ in await tracking.points(run, "loss")] == list(range(1, 41))
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=run))).run
    assert got.tags[0].value == "40"


async def test_a_stopping_server_tells_its_streams_once_what_is_in_flight_is_durable(
    tmp_path: Path, log: list[TroubledLog]
) -> None:
    def troubled(inner: MetricLog) -> Any:
        log.append(TroubledLog(inner))
        return log[0]

    stack = AsyncExitStack()
    server = await stack.enter_async_context(serving_tracking(tmp_path, metric_log=troubled))
    async with stack, grpc.aio.insecure_channel(server.address) as channel:
        outside = Tracking(server.address, server.guard, channel)  # outlives the server, and its own streams with it
        run = (await outside.new_run()).name
        writer, _ = await outside.open(run)
        log[0].append_gate.clear()
        await writer.send(1, row(0, defined=False))
        await log[0].appending.wait()
        stopping = asyncio.ensure_future(stack.aclose())
        await asyncio.sleep(0)
        log[0].append_gate.set()
        assert (await writer.acked(1)).durable_points == 1
        assert (await writer.refused()).reason == "SERVER_STOPPING"
        await stopping
