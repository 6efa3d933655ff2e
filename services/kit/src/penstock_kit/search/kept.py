"""Columns that outlive the process: tables of a project as chunks in the blob store, and which chunks go together.

Kept columns are a shortcut: everything in them can be read from what they were made of. So they may be late, and they may be
lost. Each chunk is a blob that is never written again. A manifest in the document store names the chunks
that go together, with the digests of their heads, and the changes that they hold. It is replaced only if it is as it was
read: of two replicas that keep at once one wins, and a process that ends in the middle leaves blobs that no manifest names.
Those are removed later.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Protocol, TypeVar

from penstock_kit.clock import Clock
from penstock_kit.search.cache import ByteBoundedCache
from penstock_kit.search.chunks import (
    FORMAT,
    ROWS_PER_CHUNK,
    Chunk,
    ChunkDamaged,
    ChunkRows,
    ColumnKey,
    EncodedChunk,
    encode_chunk,
    read_head,
)
from penstock_kit.search.columns import Piece
from penstock_kit.search.table import Table
from penstock_kit.stores.blobs import BlobMissing, BlobStore
from penstock_kit.stores.documents import DocumentExists, DocumentMissing, DocumentStore, VersionConflict
from penstock_kit.threads import in_thread

__all__ = ["KEPT_COLUMNS", "KeptChunk", "KeptColumns", "KeptColumnsLost", "KeptProjects", "Manifest", "WrittenTable"]

KEPT_COLUMNS: Final = "kept_columns"
"""The collection of the manifests, which whoever opens a store for this declares."""

READS_AT_ONCE: Final = 8
LEFT_OVER_S: Final = (
    3_600  # a blob that no manifest names is removed at this age: somebody may be reading or writing it
)

_log = logging.getLogger(__name__)


class KeptColumnsLost(Exception):
    """Chunks that a manifest names are gone, or are not as they were written."""


@dataclass(frozen=True, slots=True)
class KeptChunk:
    """Where a chunk is: the key of its blob, the length of its head in bytes, and the SHA-256 of the head."""

    blob: str
    head_bytes: int
    head_sha256: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which chunks go together.

    Attributes:
        positions: How far in each feed: every change up to there is in the chunks. By names of whoever keeps them.
        tables: The chunks of each table, in order of their rows.
        version: Of the document; 0 if it is not written yet.
    """

    positions: Mapping[str, Any]
    tables: Mapping[str, Sequence[KeptChunk]]
    version: int = 0


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table as it was written.

    Attributes:
        kept: Its chunks: those that were written now, and those of before that did not change.
        chunks: Where their columns are.
        included: What had been written to columns that were not loaded, and is in the chunks now.
    """

    kept: Sequence[KeptChunk]
    chunks: Sequence[Chunk]
    included: Sequence[tuple[ColumnKey, Mapping[int, Any]]]

    def settle(self, table: Table) -> None:
        """Has a table forget what it held on top of the chunks of before."""
        for key, rows in self.included:
            table.columns[key].settle(rows)


class KeptColumns:
    """Reads and writes the kept columns of projects."""

    def __init__(self, documents: DocumentStore, blobs: BlobStore, clock: Clock) -> None:
        self._documents = documents
        self._blobs = blobs
        self._clock = clock

    async def manifest(self, project: str) -> Manifest | None:
        """Returns the newest manifest, None if there is none."""
        found = await self._documents.get_many(KEPT_COLUMNS, project, [_MANIFEST])
        if _MANIFEST not in found:
            return None
        document = found[_MANIFEST]
        tables = {name: [KeptChunk(*chunk) for chunk in chunks] for name, chunks in document.body["tables"].items()}
        return Manifest(document.body["positions"], tables, document.version)

    async def publish(self, project: str, manifest: Manifest, *, instead_of: int) -> Manifest | None:
        """Makes a manifest the newest. Returns it as it is kept, None if somebody else was quicker.

        Args:
            project: The project.
            manifest: The manifest.
            instead_of: The version of the one it replaces, 0 if there was none.
        """
        tables = {
            name: [[chunk.blob, chunk.head_bytes, chunk.head_sha256] for chunk in chunks]
            for name, chunks in manifest.tables.items()
        }
        body = {"positions": dict(manifest.positions), "tables": tables}
        try:
            if instead_of:
                document = await self._documents.replace(KEPT_COLUMNS, project, _MANIFEST, body, expected=instead_of)
            else:
                document = await self._documents.insert(KEPT_COLUMNS, project, _MANIFEST, body)
        except (VersionConflict, DocumentExists, DocumentMissing):
            return None
        return replace(manifest, version=document.version)

    async def forget(self, project: str, version: int) -> None:
        """Removes a manifest, unless there is a newer one."""
        try:
            await self._documents.delete(KEPT_COLUMNS, project, _MANIFEST, expected=version)
        except (VersionConflict, DocumentMissing):
            return

    async def chunks(self, kept: Sequence[KeptChunk]) -> list[tuple[Chunk, ChunkRows]]:
        """Returns which rows and columns a table has, in order. Raises `KeptColumnsLost`."""
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def head(chunk: KeptChunk) -> bytes:
            async with limit:
                data = await self._read(chunk.blob, 0, chunk.head_bytes)
            if hashlib.sha256(data).digest() != chunk.head_sha256:
                raise KeptColumnsLost(f"The head of {chunk.blob} is not as it was written.")
            return data

        def read(heads: Sequence[bytes]) -> list[tuple[Chunk, ChunkRows]]:
            return [read_head(number * ROWS_PER_CHUNK, data) for number, data in enumerate(heads)]

        heads = await asyncio.gather(*map(head, kept))
        try:
            return await in_thread(read, heads)
        except ChunkDamaged as error:
            raise KeptColumnsLost(str(error)) from None

    async def pieces(
        self, kept: Sequence[KeptChunk], chunks: Sequence[Chunk], keys: Iterable[ColumnKey]
    ) -> dict[ColumnKey, list[Piece]]:
        """Returns the values of columns, in order of the chunks. Raises `KeptColumnsLost`."""
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def piece(place: KeptChunk, chunk: Chunk, key: ColumnKey) -> bytes:
            section = chunk.sections[key]
            async with limit:
                return await self._read(place.blob, place.head_bytes + section.offset, section.length)

        wanted = [
            (place, chunk, key)
            for key in keys
            for place, chunk in zip(kept, chunks, strict=True)
            if key in chunk.sections
        ]
        read = await asyncio.gather(*(piece(*one) for one in wanted))

        def decoded() -> dict[ColumnKey, list[Piece]]:
            found: dict[ColumnKey, list[Piece]] = {}
            for (_, chunk, key), data in zip(wanted, read, strict=True):
                found.setdefault(key, []).append(chunk.piece(key, data))
            return found

        try:
            return await in_thread(decoded)
        except ChunkDamaged as error:
            raise KeptColumnsLost(str(error)) from None

    async def write_table(
        self,
        project: str,
        table: Table,
        lock: asyncio.Lock,
        before: tuple[Sequence[KeptChunk], Sequence[Chunk]],
        changed: Iterable[int],
        note: Callable[[int, int], bytes],
    ) -> WrittenTable:
        """Writes the chunks with changed rows, which count once a manifest names them.

        Raises `KeptColumnsLost`, `ChunkDamaged`.

        Args:
            project: The project.
            table: The table.
            lock: Held by whoever reads or writes the table. It is let go between two chunks, so a chunk may hold later
                changes than the one before: whoever reads them takes them over once more.
            before: The chunks as they were kept last.
            changed: The rows that changed since.
            note: What is added to the head of a chunk, by its first row and that after its last one.
        """
        kept, chunks = dict(enumerate(before[0])), dict(enumerate(before[1]))
        included: list[tuple[ColumnKey, Mapping[int, Any]]] = []
        for number in sorted({row // ROWS_PER_CHUNK for row in changed}):
            async with lock:
                former = chunks.get(number)
                needed = former is not None and former.sections and not table.loaded
                body = await self._read(kept[number].blob, kept[number].head_bytes, None) if needed else b""
                first = number * ROWS_PER_CHUNK
                noted = note(first, min(first + ROWS_PER_CHUNK, table.row_count))
                encoded = await in_thread(encode_chunk, table, number, former, body, noted)
            kept[number] = await self._write(project, encoded)
            chunks[number] = encoded.chunk
            included += encoded.included.items()
        order = sorted(kept)
        return WrittenTable([kept[number] for number in order], [chunks[number] for number in order], included)

    async def _write(self, project: str, encoded: EncodedChunk) -> KeptChunk:
        async def content() -> AsyncIterator[bytes]:
            yield encoded.head
            yield encoded.body

        blob = f"{_folder(project)}{self._clock.now_us():016x}-{secrets.token_hex(8)}"
        await self._blobs.put(blob, content())
        return KeptChunk(blob, len(encoded.head), hashlib.sha256(encoded.head).digest())

    async def sweep(self, project: str) -> None:
        """Removes the blobs that no manifest names, once they are old."""
        manifest = await self.manifest(project)
        tables = manifest.tables.values() if manifest else ()
        named = {chunk.blob for chunks in tables for chunk in chunks}
        folder = _folder(project)
        youngest = f"{folder}{self._clock.now_us() - LEFT_OVER_S * 1_000_000:016x}"
        cursor: str | None = None
        while True:
            page = await self._blobs.list(folder, cursor=cursor)
            for blob in page.blobs:
                if blob.key < youngest and blob.key not in named:
                    await self._blobs.delete(blob.key)
            cursor = page.cursor
            if cursor is None:
                return

    async def _read(self, blob: str, offset: int, length: int | None) -> bytes:
        try:
            return b"".join([piece async for piece in self._blobs.get(blob, offset=offset, length=length)])
        except BlobMissing:
            raise KeptColumnsLost(f"There is no blob {blob}.") from None


class Keepable(Protocol):
    """The tables of a project in memory.

    Attributes:
        lock: Held by whoever reads or writes them.
        manifest: What is kept of them, None if nothing is.
    """

    lock: asyncio.Lock
    manifest: Manifest | None

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        ...

    @property
    def worn(self) -> bool:
        """Whether so many rows are dead that it is better read anew."""
        ...


K = TypeVar("K", bound=Keepable)
T = TypeVar("T")


class KeptProjects(Generic[K]):
    """The projects in memory, each opened from what is kept when it is needed.

    Args:
        kept: What is kept.
        open_project: Opens a project as it is kept. Raises `KeptColumnsLost`.
        bytes_max: Bound of the memory for all together.
    """

    def __init__(self, kept: KeptColumns, open_project: Callable[[str], Awaitable[K]], bytes_max: int) -> None:
        self._kept = kept
        self._open = open_project
        self._held: ByteBoundedCache[K] = ByteBoundedCache(bytes_max)

    def get(self, project: str) -> K | None:
        """Returns a project if it is in memory."""
        return self._held.get(project)

    def drop(self, project: str) -> None:
        """Has a project opened anew from what is kept."""
        self._held.drop(project)

    async def forget(self, project: str, manifest: Manifest | None) -> None:
        """Has a project read anew from the beginning."""
        if manifest is not None:
            await self._kept.forget(project, manifest.version)
        self.drop(project)

    async def use(self, project: str, work: Callable[[K], Awaitable[T]]) -> T:
        """Does work on a project while nobody else touches it.

        Where kept columns turn out to be lost, it begins anew with what is kept by then, or with nothing.
        """
        lost: int | None = None
        while True:
            held = self._held.get(project)
            try:
                if held is None:
                    # Several may open at once; each has an answer, and the last one's stays.
                    held = await self._open(project)
                    self._held.put(project, held)
                async with held.lock:
                    result = await work(held)
                if held.worn:
                    await self.forget(project, held.manifest)
                elif self._held.get(project) is held:
                    self._held.put(project, held)  # weighed anew
                return result
            except KeptColumnsLost as error:
                # Another replica may have replaced them. If not, they are of no use to anybody.
                manifest = await self._kept.manifest(project)
                version = manifest.version if manifest else 0
                if lost == version:
                    _log.warning("The kept columns of %s are lost and will be made anew: %s", project, error)
                    await self.forget(project, manifest)
                lost = version
                self.drop(project)


_MANIFEST: Final = f"v{FORMAT}"  # programs of other formats keep their own


def _folder(project: str) -> str:
    return f"search/v{FORMAT}/{project}/"
