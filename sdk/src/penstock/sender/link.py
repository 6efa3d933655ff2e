"""The sender's side of the server: creating the run, opening the stream, ending the run.

Owns the translation of a spool's `meta.json` into calls. Raises the errors of `penstock.errors`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from google.protobuf import timestamp_pb2

from penstock.api.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from penstock.api.tracking.v1 import metric_pb2, run_pb2, tracking_service_pb2, tracking_service_pb2_grpc
from penstock.client._async.channel import AsyncChannel
from penstock.errors import AlreadyExists, Conflict, NotFound, PermissionDenied
from penstock.spool.meta import SpoolMeta

__all__ = ["CALL_TIMEOUT_S", "CLOSE", "HEARTBEAT", "Link", "open_message"]

CALL_TIMEOUT_S: Final = 20.0
_STREAM_METHOD: Final = "/penstock.api.tracking.v1.TrackingService/StreamMetrics"

HEARTBEAT: Final = metric_pb2.StreamMetricsRequest(heartbeat=metric_pb2.WriterHeartbeat()).SerializeToString()
CLOSE: Final = metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter()).SerializeToString()


def open_message(meta: SpoolMeta, epoch: int, *, lease: bool) -> bytes:
    """The first message of a stream."""
    opening = metric_pb2.OpenWriter(
        run=meta.run_name, writer_id=meta.writer_id, epoch=epoch, rank=meta.rank, heartbeat_lease=lease
    )
    return metric_pb2.StreamMetricsRequest(open=opening).SerializeToString()


class Link:
    """One server, as the sender of one writer uses it.

    Args:
        channel: The server. Whoever opened it closes it.
        meta: The writer and its run.

    Attributes:
        created_project: The project that had to be created, without `projects/`; empty if there was one.
    """

    def __init__(self, channel: AsyncChannel, meta: SpoolMeta) -> None:
        self.created_project = ""
        self._meta = meta
        self._channel = channel
        self._auth: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        self._tracking: Any = tracking_service_pb2_grpc.TrackingServiceStub(channel)

    async def prepare(self, *, owner_alive: bool) -> None:
        """Makes sure that the run is there and takes points.

        Raises:
            AlreadyExists: The run exists, and the spool was begun with `resume="never"`.
            NotFound: The run does not exist, and this spool does not create it.
            Conflict: The run is deleted.
        """
        meta = self._meta
        if not meta.primary:
            return
        try:
            run, created = await self._create_run()
        except AlreadyExists:
            # Somebody else's run, or one of another token of ours.
            run, created = await self.run(), False
        if created:
            return
        ours = run.start_time.ToMicroseconds() == meta.start_time_us
        if meta.resume == "never" and not ours:
            raise AlreadyExists(
                f'The run {meta.run_id} exists already, and was not to be resumed (resume="never").',
                reason="RUN_EXISTS",
            )
        if owner_alive and run.state != run_pb2.RUN_STATE_RUNNING:
            await self._tracking.ResumeRun(tracking_service_pb2.ResumeRunRequest(name=meta.run_name))

    async def run(self) -> Any:
        """The run as it is now, without params and the like. Raises `NotFound`."""
        request = tracking_service_pb2.GetRunRequest(name=self._meta.run_name)
        request.read_mask.paths.extend(["name", "state", "start_time", "end_time", "heartbeat_time"])
        return (await self._tracking.GetRun(request)).run

    def stream(self, messages: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
        """Opens the stream. The messages are serialised `StreamMetricsRequest`s."""
        call = self._channel.stream_stream(
            _STREAM_METHOD,
            request_serializer=_as_is,
            response_deserializer=metric_pb2.StreamMetricsResponse.FromString,
        )
        return call(messages)

    async def finish_run(self, state: str, end_time_us: int, failure: str) -> None:
        """Ends the run in a state of the contract, such as `FINISHED`."""
        await self._tracking.FinishRun(
            tracking_service_pb2.FinishRunRequest(
                name=self._meta.run_name,
                state=f"RUN_STATE_{state}",
                end_time=_timestamp(end_time_us),
                failure=failure,
            )
        )

    async def _create_run(self) -> tuple[Any, bool]:
        meta = self._meta
        request = tracking_service_pb2.CreateRunRequest(
            parent=f"projects/{meta.project}",
            run_id=meta.run_id,
            run=run_pb2.Run(
                display_name=meta.display_name,
                start_time=_timestamp(meta.start_time_us),
                notes=meta.notes,
                group=meta.group,
                forked_from=meta.forked_from,
                fork_step=meta.fork_step,
            ),
            experiment_display_name=meta.experiment,
        )
        try:
            response = await self._tracking.CreateRun(request)
        except (NotFound, PermissionDenied) as error:
            if not await self._project_created():
                raise error
            response = await self._tracking.CreateRun(request)
        return response.run, response.created

    async def _project_created(self) -> bool:
        """Creates the project if that is allowed. Returns whether there was none and now is one."""
        request = auth_service_pb2.CreateProjectRequest(
            # The same for everybody who finds it missing in the same moment.
            project_id=self._meta.project,
            request_id=f"sender-{self._meta.project}"[:64],
        )
        try:
            await self._auth.CreateProject(request)
        except (AlreadyExists, PermissionDenied, Conflict):
            return False
        self.created_project = self._meta.project
        return True


def _as_is(message: bytes) -> bytes:
    return message


def _timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp
