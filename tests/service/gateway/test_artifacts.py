"""Files through the front door: streams in both directions, as the services send them."""

import hashlib
from pathlib import Path
from typing import Any

from support.artifact import blob_of, entry_of, upload_of
from support.gateway import installation
from support.servers import bearer

from penstock.api.artifact.v1 import artifact_service_pb2, artifact_service_pb2_grpc

pb = artifact_service_pb2
ARTIFACT = "projects/default/artifacts/big"


async def test_a_file_goes_in_and_comes_out(tmp_path: Path) -> None:
    content = bytes(range(251)) * 100_000
    async with installation(tmp_path) as whole:
        stub: Any = artifact_service_pb2_grpc.ArtifactServiceStub(whole.front.channel)
        exchanged = await whole.call("POST", "/api/v1/tokens:exchange", {"secret": whole.token})
        metadata = bearer(exchanged.json()["accessToken"])
        upload = stub.UploadBlobs(iter(upload_of(content, piece=4 * 1024 * 1024)), metadata=metadata, timeout=20)
        assert [response.blob_count async for response in upload][-1] == 1
        request = pb.PublishArtifactVersionRequest(parent=ARTIFACT, entries=[entry_of("a/b.bin", content)])
        version = (await stub.PublishArtifactVersion(request, metadata=metadata)).version
        digest = hashlib.sha256()
        download = pb.DownloadFileRequest(name=version.name, path="a/b.bin")
        async for response in stub.DownloadFile(download, metadata=metadata, timeout=20):
            digest.update(response.data)
        assert digest.hexdigest() == blob_of(content).sha256


async def test_a_file_over_http(tmp_path: Path) -> None:
    content = bytes(range(251)) * 20_000
    page = b"<script>alert(1)</script>"
    async with installation(tmp_path) as whole:
        http = whole.front.http
        exchanged = await whole.call("POST", "/api/v1/tokens:exchange", {"secret": whole.token})
        metadata = bearer(exchanged.json()["accessToken"])
        stub: Any = artifact_service_pb2_grpc.ArtifactServiceStub(whole.front.channel)
        async for _ in stub.UploadBlobs(iter(upload_of(content, page)), metadata=metadata, timeout=20):
            pass
        entries = [entry_of("a/b c.bin", content), entry_of("p.html", page, "text/html")]
        await stub.PublishArtifactVersion(
            pb.PublishArtifactVersionRequest(parent=ARTIFACT, entries=entries), metadata=metadata
        )
        at = f"/files/{ARTIFACT}/versions/latest/a/b%20c.bin"
        auth = {"Authorization": f"Bearer {whole.token}"}
        answer = await http.get(at, headers=auth)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["etag"] == f'"{blob_of(content).sha256}"'
        assert answer.headers["content-length"] == str(len(content))
        for asked, part, said in (
            ("bytes=5-9", content[5:10], "5-9"),
            (f"bytes={len(content) - 3}-", content[-3:], f"{len(content) - 3}-{len(content) - 1}"),
            ("bytes=0-99999999999", content, f"0-{len(content) - 1}"),
        ):
            answer = await http.get(at, headers={**auth, "Range": asked})
            assert (answer.status_code, answer.content) == (206, part)
            assert answer.headers["content-range"] == f"bytes {said}/{len(content)}"
        # A range that is not understood is left out, as HTTP says.
        answer = await http.get(at, headers={**auth, "Range": "bytes=9-5"})
        assert (answer.status_code, len(answer.content)) == (200, len(content))
        answer = await http.get(at, headers={**auth, "Range": f"bytes={len(content)}-"})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(content)}")
        answer = await http.get(at, headers={**auth, "Range": f"bytes={len(content) + 1}-"})
        assert (answer.status_code, "RANGE_INVALID" in answer.text) == (400, True)

        # What somebody uploaded is never shown as a page of ours.
        answer = await http.get(f"/files/{ARTIFACT}/versions/1/p.html", headers=auth)
        assert answer.content == page
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert "default-src 'none'" in answer.headers["content-security-policy"]

        assert (await http.get(at)).status_code == 401
        assert (await http.post(at, headers=auth)).status_code == 405
        for path in (f"{ARTIFACT}/versions/1/none", f"{ARTIFACT}/versions/2/p.html", "projects/default"):
            assert (await http.get(f"/files/{path}", headers=auth)).status_code == 404
        answer = await http.get("/files/projects/other/artifacts/big/versions/1/p.html", headers=auth)
        assert answer.status_code in {403, 404}
