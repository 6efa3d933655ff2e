# Generated from _async/channel.py by deploy/tools/unasync.py. Change that one.
"""An authenticated channel: what generated stubs take for a channel.

Owns the connection, the access token, deadlines, retries, and the translation of errors. A call through it

- carries `authorization: Bearer <access token>`, obtained for the connection's secret and renewed in time;
- has a deadline, which covers all its attempts;
- is made again, with a pause, if the server was not reached and the call only reads;
- raises the errors of `penstock.errors`.
"""

import base64
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from penstock.api.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from penstock.client.discovery import discover
from penstock.client.failures import cause_to_show, is_code, translated
from penstock.client.rules import CallRule, call_rule
from penstock.client.runtime_sync import Cancelled, Lock, SilenceGuard, Stream, in_thread, open_channel, sleep
from penstock.config import Connection, is_loopback
from penstock.errors import AuthenticationFailed, PenstockError, ServerUnavailable

__all__ = ["Channel"]

RETRIES_MAX = 4
"""Attempts after the first one, of a call that may be repeated."""
RETRY_PAUSE_S = 0.1
"""The pause before the first of them, doubled for each next, and varied by half so that clients do not return in step."""
RENEWAL_MARGIN_S = 30.0
"""How long before its end an access token is renewed; half its life if it lives shorter than twice this."""
RECEIVE_BYTES_MAX = 64 * 1024 * 1024
"""Largest message taken from a server."""

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class _Access:
    """An access token and when to renew it, by the monotonic clock."""

    token: str
    renew_s: float


class Channel:
    """An authenticated channel to one server. Connects at the first call.

    Args:
        connection: The server and the secret.
        timeout_s: The deadline of a unary call that names none.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._raw: Any = None
        self._closed = False
        self._open_lock = Lock()
        self._access: _Access | None = None
        self._access_lock = Lock()
        self._auth = auth_service_pb2_grpc.AuthServiceStub(self)

    def close(self) -> None:
        """Ends every call that is under way. Safe to repeat."""
        self._closed = True
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """For generated stubs: a method with one request and one response."""
        rule = call_rule(method)

        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = ()) -> Any:
            return self._unary(method, args, kwargs, rule, request, timeout, metadata)

        return call

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """For generated stubs: a method with one request and a stream of responses.

        The call takes `silence_s`: how long the server may be silent before it counts as gone.
        """
        rule = call_rule(method)

        def call(
            request: Any, *, timeout: float | None = None, metadata: Metadata = (), silence_s: float | None = None
        ) -> Stream[Any]:
            return self._stream(method, args, kwargs, rule, request, timeout, metadata, silence_s)

        return call

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """For generated stubs: a method with streams of requests and of responses. Never repeated by itself."""

        def call(requests: Any, *, timeout: float | None = None, metadata: Metadata = ()) -> Stream[Any]:
            return self._exchange(method, args, kwargs, requests, timeout, metadata)

        return call

    def _unary(
        self,
        method: str,
        args: Any,
        kwargs: Any,
        rule: CallRule,
        request: Any,
        timeout: float | None,
        metadata: Metadata,
    ) -> Any:
        deadline_s = time.monotonic() + (self._timeout_s if timeout is None else timeout)
        raw = self._opened(deadline_s)
        attempt = 0
        renewed = False
        while True:
            access = None if rule.public else self._authorized(deadline_s)
            try:
                return raw.unary_unary(method, *args, **kwargs)(
                    request, timeout=_left_s(deadline_s), metadata=_with(metadata, access)
                )
            except grpc.RpcError as error:
                failure = translated(error, self._connection.http)
                if access is not None and not renewed and is_code(error, grpc.StatusCode.UNAUTHENTICATED):
                    # The server may have changed its keys: one try with a fresh token tells.
                    self._drop(access)
                    renewed = True
                    continue
                if not rule.repeatable or not is_code(error, grpc.StatusCode.UNAVAILABLE):
                    raise failure from cause_to_show(error)
                pause_s = _pause_s(attempt)
                if attempt == RETRIES_MAX or pause_s >= _left_s(deadline_s):
                    raise failure from cause_to_show(error)
            attempt += 1
            sleep(pause_s)

    def _stream(
        self,
        method: str,
        args: Any,
        kwargs: Any,
        rule: CallRule,
        request: Any,
        timeout: float | None,
        metadata: Metadata,
        silence_s: float | None,
    ) -> Stream[Any]:
        deadline_s = None if timeout is None else time.monotonic() + timeout
        attempt = 0
        renewed = False
        started = False
        while True:
            open_deadline_s = time.monotonic() + self._timeout_s if deadline_s is None else deadline_s
            raw = self._opened(open_deadline_s)
            access = None if rule.public else self._authorized(open_deadline_s)
            call = raw.unary_stream(method, *args, **kwargs)(
                request, timeout=None if deadline_s is None else _left_s(deadline_s), metadata=_with(metadata, access)
            )
            guard = None if silence_s is None else SilenceGuard(silence_s, call.cancel)
            try:
                if guard is not None:
                    guard.waiting()
                for response in call:
                    started = True
                    if guard is not None:
                        guard.heard()
                    yield response
                    if guard is not None:
                        guard.waiting()
                return
            except (grpc.RpcError, Cancelled) as error:
                if guard is not None and guard.expired:
                    raise ServerUnavailable(
                        f"The Penstock server at {self._connection.http} has been silent for {silence_s:g} s."
                    ) from None
                if not isinstance(error, grpc.RpcError):
                    raise
                failure = translated(error, self._connection.http)
                if started:
                    raise failure from cause_to_show(error)
                if access is not None and not renewed and is_code(error, grpc.StatusCode.UNAUTHENTICATED):
                    self._drop(access)
                    renewed = True
                    continue
                unreached = rule.repeatable and is_code(error, grpc.StatusCode.UNAVAILABLE)
                if not unreached or attempt == RETRIES_MAX:
                    raise failure from cause_to_show(error)
            finally:
                if guard is not None:
                    guard.stop()
                call.cancel()
            sleep(_pause_s(attempt))
            attempt += 1

    def _exchange(
        self, method: str, args: Any, kwargs: Any, requests: Any, timeout: float | None, metadata: Metadata
    ) -> Stream[Any]:
        deadline_s = time.monotonic() + self._timeout_s
        raw = self._opened(deadline_s)
        access = self._authorized(deadline_s)
        call = raw.stream_stream(method, *args, **kwargs)(requests, timeout=timeout, metadata=_with(metadata, access))
        try:
            for response in call:
                yield response
        except grpc.RpcError as error:
            if is_code(error, grpc.StatusCode.UNAUTHENTICATED):
                self._drop(access)
            raise translated(error, self._connection.http) from cause_to_show(error)
        finally:
            call.cancel()

    def _opened(self, deadline_s: float) -> Any:
        with self._open_lock:
            if self._closed:
                raise PenstockError("This client was closed.", reason="CLIENT_CLOSED")
            if self._raw is None:
                connection = self._connection
                target = connection.grpc
                if target is None:
                    target = (in_thread(discover, connection.http, _left_s(deadline_s))).grpc
                self._raw = open_channel(target, _credentials(connection), _options(connection))
            return self._raw

    def _authorized(self, deadline_s: float) -> _Access:
        with self._access_lock:
            if self._access is not None and time.monotonic() < self._access.renew_s:
                return self._access
            secret = self._connection.token
            if secret is None:
                raise AuthenticationFailed(
                    f"There is no token for {self._connection.http}. Set PENSTOCK_TOKEN, "
                    f"or `penstock login {self._connection.http}`.",
                    reason="TOKEN_MISSING",
                )
            asked_s = time.monotonic()
            response = self._auth.ExchangeToken(
                auth_service_pb2.ExchangeTokenRequest(secret=secret), timeout=_left_s(deadline_s)
            )
            life_s = _life_s(response)
            self._access = _Access(response.access_token, asked_s + life_s - min(RENEWAL_MARGIN_S, life_s / 2))
            return self._access

    def _drop(self, access: _Access) -> None:
        # Only what was refused: another call may have renewed it in the meantime.
        if self._access is access:
            self._access = None


def _credentials(connection: Connection) -> grpc.ChannelCredentials | None:
    if connection.http.startswith("https://"):
        # The same file that Python's HTTP takes its authorities from; gRPC brings its own otherwise.
        authorities = os.environ.get("SSL_CERT_FILE")
        try:
            return grpc.ssl_channel_credentials(Path(authorities).read_bytes() if authorities else None)
        except OSError as error:
            raise ServerUnavailable(
                f"No secure connection to {connection.http}: SSL_CERT_FILE={authorities} cannot be read: {error.strerror}."
            ) from error
    if connection.token is not None and not is_loopback(connection.http):
        warnings.warn(
            f"The token is sent to {connection.http} in clear: anybody on the way can read it. Use https.", stacklevel=2
        )
    return None


def _options(connection: Connection) -> list[tuple[str, str | int]]:
    return [
        ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
        # A server that was restarted shall be found again within a retry, not a second later.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5000),
        ("grpc.enable_http_proxy", 0 if is_loopback(connection.http) else 1),
    ]


def _life_s(response: Any) -> float:
    """How long an access token lives. Its own claims tell, so that our clock need not agree with the server's."""
    try:
        payload = response.access_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return max(0.0, float(claims["exp"]) - float(claims["iat"]))
    except (IndexError, KeyError, TypeError, ValueError):
        return max(0.0, response.expire_time.seconds - time.time())


def _left_s(deadline_s: float) -> float:
    return max(0.001, deadline_s - time.monotonic())


def _pause_s(attempt: int) -> float:
    return RETRY_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, keeps no secret


def _with(metadata: Metadata, access: _Access | None) -> list[tuple[str, str | bytes]]:
    found = list(metadata)
    if access is not None:
        found.append(("authorization", f"Bearer {access.token}"))
    # Set by a webhook for the job that it starts: what the job does may fire webhooks again, and this is how they end.
    chain_length = os.environ.get("PENSTOCK_CHAIN_LENGTH", "")
    if chain_length.isascii() and chain_length.isdecimal():
        found.append(("penstock-chain-length", chain_length))
    return found
