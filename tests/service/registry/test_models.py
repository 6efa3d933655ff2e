"""Registered models: create, read, change, rename, delete."""

import asyncio
from pathlib import Path

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from support.registry import MODEL, PROJECT, Registry, open_guard, serving_registry

from penstock.api.registry.v1 import model_pb2
from penstock_kit.stores.documents import Delete, Insert
from penstock_registry.store import MODELS

Code = grpc.StatusCode


async def test_a_model_is_created_and_read(any_registry: Registry) -> None:
    made = await any_registry.new_model("Wine quality (v2)", description="# Wine", tags={"team": "cellar", "a.b$": "c"})
    assert made.name == f"{PROJECT}/models/Wine quality (v2)"
    assert (made.description, dict(made.tags)) == ("# Wine", {"team": "cellar", "a.b$": "c"})
    assert (made.latest_version, made.creator, len(made.uid)) == (0, "users/ada", 32)
    read = await any_registry.call("GetModel", name=made.name)
    assert read.model == made


async def test_a_name_is_taken_once_and_a_repeat_finds_what_it_made(registry: Registry) -> None:
    fields = {"parent": PROJECT, "model_id": "digits", "request_id": "r1"}
    first = await registry.call("CreateModel", **fields)
    assert (await registry.call("CreateModel", **fields)).model == first.model
    refusal = await registry.refused("CreateModel", parent=PROJECT, model_id="digits")
    assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "MODEL_EXISTS")
    # The same name in another project is another model.
    assert (await registry.new_model("digits", parent="projects/other")).uid != first.model.uid


async def test_names_have_limits(registry: Registry) -> None:
    assert (await registry.new_model("m" * 256)).name.endswith("m" * 256)
    for wrong in ("m" * 257, "a/b", "a:b", "a\nb", "", ".", ".."):
        refusal = await registry.refused("CreateModel", parent=PROJECT, model_id=wrong)
        assert refusal.code is Code.INVALID_ARGUMENT, wrong


async def test_an_update_changes_what_its_mask_names(registry: Registry) -> None:
    made = await registry.new_model(description="old", tags={"a": "1"})
    update = model_pb2.Model(name=MODEL, description="new", tags={"b": "2"}, etag=made.etag)
    changed = (await registry.call("UpdateModel", model=update, update_mask=FieldMask(paths=["description"]))).model
    assert (changed.description, dict(changed.tags)) == ("new", {"a": "1"})
    refusal = await registry.refused("UpdateModel", model=update, update_mask=FieldMask(paths=["tags"]))
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    for paths in ([], ["creator"]):
        refusal = await registry.refused("UpdateModel", model=update, update_mask=FieldMask(paths=paths))
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "FIELD_INVALID")


async def test_tags_are_set_and_removed_one_by_one(any_registry: Registry) -> None:
    await any_registry.new_model(tags={"a": "1", "b": "2"})
    changed = await any_registry.call("UpdateModelTags", name=MODEL, set={"b": "3", "c": "4"}, remove=["a", "nothing"])
    assert dict(changed.model.tags) == {"b": "3", "c": "4"}


async def test_a_model_has_a_thousand_tags_at_most(registry: Registry) -> None:
    await registry.new_model(tags={f"t{n}": "" for n in range(999)})
    await registry.call("UpdateModelTags", name=MODEL, set={"one": "more"})
    refusal = await registry.refused("UpdateModelTags", name=MODEL, set={"too": "many"})
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_TAGS")
    await registry.call("UpdateModelTags", name=MODEL, set={"too": "many"}, remove=["one"])


async def test_tags_that_are_too_long_together_are_refused(registry: Registry) -> None:
    await registry.new_model()
    for n in range(2):
        await registry.call("UpdateModelTags", name=MODEL, set={f"{n}-{i}": "x" * 100_000 for i in range(35)})
    refusal = await registry.refused("UpdateModelTags", name=MODEL, set={f"2-{i}": "x" * 100_000 for i in range(35)})
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "MODEL_TOO_LARGE")


async def test_a_renamed_model_takes_everything_along(any_registry: Registry) -> None:
    made = await any_registry.new_model(tags={"a": "1"})
    await any_registry.new_version()
    await any_registry.point("best", 1)
    assert await any_registry.found_versions('model = "digits"') == ["digits/1"]
    renamed = (await any_registry.call("RenameModel", name=MODEL, model_id="numbers")).model
    assert (renamed.name, renamed.uid) == (f"{PROJECT}/models/numbers", made.uid)
    assert (await any_registry.refused("GetModel", name=MODEL)).reason == "MODEL_NOT_FOUND"
    assert await any_registry.alias_number("best", renamed.name) == 1
    assert await any_registry.found_versions() == ["numbers/1"]
    assert await any_registry.found_versions('model = "digits"') == []
    assert await any_registry.found_models() == ["numbers"]
    moves = (await any_registry.call("ListAliasMoves", parent=renamed.name)).moves
    assert [move.alias for move in moves] == [f"{MODEL}/aliases/best"]
    # The former name is free.
    assert (await any_registry.new_model("digits")).uid != made.uid
    refusal = await any_registry.refused("RenameModel", name=MODEL, model_id="numbers")
    assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "MODEL_EXISTS")


async def test_a_deleted_model_is_gone_with_its_versions(any_registry: Registry) -> None:
    made = await any_registry.new_model()
    for _ in range(3):
        await any_registry.new_version()
    await any_registry.point("best", 2)
    await any_registry.call("DeleteModel", name=MODEL)
    for method, name in (("GetModel", MODEL), ("GetModelVersion", f"{MODEL}/versions/1")):
        assert (await any_registry.refused(method, name=name)).reason == "MODEL_NOT_FOUND"
    assert await any_registry.found_versions() == []
    again = await any_registry.new_model()
    assert again.uid != made.uid
    assert (await any_registry.new_version()).number == 1
    assert (await any_registry.call("ListAliasMoves", parent=MODEL)).moves == []
    assert await any_registry.found_versions() == ["digits/1"]


async def test_many_who_change_one_model_all_have_their_way(registry: Registry) -> None:
    await registry.new_model()
    await asyncio.gather(*(registry.call("UpdateModelTags", name=MODEL, set={f"t{n}": "x"}) for n in range(50)))
    assert len((await registry.call("GetModel", name=MODEL)).model.tags) == 50


async def test_nobody_reaches_a_model_of_another_project(registry: Registry) -> None:
    await registry.new_model()
    outside = registry.guard.issue("users/ada", projects=["other"])
    assert outside
    assert (await registry.refused("GetModel", name="projects/other/models/digits")).reason == "MODEL_NOT_FOUND"


async def test_a_deletion_that_was_cut_short_is_finished_by_the_next_start(tmp_path: Path, documents_url: str) -> None:
    guard = open_guard()
    async with serving_registry(tmp_path, guard=guard, documents_url=documents_url) as registry:
        uid = (await registry.new_model()).uid
        for _ in range(3):
            await registry.new_version(metrics=[model_pb2.ModelMetric(key="a", value=1, samples=[1.0])])
        await registry.point("best", 1)
        # What a service does that dies after its first write.
        operations = [Delete(MODELS, "digits"), Insert("deletions", uid, {})]
        await registry.stores.documents.apply("default", operations)
        assert await registry.found_versions() == []
    async with serving_registry(tmp_path, guard=guard, documents_url=documents_url) as registry:
        documents = registry.stores.documents
        async with asyncio.timeout(10):
            while await documents.partitions("deletions"):  # noqa: ASYNC110 - nothing rings when a job has done its work
                await asyncio.sleep(0.02)
        for collection in ("versions", "details", "moves"):
            assert await documents.partitions(collection) == []
