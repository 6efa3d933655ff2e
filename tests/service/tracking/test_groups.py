"""GroupRuns."""

import grpc
import pytest
from support.tracking import Tracking, refused

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2

pb = tracking_service_pb2
PROJECT = "projects/default"
Value = run_pb2.Value


async def group(tracking: Tracking, **fields: object) -> pb.GroupRunsResponse:
    return await tracking.call("GroupRuns", pb.GroupRunsRequest(parent=PROJECT, **fields))


async def logged(tracking: Tracking, loss: float, **params: Value) -> str:
    run = await tracking.new_run(params=[run_pb2.Param(key=key, value=value) for key, value in params.items()])
    points = [pb.MetricPoint(key="val/loss", value=loss, step=1)]
    await tracking.call("LogBatch", pb.LogBatchRequest(run=run.name, metrics=points))
    return run.name


async def test_groups_see_every_acknowledged_write(tracking: Tracking) -> None:
    await logged(tracking, 0.5, model=Value(string_value="resnet"), lr=Value(double_value=0.1))
    await logged(tracking, 0.25, model=Value(string_value="resnet"), lr=Value(int_value=1))
    name = await logged(tracking, 4.0, model=Value(string_value="vit"))
    await logged(tracking, 8.0)
    aggregates = ["min(metrics.val/loss)", "mean(params.lr)", "count"]
    found = await group(tracking, group_by=["params.model"], aggregates=aggregates)
    assert (found.total_size, found.total_runs, found.next_page_token) == (3, 4, "")
    assert [one.keys[0] for one in found.groups] == [Value(string_value="resnet"), Value(string_value="vit"), Value()]
    assert [one.runs for one in found.groups] == [2, 1, 1]
    values = [[a.value if a.HasField("value") else None for a in one.aggregates] for one in found.groups]
    assert values == [[0.25, 0.55, 2], [4.0, None, 1], [8.0, None, 1]]
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=name))
    assert (await group(tracking, group_by=["params.model"])).total_size == 2
    assert (await group(tracking, group_by=["params.model"], show_deleted=True)).total_size == 3
    assert (await group(tracking, filter="metrics.val/loss < 1")).groups[0].runs == 2
    assert not (await group(tracking, filter="metrics.val/loss < 0")).groups


async def test_keys_keep_their_types(tracking: Tracking) -> None:
    for value in (Value(int_value=3), Value(string_value="3.0"), Value(double_value=0.5), Value(bool_value=True)):
        await logged(tracking, 1.0, x=value)
    found = await group(tracking, group_by=["params.x"])
    keys = [one.keys[0] for one in found.groups]
    assert keys == [Value(double_value=0.5), Value(int_value=3), Value(bool_value=True)]


async def test_experiments_are_grouped_by_the_name_they_have_now(tracking: Tracking) -> None:
    for name in ("a", "b", "b"):
        request = pb.CreateRunRequest(parent=PROJECT, experiment_display_name=name, run=run_pb2.Run())
        experiment = (await tracking.call("CreateRun", request)).run.experiment
    change = pb.UpdateExperimentRequest(update_mask={"paths": ["display_name"]})
    change.experiment.name, change.experiment.display_name = experiment, "c"
    assert [one.keys[0].string_value for one in (await group(tracking, group_by=["experiment_name"])).groups] == [
        "a",
        "b",
    ]
    await tracking.call("UpdateExperiment", change)
    found = await group(tracking, group_by=["experiment_name"], order_by="count desc")
    assert [(one.keys[0].string_value, one.runs) for one in found.groups] == [("c", 2), ("a", 1)]
    assert [one.runs for one in (await group(tracking, experiments=[experiment])).groups] == [2]


async def test_pages_of_groups_stay_right_while_runs_are_added(tracking: Tracking) -> None:
    for number in range(7):
        await logged(tracking, 1.0, model=Value(string_value=f"m{number}"))
    seen: list[str] = []
    token = ""
    while True:
        page = await group(tracking, group_by=["params.model"], page_size=3, page_token=token)
        seen += [one.keys[0].string_value for one in page.groups]
        token = page.next_page_token
        if not token:
            break
        await logged(tracking, 1.0, model=Value(string_value=f"a{len(seen)}"))
    assert seen == [f"m{number}" for number in range(7)]
    page = await group(tracking, group_by=["params.model"], page_size=3)
    for other in (
        {"group_by": ["state"]},
        {"group_by": ["params.model"], "order_by": "count"},
        {"group_by": ["params.model"], "filter": "state = 'RUNNING'"},
        {"group_by": ["params.model"], "show_deleted": True},
    ):
        error = await refused(group(tracking, **other, page_token=page.next_page_token))
        assert error.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"group_by": ["metrics.loss"]}, "GROUP_BY_INVALID"),
        ({"aggregates": ["avg(duration)"]}, "AGGREGATE_INVALID"),
        ({"order_by": "state"}, "ORDER_INVALID"),
        ({"filter": "state ="}, "FILTER_INVALID"),
    ],
)
async def test_what_cannot_be_understood_is_refused_with_its_place(
    tracking: Tracking, fields: dict[str, object], reason: str
) -> None:
    error = await refused(group(tracking, **fields))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert error.metadata["position"].isdecimal()
    assert "^" in error.message


@pytest.mark.parametrize(
    ("field", "most", "one"),
    [("group_by", 5, "params.x"), ("aggregates", 20, "count")],
)
async def test_the_limits_of_a_grouping(tracking: Tracking, field: str, most: int, one: str) -> None:
    await logged(tracking, 1.0)
    at_most = await group(tracking, **{field: [one] * most})
    assert len(getattr(at_most.groups[0], {"group_by": "keys"}.get(field, field))) == most
    error = await refused(group(tracking, **{field: [one] * (most + 1)}))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
