"""The gateway's own gRPC health: it is ready when the services behind it are."""

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock_gateway.backends import Backends

__all__ = ["AggregatedHealth"]

WATCH_INTERVAL_S = 1.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class AggregatedHealth(health_pb2_grpc.HealthServicer):
    """Answers for the gateway (an empty service name: all services) and for each service by its full name.

    Args:
        backends: The services that are asked, at each call.
    """

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def Check(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Says how a service is now. NOT_FOUND for a name that no service has."""
        status = await self._status(request.service)
        if status == _SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the RPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext,  # noqa: ARG002 - part of the RPC's shape
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Says how a service is, now and after each change."""
        told = None
        while True:
            status = await self._status(request.service)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _status(self, service: str) -> int:
        if not service:
            ready = all((await self._backends.ready()).values())
        else:
            backend = self._backends.by_service(service)
            if backend is None:
                return _SERVICE_UNKNOWN
            ready = await backend.ready()
        return _SERVING if ready else _NOT_SERVING
