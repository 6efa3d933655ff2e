"""Versions: publish, read, list, delete; manifests and lineage."""

import asyncio

import grpc
import pytest
from support.artifact import ARTIFACT, PROJECT, RUN, Artifacts, blob_of, entry_of, pb

from penstock.api.artifact.v1 import artifact_pb2
from penstock_artifact import domain

Code = grpc.StatusCode
V1, V2 = f"{ARTIFACT}/versions/1", f"{ARTIFACT}/versions/2"


def reference(path: str, uri: str = "s3://bucket/key", **fields: object) -> artifact_pb2.ManifestEntry:
    return artifact_pb2.ManifestEntry(path=path, reference=artifact_pb2.ManifestReference(uri=uri, **fields))


async def test_a_version_is_published_and_read(any_artifacts: Artifacts) -> None:
    big = bytes(range(256)) * 20_000
    made = await any_artifacts.publish(
        {"model.bin": big, "ünï/code.txt": b"hello", "empty": b""}, type="model", description="# First", run=RUN
    )
    assert (made.name, made.type, made.description, made.creator) == (V1, "model", "# First", "users/ada")
    assert (made.file_count, made.reference_count, made.size_bytes) == (3, 0, len(big) + 5)
    for name in (V1, f"{ARTIFACT}/versions/latest"):
        assert (await any_artifacts.call("GetArtifactVersion", name=name)).version == made
    assert await any_artifacts.read(V1, "model.bin") == big
    assert await any_artifacts.read(V1, "ünï/code.txt", offset=1, length_bytes=3) == b"ell"
    assert await any_artifacts.read(V1, "model.bin", offset=len(big) - 2) == big[-2:]
    assert await any_artifacts.read(V1, "model.bin", offset=len(big)) == b""
    assert await any_artifacts.read(V1, "empty") == b""
    artifact = (await any_artifacts.call("GetArtifact", name=ARTIFACT)).artifact
    assert (artifact.type, artifact.latest_version) == ("model", 1)


async def test_the_same_files_again_are_the_same_version(any_artifacts: Artifacts) -> None:
    first = await any_artifacts.publish({"a": b"1", "b": b"2"})
    again = await any_artifacts.publish({"b": b"2", "a": b"1"}, run=RUN)
    assert again == first
    other = await any_artifacts.publish({"a": b"1", "b": b"3"})
    assert (other.name, other.manifest != first.manifest) == (V2, True)
    back = await any_artifacts.publish({"a": b"1", "b": b"2"})
    assert (back.name, back.manifest) == (f"{ARTIFACT}/versions/3", first.manifest)
    assert await any_artifacts.used() == 3
    listed = await any_artifacts.call("ListArtifactVersions", parent=ARTIFACT, page_size=2)
    assert [version.name for version in listed.versions] == [back.name, V2]
    rest = await any_artifacts.call(
        "ListArtifactVersions", parent=ARTIFACT, page_size=2, page_token=listed.next_page_token
    )
    assert ([version.name for version in rest.versions], rest.next_page_token) == ([V1], "")


async def test_a_repeat_with_a_request_id_is_the_first_version_whatever_came_since(any_artifacts: Artifacts) -> None:
    first = await any_artifacts.publish({"a": b"1"}, request_id="x" * 64, run=RUN)
    await any_artifacts.publish({"a": b"2"})
    entries = [entry_of("a", b"1")]
    again = await asyncio.gather(
        *(
            any_artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=entries, request_id="x" * 64)
            for _ in range(3)
        )
    )
    assert [answer.version for answer in again] == [first] * 3
    # One that made no version, because the newest was the same, is remembered as well.
    newest = await any_artifacts.publish({"a": b"2"}, request_id="two")
    assert newest.name == V2
    await any_artifacts.publish({"a": b"3"})
    assert await any_artifacts.publish({"a": b"2"}, request_id="two") == newest
    # Of another artifact it is another call.
    assert (await any_artifacts.publish({"a": b"1"}, f"{PROJECT}/artifacts/x", request_id="two")).name[-1] == "1"
    assert (
        await any_artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=entries, request_id="x" * 65)
    ).code == Code.INVALID_ARGUMENT
    # A version that was deleted does not come back.
    await any_artifacts.call("DeleteArtifactVersion", name=V1)
    gone = await any_artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=entries, request_id="x" * 64)
    assert gone.reason == "VERSION_NOT_FOUND"
    # Nor is another one with its number taken for it, in an artifact that was deleted and made anew.
    await any_artifacts.call("DeleteArtifact", name=ARTIFACT)
    assert (await any_artifacts.publish({"a": b"4"})).name == V1
    gone = await any_artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=entries, request_id="x" * 64)
    assert gone.reason == "VERSION_NOT_FOUND"


async def test_versions_published_at_once_get_numbers_of_their_own(any_artifacts: Artifacts) -> None:
    made = await asyncio.gather(*(any_artifacts.publish({"n": bytes([n])}) for n in range(8)))
    assert {version.name for version in made} == {f"{ARTIFACT}/versions/{n + 1}" for n in range(8)}


async def test_a_copy_is_a_manifest_and_needs_no_bytes(any_artifacts: Artifacts) -> None:
    await any_artifacts.publish({"a": b"content"})
    entries = (await any_artifacts.call("ListArtifactEntries", parent=V1)).entries
    entries[0].path = "moved/b"
    copy = f"{PROJECT}/artifacts/copy"
    await any_artifacts.call("PublishArtifactVersion", parent=copy, entries=entries)
    assert await any_artifacts.read(f"{copy}/versions/1", "moved/b") == b"content"
    assert await any_artifacts.used() == 7


async def test_references_are_recorded_and_not_opened(artifacts: Artifacts) -> None:
    entries = [
        reference("data", "s3://bucket/key", digest="etag-1", size_bytes=7),
        reference("page", "https://example.test/a?b=c"),
        entry_of("file", b""),
    ]
    await artifacts.upload(b"")
    made = (await artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=entries)).version
    assert (made.file_count, made.reference_count, made.size_bytes) == (1, 2, 0)
    listed = (await artifacts.call("ListArtifactEntries", parent=V1)).entries
    assert sorted(listed, key=lambda entry: entry.path) == sorted(entries, key=lambda entry: entry.path)
    refusal = await artifacts.refused_download(V1, "data")
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "REFERENCE_NOT_STORED")
    assert refusal.metadata == {"uri": "s3://bucket/key"}


async def test_entries_are_listed_by_path_in_pages(artifacts: Artifacts) -> None:
    await artifacts.publish({f"f{n:02}": b"" for n in range(25)})
    paths: list[str] = []
    token = ""
    while True:
        page = await artifacts.call(
            "ListArtifactEntries", parent=f"{ARTIFACT}/versions/latest", page_size=10, page_token=token
        )
        paths += [entry.path for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert paths == [f"f{n:02}" for n in range(25)]


@pytest.mark.parametrize(
    "path",
    [
        "../up",
        "a/../../b",
        "/etc/passwd",
        "C:/x",
        "a\\b",
        "a//b",
        "./a",
        "a/",
        "nul",
        "a/COM1.txt",
        "end.",
        "a\nb",
        ".",
    ],
)
async def test_paths_that_lead_elsewhere_are_refused(artifacts: Artifacts, path: str) -> None:
    await artifacts.upload(b"")
    refusal = await artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of(path, b"")])
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PATH_INVALID")


async def test_a_manifest_that_contradicts_itself_is_refused(artifacts: Artifacts) -> None:
    await artifacts.upload(b"", b"1")
    for entries in (
        [entry_of("a", b""), entry_of("a", b"1")],
        [entry_of("a", b""), entry_of("a/b", b"1")],
    ):
        refusal = await artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=entries)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "MANIFEST_INVALID")
    wrong_size = entry_of("a", b"1")
    wrong_size.file.blob.size_bytes = 2
    refusal = await artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=[wrong_size])
    assert refusal.reason == "MANIFEST_INVALID"
    refusal = await artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of("a", b"not there")])
    assert (refusal.reason, refusal.metadata["sha256"]) == ("BLOBS_MISSING", blob_of(b"not there").sha256)
    assert (await artifacts.refused("GetArtifact", name=ARTIFACT)).reason == "ARTIFACT_NOT_FOUND"


async def test_a_manifest_has_twenty_thousand_entries_at_most(artifacts: Artifacts) -> None:
    await artifacts.upload(b"")
    entries = [entry_of(f"f{n}", b"") for n in range(20_001)]
    made = await artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=entries[1:])
    assert made.version.file_count == 20_000
    refusal = await artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=entries)
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "MANIFEST_TOO_LARGE")


async def test_a_manifest_has_four_million_bytes_at_most(artifacts: Artifacts) -> None:
    # 2,000 lines of 2,000 bytes.
    uri = "u" * (2_000 - len("reference - -  0000\n"))
    entries = [reference(f"{n:04}", uri) for n in range(2_000)]
    made = await artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=entries)
    assert made.version.reference_count == 2_000
    entries[0].reference.uri += "u"
    refusal = await artifacts.refused("PublishArtifactVersion", parent=ARTIFACT, entries=entries)
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "MANIFEST_TOO_LARGE")


async def test_an_artifact_keeps_its_type(artifacts: Artifacts) -> None:
    assert (await artifacts.publish({"a": b"1"}, type="dataset")).type == "dataset"
    assert (await artifacts.publish({"a": b"2"})).type == "dataset"
    refusal = await artifacts.refused(
        "PublishArtifactVersion", parent=ARTIFACT, entries=[entry_of("a", b"1")], type="model"
    )
    assert (refusal.code, refusal.reason, refusal.metadata) == (
        Code.FAILED_PRECONDITION,
        "TYPE_DIFFERS",
        {"type": "dataset"},
    )
    assert (await artifacts.publish({"a": b"1"}, f"{PROJECT}/artifacts/plain")).type == domain.DEFAULT_TYPE


async def test_a_version_is_deleted_and_its_number_is_not_given_again(any_artifacts: Artifacts) -> None:
    await any_artifacts.publish({"a": b"1"}, run=RUN)
    await any_artifacts.publish({"a": b"2"})
    await any_artifacts.call("DeleteArtifactVersion", name=V2)
    assert (await any_artifacts.refused("GetArtifactVersion", name=V2)).reason == "VERSION_NOT_FOUND"
    latest = (await any_artifacts.call("GetArtifactVersion", name=f"{ARTIFACT}/versions/latest")).version
    assert latest.name == V1
    assert (await any_artifacts.publish({"a": b"3"})).name == f"{ARTIFACT}/versions/3"
    for number in (1, 3):
        await any_artifacts.call("DeleteArtifactVersion", name=f"{ARTIFACT}/versions/{number}")
    assert (await any_artifacts.call("GetArtifact", name=ARTIFACT)).artifact.latest_version == 0
    refusal = await any_artifacts.refused("GetArtifactVersion", name=f"{ARTIFACT}/versions/latest")
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "VERSION_NOT_FOUND")
    assert not (await any_artifacts.call("ListArtifactLinks", parent=PROJECT, run=RUN)).links


async def test_an_artifact_is_deleted_with_all_versions(any_artifacts: Artifacts) -> None:
    for n in range(3):
        await any_artifacts.publish({"a": bytes([n])}, run=RUN)
    await any_artifacts.publish({"a": b"kept"}, f"{PROJECT}/artifacts/other", run=RUN)
    await any_artifacts.call("DeleteArtifact", name=ARTIFACT)
    for method, name in (("GetArtifact", ARTIFACT), ("DeleteArtifact", ARTIFACT), ("GetArtifactVersion", V1)):
        assert (await any_artifacts.refused(method, name=name)).reason == "ARTIFACT_NOT_FOUND"
    listed = await any_artifacts.call("ListArtifacts", parent=PROJECT)
    assert [artifact.name for artifact in listed.artifacts] == [f"{PROJECT}/artifacts/other"]
    links = (await any_artifacts.call("ListArtifactLinks", parent=PROJECT, run=RUN)).links
    assert [link.version for link in links] == [f"{PROJECT}/artifacts/other/versions/1"]
    assert (await any_artifacts.publish({"a": b"new"})).name == V1


async def test_lineage_says_which_runs_wrote_and_used_a_version(any_artifacts: Artifacts) -> None:
    user = f"{PROJECT}/runs/{'cd' * 16}"
    await any_artifacts.publish({"a": b"1"}, run=RUN)
    for _ in range(2):
        used = await any_artifacts.call("UseArtifactVersion", name=f"{ARTIFACT}/versions/latest", run=user)
        assert used.version.name == V1
    links = (await any_artifacts.call("ListArtifactLinks", parent=PROJECT, version=V1)).links
    assert [(link.run, link.kind) for link in links] == [
        (RUN, artifact_pb2.ARTIFACT_LINK_KIND_WRITTEN),
        (user, artifact_pb2.ARTIFACT_LINK_KIND_USED),
    ]
    of_run = (await any_artifacts.call("ListArtifactLinks", parent=PROJECT, run=user)).links
    assert list(of_run) == [links[1]]
    foreign = f"projects/other/runs/{'cd' * 16}"
    refusal = await any_artifacts.refused("UseArtifactVersion", name=V1, run=foreign)
    assert refusal.code is Code.INVALID_ARGUMENT
    refusal = await any_artifacts.refused("ListArtifactLinks", parent=PROJECT, run=foreign)
    assert refusal.code is Code.INVALID_ARGUMENT


async def test_artifacts_are_listed_by_name(artifacts: Artifacts) -> None:
    for name in ("b", "a", "Ä ö"):
        await artifacts.publish({"f": b""}, f"{PROJECT}/artifacts/{name}")
    page = await artifacts.call("ListArtifacts", parent=PROJECT, page_size=2)
    rest = await artifacts.call("ListArtifacts", parent=PROJECT, page_size=2, page_token=page.next_page_token)
    names = [artifact.name.rpartition("/")[2] for artifact in (*page.artifacts, *rest.artifacts)]
    assert names == ["a", "b", "Ä ö"]
    wrong = await artifacts.refused("ListArtifacts", parent=PROJECT, page_token=page.next_page_token + "x")
    assert wrong.reason == "PAGE_TOKEN_INVALID"


async def test_a_download_is_an_id_and_pieces(any_artifacts: Artifacts) -> None:
    content = bytes(range(256)) * 10_000
    await any_artifacts.publish({"a": content})
    request = pb.DownloadFileRequest(name=V1, path="a", offset=100)
    responses = [r async for r in any_artifacts.stub.DownloadFile(request, metadata=any_artifacts.metadata())]
    assert responses[0].blob == blob_of(content)
    assert max(len(response.data) for response in responses) <= 1024 * 1024
    assert b"".join(response.data for response in responses) == content[100:]


async def test_downloads_that_cannot_be(artifacts: Artifacts) -> None:
    await artifacts.publish({"a": b"123"})
    for name, path, fields, reason in (
        (V1, "b", {}, "FILE_NOT_FOUND"),
        (V2, "a", {}, "VERSION_NOT_FOUND"),
        (f"{PROJECT}/artifacts/none/versions/1", "a", {}, "ARTIFACT_NOT_FOUND"),
        (V1, "a", {"offset": 4}, "RANGE_INVALID"),
    ):
        assert (await artifacts.refused_download(name, path, **fields)).reason == reason
