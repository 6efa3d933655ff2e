"""Owns how blobs are counted on and read: that none is collected while somebody is about to name it."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from penstock_artifact.domain import BlobId, File
from penstock_artifact.errors import BlobsMissing, ManifestInvalid, NoDirectWay, RangeInvalid
from penstock_artifact.reading import read_ahead, read_blobs
from penstock_artifact.signing import SignedUrl, UrlSigner
from penstock_artifact.store import ArtifactStore, StoredBlob
from penstock_kit.clock import Clock
from penstock_kit.errors import NotFound
from penstock_kit.stores.blobs import BlobMissing, BlobStore
from penstock_kit.stores.documents import DocumentMissing, VersionConflict

__all__ = ["GRACE_S", "Contents", "Download"]

GRACE_S: Final = 86_400
"""How long a blob is kept after somebody last counted on it. Longer than an upload may last (a quarter of this) and than a
lease is relied upon (half of this)."""

LEASE_RELIED_S: Final = GRACE_S / 2
"""A lease that is older is renewed before somebody counts on it."""

RENEW_ATTEMPTS_MAX: Final = 20


class Download:
    """A file, or a range of it, about to be read.

    Attributes:
        blob: The whole file's id.
        pieces: The bytes, in pieces of at most 1 MiB.
    """

    def __init__(self, blob: BlobId, pieces: AsyncIterator[bytes]) -> None:
        self.blob = blob
        self.pieces = pieces


class Contents:
    """The blobs of all projects.

    Args:
        store: The records.
        blobs: The bytes.
        signer: Signs URLs straight to the bytes; None where there is no way past this service.
        clock: The time.
    """

    def __init__(self, store: ArtifactStore, blobs: BlobStore, signer: UrlSigner | None, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._signer = signer
        self._clock = clock

    async def relied(self, project: str, digests: Sequence[str]) -> dict[str, StoredBlob]:
        """Returns those of the blobs that exist; none of them is collected in the next half of the grace period."""
        for _ in range(RENEW_ATTEMPTS_MAX):
            now_us = self._clock.now_us()
            there = await self._store.blobs(project, digests)
            old = [blob for blob in there.values() if blob.lease_us < now_us - LEASE_RELIED_S * 1_000_000]
            try:
                await self._store.renew(project, old, now_us)
            except (VersionConflict, DocumentMissing):
                continue  # somebody else renewed one, or one was collected
            return there
        raise BlobsMissing("The blobs change all the time: try it again.", missing="0", sha256="")

    async def rely_on(self, project: str, files: Sequence[File]) -> None:
        """Makes sure that the blobs of files exist, and that none is collected before they are named.

        Raises `BlobsMissing`, `ManifestInvalid` for a wrong size.
        """
        there = await self.relied(project, list({file.blob.sha256: None for file in files}))
        _check(files, there)

    async def download(self, project: str, file: File, offset: int, length: int, gone: NotFound) -> Download:
        """Opens a file from `offset`, to its end if `length` is 0.

        Args:
            gone: Is raised, here or while the bytes are read, if the bytes were collected meanwhile.

        Raises `RangeInvalid` too.
        """
        if offset > file.blob.size:
            raise RangeInvalid(f"{file.path!r} has {file.blob.size:,} bytes: there are none from {offset:,}.")
        (stored,) = await self._stored(project, [file], gone)
        return Download(file.blob, self._pieces(stored, offset, length or None, gone))

    async def download_files(
        self, project: str, files: Sequence[File], gone: NotFound
    ) -> AsyncGenerator[tuple[int, bytes]]:
        """Yields files, one after the other, as index and piece of at most 1 MiB. An empty one has one piece.

        Raises `gone` if bytes were collected meanwhile.
        """
        stored = await self._stored(project, files, gone)
        try:
            async with aclosing(read_blobs(self._blobs, stored)) as read:
                async for piece in read:
                    yield piece
        except BlobMissing:
            raise gone from None

    async def sign_download(self, project: str, file: File, gone: NotFound) -> SignedUrl:
        """Returns a URL to get a file from. Raises `NoDirectWay`, and `gone` if the bytes were collected meanwhile."""
        (stored,) = await self._stored(project, [file], gone)
        if self._signer is None:
            raise NoDirectWay("Files come through this service: use DownloadFile.")
        return self._signer.file(stored.key)

    async def _stored(self, project: str, files: Sequence[File], gone: NotFound) -> list[StoredBlob]:
        """Where the bytes of files are."""
        found = await self._store.blobs(project, list({file.blob.sha256: None for file in files}))
        if not all(file.blob.sha256 in found for file in files):
            raise gone
        return [found[file.blob.sha256] for file in files]

    async def _pieces(
        self, stored: StoredBlob, offset: int, length: int | None, gone: NotFound
    ) -> AsyncIterator[bytes]:
        try:
            async with (
                aclosing(self._blobs.get(stored.key, offset=offset, length=length)) as pieces,  # type: ignore[type-var]  # it is a generator
                aclosing(read_ahead(pieces)) as read,
            ):
                async for piece in read:
                    yield piece
        except BlobMissing:
            raise gone from None


def _check(files: Iterable[File], there: dict[str, StoredBlob]) -> None:
    files = list(files)
    missing = [file for file in files if file.blob.sha256 not in there]
    if missing:
        raise BlobsMissing(
            f"{len(missing):,} files have not been uploaded, such as {missing[0].path!r}: upload them, then try again.",
            missing=str(len(missing)),
            sha256=missing[0].blob.sha256,
        )
    for file in files:
        size = there[file.blob.sha256].size
        if size != file.blob.size:
            raise ManifestInvalid(f"{file.path!r} has {size:,} bytes, not {file.blob.size:,}.", path=file.path)
