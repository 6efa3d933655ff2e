"""The server of these tests: on SQLite and files, and on MongoDB and S3 where a test asks for `any_artifacts`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.artifact import Artifacts, serving_artifacts
from support.store_servers import need, s3_kind

from penstock_kit.clock import ManualClock
from penstock_kit.ids import random_id
from penstock_local.servers import MinioServer, MongoServer, SeaweedServer


@pytest.fixture
async def artifacts(tmp_path: Path) -> AsyncIterator[Artifacts]:
    async with serving_artifacts(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def artifact_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    need(MongoServer)
    with MongoServer(tmp_path_factory.mktemp("artifact-mongod")) as server:
        yield server


@pytest.fixture(scope="session")
def artifact_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer | SeaweedServer]:
    kind = s3_kind()
    need(kind)
    with kind(tmp_path_factory.mktemp("artifact-s3")) as server:
        yield server


@pytest.fixture(params=["files", "servers"])
def store_urls(request: pytest.FixtureRequest) -> dict[str, str]:
    """The stores of a service: none named for files, or a database and a bucket that nobody used before."""
    if request.param == "files":
        return {}
    mongo: MongoServer = request.getfixturevalue("artifact_mongo")
    s3: MinioServer = request.getfixturevalue("artifact_s3")
    name = random_id()
    s3.make_bucket(name)
    return {"documents_url": mongo.database_url(f"test_{name}"), "blobs_url": s3.bucket_url(name)}


@pytest.fixture
async def direct_artifacts(
    tmp_path: Path, artifact_mongo: MongoServer, artifact_s3: MinioServer | SeaweedServer
) -> AsyncIterator[Artifacts]:
    """A server whose clients reach the object store."""
    name = random_id()
    artifact_s3.make_bucket(name)
    async with serving_artifacts(
        tmp_path,
        documents_url=artifact_mongo.database_url(f"test_{name}"),
        blobs_url=artifact_s3.bucket_url(name),
        s3_public_url=f"http://127.0.0.1:{artifact_s3.port}",
    ) as server:
        yield server


@pytest.fixture
async def any_artifacts(tmp_path: Path, store_urls: dict[str, str]) -> AsyncIterator[Artifacts]:
    async with serving_artifacts(tmp_path, **store_urls) as server:
        yield server


@pytest.fixture
async def timed_artifacts(tmp_path: Path, store_urls: dict[str, str]) -> AsyncIterator[tuple[Artifacts, ManualClock]]:
    """A server whose time the test moves."""
    clock = ManualClock()
    async with serving_artifacts(tmp_path, clock=clock, **store_urls) as server:
        yield server, clock
