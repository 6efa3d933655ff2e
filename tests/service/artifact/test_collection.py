"""Garbage: what is collected, what never is, and what a crash leaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from support.artifact import (
    ARTIFACT,
    PROJECT,
    RUN,
    Artifacts,
    blob_of,
    entry_of,
    file_upload_of,
    serving_artifacts,
    upload_of,
)
from support.auth import refused

from penstock_artifact.contents import GRACE_S
from penstock_artifact.keys import new_key, new_streamed_key
from penstock_kit.clock import ManualClock

Timed = tuple[Artifacts, ManualClock]


async def test_what_no_version_has_is_collected_after_the_grace(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    await artifacts.publish({"a": b"kept", "b": b"shared"})
    await artifacts.publish({"b": b"shared", "c": b"deleted"})
    await artifacts.upload(b"never published")
    await artifacts.call("DeleteArtifactVersion", name=f"{ARTIFACT}/versions/2")
    clock.advance(GRACE_S - 1)
    await artifacts.collector.collect()
    assert len(await artifacts.keys()) == 4
    clock.advance(2)
    await artifacts.collector.collect()
    assert await artifacts.used() == len(b"keptshared")
    assert len(await artifacts.keys()) == 2
    assert await artifacts.read(f"{ARTIFACT}/versions/1", "b") == b"shared"
    assert await artifacts.missing(b"kept", b"shared", b"deleted") == [blob_of(b"deleted").sha256]


async def test_who_asks_for_a_blob_may_rely_on_it(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    await artifacts.upload(b"old", b"forgotten")
    clock.advance(GRACE_S - 1)
    assert await artifacts.missing(b"old") == []
    clock.advance(GRACE_S / 2)
    await artifacts.collector.collect()
    assert await artifacts.used() == 3
    version = await artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of("a", b"old")])
    clock.advance(10 * GRACE_S)
    await artifacts.collector.collect()
    assert await artifacts.read(version.version.name, "a") == b"old"


async def test_publishing_renews_what_it_relies_on(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    await artifacts.publish({"a": b"1"})
    clock.advance(10 * GRACE_S)
    await artifacts.call("DeleteArtifactVersion", name=f"{ARTIFACT}/versions/1")
    await artifacts.call("PublishArtifactVersion", parent=f"{PROJECT}/artifacts/copy", entries=[entry_of("b", b"1")])
    await artifacts.collector.collect()
    assert await artifacts.read(f"{PROJECT}/artifacts/copy/versions/1", "b") == b"1"


async def test_bytes_that_a_killed_service_left_are_collected(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts

    # As a service leaves them that dies between the bytes and their record.
    await artifacts.stores.blobs.put(new_key("default", "ab" * 32, clock.now_us()), _bytes())
    await artifacts.upload(b"counted")
    clock.advance(GRACE_S - 1)
    await artifacts.collector.collect()
    assert len(await artifacts.keys()) == 2
    await artifacts.missing(b"counted")
    clock.advance(2)
    await artifacts.collector.collect()
    keys = await artifacts.keys()
    assert [blob_of(b"counted").sha256 in key for key in keys] == [True]
    assert await artifacts.used() == 7


async def test_files_of_runs_are_kept_until_they_are_replaced_or_deleted(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    large = b"large" * 300_000
    await artifacts.put({"a": b"kept", "b": b"replaced"})
    await artifacts.send_file(file_upload_of("large", large))
    await artifacts.send_file(file_upload_of("deleted", b"deleted" * 300_000))
    await artifacts.put({"b": b"new"})
    await artifacts.call("DeleteFiles", parent=RUN, path="deleted")
    # As a service leaves them that dies before the record, once with and once without the digest in the key.
    for key in (new_streamed_key("default", clock.now_us()), new_key("default", "ab" * 32, clock.now_us())):
        await artifacts.stores.blobs.put(key, _bytes())
    clock.advance(GRACE_S + 1)
    await artifacts.collector.collect()
    assert await artifacts.used() == len(b"keptnew") + len(large)
    assert len(await artifacts.keys()) == 3
    assert await artifacts.read(RUN, "large") == large
    assert await artifacts.read(RUN, "a") == b"kept"


async def test_putting_renews_what_it_relies_on(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    (file,) = await artifacts.put({"a": b"1"})
    clock.advance(10 * GRACE_S)
    await artifacts.call("DeleteFiles", parent=RUN)
    file.path = "moved"
    await artifacts.call("PutFiles", parent=RUN, files=[file])
    await artifacts.call("DeleteFiles", parent=RUN)
    await artifacts.send_file(file_upload_of("again", b"1"))
    await artifacts.call("DeleteFiles", parent=RUN)
    await artifacts.collector.collect()
    assert await artifacts.used() == 1


async def _bytes() -> AsyncIterator[bytes]:
    yield b"bytes"


async def test_two_collectors_at_once_count_once(timed_artifacts: Timed) -> None:
    artifacts, clock = timed_artifacts
    await artifacts.upload(*(bytes([n]) for n in range(50)))
    clock.advance(2 * GRACE_S)
    await asyncio.gather(*(artifacts.collector.collect() for _ in range(3)))
    assert (await artifacts.used(), await artifacts.keys()) == (0, [])


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serving_artifacts(tmp_path) as artifacts:
        await artifacts.publish({"a": b"1" * 2_000_000})
        wrong = upload_of(b"half a blob")[:1]
        assert (await refused(artifacts.send(wrong))).reason == "BLOB_MISMATCH"
    async with serving_artifacts(tmp_path) as artifacts:
        assert await artifacts.read(f"{ARTIFACT}/versions/1", "a") == b"1" * 2_000_000
        assert await artifacts.used() == 2_000_000
