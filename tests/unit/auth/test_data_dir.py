"""The data directory and its lock."""

import asyncio
from pathlib import Path

import pytest

from penstock_auth.data_dir import exclusive, prepare
from penstock_auth.errors import StartError


def test_a_data_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "deep" / "data")
    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "deep" / "data").iterdir()) == []


def test_a_data_directory_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"Cannot write in the data directory .*/file/data: .*choose another"):
        prepare(tmp_path / "file" / "data")


async def test_one_at_a_time_is_inside_the_lock(tmp_path: Path) -> None:
    inside = 0
    most = 0

    async def enter() -> None:
        nonlocal inside, most
        async with exclusive(tmp_path):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(4)))
    assert most == 1


async def test_a_lock_in_a_place_that_is_no_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="data directory"):
        async with exclusive(tmp_path / "file"):
            pass
