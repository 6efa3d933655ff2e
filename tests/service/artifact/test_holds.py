"""Versions that somebody holds: not deleted, whatever is done at the same time, until they are released."""

import asyncio
from pathlib import Path

import grpc
from support.artifact import ARTIFACT, PROJECT, RUN, Artifacts, serving_artifacts
from support.auth import refusal_of

from penstock_kit.clock import ManualClock

V1, V2 = f"{ARTIFACT}/versions/1", f"{ARTIFACT}/versions/2"
Code = grpc.StatusCode


async def test_a_version_that_is_held_is_not_deleted(any_artifacts: Artifacts) -> None:
    made = await any_artifacts.publish({"a": b"1"})
    await any_artifacts.publish({"a": b"2"})
    for holder in ("registry/m/1", "registry/m/2"):
        held = await any_artifacts.call("HoldArtifactVersion", name=V1, holder=holder)
        assert held.version == made
    refusal = await any_artifacts.refused("DeleteArtifactVersion", name=V1)
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "VERSION_HELD")
    assert refusal.metadata == {"version": "1", "holder": "registry/m/1"}
    assert (await any_artifacts.refused("DeleteArtifact", name=ARTIFACT)).reason == "VERSION_HELD"
    assert await any_artifacts.read(V1, "a") == b"1"
    await any_artifacts.call("DeleteArtifactVersion", name=V2)
    await any_artifacts.call("ReleaseArtifactVersions", parent=PROJECT, holder="registry/m/1")
    assert (await any_artifacts.refused("DeleteArtifactVersion", name=V1)).metadata["holder"] == "registry/m/2"
    for _ in range(2):
        await any_artifacts.call("ReleaseArtifactVersions", parent=PROJECT, holder="registry/m/2")
    await any_artifacts.call("DeleteArtifact", name=ARTIFACT)
    assert (await any_artifacts.refused("HoldArtifactVersion", name=V1, holder="h")).code is Code.NOT_FOUND


async def test_a_hold_may_end_by_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    async with serving_artifacts(tmp_path, clock=clock) as artifacts:
        await artifacts.publish({"a": b"1"}, run=RUN)
        await artifacts.call("HoldArtifactVersion", name=V1, holder="h", lifetime_s=60)
        clock.advance(59)
        assert (await artifacts.refused("DeleteArtifactVersion", name=V1)).reason == "VERSION_HELD"
        await artifacts.call("HoldArtifactVersion", name=f"{ARTIFACT}/versions/latest", holder="h", lifetime_s=60)
        clock.advance(59)
        assert (await artifacts.refused("DeleteArtifactVersion", name=V1)).reason == "VERSION_HELD"
        clock.advance(2)
        await artifacts.call("DeleteArtifactVersion", name=V1)


async def test_the_limits_of_a_hold(artifacts: Artifacts) -> None:
    await artifacts.publish({"a": b"1"})
    await artifacts.call("HoldArtifactVersion", name=V1, holder="h" * 200, lifetime_s=86_400)
    for wrong in ({"holder": "h" * 201}, {"holder": ""}, {"holder": "a b"}, {"holder": "h", "lifetime_s": 86_401}):
        assert (await artifacts.refused("HoldArtifactVersion", name=V1, **wrong)).code is Code.INVALID_ARGUMENT


async def test_of_a_hold_and_a_deletion_at_once_one_wins(any_artifacts: Artifacts) -> None:
    for number in range(1, 9):
        await any_artifacts.publish({"n": bytes([number])})
        name = f"{ARTIFACT}/versions/{number}"

        async def told(method: str, **fields: str) -> bool:
            try:
                await any_artifacts.call(method, **fields)
            except grpc.aio.AioRpcError as error:
                return refusal_of(error).reason not in {"VERSION_HELD", "VERSION_NOT_FOUND"}
            return True

        held, deleted = await asyncio.gather(
            told("HoldArtifactVersion", name=name, holder=f"h/{number}"), told("DeleteArtifactVersion", name=name)
        )
        assert held != deleted, number
