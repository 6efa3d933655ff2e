"""Events: one for every change, each told once and in order, from any cursor on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.auth import refused
from support.registry import MODEL, PROJECT, Registry, open_guard, pb, serving_registry
from support.servers import bearer

from penstock.api.registry.v1 import event_pb2, gate_pb2, model_pb2, registry_service_pb2_grpc

Code = grpc.StatusCode


def kind(event: event_pb2.Event) -> str:
    return event_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_")


class Watch:
    """A stream of events; heartbeats are left out."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.cursor = ""

    async def next(self) -> event_pb2.Event:
        async with asyncio.timeout(20):
            while True:
                response = await self._call.read()
                assert response is not grpc.aio.EOF
                self.cursor = response.cursor
                if response.HasField("event"):
                    return response.event

    async def some(self, count: int) -> list[event_pb2.Event]:
        return [await self.next() for _ in range(count)]


@asynccontextmanager
async def watching(registry: Registry, parent: str = PROJECT, **fields: Any) -> AsyncIterator[Watch]:
    stub = registry_service_pb2_grpc.RegistryServiceStub(registry.channel)
    metadata = bearer(registry.guard.issue("users/ada"))
    call = stub.WatchEvents(pb.WatchEventsRequest(parent=parent, **fields), metadata=metadata, timeout=60)
    try:
        yield Watch(call)
    finally:
        call.cancel()


async def test_every_change_is_told_once_and_in_order(any_registry: Registry) -> None:
    registry = any_registry
    await registry.new_model()
    await registry.call("UpdateModelTags", name=MODEL, set={"a": "1"})
    await registry.new_version()
    await registry.new_version(metrics=[model_pb2.ModelMetric(key="acc", value=0.5)])
    await registry.call("UpdateModelVersionTags", name=f"{MODEL}/versions/1", set={"a": "1"})
    await registry.call("SetModelVersionStage", name=f"{MODEL}/versions/1", stage=model_pb2.MODEL_VERSION_STAGE_STAGING)
    await registry.point("best", 1, reason="first")
    await registry.point("best", 2, reason="second")
    check = gate_pb2.GateCheck(id="c", threshold=gate_pb2.ThresholdCheck(metric="acc", min=0.9))
    await registry.call("SetGatePolicy", policy=gate_pb2.GatePolicy(name=f"{MODEL}/gatePolicy", checks=[check]))
    await registry.call("CheckGate", name=f"{MODEL}/versions/2")
    await registry.call("ApprovePromotion", name=f"{MODEL}/versions/2", alias="prod", comment="fine", by="users/bob")
    await registry.call("DeleteModelAlias", name=f"{MODEL}/aliases/best")
    await registry.call("DeleteModelVersion", name=f"{MODEL}/versions/1")
    await registry.call("RenameModel", name=MODEL, model_id="numbers")
    await registry.call("DeleteModel", name=f"{PROJECT}/models/numbers")
    async with watching(registry) as watch:
        events = await watch.some(15)
    assert [kind(event) for event in events] == [
        "MODEL_CREATED",
        "MODEL_UPDATED",
        "VERSION_CREATED",
        "VERSION_CREATED",
        "VERSION_UPDATED",
        "STAGE_CHANGED",
        "ALIAS_MOVED",
        "ALIAS_MOVED",
        "POLICY_CHANGED",
        "VERDICT_GIVEN",
        "APPROVAL_GIVEN",
        "ALIAS_DELETED",
        "VERSION_DELETED",
        "MODEL_RENAMED",
        "MODEL_DELETED",
    ]
    assert len({event.id for event in events}) == 15
    assert (events[5].former_stage, events[5].stage) == ("None", "Staging")
    moved = events[7]
    assert (moved.model, moved.alias, moved.former_version, moved.version) == (MODEL, "best", 1, 2)
    assert (moved.reason, moved.principal) == ("second", "users/ada")
    assert (events[9].passed, events[9].verdict.startswith(f"{MODEL}/verdicts/")) == (False, True)
    assert (events[10].principal, events[10].reason) == ("users/bob", "fine")
    assert (events[13].former_model, events[13].model) == (MODEL, f"{PROJECT}/models/numbers")


async def test_a_refused_change_is_no_event(registry: Registry) -> None:
    await registry.new_model()
    await registry.refused("SetModelAlias", parent=MODEL, alias="a", version=1)
    await registry.refused("CreateModel", parent=PROJECT, model_id="digits")
    await registry.new_version()
    await registry.point("a", 1)
    await registry.point("a", 1)  # changes nothing
    await registry.new_model("last")
    async with watching(registry) as watch:
        assert [kind(event) for event in await watch.some(4)] == [
            "MODEL_CREATED",
            "VERSION_CREATED",
            "ALIAS_MOVED",
            "MODEL_CREATED",
        ]


async def test_a_watcher_goes_on_where_it_was_at_another_replica(tmp_path: Path, documents_url: str) -> None:
    guard = open_guard()
    async with (
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as one,
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as other,
    ):
        await one.new_model()
        async with watching(one) as watch:
            assert kind(await watch.next()) == "MODEL_CREATED"
            cursor = watch.cursor
        for _ in range(5):
            await other.new_version()
        async with watching(other, cursor=cursor) as watch:
            assert [event.version for event in await watch.some(3)] == [1, 2, 3]
            cursor = watch.cursor
        async with watching(one, cursor=cursor) as watch:
            assert [event.version for event in await watch.some(2)] == [4, 5]
            # Live, and written at the other.
            await other.point("best", 5)
            assert (await watch.next()).alias == "best"


async def test_from_now_leaves_out_what_was(registry: Registry) -> None:
    await registry.new_model()
    async with watching(registry, from_now=True) as watch:
        stream = asyncio.create_task(watch.next())
        while not watch.cursor:  # noqa: ASYNC110 - nothing rings when the stream has begun
            await asyncio.sleep(0.01)
        await registry.new_version()
        assert kind(await stream) == "VERSION_CREATED"


async def test_nothing_of_another_project_is_told(registry: Registry) -> None:
    await registry.new_model(parent="projects/other")
    await registry.new_model("mine")
    async with watching(registry) as watch:
        assert (await watch.next()).model == f"{PROJECT}/models/mine"


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 19, "١"])
async def test_a_damaged_cursor_is_refused(registry: Registry, cursor: str) -> None:
    stub = registry_service_pb2_grpc.RegistryServiceStub(registry.channel)
    metadata = bearer(registry.guard.issue("users/ada"))
    call = stub.WatchEvents(pb.WatchEventsRequest(parent=PROJECT, cursor=cursor), metadata=metadata, timeout=20)
    refusal = await refused(call.read())
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "CURSOR_INVALID")


async def test_lineage_leads_to_what_has_the_same_origin(registry: Registry) -> None:
    run, manifest = f"{PROJECT}/runs/{'a' * 32}", "0f" * 32
    dataset = model_pb2.ModelDataset(name="train", digest="d")
    await registry.new_model()
    await registry.new_model("other")
    await registry.new_version(run=run, artifact_manifest=manifest, datasets=[dataset])
    await registry.new_version(run=run)
    await registry.new_version(f"{PROJECT}/models/other", artifact_manifest=manifest)
    lineage = await registry.call("GetLineage", name=f"{MODEL}/versions/1")
    assert (lineage.run, list(lineage.datasets)) == (run, [dataset])
    assert list(lineage.versions_of_run) == [f"{MODEL}/versions/2"]
    assert list(lineage.versions_of_manifest) == [f"{PROJECT}/models/other/versions/1"]
    of_dataset = await registry.call("GetDatasetLineage", parent=PROJECT, name="train", digest="d")
    assert (list(of_dataset.runs), list(of_dataset.versions)) == ([], [f"{MODEL}/versions/1"])
    nothing = await registry.call("GetLineage", name=f"{PROJECT}/models/other/versions/1")
    assert (nothing.run, list(nothing.versions_of_run)) == ("", [])
