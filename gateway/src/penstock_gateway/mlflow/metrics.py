"""The history of metrics, whole, in pages, or sampled. Points that differ in nothing are one, as MLflow keeps them."""

import asyncio
import base64
import binascii
import json as json_text
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from penstock.api.tracking.v1 import metric_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import FLOAT_MAX, Json
from penstock_gateway.mlflow.errors import MlflowError, invalid
from penstock_gateway.mlflow.fields import integer, text, texts
from penstock_gateway.mlflow.runs import run_name

__all__ = ["get_history", "get_history_in_bulk"]

POINTS_MAX: Final = 5_000_000  # of a series in memory: 24 bytes each
POINTS_PER_ANSWER_MAX: Final = 1_000_000  # about 80 bytes of JSON each
RUNS_MAX: Final = 100
SAMPLES_MAX: Final = 2_500  # of each run
RUNS_AT_ONCE: Final = 8

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Points:
    """Points of a metric, times in milliseconds."""

    steps: Int64s
    times_ms: Int64s
    values: Float64s

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, places: Any) -> "_Points":
        return _Points(self.steps[places], self.times_ms[places], self.values[places])

    def ordered(self, first: Int64s, second: Int64s) -> "_Points":
        """By two columns and the value, NaN counting as 0 but after it; points that differ in nothing once."""
        is_nan = np.isnan(self.values)
        order = np.lexsort((is_nan, np.where(is_nan, 0.0, self.values), second, first))
        points = self[order]
        if len(points) < 2:
            return points
        same_value = (points.values[1:] == points.values[:-1]) | (is_nan[order][1:] & is_nan[order][:-1])
        same_time = points.times_ms[1:] == points.times_ms[:-1]
        new = np.concatenate([[True], ~(same_value & same_time & (points.steps[1:] == points.steps[:-1]))])
        return points[new]

    def json(self, key: str, more: str = "") -> str:
        """Their JSON, comma after comma. Written by hand: a hundred thousand of them are usual."""
        shown_key = json_text.dumps(key)
        values = [
            '"NaN"' if value != value else repr(value) for value in np.clip(self.values, -FLOAT_MAX, FLOAT_MAX).tolist()
        ]
        return ",".join(
            [
                f'{{"key":{shown_key},"value":{value},"timestamp":{time},"step":{step}{more}}}'
                for value, time, step in zip(values, self.times_ms.tolist(), self.steps.tolist(), strict=True)
            ]
        )


async def get_history(call: Call) -> bytes | Json:
    """Returns the points of a metric, by time, then step, then value."""
    values = call.read(
        text("run_id", required=True, alias="run_uuid"),
        text("metric_key", required=True),
        text("page_token"),
        integer("max_results"),
    )
    wanted = values["max_results"]
    if wanted is not None and wanted <= 0:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive integer.")
    first = _offset(values["page_token"])
    points = await _read(call, values["run_id"], values["metric_key"])

    def answer() -> bytes | Json:
        ordered = points.ordered(points.times_ms, points.steps)
        end = len(ordered) if wanted is None else first + wanted
        page = ordered[first:end]
        if len(page) > POINTS_PER_ANSWER_MAX:
            raise _too_many("the history of a metric", POINTS_PER_ANSWER_MAX, "ask for pages with 'max_results'")
        if not len(page):
            return {}
        token = f',"next_page_token":{json_text.dumps(_token(end))}' if end < len(ordered) else ""
        return f'{{"metrics":[{page.json(values["metric_key"])}]{token}}}'.encode()

    return await asyncio.to_thread(answer)


async def get_history_in_bulk(call: Call) -> bytes | Json:
    """Returns points of a metric of several runs, of each a sample spread evenly, with the first and the last."""
    values = call.read(
        texts("run_ids", required=True),
        text("metric_key", required=True),
        integer("start_step"),
        integer("end_step"),
        integer("max_results", default=SAMPLES_MAX),
    )
    run_ids, key = values["run_ids"], values["metric_key"]
    first, last, wanted = values["start_step"], values["end_step"], values["max_results"]
    see_docs = " See the API docs for more information about request parameters."
    if len(run_ids) > RUNS_MAX:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {RUNS_MAX} run_ids. Received {len(run_ids)} "
            f"run_ids.{see_docs}"
        )
    if not 1 <= wanted <= SAMPLES_MAX:
        raise invalid(f"max_results must be between 1 and {SAMPLES_MAX}.{see_docs}")
    if (first is None) != (last is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if first is not None and first > last:
        raise invalid(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.")
    pieces: list[str] = []
    for start in range(0, len(run_ids), RUNS_AT_ONCE):
        some = run_ids[start : start + RUNS_AT_ONCE]
        read = await asyncio.gather(*(_read(call, run_id, key, first, last) for run_id in some))

        def written(some: list[str] = some, read: list[_Points] = read) -> list[str]:
            return [
                _sample(points.ordered(points.steps, points.times_ms), wanted).json(
                    key, f',"run_id":{json_text.dumps(run_id)}'
                )
                for run_id, points in zip(some, read, strict=True)
                if len(points)
            ]

        pieces += await asyncio.to_thread(written)
    return f'{{"metrics":[{",".join(pieces)}]}}'.encode() if pieces else {}


async def _read(call: Call, run_id: str, key: str, first: int | None = None, last: int | None = None) -> _Points:
    """Every point of a metric, within a range of steps. None of a run that there is not, as in MLflow."""
    steps: list[Int64s] = []
    times: list[Int64s] = []
    values: list[Float64s] = []
    total = 0
    try:
        request = pb.ReadMetricPointsRequest(
            run=run_name(call, run_id), keys=[key], range=metric_pb2.StepRange(first=first, last=last)
        )
        async for piece in call.stream("ReadMetricPoints", request):
            points = piece.series.points
            total += len(points.steps)
            if total > POINTS_MAX:
                raise _too_many(f"the metric {key!r}", POINTS_MAX, "export the run instead")
            steps.append(np.array(points.steps, np.int64))
            times.append(np.array(points.times_unix_us, np.int64))
            values.append(np.array(points.values, np.float64))
    except MlflowError as error:
        if error.http_code != 404:
            raise
    except RpcFailed as error:
        if reason_of(error) != "RUN_NOT_FOUND":
            raise
    if not steps:
        return _Points(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return _Points(np.concatenate(steps), np.concatenate(times) // 1_000, np.concatenate(values))


def _sample(points: _Points, wanted: int) -> _Points:
    """As many points as wanted at most: the first of each of so many equally large groups, and the last of all."""
    count = len(points)
    if count <= wanted:
        return points
    size, larger = divmod(count, wanted)
    # The first groups take one more, until none is left over.
    places = np.arange(wanted) * size + np.minimum(np.arange(wanted), larger)
    places[-1] = count - 1
    return points[places]


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        offset = json_text.loads(base64.b64decode(token, validate=True))["offset"]
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        raise invalid("Invalid page token, could not base64-decode") from None
    if not isinstance(offset, int) or not 0 < offset <= POINTS_MAX:
        raise invalid("Invalid page token")
    return offset


def _token(offset: int) -> str:
    return base64.b64encode(json_text.dumps({"offset": offset}).encode()).decode()


def _too_many(what: str, limit: int, remedy: str) -> MlflowError:
    return invalid(f"There are more than {limit:,} points in {what}: {remedy}.")
