"""The server of these tests: on SQLite, and on MongoDB where a test asks for `any_registry`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.registry import Registry, serving_registry
from support.store_servers import need

from penstock_kit.ids import random_id
from penstock_local.servers import MongoServer


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with serving_registry(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def registry_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    need(MongoServer)
    with MongoServer(tmp_path_factory.mktemp("registry-mongod")) as server:
        yield server


@pytest.fixture(params=["sqlite", "mongodb"])
def documents_url(request: pytest.FixtureRequest) -> str:
    """The store of a service: nothing for a file, or a database that nobody used before."""
    if request.param == "sqlite":
        return ""
    server: MongoServer = request.getfixturevalue("registry_mongo")
    return server.database_url(f"test_{random_id()}")


@pytest.fixture
async def any_registry(tmp_path: Path, documents_url: str) -> AsyncIterator[Registry]:
    async with serving_registry(tmp_path, documents_url=documents_url) as server:
        yield server
