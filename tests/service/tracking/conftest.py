"""The server of these tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.tracking import Tracking, serving_tracking


@pytest.fixture
async def tracking(tmp_path: Path) -> AsyncIterator[Tracking]:
    async with serving_tracking(tmp_path) as server:
        yield server
