"""The gRPC proxy: bytes, metadata, statuses, deadlines, cancellation and pressure go through, and nothing else does."""

import asyncio
import contextlib
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.gateway import NOWHERE, Front, RawServer, gateway_before, installation, raw_server
from support.servers import error_info

from penstock.api.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from penstock_kit.traces import Tracer

STREAM = "/penstock.api.tracking.v1.TrackingService/StreamMetrics"
WATCH = "/penstock.api.tracking.v1.TrackingService/WatchRun"
GET_RUN = "/penstock.api.tracking.v1.TrackingService/GetRun"
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


async def first_answer(front: Front, path: str, timeout_s: float | None = None) -> Any:
    """Sends one message by the kind of call that the path is for. Returns the first answer."""
    if path == STREAM:
        return await front.channel.stream_stream(path)(iter([b"x"]), timeout=timeout_s).read()
    return await front.channel.unary_unary(path)(b"x", timeout=timeout_s)


async def echo(requests: Any, context: Any) -> None:
    async for request in requests:
        await context.write(request)


async def test_a_stream_of_any_bytes_goes_through_both_ways_unchanged() -> None:
    messages = [bytes([n % 256]) * (n * 37 % 5_000) for n in range(300)]
    async with raw_server({STREAM: echo}) as address, gateway_before(tracking=address) as front:
        answers = [answer async for answer in front.channel.stream_stream(STREAM)(iter(messages))]
    assert answers == messages


async def test_answers_come_while_requests_are_still_being_sent() -> None:
    async with raw_server({STREAM: echo}) as address, gateway_before(tracking=address) as front:
        call = front.channel.stream_stream(STREAM)()
        for n in range(3):
            await call.write(b"%d" % n)
            assert await call.read() == b"%d" % n
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_unary_and_server_streams_go_through() -> None:
    async def once(requests: Any, context: Any) -> None:
        async for request in requests:
            await context.write(request * 2)

    async def thrice(requests: Any, context: Any) -> None:
        async for request in requests:
            for _ in range(3):
                await context.write(request)

    async with raw_server({GET_RUN: once, WATCH: thrice}) as address, gateway_before(tracking=address) as front:
        assert await front.channel.unary_unary(GET_RUN)(b"\x00\xff") == b"\x00\xff\x00\xff"
        assert [m async for m in front.channel.unary_stream(WATCH)(b"x")] == [b"x"] * 3


@pytest.mark.parametrize("path", [GET_RUN, STREAM], ids=["unary", "stream"])
async def test_metadata_goes_through_but_for_what_describes_the_connection(path: str) -> None:
    seen: dict[str, Any] = {}

    async def answer(requests: Any, context: Any) -> None:
        seen.update(context.invocation_metadata())
        seen["remaining_s"] = context.time_remaining()
        await context.send_initial_metadata((("x-early", "1"), ("early-bin", b"\x00\x01")))
        async for _ in requests:
            await context.write(b"done")
        context.set_trailing_metadata((("x-late", "2"), ("keep-alive", "no")))

    sent = (
        ("authorization", "Bearer abc"),
        ("x-request-id", "r-1"),
        ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
        ("custom-bin", b"\xff\x00"),
        ("proxy-authorization", "secret"),
        ("keep-alive", "timeout=5"),
    )
    async with raw_server({path: answer}) as address, gateway_before(tracking=address) as front:
        if path == STREAM:
            call = front.channel.stream_stream(path)(iter([b"x"]), metadata=sent, timeout=30)
            assert [m async for m in call] == [b"done"]
        else:
            call = front.channel.unary_unary(path)(b"x", metadata=sent, timeout=30)
            assert await call == b"done"
        initial, trailing = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
    assert {key: seen[key] for key, _ in sent[:4]} == dict(sent[:4])
    assert "proxy-authorization" not in seen
    assert "keep-alive" not in seen
    assert 0 < seen["remaining_s"] < 31  # a deadline travels as a time left, rounded up
    assert initial["x-early"] == "1"
    assert initial["early-bin"] == b"\x00\x01"
    assert trailing["x-late"] == "2"
    assert "keep-alive" not in trailing


async def test_the_span_of_the_gateway_is_between_those_of_client_and_service() -> None:
    seen: list[str] = []

    async def answer(requests: Any, context: Any) -> None:
        seen.append(dict(context.invocation_metadata())["traceparent"])
        async for _ in requests:
            await context.write(b"")

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    handlers = {GET_RUN: answer, STREAM: answer}
    async with raw_server(handlers) as address, gateway_before(tracking=address, tracer=Tracer(provider)) as front:
        metadata = (("traceparent", client),)
        await front.channel.unary_unary(GET_RUN)(b"", metadata=metadata)
        assert [m async for m in front.channel.stream_stream(STREAM)(iter([b""]), metadata=metadata)] == [b""]
        await front.http.get(f"/api/v1/projects/default/runs/{'0' * 32}", headers={"traceparent": client})
    spans: Any = exporter.get_finished_spans()
    assert len(spans) == 3
    for span, passed_on in zip(spans, seen, strict=True):
        assert span.parent.span_id == int("b" * 16, 16)
        assert passed_on == f"00-{'a' * 32}-{span.context.span_id:016x}-01"
        assert span.attributes["rpc.response.status_code"] == "OK"


async def test_a_call_without_request_id_gets_one() -> None:
    seen: list[str] = []

    async def answer(requests: Any, context: Any) -> None:
        seen.append(dict(context.invocation_metadata())["x-request-id"])
        async for _ in requests:
            await context.write(b"")

    async with raw_server({GET_RUN: answer}) as address, gateway_before(tracking=address) as front:
        await front.channel.unary_unary(GET_RUN)(b"")
        await front.channel.unary_unary(GET_RUN)(b"")
    assert len(set(seen)) == 2
    assert all(seen)


@pytest.mark.parametrize("path", [GET_RUN, STREAM], ids=["unary", "stream"])
async def test_a_status_arrives_with_its_details(path: str) -> None:
    async def refuse(requests: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.ALREADY_EXISTS,
            "there is one",
            (("x-why", "twice"), ("grpc-status-details-bin", b"\x08\x06")),
        )

    async with raw_server({path: refuse}) as address, gateway_before(tracking=address) as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await first_answer(front, path)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert dict(caught.value.trailing_metadata() or ())["x-why"] == "twice"


async def test_an_error_of_a_real_service_arrives_whole(tmp_path: Any) -> None:
    async with installation(tmp_path) as whole:
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(whole.front.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExchangeToken(auth_service_pb2.ExchangeTokenRequest(secret="pst_" + "0" * 32 + "_" + "0" * 64))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error_info(caught.value).reason == "TOKEN_INVALID"
        access = await stub.ExchangeToken(auth_service_pb2.ExchangeTokenRequest(secret=whole.token))
        me = await stub.WhoAmI(
            auth_service_pb2.WhoAmIRequest(), metadata=(("authorization", f"Bearer {access.access_token}"),)
        )
        assert me.owner


async def test_an_error_in_the_middle_of_a_stream_comes_after_the_messages_before_it() -> None:
    async def fail(requests: Any, context: Any) -> None:
        await context.write(b"one")
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    async with raw_server({STREAM: fail}) as address, gateway_before(tracking=address) as front:
        call = front.channel.stream_stream(STREAM)()
        assert await call.read() == b"one"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert caught.value.details() == "gone"


@pytest.mark.parametrize("path", [GET_RUN, STREAM], ids=["unary", "stream"])
async def test_a_client_that_cancels_cancels_the_service(path: str) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def linger(requests: Any, context: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with raw_server({path: linger}) as address, gateway_before(tracking=address) as front:
        call = front.channel.stream_stream(path)() if path == STREAM else front.channel.unary_unary(path)(b"")
        async with asyncio.timeout(10):
            await begun.wait()
            call.cancel()
            await cancelled.wait()


@pytest.mark.parametrize("path", [GET_RUN, STREAM], ids=["unary", "stream"])
async def test_a_deadline_ends_the_call_at_the_service_too(path: str) -> None:
    ended = asyncio.Event()

    async def linger(requests: Any, context: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with raw_server({path: linger}) as address, gateway_before(tracking=address) as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await first_answer(front, path, timeout_s=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_service_that_does_not_read_holds_the_client_back() -> None:
    release = asyncio.Event()
    taken = 0

    async def idle(requests: Any, context: Any) -> None:
        nonlocal taken
        await release.wait()
        async for request in requests:
            taken += len(request)

    piece = bytes(64 * 1024)
    written = 0
    async with raw_server({STREAM: idle}) as address, gateway_before(tracking=address) as front:
        call = front.channel.stream_stream(STREAM)()
        with contextlib.suppress(TimeoutError):
            while written < 64 * 1024 * 1024:
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(call.write(piece))), 1.0)
                written += len(piece)
        # What is in flight is a few windows on each hop, far from all that the client would send.
        assert written < 16 * 1024 * 1024
        release.set()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert taken >= written


async def test_a_client_that_does_not_read_holds_the_service_back() -> None:
    written = 0

    async def pour(requests: Any, context: Any) -> None:
        nonlocal written
        piece = bytes(64 * 1024)
        for _ in range(1_024):
            await context.write(piece)
            written += len(piece)

    async with raw_server({WATCH: pour}) as address, gateway_before(tracking=address) as front:
        call = front.channel.unary_stream(WATCH)(b"")
        assert len(await call.read()) == 64 * 1024
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.5)
        assert written < 32 * 1024 * 1024
        rest = 0
        while (piece := await call.read()) is not grpc.aio.EOF:
            rest += len(piece)
        assert rest == 1_023 * 64 * 1024


async def test_a_method_of_no_service_is_unimplemented() -> None:
    async with gateway_before() as front:
        for path in ("/penstock.api.tracking.v1.TrackingService/Nothing", "/other.Service/Method", "/x"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await front.channel.unary_unary(path)(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("path", [GET_RUN, STREAM], ids=["unary", "stream"])
async def test_a_service_out_of_reach_is_named_without_its_address(path: str) -> None:
    async with gateway_before(tracking=NOWHERE) as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await first_answer(front, path)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(caught.value).reason == "SERVICE_UNREACHABLE"
    assert NOWHERE not in (caught.value.details() or "")


async def test_a_service_that_comes_back_is_found_again() -> None:
    async with raw_server({GET_RUN: echo}) as address:
        port = address.rpartition(":")[2]
    async with gateway_before(tracking=address) as front:
        with pytest.raises(grpc.aio.AioRpcError):
            await front.channel.unary_unary(GET_RUN)(b"")
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((RawServer({GET_RUN: echo}),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        assert await front.channel.unary_unary(GET_RUN)(b"hello") == b"hello"
                        break
                    await asyncio.sleep(0.05)
        finally:
            await server.stop(0)


async def test_a_message_of_the_largest_size_passes_and_one_byte_more_does_not() -> None:
    async def count(requests: Any, context: Any) -> None:
        async for request in requests:
            await context.write(b"%d" % len(request))

    async with raw_server({GET_RUN: count}) as address, gateway_before(tracking=address) as front:
        call = front.channel.unary_unary(GET_RUN)
        assert await call(bytes(MESSAGE_BYTES_MAX)) == b"%d" % MESSAGE_BYTES_MAX
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(bytes(MESSAGE_BYTES_MAX + 1))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_beyond_the_limit_are_refused_and_later_ones_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_gateway.proxy.CALLS_MAX", 2)
    async with raw_server({STREAM: echo, GET_RUN: echo}) as address, gateway_before(tracking=address) as front:
        open_calls = [front.channel.stream_stream(STREAM)() for _ in range(2)]
        for call in open_calls:
            await call.write(b"x")
            assert await call.read() == b"x"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await front.channel.unary_unary(GET_RUN)(b"")
        assert error_info(caught.value).reason == "TOO_MANY_CALLS"
        for call in open_calls:
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
        assert await front.channel.unary_unary(GET_RUN)(b"y") == b"y"


async def test_stopping_ends_streams_at_once_and_lets_a_unary_call_finish() -> None:
    release = asyncio.Event()
    begun = asyncio.Event()

    async def slow(requests: Any, context: Any) -> None:
        begun.set()
        await release.wait()
        await context.write(b"done")

    async with (
        raw_server({STREAM: echo, GET_RUN: slow}) as address,
        gateway_before(tracking=address, drain_s=10.0) as front,
    ):
        stream = front.channel.stream_stream(STREAM)()
        await stream.write(b"x")
        assert await stream.read() == b"x"
        unary = asyncio.ensure_future(front.channel.unary_unary(GET_RUN)(b""))
        await begun.wait()
        stopping = asyncio.ensure_future(front.gateway.stop())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error_info(caught.value).reason == "STOPPING"
        assert not unary.done()
        release.set()
        assert await unary == b"done"
        await stopping


async def test_health_is_that_of_the_services(tmp_path: Any) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with installation(tmp_path) as whole:
        stub: Any = health_pb2_grpc.HealthStub(whole.front.channel)
        for service in ("", "penstock.api.auth.v1.AuthService", "penstock.api.tracking.v1.TrackingService"):
            assert (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status == serving
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == serving
        watch.cancel()
        auth_address = whole.auth.address
        async with gateway_before(auth=auth_address) as half:
            stub = health_pb2_grpc.HealthStub(half.channel)
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == not_serving
            auth = health_pb2.HealthCheckRequest(service="penstock.api.auth.v1.AuthService")
            assert (await stub.Check(auth)).status == serving
