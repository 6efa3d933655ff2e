"""Whether the real store servers that tests run on can be had here."""

import os

import pytest

from penstock_local.servers import MinioServer, ProgramMissing, SeaweedServer, ServerProcess

__all__ = ["need", "s3_kind"]


def need(kind: type[ServerProcess]) -> None:
    """Skips where a server cannot be had, unless the variable PENSTOCK_TEST_SERVERS is `required`."""
    try:
        kind.fetch()
    except ProgramMissing as error:
        if os.environ.get("PENSTOCK_TEST_SERVERS") == "required":
            raise
        pytest.skip(str(error))


def s3_kind() -> type[MinioServer | SeaweedServer]:
    """The S3 server for tests that need any: MinIO, which starts quicker, where it can be had."""
    try:
        MinioServer.fetch()
    except ProgramMissing:
        return SeaweedServer
    return MinioServer
