"""Small real servicers on the contract's descriptors, for tests of what every server does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from penstock.api.auth.v1 import auth_service_pb2
from penstock.api.tracking.v1 import metric_pb2, run_pb2, tracking_service_pb2
from penstock_kit.access import current_caller
from penstock_kit.application import Application, Job
from penstock_kit.errors import Unavailable
from penstock_kit.server import Codec, Mount, draining

AUTH = auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"]
TRACKING = tracking_service_pb2.DESCRIPTOR.services_by_name["TrackingService"]
RUN = "projects/default/runs/" + "0" * 32


class Elsewhere:
    """Has every method of a service in the right shape, and refuses in those that a subclass does not serve."""

    def __init__(self, service: Any) -> None:
        for method in service.methods:
            if not hasattr(type(self), method.name):
                setattr(self, method.name, _refuse_stream if method.server_streaming else _refuse)


async def _refuse(request: Any, context: Any) -> Any:
    raise Unavailable("Not in this test.")


async def _refuse_stream(request: Any, context: Any) -> AsyncGenerator[Any]:
    raise Unavailable("Not in this test.")
    yield


class SmallAuth(Elsewhere):
    """Answers who calls, and tells callers what was put into `behaviour`, by method."""

    def __init__(self) -> None:
        super().__init__(AUTH)
        self.behaviour: Callable[[], Any] | None = None

    async def WhoAmI(self, request: Any, context: Any) -> Any:
        if self.behaviour is not None:
            await self.behaviour()
        return auth_service_pb2.WhoAmIResponse(principal=current_caller().principal)

    async def GetProject(self, request: Any, context: Any) -> Any:
        return auth_service_pb2.GetProjectResponse(project=auth_service_pb2.Project(name=request.name))

    async def UpdateProject(self, request: Any, context: Any) -> Any:
        return auth_service_pb2.UpdateProjectResponse(project=request.project)

    async def CreateProject(self, request: Any, context: Any) -> Any:
        return auth_service_pb2.CreateProjectResponse(
            project=auth_service_pb2.Project(name=f"projects/{request.project_id}")
        )

    async def ExchangeToken(self, request: Any, context: Any) -> Any:
        return auth_service_pb2.ExchangeTokenResponse(access_token=request.secret.upper())


class SmallTracking(Elsewhere):
    """Acknowledges batches unread, and watches runs in which nothing happens."""

    def __init__(self) -> None:
        super().__init__(TRACKING)
        self.streams_ended = 0

    async def StreamMetrics(self, requests: AsyncIterator[Any], context: Any) -> AsyncGenerator[Any]:
        try:
            async for request in requests:
                kind = request.WhichOneof("message")
                if kind == "close":
                    yield metric_pb2.StreamMetricsResponse(closed=True)
                    return
                yield metric_pb2.StreamMetricsResponse(acked_sequence=request.batch.sequence)
        finally:
            self.streams_ended += 1

    async def WatchRun(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        try:
            event = metric_pb2.RunEvent(run=run_pb2.Run(name=request.run))
            yield tracking_service_pb2.WatchRunResponse(event=event)
            await draining().wait()
            yield tracking_service_pb2.WatchRunResponse()
        finally:
            self.streams_ended += 1


async def nothing() -> None:
    """Closes nothing."""


def application(
    *servicers: Elsewhere, jobs: list[Job] | None = None, codecs: dict[str, Codec] | None = None
) -> Application:
    """Returns an application of small servicers."""
    mounts = [
        Mount(AUTH, servicer) if isinstance(servicer, SmallAuth) else Mount(TRACKING, servicer, codecs or {})
        for servicer in servicers
    ]
    return Application(mounts, jobs or [], nothing)


async def forever() -> None:
    """A behaviour that ends only when it is cancelled."""
    await asyncio.Event().wait()
