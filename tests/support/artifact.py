"""An artifact server in a test."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from support.auth import Refusal, refused
from support.servers import OpenGuard, bearer, serving

from penstock.api.artifact.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    file_pb2,
    transfer_pb2,
)
from penstock_artifact.app import ArtifactStores, build, open_stores
from penstock_artifact.collector import Collector
from penstock_artifact.files.store import FileStore
from penstock_artifact.settings import ArtifactSettings
from penstock_artifact.store import ArtifactStore
from penstock_kit.access import Role
from penstock_kit.clock import Clock, SystemClock

pb = artifact_service_pb2

PROJECT = "projects/default"
ARTIFACT = f"{PROJECT}/artifacts/digits"
RUN = f"{PROJECT}/runs/{'ab' * 16}"


def blob_of(content: bytes) -> artifact_pb2.BlobId:
    """The id of some bytes."""
    return artifact_pb2.BlobId(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def entry_of(path: str, content: bytes, media_type: str = "") -> artifact_pb2.ManifestEntry:
    """A file of a manifest."""
    return artifact_pb2.ManifestEntry(
        path=path, file=artifact_pb2.ManifestFile(blob=blob_of(content), media_type=media_type)
    )


def request_of(method: str, **fields: Any) -> Any:
    """The request of a method with these fields."""
    module = next(module for module in (pb, transfer_pb2) if hasattr(module, f"{method}Request"))
    return getattr(module, f"{method}Request")(**fields)


def upload_of(*contents: bytes, parent: str = PROJECT, piece: int = 1_000_000) -> list[Any]:
    """The messages that upload some blobs."""
    requests: list[Any] = []
    for content in contents:
        requests.append(pb.UploadBlobsRequest(blob=blob_of(content)))
        requests += [
            pb.UploadBlobsRequest(data=content[start : start + piece]) for start in range(0, len(content), piece)
        ]
    requests[0].parent = parent
    return requests


def file_of(path: str, content: bytes, media_type: str = "") -> file_pb2.File:
    """A file of a run that shall be put."""
    return file_pb2.File(path=path, blob=blob_of(content), media_type=media_type)


def file_upload_of(
    path: str, content: bytes, *, parent: str = RUN, piece: int = 1_000_000, size: int | None = None
) -> list[Any]:
    """The messages that upload a file of a run."""
    upload = file_pb2.FileUpload(path=path, media_type="text/plain", size_bytes=size)
    pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
    return [
        pb.UploadFileRequest(parent=parent, upload=upload),
        *(pb.UploadFileRequest(data=piece) for piece in pieces),
    ]


def parts_of(
    upload: transfer_pb2.BlobUpload, content: bytes, *numbers: int, piece: int = 4_000_000
) -> list[transfer_pb2.UploadPartsRequest]:
    """The messages that send parts of an upload."""
    requests: list[transfer_pb2.UploadPartsRequest] = []
    for number in numbers:
        part = part_of(upload, content, number)
        requests.append(transfer_pb2.UploadPartsRequest(part=number))
        requests += [
            transfer_pb2.UploadPartsRequest(data=part[start : start + piece]) for start in range(0, len(part), piece)
        ]
    requests[0].name = upload.name
    return requests


def part_of(upload: transfer_pb2.BlobUpload, content: bytes, number: int) -> bytes:
    """The bytes of a part."""
    return content[(number - 1) * upload.part_bytes : number * upload.part_bytes]


@dataclass
class Artifacts:
    """A server, and a caller that may do everything in the projects `default` and `other`."""

    address: str
    guard: OpenGuard
    channel: grpc.aio.Channel
    stores: ArtifactStores
    clock: Clock

    @property
    def stub(self) -> Any:
        return artifact_service_pb2_grpc.ArtifactServiceStub(self.channel)

    def metadata(self, by: str = "users/ada") -> Any:
        return bearer(self.guard.issue(by))

    async def call(self, method: str, *, by: str = "users/ada", **fields: Any) -> Any:
        """Makes a unary call with these fields of its request."""
        request = request_of(method, **fields)
        return await getattr(self.stub, method)(request, metadata=self.metadata(by), timeout=20)

    async def refused(self, method: str, **fields: Any) -> Refusal:
        """Makes a call that must fail."""
        return await refused(self.call(method, **fields))

    async def send(self, requests: Iterable[Any]) -> int:
        """Sends the messages of an upload. Returns how many blobs are durable."""
        durable = 0
        async for response in self.stub.UploadBlobs(iter(requests), metadata=self.metadata(), timeout=20):
            durable = response.blob_count
        return durable

    async def upload(self, *contents: bytes, parent: str = PROJECT) -> None:
        """Uploads blobs."""
        assert await self.send(upload_of(*contents, parent=parent)) == len(contents)

    async def publish(
        self, files: Mapping[str, bytes], parent: str = ARTIFACT, **fields: Any
    ) -> artifact_pb2.ArtifactVersion:
        """Uploads files and publishes a version with them."""
        await self.upload(*files.values(), parent="/".join(parent.split("/")[:2]))
        entries = [entry_of(path, content) for path, content in files.items()]
        response = await self.call("PublishArtifactVersion", parent=parent, entries=entries, **fields)
        return response.version

    async def send_file(self, requests: Iterable[Any]) -> file_pb2.File:
        """Sends the messages of an upload of a file of a run, once it is let in. Returns what is there."""
        first, *rest = requests
        stream = self.stub.UploadFile(metadata=self.metadata(), timeout=20)
        await stream.write(first)
        assert not (await stream.read()).HasField("file")
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for request in rest:
                await stream.write(request)
                # A refusal that meets a write is lost in gRPC: it is given the time to come before the next one.
                await asyncio.sleep(0.01)
            await stream.done_writing()
        return (await stream.read()).file

    async def put(self, files: Mapping[str, bytes], parent: str = RUN) -> list[file_pb2.File]:
        """Uploads files of a run and puts them."""
        await self.upload(*files.values(), parent="/".join(parent.split("/")[:2]))
        wanted = [file_of(path, content) for path, content in files.items()]
        return list((await self.call("PutFiles", parent=parent, files=wanted)).files)

    async def listed(self, directory: str = "", parent: str = RUN, **fields: Any) -> list[str]:
        """The paths of a directory of a run; those of directories with a slash at the end."""
        response = await self.call("ListFiles", parent=parent, directory=directory, **fields)
        return [entry.file.path or f"{entry.directory}/" for entry in response.entries]

    async def read(self, name: str, path: str, **fields: Any) -> bytes:
        """Downloads a file."""
        request = pb.DownloadFileRequest(name=name, path=path, **fields)
        pieces = [
            response.data async for response in self.stub.DownloadFile(request, metadata=self.metadata(), timeout=20)
        ]
        return b"".join(pieces)

    async def refused_download(self, name: str, path: str, **fields: Any) -> Refusal:
        """Asks for a download that must fail."""
        return await refused(self.read(name, path, **fields))

    async def missing(self, *contents: bytes, parent: str = PROJECT) -> list[str]:
        """The digests of those that would have to be uploaded."""
        response = await self.call("FindMissingBlobs", parent=parent, blobs=[blob_of(content) for content in contents])
        return [blob.sha256 for blob in response.missing]

    async def used(self, project: str = PROJECT) -> int:
        """The bytes that a project stores."""
        return (await self.call("GetArtifactStorage", name=f"{project}/artifactStorage")).storage.used_bytes

    async def keys(self) -> list[str]:
        """The keys of all bytes in the blob store."""
        return [blob.key for blob in (await self.stores.blobs.list()).blobs]

    async def begin(self, content: bytes, *, by: str = "users/ada") -> transfer_pb2.BlobUpload:
        """Begins to upload a blob in parts, or goes on. The upload has no name if the blob is there."""
        request = {"parent": PROJECT, "blob": blob_of(content)}
        return (await self.call("BeginBlobUpload", by=by, **request)).upload

    async def send_parts(
        self, upload: transfer_pb2.BlobUpload, content: bytes, *numbers: int, **fields: Any
    ) -> list[int]:
        """Sends parts through the service. Returns those that are durable."""
        return [number async for number in self.parts_sent(parts_of(upload, content, *numbers), **fields)]

    async def parts_sent(self, requests: Iterable[Any], *, by: str = "users/ada") -> AsyncIterator[int]:
        """Sends the messages of UploadParts. Yields the parts that are durable."""
        async for response in self.stub.UploadParts(iter(requests), metadata=self.metadata(by), timeout=20):
            yield response.part

    async def send_all(self, requests: Iterable[Any]) -> list[int]:
        """Sends the messages of UploadParts. Returns the parts that are durable."""
        return [number async for number in self.parts_sent(requests)]

    async def finish(self, upload: transfer_pb2.BlobUpload, *, by: str = "users/ada") -> None:
        """Finishes an upload."""
        request = transfer_pb2.FinishBlobUploadRequest(name=upload.name)
        responses = [one async for one in self.stub.FinishBlobUpload(request, metadata=self.metadata(by), timeout=20)]
        assert responses[-1].done
        assert responses[-1].verified_bytes == upload.blob.size_bytes

    async def read_files(self, name: str, *paths: str) -> list[bytes]:
        """Downloads files on one stream."""
        request = transfer_pb2.DownloadFilesRequest(name=name, paths=paths)
        found: list[bytes] = []
        async for response in self.stub.DownloadFiles(request, metadata=self.metadata(), timeout=20):
            for piece in response.pieces:
                assert piece.file in (len(found) - 1, len(found))
                if piece.file == len(found):
                    found.append(b"")
                found[-1] += piece.data
        return found

    @property
    def collector(self) -> Collector:
        documents = self.stores.documents
        return Collector(ArtifactStore(documents), FileStore(documents), self.stores.blobs, self.clock)


def settings_in(folder: Path, **settings: Any) -> ArtifactSettings:
    """Settings with everything in a folder, and no auth service."""
    return ArtifactSettings(data_dir=folder, auth_address="", service_credential_file=folder / "none", **settings)


def open_guard() -> OpenGuard:
    """A guard that knows the projects `default` and `other`, whose administrator is ada."""
    guard = OpenGuard(projects=["default", "other"])
    for project in ("default", "other"):
        guard.grant(project, "users/ada", Role.ADMIN)
    return guard


@asynccontextmanager
async def serving_artifacts(folder: Path, *, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Artifacts]:
    """Runs an artifact service over stores in a folder, or over those that the settings name."""
    clock = clock or SystemClock()
    guard = open_guard()
    whole = settings_in(folder, **settings)
    stores = await open_stores(whole, clock)
    async with (
        serving(build(whole, stores, clock), guard) as address,
        grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel,
    ):
        yield Artifacts(address, guard, channel, stores, clock)
