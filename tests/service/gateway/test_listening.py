"""The ports: what is refused, what is taken, and TLS on both."""

import socket
import ssl
from pathlib import Path

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.gateway import NOWHERE
from support.tls import certificate

from penstock_gateway.app import build
from penstock_gateway.listeners import AddressInUse, bind
from penstock_gateway.settings import ListenSettings, Settings
from penstock_kit.clock import SystemClock
from penstock_kit.listening import CannotListen
from penstock_kit.settings import SettingsError


def listen(http: str = "127.0.0.1:0", grpc_: str = "127.0.0.1:0", **more: object) -> ListenSettings:
    return ListenSettings(http_address=http, grpc_address=grpc_, **more)


async def test_port_0_takes_a_free_one_on_both_sides() -> None:
    listeners = bind(listen())
    try:
        ports = {int(a.rpartition(":")[2]) for a in (listeners.http_address, listeners.grpc_address)}
        assert len(ports) == 2
        assert 0 not in ports
        assert listeners.local_http_url == f"http://{listeners.http_address}"
    finally:
        listeners.http_socket.close()


async def test_answers_are_not_held_back() -> None:
    # asyncio switches Nagle's algorithm off for sockets that name their protocol, and those accepted by them.
    listeners = bind(listen())
    with listeners.http_socket as listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


async def test_a_port_in_use_is_named_with_its_setting() -> None:
    first = bind(listen())
    try:
        with pytest.raises(AddressInUse) as caught:
            bind(listen(http=first.http_address))
        assert (caught.value.setting, caught.value.address) == ("http_address", first.http_address)
        assert "PENSTOCK_GATEWAY_HTTP_ADDRESS" in str(caught.value)
        with pytest.raises(AddressInUse) as caught:
            bind(listen(grpc_=first.grpc_address))
        assert caught.value.setting == "grpc_address"
    finally:
        first.http_socket.close()


@pytest.mark.parametrize("side", ["http_address", "grpc_address"])
@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", "7070", ":7070", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1"]
)
async def test_what_is_no_address(side: str, address: str) -> None:
    wrong = {"http_address": "127.0.0.1:0", "grpc_address": "127.0.0.1:0"} | {side: address}
    with pytest.raises(SettingsError):
        bind(ListenSettings(**wrong))


async def test_an_address_of_another_machine() -> None:
    with pytest.raises(CannotListen):
        bind(listen(http="192.0.2.1:0", insecure_off_loopback=True))


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
async def test_off_loopback_without_tls_needs_the_waiver(address: str) -> None:
    for settings in (listen(http=address), listen(grpc_=address)):
        with pytest.raises(SettingsError, match="in the clear"):
            bind(settings)
    if address == "0.0.0.0:0":
        listeners = bind(listen(http=address, grpc_=address, insecure_off_loopback=True))
        assert listeners.local_http_url.startswith("http://127.0.0.1:")
        assert listeners.local_grpc_address.startswith("127.0.0.1:")
        listeners.http_socket.close()


async def test_tls_on_both_ports_also_off_loopback(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    settings = Settings(
        auth_address=NOWHERE,
        tracking_address=NOWHERE,
        registry_address=NOWHERE,
        artifact_address=NOWHERE,
        http_address="0.0.0.0:0",
        grpc_address="0.0.0.0:0",
        tls_certificate_file=certificate_file,
        tls_key_file=key_file,
        drain_s=1.0,
    )
    listeners = bind(settings)
    gateway = build(settings, listeners, SystemClock())
    await gateway.start()
    try:
        context = ssl.create_default_context(cafile=str(certificate_file))
        async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
            url = f"{listeners.local_http_url}/.well-known/penstock"
            assert url.startswith("https://127.0.0.1:")
            told = (await http.get(url)).json()
        assert told["grpc"] == listeners.local_grpc_address
        credentials = grpc.ssl_channel_credentials(certificate_file.read_bytes())
        async with grpc.aio.secure_channel(told["grpc"], credentials) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        await gateway.stop()


async def test_half_a_certificate_and_an_unreadable_one(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    with pytest.raises(SettingsError):
        bind(listen(tls_certificate_file=certificate_file))
    with pytest.raises(SettingsError):
        bind(listen(tls_key_file=key_file))
    with pytest.raises(SettingsError):
        bind(listen(tls_certificate_file=tmp_path / "none.pem", tls_key_file=key_file))
