"""CreateExperiment, GetExperiment, ListExperiments, UpdateExperiment, DeleteExperiment, RestoreExperiment."""

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from support.tracking import Tracking, refused

from penstock.api.tracking.v1 import experiment_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb

PROJECT = "projects/default"


async def create(tracking: Tracking, display_name: str, **fields: object) -> experiment_pb2.Experiment:
    request = pb.CreateExperimentRequest(
        parent=PROJECT, experiment=experiment_pb2.Experiment(display_name=display_name), **fields
    )
    return (await tracking.call("CreateExperiment", request)).experiment


async def test_ids_are_counted_from_one_and_zero_is_default(tracking: Tracking) -> None:
    first, second = await create(tracking, "digits"), await create(tracking, "faces")
    assert [first.name, second.name] == [f"{PROJECT}/experiments/1", f"{PROJECT}/experiments/2"]
    default = (
        await tracking.call("GetExperiment", pb.GetExperimentRequest(name=f"{PROJECT}/experiments/0"))
    ).experiment
    assert default.display_name == "Default"
    listed = await tracking.call("ListExperiments", pb.ListExperimentsRequest(parent=PROJECT))
    assert [e.display_name for e in listed.experiments] == ["faces", "digits", "Default"]


async def test_a_display_name_is_taken_once(tracking: Tracking) -> None:
    await create(tracking, "digits")
    error = await refused(create(tracking, "digits"))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EXPERIMENT_EXISTS")


async def test_a_repeat_with_the_same_request_id_makes_one(tracking: Tracking) -> None:
    first = await create(tracking, "digits", request_id="r1")
    assert (await create(tracking, "digits", request_id="r1")).name == first.name


async def test_update_needs_a_mask_and_honours_the_etag(tracking: Tracking) -> None:
    made = await create(tracking, "digits")
    changed = experiment_pb2.Experiment(name=made.name, display_name="digits 2", description="new", etag=made.etag)
    request = pb.UpdateExperimentRequest(experiment=changed, update_mask=FieldMask(paths=["display_name"]))
    updated = (await tracking.call("UpdateExperiment", request)).experiment
    assert (updated.display_name, updated.description) == ("digits 2", "")
    stale = await refused(tracking.call("UpdateExperiment", request))
    assert (stale.code, stale.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    changed.etag = ""
    wrong = pb.UpdateExperimentRequest(experiment=changed, update_mask=FieldMask(paths=["create_time"]))
    assert (await refused(tracking.call("UpdateExperiment", wrong))).reason == "FIELD_INVALID"
    bare = pb.UpdateExperimentRequest(experiment=changed)
    assert (await refused(tracking.call("UpdateExperiment", bare))).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_delete_takes_the_runs_along_and_restore_brings_back_those(tracking: Tracking) -> None:
    made = await create(tracking, "digits")
    kept, binned = [await tracking.new_run(experiment=made.name) for _ in range(2)]
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=binned.name))
    await tracking.call("DeleteExperiment", pb.DeleteExperimentRequest(name=made.name))

    async def stage(name: str) -> int:
        return (await tracking.call("GetRun", pb.GetRunRequest(name=name))).run.lifecycle_stage

    assert await stage(kept.name) == experiment_pb2.LIFECYCLE_STAGE_DELETED
    late = await refused(tracking.new_run(experiment=made.name))
    assert (late.code, late.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXPERIMENT_DELETED")
    again = await create(tracking, "digits")
    taken = await refused(tracking.call("RestoreExperiment", pb.RestoreExperimentRequest(name=made.name)))
    assert taken.reason == "EXPERIMENT_EXISTS"
    await tracking.call("DeleteExperiment", pb.DeleteExperimentRequest(name=again.name))
    await tracking.call("RestoreExperiment", pb.RestoreExperimentRequest(name=made.name))
    assert await stage(kept.name) == experiment_pb2.LIFECYCLE_STAGE_ACTIVE
    assert await stage(binned.name) == experiment_pb2.LIFECYCLE_STAGE_DELETED
    shown = await tracking.call("ListExperiments", pb.ListExperimentsRequest(parent=PROJECT))
    assert again.name not in [e.name for e in shown.experiments]
    everything = await tracking.call("ListExperiments", pb.ListExperimentsRequest(parent=PROJECT, show_deleted=True))
    assert again.name in [e.name for e in everything.experiments]


async def test_a_deleted_name_may_be_refused_and_all_runs_restored(tracking: Tracking) -> None:
    made = await create(tracking, "digits")
    binned = await tracking.new_run(experiment=made.name)
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=binned.name))
    await tracking.call("DeleteExperiment", pb.DeleteExperimentRequest(name=made.name))
    assert (await refused(create(tracking, "digits", refuse_deleted_name=True))).reason == "EXPERIMENT_EXISTS"
    await create(tracking, "other", refuse_deleted_name=True)
    await tracking.call("RestoreExperiment", pb.RestoreExperimentRequest(name=made.name, all_runs=True))
    run = (await tracking.call("GetRun", pb.GetRunRequest(name=binned.name))).run
    assert run.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_ACTIVE


async def test_runs_keep_the_artifact_location_of_their_experiment(tracking: Tracking) -> None:
    request = pb.CreateExperimentRequest(
        parent=PROJECT,
        experiment=experiment_pb2.Experiment(
            display_name="own", artifact_location="s3://bucket/x", tags={"k": "v" * 20_000}
        ),
    )
    made = (await tracking.call("CreateExperiment", request)).experiment
    assert made.artifact_location == "s3://bucket/x"
    run = await tracking.new_run(experiment=made.name, user="ada")
    assert (run.artifact_location, run.user) == ("s3://bucket/x", "ada")
    assert (await tracking.new_run()).artifact_location == ""
    found = await tracking.call("SearchRuns", pb.SearchRunsRequest(parent=PROJECT, filter="user = 'ada'"))
    assert [one.name for one in found.runs] == [run.name]
    request.experiment.tags["k"] += "v"
    assert (await refused(tracking.call("CreateExperiment", request))).code is grpc.StatusCode.INVALID_ARGUMENT
    request.experiment.tags.clear()
    request.experiment.artifact_location = "s3://" + "b" * 2_044
    assert (await refused(tracking.call("CreateExperiment", request))).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_lists_filter_and_order(tracking: Tracking) -> None:
    for name, team in (("b", "vision"), ("a", "speech"), ("10", "vision"), ("9", "")):
        request = pb.CreateExperimentRequest(
            parent=PROJECT, experiment=experiment_pb2.Experiment(display_name=name, tags={"team": team} if team else {})
        )
        await tracking.call("CreateExperiment", request)
    gone = await create(tracking, "gone")
    await tracking.call("DeleteExperiment", pb.DeleteExperimentRequest(name=gone.name))

    async def names(**fields: object) -> list[str]:
        found: list[str] = []
        request = pb.ListExperimentsRequest(parent=PROJECT, page_size=2, **fields)
        while True:
            page = await tracking.call("ListExperiments", request)
            found += [e.display_name for e in page.experiments]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    assert await names(filter="tags.team = 'vision'") == ["10", "b"]
    assert await names(order_by="name") == ["9", "10", "Default", "a", "b"]
    assert await names(order_by="name as text desc") == ["b", "a", "Default", "9", "10"]
    assert await names(order_by="experiment desc", filter="name like '%' and experiment != 0") == ["9", "10", "a", "b"]
    assert await names(filter="lifecycle_stage = 'DELETED'", show_deleted=True) == ["gone"]
    assert await names(filter="create_time > '2020-01-01' and tags.team is null", display_name="9") == ["9"]
    for fields, reason in (({"filter": "lost = 1"}, "FILTER_INVALID"), ({"order_by": "lost"}, "ORDER_INVALID")):
        error = await refused(tracking.call("ListExperiments", pb.ListExperimentsRequest(parent=PROJECT, **fields)))
        assert error.reason == reason


async def test_the_default_experiment_stays(tracking: Tracking) -> None:
    error = await refused(
        tracking.call("DeleteExperiment", pb.DeleteExperimentRequest(name=f"{PROJECT}/experiments/0"))
    )
    assert error.reason == "DEFAULT_EXPERIMENT"


async def test_lists_page(tracking: Tracking) -> None:
    for index in range(5):
        await create(tracking, f"e{index}")
    found: list[str] = []
    token = ""
    while True:
        page = await tracking.call(
            "ListExperiments", pb.ListExperimentsRequest(parent=PROJECT, page_size=2, page_token=token)
        )
        found += [e.display_name for e in page.experiments]
        token = page.next_page_token
        if not token:
            break
    assert found == ["e4", "e3", "e2", "e1", "e0", "Default"]
    other = pb.ListExperimentsRequest(parent=PROJECT, page_token="rubbish")
    assert (await refused(tracking.call("ListExperiments", other))).reason == "PAGE_TOKEN_INVALID"


async def test_missing_and_malformed_names(tracking: Tracking) -> None:
    missing = await refused(tracking.call("GetExperiment", pb.GetExperimentRequest(name=f"{PROJECT}/experiments/99")))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "EXPERIMENT_NOT_FOUND")
    malformed = await refused(
        tracking.call("GetExperiment", pb.GetExperimentRequest(name=f"{PROJECT}/experiments/../0"))
    )
    assert malformed.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_update_need_not_repeat_the_display_name_and_may_not_empty_it(tracking: Tracking) -> None:
    made = await create(tracking, "digits")
    described = experiment_pb2.Experiment(name=made.name, description="new")
    request = pb.UpdateExperimentRequest(experiment=described, update_mask=FieldMask(paths=["description"]))
    updated = (await tracking.call("UpdateExperiment", request)).experiment
    assert (updated.display_name, updated.description) == ("digits", "new")
    request.update_mask.paths.append("display_name")
    assert (await refused(tracking.call("UpdateExperiment", request))).reason == "FIELD_INVALID"
    assert (await refused(create(tracking, ""))).reason == "FIELD_INVALID"
