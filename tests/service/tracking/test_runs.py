"""CreateRun, GetRun, UpdateRun, FinishRun, ResumeRun, DeleteRun, RestoreRun, ChangeParam."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.tracking import Tracking, refused

from penstock.api.tracking.v1 import experiment_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.access import Role
from penstock_kit.ids import random_id

PROJECT = "projects/default"


async def get(tracking: Tracking, name: str) -> run_pb2.Run:
    return (await tracking.call("GetRun", pb.GetRunRequest(name=name))).run


async def test_a_client_mints_the_id_and_may_repeat(tracking: Tracking) -> None:
    request = pb.CreateRunRequest(
        parent=PROJECT,
        run_id=random_id(),
        run=run_pb2.Run(
            display_name="first",
            params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1))],
            tags=[run_pb2.Tag(key="team", value="vision")],
        ),
        experiment_display_name="digits",
    )
    made = await tracking.call("CreateRun", request)
    again = await tracking.call("CreateRun", request)
    assert (made.created, again.created) == (True, False)
    assert again.run == made.run
    assert made.run.state == run_pb2.RUN_STATE_RUNNING
    assert made.run.creator == "users/ada"
    assert made.run.experiment == f"{PROJECT}/experiments/1"


async def test_somebody_elses_id_is_taken(tracking: Tracking) -> None:
    run = await tracking.new_run()
    tracking.guard.grant("default", "users/bob", Role.EDITOR)
    request = pb.CreateRunRequest(parent=PROJECT, run_id=run.name.rpartition("/")[2], run=run_pb2.Run())
    error = await refused(tracking.call("CreateRun", request, token=tracking.guard.issue("users/bob")))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RUN_EXISTS")


async def test_the_same_id_in_two_projects_is_two_runs(tracking: Tracking) -> None:
    tracking.guard.grant("other", "users/ada", Role.EDITOR)
    mine = await tracking.new_run()
    run_id = mine.name.rpartition("/")[2]
    theirs = await tracking.call(
        "CreateRun", pb.CreateRunRequest(parent="projects/other", run_id=run_id, run=run_pb2.Run())
    )
    await tracking.call(
        "LogBatch", pb.LogBatchRequest(run=theirs.run.name, metrics=[pb.MetricPoint(key="loss", value=1.0)])
    )
    latest = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=mine.name))
    assert not latest.metrics


async def test_ranks_that_create_an_experiment_by_name_meet_in_one(tracking: Tracking) -> None:
    requests = [
        pb.CreateRunRequest(parent=PROJECT, run=run_pb2.Run(), experiment_display_name="together") for _ in range(8)
    ]
    made = [await tracking.call("CreateRun", request) for request in requests]
    assert len({response.run.experiment for response in made}) == 1


async def test_a_name_is_made_up_from_the_id(tracking: Tracking) -> None:
    run = await tracking.new_run()
    assert run.display_name.endswith(run.name[-4:])


async def test_a_mask_limits_what_is_returned(tracking: Tracking) -> None:
    run = await tracking.new_run(display_name="a", notes="long")
    got = await tracking.call("GetRun", pb.GetRunRequest(name=run.name, read_mask=FieldMask(paths=["state"])))
    assert got.run == run_pb2.Run(name=run.name, state=run_pb2.RUN_STATE_RUNNING)


async def test_update_moves_a_run_and_honours_the_etag(tracking: Tracking) -> None:
    run = await tracking.new_run()
    target = await tracking.call(
        "CreateExperiment",
        pb.CreateExperimentRequest(parent=PROJECT, experiment=experiment_pb2.Experiment(display_name="there")),
    )
    change = run_pb2.Run(name=run.name, experiment=target.experiment.name, notes="n", etag=run.etag)
    request = pb.UpdateRunRequest(run=change, update_mask=FieldMask(paths=["experiment", "notes"]))
    moved = (await tracking.call("UpdateRun", request)).run
    assert (moved.experiment, moved.notes) == (target.experiment.name, "n")
    assert (await refused(tracking.call("UpdateRun", request))).reason == "ETAG_MISMATCH"
    foreign = run_pb2.Run(name=run.name, experiment="projects/other/experiments/0")
    request = pb.UpdateRunRequest(run=foreign, update_mask=FieldMask(paths=["experiment"]))
    assert (await refused(tracking.call("UpdateRun", request))).reason == "FIELD_INVALID"
    request = pb.UpdateRunRequest(run=run_pb2.Run(name=run.name), update_mask=FieldMask(paths=["state"]))
    assert "mask names" in (await refused(tracking.call("UpdateRun", request))).message


async def test_finish_repeat_finish_otherwise_resume(tracking: Tracking) -> None:
    run = await tracking.new_run()
    request = pb.FinishRunRequest(name=run.name, state=run_pb2.RUN_STATE_FAILED, failure="boom")
    first = (await tracking.call("FinishRun", request)).run
    assert (first.state, first.failure) == (run_pb2.RUN_STATE_FAILED, "boom")
    assert (await tracking.call("FinishRun", request)).run == first
    request.state = run_pb2.RUN_STATE_FINISHED
    request.failure = ""
    assert (await tracking.call("FinishRun", request)).run.state == run_pb2.RUN_STATE_FINISHED
    resumed = (await tracking.call("ResumeRun", pb.ResumeRunRequest(name=run.name))).run
    assert resumed.state == run_pb2.RUN_STATE_RUNNING
    assert not resumed.HasField("end_time")


@pytest.mark.parametrize("state", [run_pb2.RUN_STATE_UNSPECIFIED, run_pb2.RUN_STATE_RUNNING, 77])
async def test_a_run_ends_in_a_state_that_ends(tracking: Tracking, state: int) -> None:
    run = await tracking.new_run()
    error = await refused(tracking.call("FinishRun", pb.FinishRunRequest(name=run.name, state=state)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_deleted_run_refuses_changes_until_restored(tracking: Tracking) -> None:
    run = await tracking.new_run()
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run.name))
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run.name))
    finish = pb.FinishRunRequest(name=run.name, state=run_pb2.RUN_STATE_FINISHED)
    error = await refused(tracking.call("FinishRun", finish))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_DELETED")
    await tracking.call("RestoreRun", pb.RestoreRunRequest(name=run.name))
    assert (await tracking.call("FinishRun", finish)).run.state == run_pb2.RUN_STATE_FINISHED


async def test_changing_a_param_is_explicit_and_keeps_history(tracking: Tracking) -> None:
    run = await tracking.new_run(params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1))])
    change = pb.ChangeParamRequest(run=run.name, param=run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.2)))
    changed = await tracking.call("ChangeParam", change)
    assert changed.run.params[0].value.double_value == 0.2
    assert [former.value.double_value for former in changed.history] == [0.1]
    assert changed.history[0].principal == "users/ada"
    change.param.key = "absent"
    assert (await refused(tracking.call("ChangeParam", change))).reason == "PARAM_NOT_FOUND"


async def test_missing_run(tracking: Tracking) -> None:
    error = await refused(get(tracking, f"{PROJECT}/runs/{'0' * 32}"))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


@pytest.mark.parametrize(
    "fields",
    [
        {"params": [run_pb2.Param(key="", value=run_pb2.Value(int_value=1))]},
        {"params": [run_pb2.Param(key="k" * 251, value=run_pb2.Value(int_value=1))]},
        {"params": [run_pb2.Param(key="a\nb", value=run_pb2.Value(int_value=1))]},
        {"params": [run_pb2.Param(key="k", value=run_pb2.Value(string_value="x" * 8001))]},
        {"params": [run_pb2.Param(key="k")]},
        {"tags": [run_pb2.Tag(key="t", value="x" * 8001)]},
        {"display_name": "x" * 501},
        {"notes": "x" * 100_001},
        {"params": [run_pb2.Param(key=str(i), value=run_pb2.Value(int_value=i)) for i in range(5001)]},
    ],
    ids=[
        "empty key",
        "long key",
        "control",
        "long text",
        "no value",
        "long tag",
        "long name",
        "long notes",
        "too many",
    ],
)
async def test_what_breaks_a_limit_is_refused_and_nothing_is_made(
    tracking: Tracking, fields: dict[str, object]
) -> None:
    error = await refused(tracking.new_run(**fields))
    assert error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    found = await tracking.call("SearchRuns", pb.SearchRunsRequest(parent=PROJECT))
    assert found.total_size == 0


async def test_values_keep_their_types(tracking: Tracking) -> None:
    values = {
        "text": run_pb2.Value(string_value="1"),
        "whole": run_pb2.Value(int_value=2**63 - 1),
        "number": run_pb2.Value(double_value=float("inf")),
        "truth": run_pb2.Value(bool_value=False),
        "list": run_pb2.Value(json_value="[1, 2]"),
    }
    run = await tracking.new_run(params=[run_pb2.Param(key=key, value=value) for key, value in values.items()])
    got = await get(tracking, run.name)
    assert {param.key: param.value for param in got.params} == values


async def test_a_batch_changes_the_run_in_the_same_write(tracking: Tracking) -> None:
    run = await tracking.new_run(display_name="first")
    request = pb.LogBatchRequest(
        run=run.name,
        change=pb.RunChange(display_name="second", state=run_pb2.RUN_STATE_FINISHED),
        params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1))],
    )
    for _ in range(2):
        await tracking.call("LogBatch", request)
    changed = await get(tracking, run.name)
    assert (changed.display_name, changed.state) == ("second", run_pb2.RUN_STATE_FINISHED)
    assert not changed.HasField("end_time")
    request.change.end_time.FromSeconds(1_700_000_000)
    request.change.state = run_pb2.RUN_STATE_SCHEDULED
    await tracking.call("LogBatch", request)
    changed = await get(tracking, run.name)
    assert (changed.state, changed.end_time.seconds) == (run_pb2.RUN_STATE_SCHEDULED, 1_700_000_000)
    request.change.display_name = "third"
    request.params[0].value.double_value = 0.2
    assert (await refused(tracking.call("LogBatch", request))).reason == "PARAM_CONFLICT"
    assert await get(tracking, run.name) == changed
    waiting = pb.FinishRunRequest(name=run.name, state=run_pb2.RUN_STATE_SCHEDULED)
    assert (await refused(tracking.call("FinishRun", waiting))).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_time_of_zero_may_be_meant(tracking: Tracking) -> None:
    run = await tracking.new_run()
    point = pb.MetricPoint(key="m", value=1.0)
    for keep in (True, False):
        await tracking.call("LogBatch", pb.LogBatchRequest(run=run.name, metrics=[point], keep_zero_times=keep))
    times: list[int] = []
    async for piece in tracking.stream("ReadMetricPoints", pb.ReadMetricPointsRequest(run=run.name)):
        times += piece.series.points.times_unix_us
    assert times[0] == 0
    assert times[1] > 0
