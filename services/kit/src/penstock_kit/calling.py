"""How a service calls another one: over gRPC, as the principal of services, with access tokens that it gets from auth."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc

from penstock.api.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from penstock_kit.clock import Clock
from penstock_kit.errors import NotFound, Unavailable

__all__ = ["Neighbour", "NeighbourUnavailable"]

CALL_TIMEOUT_S: Final = 5.0
RENEWAL_S: Final = 60.0
"""A token is renewed so long before it stops working."""


class NeighbourUnavailable(Unavailable):
    """Another service that is needed does not answer, or refuses. Metadata: `service`."""

    reason = "NEIGHBOUR_UNAVAILABLE"


class Neighbour:
    """Another service, seen from this one. Connects at the first call.

    Args:
        name: Of the other service, for messages.
        stub: The class of its stub.
        address: `host:port`; several replicas, by their IP addresses, separated by commas.
        auth_address: `host:port` of the auth service.
        service_credential_file: Holds the secret of the principal of services.
        clock: The time.
    """

    def __init__(
        self,
        name: str,
        stub: Callable[[grpc.aio.Channel], Any],
        address: str,
        auth_address: str,
        service_credential_file: Path,
        clock: Clock,
    ) -> None:
        self._name = name
        self._make_stub = stub
        self._address = f"ipv4:{address}" if "," in address else address
        self._auth_address = auth_address
        self._credential_file = service_credential_file
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._token = ""
        self._renew_s = 0.0
        self._exchanging = asyncio.Lock()

    async def call(self, method: str, request: Any) -> Any:
        """Calls a unary method. Raises `NotFound` if that is the answer, `NeighbourUnavailable` for every other error."""
        try:
            if self._stub is None:
                # A pool of its own: it does not wait for the backoff of somebody else's attempt.
                options = [("grpc.use_local_subchannel_pool", 1), ("grpc.lb_policy_name", "round_robin")]
                self._channel = grpc.aio.insecure_channel(self._address, options)
                self._stub = self._make_stub(self._channel)
            answer: Awaitable[Any] = getattr(self._stub, method)(
                request, metadata=(("authorization", f"Bearer {await self._access_token()}"),), timeout=CALL_TIMEOUT_S
            )
            return await answer
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(error.details() or "There is no such thing.") from None
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._token = ""  # auth may have begun anew
            raise NeighbourUnavailable(
                f"The {self._name} service does not answer as it should ({error.code().name}): try again later.",
                service=self._name,
            ) from None
        except OSError as error:
            raise NeighbourUnavailable(
                f"The credential of services cannot be read: {type(error).__name__}.", service=self._name
            ) from None

    async def close(self) -> None:
        """Closes the connection. Harmless after the first time."""
        if self._channel is not None:
            await self._channel.close(None)

    async def _access_token(self) -> str:
        async with self._exchanging:
            if not self._token or self._clock.now_us() / 1_000_000 > self._renew_s:
                secret = (await asyncio.to_thread(self._credential_file.read_text)).strip()
                async with grpc.aio.insecure_channel(self._auth_address) as channel:
                    stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
                    exchanged = await stub.ExchangeToken(
                        auth_service_pb2.ExchangeTokenRequest(secret=secret), timeout=CALL_TIMEOUT_S
                    )
                self._token = exchanged.access_token
                self._renew_s = exchanged.expire_time.ToMicroseconds() / 1_000_000 - RENEWAL_S
            return self._token
