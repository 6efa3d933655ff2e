"""Names of another project, smuggled into calls about one's own. The guard sees one field; handlers must see the rest."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.tracking import Tracking, refused, serving_tracking

from penstock.api.tracking.v1 import run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb

Code = grpc.StatusCode
OWN = "projects/default"
FOREIGN = "projects/other"
SECRET_KEY = "val/secret-of-other"


@pytest.fixture
async def tracking(tmp_path: Path) -> AsyncIterator[Tracking]:
    async with serving_tracking(tmp_path) as server:
        yield server


async def _run_in(tracking: Tracking, project: str, token: str | None = None) -> str:
    response = await tracking.call("CreateRun", pb.CreateRunRequest(parent=project, run=run_pb2.Run()), token)
    run = response.run.name
    await tracking.call(
        "LogBatch", pb.LogBatchRequest(run=run, metrics=[pb.MetricPoint(key=SECRET_KEY, value=1.5)]), token
    )
    return run


CALLS: dict[str, Callable[[str, str], tuple[str, Any]]] = {
    "metric keys": lambda own, foreign: ("ListMetricKeys", pb.ListMetricKeysRequest(parent=OWN, runs=[own, foreign])),
    "metric keys of it alone": lambda own, foreign: (
        "ListMetricKeys",
        pb.ListMetricKeysRequest(parent=OWN, runs=[foreign]),
    ),
    "series": lambda own, foreign: (
        "GetMetricSeries",
        pb.GetMetricSeriesRequest(parent=OWN, runs=[own, foreign], keys=[SECRET_KEY]),
    ),
    "search": lambda own, foreign: (
        "SearchRuns",
        pb.SearchRunsRequest(parent=OWN, experiments=[f"{FOREIGN}/experiments/0"]),
    ),
    "groups": lambda own, foreign: (
        "GroupRuns",
        pb.GroupRunsRequest(parent=OWN, experiments=[f"{FOREIGN}/experiments/0"]),
    ),
    "create in an experiment": lambda own, foreign: (
        "CreateRun",
        pb.CreateRunRequest(parent=OWN, run=run_pb2.Run(experiment=f"{FOREIGN}/experiments/0")),
    ),
    "move to an experiment": lambda own, foreign: (
        "UpdateRun",
        pb.UpdateRunRequest(
            run=run_pb2.Run(name=own, experiment=f"{FOREIGN}/experiments/0"),
            update_mask=FieldMask(paths=["experiment"]),
        ),
    ),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_name_of_another_project_is_refused(tracking: Tracking, call: str) -> None:
    own = await _run_in(tracking, OWN)
    foreign = await _run_in(tracking, FOREIGN, tracking.guard.issue())
    refusal = await refused(tracking.call(*CALLS[call](own, foreign)))
    assert refusal.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED)


async def test_a_run_id_of_another_project_is_another_run(tracking: Tracking) -> None:
    foreign = await _run_in(tracking, FOREIGN, tracking.guard.issue())
    run_id = foreign.rsplit("/", 1)[1]
    refusal = await refused(tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=f"{OWN}/runs/{run_id}")))
    assert refusal.code is Code.NOT_FOUND
    response = await tracking.call("CreateRun", pb.CreateRunRequest(parent=OWN, run_id=run_id, run=run_pb2.Run()))
    assert response.created
    latest = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=response.run.name))
    assert not latest.metrics


async def test_the_name_in_a_created_run_is_ignored(tracking: Tracking) -> None:
    foreign = await _run_in(tracking, FOREIGN, tracking.guard.issue())
    response = await tracking.call("CreateRun", pb.CreateRunRequest(parent=OWN, run=run_pb2.Run(name=foreign)))
    assert response.created
    assert response.run.name.startswith(f"{OWN}/runs/")
    assert response.run.name.rsplit("/", 1)[1] != foreign.rsplit("/", 1)[1]
