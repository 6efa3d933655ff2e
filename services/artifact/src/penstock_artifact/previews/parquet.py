"""Owns the process that reads the beginning of a Parquet file: what it may read, and how long it may take."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from penstock_artifact.previews.domain import Column, Table

__all__ = ["PARQUET", "Unreadable", "table_of"]

PARQUET: Final = b"PAR1"
"""What such a file begins with."""
READ_BYTES_MAX: Final = 32 * 1024 * 1024
TIMEOUT_S: Final = 20.0
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""100 rows of 50 cells of 200 characters, which JSON writes in at most six bytes each."""

Read = Callable[[int, int], Awaitable[bytes]]
"""Returns so many bytes of a file from an offset."""


class Unreadable(Exception):
    """The file cannot be shown. Its text says why."""


async def table_of(size: int, read: Read) -> Table:
    """Reads the beginning of a table. Raises `Unreadable`, and what `read` raises.

    Args:
        size: The bytes of the file.
        read: Reads some of them.
    """
    process = await asyncio.create_subprocess_exec(
        # Isolated: nothing in the working directory or the environment changes what it runs.
        sys.executable, "-I", "-m", "penstock_artifact.previews.parquet_reader", str(size),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=ANSWER_BYTES_MAX,
        env={"PATH": os.environ.get("PATH", ""), "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _converse(process, read)
    except TimeoutError:
        raise Unreadable(f"reading it took longer than {TIMEOUT_S:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _converse(process: asyncio.subprocess.Process, read: Read) -> Table:
    asking, answers = process.stdin, process.stdout
    assert asking is not None
    assert answers is not None
    left = READ_BYTES_MAX
    while True:
        try:
            message = json.loads(await answers.readline() or b"null")
        except ValueError:
            raise Unreadable("its rows are too long") from None
        if message is None:
            raise Unreadable("reading it took too much memory or processor time")
        if isinstance(message, list):
            offset, length = message
            left -= length
            with contextlib.suppress(ConnectionError):
                if left < 0:
                    asking.close()
                else:
                    asking.write(await read(offset, length))
                    await asking.drain()
        elif "problem" in message:
            raise Unreadable(message["problem"])
        else:
            return Table(
                columns=tuple(Column(name, kind) for name, kind in message["columns"]),
                rows=tuple(tuple(row) for row in message["rows"]),
                column_count=message["column_count"],
                row_count=message["row_count"],
            )
