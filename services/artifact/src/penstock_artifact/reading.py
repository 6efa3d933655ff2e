"""Owns how bytes are read: each piece while the one before is on its way, and small files several at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from penstock_artifact.store import StoredBlob
from penstock_kit.stores.blobs import BlobStore

__all__ = ["SMALL_BYTES_MAX", "read_ahead", "read_blobs"]

SMALL_BYTES_MAX: Final = 1024 * 1024
"""Up to so many bytes a blob is one piece, and read whole while others are."""
READ_AT_ONCE_MAX: Final = 16
"""So many small blobs are read at once: each waits for disk or network longer than it takes to come."""

READ_AT_ONCE_BYTES: Final = 4 * 1024 * 1024


async def read_ahead(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yields the pieces, and reads each while the one before is sent."""

    async def read() -> bytes | None:
        return await anext(pieces, None)

    reading = asyncio.create_task(read())
    try:
        while (piece := await reading) is not None:
            reading = asyncio.create_task(read())
            yield piece
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def read_blobs(blobs: BlobStore, stored: Sequence[StoredBlob]) -> AsyncGenerator[tuple[int, bytes]]:
    """Yields the bytes of blobs, one blob after the other, as index and piece of at most 1 MiB. An empty one has one piece.

    Raises `BlobMissing`.
    """
    reading: deque[asyncio.Task[bytes]] = deque()
    ahead = ahead_bytes = 0
    try:
        for index, blob in enumerate(stored):
            if blob.size > SMALL_BYTES_MAX:
                async with (
                    aclosing(blobs.get(blob.key)) as pieces,  # type: ignore[type-var]  # it is a generator
                    aclosing(read_ahead(pieces)) as read,
                ):
                    async for piece in read:
                        yield index, piece
                continue
            ahead = max(ahead, index)
            while ahead < len(stored) and len(reading) < READ_AT_ONCE_MAX and ahead_bytes < READ_AT_ONCE_BYTES:
                if stored[ahead].size <= SMALL_BYTES_MAX:
                    reading.append(asyncio.create_task(_whole(blobs.get(stored[ahead].key))))
                    ahead_bytes += stored[ahead].size
                ahead += 1
            ahead_bytes -= blob.size
            yield index, await reading.popleft()
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])
