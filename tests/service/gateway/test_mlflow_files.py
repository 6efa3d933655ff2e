"""Files over MLflow's API: bytes in and out piece by piece, what breaks off, what is refused, the same files elsewhere."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from support.artifact import blob_of
from support.gateway import Installation, installation
from support.servers import bearer
from support.store_servers import need, s3_kind

from penstock.api.artifact.v1 import artifact_service_pb2, artifact_service_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = "/api/2.0/mlflow-artifacts/artifacts"
PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
MPU = "/api/2.0/mlflow-artifacts/mpu"
RUN = "ab" * 16
MODEL = f"m-{'cd' * 16}"
LARGE = bytes(range(251)) * 30_000
pb = artifact_service_pb2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installation(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def direct(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One whose clients reach the object store."""
    kind = s3_kind()
    need(kind)
    with kind(tmp_path_factory.mktemp("s3")) as s3:
        s3.make_bucket("files")
        stores = {"blobs_url": s3.bucket_url("files"), "s3_public_url": f"http://127.0.0.1:{s3.port}"}
        async with installation(tmp_path_factory.mktemp("direct"), artifact_stores=stores) as running:
            yield running


async def stub_of(whole: Installation) -> tuple[Any, Any]:
    """Our own way to the same files."""
    exchanged = await whole.call("POST", "/api/v1/tokens:exchange", {"secret": whole.token})
    metadata = bearer(exchanged.json()["accessToken"])
    return artifact_service_pb2_grpc.ArtifactServiceStub(whole.front.channel), metadata


async def listed(whole: Installation, path: str) -> list[str]:
    answer = await whole.call("GET", FILES, params={"path": path})
    assert answer.status_code == 200, answer.text
    return [file["path"] for file in answer.json().get("files", [])]


async def test_a_large_file_goes_in_and_comes_out_and_is_ours_too(whole: Installation) -> None:
    at = f"{FILES}/0/{RUN}/artifacts/model/weights.bin"
    answer = await whole.call("PUT", at, content=LARGE, headers={"Content-Type": "text/x-weights; charset=utf-8"})
    assert (answer.status_code, answer.content) == (200, b"")
    answer = await whole.call("GET", at)
    assert (answer.status_code, answer.content) == (200, LARGE)
    assert answer.headers["content-length"] == str(len(LARGE))
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    answer = await whole.call("GET", at, headers={"Range": "bytes=1000000-1000009"})
    assert (answer.status_code, answer.content) == (206, LARGE[1_000_000:1_000_010])
    stub, metadata = await stub_of(whole)
    request = pb.GetFileRequest(parent=f"projects/default/runs/{RUN}", path="model/weights.bin")
    file = (await stub.GetFile(request, metadata=metadata)).file
    assert (file.blob, file.media_type) == (blob_of(LARGE), "text/x-weights")
    answer = await whole.call("GET", f"/files/projects/default/runs/{RUN}/model/weights.bin")
    assert (answer.status_code, hashlib.sha256(answer.content).hexdigest()) == (200, file.blob.sha256)


async def test_a_body_without_a_length(whole: Installation) -> None:
    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 1_000_000):
            yield LARGE[start : start + 1_000_000]

    at = f"{FILES}/0/models/{MODEL}/artifacts/data/chunked"
    assert (await whole.call("PUT", at, content=body())).status_code == 200
    assert (await whole.call("GET", at)).content == LARGE
    answer = await whole.call("GET", f"/files/projects/default/loggedModels/{MODEL}/data/chunked")
    assert answer.content == LARGE


async def test_where_the_experiment_is_makes_no_difference(whole: Installation) -> None:
    await whole.call("PUT", f"{FILES}/0/{RUN}/artifacts/somewhere/f", content=b"x")
    for location in ("7", "team/a", f"{RUN}/artifacts-of", ""):
        prefix = f"{location}/" if location else ""
        answer = await whole.call("GET", f"{FILES}/{prefix}{RUN}/artifacts/somewhere/f")
        assert (answer.status_code, answer.content) == (200, b"x"), location
    # Below the files of a run everything is a name.
    inner = f"0/{RUN}/artifacts/copy/{'cd' * 16}/artifacts/f"
    await whole.call("PUT", f"{FILES}/{inner}", content=b"inner")
    assert await listed(whole, f"0/{RUN}/artifacts/copy") == ["cd" * 16]
    assert await listed(whole, f"0/{'cd' * 16}/artifacts") == []


async def test_a_request_that_breaks_off_leaves_nothing(whole: Installation) -> None:
    host, port = whole.front.listeners.local_http_url.removeprefix("http://").split(":")
    run = "0b" * 16
    head = (
        f"PUT {FILES}/0/{run}/artifacts/half HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {whole.token}\r\n"
        f"Content-Length: {len(LARGE)}\r\n\r\n"
    ).encode()

    def send_half() -> None:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head + LARGE[: len(LARGE) // 2])

    await asyncio.to_thread(send_half)
    stub, metadata = await stub_of(whole)
    before = await stub.GetArtifactStorage(
        pb.GetArtifactStorageRequest(name="projects/default/artifactStorage"), metadata=metadata
    )
    assert await listed(whole, f"0/{run}/artifacts") == []
    answer = await whole.call("PUT", f"{FILES}/0/{run}/artifacts/half", content=b"whole")
    assert answer.status_code == 200
    assert (await whole.call("GET", f"{FILES}/0/{run}/artifacts/half")).content == b"whole"
    after = await stub.GetArtifactStorage(
        pb.GetArtifactStorageRequest(name="projects/default/artifactStorage"), metadata=metadata
    )
    assert after.storage.used_bytes - before.storage.used_bytes == 5


@pytest.mark.parametrize(
    "path",
    [
        "..%2fx", "%2e%2e/x", "a/%252e%252e/x", "a%5Cb", "a%00b", "a;b", "a%3Bb", "a%23b", "a//b", "/etc", "C:/x", "nul",
        "a%0Ab", "a%25252525252525252525252e",
    ],
)  # fmt: skip
async def test_a_path_that_leads_elsewhere_is_refused(whole: Installation, path: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        url = f"{whole.front.listeners.local_http_url}{FILES}/0/{RUN}/artifacts/{path}"
        answer = await whole.call(method, url, content=b"x" if method == "PUT" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), method


async def test_what_belongs_to_no_run_is_refused(whole: Installation) -> None:
    for path in ("x", f"0/{RUN}", f"0/{RUN}/other/x", f"0/models/{MODEL}/x", "0/traces/tr-1/artifacts/x"):
        for method in ("PUT", "GET"):
            answer = await whole.call(method, f"{FILES}/{path}", content=b"x" if method == "PUT" else None)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), path
        assert (await whole.call("DELETE", f"{FILES}/{path}")).status_code == 200
        assert await listed(whole, path) == []


async def test_a_refusal_is_read_by_who_sends_a_large_file(whole: Installation) -> None:
    await whole.call("PUT", f"{FILES}/0/{RUN}/artifacts/file", content=b"x")
    answer = await whole.call("PUT", f"{FILES}/0/{RUN}/artifacts/file/below", content=LARGE * 3)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "lies below" in answer.json()["message"]
    quota = {"quotaBytes": "1"}
    await whole.call("POST", "/api/v1/projects/default/artifactStorage:setQuota", quota)
    try:
        answer = await whole.call("PUT", f"{FILES}/0/{RUN}/artifacts/more", content=b"new" + LARGE * 3)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert "may store 1" in answer.json()["message"]
    finally:
        await whole.call("POST", "/api/v1/projects/default/artifactStorage:setQuota", {})


async def test_another_project_and_nobody_see_nothing(whole: Installation) -> None:
    at = f"{FILES}/0/{RUN}/artifacts/secret"
    await whole.call("PUT", at, content=b"secret")
    answer = await whole.front.http.get(at)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert (await whole.front.http.put(at, content=b"other")).status_code == 401
    await whole.call("POST", "/api/v1/projects", {"projectId": "elsewhere", "project": {"displayName": "Elsewhere"}})
    answer = await whole.call("GET", f"/projects/elsewhere{at}")
    assert answer.status_code == 404
    assert (await whole.call("GET", at)).content == b"secret"


async def test_a_link_straight_to_the_object_store(direct: Installation) -> None:
    at = f"0/{RUN}/artifacts/model/weights.bin"
    await direct.call("PUT", f"{FILES}/{at}", content=LARGE)
    answer = await direct.call("GET", f"{PRESIGNED}/{at}")
    assert (answer.status_code, answer.json()["file_size"], answer.json()["headers"]) == (200, len(LARGE), {})
    async with httpx2.AsyncClient(trust_env=False) as store:
        part = await store.get(answer.json()["url"], headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, LARGE[1_000:2_000])
    for path, status in ((f"0/{RUN}/artifacts/absent", 404), (f"0/{RUN}/artifacts/model", 400), ("x", 400)):
        assert (await direct.call("GET", f"{PRESIGNED}/{path}")).status_code == status
    assert (await direct.front.http.get(f"{PRESIGNED}/{at}")).status_code == 401


async def test_parts_go_straight_to_the_object_store(direct: Installation) -> None:
    at = f"0/{RUN}/artifacts/model"
    body: dict[str, Any] = {"path": "/data/weights.bin", "num_parts": 102}
    answer = await direct.call("POST", f"{MPU}/create/{at}", body)
    assert answer.status_code == 200, answer.text
    begun = answer.json()
    assert [one["part_number"] for one in begun["credentials"]] == list(range(1, 103))
    of_upload = {"path": body["path"], "upload_id": begun["upload_id"]}
    parts = [LARGE[:6_000_000], LARGE[6_000_000:]]
    async with httpx2.AsyncClient(trust_env=False) as store:
        for credential, part in zip(begun["credentials"], parts, strict=False):
            sent = await store.put(credential["url"], content=part, headers=credential["headers"])
            assert sent.status_code == 200
    named = [{"part_number": number, "etag": "e", "url": "u"} for number in (1, 2)]
    for wrong in (
        {**of_upload, "parts": []},
        {**of_upload, "parts": named[1:]},
        {**of_upload, "parts": [*named, {"part_number": 3}]},
        {**of_upload, "parts": named, "path": ""},
        {**of_upload, "parts": named, "path": "a/"},
        {**of_upload, "parts": named, "path": "a/.."},
    ):
        assert (await direct.call("POST", f"{MPU}/complete/{at}", wrong)).status_code == 400, wrong
    answer = await direct.call("POST", f"{MPU}/complete/{at}", {**of_upload, "parts": named})
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await direct.call("GET", f"{FILES}/{at}/weights.bin")).content == LARGE
    answer = await direct.call("POST", f"{MPU}/complete/{at}", {**of_upload, "parts": named})
    assert answer.status_code == 404
    for upload_id in (begun["upload_id"], "../x", ""):
        answer = await direct.call("POST", f"{MPU}/abort/{at}", {**of_upload, "upload_id": upload_id})
        assert answer.status_code == (200 if upload_id == begun["upload_id"] else 404)
    for count in (0, 10_001, -1):
        assert (await direct.call("POST", f"{MPU}/create/{at}", {**body, "num_parts": count})).status_code == 400
    for path in ("x", "0/../y", f"0/{RUN}"):
        assert (await direct.call("POST", f"{MPU}/create/{path}", body)).status_code == 400


async def test_uploads_in_parts_have_json_twins(direct: Installation) -> None:
    begun = await direct.call("POST", "/api/v1/projects/default/blobUploads", {})
    name = begun.json()["upload"]["name"]
    signed = await direct.call("POST", f"/api/v1/{name}:signParts", {"parts": [1]})
    async with httpx2.AsyncClient(trust_env=False) as store:
        await store.put(signed.json()["urls"][0]["url"], content=b"content")
    body = {"parent": f"projects/default/runs/{RUN}", "file": {"path": "by-json"}, "partCount": 1}
    finished = await direct.call("POST", f"/api/v1/{name}:finishFile", body)
    assert (finished.status_code, "by-json" in finished.text) == (200, True)
    assert (await direct.call("DELETE", f"/api/v1/{name}")).json() == {}


async def test_there_is_no_link_without_such_a_way(whole: Installation) -> None:
    await whole.call("PUT", f"{FILES}/0/{RUN}/artifacts/linked", content=b"x")
    answer = await whole.call("GET", f"{PRESIGNED}/0/{RUN}/artifacts/linked")
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")


async def test_files_have_json_twins(whole: Installation) -> None:
    parent = f"/api/v1/projects/default/runs/{'0c' * 16}"
    stub, metadata = await stub_of(whole)
    content = b"put by JSON"
    upload = pb.UploadBlobsRequest(parent="projects/default", blob=blob_of(content))
    async for _ in stub.UploadBlobs(iter([upload, pb.UploadBlobsRequest(data=content)]), metadata=metadata):
        pass
    blob = {"sha256": blob_of(content).sha256, "sizeBytes": str(len(content))}
    made = await whole.call("POST", f"{parent}/files:put", {"files": [{"path": "a/b", "blob": blob}]})
    assert made.json()["files"][0]["creator"] == "users/owner"
    assert (await whole.call("GET", f"{parent}/files")).json()["entries"] == [{"directory": "a"}]
    got = await whole.call("GET", f"{parent}/files:get", params={"path": "a/b"})
    assert got.json()["file"] == made.json()["files"][0]
    pieces = (await whole.call("GET", f"{parent}:download", params={"path": "a/b"})).text.splitlines()
    assert (
        len([piece for piece in map(json.loads, pieces) if "result" in piece or "data" in piece or "blob" in piece])
        >= 1
    )
    body = {"directory": "a", "artifact": "projects/default/artifacts/by-json"}
    assert (await whole.call("POST", f"{parent}/files:publish", body)).json()["version"]["fileCount"] == "1"
    assert (await whole.call("DELETE", f"{parent}/files", params={"path": "a"})).json()["fileCount"] == "1"


async def test_a_registered_version_names_files_that_do_not_change(whole: Installation) -> None:
    api = "/api/2.0/mlflow"
    made = await whole.call("POST", f"{api}/runs/create", {"experiment_id": "0", "start_time": 1})
    run = made.json()["run"]["info"]["run_id"]
    made = await whole.call("POST", f"{api}/logged-models", {"experiment_id": "0", "name": "net"})
    model = made.json()["model"]["info"]["model_id"]
    for path in (f"0/{run}/artifacts/model/MLmodel", f"0/models/{model}/artifacts/MLmodel"):
        await whole.call("PUT", f"{FILES}/{path}", content=b"flavors:")
    await whole.call("POST", f"{api}/registered-models/create", {"name": "reader"})

    async def registered(source: str, name: str = "reader", **fields: str) -> dict[str, Any]:
        """A new version, as our API tells it."""
        body = {"name": name, "source": source, **fields}
        answer = await whole.call("POST", f"{api}/model-versions/create", body)
        assert answer.status_code == 200, answer.text
        number = answer.json()["model_version"]["version"]
        return (await whole.call("GET", f"/api/v1/projects/default/models/{name}/versions/{number}")).json()["version"]

    first = await registered(f"mlflow-artifacts:/0/{run}/artifacts/model", run_id=run)
    assert first["artifactVersion"] == "projects/default/artifacts/reader/versions/1"
    # Overwritten meanwhile; the version has what it was made of.
    await whole.call("PUT", f"{FILES}/0/{run}/artifacts/model/MLmodel", content=b"changed")
    answer = await whole.call("GET", f"/files/{first['artifactVersion']}/MLmodel")
    assert (answer.status_code, answer.content) == (200, b"flavors:")
    second = await registered(f"runs:/{run}/model", run_id=run)
    assert second["artifactVersion"].endswith("/versions/2")
    third = await registered(f"models:/{model}", model_id=model)
    assert (third["artifactManifest"], third["artifactVersion"][-1]) == (first["artifactManifest"], "3")
    copied = await registered("models:/reader/2")
    assert copied["artifactManifest"] == second["artifactManifest"]

    # Where there is nothing of it here, or its name is taken, MLflow's clients can register all the same.
    for source, fields in (("s3://bucket/model", {}), (f"runs:/{run}/absent", {"run_id": run})):
        assert "artifactVersion" not in await registered(source, **fields)
    await whole.call("POST", f"{api}/registered-models/create", {"name": "data"})
    body = {"directory": "model", "artifact": "projects/default/artifacts/data", "type": "dataset"}
    await whole.call("POST", f"/api/v1/projects/default/runs/{run}/files:publish", body)
    assert "artifactVersion" not in await registered(f"models:/{model}", "data", model_id=model)
    body = {"name": "nobody", "source": f"models:/{model}", "model_id": model}
    assert (await whole.call("POST", f"{api}/model-versions/create", body)).status_code == 404
    assert (await whole.call("GET", "/api/v1/projects/default/artifacts/nobody")).status_code == 404
