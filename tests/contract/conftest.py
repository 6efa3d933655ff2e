"""Real servers for the contract suites: one of each kind per test process, and a fresh place on it for each test."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from typing_extensions import override

from penstock_local.servers import MongoServer, ProgramMissing


class FaultyMongoServer(MongoServer):
    """A `mongod` that can be told to fail: see `failing` in `support.mongo`."""

    @override
    def _command(self, program: Path) -> list[str]:
        return [*super()._command(program), "--setParameter", "enableTestCommands=1"]


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A replica set of one node. Skips where there can be none, unless the variable PENSTOCK_TEST_SERVERS is `required`."""
    try:
        MongoServer.fetch()
    except ProgramMissing as error:
        if os.environ.get("PENSTOCK_TEST_SERVERS") == "required":
            raise
        pytest.skip(str(error))
    with FaultyMongoServer(tmp_path_factory.mktemp("mongod")) as server:
        yield server


_databases = itertools.count(1)


@pytest.fixture
def mongodb_url(mongo_server: MongoServer) -> Iterator[str]:
    """The URL of a database that nobody used before."""
    database = f"test_{next(_databases)}"
    yield mongo_server.database_url(database)
    with MongoClient(mongo_server.url) as client:
        client.drop_database(database)
