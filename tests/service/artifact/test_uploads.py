"""Blobs: what has to be uploaded, uploads with verification, quotas."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from support.artifact import ARTIFACT, PROJECT, Artifacts, blob_of, entry_of, pb, upload_of
from support.auth import Refusal, refused

from penstock.api.artifact.v1 import artifact_pb2
from penstock_artifact import uploads

Code = grpc.StatusCode
OTHER = "projects/other"


async def refused_upload(artifacts: Artifacts, requests: list[Any]) -> Refusal:
    return await refused(artifacts.send(requests))


async def test_a_blob_is_stored_once_in_a_project_and_not_in_another(any_artifacts: Artifacts) -> None:
    content = b"weights" * 300_000
    assert await any_artifacts.missing(content, b"") == [blob_of(content).sha256, blob_of(b"").sha256]
    await any_artifacts.upload(content, b"")
    await any_artifacts.upload(content)
    assert await any_artifacts.missing(content, b"") == []
    assert await any_artifacts.used() == len(content)
    assert len(await any_artifacts.keys()) == 2
    # Knowing a digest gives nothing: another project does not have the blob.
    assert await any_artifacts.missing(content, parent=OTHER) == [blob_of(content).sha256]
    refusal = await any_artifacts.refused(
        "PublishArtifactVersion", parent=f"{OTHER}/artifacts/a", entries=[entry_of("f", content)]
    )
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "BLOBS_MISSING")


async def test_the_same_blob_uploaded_at_once_counts_once(any_artifacts: Artifacts) -> None:
    content = b"x" * 100_000
    await asyncio.gather(*(any_artifacts.upload(content, bytes([n])) for n in range(8)))
    assert await any_artifacts.used() == len(content) + 8
    assert len(await any_artifacts.keys()) == 9


async def test_other_bytes_than_announced_are_refused_and_leave_nothing(any_artifacts: Artifacts) -> None:
    requests = upload_of(b"good", b"what was announced")
    for data, says in (
        (b"what was received!", "digest"),
        (b"less", "only"),
        (b"very much more than that", "more came"),
    ):
        requests[3] = pb.UploadBlobsRequest(data=data)
        refusal = await refused_upload(any_artifacts, requests)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "BLOB_MISMATCH")
        assert says in refusal.message
    # What was whole before is kept.
    assert await any_artifacts.missing(b"good", b"what was announced") == [blob_of(b"what was announced").sha256]
    assert len(await any_artifacts.keys()) == 1


async def test_messages_out_of_order_are_refused(artifacts: Artifacts) -> None:
    for requests in (
        [pb.UploadBlobsRequest(parent=PROJECT, data=b"nothing announced")],
        # The permission was checked for the first project only.
        [*upload_of(b"a"), *upload_of(b"b", parent=OTHER)],
    ):
        refusal = await refused_upload(artifacts, requests)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "UPLOAD_INVALID")
    assert await artifacts.missing(b"b", parent=OTHER) != []


async def test_a_piece_and_a_blob_have_limits(artifacts: Artifacts) -> None:
    content = bytes(4 * 1024 * 1024 + 1)
    assert await artifacts.send(upload_of(content[:-1], piece=len(content) - 1)) == 1
    refusal = await refused_upload(artifacts, upload_of(content, piece=len(content)))
    assert refusal.code is Code.INVALID_ARGUMENT
    largest = artifact_pb2.BlobId(sha256="ab" * 32, size_bytes=64 * 1024**3)
    assert (await artifacts.call("FindMissingBlobs", parent=PROJECT, blobs=[largest])).missing == [largest]
    largest.size_bytes += 1
    assert (await artifacts.refused("FindMissingBlobs", parent=PROJECT, blobs=[largest])).code is Code.INVALID_ARGUMENT
    thousand = [artifact_pb2.BlobId(sha256=f"{n:064x}") for n in range(1_001)]
    assert len((await artifacts.call("FindMissingBlobs", parent=PROJECT, blobs=thousand[1:])).missing) == 1_000
    refusal = await artifacts.refused("FindMissingBlobs", parent=PROJECT, blobs=thousand)
    assert refusal.code is Code.INVALID_ARGUMENT


async def test_an_upload_that_falls_silent_ends(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SILENCE_S_MAX", 0.1)

    async def silent() -> AsyncIterator[Any]:
        for request in upload_of(b"abc")[:1]:
            yield request
        await asyncio.Event().wait()

    stream = artifacts.stub.UploadBlobs(silent(), metadata=artifacts.metadata(), timeout=20)
    refusal = await refused(anext(aiter(stream)))
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "UPLOAD_SILENT")


async def test_a_client_that_goes_away_leaves_nothing_visible(any_artifacts: Artifacts) -> None:
    content = bytes(3_000_000)
    half = upload_of(content, piece=1_000_000)[:2]

    async def cut() -> AsyncIterator[Any]:
        for request in half:
            yield request
        stream.cancel()

    stream = any_artifacts.stub.UploadBlobs(cut(), metadata=any_artifacts.metadata(), timeout=20)
    with pytest.raises(asyncio.CancelledError):
        await anext(aiter(stream))
    assert await any_artifacts.missing(content) == [blob_of(content).sha256]
    assert await any_artifacts.keys() == []
    # And it can be done again.
    await any_artifacts.upload(content)


async def test_a_quota_is_told_before_the_upload(any_artifacts: Artifacts) -> None:
    storage = f"{PROJECT}/artifactStorage"
    await any_artifacts.upload(b"12345")
    set_to = (await any_artifacts.call("SetArtifactQuota", name=storage, quota_bytes=10)).storage
    assert (set_to.used_bytes, set_to.quota_bytes) == (5, 10)
    assert await any_artifacts.missing(b"abcde", b"12345") == [blob_of(b"abcde").sha256]
    refusal = await any_artifacts.refused("FindMissingBlobs", parent=PROJECT, blobs=[blob_of(b"abcdef")])
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert refusal.metadata == {"used_bytes": "5", "quota_bytes": "10", "needed_bytes": "6"}
    # Without asking first, it is the announcement that is refused, and what came before is kept.
    refusal = await refused_upload(any_artifacts, upload_of(b"abcde", b"x"))
    assert refusal.reason == "QUOTA_EXCEEDED"
    assert await any_artifacts.used() == 10
    # What is there needs no room.
    await any_artifacts.upload(b"abcde")
    assert await any_artifacts.used() == 10
    # Of two at once, one gets the room.
    await any_artifacts.call("SetArtifactQuota", name=storage, quota_bytes=15)
    results = await asyncio.gather(
        *(any_artifacts.send(upload_of(bytes([n]) * 4)) for n in range(4)), return_exceptions=True
    )
    assert sum(result == 1 for result in results) == 1
    assert await any_artifacts.used() == 14
    assert not (await any_artifacts.call("SetArtifactQuota", name=storage)).storage.HasField("quota_bytes")
    await any_artifacts.upload(b"as much as you like")
    left = (await any_artifacts.call("GetArtifactStorage", name=storage)).storage
    assert (left.used_bytes, left.HasField("quota_bytes")) == (14 + 19, False)


async def test_a_resumed_upload_sends_what_is_missing(artifacts: Artifacts) -> None:
    files = {f"part{n}": bytes([n]) * 1_000 for n in range(100)}
    cut = [*upload_of(*list(files.values())[:70]), pb.UploadBlobsRequest(blob=blob_of(b"never sent"))]
    assert (await refused_upload(artifacts, cut)).reason == "BLOB_MISMATCH"
    missing = await artifacts.missing(*files.values())
    assert len(missing) == 30
    version = await artifacts.publish(files)
    assert (version.file_count, version.size_bytes) == (100, 100_000)
    assert await artifacts.read(f"{ARTIFACT}/versions/1", "part99") == bytes([99]) * 1_000


async def test_many_small_blobs_are_counted_in_groups_and_kept_up_to_the_one_that_fails(
    any_artifacts: Artifacts,
) -> None:
    contents = [f"content {number}".encode() for number in range(150)]
    requests = upload_of(*contents)
    counts = [
        response.blob_count
        async for response in any_artifacts.stub.UploadBlobs(
            iter(requests), metadata=any_artifacts.metadata(), timeout=20
        )
    ]
    assert counts == [64, 128, 150]
    others = [f"other {number}".encode() for number in range(100)]
    requests = upload_of(*others)
    requests[-1].data = b"something else"
    assert (await refused(any_artifacts.send(requests))).reason == "BLOB_MISMATCH"
    assert await any_artifacts.missing(*contents, *others) == [blob_of(others[-1]).sha256]
    assert len(await any_artifacts.keys()) == 249
