"""Files of runs and logged models: put, uploaded, listed by directory, read, deleted, published."""

import asyncio
from typing import Any

import grpc
import pytest
from support.artifact import ARTIFACT, PROJECT, RUN, Artifacts, blob_of, file_of, file_upload_of, pb
from support.auth import Refusal, refused

from penstock.api.artifact.v1 import artifact_pb2, file_pb2
from penstock_artifact import uploads
from penstock_artifact.files import incoming

Code = grpc.StatusCode
MODEL = f"{PROJECT}/loggedModels/m-{'cd' * 16}"
OTHER_RUN = f"{PROJECT}/runs/{'cd' * 16}"
LARGE = b"0123456789" * 150_000


async def refused_file(artifacts: Artifacts, requests: list[Any]) -> Refusal:
    return await refused(artifacts.send_file(requests))


async def test_files_are_put_listed_read_and_deleted(any_artifacts: Artifacts) -> None:
    files = {
        "model/MLmodel": b"flavors:",
        "model/data/weights.bin": LARGE,
        "model/data/ünï.txt": b"",
        "model-card.md": b"# Card",
        "z": b"z",
    }
    made = await any_artifacts.put(files)
    assert [(file.parent, file.path, file.creator) for file in made] == [(RUN, path, "users/ada") for path in files]
    assert made[1].blob == blob_of(LARGE)
    assert made[1].update_time.seconds > 0
    assert (await any_artifacts.call("GetFile", parent=RUN, path="model/data/weights.bin")).file == made[1]
    assert await any_artifacts.listed() == ["model-card.md", "model/", "z"]
    assert await any_artifacts.listed("model") == ["model/MLmodel", "model/data/"]
    assert await any_artifacts.listed("model/data") == ["model/data/weights.bin", "model/data/ünï.txt"]
    assert await any_artifacts.listed("model/MLmodel") == await any_artifacts.listed("mod") == []
    assert await any_artifacts.listed("model", recursive=True) == sorted(path for path in files if "model/" in path)
    assert await any_artifacts.listed(recursive=True) == sorted(files)
    assert await any_artifacts.read(RUN, "model/data/weights.bin") == LARGE
    assert await any_artifacts.read(RUN, "model/data/weights.bin", offset=7, length_bytes=5) == b"78901"
    assert await any_artifacts.read(RUN, "model/data/ünï.txt") == b""
    # Another owner has nothing of it.
    for owner in (OTHER_RUN, MODEL, RUN.replace("default", "other")):
        assert await any_artifacts.listed(parent=owner, recursive=True) == []
        assert (await any_artifacts.refused_download(owner, "z")).reason == "FILE_NOT_FOUND"

    assert (await any_artifacts.call("DeleteFiles", parent=RUN, path="model/data")).file_count == 2
    assert (await any_artifacts.call("DeleteFiles", parent=RUN, path="z")).file_count == 1
    assert (await any_artifacts.call("DeleteFiles", parent=RUN, path="z")).file_count == 0
    assert await any_artifacts.listed(recursive=True) == ["model-card.md", "model/MLmodel"]
    assert (await any_artifacts.call("DeleteFiles", parent=RUN)).file_count == 2
    assert await any_artifacts.listed() == []
    for method in ("GetFile",):
        refusal = await any_artifacts.refused(method, parent=RUN, path="z")
        assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "FILE_NOT_FOUND")


async def test_a_file_is_replaced(any_artifacts: Artifacts) -> None:
    await any_artifacts.put({"a/b": b"first"})
    await any_artifacts.put({"a/b": b"second", "a/c": b"first"})
    assert await any_artifacts.read(RUN, "a/b") == b"second"
    assert await any_artifacts.listed(recursive=True) == ["a/b", "a/c"]
    assert await any_artifacts.used() == len(b"firstsecond")
    # All at once: each call wins or loses whole.
    contents = [bytes([n]) * 3 for n in range(8)]
    await asyncio.gather(*(any_artifacts.put({"a/b": content, "a/c": content}) for content in contents))
    left = {await any_artifacts.read(RUN, path) for path in ("a/b", "a/c")}
    assert len(left) == 1
    assert left < set(contents)


async def test_files_of_a_logged_model(any_artifacts: Artifacts) -> None:
    await any_artifacts.put({"MLmodel": b"flavors:"}, parent=MODEL)
    await any_artifacts.send_file(file_upload_of("data/model.skops", LARGE, parent=MODEL))
    assert await any_artifacts.listed(parent=MODEL) == ["MLmodel", "data/"]
    assert await any_artifacts.read(MODEL, "data/model.skops") == LARGE
    assert (await any_artifacts.call("GetFile", parent=MODEL, path="MLmodel")).file.parent == MODEL


async def test_a_file_is_uploaded_without_its_digest(any_artifacts: Artifacts) -> None:
    for content in (b"", b"small", LARGE, bytes(incoming.HELD_BYTES_MAX), bytes(incoming.HELD_BYTES_MAX + 1)):
        for size in (None, len(content)):
            file = await any_artifacts.send_file(file_upload_of("dir/file", content, size=size))
            assert (file.parent, file.path, file.media_type) == (RUN, "dir/file", "text/plain")
            assert (file.blob, file.creator) == (blob_of(content), "users/ada")
            assert await any_artifacts.read(RUN, "dir/file") == content
    # What came twice is stored once.
    assert len(await any_artifacts.keys()) == 5
    assert await any_artifacts.missing(LARGE, b"small") == []


async def test_an_upload_that_breaks_off_leaves_nothing(any_artifacts: Artifacts) -> None:
    first, *rest = file_upload_of("file", LARGE, piece=1_200_000)
    stream = any_artifacts.stub.UploadFile(metadata=any_artifacts.metadata(), timeout=20)
    await stream.write(first)
    assert await stream.read() == pb.UploadFileResponse()
    for request in rest:
        await stream.write(request)
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.read()
    for size, says in ((len(LARGE) - 1, "More than"), (len(LARGE) + 1, "only")):
        refusal = await refused_file(any_artifacts, file_upload_of("file", LARGE, size=size))
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "BLOB_MISMATCH")
        assert says in refusal.message
    assert await any_artifacts.listed() == []
    assert (await any_artifacts.keys(), await any_artifacts.used()) == ([], 0)


async def test_an_upload_out_of_order_is_refused(artifacts: Artifacts) -> None:
    whole = file_upload_of("file", b"content")
    for requests in (
        [pb.UploadFileRequest(parent=RUN, data=b"nothing announced")],
        [pb.UploadFileRequest(parent=RUN)],
        [*whole, pb.UploadFileRequest(upload=file_pb2.FileUpload(path="second"))],
        [*whole, pb.UploadFileRequest(parent=RUN.replace("default", "other"), data=b"x")],
        [pb.UploadFileRequest(parent=RUN, upload=file_pb2.FileUpload(path="f", media_type="not a type"))],
        [pb.UploadFileRequest(parent=RUN, upload=file_pb2.FileUpload(path="f", media_type=f"a/{'b' * 126}"))],
        [pb.UploadFileRequest(parent=RUN, upload=file_pb2.FileUpload(path="f", size_bytes=64 * 1024**3 + 1))],
        [whole[0], pb.UploadFileRequest(data=bytes(4 * 1024 * 1024 + 1))],
    ):
        refusal = await refused_file(artifacts, requests)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "UPLOAD_INVALID")
    for parent in (PROJECT, ARTIFACT, f"{PROJECT}/runs/1", f"{PROJECT}/loggedModels/m-1"):
        refusal = await refused_file(artifacts, file_upload_of("file", b"", parent=parent))
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "NAME_INVALID")
    assert await artifacts.listed() == []
    most = bytes(4 * 1024 * 1024)
    upload = file_pb2.FileUpload(path="f", media_type=f"a/{'b' * 125}")
    await artifacts.send_file([pb.UploadFileRequest(parent=RUN, upload=upload), pb.UploadFileRequest(data=most)])
    assert await artifacts.read(RUN, "f") == most


async def test_an_upload_of_a_file_that_falls_silent_ends(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SILENCE_S_MAX", 0.1)

    stream = artifacts.stub.UploadFile(metadata=artifacts.metadata(), timeout=20)
    await stream.write(file_upload_of("file", b"")[0])
    await stream.read()
    refusal = await refused(stream.read())
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "UPLOAD_SILENT")


async def test_the_quota_holds_for_files_of_runs(any_artifacts: Artifacts) -> None:
    await any_artifacts.call("SetArtifactQuota", name=f"{PROJECT}/artifactStorage", quota_bytes=len(LARGE) + 5)
    await any_artifacts.send_file(file_upload_of("first", LARGE))
    for content in (b"abcdef", LARGE + b"abcdef"):
        for size in (None, len(content)):
            refusal = await refused_file(any_artifacts, file_upload_of("second", content, size=size))
            assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert len(await any_artifacts.keys()) == 1
    await any_artifacts.send_file(file_upload_of("second", b"abcde"))
    # Of several at once, each with room while it was let in, none exceeds it.
    await any_artifacts.call("SetArtifactQuota", name=f"{PROJECT}/artifactStorage", quota_bytes=len(LARGE) + 10)
    results = await asyncio.gather(
        *(any_artifacts.send_file(file_upload_of(f"f{n}", bytes([n]) * 4)) for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, file_pb2.File) for result in results) == 1
    assert await any_artifacts.used() == len(LARGE) + 9


@pytest.mark.parametrize(
    "path", ["../a", "a/../b", "/etc/passwd", "a\\b", "C:/x", "a//b", "a/", "nul.txt", "a\nb", "./a", "b. /c"]
)
async def test_a_path_that_leads_elsewhere_is_refused(artifacts: Artifacts, path: str) -> None:
    await artifacts.upload(b"x")
    refusals = [
        await artifacts.refused("PutFiles", parent=RUN, files=[file_of(path, b"x")]),
        await refused_file(artifacts, file_upload_of(path, b"x")),
        await artifacts.refused("ListFiles", parent=RUN, directory=path),
        await artifacts.refused("ListFiles", parent=RUN, directory=path, recursive=True),
        await artifacts.refused("DeleteFiles", parent=RUN, path=path),
        await artifacts.refused("PublishFiles", parent=RUN, directory=path, artifact=ARTIFACT),
    ]
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {(Code.INVALID_ARGUMENT, "PATH_INVALID")}
    assert (await artifacts.refused("GetFile", parent=RUN, path=path)).reason == "FILE_NOT_FOUND"


async def test_a_path_is_a_file_or_a_directory(any_artifacts: Artifacts) -> None:
    await any_artifacts.put({"a/b": b"x", "c": b"x"})
    for paths in (["a"], ["a/b/c"], ["c/d"], ["new", "c/d/e"], ["n", "n"], ["n", "n/m"], ["n/m", "n"]):
        refusal = await any_artifacts.refused("PutFiles", parent=RUN, files=[file_of(path, b"x") for path in paths])
        assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "PATH_TAKEN"), paths
    for path in ("a", "a/b/c"):
        # Told before the bytes are read.
        refusal = await refused_file(any_artifacts, file_upload_of(path, b"x")[:1])
        assert refusal.reason == "PATH_TAKEN"
    assert await any_artifacts.listed(recursive=True) == ["a/b", "c"]
    await any_artifacts.put({"a-": b"x", "a0": b"x", "c0/d": b"x"})
    await any_artifacts.call("DeleteFiles", parent=RUN, path="a")
    assert await any_artifacts.listed() == ["a-", "a0", "c", "c0/"]
    await any_artifacts.put({"a": b"x"})


async def test_what_was_not_uploaded_cannot_be_put(any_artifacts: Artifacts) -> None:
    await any_artifacts.upload(b"there")
    wanted = [file_of("a", b"there"), file_of("b", b"not there")]
    refusal = await any_artifacts.refused("PutFiles", parent=RUN, files=wanted)
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "BLOBS_MISSING")
    assert refusal.metadata == {"sha256": blob_of(b"not there").sha256, "missing": "1"}
    wrong = file_of("a", b"there")
    wrong.blob.size_bytes += 1
    refusal = await any_artifacts.refused("PutFiles", parent=RUN, files=[wrong])
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "MANIFEST_INVALID")
    assert await any_artifacts.listed() == []


async def test_a_call_puts_a_thousand_files_at_most(artifacts: Artifacts) -> None:
    await artifacts.upload(b"x")
    files = [file_of(f"d{n % 7}/{n}", b"x") for n in range(1_001)]
    assert (await artifacts.refused("PutFiles", parent=RUN, files=files)).code is Code.INVALID_ARGUMENT
    assert (await artifacts.refused("PutFiles", parent=RUN)).code is Code.INVALID_ARGUMENT
    assert len((await artifacts.call("PutFiles", parent=RUN, files=files[1:])).files) == 1_000
    assert await artifacts.listed() == [f"d{n}/" for n in range(7)]


async def test_a_listing_is_paged(any_artifacts: Artifacts) -> None:
    await any_artifacts.upload(b"x")
    # Directories with more files than are read at once, whose names are beginnings of each other's.
    paths = [f"{directory}/{n:03}" for directory in ("a", "a b", "a/x", "aa", "z\U0010ffff") for n in range(130)]
    paths += ["b", "a-", "z", "\U0010ffff"]
    await any_artifacts.call("PutFiles", parent=RUN, files=[file_of(path, b"x") for path in paths])
    top = ["a b/", "a-", "a/", "aa/", "b", "z", "z\U0010ffff/", "\U0010ffff"]
    assert await any_artifacts.listed(page_size=1_000) == top
    within = [f"a/{n:03}" for n in range(130)]
    for directory, recursive, expected in (
        ("", False, top),
        ("a", False, [*within, "a/x/"]),
        ("a", True, [*within, *(f"a/x/{n:03}" for n in range(130))]),
        ("", True, sorted(paths)),
    ):
        for page_size in (1, 3, 1_000) if len(expected) < 10 else (97, 1_000):
            found: list[str] = []
            token = ""
            while True:
                response = await any_artifacts.call(
                    "ListFiles",
                    parent=RUN,
                    directory=directory,
                    recursive=recursive,
                    page_size=page_size,
                    page_token=token,
                )
                assert len(response.entries) <= page_size
                found += [entry.file.path or f"{entry.directory}/" for entry in response.entries]
                token = response.next_page_token
                if not token:
                    break
            assert found == expected
    assert (await any_artifacts.refused("ListFiles", parent=RUN, page_size=1_001)).code is Code.INVALID_ARGUMENT
    refusal = await any_artifacts.refused("ListFiles", parent=RUN, page_token="made up")
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_files_are_published_as_a_version(any_artifacts: Artifacts) -> None:
    await any_artifacts.put({"model/MLmodel": b"m", "model/data/w": LARGE, "log.txt": b"l"})
    fields = {"parent": RUN, "directory": "model", "artifact": ARTIFACT, "type": "model", "description": "# One"}
    version = (await any_artifacts.call("PublishFiles", **fields)).version
    assert (version.name, version.type, version.description) == (f"{ARTIFACT}/versions/1", "model", "# One")
    assert (version.file_count, version.size_bytes) == (2, len(LARGE) + 1)
    assert (await any_artifacts.call("PublishFiles", **fields)).version == version
    links = (await any_artifacts.call("ListArtifactLinks", parent=PROJECT, run=RUN)).links
    assert [(link.version, link.kind) for link in links] == [(version.name, artifact_pb2.ARTIFACT_LINK_KIND_WRITTEN)]
    # It does not change any more.
    await any_artifacts.call("DeleteFiles", parent=RUN, path="model")
    assert await any_artifacts.read(version.name, "data/w") == LARGE
    refusal = await any_artifacts.refused("PublishFiles", **fields)
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "FILE_NOT_FOUND")
    whole = (await any_artifacts.call("PublishFiles", parent=RUN, artifact=f"{PROJECT}/artifacts/all")).version
    assert (whole.type, whole.file_count) == ("file", 1)
    elsewhere = await any_artifacts.refused("PublishFiles", parent=RUN, artifact="projects/other/artifacts/a")
    assert (elsewhere.code, elsewhere.reason) == (Code.INVALID_ARGUMENT, "FIELD_INVALID")
    await any_artifacts.put({"MLmodel": b"m"}, parent=MODEL)
    of_model = (await any_artifacts.call("PublishFiles", parent=MODEL, artifact=f"{PROJECT}/artifacts/m")).version
    assert (await any_artifacts.call("ListArtifactLinks", parent=PROJECT, version=of_model.name)).links == []


async def test_a_range_of_a_file_ends_where_it_does(artifacts: Artifacts) -> None:
    await artifacts.put({"f": b"12345"})
    assert await artifacts.read(RUN, "f", offset=5) == b""
    refusal = await artifacts.refused_download(RUN, "f", offset=6)
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "RANGE_INVALID")


async def test_files_are_there_after_a_kill_between_bytes_and_path(any_artifacts: Artifacts) -> None:
    # A service that dies after the blob counts, before the file does: the upload is made again, and nothing is stored twice.
    await any_artifacts.upload(LARGE)
    await any_artifacts.send_file(file_upload_of("file", LARGE))
    assert len(await any_artifacts.keys()) == 1
    assert await any_artifacts.read(RUN, "file") == LARGE
