"""A file of 2 GB (PENSTOCK_BENCH_ARTIFACT_MB) to the S3 server and back, beside minio-py doing the same in the same run.

The bytes go through the artifact service by itself and are verified there. They are random and made anew for each round, and
what comes back is compared by its digest. minio-py verifies nothing.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from minio import Minio

from loadtests.lone_service import LoneService, running_service
from loadtests.report import Figure, median, peak_bytes
from penstock.api.artifact.v1 import artifact_pb2, artifact_service_pb2, artifact_service_pb2_grpc
from penstock_local.servers import MinioServer, MongoServer, SeaweedServer

pb = artifact_service_pb2

MB = 1_000_000
SIZE_MB = int(os.environ.get("PENSTOCK_BENCH_ARTIFACT_MB", "2000"))
PIECE_BYTES = 1_048_576
ROUNDS = 3
RATIO_GOAL = 0.8
MEMORY_GOAL_MB = 100.0
PROJECT = "projects/default"
ARTIFACT = f"{PROJECT}/artifacts/big"


def _write(path: Path) -> artifact_pb2.BlobId:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE_MB):
            piece = os.urandom(MB)
            digest.update(piece)
            file.write(piece)
    return artifact_pb2.BlobId(sha256=digest.hexdigest(), size_bytes=SIZE_MB * MB)


def _upload(service: LoneService, path: Path, blob: artifact_pb2.BlobId) -> None:
    def requests() -> Iterator[Any]:
        yield pb.UploadBlobsRequest(parent=PROJECT, blob=blob)
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield pb.UploadBlobsRequest(data=piece)

    stub = artifact_service_pb2_grpc.ArtifactServiceStub(service.channel)
    *_, last = stub.UploadBlobs(requests(), metadata=service.metadata)
    assert last.blob_count == 1
    entry = artifact_pb2.ManifestEntry(path="file", file=artifact_pb2.ManifestFile(blob=blob))
    stub.PublishArtifactVersion(
        pb.PublishArtifactVersionRequest(parent=ARTIFACT, entries=[entry]), metadata=service.metadata
    )


def _download(service: LoneService, path: Path) -> None:
    stub = artifact_service_pb2_grpc.ArtifactServiceStub(service.channel)
    request = pb.DownloadFileRequest(name=f"{ARTIFACT}/versions/latest", path="file")
    with path.open("wb") as file:
        for response in stub.DownloadFile(request, metadata=service.metadata):
            file.write(response.data)


def _mb_per_s(work: Any, *arguments: Any) -> float:
    start_s = time.perf_counter()
    work(*arguments)
    return SIZE_MB / (time.perf_counter() - start_s)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run() -> list[Figure]:
    """Measures both directions."""
    kind = MinioServer if MinioServer.available() is not None else SeaweedServer
    ours: dict[str, list[float]] = {"upload": [], "download": []}
    peers: dict[str, list[float]] = {"upload": [], "download": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        MongoServer(Path(folder, "mongo")) as mongo,
        kind(Path(folder, "s3")) as s3,
    ):
        for bucket in ("artifacts", "peer"):
            s3.make_bucket(bucket)
        keys, _, address = s3.bucket_url("peer").removeprefix("s3://").partition("@")
        peer = Minio(address.partition("/")[0], *keys.split(":"), secure=False)
        settings = {
            "data_dir": str(Path(folder, "data")),
            "documents_url": mongo.database_url("artifacts"),
            "blobs_url": s3.bucket_url("artifacts"),
        }
        file, back = Path(folder, "file"), Path(folder, "back")
        with running_service("artifact", settings) as service:
            idle_bytes = psutil.Process(service.pid).memory_info().rss
            for _ in range(ROUNDS):
                blob = _write(file)
                peers["upload"].append(_mb_per_s(peer.fput_object, "peer", "file", str(file)))
                ours["upload"].append(_mb_per_s(_upload, service, file, blob))
                peers["download"].append(_mb_per_s(peer.fget_object, "peer", "file", str(back)))
                ours["download"].append(_mb_per_s(_download, service, back))
                assert _digest(back) == blob.sha256
            above_idle_mb = (peak_bytes(service.pid) - idle_bytes) / MB
    return [
        *(
            Figure(
                name=f"artifact {direction} of {SIZE_MB} MB through the service",
                value=median(ours[direction]),
                unit="MB/s",
                goal=None,
                better="higher",
                beside_name=f"minio-py straight to the same {kind.__name__.removesuffix('Server')}",
                beside=median(peers[direction]),
                details={"rounds": ours[direction], "peer_rounds": peers[direction]},
                ratio_goal=RATIO_GOAL,
            )
            for direction in ("upload", "download")
        ),
        Figure(
            name=f"memory of the artifact service above idle, files of {SIZE_MB} MB",
            value=above_idle_mb,
            unit="MB",
            goal=MEMORY_GOAL_MB,
            better="lower",
            beside_name="idle",
            beside=idle_bytes / MB,
        ),
    ]
