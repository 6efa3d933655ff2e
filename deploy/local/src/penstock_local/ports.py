"""Owns the choice of ports on loopback for what this package starts."""

import random
import socket

from penstock.errors import PenstockError

__all__ = ["HOST", "NoPortFree", "free_ports", "is_free"]

HOST = "127.0.0.1"

PORT_MIN = 20_000
PORT_MAX = 32_000
"""Below the ports that systems give to outgoing connections (Linux: from 32,768). Where those overlap, a client that keeps
asking for a server that was killed can be connected to itself, and the server does not get its port back."""

PORT_DRAWS_MAX = 1_000


class NoPortFree(PenstockError):
    """There are not as many free ports on loopback."""

    default_reason = "NO_PORT_FREE"


def free_ports(count: int) -> list[int]:
    """Returns ports of loopback that nobody listens at now. Raises `NoPortFree`."""
    found: list[int] = []
    for _ in range(PORT_DRAWS_MAX):
        port = random.randint(PORT_MIN, PORT_MAX)  # noqa: S311 - no secret
        if port in found or not is_free(port):
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise NoPortFree(f"There are no {count} free ports between {PORT_MIN} and {PORT_MAX}.")


def is_free(port: int) -> bool:
    """Whether a server could listen at a port of loopback now."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
    return True
