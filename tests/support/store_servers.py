"""Whether the real store servers that tests run on can be had here."""

import os

import pytest

from penstock_local.servers import ProgramMissing, ServerProcess

__all__ = ["need"]


def need(kind: type[ServerProcess]) -> None:
    """Skips where a server cannot be had, unless the variable PENSTOCK_TEST_SERVERS is `required`."""
    try:
        kind.fetch()
    except ProgramMissing as error:
        if os.environ.get("PENSTOCK_TEST_SERVERS") == "required":
            raise
        pytest.skip(str(error))
