"""The end-to-end tests run on every shape of the platform and on both kinds of stores:

pytest tests/e2e --shape=one|processes --stores=embedded|servers
"""

import os

import pytest
from support.platform import up_options

from penstock_local.servers import MongoServer, ProgramMissing, RedisServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shape", choices=["one", "processes"], default="one", help="`penstock up`, or with --processes")
    parser.addoption("--stores", choices=["embedded", "servers"], default="embedded", help="as of `penstock up`")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--shape") == "processes":
        up_options.append("--processes")
    up_options.extend(["--stores", config.getoption("--stores")])


@pytest.fixture(scope="session", autouse=True)
def stores(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> None:
    """Looks whether the stores that were asked for can be had."""
    if pytestconfig.getoption("--stores") == "servers":
        request.getfixturevalue("servers")


@pytest.fixture(scope="session")
def servers() -> None:
    """Skips where store servers cannot be had, unless the variable PENSTOCK_TEST_SERVERS is `required`."""
    for kind in (MongoServer, RedisServer):
        try:
            kind.fetch()
        except ProgramMissing as error:
            if os.environ.get("PENSTOCK_TEST_SERVERS") == "required":
                raise
            pytest.skip(str(error))
