"""Asks a server over HTTP where its gRPC door is: `GET {http}/.well-known/penstock`."""

import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from penstock.config import is_loopback
from penstock.errors import ServerUnavailable

__all__ = ["ServerInfo", "discover"]

ANSWER_BYTES_MAX = 65_536
"""Most of the answer that is read."""
_ANY_HOST = frozenset({"", "0.0.0.0", "::", "[::]", "*"})  # noqa: S104 - recognised, not bound to


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself.

    Attributes:
        grpc: Its gRPC address, `host:port`.
        version: Its version; empty if it does not say.
        clock_ahead_s: By how much its clock is ahead of ours, to about a second; None if it does not say.
    """

    grpc: str
    version: str
    clock_ahead_s: float | None


def discover(http: str, timeout_s: float) -> ServerInfo:
    """Asks the server at an HTTP address. Blocks.

    Raises `ServerUnavailable` when it does not answer in time, or what answers is not a Penstock server.
    """
    # A proxy cannot reach what listens on this machine alone.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})] if is_loopback(http) else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(f"{http}/.well-known/penstock", timeout=timeout_s) as response:
            body = response.read(ANSWER_BYTES_MAX)
            date = response.headers.get("Date")
    except urllib.error.HTTPError as error:
        error.close()
        raise _not_penstock(http, f"it answered {error.code}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            raise ServerUnavailable(f"No secure connection to {http}: {error.reason}.") from None
        raise _silent(http, error.reason) from None
    except (OSError, ValueError) as error:
        raise _silent(http, error) from None
    try:
        content: Any = json.loads(body)
        grpc, version = str(content["grpc"]), str(content.get("version", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _not_penstock(http, "it does not know /.well-known/penstock") from None
    return ServerInfo(_reachable(grpc, http), version, _clock_ahead_s(date))


def _reachable(grpc: str, http: str) -> str:
    """A server that listens on every address of its machine is reached where its HTTP half is."""
    host, _, port = grpc.rpartition(":")
    if host not in _ANY_HOST:
        return grpc
    http_host = urlsplit(http).hostname or ""
    return f"[{http_host}]:{port}" if ":" in http_host else f"{http_host}:{port}"


def _clock_ahead_s(date: str | None) -> float | None:
    try:
        # The header is cut to the second: half of one is the best guess of the rest.
        return parsedate_to_datetime(date).timestamp() + 0.5 - time.time() if date else None
    except ValueError:
        return None


def _silent(http: str, why: object) -> ServerUnavailable:
    return ServerUnavailable(
        f"The Penstock server at {http} does not answer. Is it running, and is the address right?",
        metadata={"details": str(why)},
    )


def _not_penstock(http: str, what: str) -> ServerUnavailable:
    return ServerUnavailable(f"What listens at {http} is not a Penstock server: {what}.", reason="NOT_PENSTOCK")
