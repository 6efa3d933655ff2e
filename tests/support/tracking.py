"""A tracking server in a test, and a sender that speaks to it message by message."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.servers import OpenGuard, bearer, error_info, serving

from penstock.api.tracking.v1 import metric_pb2, run_pb2, tracking_service_pb2, tracking_service_pb2_grpc
from penstock_kit.access import Role
from penstock_kit.clock import SystemClock
from penstock_kit.ids import random_id
from penstock_kit.stores.metric_log import MetricLog
from penstock_tracking.app import TrackingStores, build, open_stores
from penstock_tracking.settings import TrackingSettings

pb = tracking_service_pb2


@dataclass
class Refused:
    """What a refusal said."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]


def refusal(error: grpc.aio.AioRpcError) -> Refused:
    """Reads the typed error of a failed call."""
    info = error_info(error)
    return Refused(error.code(), info.reason, error.details() or "", dict(info.metadata))


async def refused(call: Any) -> Refused:
    """Awaits a call that must fail, and returns its typed error."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return refusal(raised.value)


def content(
    rows: Iterable[tuple[int, Sequence[float]]], keys: Sequence[str], *, first_key: int = 0, defined: bool = False
) -> metric_pb2.MetricBatchContent:
    """Content of one block: rows of (step, one value per key); the keys get numbers from `first_key` on."""
    rows = list(rows)
    numbers = range(first_key, first_key + len(keys))
    return metric_pb2.MetricBatchContent(
        new_keys=[]
        if defined
        else [metric_pb2.MetricKey(id=number, key=key) for number, key in zip(numbers, keys, strict=True)],
        blocks=[
            metric_pb2.MetricBlock(
                key_ids=numbers,
                steps=[step for step, _ in rows],
                times_unix_us=range(1_000_000, 1_000_000 + len(rows)),
                values=[value for _, values in rows for value in values],
            )
        ],
    )


def batch(sequence: int, inner: metric_pb2.MetricBatchContent) -> metric_pb2.StreamMetricsRequest:
    """A batch message with the right digest."""
    digest = hashlib.sha256(inner.SerializeToString()).digest()
    return metric_pb2.StreamMetricsRequest(
        batch=metric_pb2.MetricBatch(sequence=sequence, digest=digest, content=inner)
    )


@dataclass
class Writer:
    """A sender in a test: opens a stream, sends, reads acknowledgements."""

    call: Any
    run: str
    writer_id: str

    async def send(self, sequence: int, inner: metric_pb2.MetricBatchContent) -> None:
        await self.call.write(batch(sequence, inner))

    async def ack(self) -> metric_pb2.StreamMetricsResponse:
        response = await self.call.read()
        if response is grpc.aio.EOF:
            await self.call.code()
            raise AssertionError("the stream ended")
        return response

    async def acked(self, sequence: int) -> metric_pb2.StreamMetricsResponse:
        """Reads until everything up to `sequence` is acknowledged."""
        while True:
            response = await self.ack()
            if response.acked_sequence >= sequence:
                return response

    async def close(self) -> metric_pb2.StreamMetricsResponse:
        await self.call.write(metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter()))
        while not (response := await self.ack()).closed:
            pass
        return response

    async def refused(self) -> Refused:
        """Reads to the end of a stream that must fail."""

        async def read_all() -> None:
            while await self.call.read() is not grpc.aio.EOF:
                pass

        return await refused(read_all())


@dataclass
class Tracking:
    """A server, and a caller that may do everything in the project `default`."""

    address: str
    guard: OpenGuard
    channel: grpc.aio.Channel
    writers: list[Any] = field(default_factory=list)

    def metadata(self, token: str | None = None) -> tuple[tuple[str, str], ...]:
        return bearer(token or self.guard.issue("users/ada"))

    async def call(self, method: str, request: Any, token: str | None = None) -> Any:
        """Makes a unary call."""
        stub = tracking_service_pb2_grpc.TrackingServiceStub(self.channel)
        return await getattr(stub, method)(request, metadata=self.metadata(token), timeout=20)

    def stream(self, method: str, request: Any, token: str | None = None) -> Any:
        """Makes a server-streaming call."""
        stub = tracking_service_pb2_grpc.TrackingServiceStub(self.channel)
        return getattr(stub, method)(request, metadata=self.metadata(token), timeout=60)

    async def new_run(self, **fields: Any) -> run_pb2.Run:
        response = await self.call(
            "CreateRun", pb.CreateRunRequest(parent="projects/default", run=run_pb2.Run(**fields))
        )
        return response.run

    async def open(
        self, run: str, *, writer_id: str | None = None, epoch: int = 1, rank: int = 0, lease: bool = False
    ) -> tuple[Writer, metric_pb2.StreamMetricsResponse]:
        """Opens a writer's stream and reads where it stands."""
        stub = tracking_service_pb2_grpc.TrackingServiceStub(self.channel)
        call = stub.StreamMetrics(metadata=self.metadata(), timeout=60)
        self.writers.append(call)
        writer = Writer(call, run, writer_id or random_id())
        await call.write(
            metric_pb2.StreamMetricsRequest(
                open=metric_pb2.OpenWriter(
                    run=run, writer_id=writer.writer_id, epoch=epoch, rank=rank, heartbeat_lease=lease
                )
            )
        )
        return writer, await writer.ack()

    async def points(self, run: str, key: str, **fields: Any) -> list[tuple[int, float]]:
        """Every point of a metric, as (step, value)."""
        read: list[tuple[int, float]] = []
        request = pb.ReadMetricPointsRequest(run=run, keys=[key], **fields)
        async for piece in self.stream("ReadMetricPoints", request):
            points = piece.series.points
            read.extend(zip(points.steps, points.values, strict=True))
        return read


def settings_in(folder: Path) -> TrackingSettings:
    """Settings with everything in a folder, and no auth service."""
    return TrackingSettings(data_dir=folder, auth_address="", service_credential_file=folder / "none")


@asynccontextmanager
async def serving_tracking(
    folder: Path, *, metric_log: Callable[[MetricLog], MetricLog] = lambda log: log
) -> AsyncIterator[Tracking]:
    """Runs a tracking service over stores in a folder; `users/ada` administers the project `default`.

    `metric_log` may put something in front of the metric log, to fail or to hold calls.
    """
    clock = SystemClock()
    settings = settings_in(folder)
    stores = await open_stores(settings, clock)
    async with _serving(settings, replace(stores, metric_log=metric_log(stores.metric_log)), _guard()) as server:
        yield server


@asynccontextmanager
async def serving_replicas(folder: Path, **settings: Any) -> AsyncIterator[tuple[Tracking, Tracking]]:
    """Runs two tracking services over the same stores in a folder."""
    both = replace(settings_in(folder), **settings)
    stores = await open_stores(both, SystemClock())
    guard = _guard()
    async with _serving(both, stores, guard) as first, _serving(both, stores, guard) as second:
        yield first, second


def _guard() -> OpenGuard:
    guard = OpenGuard(projects=["default", "other"])
    guard.grant("default", "users/ada", Role.ADMIN)
    return guard


@asynccontextmanager
async def _serving(settings: TrackingSettings, stores: TrackingStores, guard: OpenGuard) -> AsyncIterator[Tracking]:
    application = build(settings, stores, SystemClock())
    async with serving(application, guard) as address, grpc.aio.insecure_channel(address) as channel:
        server = Tracking(address, guard, channel)
        yield server
        for call in server.writers:
            call.cancel()
