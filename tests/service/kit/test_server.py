"""How a server starts, says that it is ready, refuses to start, and ends."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.servers import OpenGuard, bearer, serving, until
from support.small_services import AUTH, RUN, Elsewhere, SmallAuth, SmallTracking, application
from support.tls import certificate

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock.api.auth.v1 import auth_service_pb2_grpc
from penstock.api.tracking.v1 import tracking_service_pb2, tracking_service_pb2_grpc
from penstock_kit.access import AccessRuleInvalid
from penstock_kit.application import Application, Job, Running
from penstock_kit.clock import SystemClock
from penstock_kit.listening import CannotListen
from penstock_kit.server import Codec, Mount, Server, ServerSettings, ServicerIncomplete
from penstock_kit.settings import SettingsError

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def make(servicer: Any, **codecs: Codec) -> Server:
    return Server([Mount(AUTH, servicer, codecs)], OpenGuard(), ServerSettings(), SystemClock())


class Lacking:
    """Serves nothing."""


class Synchronous(SmallAuth):
    def WhoAmI(self, request: Any, context: Any) -> Any:  # type: ignore[override] - the fault under test
        return pb.WhoAmIResponse()


class NotStreaming(SmallAuth):
    async def WatchGrants(self, request: Any, context: Any) -> Any:
        return pb.WatchGrantsResponse()


@pytest.mark.parametrize(
    ("servicer", "said"),
    [
        (Lacking(), "Lacking.CreateProject must be a coroutine function"),
        (Synchronous(), "Synchronous.WhoAmI must be a coroutine function"),
        (NotStreaming(), "NotStreaming.WatchGrants must be an async generator"),
    ],
    ids=["lacking", "synchronous", "not streaming"],
)
def test_incomplete_servicer_does_not_start(servicer: Any, said: str) -> None:
    with pytest.raises(ServicerIncomplete, match=said):
        make(servicer)


def test_codec_of_no_method_does_not_start() -> None:
    with pytest.raises(ServicerIncomplete, match="Misspelt"):
        make(SmallAuth(), Misspelt=Codec(bytes, bytes))


def test_method_without_access_rule_does_not_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="test/open.proto", package="test.open", syntax="proto3")
    file.message_type.add(name="Nothing")
    file.service.add(name="OpenService").method.add(
        name="Open", input_type=".test.open.Nothing", output_type=".test.open.Nothing"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    service: Any = pool.FindServiceByName("test.open.OpenService")
    with pytest.raises(AccessRuleInvalid, match=r"test\.open\.OpenService\.Open has no access rule"):
        Server([Mount(service, Elsewhere(service))], OpenGuard(), ServerSettings(), SystemClock())


async def test_taken_port_is_said() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    async with serving(application(SmallAuth())) as address:
        second = Running(
            Application([Mount(AUTH, SmallAuth())], [], close), OpenGuard(), ServerSettings(address=address)
        )
        with pytest.raises(CannotListen, match=address):
            await second.start()
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ServerSettings(address="0.0.0.0:0"), "tokens would travel in the clear"),
        (ServerSettings(address="[::]:0"), "tokens would travel in the clear"),
        (ServerSettings(address="example.invalid:0"), "tokens would travel in the clear"),
        (ServerSettings(address="7071"), "host:port"),
        (ServerSettings(address="127.0.0.1:grpc"), "host:port"),
        (ServerSettings(tls_key_file=Path("key.pem")), "go together"),
        (ServerSettings(tls_key_file=Path("no.pem"), tls_certificate_file=Path("no.pem")), "cannot be read"),
    ],
)
async def test_unsafe_or_wrong_settings_are_refused(settings: ServerSettings, said: str) -> None:
    running = Running(application(SmallAuth()), OpenGuard(), settings)
    with pytest.raises(SettingsError, match=said):
        await running.start()


async def test_waiver_of_tls_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    settings = ServerSettings(address="example.invalid:0", insecure_off_loopback=True)
    running = Running(application(SmallAuth()), OpenGuard(), settings)
    with pytest.raises(CannotListen):  # it went as far as looking for the address
        await running.start()
    assert "without TLS" in caplog.text


async def test_speaks_tls(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    settings = ServerSettings(tls_certificate_file=certificate_file, tls_key_file=key_file)
    async with (
        serving(application(SmallAuth()), settings=settings) as address,
        grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(certificate_file.read_bytes())) as channel,
    ):
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        answer = await stub.ExchangeToken(pb.ExchangeTokenRequest(secret="abc"))
        assert answer.access_token == "ABC"


async def test_limit_of_a_message() -> None:
    settings = ServerSettings(receive_bytes_max=100)
    async with (
        serving(application(SmallAuth()), settings=settings) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        request = pb.ExchangeTokenRequest(secret="x" * 98)
        assert request.ByteSize() == 100
        await stub.ExchangeToken(request)
        request.secret += "x"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExchangeToken(request)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_limit_of_a_message_by_default() -> None:
    assert ServerSettings().receive_bytes_max == 16 * 1024 * 1024


async def test_limit_of_metadata() -> None:
    async with (
        serving(application(SmallAuth())) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        await stub.ExchangeToken(pb.ExchangeTokenRequest(secret="a"), metadata=(("x-much", "x" * 12_000),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExchangeToken(pb.ExchangeTokenRequest(secret="a"), metadata=(("x-much", "x" * 20_000),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


class LearningGuard(OpenGuard):
    """A guard that needs a moment."""

    ready = False


async def test_health_follows_the_guard() -> None:
    guard = LearningGuard()
    async with (
        serving(application(SmallAuth(), SmallTracking()), guard) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", AUTH.full_name):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == NOT_SERVING
        guard.ready = True
        watch = health.Watch(health_pb2.HealthCheckRequest(service=AUTH.full_name))
        while (await asyncio.wait_for(watch.read(), 10)).status != SERVING:
            pass
        guard.ready = False
        assert (await asyncio.wait_for(watch.read(), 10)).status == NOT_SERVING
        watch.cancel()


async def test_a_client_may_ask_for_signs_of_life_as_often_as_the_settings_say() -> None:
    settings = ServerSettings(client_ping_interval_s_min=0.05)
    pings = [("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0)]
    async with (
        serving(application(SmallAuth()), LearningGuard(), settings) as address,
        grpc.aio.insecure_channel(address, pings) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=AUTH.full_name))
        assert (await asyncio.wait_for(watch.read(), 10)).status == NOT_SERVING
        # Too many pings end the connection and the stream with it: the third does, a second after another.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watch.read(), 4.0)


async def test_health_needs_no_token_and_is_never_shed() -> None:
    settings = ServerSettings(unary_calls_max=0, server_streams_max=0)
    async with (
        serving(application(SmallAuth()), settings=settings) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="another"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest(service="another"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


async def test_stop_drains() -> None:
    guard, auth, tracking = OpenGuard(), SmallAuth(), SmallTracking()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    auth.behaviour = wait
    running = Running(application(auth, tracking), guard, ServerSettings(drain_s=30.0))
    await running.start()
    metadata = bearer(guard.issue())
    async with grpc.aio.insecure_channel(running.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        auth_stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        tracking_stub: Any = tracking_service_pb2_grpc.TrackingServiceStub(channel)
        watch_health = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch_health.read()).status == SERVING
        watch = tracking_stub.WatchRun(tracking_service_pb2.WatchRunRequest(run=RUN), metadata=metadata)
        await watch.read()
        in_flight = asyncio.ensure_future(auth_stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata))
        await begun.wait()
        stopping = asyncio.create_task(running.stop())
        assert (await watch_health.read()).status == NOT_SERVING
        assert await watch.read() == tracking_service_pb2.WatchRunResponse(), "the stream was told and said good-bye"
        assert await watch.read() is grpc.aio.EOF
        assert await watch.code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auth_stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()
        go_on.set()
        assert (await in_flight).principal == "users/owner"
        await asyncio.wait_for(stopping, 10)


async def test_stop_cuts_off_what_does_not_end() -> None:
    guard, auth = OpenGuard(), SmallAuth()
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    auth.behaviour = wait
    running = Running(application(auth), guard, ServerSettings(drain_s=0.2))
    await running.start()
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        asking = asyncio.ensure_future(stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(guard.issue())))
        await begun.wait()
        await asyncio.wait_for(running.stop(), 10)
        with pytest.raises(grpc.aio.AioRpcError):
            await asking


async def test_jobs_are_restarted_and_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def failing() -> None:
        seen.append("begun")
        if len(seen) == 1:
            raise RuntimeError("once")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def close() -> None:
        seen.append("closed")

    async with serving(Application([Mount(AUTH, SmallAuth())], [Job("compaction", failing)], close)):
        await until(lambda: len(seen) == 2)
        assert "Job compaction failed" in caplog.text
    assert seen == ["begun", "begun", "cancelled", "closed"]


PROCESS = """
import asyncio, sys
from support.servers import OpenGuard
from support.small_services import SmallAuth, application
from penstock_kit import logs
from penstock_kit.application import serve
from penstock_kit.server import ServerSettings

logs.configure("auth", sys.stderr)
asyncio.run(serve(application(SmallAuth()), OpenGuard(), ServerSettings(metrics_address="127.0.0.1:0", drain_s=2.0)))
print("drained")
"""


def test_process_ends_cleanly_on_sigterm() -> None:
    tests = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        env=os.environ | {"PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert '"message": "Serving"' in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "drained\n")
    assert [line for line in err.splitlines() if '"message": "Stopping"' in line]
