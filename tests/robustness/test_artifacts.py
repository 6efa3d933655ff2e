"""The artifact service is killed while files go in and come out: what was acknowledged is there, and both go on."""

import contextlib
import hashlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from support.artifact import blob_of, entry_of, pb, upload_of
from support.platform import Processes, running_processes
from support.servers import bearer

from penstock.api.artifact.v1 import artifact_service_pb2_grpc

pytestmark = pytest.mark.slow

PROJECT = "projects/default"
FILES = {f"part-{n:02}": hashlib.sha256(bytes([n])).digest() * 32_768 for n in range(24)}  # 1 MiB each
PIECE = 65_536


@pytest.fixture(scope="module", params=["embedded", "servers"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("platform"), stores=request.param) as processes:
        yield processes


def connected(platform: Processes) -> tuple[grpc.Channel, Any, Any]:
    """A channel to the gateway, its stub, and the metadata of the owner."""
    request = urllib.request.Request(
        f"{platform.http}/api/v1/tokens:exchange",
        json.dumps({"secret": platform.token}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        token = json.load(answer)["accessToken"]
    channel = grpc.insecure_channel(platform.grpc)
    return channel, artifact_service_pb2_grpc.ArtifactServiceStub(channel), bearer(token)


def code_of(error: Any) -> grpc.StatusCode:
    return error.code()


def missing(stub: Any, metadata: Any) -> list[str]:
    blobs = [blob_of(content) for content in FILES.values()]
    request = pb.FindMissingBlobsRequest(parent=PROJECT, blobs=blobs)
    return [blob.sha256 for blob in stub.FindMissingBlobs(request, metadata=metadata, timeout=20).missing]


def test_killed_in_mid_upload_and_in_mid_download(platform: Processes) -> None:
    channel, stub, metadata = connected(platform)
    arrived, ended = threading.Event(), threading.Event()

    def cut_off() -> Iterator[Any]:
        requests = upload_of(*list(FILES.values())[:19], piece=PIECE)
        # Half of the last one stays away.
        yield from requests[:-8]
        assert arrived.wait(30)
        platform.kill_one("artifact")
        assert ended.wait(30)

    with channel:
        acknowledged = 0
        try:
            for response in stub.UploadBlobs(cut_off(), metadata=metadata, timeout=60):
                acknowledged = response.blob_count
                if acknowledged >= 16:
                    arrived.set()
        except grpc.RpcError:
            # Where a message was on its way when the call ended, grpc says INTERNAL whatever the server said.
            ended.set()
        assert ended.is_set()
        assert acknowledged >= 16
        platform.restart_one("artifact")

        # What was acknowledged is there, what was half there is not.
        left = missing(stub, metadata)
        assert len(FILES) - 18 <= len(left) <= len(FILES) - acknowledged
        files = {**FILES, "whole": b"".join(FILES.values())}
        entries = [entry_of(path, content) for path, content in files.items()]
        publish = pb.PublishArtifactVersionRequest(parent=f"{PROJECT}/artifacts/big", entries=entries)
        with pytest.raises(grpc.RpcError) as refused:
            stub.PublishArtifactVersion(publish, metadata=metadata, timeout=20)
        assert code_of(refused.value) is grpc.StatusCode.FAILED_PRECONDITION
        rest = [content for content in FILES.values() if blob_of(content).sha256 in left]
        requests = upload_of(*rest, files["whole"])
        *_, last = stub.UploadBlobs(iter(requests), metadata=metadata, timeout=60)
        assert last.blob_count == len(rest) + 1
        version = stub.PublishArtifactVersion(publish, metadata=metadata, timeout=20).version

        received = b""
        codes: list[grpc.StatusCode] = []
        download = pb.DownloadFileRequest(name=version.name, path="whole")
        try:
            for response in stub.DownloadFile(download, metadata=metadata, timeout=60):
                if response.data and not received:
                    platform.kill_one("artifact")
                received += response.data
        except grpc.RpcError as error:
            codes.append(code_of(error))
        assert codes == [grpc.StatusCode.UNAVAILABLE]
        assert 0 < len(received) < len(files["whole"])
        platform.restart_one("artifact")
        download = pb.DownloadFileRequest(name=version.name, path="whole", offset=len(received))
        for response in stub.DownloadFile(download, metadata=metadata, timeout=60):
            received += response.data
        assert received == files["whole"]
        storage = pb.GetArtifactStorageRequest(name=f"{PROJECT}/artifactStorage")
        used = stub.GetArtifactStorage(storage, metadata=metadata, timeout=20).storage.used_bytes
        assert used == version.size_bytes


def test_files_of_a_run_are_whole_or_not_there(platform: Processes) -> None:
    """Files are put over HTTP, as MLflow's clients do, and each again until it was answered; the service dies meanwhile."""
    at = f"/api/2.0/mlflow-artifacts/artifacts/0/{'ab' * 16}/artifacts"
    # Some are held in memory until they are whole, some are written while they come.
    contents = {
        f"d{n % 3}/{n:02}": hashlib.sha256(bytes([n])).digest() * (1_000 if n % 2 else 60_000) for n in range(40)
    }
    contents |= {f"d0/always-{n}": contents["d0/00"] for n in range(4)}
    put: list[str] = []
    kills = threading.Semaphore(0)

    def ask(method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{platform.http}{path}", body, method=method)
        request.add_header("Authorization", f"Bearer {platform.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def used_bytes() -> int:
        return int(json.loads(ask("GET", f"/api/v1/{PROJECT}/artifactStorage"))["storage"].get("usedBytes", 0))

    def put_all() -> None:
        for number, (path, content) in enumerate(contents.items()):
            if number in {5, 17, 29}:
                kills.release()
            for _ in range(600):
                with contextlib.suppress(OSError):  # also HTTP's 503 is one
                    ask("PUT", f"{at}/{path}", content)
                    put.append(path)
                    break
                time.sleep(0.05)

    before = used_bytes()
    putting = threading.Thread(target=put_all)
    putting.start()
    for _ in range(3):
        assert kills.acquire(timeout=60)
        platform.kill_one("artifact")
        platform.restart_one("artifact")
    putting.join(60)
    assert put == list(contents)
    listed = [
        file["path"] if not directory else f"{directory}/{file['path']}"
        for directory in ("", "d0", "d1", "d2")
        for file in json.loads(ask("GET", f"{at.partition('/0/')[0]}?path=0/{'ab' * 16}/artifacts/{directory}"))[
            "files"
        ]
        if not file["is_dir"]
    ]
    assert sorted(listed) == sorted(contents)
    for path, content in contents.items():
        assert ask("GET", f"{at}/{path}") == content, path
    assert used_bytes() - before == sum(len(content) for content in set(contents.values()))
