"""Files whose size and digest nobody knows before: their parts go straight to the object store."""

import random
from typing import Any

import grpc
import httpx2
import pytest
from support.artifact import PROJECT, RUN, Artifacts, blob_of
from support.auth import Refusal, refused

from penstock.api.artifact.v1 import file_pb2, transfer_pb2
from penstock_artifact.parts import service as parts_service
from penstock_artifact.store import ArtifactStore
from penstock_kit.access import Role
from penstock_kit.stores.documents import Delete
from penstock_kit.stores.parts import PART_BYTES_MIN

Code = grpc.StatusCode
PART = 6_000_000
CONTENT = random.Random(7).randbytes(2 * PART + 1_000)


async def begun(artifacts: Artifacts, *parts: bytes) -> str:
    """Begins an upload and sends its parts. Returns its name."""
    upload = (await artifacts.call("BeginBlobUpload", parent=PROJECT)).upload
    assert (upload.direct, upload.HasField("blob"), upload.part_bytes, upload.missing_parts) == (True, False, 0, [])
    await sent(artifacts, upload.name, dict(enumerate(parts, 1)))
    return upload.name


async def sent(artifacts: Artifacts, name: str, parts: dict[int, bytes]) -> None:
    urls = (await artifacts.call("SignUploadParts", name=name, parts=list(parts))).urls
    async with httpx2.AsyncClient(trust_env=False) as client:
        for url, part in zip(urls, parts.values(), strict=True):
            assert (await client.put(url.url, content=part)).status_code == 200


async def finished(
    artifacts: Artifacts, name: str, part_count: int, *, by: str = "users/ada", parent: str = RUN, **file: Any
) -> file_pb2.File:
    upload = file_pb2.FileUpload(**{"path": "model/weights", "media_type": "application/x-weights", **file})
    request = transfer_pb2.FinishFileUploadRequest(name=name, parent=parent, file=upload, part_count=part_count)
    responses = [
        one async for one in artifacts.stub.FinishFileUpload(request, metadata=artifacts.metadata(by), timeout=20)
    ]
    assert not any(one.HasField("file") for one in responses[:-1])
    assert responses[-1].digested_bytes == responses[-1].file.blob.size_bytes
    return responses[-1].file


async def refused_finish(artifacts: Artifacts, name: str, part_count: int, **fields: Any) -> Refusal:
    return await refused(finished(artifacts, name, part_count, **fields))


def split(content: bytes, size: int = PART) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


async def test_parts_become_a_file_of_a_run(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    name = await begun(artifacts, *split(CONTENT))
    assert await artifacts.listed() == []
    file = await finished(artifacts, name, 3)
    assert (file.path, file.blob, file.media_type) == ("model/weights", blob_of(CONTENT), "application/x-weights")
    assert await artifacts.read(RUN, "model/weights") == CONTENT
    assert await artifacts.used() == len(CONTENT)
    assert (await refused_finish(artifacts, name, 3)).reason == "UPLOAD_NOT_FOUND"
    # The same bytes again are the same blob, and leave no others behind.
    again = await begun(artifacts, *split(CONTENT, 7_000_000))
    await finished(artifacts, again, 2, path="copy", size_bytes=len(CONTENT))
    assert await artifacts.used() == len(CONTENT)
    assert len(await artifacts.keys()) == 1
    assert await artifacts.read(RUN, "copy") == CONTENT


@pytest.mark.parametrize("content", [b"", b"x"])
async def test_one_small_part(direct_artifacts: Artifacts, content: bytes) -> None:
    file = await finished(direct_artifacts, await begun(direct_artifacts, content), 1)
    assert file.blob == blob_of(content)
    assert await direct_artifacts.read(RUN, "model/weights") == content


async def test_parts_that_make_no_file(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    name = await begun(artifacts, b"a" * PART, b"b" * PART)
    refusal = await refused_finish(artifacts, name, 3)
    assert (refusal.code, refusal.reason, refusal.metadata) == (
        Code.FAILED_PRECONDITION,
        "PARTS_MISSING",
        {"part": "3"},
    )
    assert (await refused_finish(artifacts, name, 1)).reason == "PART_INVALID"
    for parts in (
        [b"a" * (PART_BYTES_MIN - 1), b"b"],
        [b"a" * PART, b"b" * (PART + 1)],
        [b"a" * PART, b"b" * (PART - 1), b"c"],
    ):
        refusal = await refused_finish(artifacts, await begun(artifacts, *parts), len(parts))
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PART_INVALID")
    # What was missing is sent, and then it is a file.
    await sent(artifacts, name, {3: b"c"})
    assert (await finished(artifacts, name, 3)).blob == blob_of(b"a" * PART + b"b" * PART + b"c")


async def test_another_size_or_path_than_allowed(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    name = await begun(artifacts, b"content")
    assert (await refused_finish(artifacts, name, 1, path="../x")).reason == "PATH_INVALID"
    await artifacts.put({"taken": b"x"})
    assert (await refused_finish(artifacts, name, 1, path="taken/below")).reason == "PATH_TAKEN"
    other = f"projects/other/runs/{'ab' * 16}"
    assert (await refused_finish(artifacts, name, 1, parent=other)).reason == "FIELD_INVALID"
    assert (await refused_finish(artifacts, name, 1, size_bytes=8)).reason == "BLOB_MISMATCH"
    # Which is given up then.
    assert (await refused_finish(artifacts, name, 1)).reason == "UPLOAD_NOT_FOUND"
    assert len(await artifacts.keys()) == 1


async def test_a_quota(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    name = await begun(artifacts, b"0123456789")
    await artifacts.call("SetArtifactQuota", name=f"{PROJECT}/artifactStorage", quota_bytes=9)
    refusal = await refused_finish(artifacts, name, 1)
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    await artifacts.call("SetArtifactQuota", name=f"{PROJECT}/artifactStorage", quota_bytes=10)
    assert (await finished(artifacts, name, 1)).blob.size_bytes == 10
    assert (await artifacts.refused("BeginBlobUpload", parent=PROJECT)).reason == "QUOTA_EXCEEDED"


async def test_the_two_kinds_are_finished_each_in_its_way(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    known = await artifacts.begin(CONTENT)
    assert (await refused_finish(artifacts, known.name, 2)).reason == "UPLOAD_INVALID"
    name = await begun(artifacts, b"x")
    unknown = transfer_pb2.BlobUpload(name=name)
    assert (await refused(artifacts.finish(unknown))).reason == "UPLOAD_INVALID"
    messages = [transfer_pb2.UploadPartsRequest(name=name, part=1), transfer_pb2.UploadPartsRequest(data=b"x")]

    async def through_the_service() -> None:
        async for _ in artifacts.parts_sent(messages):
            pass

    assert (await refused(through_the_service())).reason == "UPLOAD_INVALID"


async def test_it_is_its_owners_until_it_is_given_up(direct_artifacts: Artifacts) -> None:
    artifacts = direct_artifacts
    artifacts.guard.grant("default", "users/bob", Role.EDITOR)
    name = await begun(artifacts, b"x")
    assert (await refused_finish(artifacts, name, 1, by="users/bob")).reason == "UPLOAD_NOT_FOUND"
    await artifacts.call("AbortBlobUpload", name=name, by="users/bob")
    url = (await artifacts.call("SignUploadParts", name=name, parts=[1])).urls[0].url
    await artifacts.call("AbortBlobUpload", name=name)
    await artifacts.call("AbortBlobUpload", name=name)
    assert (await refused_finish(artifacts, name, 1)).reason == "UPLOAD_NOT_FOUND"
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.put(url, content=b"x")).status_code == 404


async def test_one_with_a_known_blob_can_be_given_up(any_artifacts: Artifacts) -> None:
    upload = await any_artifacts.begin(CONTENT)
    await any_artifacts.send_parts(upload, CONTENT, 1)
    await any_artifacts.call("AbortBlobUpload", name=upload.name)
    again = await any_artifacts.begin(CONTENT)
    assert again.missing_parts == upload.missing_parts
    assert await any_artifacts.keys() == []


async def test_a_service_that_ends_midway_goes_on(direct_artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = direct_artifacts
    name = await begun(artifacts, *split(CONTENT))

    class Killed(Exception):
        pass

    async def killed(self: ArtifactStore, project: str, blobs: Any, ending: Delete | None = None) -> Any:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(ArtifactStore, "add_blobs", killed)
        assert (await refused_finish(artifacts, name, 3)).code is Code.INTERNAL
    # The parts are one object now, which nothing names.
    assert await artifacts.listed() == []
    assert (await finished(artifacts, name, 3)).blob == blob_of(CONTENT)


async def test_more_than_a_blob_may_have(direct_artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await begun(direct_artifacts, b"0123456789")
    monkeypatch.setattr(parts_service, "BLOB_BYTES_MAX", 9)
    assert (await refused_finish(direct_artifacts, name, 1)).reason == "BLOB_MISMATCH"


async def test_there_are_none_without_a_direct_way(any_artifacts: Artifacts) -> None:
    refusal = await any_artifacts.refused("BeginBlobUpload", parent=PROJECT)
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "NO_DIRECT_WAY")
    storage = f"{PROJECT}/artifactStorage"
    assert not (await any_artifacts.call("GetArtifactStorage", name=storage)).direct
