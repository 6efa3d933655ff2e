"""Streams: nothing per message but the first, no longer than allowed, and an end when the server stops."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from support.servers import OpenGuard, bearer, error_info, serving, until
from support.small_services import RUN, SmallTracking, application

from penstock.api.tracking.v1 import metric_pb2, tracking_service_pb2_grpc
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.access import Caller, Role
from penstock_kit.application import Running
from penstock_kit.errors import InvalidInput
from penstock_kit.interceptors import authorize, call
from penstock_kit.server import Codec, ServerSettings

SETTINGS = ServerSettings(drain_s=5.0, stream_recheck_s=0.05, server_streams_max=2, client_streams_max=1)
OPEN = metric_pb2.StreamMetricsRequest(open=metric_pb2.OpenWriter(run=RUN, writer_id="1" * 32))


def batch(sequence: int) -> Any:
    return metric_pb2.StreamMetricsRequest(batch=metric_pb2.MetricBatch(sequence=sequence))


class BatchRefused(InvalidInput):
    reason = "BATCH_REFUSED"


class CountingGuard(OpenGuard):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.authenticated = 0
        self.authorized = 0

    def authenticate(self, bearer: str) -> Caller:
        self.authenticated += 1
        return super().authenticate(bearer)

    async def authorize(self, caller: Caller, permission: str, project: str | None) -> None:
        self.authorized += 1
        await super().authorize(caller, permission, project)


def read_request(raw: bytes) -> Any:
    request = metric_pb2.StreamMetricsRequest.FromString(raw)
    if request.batch.sequence == 666:
        raise BatchRefused("No.")
    return request


CODEC = Codec(read_request, metric_pb2.StreamMetricsResponse.SerializeToString)


@dataclass
class World:
    guard: CountingGuard
    servicer: SmallTracking
    running: Running
    stub: Any

    def stream(self, token: str) -> Any:
        return self.stub.StreamMetrics(metadata=bearer(token))


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    guard, servicer = CountingGuard(), SmallTracking()
    running = Running(application(servicer, codecs={"StreamMetrics": CODEC}), guard, SETTINGS)
    await running.start()
    async with grpc.aio.insecure_channel(running.address) as channel:
        yield World(guard, servicer, running, tracking_service_pb2_grpc.TrackingServiceStub(channel))
    await running.stop()


async def read_all(stream: Any) -> None:
    async with asyncio.timeout(10):
        while await stream.read() is not grpc.aio.EOF:
            pass


async def end_of(stream: Any) -> grpc.aio.AioRpcError:
    """Reads a stream to its end, which must be an error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_all(stream)
    return caught.value


async def test_messages_flow_and_are_checked_once() -> None:
    guard, servicer = CountingGuard(), SmallTracking()
    settings = ServerSettings(drain_s=2.0)
    async with (
        serving(application(servicer, codecs={"StreamMetrics": CODEC}), guard, settings) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stream = tracking_service_pb2_grpc.TrackingServiceStub(channel).StreamMetrics(metadata=bearer(guard.issue()))
        await stream.write(OPEN)
        assert (await stream.read()).acked_sequence == 0
        for sequence in range(1, 200):
            await stream.write(batch(sequence))
            assert (await stream.read()).acked_sequence == sequence
        await stream.write(metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter()))
        assert (await stream.read()).closed
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
        assert len(dict(await stream.trailing_metadata())["x-request-id"]) == 32
    assert (guard.authenticated, guard.authorized) == (1, 1)


async def test_first_message_decides(world: World) -> None:
    world.guard.grant("default", "users/ada", Role.VIEWER)
    stream = world.stream(world.guard.issue("users/ada"))
    await stream.write(OPEN)
    assert (await end_of(stream)).code() is grpc.StatusCode.PERMISSION_DENIED
    stream = world.stream(world.guard.issue())
    await stream.write(batch(1))
    assert error_info(await end_of(stream)).reason == "NAME_INVALID"
    assert world.servicer.streams_ended == 0, "no handler saw the streams"


async def test_stream_without_messages_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = world.stream(world.guard.issue())
    await stream.done_writing()
    assert error_info(await end_of(stream)).reason == "FIRST_MESSAGE_MISSING"
    monkeypatch.setattr(call, "FIRST_MESSAGE_WAIT_S_MAX", 0.05)
    assert error_info(await end_of(world.stream(world.guard.issue()))).reason == "FIRST_MESSAGE_MISSING"


async def test_bad_message_ends_the_stream_and_says_why(world: World) -> None:
    stream = world.stream(world.guard.issue())
    await stream.write(OPEN)
    await stream.read()
    await stream.write(batch(666))
    error = await end_of(stream)
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_REFUSED")
    assert world.servicer.streams_ended == 1


async def test_malformed_message_ends_the_stream() -> None:
    guard = OpenGuard()
    async with (
        serving(application(SmallTracking()), guard) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        open_stream = channel.stream_stream("/penstock.api.tracking.v1.TrackingService/StreamMetrics")
        for after_open in (False, True):
            stream: Any = open_stream(metadata=bearer(guard.issue()))
            if after_open:
                await stream.write(OPEN.SerializeToString())
                await stream.read()
            await stream.write(b"\xff\xff\xff")
            assert error_info(await end_of(stream)).reason == "REQUEST_MALFORMED"


async def test_messages_with_the_plain_codec_keep_the_rules_of_the_contract(world: World) -> None:
    stream = world.stub.WatchRun(
        pb.WatchRunRequest(run="projects/default/runs/1"), metadata=bearer(world.guard.issue())
    )
    assert error_info(await end_of(stream)).reason == "REQUEST_INVALID"


async def test_revoked_token_ends_streams(world: World) -> None:
    token = world.guard.issue(token="tokens/7")
    metrics, watch = world.stream(token), world.stub.WatchRun(pb.WatchRunRequest(run=RUN), metadata=bearer(token))
    await metrics.write(OPEN)
    await metrics.read()
    await watch.read()
    world.guard.revoke("tokens/7")
    for stream in (metrics, watch):
        error = await end_of(stream)
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
    await until(lambda: world.servicer.streams_ended == 2)


async def test_withdrawn_role_ends_a_stream(world: World) -> None:
    world.guard.grant("default", "users/ada", Role.EDITOR)
    stream = world.stream(world.guard.issue("users/ada"))
    await stream.write(OPEN)
    await stream.read()
    world.guard.withdraw("default", "users/ada")
    assert (await end_of(stream)).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_stream_outlives_its_access_token_but_not_the_age_of_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorize, "STREAM_AGE_S_MAX", 2.5)
    stream = world.stream(world.guard.issue(lifetime_s=2))
    await stream.write(OPEN)
    await stream.read()
    error = await end_of(stream)
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_TOO_OLD")


async def test_faulty_guard_lets_no_stream_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = world.stream(world.guard.issue())
    await stream.write(OPEN)
    await stream.read()

    async def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(world.guard, "authorize", fail)
    assert (await end_of(stream)).code() is grpc.StatusCode.INTERNAL


async def test_streams_have_limits_of_their_own(world: World) -> None:
    token = world.guard.issue()
    writer = world.stream(token)
    await writer.write(OPEN)
    await writer.read()
    assert error_info(await end_of(world.stream(token))).reason == "OVERLOADED"
    watchers = [world.stub.WatchRun(pb.WatchRunRequest(run=RUN), metadata=bearer(token)) for _ in range(2)]
    for watcher in watchers:
        await watcher.read()
    error = await end_of(world.stub.WatchRun(pb.WatchRunRequest(run=RUN), metadata=bearer(token)))
    assert error_info(error).reason == "OVERLOADED"
    watchers[0].cancel()
    await until(lambda: world.servicer.streams_ended == 1)
    again = world.stub.WatchRun(pb.WatchRunRequest(run=RUN), metadata=bearer(token))
    assert (await again.read()).event.run.name == RUN


async def test_reader_that_leaves_ends_the_handler(world: World) -> None:
    watch = world.stub.WatchRun(pb.WatchRunRequest(run=RUN), metadata=bearer(world.guard.issue()))
    await watch.read()
    watch.cancel()
    await until(lambda: world.servicer.streams_ended == 1)


async def test_slow_reader_holds_the_handler_up() -> None:
    """Back-pressure: a reader that does not read lets the server write no more than the window takes."""

    class Flood(SmallTracking):
        written = 0

        async def WatchRun(self, request: Any, context: Any) -> AsyncGenerator[Any]:
            for number in itertools.count():
                Flood.written = number
                yield pb.WatchRunResponse(event=metric_pb2.RunEvent(cursor="x" * 60_000))

    guard = OpenGuard()
    async with (
        serving(application(Flood()), guard) as address,
        grpc.aio.insecure_channel(address, options=[("grpc.http2.bdp_probe", 0)]) as channel,
    ):
        stub: Any = tracking_service_pb2_grpc.TrackingServiceStub(channel)
        watch = stub.WatchRun(pb.WatchRunRequest(run=RUN), metadata=bearer(guard.issue()))
        await watch.read()
        before = -1
        while before != Flood.written:
            before = Flood.written
            await asyncio.sleep(0.1)
        assert Flood.written < 1_000
        watch.cancel()
