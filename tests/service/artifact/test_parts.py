"""Large blobs in parts: in any order, on after any break, verified before they count, straight to the object store."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from support.artifact import (
    ARTIFACT,
    PROJECT,
    RUN,
    Artifacts,
    blob_of,
    entry_of,
    file_of,
    part_of,
    parts_of,
    serving_artifacts,
)
from support.auth import Refusal, refused

from penstock.api.artifact.v1 import artifact_pb2, transfer_pb2
from penstock_artifact import signing
from penstock_artifact.collector import GRACE_S
from penstock_artifact.parts import service as parts_service
from penstock_artifact.parts.domain import LIFETIME_S, PART_BYTES
from penstock_artifact.parts.service import PartUploads
from penstock_artifact.parts.store import UploadStore
from penstock_artifact.store import ArtifactStore
from penstock_kit.access import Role
from penstock_kit.clock import ManualClock
from penstock_kit.stores.parts import PartsUpload

Code = grpc.StatusCode
CONTENT = random.Random(5).randbytes(2 * PART_BYTES + 1_000)
STORAGE = f"{PROJECT}/artifactStorage"


def uploads_of(artifacts: Artifacts) -> PartUploads:
    """What a replica beside the server does by itself."""
    stores = artifacts.stores
    return PartUploads(
        ArtifactStore(stores.documents), UploadStore(stores.documents), stores.blobs, None, artifacts.clock
    )


async def refused_finish(artifacts: Artifacts, upload: transfer_pb2.BlobUpload, **fields: Any) -> Refusal:
    return await refused(artifacts.finish(upload, **fields))


async def test_parts_in_any_order_are_a_blob_when_it_was_verified(any_artifacts: Artifacts) -> None:
    upload = await any_artifacts.begin(CONTENT)
    assert (upload.part_bytes, upload.blob, upload.direct) == (PART_BYTES, blob_of(CONTENT), False)
    assert upload.missing_parts == [1, 2, 3]
    assert await any_artifacts.send_parts(upload, CONTENT, 3, 1) == [3, 1]
    # Whoever begins it again, in another process, goes on with it.
    again = await any_artifacts.begin(CONTENT)
    assert (again.name, again.missing_parts) == (upload.name, [2])
    refusal = await refused_finish(any_artifacts, upload)
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "PARTS_MISSING")
    assert refusal.metadata == {"part": "2"}
    assert await any_artifacts.missing(CONTENT) == [blob_of(CONTENT).sha256]
    await any_artifacts.send_parts(upload, CONTENT, 2)
    assert (await any_artifacts.begin(CONTENT)).missing_parts == []
    await any_artifacts.finish(upload)
    assert await any_artifacts.missing(CONTENT) == []
    assert await any_artifacts.used() == len(CONTENT)
    assert (await any_artifacts.begin(CONTENT)).name == ""
    refusal = await refused_finish(any_artifacts, upload)
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND")
    await any_artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of("big", CONTENT)])
    assert await any_artifacts.read(f"{ARTIFACT}/versions/1", "big", offset=PART_BYTES - 5) == CONTENT[PART_BYTES - 5 :]


async def test_other_bytes_than_announced_never_count(any_artifacts: Artifacts) -> None:
    upload = await any_artifacts.begin(CONTENT)
    other = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    await any_artifacts.send_parts(upload, other, 1, 2, 3)
    refusal = await refused_finish(any_artifacts, upload)
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "BLOB_MISMATCH")
    assert await any_artifacts.missing(CONTENT) == [blob_of(CONTENT).sha256]
    assert await any_artifacts.keys() == []
    # Nothing is left of it: one begins anew.
    anew = await any_artifacts.begin(CONTENT)
    assert anew.missing_parts == [1, 2, 3]
    await any_artifacts.send_parts(anew, CONTENT, 1, 2, 3)
    await any_artifacts.finish(anew)
    assert await any_artifacts.missing(CONTENT) == []


async def test_parts_that_a_blob_does_not_have(artifacts: Artifacts) -> None:
    upload = await artifacts.begin(CONTENT)
    whole = parts_of(upload, CONTENT, 3)
    more = transfer_pb2.UploadPartsRequest(data=b"x" * 1_001)
    less = [*whole[:1], transfer_pb2.UploadPartsRequest(data=b"x" * 999)]
    announced = transfer_pb2.UploadPartsRequest(name=upload.name, part=4)
    for requests, says in (
        ([whole[0], more], "more came"),
        (less, "only 999 came"),
        ([*less, transfer_pb2.UploadPartsRequest(part=1)], "only 999 came"),
        ([announced], "no part 4"),
    ):
        refusal = await refused(anext(artifacts.parts_sent(requests)))
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PART_INVALID")
        assert says in refusal.message
    unannounced = transfer_pb2.UploadPartsRequest(name=upload.name, data=b"x")
    for requests in ([unannounced], [*whole, whole[0]], [transfer_pb2.UploadPartsRequest(name=upload.name)]):
        refusal = await refused(artifacts.send_all(requests))
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "UPLOAD_INVALID")
    assert (await artifacts.begin(CONTENT)).missing_parts in ([1, 2], [1, 2, 3])


async def test_limits(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await artifacts.begin(CONTENT)
    for number, reason in ((0, "UPLOAD_INVALID"), (10_000, "PART_INVALID"), (10_001, "UPLOAD_INVALID")):
        request = transfer_pb2.UploadPartsRequest(name=upload.name, part=number)
        assert (await refused(artifacts.send_all([request]))).reason == reason
    largest = transfer_pb2.UploadPartsRequest(data=bytes(4 * 1024 * 1024))
    too_large = transfer_pb2.UploadPartsRequest(data=bytes(4 * 1024 * 1024 + 1))
    announced = transfer_pb2.UploadPartsRequest(name=upload.name, part=1)
    assert await artifacts.send_all([announced, largest, largest]) == [1]
    assert (await refused(artifacts.send_all([announced, too_large]))).reason == "UPLOAD_INVALID"
    empty = await artifacts.refused("BeginBlobUpload", parent=PROJECT, blob=blob_of(b""))
    assert empty.code is Code.INVALID_ARGUMENT
    blob = artifact_pb2.BlobId(sha256="ab" * 32, size_bytes=64 * 1024**3)
    most = (await artifacts.call("BeginBlobUpload", parent=PROJECT, blob=blob)).upload
    assert most.missing_parts == list(range(1, 8_193))
    blob.size_bytes += 1
    assert (await artifacts.refused("BeginBlobUpload", parent=PROJECT, blob=blob)).code is Code.INVALID_ARGUMENT
    for numbers, reason in (([1] * 100, "NO_DIRECT_WAY"), ([10_000], "NO_DIRECT_WAY")):
        assert (await artifacts.refused("SignUploadParts", name=upload.name, parts=numbers)).reason == reason
    for wrong in ([], [1] * 101, [0], [10_001]):
        refusal = await artifacts.refused("SignUploadParts", name=upload.name, parts=wrong)
        assert refusal.code is Code.INVALID_ARGUMENT
    monkeypatch.setattr(parts_service, "UPLOADS_PER_PROJECT_MAX", 3)
    await artifacts.begin(b"third")
    refusal = await artifacts.refused("BeginBlobUpload", parent=PROJECT, blob=blob_of(b"fourth"))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "UPLOAD_LIMIT_REACHED")
    # Those that there are go on.
    assert (await artifacts.begin(b"third")).name


async def test_an_upload_is_its_owners(artifacts: Artifacts) -> None:
    artifacts.guard.grant("default", "users/bob", Role.EDITOR)
    upload = await artifacts.begin(CONTENT)
    theirs = await artifacts.begin(CONTENT, by="users/bob")
    assert theirs.name != upload.name
    await artifacts.send_parts(theirs, CONTENT, 1, 2, 3, by="users/bob")
    assert (await artifacts.begin(CONTENT)).missing_parts == [1, 2, 3]
    for refusal in (
        await artifacts.refused("SignUploadParts", name=theirs.name, parts=[1]),
        await refused(artifacts.send_all(parts_of(theirs, CONTENT, 1)[:1])),
        await refused_finish(artifacts, theirs),
    ):
        assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND")
    # Who was slower has nothing more to do, and leaves nothing.
    await artifacts.send_parts(upload, CONTENT, 1, 2, 3)
    await artifacts.finish(theirs, by="users/bob")
    await artifacts.finish(upload)
    assert len(await artifacts.keys()) == 1
    assert await artifacts.used() == len(CONTENT)


async def test_finished_twice_at_once_it_counts_once(any_artifacts: Artifacts) -> None:
    upload = await any_artifacts.begin(CONTENT)
    await any_artifacts.send_parts(upload, CONTENT, 1, 2, 3)
    results = await asyncio.gather(*(any_artifacts.finish(upload) for _ in range(4)), return_exceptions=True)
    assert any(result is None for result in results)
    assert await any_artifacts.used() == len(CONTENT)
    assert len(await any_artifacts.keys()) == 1
    await any_artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of("big", CONTENT)])
    assert await any_artifacts.read(f"{ARTIFACT}/versions/1", "big") == CONTENT


async def test_a_quota(artifacts: Artifacts) -> None:
    await artifacts.call("SetArtifactQuota", name=STORAGE, quota_bytes=len(CONTENT) - 1)
    refusal = await artifacts.refused("BeginBlobUpload", parent=PROJECT, blob=blob_of(CONTENT))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    await artifacts.call("SetArtifactQuota", name=STORAGE, quota_bytes=len(CONTENT))
    upload = await artifacts.begin(CONTENT)
    await artifacts.send_parts(upload, CONTENT, 1, 2, 3)
    # Others fill it meanwhile: the bytes are kept until there is room.
    await artifacts.upload(b"x")
    assert (await refused_finish(artifacts, upload)).reason == "QUOTA_EXCEEDED"
    assert await artifacts.used() == 1
    await artifacts.call("SetArtifactQuota", name=STORAGE)
    assert (await artifacts.begin(CONTENT)).missing_parts == []
    await artifacts.finish(upload)
    assert await artifacts.used() == len(CONTENT) + 1


async def test_a_verification_says_how_far_it_is(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_service, "TOLD_INTERVAL_S", 0.0)
    upload = await artifacts.begin(CONTENT)
    await artifacts.send_parts(upload, CONTENT, 1, 2, 3)
    request = transfer_pb2.FinishBlobUploadRequest(name=upload.name)
    stream = artifacts.stub.FinishBlobUpload(request, metadata=artifacts.metadata(), timeout=20)
    told = [(one.verified_bytes, one.done) async for one in stream]
    assert [size for size, _ in told] == sorted(size for size, _ in told)
    assert len({size for size, _ in told}) > 3
    assert [done for _, done in told] == [False] * (len(told) - 1) + [True]


async def test_it_goes_on_after_a_restart(tmp_path: Path, store_urls: dict[str, str]) -> None:
    async with serving_artifacts(tmp_path, **store_urls) as artifacts:
        upload = await artifacts.begin(CONTENT)
        await artifacts.send_parts(upload, CONTENT, 2)
    async with serving_artifacts(tmp_path, **store_urls) as artifacts:
        artifacts.guard.grant("default", "users/ada", Role.ADMIN)
        upload = await artifacts.begin(CONTENT)
        assert upload.missing_parts == [1, 3]
        await artifacts.send_parts(upload, CONTENT, 1, 3)
        # And it is killed after the parts were put together, before it was verified.
        body = (await artifacts.stores.documents.get("blob_uploads", "default", upload.name.split("/")[-1])).body
        await artifacts.stores.blobs.finish_parts(
            PartsUpload(body["key"], body["parts"], body["part_bytes"]), len(CONTENT)
        )
    async with serving_artifacts(tmp_path, **store_urls) as artifacts:
        assert await artifacts.missing(CONTENT) != []
        upload = await artifacts.begin(CONTENT)
        assert upload.missing_parts == []
        await artifacts.finish(upload)
        assert await artifacts.missing(CONTENT) == []


async def test_it_ends_after_a_while_and_leaves_nothing(timed_artifacts: tuple[Artifacts, ManualClock]) -> None:
    artifacts, clock = timed_artifacts
    upload = await artifacts.begin(CONTENT)
    await artifacts.send_parts(upload, CONTENT, 1, 2, 3)
    clock.advance(LIFETIME_S - 1)
    assert (await artifacts.begin(CONTENT)).missing_parts == []
    clock.advance(1)
    assert (await refused_finish(artifacts, upload)).reason == "UPLOAD_NOT_FOUND"
    anew = await artifacts.begin(CONTENT)
    assert anew.missing_parts == [1, 2, 3]
    clock.advance(GRACE_S)
    assert await uploads_of(artifacts).sweep() == 0
    clock.advance(1)
    assert await uploads_of(artifacts).sweep() == 1
    assert await artifacts.stores.documents.get_many("blob_uploads", "default", [anew.name.split("/")[-1]]) == {}
    await artifacts.collector.collect()
    assert await artifacts.keys() == []


async def test_bytes_that_are_being_deleted_never_come_to_count(artifacts: Artifacts) -> None:
    upload = await artifacts.begin(CONTENT)
    await artifacts.send_parts(upload, CONTENT, 1, 2, 3)
    uploads = uploads_of(artifacts)
    name = parts_service.BlobUploadName.parse(upload.name)
    finishing = uploads.finish(name, "users/ada")

    async def slow(*arguments: Any) -> AsyncIterator[int]:
        async for size in PartUploads._digest(uploads, *arguments):
            yield size
        yield 0

    uploads._digest = slow  # type: ignore[method-assign]  # stops between the last byte and the write that counts
    assert await anext(aiter(finishing)) == 0
    # Meanwhile another replica ends it.
    record = await UploadStore(artifacts.stores.documents).find("default", name.upload_id)
    assert record is not None
    assert await uploads._discard(record)
    with pytest.raises(parts_service.UploadNotFound):
        await anext(aiter(finishing))
    assert await artifacts.missing(CONTENT) != []
    assert await artifacts.keys() == []


async def test_a_stream_of_parts_that_falls_silent_ends(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_service, "SILENCE_S_MAX", 0.1)
    upload = await artifacts.begin(CONTENT)

    async def silent() -> AsyncIterator[Any]:
        yield transfer_pb2.UploadPartsRequest(name=upload.name, part=1)
        await asyncio.Event().wait()

    stream = artifacts.stub.UploadParts(silent(), metadata=artifacts.metadata(), timeout=20)
    refusal = await refused(anext(aiter(stream)))
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "UPLOAD_SILENT")


async def test_a_part_that_takes_too_long_ends_the_stream(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_service, "PART_S_MAX", 0.1)
    upload = await artifacts.begin(CONTENT)

    async def slow() -> AsyncIterator[Any]:
        yield transfer_pb2.UploadPartsRequest(name=upload.name, part=1)
        for _ in range(3):
            yield transfer_pb2.UploadPartsRequest(data=b"x")
            await asyncio.sleep(0.01)
        # What is sent while the call ends would have gRPC's client lose its status.
        await asyncio.Event().wait()

    stream = artifacts.stub.UploadParts(slow(), metadata=artifacts.metadata(), timeout=20)
    refusal = await refused(anext(aiter(stream)))
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "UPLOAD_SILENT")


async def test_few_parts_are_held_at_once_and_few_uploads_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_service, "PARTS_HELD_MAX", 1)
    monkeypatch.setattr(parts_service, "VERIFIED_AT_ONCE_MAX", 1)
    monkeypatch.setattr(parts_service, "TOLD_INTERVAL_S", 0.01)
    async with serving_artifacts(tmp_path) as artifacts:
        contents = [bytes([number]) * (PART_BYTES + 1) for number in range(4)]
        uploads = [await artifacts.begin(content) for content in contents]
        await asyncio.gather(*(artifacts.send_parts(u, c, 2, 1) for u, c in zip(uploads, contents, strict=True)))
        await asyncio.gather(*(artifacts.finish(upload) for upload in uploads))
        assert await artifacts.missing(*contents) == []


# Straight to the object store


async def test_parts_go_straight_to_the_object_store(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    upload = await artifacts.begin(CONTENT)
    other = await artifacts.begin(b"x" * 1_000)
    assert upload.direct
    urls = (await artifacts.call("SignUploadParts", name=upload.name, parts=[3, 1])).urls
    assert upload.expire_time.seconds > urls[0].expire_time.seconds > 0
    assert (await artifacts.refused("SignUploadParts", name=upload.name, parts=[4])).reason == "PART_INVALID"
    async with httpx2.AsyncClient() as client:
        assert (await client.put(urls[0].url, content=CONTENT[2 * PART_BYTES :])).status_code == 200
        # A part that was cut short is still missing.
        assert (await client.put(urls[1].url, content=CONTENT[:1_000])).status_code == 200
        assert (await artifacts.begin(CONTENT)).missing_parts == [1, 2]
        # A URL is for one part of one upload.
        (theirs,) = (await artifacts.call("SignUploadParts", name=other.name, parts=[1])).urls
        ids = [one.url.partition("uploadId=")[2].partition("&")[0] for one in (urls[1], theirs)]
        assert (await client.put(theirs.url.replace(ids[1], ids[0]), content=b"x")).status_code == 403
        # One and the same upload may use both ways.
        await artifacts.send_parts(upload, CONTENT, 2)
        await asyncio.sleep(1.1)  # SeaweedFS tells parts with one number apart by seconds
        assert (await client.put(urls[1].url, content=part_of(upload, CONTENT, 1))).status_code == 200
        await artifacts.finish(upload)
        # Nobody changes what was verified.
        assert (await client.put(urls[1].url, content=b"x" * PART_BYTES)).status_code == 404
        version = (
            await artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of("big", CONTENT)])
        ).version
        signed = await artifacts.call("SignFileDownload", name=version.name, path="big")
        assert signed.blob == blob_of(CONTENT)
        assert (await client.get(signed.url.url)).content == CONTENT
        part = await client.get(signed.url.url, headers={"Range": f"bytes={PART_BYTES - 2}-{PART_BYTES + 1}"})
        assert (part.status_code, part.content) == (206, CONTENT[PART_BYTES - 2 : PART_BYTES + 2])


async def test_a_url_expires(direct_artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = direct_artifacts
    version = await artifacts.publish({"a": b"content"})
    upload = await artifacts.begin(CONTENT)
    lasting = (await artifacts.call("SignFileDownload", name=version.name, path="a")).url
    monkeypatch.setattr(signing, "LIFETIME_S", 1)
    download = (await artifacts.call("SignFileDownload", name=version.name, path="a")).url
    (part,) = (await artifacts.call("SignUploadParts", name=upload.name, parts=[3])).urls
    async with httpx2.AsyncClient() as client:
        await asyncio.sleep(2)
        assert (await client.get(lasting.url)).content == b"content"
        assert (await client.get(download.url)).status_code == 403
        assert (await client.put(part.url, content=CONTENT[2 * PART_BYTES :])).status_code == 403


async def test_no_url_where_clients_do_not_reach_the_store(any_artifacts: Artifacts) -> None:
    version = await any_artifacts.publish({"a": b"content"})
    upload = await any_artifacts.begin(CONTENT)
    for refusal in (
        await any_artifacts.refused("SignUploadParts", name=upload.name, parts=[1]),
        await any_artifacts.refused("SignFileDownload", name=version.name, path="a"),
    ):
        assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "NO_DIRECT_WAY")
    refusal = await any_artifacts.refused("SignFileDownload", name=version.name, path="b")
    assert refusal.reason == "FILE_NOT_FOUND"


# Many files on one stream


async def test_many_files_on_one_stream(any_artifacts: Artifacts) -> None:
    files = {f"file-{number:03}": bytes([number % 7]) * (number * 37 % 900) for number in range(200)}
    files |= {"large": CONTENT[:3_000_000], "other/large": CONTENT[: 1024 * 1024 + 1], "exact": CONTENT[: 1024 * 1024]}
    version = await any_artifacts.publish(files)
    paths = list(files)
    random.Random(2).shuffle(paths)
    assert await any_artifacts.read_files(version.name, *paths) == [files[path] for path in paths]
    assert await any_artifacts.read_files(version.name, "large", "large") == [files["large"]] * 2


async def test_files_of_a_run_on_one_stream(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    await artifacts.upload(b"1", b"22")
    await artifacts.call("PutFiles", parent=RUN, files=[file_of("a", b"1"), file_of("b/c", b"22")])
    assert await artifacts.read_files(RUN, "b/c", "a") == [b"22", b"1"]
    request = transfer_pb2.DownloadFilesRequest(name=RUN, paths=["b/c", "b"])
    refusal = await refused(anext(aiter(artifacts.stub.DownloadFiles(request, metadata=artifacts.metadata()))))
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "FILE_NOT_FOUND")
    signed = await artifacts.call("SignFileDownload", name=RUN, path="b/c")
    assert signed.blob == blob_of(b"22")
    async with httpx2.AsyncClient() as client:
        assert (await client.get(signed.url.url)).content == b"22"


async def test_files_that_cannot_be_had(artifacts: Artifacts) -> None:
    outside = artifact_pb2.ManifestEntry(path="far", reference=artifact_pb2.ManifestReference(uri="s3://b/k"))
    await artifacts.upload(b"1")
    request = {"parent": ARTIFACT, "entries": [entry_of("a", b"1"), outside]}
    version = (await artifacts.call("PublishArtifactVersion", **request)).version
    for paths, code, reason in (
        (["a", "b"], Code.NOT_FOUND, "FILE_NOT_FOUND"),
        (["a", "far"], Code.FAILED_PRECONDITION, "REFERENCE_NOT_STORED"),
    ):
        refusal = await refused(artifacts.read_files(version.name, *paths))
        assert (refusal.code, refusal.reason) == (code, reason)
    assert await artifacts.read_files(version.name, *["a"] * 1_000) == [b"1"] * 1_000
    for paths in ([], ["a"] * 1_001, [""], ["x" * 1_025]):
        assert (await refused(artifacts.read_files(version.name, *paths))).code is Code.INVALID_ARGUMENT
