"""The end-to-end tests run on every shape of the platform: `--shape=one|processes`."""

import pytest
from support.platform import up_options


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shape", choices=["one", "processes"], default="one", help="`penstock up`, or with --processes")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--shape") == "processes":
        up_options.append("--processes")


@pytest.fixture(scope="session")
def shape(pytestconfig: pytest.Config) -> str:
    """`one` or `processes`."""
    return pytestconfig.getoption("--shape")
