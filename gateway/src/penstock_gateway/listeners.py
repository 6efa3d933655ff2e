"""The two ports of the gateway, bound before anything else starts: what needs to know the addresses need not wait."""

import errno
import socket
from dataclasses import dataclass

import grpc

from penstock_gateway.settings import ENVIRONMENT_PREFIX, ListenSettings
from penstock_kit.listening import CannotListen, ServerSettings, is_loopback, listen, transport_options
from penstock_kit.settings import SettingsError

__all__ = ["AddressInUse", "Listeners", "bind", "check", "local_address"]


class AddressInUse(CannotListen):
    """Something else listens on a port.

    Attributes:
        setting: The field of the settings that names the address.
        address: The address.
    """

    def __init__(self, setting: str, address: str) -> None:
        super().__init__(
            f"{address} is in use: stop what listens there, or set {_variable(setting)} to another address (port 0 takes "
            "a free one)."
        )
        self.setting = setting
        self.address = address


@dataclass(frozen=True)
class Listeners:
    """Bound ports, not yet served.

    Attributes:
        http_socket: Bound for HTTP.
        http_address: `host:port` it is bound to.
        grpc_server: Bound for gRPC; methods can still be added.
        grpc_address: `host:port` it is bound to.
        tls: Whether both speak TLS.
    """

    http_socket: socket.socket
    http_address: str
    grpc_server: grpc.aio.Server
    grpc_address: str
    tls: bool

    @property
    def local_http_url(self) -> str:
        """The HTTP address for clients on this machine."""
        return f"{'https' if self.tls else 'http'}://{local_address(self.http_address)}"

    @property
    def local_grpc_address(self) -> str:
        """The gRPC address for clients on this machine."""
        return local_address(self.grpc_address)


def local_address(address: str) -> str:
    """Where clients on this machine reach what listens on an address."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in {"0.0.0.0", "[::]"} else address  # noqa: S104 - compared, not bound


def bind(settings: ListenSettings) -> Listeners:
    """Binds both ports. Must be called within the event loop that will serve them.

    Raises:
        AddressInUse: A port is taken.
        CannotListen: An address is not one of this machine.
        SettingsError: An address cannot be read, a TLS file cannot be read, or an address can be reached from other machines
            and there is neither TLS nor the waiver.
    """
    _check_reach(settings)
    http_socket = _socket("http_address", settings.http_address)
    try:
        # gRPC does not tell a taken port from other failures, so the port is tried first.
        _socket("grpc_address", settings.grpc_address).close()
        server_settings = ServerSettings(
            address=settings.grpc_address,
            tls_certificate_file=settings.tls_certificate_file,
            tls_key_file=settings.tls_key_file,
            insecure_off_loopback=settings.insecure_off_loopback,
        )
        grpc_server = grpc.aio.server(options=transport_options(server_settings))
        grpc_address = listen(grpc_server, server_settings)
    except BaseException:
        http_socket.close()
        raise
    host = settings.http_address.rpartition(":")[0]
    return Listeners(
        http_socket,
        f"{host}:{http_socket.getsockname()[1]}",
        grpc_server,
        grpc_address,
        settings.tls_certificate_file is not None,
    )


def check(settings: ListenSettings) -> None:
    """Raises what `bind` would raise of the addresses, and keeps nothing: for who has another process bind them."""
    _check_reach(settings)
    _socket("http_address", settings.http_address).close()
    _socket("grpc_address", settings.grpc_address).close()


def _check_reach(settings: ListenSettings) -> None:
    if settings.tls_certificate_file is not None or settings.insecure_off_loopback:
        return
    for address in (settings.http_address, settings.grpc_address):
        if not is_loopback(address):
            raise SettingsError(
                f"{address} can be reached from other machines, and tokens would travel in the clear: set "
                f"{_variable('tls_certificate_file')} and {_variable('tls_key_file')}, listen on 127.0.0.1, or set "
                f"{_variable('insecure_off_loopback')}=true if something in front of this server speaks TLS."
            )


def _socket(setting: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise SettingsError(f"{_variable(setting)}: {address!r} is not of the form host:port, such as 127.0.0.1:7070.")
    try:
        family, _, _, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        # With the protocol named asyncio switches Nagle's algorithm off. Else an answer, which is head and body, waits 40 ms
        # for the client to acknowledge its head.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # A restart must not wait until the connections of the process before are forgotten.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
            listener.listen(1)  # with the option above two may bind, but only one may listen
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(setting, address) from error
        raise CannotListen(f"Cannot listen on {address}: {error.strerror or error}.") from error
    return listener


def _variable(setting: str) -> str:
    return f"{ENVIRONMENT_PREFIX}_{setting}".upper()
