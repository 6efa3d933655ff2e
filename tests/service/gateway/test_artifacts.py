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
