"""Several replicas of a service behind the gateway: calls take turns among those that serve, streams stay."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from support.gateway import Front, RawServer, gateway_before

from penstock_gateway.backends import Backends
from penstock_kit.health import Health
from penstock_kit.settings import SettingsError

SERVICE = "penstock.api.tracking.v1.TrackingService"
STREAM = f"/{SERVICE}/StreamMetrics"
GET_RUN = f"/{SERVICE}/GetRun"


@dataclass
class Replica:
    """A replica that answers with its name.

    Attributes:
        address: `host:port`.
        health: What it says of itself.
        server: To stop it.
    """

    address: str
    health: Health
    server: Any


@asynccontextmanager
async def replica(name: bytes) -> AsyncGenerator[Replica]:
    async def answer(requests: Any, context: Any) -> None:
        async for _ in requests:
            await context.write(name)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((RawServer({STREAM: answer, GET_RUN: answer}),))
    health = Health([SERVICE])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Replica(f"127.0.0.1:{port}", health, server)
    finally:
        await server.stop(0)


async def answering(front: Front) -> set[bytes]:
    """Who answers four calls in a row."""
    call = front.channel.unary_unary(GET_RUN)
    answers: set[bytes] = set()
    for _ in range(4):
        with contextlib.suppress(grpc.aio.AioRpcError):
            answers.add(await call(b""))
    return answers


async def until_answering(front: Front, *names: bytes) -> None:
    """Waits until these replicas, and no others, answer."""
    async with asyncio.timeout(20):
        while await answering(front) != set(names):  # noqa: ASYNC110 - nothing rings when gRPC has taken notice
            await asyncio.sleep(0.02)


async def test_calls_take_turns_among_the_replicas_that_serve() -> None:
    async with (
        replica(b"a") as a,
        replica(b"b") as b,
        gateway_before(tracking=f"{a.address}, {b.address}") as front,
    ):
        assert await answering(front) == set()
        assert (await front.gateway.services_ready())["tracking"] is False
        a.health.set_ready(SERVICE, True)
        await until_answering(front, b"a")
        assert (await front.gateway.services_ready())["tracking"] is True
        b.health.set_ready(SERVICE, True)
        await until_answering(front, b"a", b"b")
        # One that cannot do its work says so, though it still answers.
        a.health.set_ready(SERVICE, False)
        await until_answering(front, b"b")
        a.health.set_ready(SERVICE, True)
        await until_answering(front, b"a", b"b")
        await b.server.stop(0)
        await until_answering(front, b"a")
        assert (await front.gateway.services_ready())["tracking"] is True


async def test_a_stream_stays_with_its_replica_and_breaks_with_it() -> None:
    async with (
        replica(b"a") as a,
        replica(b"b") as b,
        gateway_before(tracking=f"{a.address},{b.address}") as front,
    ):
        for each in (a, b):
            each.health.set_ready(SERVICE, True)
        await until_answering(front, b"a", b"b")
        streams = [front.channel.stream_stream(STREAM)() for _ in range(2)]
        told: list[set[bytes]] = [set(), set()]
        for _ in range(5):
            for stream, answers in zip(streams, told, strict=True):
                await stream.write(b"")
                answers.add(await stream.read())
        assert sorted(told, key=min) == [{b"a"}, {b"b"}]
        await b.server.stop(0)
        staying, broken = streams if told[0] == {b"a"} else reversed(streams)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await broken.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await staying.write(b"")
        assert await staying.read() == b"a"
        await staying.done_writing()
        assert await staying.read() is grpc.aio.EOF


@pytest.mark.parametrize("addresses", ["localhost:1,127.0.0.1:2", "127.0.0.1:1,[::1]:2", "127.0.0.1,127.0.0.1:2"])
async def test_several_addresses_that_cannot_be_used_together_are_refused(addresses: str) -> None:
    with pytest.raises(SettingsError, match="tracking"):
        Backends({"auth": "127.0.0.1:1", "tracking": addresses})


async def test_replicas_of_ipv6_are_addresses_too() -> None:
    await Backends(
        {"auth": "auth.internal:1", "tracking": "[::1]:1,[::1]:2", "registry": "[::1]:3", "artifact": "[::1]:4"}
    ).close()
