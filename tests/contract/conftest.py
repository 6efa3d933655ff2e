"""Real servers for the contract suites: one of each kind per test process, and a fresh place on it for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from support.store_servers import need
from typing_extensions import override

from penstock_local.servers import (
    MinioServer,
    MongoServer,
    RedisServer,
    S3Server,
    SeaweedServer,
)


class FaultyMongoServer(MongoServer):
    """A `mongod` that can be told to fail: see `failing` in `support.mongo`."""

    @override
    def _command(self, program: Path) -> list[str]:
        return [*super()._command(program), "--setParameter", "enableTestCommands=1"]


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A replica set of one node."""
    need(MongoServer)
    with FaultyMongoServer(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for tests that leave it running."""
    need(RedisServer)
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session", params=[MinioServer, SeaweedServer], ids=["minio", "seaweedfs"])
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Each S3 server in turn, for tests that leave it running."""
    kind: type[MinioServer | SeaweedServer] = request.param
    need(kind)
    with kind(tmp_path_factory.mktemp("s3")) as server:
        yield server


_databases = itertools.count(1)


@pytest.fixture
def mongodb_url(mongo_server: MongoServer) -> Iterator[str]:
    """The URL of a database that nobody used before."""
    database = f"test_{next(_databases)}"
    yield mongo_server.database_url(database)
    with MongoClient(mongo_server.url) as client:
        # A client that a test killed may have left a transaction open, and the drop would wait a minute for its end.
        client.admin.command("killAllSessions", [])
        client.drop_database(database)
