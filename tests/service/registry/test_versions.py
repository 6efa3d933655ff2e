"""Versions of models: registered once, never changed, numbers never used again."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.registry import MODEL, PROJECT, Registry

from penstock.api.registry.v1 import model_pb2

Code = grpc.StatusCode
RUN = f"{PROJECT}/runs/{'a' * 32}"
MANIFEST = "0f" * 32


def whole_version() -> model_pb2.ModelVersion:
    """A version with something in every field."""
    return model_pb2.ModelVersion(
        description="Trained on more data",
        tags={"data": "2026-11"},
        artifact_manifest=MANIFEST,
        artifact_version=f"{PROJECT}/artifacts/weights/versions/3",
        source_uri="runs:/abc/model",
        run=RUN,
        run_link="https://example.test/run",
        logged_model="m-1",
        signature=model_pb2.ModelSignature(
            inputs=[model_pb2.ModelField(name="x", datatype="FP32", shape=[-1, 64])],
            outputs=[model_pb2.ModelField(name="y", datatype="INT64", shape=[-1])],
            params=[model_pb2.ModelField(name="t", datatype="FP64", optional=True)],
        ),
        flavors=[model_pb2.ModelFlavor(name="onnx", options={"opset": "21"})],
        metrics=[
            model_pb2.ModelMetric(key="accuracy", value=0.9, samples=[1.0, 0.0, 1.0]),
            model_pb2.ModelMetric(key="accuracy", slice="lang=fr", value=0.8),
        ],
        datasets=[model_pb2.ModelDataset(name="train", digest="d1", source_uri="s3://b/t", context="training")],
        size_bytes=12_345,
    )


async def test_a_version_keeps_everything_it_was_registered_with(any_registry: Registry) -> None:
    await any_registry.new_model()
    wanted = whole_version()
    made = (await any_registry.call("CreateModelVersion", parent=MODEL, version=wanted)).version
    assert (made.name, made.number) == (f"{MODEL}/versions/1", 1)
    assert (made.state, made.stage) == (model_pb2.MODEL_VERSION_STATE_READY, model_pb2.MODEL_VERSION_STAGE_NONE)
    read = (await any_registry.call("GetModelVersion", name=made.name)).version
    assert read == made
    for field in wanted.DESCRIPTOR.fields:
        if field.name in {name.name for name, _ in wanted.ListFields()}:
            assert getattr(read, field.name) == getattr(wanted, field.name), field.name
    assert (await any_registry.call("GetModel", name=MODEL)).model.latest_version == 1
    # Lists leave the samples out.
    (found,) = (await any_registry.call("SearchModelVersions", parent=PROJECT)).versions
    assert [list(metric.samples) for metric in found.metrics] == [[], []]


async def test_a_baseline_is_kept_beside(any_registry: Registry) -> None:
    await any_registry.new_model()
    baseline = model_pb2.ModelBaseline(
        features=[
            model_pb2.FeatureBaseline(name="age", edges=[0, 10, 20], counts=[3, 4], missing=1),
            model_pb2.FeatureBaseline(name="country", categories=["de", "fr"], counts=[5, 2]),
        ]
    )
    fields = {"parent": MODEL, "version": model_pb2.ModelVersion()}
    made = (await any_registry.call("CreateModelVersion", baseline=baseline, **fields)).version
    assert (await any_registry.call("GetModelBaseline", name=made.name)).baseline == baseline
    without = await any_registry.new_version()
    refusal = await any_registry.refused("GetModelBaseline", name=without.name)
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "BASELINE_NOT_FOUND")


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"counts": [1]}, "either edges or categories"),
        ({"edges": [0, 1], "categories": ["a"], "counts": [1]}, "either edges or categories"),
        ({"edges": [0, 1], "counts": [1, 2]}, "one edge more"),
        ({"edges": [1, 0], "counts": [1]}, "do not ascend"),
        ({"categories": ["a", "b"], "counts": [1]}, "as many counts as categories"),
    ],
)
async def test_a_baseline_that_makes_no_sense_is_refused(registry: Registry, feature: Any, said: str) -> None:
    await registry.new_model()
    baseline = model_pb2.ModelBaseline(features=[model_pb2.FeatureBaseline(name="f", **feature)])
    refusal = await registry.refused(
        "CreateModelVersion", parent=MODEL, version=model_pb2.ModelVersion(), baseline=baseline
    )
    assert refusal.reason == "FIELD_INVALID"
    assert said in refusal.message


async def test_versions_registered_at_once_get_numbers_of_their_own(any_registry: Registry) -> None:
    await any_registry.new_model()
    made = await asyncio.gather(*(any_registry.new_version(description=str(n)) for n in range(20)))
    assert sorted(version.number for version in made) == list(range(1, 21))
    read = await asyncio.gather(*(any_registry.call("GetModelVersion", name=version.name) for version in made))
    assert [answer.version.description for answer in read] == [version.description for version in made]


async def test_a_repeat_registers_nothing_new(any_registry: Registry) -> None:
    await any_registry.new_model()
    fields = {"parent": MODEL, "version": model_pb2.ModelVersion(description="one"), "request_id": "r"}
    made = await asyncio.gather(*(any_registry.call("CreateModelVersion", **fields) for _ in range(5)))
    assert {answer.version.number for answer in made} == {1}
    assert (await any_registry.new_version()).number == 2


async def test_a_number_is_never_used_again(any_registry: Registry) -> None:
    await any_registry.new_model()
    for number in (1, 2):
        assert (await any_registry.new_version()).number == number
    await any_registry.call("DeleteModelVersion", name=f"{MODEL}/versions/2")
    assert (await any_registry.new_version()).number == 3
    refusal = await any_registry.refused("GetModelVersion", name=f"{MODEL}/versions/2")
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "VERSION_NOT_FOUND")
    assert await any_registry.found_versions(order_by="version asc") == ["digits/1", "digits/3"]
    assert (await any_registry.refused("DeleteModelVersion", name=f"{MODEL}/versions/2")).reason == "VERSION_NOT_FOUND"


async def test_only_description_and_tags_change(registry: Registry) -> None:
    await registry.new_model()
    made = await registry.new_version(description="old", artifact_manifest=MANIFEST)
    update = model_pb2.ModelVersion(name=made.name, description="new", artifact_manifest="11" * 32, etag=made.etag)
    mask = FieldMask(paths=["description"])
    changed = (await registry.call("UpdateModelVersion", version=update, update_mask=mask)).version
    assert (changed.description, changed.artifact_manifest) == ("new", MANIFEST)
    refusal = await registry.refused("UpdateModelVersion", version=update, update_mask=mask)
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    for path in ("artifact_manifest", "stage"):
        refusal = await registry.refused("UpdateModelVersion", version=update, update_mask=FieldMask(paths=[path]))
        assert refusal.reason == "FIELD_INVALID"
    changed = (await registry.call("UpdateModelVersionTags", name=made.name, set={"a": "1"})).version
    changed = (await registry.call("UpdateModelVersionTags", name=made.name, set={"b": "2"}, remove=["a"])).version
    assert dict(changed.tags) == {"b": "2"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"artifact_manifest": "0f" * 31}, "INVALID_ARGUMENT"),
        ({"run": f"projects/other/runs/{'a' * 32}"}, "FIELD_INVALID"),
        ({"artifact_version": "projects/other/artifacts/a/versions/1"}, "FIELD_INVALID"),
        ({"artifact_version": f"{PROJECT}/artifacts/a/versions/latest"}, "FIELD_INVALID"),
        ({"artifact_version": f"{PROJECT}/artifacts/a"}, "NAME_INVALID"),
        ({"metrics": [model_pb2.ModelMetric(key="a"), model_pb2.ModelMetric(key="a")]}, "FIELD_INVALID"),
        ({"flavors": [model_pb2.ModelFlavor(name="onnx"), model_pb2.ModelFlavor(name="onnx")]}, "FIELD_INVALID"),
        (
            {"metrics": [model_pb2.ModelMetric(key=str(n), samples=[0.0] * 9_091) for n in range(11)]},
            "FIELD_INVALID",
        ),
        ({"metrics": [model_pb2.ModelMetric(key="a", samples=[0.0] * 10_001)]}, "INVALID_ARGUMENT"),
    ],
    ids=[
        "digest",
        "run of another project",
        "artifact of another project",
        "no number",
        "no version",
        "metric twice",
        "flavour twice",
        "samples in all",
        "samples",
    ],
)
async def test_what_makes_no_version_is_refused(registry: Registry, fields: Any, reason: str) -> None:
    await registry.new_model()
    refusal = await registry.refused("CreateModelVersion", parent=MODEL, version=model_pb2.ModelVersion(**fields))
    assert refusal.code is Code.INVALID_ARGUMENT
    assert reason == "INVALID_ARGUMENT" or refusal.reason == reason
    # Nothing was counted.
    assert (await registry.new_version()).number == 1


async def test_as_many_samples_as_there_may_be(registry: Registry) -> None:
    await registry.new_model()
    metrics = [model_pb2.ModelMetric(key=str(n), samples=[0.5] * 10_000) for n in range(10)]
    made = await registry.new_version(metrics=metrics)
    assert all(len(metric.samples) == 10_000 for metric in made.metrics)


async def test_stages(any_registry: Registry) -> None:
    await any_registry.new_model()
    for _ in range(3):
        await any_registry.new_version()

    async def put(number: int, stage: int, **fields: Any) -> None:
        await any_registry.call("SetModelVersionStage", name=f"{MODEL}/versions/{number}", stage=stage, **fields)

    async def latest(*stages: int) -> dict[str, int]:
        answer = await any_registry.call(
            "ListLatestModelVersions", parent=PROJECT, models=["digits", "nothing"], stages=stages
        )
        return {model_pb2.ModelVersionStage.Name(v.stage).rpartition("_")[2]: v.number for v in answer.versions}

    assert await latest() == {"NONE": 3}
    await put(1, model_pb2.MODEL_VERSION_STAGE_PRODUCTION)
    await put(2, model_pb2.MODEL_VERSION_STAGE_PRODUCTION)
    assert await latest() == {"NONE": 3, "PRODUCTION": 2}
    await put(3, model_pb2.MODEL_VERSION_STAGE_PRODUCTION, archive_existing=True)
    assert await latest() == {"ARCHIVED": 2, "PRODUCTION": 3}
    assert await latest(model_pb2.MODEL_VERSION_STAGE_PRODUCTION) == {"PRODUCTION": 3}
    assert await any_registry.found_versions('stage = "Archived"', order_by="version asc") == ["digits/1", "digits/2"]
    refusal = await any_registry.refused(
        "SetModelVersionStage",
        name=f"{MODEL}/versions/1",
        stage=model_pb2.MODEL_VERSION_STAGE_ARCHIVED,
        archive_existing=True,
    )
    assert refusal.reason == "FIELD_INVALID"


async def test_of_two_that_archive_each_other_one_is_left(registry: Registry) -> None:
    await registry.new_model()
    for _ in range(4):
        await registry.new_version()
    stage = model_pb2.MODEL_VERSION_STAGE_PRODUCTION
    await asyncio.gather(
        *(
            registry.call("SetModelVersionStage", name=f"{MODEL}/versions/{n}", stage=stage, archive_existing=True)
            for n in range(1, 5)
        )
    )
    assert len(await registry.found_versions('stage = "Production"')) == 1
    assert len(await registry.found_versions('stage = "Archived"')) == 3
