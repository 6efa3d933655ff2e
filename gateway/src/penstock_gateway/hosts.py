"""Which `Host` headers are accepted.

A page of another site can make a name of its own point here (DNS rebinding) and would then be of one origin with us. So
a name must be known: a loopback name or one that the operator has set. An address cannot be rebound, so any is accepted.
"""

import ipaddress
from collections.abc import Iterable

from penstock_gateway.errors import HostNotAllowed

__all__ = ["HostList", "host_name"]

_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


class HostList:
    """The accepted names.

    Args:
        public: Names that the operator has set, without ports.
    """

    def __init__(self, public: Iterable[str]) -> None:
        self._names = _LOOPBACK_NAMES | {name.strip().lower().rstrip(".") for name in public if name.strip()}

    def check(self, header: str) -> None:
        """Raises `HostNotAllowed` unless the value of a `Host` header names this gateway."""
        name = host_name(header)
        if name not in self._names and not _is_address(name):
            raise HostNotAllowed(
                f"{name[:200]!r} is not a name of this server. If it should be, add it to PENSTOCK_GATEWAY_PUBLIC_HOSTS."
            )


def host_name(header: str) -> str:
    """The name or address in a `host[:port]`, in lower case, without brackets and the final dot."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
