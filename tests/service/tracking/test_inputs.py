"""LogInputs, LogOutputs: what runs used and made."""

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from support.tracking import Tracking, refused

from penstock.api.tracking.v1 import dataset_pb2, experiment_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.ids import random_id
from penstock_tracking.domain import DATASETS_PER_RUN_MAX, MODELS_PER_RUN_MAX

PROJECT = "projects/default"


def used(name: str = "mnist", digest: str = "d1", *, use: str = "train", **fields: str) -> dataset_pb2.DatasetInput:
    return dataset_pb2.DatasetInput(
        dataset=dataset_pb2.Dataset(name=name, digest=digest, **fields),
        tags=[dataset_pb2.DatasetTag(key="use", value=use)],
    )


async def log(
    tracking: Tracking, run: str, *datasets: dataset_pb2.DatasetInput, models: list[str] | None = None
) -> None:
    await tracking.call("LogInputs", pb.LogInputsRequest(run=run, datasets=datasets, models=models))


async def get(tracking: Tracking, run: str) -> run_pb2.Run:
    return (await tracking.call("GetRun", pb.GetRunRequest(name=run))).run


def model() -> str:
    return f"{PROJECT}/loggedModels/m-{random_id()}"


async def test_what_is_said_first_of_a_dataset_counts_in_its_experiment(tracking: Tracking) -> None:
    first, second = (await tracking.new_run()).name, (await tracking.new_run()).name
    await log(tracking, first, used(source="s3://a", schema="{}", profile="p", source_type="s3"), used(digest="d2"))
    await log(tracking, second, used(source="elsewhere", use="test"))
    expected = used(source="s3://a", schema="{}", profile="p", source_type="s3")
    assert list((await get(tracking, first)).datasets) == [expected, used(digest="d2")]
    expected.tags[0].value = "test"
    assert list((await get(tracking, second)).datasets) == [expected]
    other = await tracking.call(
        "CreateExperiment",
        pb.CreateExperimentRequest(parent=PROJECT, experiment=experiment_pb2.Experiment(display_name="other")),
    )
    third = (await tracking.new_run(experiment=other.experiment.name)).name
    await log(tracking, third, used(source="elsewhere"))
    assert (await get(tracking, third)).datasets[0].dataset.source == "elsewhere"


async def test_a_repeat_changes_nothing(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    models = [model(), model()]
    outputs = [run_pb2.ModelOutput(model=name, step=step) for step, name in enumerate(models)]
    for _ in range(2):
        await log(tracking, run, used(), used(use="again"), models=models)
        await tracking.call("LogOutputs", pb.LogOutputsRequest(run=run, models=outputs))
        before = await get(tracking, run)
    assert (list(before.datasets), list(before.input_models), list(before.output_models)) == ([used()], models, outputs)
    await log(tracking, run, models=[models[0]])
    changed = run_pb2.ModelOutput(model=models[0], step=9)
    await tracking.call("LogOutputs", pb.LogOutputsRequest(run=run, models=[changed]))
    assert await get(tracking, run) == before


async def test_searches_return_datasets_when_they_are_asked_for(tracking: Tracking) -> None:
    runs = [(await tracking.new_run()).name for _ in range(3)]
    for number, run in enumerate(runs[:2]):
        await log(tracking, run, used(digest=f"d{number}"))
    request = pb.SearchRunsRequest(parent=PROJECT, columns=["datasets"], order_by="start_time asc")
    found = (await tracking.call("SearchRuns", request)).runs
    assert [[one.dataset.digest for one in run.datasets] for run in found] == [["d0"], ["d1"], []]
    everything = (await tracking.call("SearchRuns", pb.SearchRunsRequest(parent=PROJECT))).runs
    assert not any(run.datasets for run in everything)
    masked = pb.GetRunRequest(name=runs[0], read_mask=FieldMask(paths=["datasets"]))
    assert (await tracking.call("GetRun", masked)).run == run_pb2.Run(name=runs[0], datasets=[used(digest="d0")])


async def test_runs_are_found_by_their_datasets(tracking: Tracking) -> None:
    first, second, _ = [(await tracking.new_run()).name for _ in range(3)]
    context = dataset_pb2.DatasetTag(key="mlflow.data.context", value="eval")
    await log(
        tracking, first, used("mnist", "d1"), dataset_pb2.DatasetInput(dataset=used("cifar").dataset, tags=[context])
    )
    await log(tracking, second, used("mnist", "d2"))

    async def found(text: str) -> list[str]:
        request = pb.SearchRunsRequest(parent=PROJECT, filter=text, columns=["state"], order_by="create_time")
        return [run.name for run in (await tracking.call("SearchRuns", request)).runs]

    assert await found("datasets.* = 'mnist'") == [first, second]
    assert await found("datasets.* != 'mnist'") == [first]
    assert await found("datasets.* like 'ci%' and dataset_digests.* in ('d1', 'd9')") == [first]
    assert await found("dataset_digests.* not in ('d1')") == [second]
    assert await found("dataset_contexts.* ilike 'EVAL'") == [first]
    assert len(await found("datasets.* is null")) == 1
    assert await found("datasets.* is not null and not datasets.* = 'cifar'") == [second]
    for text in ("datasets.mnist = 'x'", "datasets.* = 1", "datasets.* > 'a'", "params.* = 'a'"):
        assert (await refused(found(text))).reason == "FILTER_INVALID"
    by_set = pb.SearchRunsRequest(parent=PROJECT, order_by="datasets.*")
    assert (await refused(tracking.call("SearchRuns", by_set))).reason == "ORDER_INVALID"
    grouped = pb.GroupRunsRequest(parent=PROJECT, group_by=["datasets.*"])
    assert (await refused(tracking.call("GroupRuns", grouped))).reason == "GROUP_BY_INVALID"


async def test_what_is_refused(tracking: Tracking) -> None:
    missing = f"{PROJECT}/runs/{random_id()}"
    for method, request in (
        ("LogInputs", pb.LogInputsRequest(run=missing)),
        ("LogOutputs", pb.LogOutputsRequest(run=missing, models=[run_pb2.ModelOutput(model=model())])),
    ):
        assert (await refused(tracking.call(method, request))).reason == "RUN_NOT_FOUND"
    run = (await tracking.new_run()).name
    foreign = f"projects/other/loggedModels/m-{random_id()}"
    assert (await refused(log(tracking, run, models=[foreign]))).reason == "FIELD_INVALID"
    for bad in (used(name=""), used(digest=""), used(name="n" * 501), used(digest="d" * 65), used(source="s" * 65_536)):
        assert (await refused(log(tracking, run, bad))).code is grpc.StatusCode.INVALID_ARGUMENT
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run))
    for method, request in (
        ("LogInputs", pb.LogInputsRequest(run=run, datasets=[used()])),
        ("LogOutputs", pb.LogOutputsRequest(run=run, models=[run_pb2.ModelOutput(model=model())])),
    ):
        assert (await refused(tracking.call(method, request))).reason == "RUN_DELETED"


async def test_as_many_as_a_run_may_have_and_one_more(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    await log(
        tracking,
        run,
        *(used(digest=str(number)) for number in range(DATASETS_PER_RUN_MAX)),
        models=[model() for _ in range(MODELS_PER_RUN_MAX)],
    )
    outputs = [run_pb2.ModelOutput(model=model()) for _ in range(MODELS_PER_RUN_MAX)]
    await tracking.call("LogOutputs", pb.LogOutputsRequest(run=run, models=outputs))
    one_more = pb.LogOutputsRequest(run=run, models=[run_pb2.ModelOutput(model=model())])
    for call in (
        log(tracking, run, used()),
        log(tracking, run, models=[model()]),
        tracking.call("LogOutputs", one_more),
    ):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ENTRIES")
