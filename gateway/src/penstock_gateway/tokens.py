"""Personal access tokens at the door: exchanged at auth for the short access tokens that services accept.

Access tokens are kept while they live. A secret is never kept: the cache is keyed by its SHA-256. A revoked token stops
working within five seconds all the same, since every service knows which tokens behind its access tokens were revoked.
"""

import asyncio
import hashlib
from collections import OrderedDict

import grpc

from penstock.api.auth.v1 import auth_service_pb2
from penstock_gateway.backends import Backend
from penstock_gateway.errors import RpcFailed, backend_status
from penstock_kit.clock import Clock

__all__ = ["PERSONAL_TOKEN_PREFIX", "TOKENS_MAX", "TokenExchange"]

PERSONAL_TOKEN_PREFIX = "pst_"  # noqa: S105 - the start of every secret, not one
TOKENS_MAX = 10_000
"""Access tokens kept; the one used longest ago goes first."""

EXCHANGE_TIMEOUT_S = 10.0
EXPIRY_MARGIN_S = 30.0
"""An access token is renewed this long before its end, so that it does not end on the way."""


class TokenExchange:
    """Turns the secrets of personal access tokens into access tokens.

    Args:
        auth: The auth service.
        clock: Tells when an access token has ended.
    """

    def __init__(self, auth: Backend, clock: Clock) -> None:
        self._backend = auth
        self._exchange = auth.channel.unary_unary(
            f"/{auth.service.full_name}/ExchangeToken",
            request_serializer=auth_service_pb2.ExchangeTokenRequest.SerializeToString,
            response_deserializer=auth_service_pb2.ExchangeTokenResponse.FromString,
        )
        self._clock = clock
        self._tokens: OrderedDict[bytes, tuple[str, int]] = OrderedDict()
        self._locks: dict[bytes, asyncio.Lock] = {}

    async def access_token(self, secret: str) -> str:
        """The access token for a secret, exchanged now or kept from before. Raises `RpcFailed` with what auth said."""
        key = _key(secret)
        kept = self._kept(key)
        if kept is not None:
            return kept
        # Many calls with one new secret make one exchange.
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                return self._kept(key) or await self._exchanged(key, secret)
        finally:
            self._locks.pop(key, None)

    def forget(self, secret: str) -> None:
        """Drops what is kept for a secret: a service refused it."""
        self._tokens.pop(_key(secret), None)

    def _kept(self, key: bytes) -> str | None:
        token, end_us = self._tokens.get(key, ("", 0))
        if self._clock.now_us() >= end_us:
            self._tokens.pop(key, None)
            return None
        self._tokens.move_to_end(key)
        return token

    async def _exchanged(self, key: bytes, secret: str) -> str:
        request = auth_service_pb2.ExchangeTokenRequest(secret=secret)
        try:
            response = await self._exchange(request, timeout=EXCHANGE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise RpcFailed(backend_status(error, self._backend.name)) from error
        end_us = response.expire_time.ToMicroseconds() - int(EXPIRY_MARGIN_S * 1_000_000)
        self._tokens[key] = response.access_token, end_us
        while len(self._tokens) > TOKENS_MAX:
            self._tokens.popitem(last=False)
        return response.access_token


def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
