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
