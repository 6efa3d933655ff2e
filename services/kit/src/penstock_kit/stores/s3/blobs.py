"""The blob store on a bucket, which it has for itself.

Blob `a-b/c.d` is the object `a,b./c-d!`. The mark at the end lets a blob `a` stand beside blobs `a/...`, which MinIO would
not list and others not take. The other characters make the order of keys that of objects on servers that list folder by
folder, as SeaweedFS does: there a folder's name counts, not what follows it.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator
from itertools import islice
from typing import Final, Self

from minio.datatypes import Part
from minio.error import S3Error
from urllib3 import BaseHTTPResponse

from penstock_kit.stores.blobs import (
    KEY_BYTES_MAX,
    KEY_PATTERN,
    BlobInfo,
    BlobMissing,
    BlobPage,
    KeyInvalid,
)
from penstock_kit.stores.digests import STEP_BYTES, Digesting
from penstock_kit.stores.errors import StoreError
from penstock_kit.stores.parts import (
    PARTS_MAX,
    PartsGone,
    PartsMissing,
    PartsUpload,
    bounded,
    check_part,
    check_part_bytes,
    missing_parts,
)
from penstock_kit.stores.s3.bucket import S3Bucket

__all__ = ["S3BlobStore"]

PIECE_BYTES_MAX: Final = 1_048_576
PART_BYTES: Final = 8_388_608  # of an upload in parts; a put holds about four of them in memory
PARTS_AT_ONCE_MAX: Final = 2
PARTS_PER_PAGE: Final = 1_000
LINK_LIFETIME_S_MAX: Final = 7 * 86_400  # the most that S3 takes

_KEY_RE = re.compile(KEY_PATTERN)
_MARK: Final = "!"
_TO_OBJECT: Final = str.maketrans({"-": ",", ".": "-", "/": "./"})
_FROM_OBJECT: Final = str.maketrans({",": "-", "-": ".", ".": None})
_RANGE_BEHIND_THE_END: Final = "InvalidRange"


class S3BlobStore:
    """The blob store port, and presigned links. Made by `open`."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    @classmethod
    async def open(cls, url: str, *, public_url: str = "") -> Self:
        """Connects. Arguments and errors are those of `S3Bucket.open`."""
        return cls(await S3Bucket.open(url, public_url))

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> BlobInfo:
        """See `BlobStore.put`. What is longer than `PART_BYTES` is sent in parts while it comes."""
        name = _object_name(key)
        parts = _in_parts(chunks)
        first = await anext(parts)
        if len(first) < PART_BYTES:
            await self._bucket.ask(self._bucket.client._put_object, self._bucket.name, name, first)
            return BlobInfo(key, len(first))
        return BlobInfo(key, await self._put_parts(name, first, parts))

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.get`. Raises `ValueError` for a negative offset or length."""
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"offset {offset} and length {length} must not be negative")
        if length == 0:
            await self.stat(key)
            return
        response = await self._bucket.ask(self._open, _object_name(key), offset, length)
        if response is None:
            return
        try:
            while piece := await self._bucket.ask(response.read, PIECE_BYTES_MAX):
                yield piece
        finally:
            response.close()
            response.release_conn()

    async def digest(self, key: str, digesting: Digesting) -> None:
        """See `BlobStore.digest`. One thread reads and digests: handing pieces on costs as much again."""
        await self._bucket.ask(self._digest, _object_name(key), digesting)

    async def stat(self, key: str) -> BlobInfo:
        """See `BlobStore.stat`."""
        found = await self._bucket.ask(self._bucket.client.stat_object, self._bucket.name, _object_name(key))
        return BlobInfo(key, found.size or 0)

    async def delete(self, key: str) -> None:
        """See `BlobStore.delete`."""
        try:
            await self._bucket.ask(self._bucket.client.remove_object, self._bucket.name, _object_name(key))
        except BlobMissing:
            return  # not every server keeps quiet about it

    async def list(self, prefix: str = "", *, limit: int = 1000, cursor: str | None = None) -> BlobPage:
        """See `BlobStore.list`. The cursor is the last key of the page."""
        if limit < 1:
            raise ValueError(f"limit is {limit}; it must be at least 1")
        if prefix and _KEY_RE.fullmatch(prefix.removesuffix("/")) is None:
            return BlobPage([], None)  # of no key; and servers refuse some
        after = _object_name(cursor) if cursor is not None else None

        def work() -> list[BlobInfo]:
            listed = self._bucket.client.list_objects(
                self._bucket.name, prefix=prefix.translate(_TO_OBJECT), recursive=True, start_after=after
            )
            blobs = (
                BlobInfo(_key(found.object_name), found.size or 0)
                for found in listed
                if found.object_name is not None and found.object_name.endswith(_MARK)
            )
            return [*islice(blobs, limit + 1)]

        found = await self._bucket.ask(work)
        return BlobPage(found[:limit], found[limit - 1].key if len(found) > limit else None)

    async def begin_parts(self, key: str, part_bytes: int) -> PartsUpload:
        """See `BlobStore.begin_parts`. A server forgets parts by itself, or by a lifecycle rule of the bucket."""
        check_part_bytes(part_bytes)
        client, name = self._bucket.client, _object_name(key)
        upload = await self._bucket.ask(client._create_multipart_upload, self._bucket.name, name, {})
        return PartsUpload(key, upload, part_bytes)

    async def put_part(self, upload: PartsUpload, number: int, chunks: AsyncIterator[bytes]) -> None:
        """See `BlobStore.put_part`. Holds the part in memory."""
        check_part(number)
        part = b"".join([chunk async for chunk in bounded(chunks, upload.part_bytes)])
        client, name = self._bucket.client, _object_name(upload.key)
        await self._bucket.ask(client._upload_part, self._bucket.name, name, part, None, upload.id, number)

    async def parts(self, upload: PartsUpload) -> dict[int, int]:
        """See `BlobStore.parts`."""
        return {part.part_number: part.size or 0 for part in await self._bucket.ask(_listed, self._bucket, upload)}

    async def finish_parts(self, upload: PartsUpload, size: int) -> None:
        """See `BlobStore.finish_parts`."""

        def work() -> None:
            parts = _listed(self._bucket, upload)
            missing = missing_parts({part.part_number: part.size or 0 for part in parts}, upload.part_bytes, size)
            if missing:
                raise PartsMissing(missing[0])
            client, name = self._bucket.client, _object_name(upload.key)
            client._complete_multipart_upload(self._bucket.name, name, upload.id, parts)

        try:
            await self._bucket.ask(work)
        except PartsGone:
            # A server forgets an upload that was finished.
            try:
                await self.stat(upload.key)
            except BlobMissing:
                raise PartsGone(upload.key) from None

    async def drop_parts(self, upload: PartsUpload) -> None:
        """See `BlobStore.drop_parts`."""
        client, name = self._bucket.client, _object_name(upload.key)
        with contextlib.suppress(PartsGone):
            await self._bucket.ask(client._abort_multipart_upload, self._bucket.name, name, upload.id)

    def presigned_get(self, key: str, *, expires_s: int) -> str:
        """See `PresignedLinks.presigned_get`."""
        return self._signed("GET", key, expires_s)

    def presigned_put(self, key: str, *, expires_s: int) -> str:
        """See `PresignedLinks.presigned_put`."""
        return self._signed("PUT", key, expires_s)

    def presigned_part(self, upload: PartsUpload, number: int, *, expires_s: int) -> str:
        """See `PresignedLinks.presigned_part`."""
        check_part(number)
        return self._signed("PUT", upload.key, expires_s, {"partNumber": str(number), "uploadId": upload.id})

    async def close(self) -> None:
        """See `BlobStore.close`."""
        await self._bucket.close()

    def _signed(self, method: str, key: str, expires_s: int, query: dict[str, str] | None = None) -> str:
        if not 1 <= expires_s <= LINK_LIFETIME_S_MAX:
            raise ValueError(f"expires_s is {expires_s}; it must be between 1 and {LINK_LIFETIME_S_MAX}")
        return self._bucket.signed(method, _object_name(key), expires_s, query)

    def _open(self, name: str, offset: int, length: int | None) -> BaseHTTPResponse | None:
        """Returns the answer that has the bytes, None if the blob ends before."""
        try:
            return self._bucket.client.get_object(self._bucket.name, name, offset, length or 0)
        except S3Error as error:
            if error.code == _RANGE_BEHIND_THE_END:
                return None
            raise

    def _digest(self, name: str, digesting: Digesting) -> None:
        response = self._open(name, 0, None)
        if response is None:
            return
        try:
            while (piece := response.read(STEP_BYTES)) and digesting.add(piece):
                pass
        finally:
            response.close()
            response.release_conn()

    async def _put_parts(self, name: str, first: bytes, rest: AsyncIterator[bytes]) -> int:
        # These are private: what minio-py offers reads from a file that blocks, and holds three parts at once.
        client, bucket = self._bucket.client, self._bucket.name
        upload = await self._bucket.ask(client._create_multipart_upload, bucket, name, {})
        # Parts on their way: each is sent while the next one comes.
        sending: deque[asyncio.Task[str]] = deque()
        try:
            done: list[Part] = []
            size = number = 0
            part = first
            while part:
                if number == PARTS_MAX:
                    raise StoreError(
                        self._bucket.shown, f"takes no blob above {PARTS_MAX * PART_BYTES} bytes", "Split it."
                    )
                number += 1
                size += len(part)
                sending.append(
                    asyncio.create_task(self._bucket.ask(client._upload_part, bucket, name, part, None, upload, number))
                )
                if len(sending) == PARTS_AT_ONCE_MAX:
                    done.append(Part(len(done) + 1, await sending.popleft()))
                part = await anext(rest, b"")
            while sending:
                done.append(Part(len(done) + 1, await sending.popleft()))
            await self._bucket.ask(client._complete_multipart_upload, bucket, name, upload, done)
        except BaseException:
            # No part may arrive after the abort: it would be kept.
            await asyncio.gather(*sending, return_exceptions=True)
            # If that fails too, the server forgets the parts by itself, or by a lifecycle rule of the bucket.
            with contextlib.suppress(StoreError):
                await self._bucket.ask(client._abort_multipart_upload, bucket, name, upload)
            raise
        return size


def _listed(bucket: S3Bucket, upload: PartsUpload) -> list[Part]:
    """The parts of an upload that are there, by number."""
    found: dict[int, Part] = {}
    after: str | None = None
    while True:
        page = bucket.client._list_parts(bucket.name, _object_name(upload.key), upload.id, PARTS_PER_PAGE, after)
        # SeaweedFS lists a part that came twice twice.
        for part in sorted(page.parts, key=lambda part: str(part.last_modified)):
            found[part.part_number] = part
        if not page.is_truncated:
            return [found[number] for number in sorted(found)]
        after = page.next_part_number_marker


async def _in_parts(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields parts of `PART_BYTES`, the last one shorter; at least one."""
    waiting = bytearray()
    async for chunk in chunks:
        for start in range(0, len(chunk), PART_BYTES):
            waiting += chunk[start : start + PART_BYTES]
            if len(waiting) >= PART_BYTES:
                yield bytes(waiting[:PART_BYTES])
                del waiting[:PART_BYTES]
    yield bytes(waiting)


def _object_name(key: str) -> str:
    if len(key) > KEY_BYTES_MAX or _KEY_RE.fullmatch(key) is None:
        raise KeyInvalid(f"{key[:100]!r} is not a key")
    return key.translate(_TO_OBJECT) + _MARK


def _key(object_name: str) -> str:
    return object_name.removesuffix(_MARK).translate(_FROM_OBJECT)
