"""Where webhooks may go. Owns the decision, made for the address that is really connected to, after the name was looked up.

A name that leads to a public address when a webhook is created may lead to a private one when it fires. So nothing is
decided by names, but for hosts that the administrator of the installation allows.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

import httpcore2
from typing_extensions import override

from penstock_registry.errors import TargetForbidden

__all__ = ["GuardedBackend", "TargetGuard"]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # leads to any IPv4 address, private ones too

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class TargetGuard:
    """Decides where webhooks may go.

    Args:
        allowed: Hosts that an administrator allows, in lower case, `host` or `host:port`: also by `http://`, also at private
            addresses.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    def check_url(self, url: str) -> None:
        """Refuses an address that could never be used. Raises `TargetForbidden`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            host, port, parts = "", 0, urlsplit("")
        if not host or parts.username is not None or parts.password is not None:
            raise TargetForbidden("The address has no host, or a user in it.")
        if self.allows(host, port):
            return
        if parts.scheme != "https":
            raise TargetForbidden(f"{host} is reached by https:// only, unless an administrator allows the host.")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return  # a name: decided when it is connected to
        if not is_public(address):
            raise TargetForbidden(f"{host} is not a public address, and no administrator allows it.")

    def allows(self, host: str, port: int) -> bool:
        """Whether an administrator allows a host."""
        return not self._allowed.isdisjoint({host.lower(), f"{host.lower()}:{port}"})

    def choose(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Returns those of the addresses of a host that may be connected to. Raises `TargetForbidden` if there is none."""
        every = list(dict.fromkeys(addresses))
        if self.allows(host, port):
            return every
        public = [address for address in every if is_public(ipaddress.ip_address(address))]
        if not public:
            raise TargetForbidden(f"{host} leads to no public address, and no administrator allows it.")
        return public


def is_public(address: IpAddress) -> bool:
    """Whether an address is of the internet, and leads to no other kind by way of a translation."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return is_public(inner)
        if address in _NAT64:
            return False
    return address.is_global and not address.is_multicast


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects only where the guard allows it: looks a name up once, and connects to what was decided about."""

    def __init__(self, guard: TargetGuard) -> None:
        self._guard = guard
        self._backend: Any = httpcore2.AnyIOBackend()  # typed as a stand-in too, for where anyio is missing

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connects. Raises `TargetForbidden`, and what httpcore raises."""
        try:
            found = await asyncio.wait_for(
                asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM), timeout
            )
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} cannot be looked up") from error
        addresses = self._guard.choose(host, port, (str(place[4][0]) for place in found))
        failure: Exception | None = None
        for address in addresses[:4]:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure
