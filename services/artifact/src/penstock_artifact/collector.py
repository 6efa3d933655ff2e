"""Collects garbage: blobs that nothing names, and bytes that never became a blob. Mark and sweep, with a grace period.

A blob carries a lease: the last time that somebody counted on it. Whoever is about to publish a manifest, or to put a file
of a run, renews old leases first. So a blob whose lease is older than the grace period, that no manifest and no file names,
and whose record is still the same when it is dropped, is needed by nobody, however uploads, publications and other
collectors are interleaved with this one. Bytes go after the record that made them visible; an upload of the same content
meanwhile has a key of its own.
"""

import logging
from itertools import groupby
from typing import Final

from penstock_artifact.contents import GRACE_S
from penstock_artifact.domain import Manifest
from penstock_artifact.files.store import FileStore
from penstock_artifact.keys import begun_us, project_of, sha256_of
from penstock_artifact.store import ArtifactStore
from penstock_kit.clock import Clock
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.threads import in_thread

__all__ = ["Collector"]

_PAGE: Final = 1_000

_log = logging.getLogger(__name__)


class Collector:
    """Collects the garbage of all projects.

    Args:
        store: The records.
        files: The files of runs and logged models.
        blobs: The bytes.
        clock: The time.
    """

    def __init__(self, store: ArtifactStore, files: FileStore, blobs: BlobStore, clock: Clock) -> None:
        self._store = store
        self._files = files
        self._blobs = blobs
        self._clock = clock

    async def collect(self) -> None:
        """Goes through all projects once."""
        for project in await self._store.projects():
            if dropped := await self._sweep_blobs(project):
                _log.info("dropped blobs that nothing names", extra={"project": project, "blobs": dropped})
        if deleted := await self._sweep_bytes():
            _log.info("deleted bytes of uploads that were not finished", extra={"keys": deleted})

    async def _sweep_blobs(self, project: str) -> int:
        before_us = self._clock.now_us() - GRACE_S * 1_000_000
        if not (await self._store.idle_blobs(project, before_us, 1, None)).items:
            return 0
        marked = await self._mark(project)
        dropped = 0
        cursor: bytes | None = None
        while True:
            page = await self._store.idle_blobs(project, before_us, _PAGE, cursor)
            for blob in page.items:
                if bytes.fromhex(blob.sha256) not in marked and await self._store.drop_blob(project, blob):
                    await self._blobs.delete(blob.key)
                    dropped += 1
            cursor = page.cursor
            if cursor is None:
                return dropped

    async def _mark(self, project: str) -> set[bytes]:
        marked: set[bytes] = set()
        cursor: bytes | None = None
        while True:
            page = await self._store.manifest_texts(project, cursor)
            for text in page.items:
                marked |= await in_thread(_digests, text)
            cursor = page.cursor
            if cursor is None:
                break
        while True:
            digests = await self._files.digests(project, cursor)
            marked.update(bytes.fromhex(digest) for digest in digests.items)
            cursor = digests.cursor
            if cursor is None:
                return marked

    async def _sweep_bytes(self) -> int:
        before_us = self._clock.now_us() - GRACE_S * 1_000_000
        deleted = 0
        cursor: str | None = None
        while True:
            page = await self._blobs.list(limit=_PAGE, cursor=cursor)
            old = [blob.key for blob in page.blobs if begun_us(blob.key) < before_us]
            for project, keys in groupby(old, key=project_of):
                deleted += await self._delete_unknown(project, list(keys))
            cursor = page.cursor
            if cursor is None:
                return deleted

    async def _delete_unknown(self, project: str, keys: list[str]) -> int:
        known = await self._store.blobs(project, sorted({sha256 for key in keys if (sha256 := sha256_of(key))}))
        needed = {blob.key for blob in known.values()}
        for key in keys:
            if sha256_of(key) is None and await self._store.is_needed(project, key):
                needed.add(key)
        unknown = [key for key in keys if key not in needed]
        for key in unknown:
            await self._blobs.delete(key)
        return len(unknown)


def _digests(text: bytes) -> set[bytes]:
    return {bytes.fromhex(digest) for digest in Manifest.read(text).blobs}
