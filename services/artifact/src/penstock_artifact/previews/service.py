"""The use case: looks into a file and tells what can be shown of it. Knows nothing of gRPC or of documents."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from penstock_artifact.contents import Download
from penstock_artifact.previews.delimited import DELIMITED, table_in
from penstock_artifact.previews.domain import HEAD_BYTES, Content, Preview, media_in, suffix_of, text_in
from penstock_artifact.previews.parquet import PARQUET, Unreadable, table_of
from penstock_kit.threads import in_thread

__all__ = ["Previewer"]

PROCESSES_MAX: Final = 2
"""Parquet files that are read at once; the others wait."""

Open = Callable[[int, int], Awaitable[Download]]
"""Opens a file: so many bytes from an offset, 0 for all."""


class Previewer:
    """Makes previews."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(PROCESSES_MAX)

    async def preview(self, path: str, open_file: Open) -> Preview:
        """Tells what can be shown of a file.

        Args:
            path: Its path, which says how a text is written.
            open_file: Opens it. What that raises passes.
        """
        download = await open_file(0, HEAD_BYTES)
        blob, head = download.blob, await _bytes_of(download)
        if not head.startswith(PARQUET):
            return Preview(blob, await in_thread(_content, path, head, truncated=blob.size > len(head)))

        async def read(offset: int, length: int) -> bytes:
            if offset + length <= len(head):
                return head[offset : offset + length]
            part = await open_file(offset, length)
            if part.blob != blob:
                raise Unreadable("it was replaced meanwhile")
            return await _bytes_of(part)

        try:
            async with self._turns:
                return Preview(blob, await table_of(blob.size, read))
        except Unreadable as error:
            return Preview(blob, problem=f"It cannot be shown as Parquet: {error}.")


def _content(path: str, head: bytes, *, truncated: bool) -> Content | None:
    if media := media_in(path, head):
        return media
    text = text_in(path, head, truncated=truncated)
    if text is not None and suffix_of(path) in DELIMITED:
        return table_in(text.text, truncated=truncated) or text
    return text


async def _bytes_of(download: Download) -> bytes:
    async with aclosing(download.pieces) as pieces:  # type: ignore[type-var]  # it is a generator
        return b"".join([piece async for piece in pieces])
