"""CreateLoggedModel, GetLoggedModel, SearchLoggedModels, AnnotateLoggedModel, FinishLoggedModel, DeleteLoggedModel."""

from typing import Any

import grpc
from support.tracking import Tracking, refused

from penstock.api.tracking.v1 import experiment_pb2, logged_model_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.ids import random_id
from penstock_tracking.logged_models.domain import METRICS_PER_MODEL_MAX, PARAMS_PER_MODEL_MAX, TAGS_PER_MODEL_MAX

PROJECT = "projects/default"
DEFAULT = f"{PROJECT}/experiments/0"


async def create(tracking: Tracking, request_id: str = "", **fields: Any) -> logged_model_pb2.LoggedModel:
    request = pb.CreateLoggedModelRequest(
        parent=PROJECT, model=logged_model_pb2.LoggedModel(**fields), request_id=request_id
    )
    return (await tracking.call("CreateLoggedModel", request)).model


async def get(tracking: Tracking, name: str) -> logged_model_pb2.LoggedModel:
    return (await tracking.call("GetLoggedModel", pb.GetLoggedModelRequest(name=name))).model


async def search(tracking: Tracking, **fields: Any) -> list[str]:
    request = pb.SearchLoggedModelsRequest(parent=PROJECT, **{"experiments": [DEFAULT], **fields})
    return [model.display_name for model in (await tracking.call("SearchLoggedModels", request)).models]


async def measure(tracking: Tracking, run: str, *points: pb.MetricPoint) -> None:
    await tracking.call("LogBatch", pb.LogBatchRequest(run=run, metrics=points))


async def test_a_model_is_made_annotated_finished_and_deleted(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    made = await create(
        tracking, "r1", display_name="net", model_type="resnet", source_run=run, params={"lr": "1"}, tags={"a": "1"}
    )
    assert (made.state, made.experiment) == (logged_model_pb2.LOGGED_MODEL_STATE_PENDING, DEFAULT)
    assert await create(tracking, "r1", display_name="net") == made
    annotate = pb.AnnotateLoggedModelRequest(
        name=made.name, params={"lr": "1", "depth": "3"}, tags={"b": "2"}, removed_tags=["a"]
    )
    annotated = (await tracking.call("AnnotateLoggedModel", annotate)).model
    assert (dict(annotated.params), dict(annotated.tags)) == ({"lr": "1", "depth": "3"}, {"b": "2"})
    conflict = pb.AnnotateLoggedModelRequest(name=made.name, params={"new": "1", "lr": "2"})
    assert (await refused(tracking.call("AnnotateLoggedModel", conflict))).reason == "PARAM_CONFLICT"
    assert await get(tracking, made.name) == annotated
    ready = pb.FinishLoggedModelRequest(name=made.name, state=logged_model_pb2.LOGGED_MODEL_STATE_READY)
    finished = [(await tracking.call("FinishLoggedModel", ready)).model for _ in range(2)]
    assert finished[0] == finished[1]
    assert finished[0].state == logged_model_pb2.LOGGED_MODEL_STATE_READY
    for _ in range(2):
        await tracking.call("DeleteLoggedModel", pb.DeleteLoggedModelRequest(name=made.name))
    assert (await get(tracking, made.name)).lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED
    assert await search(tracking) == []


async def test_metrics_of_runs_are_those_of_models_too(tracking: Tracking) -> None:
    run, other = (await tracking.new_run()).name, (await tracking.new_run()).name
    model = (await create(tracking, display_name="net")).name

    def point(value: float, step: int, digest: str = "d1", **fields: Any) -> pb.MetricPoint:
        known = {"key": "acc", "time_unix_us": 1_000, "logged_model": model, "dataset_name": "test"}
        return pb.MetricPoint(value=value, step=step, dataset_digest=digest, **{**known, **fields})

    batch = [point(0.5, 2), point(0.4, 1), point(0.9, 1, digest="d2"), point(1.0, 1, logged_model="")]
    for _ in range(2):
        await measure(tracking, run, *batch)
    await measure(tracking, other, point(0.7, 0))
    # One that there is not is passed over; the point is the run's all the same.
    await measure(tracking, run, point(3.0, 9, key="b", logged_model=f"{PROJECT}/loggedModels/m-{random_id()}"))
    found = [(m.value, m.step, m.run, m.dataset_digest) for m in (await get(tracking, model)).metrics]
    assert found == [(0.5, 2, run, "d1"), (0.9, 1, run, "d2"), (0.7, 0, other, "d1")]
    assert await tracking.points(run, "b") == [(9, 3.0)]
    assert await search(tracking, filter="metrics.acc > 0.6") == ["net"]
    datasets = [pb.DatasetReference(name="test", digest="d2")]
    assert await search(tracking, filter="metrics.acc > 0.8", datasets=datasets) == ["net"]
    assert await search(tracking, datasets=[pb.DatasetReference(name="train")]) == []
    foreign = point(1.0, 1, logged_model=f"projects/other/loggedModels/m-{random_id()}")
    assert (await refused(measure(tracking, run, foreign))).reason == "FIELD_INVALID"


async def test_searches_filter_order_and_page(tracking: Tracking) -> None:
    for number in range(5):
        await create(tracking, display_name=f"m{number}", params={"lr": str(number)}, tags={"team": "ab"[number % 2]})
    other = await tracking.call(
        "CreateExperiment",
        pb.CreateExperimentRequest(parent=PROJECT, experiment=experiment_pb2.Experiment(display_name="other")),
    )
    await create(tracking, display_name="elsewhere", experiment=other.experiment.name)
    assert await search(tracking) == ["m4", "m3", "m2", "m1", "m0"]
    assert await search(tracking, experiments=[other.experiment.name]) == ["elsewhere"]
    assert await search(tracking, filter="params.lr >= 2 and tags.team = 'a'", order_by="name") == ["m2", "m4"]
    assert await search(tracking, filter="state = 'READY'") == []
    request = pb.SearchLoggedModelsRequest(parent=PROJECT, experiments=[DEFAULT], order_by="name desc", page_size=2)
    found: list[str] = []
    while True:
        page = await tracking.call("SearchLoggedModels", request)
        found += [model.display_name for model in page.models]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == ["m4", "m3", "m2", "m1", "m0"]
    request.order_by = ""
    request.page_token = page.next_page_token or "forged"
    assert (await refused(tracking.call("SearchLoggedModels", request))).reason == "PAGE_TOKEN_INVALID"
    assert (await refused(search(tracking, filter="nothing = 1"))).reason == "FILTER_INVALID"
    assert (await refused(search(tracking, order_by="nothing"))).reason == "ORDER_INVALID"


async def test_what_is_refused(tracking: Tracking) -> None:
    missing = f"{PROJECT}/loggedModels/m-{random_id()}"
    ready = logged_model_pb2.LOGGED_MODEL_STATE_READY
    for method, request in (
        ("GetLoggedModel", pb.GetLoggedModelRequest(name=missing)),
        ("AnnotateLoggedModel", pb.AnnotateLoggedModelRequest(name=missing, tags={"a": "1"})),
        ("FinishLoggedModel", pb.FinishLoggedModelRequest(name=missing, state=ready)),
        ("DeleteLoggedModel", pb.DeleteLoggedModelRequest(name=missing)),
    ):
        error = await refused(tracking.call(method, request))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "LOGGED_MODEL_NOT_FOUND")
    none = await refused(create(tracking, experiment=f"{PROJECT}/experiments/9"))
    assert none.reason == "EXPERIMENT_NOT_FOUND"
    assert (await refused(create(tracking, experiment="projects/other/experiments/0"))).reason == "FIELD_INVALID"
    made = await create(tracking, display_name="n" * 500)
    assert (await refused(create(tracking, display_name="n" * 501))).code is grpc.StatusCode.INVALID_ARGUMENT
    for field, limit in (("params", PARAMS_PER_MODEL_MAX), ("tags", TAGS_PER_MODEL_MAX)):
        full = {f"{number}": "" for number in range(limit)}
        await tracking.call("AnnotateLoggedModel", pb.AnnotateLoggedModelRequest(name=made.name, **{field: full}))
        more = pb.AnnotateLoggedModelRequest(name=made.name, **{field: {"more": ""}})
        assert (await refused(tracking.call("AnnotateLoggedModel", more))).reason == "TOO_MANY_ENTRIES"


async def test_a_model_keeps_so_many_metrics_and_passes_over_the_rest(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    model = (await create(tracking)).name
    points = [
        pb.MetricPoint(key=f"m{number}", value=1.0, time_unix_us=1, logged_model=model)
        for number in range(METRICS_PER_MODEL_MAX + 1)
    ]
    await measure(tracking, run, *points)
    assert len((await get(tracking, model)).metrics) == METRICS_PER_MODEL_MAX
