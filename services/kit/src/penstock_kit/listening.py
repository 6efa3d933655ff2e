"""Where and how a gRPC server listens: its address, its certificate, and the limits that the transport itself keeps."""

import ipaddress
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from penstock_kit.settings import SettingsError

__all__ = ["CannotListen", "ServerSettings", "is_loopback", "listen", "transport_options"]

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address is taken, or is not one of this machine."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server listens and what it takes.

    Attributes:
        address: `host:port` to listen on; port 0 takes a free one.
        tls_certificate_file: PEM chain of the server. With it the server speaks TLS only.
        tls_key_file: PEM key of the certificate.
        insecure_off_loopback: Waives TLS on an address that other machines reach. Tokens then travel in the clear.
        metrics_address: `host:port` of an HTTP listener with `/metrics`; empty means that there is none.
        drain_s: How long calls may go on after the order to stop.
        exit_with_parent: End when standard input ends: a launcher that dies takes the process along.
        unary_deadline_s: The deadline of a unary call that came without one.
        stream_recheck_s: How often the caller of a stream is checked anew.
        unary_calls_max: Unary calls in flight.
        server_streams_max: Server streams in flight.
        client_streams_max: Client and bidirectional streams in flight.
        receive_bytes_max: Size of one message of a caller.
        metadata_bytes_max: Size of the metadata of a call.
        keepalive_interval_s: How long a silent connection is left alone before it is asked for a sign of life.
        keepalive_timeout_s: How long the sign of life may take.
        client_ping_interval_s_min: A client that pings oftener than this without calls is cut off.
    """

    address: str = "127.0.0.1:0"
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    insecure_off_loopback: bool = False
    metrics_address: str = ""
    drain_s: float = 10.0
    exit_with_parent: bool = False
    unary_deadline_s: float = 60.0
    stream_recheck_s: float = 5.0
    unary_calls_max: int = 512
    server_streams_max: int = 1_024
    client_streams_max: int = 1_024
    receive_bytes_max: int = 16 * 1024 * 1024
    metadata_bytes_max: int = 16 * 1024
    keepalive_interval_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    client_ping_interval_s_min: float = 10.0


def transport_options(settings: ServerSettings) -> list[tuple[str, Any]]:
    """Returns the options of a gRPC server that keep its limits."""
    return [
        ("grpc.max_receive_message_length", settings.receive_bytes_max),
        # Beyond the first limit some calls are refused, beyond the second all: one border is clearer.
        ("grpc.max_metadata_size", settings.metadata_bytes_max),
        ("grpc.absolute_max_metadata_size", settings.metadata_bytes_max),
        ("grpc.keepalive_time_ms", round(settings.keepalive_interval_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", round(settings.client_ping_interval_s_min * 1000)),
        # Without this the window of a stream grows, and a stream whose handler does not read takes in megabytes.
        ("grpc.http2.bdp_probe", 0),
        # Two servers on one port would share its calls at random.
        ("grpc.so_reuseport", 0),
    ]


def listen(server: grpc.aio.Server, settings: ServerSettings) -> str:
    """Binds a gRPC server that was not started yet.

    Returns:
        `host:port`, the port being the real one.

    Raises:
        SettingsError: Half a certificate, an unreadable one, or an address that others reach without TLS and without waiver.
        CannotListen: The address is taken or not ours.
    """
    host, _, port = settings.address.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(f"The address {settings.address!r} is not of the form host:port, such as 127.0.0.1:7071.")
    credentials = _credentials(settings)
    if credentials is None and not is_loopback(settings.address):
        if not settings.insecure_off_loopback:
            raise SettingsError(
                f"{settings.address} can be reached from other machines, and tokens would travel in the clear: give "
                "tls_certificate_file and tls_key_file, listen on 127.0.0.1, or set insecure_off_loopback if something "
                "in front of this server speaks TLS."
            )
        _log.warning("Listening on %s without TLS, as insecure_off_loopback says", settings.address)
    try:
        if credentials is None:
            bound = server.add_insecure_port(settings.address)
        else:
            bound = server.add_secure_port(settings.address, credentials)
    except RuntimeError:
        bound = 0
    if not bound:
        raise CannotListen(
            f"Cannot listen on {settings.address}: the port is taken, or it is no address of this machine."
        )
    return f"{host}:{bound}"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches `host:port`."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("tls_certificate_file and tls_key_file go together: one of them is not set.")
    try:
        return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    except OSError as error:
        raise SettingsError(f"The certificate cannot be read: {error.strerror}: {error.filename}.") from None
