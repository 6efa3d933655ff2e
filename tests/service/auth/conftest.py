"""A running auth service for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.auth import AuthServer, auth_server

from penstock_kit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[AuthServer]:
    async with auth_server(tmp_path, clock) as running:
        yield running
