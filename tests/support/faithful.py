"""A sender and a reader that tell a `History` what they see, and go on whatever happens to the service."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from support.history import KEYS, History
from support.servers import error_info
from support.tracking import batch

from penstock.api.tracking.v1 import metric_pb2, tracking_service_pb2, tracking_service_pb2_grpc

__all__ = ["Endpoint", "ended", "progress", "read_all", "reading", "sending"]

IN_FLIGHT_MAX = 16  # batches
SILENCE_S = 5.0  # of the service, until a stream or a read is given up
RETRY_PAUSE_S = 0.1
BATCH_PAUSE_S = 0.005  # a reader that reads everything must keep up
READ_TIMEOUT_S = 60.0  # of one metric, when all is over
PROGRESS_TIMEOUT_S = 90.0
_LIES = {"SEQUENCE_GAP", "DIGEST_CONFLICT", "DIGEST_MISMATCH", "BATCH_INVALID", "FIELD_INVALID", "RUN_NOT_FOUND"}
"""Refusals that a faithful sender cannot have earned. All others are outages: it comes again."""


@dataclass(frozen=True)
class Endpoint:
    """Where the service is now, and the metadata of calls to it."""

    address: str
    metadata: Sequence[tuple[str, str]]


Connect = Callable[[], Awaitable[Endpoint]]


@contextlib.asynccontextmanager
async def _stub(connect: Connect) -> AsyncIterator[tuple[Any, Sequence[tuple[str, str]]]]:
    endpoint = await connect()
    # Each try has a connection of its own: a shared one would wait longer after each failure.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(endpoint.address, options=options) as channel:
        yield tracking_service_pb2_grpc.TrackingServiceStub(channel), endpoint.metadata


async def sending(history: History, writer: int, run: str, connect: Connect) -> None:
    """Sends the batches of a writer until it is cancelled. Opens a stream whenever there is none."""
    epoch = 0
    while True:
        epoch += 1
        try:
            async with _stub(connect) as (stub, metadata):
                await _stream(history, writer, run, epoch, stub.StreamMetrics(metadata=metadata))
        except grpc.aio.AioRpcError as error:
            reason = _reason(error)
            if reason in _LIES:
                history.refused(writer, f"{reason}: {error.details()}")
            else:
                history.outages.add(reason)
        except (TimeoutError, OSError, asyncio.InvalidStateError):
            pass
        await asyncio.sleep(RETRY_PAUSE_S)


async def _stream(history: History, writer: int, run: str, epoch: int, call: Any) -> None:
    opening = metric_pb2.OpenWriter(run=run, writer_id=f"{writer + 1:032x}", epoch=epoch)
    acked = asyncio.Event()

    async def receive() -> int:
        async with asyncio.timeout(SILENCE_S):
            response = await call.read()
        if response is grpc.aio.EOF:
            raise ConnectionError
        return response.acked_sequence

    async def read_acks() -> None:
        while True:
            history.acknowledged(writer, await receive())
            acked.set()

    try:
        await call.write(metric_pb2.StreamMetricsRequest(open=opening))
        sequence = await receive()
        history.resumed(writer, sequence)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read_acks())
            while True:
                while sequence - history.acked[writer] >= IN_FLIGHT_MAX:
                    acked.clear()
                    await acked.wait()
                sequence += 1
                async with asyncio.timeout(SILENCE_S):
                    await call.write(batch(sequence, history.content(writer, sequence)))
                await asyncio.sleep(BATCH_PAUSE_S)
    except* (grpc.aio.AioRpcError, OSError, TimeoutError, asyncio.InvalidStateError) as group:
        call.cancel()
        raise group.exceptions[0] from None
    finally:
        call.cancel()


async def _read(
    history: History, run: str, writer: int, key: str, connect: Connect, timeout_s: float = SILENCE_S
) -> None:
    """Reads a metric and tells the history. Raises `AioRpcError`, `TimeoutError` where the service is not there."""
    acked = history.acked[writer]
    steps: list[int] = []
    values: list[float] = []
    async with _stub(connect) as (stub, metadata):
        request = tracking_service_pb2.ReadMetricPointsRequest(run=run, keys=[f"{writer}/{key}"])
        async for piece in stub.ReadMetricPoints(request, metadata=metadata, timeout=timeout_s):
            steps += piece.series.points.steps
            values += piece.series.points.values
    history.read(writer, key, steps, values, acked=acked)


async def reading(history: History, run: str, writers: int, connect: Connect, seed: int) -> None:
    """Reads one metric after the other until it is cancelled."""
    chosen = random.Random(seed)
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError, OSError):
            await _read(history, run, chosen.randrange(writers), chosen.choice(KEYS), connect)
        await asyncio.sleep(chosen.uniform(0.05, 0.3))


async def read_all(history: History, run: str, writers: int, connect: Connect) -> None:
    """Reads every metric, each as soon as the service answers."""
    async with asyncio.timeout(PROGRESS_TIMEOUT_S):
        for writer, key in itertools.product(range(writers), KEYS):
            while True:
                try:
                    await _read(history, run, writer, key, connect, READ_TIMEOUT_S)
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                await asyncio.sleep(RETRY_PAUSE_S)


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Ends senders and readers. Raises what one of them failed with."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, asyncio.CancelledError):
            raise AssertionError(f"ended before: {result!r}")


async def progress(history: History, writers: int, batches: int = 1) -> None:
    """Returns when so many further batches of each writer were acknowledged: the service is itself again."""
    goals = {writer: history.acked[writer] + batches for writer in range(writers)}
    async with asyncio.timeout(PROGRESS_TIMEOUT_S):
        while any(history.acked[writer] < goal for writer, goal in goals.items()):  # noqa: ASYNC110 - nothing rings
            await asyncio.sleep(0.02)


def _reason(error: grpc.aio.AioRpcError) -> str:
    """The reason of a typed error; empty where none came, as when the connection was lost."""
    try:
        return error_info(error).reason
    except (AssertionError, KeyError):
        return ""
