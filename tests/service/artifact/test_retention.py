"""Retention: which versions go by themselves, and which never do."""

import grpc
import pytest
from support.artifact import ARTIFACT, PROJECT, Artifacts, pb

from penstock.api.artifact.v1 import artifact_pb2
from penstock_artifact.retention import Retainer
from penstock_artifact.store import ArtifactStore
from penstock_kit.clock import ManualClock

Timed = tuple[Artifacts, ManualClock]
STORAGE = f"{PROJECT}/artifactStorage"
OTHER = f"{PROJECT}/artifacts/other"
DAY_S = 86_400


def kept(versions: int, days: int) -> artifact_pb2.ArtifactRetention:
    return artifact_pb2.ArtifactRetention(versions_kept=versions, days_kept=days)


async def numbers(artifacts: Artifacts, parent: str = ARTIFACT) -> list[int]:
    """The versions that there are, newest first."""
    response = await artifacts.call("ListArtifactVersions", parent=parent)
    return [int(version.name.rpartition("/")[2]) for version in response.versions]


async def test_versions_go_that_are_neither_new_nor_young_nor_held(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    retainer = Retainer(ArtifactStore(artifacts.stores.documents), clock)
    for day in range(6):
        await artifacts.publish({"a": bytes([day])})
        clock.advance(DAY_S)
    await artifacts.publish({"a": b"only one"}, parent=OTHER)
    await artifacts.call("HoldArtifactVersion", name=f"{ARTIFACT}/versions/2", holder="registry/m/1")

    await retainer.apply()
    assert await numbers(artifacts) == [6, 5, 4, 3, 2, 1]
    # They are 6.5 to 1.5 days old. The two oldest are too many and too old, and one of these is held.
    clock.advance(DAY_S / 2)
    storage = (await artifacts.call("SetArtifactRetention", name=STORAGE, retention=kept(4, 3))).storage
    assert storage.retention == kept(4, 3)
    await retainer.apply()
    assert await numbers(artifacts) == [6, 5, 4, 3, 2]
    await artifacts.call("SetArtifactRetention", name=STORAGE, retention=kept(1, 4))
    await retainer.apply()
    assert await numbers(artifacts) == [6, 5, 4, 2]
    await artifacts.call("SetArtifactRetention", name=STORAGE, retention=kept(1, 1))
    clock.advance(100 * DAY_S)
    await retainer.apply()
    assert await numbers(artifacts) == [6, 2]
    assert await numbers(artifacts, OTHER) == [1]
    # Bytes go with the garbage; uploads that change what is stored leave the rule as it is.
    await artifacts.collector.collect()
    assert await artifacts.read(f"{ARTIFACT}/versions/2", "a") == b"\1"
    found = (await artifacts.call("GetArtifactStorage", name=STORAGE)).storage
    assert found.retention == kept(1, 1)
    assert found.used_bytes == len(b"only one") + 2

    # What is held no longer goes the next time; without a rule nothing does.
    await artifacts.call("ReleaseArtifactVersions", parent=PROJECT, holder="registry/m/1")
    assert not (await artifacts.call("SetArtifactRetention", name=STORAGE)).storage.HasField("retention")
    await retainer.apply()
    assert await numbers(artifacts) == [6, 2]
    await artifacts.call("SetArtifactRetention", name=STORAGE, retention=kept(1, 1))
    await retainer.apply()
    assert await numbers(artifacts) == [6]


@pytest.mark.parametrize(("versions", "days"), [(0, 1), (1, 0), (1_000_001, 1), (1, 36_501)])
async def test_a_rule_has_limits(artifacts: Artifacts, versions: int, days: int) -> None:
    refusal = await artifacts.refused("SetArtifactRetention", name=STORAGE, retention=kept(versions, days))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert not (await artifacts.call("GetArtifactStorage", name=STORAGE)).storage.HasField("retention")
    whole = pb.SetArtifactRetentionRequest(name=STORAGE, retention=kept(1_000_000, 36_500))
    assert await artifacts.stub.SetArtifactRetention(whole, metadata=artifacts.metadata())
