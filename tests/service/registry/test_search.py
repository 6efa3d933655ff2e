"""Search over models and versions: the grammar of runs, every acknowledged write, pages that stay right."""

from pathlib import Path

import grpc
import pytest
from support.registry import PROJECT, Registry, open_guard, serving_registry

from penstock.api.registry.v1 import model_pb2

Code = grpc.StatusCode


@pytest.fixture
async def zoo(any_registry: Registry) -> Registry:
    """Three models with two versions each."""
    for number, model_id in enumerate(("cat", "dog", "bird")):
        await any_registry.new_model(model_id, tags={"legs": str(2 if model_id == "bird" else 4)}, description=model_id)
        for version in (1, 2):
            await any_registry.new_version(
                f"{PROJECT}/models/{model_id}",
                tags={"half": "a" if version == 1 else "b"},
                run=f"{PROJECT}/runs/{number:032x}",
                metrics=[model_pb2.ModelMetric(key="acc", value=0.5 + number / 10 + version / 100)],
                flavors=[model_pb2.ModelFlavor(name="onnx" if version == 2 else "skops")],
                datasets=[model_pb2.ModelDataset(name="train", digest=f"d{number}")],
            )
    await any_registry.point("production", 2, f"{PROJECT}/models/dog")
    return any_registry


async def test_models_are_found_by_what_they_hold(zoo: Registry) -> None:
    assert await zoo.found_models() == ["bird", "cat", "dog"]
    assert await zoo.found_models('tags.legs = "4" and name like "%o%"') == ["dog"]
    assert await zoo.found_models("aliases.production = 2") == ["dog"]
    assert await zoo.found_models("latest_version >= 2", order_by="create_time desc") == ["bird", "dog", "cat"]
    assert await zoo.found_models('creator = "users/nobody"') == []


async def test_versions_are_found_by_what_they_hold(zoo: Registry) -> None:
    assert await zoo.found_versions() == ["bird/2", "bird/1", "cat/2", "cat/1", "dog/2", "dog/1"]
    assert await zoo.found_versions("metrics.acc > 0.6", order_by="metrics.acc desc") == [
        "bird/2",
        "bird/1",
        "dog/2",
        "dog/1",
    ]
    assert await zoo.found_versions("aliases.production = true") == ["dog/2"]
    assert await zoo.found_versions('flavors.skops = true and model in ("cat", "bird")') == ["bird/1", "cat/1"]
    assert await zoo.found_versions(f'run = "{1:032x}" and version = 1') == ["dog/1"]
    assert await zoo.found_versions('datasets.train = "d2" and tags.half = "b"') == ["bird/2"]


async def test_a_search_sees_what_changed_before_it(zoo: Registry) -> None:
    assert await zoo.found_versions('tags.seen = "yes"') == []
    await zoo.call("UpdateModelVersionTags", name=f"{PROJECT}/models/cat/versions/1", set={"seen": "yes"})
    assert await zoo.found_versions('tags.seen = "yes"') == ["cat/1"]
    await zoo.point("production", 1, f"{PROJECT}/models/dog")
    assert await zoo.found_versions("aliases.production = true") == ["dog/1"]
    await zoo.call("DeleteModelAlias", name=f"{PROJECT}/models/dog/aliases/production")
    assert await zoo.found_versions("aliases.production is not null") == []
    await zoo.call("DeleteModelVersion", name=f"{PROJECT}/models/cat/versions/1")
    assert await zoo.found_versions('model = "cat"') == ["cat/2"]
    await zoo.call("DeleteModel", name=f"{PROJECT}/models/cat")
    assert await zoo.found_versions('model = "cat"') == []
    assert await zoo.found_models() == ["bird", "dog"]


async def test_pages_stay_right_while_versions_are_added(zoo: Registry) -> None:
    found, token = [], ""
    while True:
        page = await zoo.call("SearchModelVersions", parent=PROJECT, page_size=2, page_token=token)
        assert page.total_size >= 6
        found += [f"{version.name.split('/')[3]}/{version.number}" for version in page.versions]
        token = page.next_page_token
        if not token:
            break
        await zoo.new_version(f"{PROJECT}/models/bird")
    assert found == ["bird/2", "bird/1", "cat/2", "cat/1", "dog/2", "dog/1"]


async def test_a_wrong_query_says_where(zoo: Registry) -> None:
    refusal = await zoo.refused("SearchModelVersions", parent=PROJECT, filter="stage = Production")
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "FILTER_INVALID")
    assert refusal.metadata["position"] == "8"
    assert (await zoo.refused("SearchModels", parent=PROJECT, order_by="nothing")).reason == "ORDER_INVALID"
    page = await zoo.call("SearchModels", parent=PROJECT, page_size=1)
    refusal = await zoo.refused(
        "SearchModels", parent=PROJECT, page_size=1, page_token=page.next_page_token, filter="latest_version > 0"
    )
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_a_page_is_cut_where_it_would_be_too_large(registry: Registry) -> None:
    for n in range(3):
        name = (await registry.new_model(f"m{n}")).name
        await registry.call("UpdateModelTags", name=name, set={f"t{i}": "x" * 100_000 for i in range(18)})
    first = await registry.call("SearchModels", parent=PROJECT)
    assert [model.name[-2:] for model in first.models] == ["m0", "m1"]
    second = await registry.call("SearchModels", parent=PROJECT, page_token=first.next_page_token)
    assert [model.name[-2:] for model in second.models] == ["m2"]
    assert second.next_page_token == ""


async def test_models_whose_names_read_as_numbers_stay_apart(registry: Registry) -> None:
    for model_id in ("1", "1.0", "true"):
        await registry.new_model(model_id)
        await registry.new_version(f"{PROJECT}/models/{model_id}")
    answer = await registry.call("ListLatestModelVersions", parent=PROJECT, models=["1", "1.0", "true"])
    assert [version.name.split("/")[3] for version in answer.versions] == ["1", "1.0", "true"]


async def test_a_restart_finds_everything_again(tmp_path: Path, documents_url: str) -> None:
    guard = open_guard()
    async with serving_registry(tmp_path, guard=guard, documents_url=documents_url) as registry:
        await registry.new_model()
        await registry.new_version(tags={"a": "1"})
        await registry.point("best", 1)
    async with serving_registry(tmp_path, guard=guard, documents_url=documents_url) as registry:
        assert await registry.alias_number("best") == 1
        assert await registry.found_versions('tags.a = "1" and aliases.best = true') == ["digits/1"]
        assert (await registry.new_version()).number == 2
