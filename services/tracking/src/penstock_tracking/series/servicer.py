"""The gRPC face of what is read of metrics: unpack, call, pack."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from penstock.api.tracking.v1 import metric_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.clock import Clock
from penstock_kit.names import ProjectName, RunName
from penstock_kit.server import draining
from penstock_kit.threads import in_thread
from penstock_tracking.convert import field_on_wire, latest_to_proto, run_to_proto, series_on_wire, series_to_proto
from penstock_tracking.domain import Value
from penstock_tracking.errors import FieldInvalid
from penstock_tracking.series.reader import RankMode
from penstock_tracking.series.service import Series, SeriesService
from penstock_tracking.series.watch import NewPoints, RunChanged

__all__ = ["SeriesServicer"]

SERIES_OF_CHART: Final = pb.GetMetricSeriesResponse.SERIES_FIELD_NUMBER
SERIES_OF_POINTS: Final = pb.ReadMetricPointsResponse.SERIES_FIELD_NUMBER
MAX_POINTS_DEFAULT: Final = 1_000
RANK_MODES: Final = {
    metric_pb2.RANK_MODE_UNSPECIFIED: RankMode.TOGETHER,
    metric_pb2.RANK_MODE_TOGETHER: RankMode.TOGETHER,
    metric_pb2.RANK_MODE_APART: RankMode.APART,
    metric_pb2.RANK_MODE_ACROSS: RankMode.ACROSS,
}


class SeriesServicer:
    """The methods of TrackingService that read metrics."""

    def __init__(self, series: SeriesService, clock: Clock) -> None:
        self._series = series
        self._clock = clock

    async def ListMetricKeys(self, request: Any, context: Any) -> Any:
        fingerprint = paging.fingerprint(request)
        after = paging.place(request.page_token, fingerprint, str)
        names = _run_names(request.runs, request.parent)
        keys = await self._series.metric_keys(names, request.prefix, request.pattern)
        size = paging.page_size(request.page_size, default=1_000, maximum=10_000)
        first = bisect_right(keys, after) if after else 0
        page = keys[first : first + size]
        more = len(keys) > first + size
        return pb.ListMetricKeysResponse(keys=page, next_page_token=paging.seal(fingerprint, page[-1]) if more else "")

    async def GetLatestMetrics(self, request: Any, context: Any) -> Any:
        latest = await self._series.latest_metrics(RunName.parse(request.run), request.keys, request.prefix)
        return await in_thread(
            lambda: pb.GetLatestMetricsResponse(metrics=[latest_to_proto(*entry) for entry in latest])
        )

    async def GetMetricSeries(self, request: Any, context: Any) -> Any:
        first, last = _range(request)
        pieces: list[bytes] = []
        async for found in self._series.series(
            _run_names(request.runs, request.parent),
            list(dict.fromkeys(request.keys)),
            first=first,
            last=last,
            max_points=request.max_points or MAX_POINTS_DEFAULT,
            rank_mode=RANK_MODES[request.rank_mode],
        ):
            pieces += await in_thread(lambda found=found: [_on_wire(SERIES_OF_CHART, series) for series in found])
        return await in_thread(b"".join, pieces)

    async def ReadMetricPoints(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if request.rank_mode == metric_pb2.RANK_MODE_ACROSS:
            raise FieldInvalid(
                "Points are read at full resolution: ask GetMetricSeries across ranks.", field="rank_mode"
            )
        first, last = _range(request)
        async for series in self._series.read_points(
            RunName.parse(request.run),
            list(dict.fromkeys(request.keys)),
            first=first,
            last=last,
            rank_mode=RANK_MODES[request.rank_mode],
        ):
            yield await in_thread(_on_wire, SERIES_OF_POINTS, series)

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        name = RunName.parse(request.run)
        watch = await self._series.watch(
            name, cursor=request.cursor, keys=request.keys, from_now=request.from_now, stopping=draining()
        )
        params_told: Mapping[str, Value] | None = None
        async with aclosing(watch.events()) as events:
            async for event in events:
                message = metric_pb2.RunEvent(cursor=event.cursor)
                if isinstance(event, RunChanged):
                    message.run.CopyFrom(run_to_proto(event.run.value, event.run.etag))
                    params = event.run.value.params
                    if params == params_told:
                        message.run.ClearField("params")
                    params_told = params
                elif isinstance(event, NewPoints):
                    message.points.CopyFrom(
                        series_to_proto(str(name), event.key, event.rank, len(event.points), event.points)
                    )
                else:
                    message.heartbeat_time.FromMicroseconds(self._clock.now_us())
                yield pb.WatchRunResponse(event=message)


def _on_wire(field: int, series: Series) -> bytes:
    """A response's field, by its number, that holds a series."""
    return field_on_wire(
        field, series_on_wire(str(series.run), series.key, series.rank, series.total_points, series.data)
    )


def _run_names(names: Sequence[str], parent: str) -> list[RunName]:
    project = ProjectName.parse(parent).project
    parsed = [RunName.parse(name) for name in dict.fromkeys(names)]
    for name in parsed:
        if name.project != project:
            raise FieldInvalid(f"{name} is not a run of the project {project}.", field="runs")
    return parsed


def _range(request: Any) -> tuple[int | None, int | None]:
    steps = request.range
    return (
        steps.first if steps.HasField("first") else None,
        steps.last if steps.HasField("last") else None,
    )
