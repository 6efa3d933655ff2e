"""The health service of gRPC (`grpc.health.v1`): who is ready, and watchers that let the server go when it stops.

The watchers of the library hold a stopping server until they leave, so this one is our own.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typing_extensions import override

__all__ = ["Health"]

_STATUS = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Answers whether services do their work. The server as a whole, named by the empty string, does if all of them do.

    Args:
        services: Full names of the services. None is ready yet.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._ready = dict.fromkeys(services, False)
        self._stopping = False
        self._changed = asyncio.Event()

    def set_ready(self, service: str, ready: bool) -> None:
        """Says whether a service does its work."""
        if self._ready[service] is not ready:
            self._ready[service] = ready
            self._wake()

    def stop(self) -> None:
        """Says for good that nothing is served any more. Watchers hear it, and their streams end."""
        self._stopping = True
        self._wake()

    @override
    async def Check(self, request: Any, context: Any) -> Any:
        """Answers once. NOT_FOUND for a service that is not here, as the contract of the health service says."""
        status = self._status(request.service)
        if status == _STATUS.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return _STATUS(status=status)

    @override
    async def Watch(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        """Answers at once and after each change."""
        told = None
        while True:
            changed, stopping = self._changed, self._stopping
            status = self._status(request.service)
            if status != told:
                told = status
                yield _STATUS(status=status)
            if stopping:
                return
            await changed.wait()

    def _status(self, service: str) -> Any:
        if service and service not in self._ready:
            return _STATUS.SERVICE_UNKNOWN
        ready = self._ready[service] if service else all(self._ready.values())
        return _STATUS.SERVING if ready and not self._stopping else _STATUS.NOT_SERVING

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
