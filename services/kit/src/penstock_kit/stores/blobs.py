"""The blob store port: large immutable values by key."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from penstock_kit.stores.digests import Digesting
from penstock_kit.stores.parts import PartsUpload

__all__ = [
    "KEY_BYTES_MAX",
    "KEY_PATTERN",
    "BlobInfo",
    "BlobMissing",
    "BlobPage",
    "BlobStore",
    "BlobStoreFull",
    "KeyInvalid",
    "PresignedLinks",
]

KEY_BYTES_MAX = 900
KEY_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199})*"
"""Keys are made by servers, never taken from a caller: segments of plain characters, none starting with a dot, each of
at most 200 (file systems end at 255), at most `KEY_BYTES_MAX` in all."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A stored blob: its key and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class BlobPage:
    """Some blobs in order of their keys. `cursor` goes on after the last one; None means that there are no more."""

    blobs: list[BlobInfo]
    cursor: str | None


class BlobMissing(Exception):
    """There is no blob with the key."""


class KeyInvalid(ValueError):
    """The key does not match `KEY_PATTERN`, or is longer than `KEY_BYTES_MAX`."""


class BlobStoreFull(Exception):
    """The medium has no room. Nothing of the blob is visible."""


class BlobStore(Protocol):
    """Large values. A blob is visible under its key only whole, and is durable when the call that wrote it returns.

    Presigned links are a capability of adapters with a server behind them: see `PresignedLinks`.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> BlobInfo:
        """Writes a blob, replacing the one before at once.

        Raises `KeyInvalid`, `BlobStoreFull`; what `chunks` raises leaves nothing behind.
        """
        ...

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yields a blob, or `length` bytes of it from `offset`, in pieces of at most 1 MiB.

        Raises `BlobMissing`, `KeyInvalid` at the first.
        """
        ...

    async def digest(self, key: str, digesting: Digesting) -> None:
        """Reads a whole blob for its digest, in a thread. Returns early when that was stopped.

        Raises `BlobMissing`, `KeyInvalid`.
        """
        ...

    async def stat(self, key: str) -> BlobInfo:
        """Returns the size of a blob. Raises `BlobMissing`, `KeyInvalid`."""
        ...

    async def delete(self, key: str) -> None:
        """Removes a blob. No error if there is none. Raises `KeyInvalid`."""
        ...

    async def list(self, prefix: str = "", *, limit: int = 1000, cursor: str | None = None) -> BlobPage:
        """Returns the blobs whose key starts with `prefix`, in order of their keys."""
        ...

    async def begin_parts(self, key: str, part_bytes: int) -> PartsUpload:
        """Begins a blob that comes in parts. Nothing of it is visible before `finish_parts`.

        What nobody goes on with for a day may be forgotten. Raises `KeyInvalid`; `ValueError` if `part_bytes` is below
        `PART_BYTES_MIN`.
        """
        ...

    async def put_part(self, upload: PartsUpload, number: int, chunks: AsyncIterator[bytes]) -> None:
        """Writes a part. It is durable when this returns, and not there unless it is whole.

        A part may be written again, with the same bytes: if they differ, either may be kept.

        Raises `PartsGone`, `BlobStoreFull`, `PartTooLarge`, `ValueError` for a number that is not between 1 and
        `PARTS_MAX`, and what `chunks` raises.
        """
        ...

    async def parts(self, upload: PartsUpload) -> dict[int, int]:
        """Returns the sizes of the parts that are there, by number. Raises `PartsGone`."""
        ...

    async def finish_parts(self, upload: PartsUpload, size: int) -> None:
        """Makes a blob of `size` bytes visible, replacing the one before. Repeating it is harmless.

        Raises `PartsMissing` if it is not all there, `PartsGone` if the upload was dropped, `BlobStoreFull`.
        """
        ...

    async def drop_parts(self, upload: PartsUpload) -> None:
        """Gives an upload up. No error if it was finished or dropped; the blob stays if it was finished."""
        ...

    async def close(self) -> None:
        """Releases connections. The store is not usable afterwards."""
        ...


@runtime_checkable
class PresignedLinks(Protocol):
    """Links with which clients move a blob without passing through a service. Only stores on servers have them.

    Whoever holds a link may use it until it expires: it is a secret.
    """

    def presigned_get(self, key: str, *, expires_s: int) -> str:
        """Returns a URL to GET a blob from, ranges included. It need not exist yet; the server answers 404 then.

        Raises `KeyInvalid`; `ValueError` if `expires_s` is not between a second and seven days.
        """
        ...

    def presigned_put(self, key: str, *, expires_s: int) -> str:
        """Returns a URL to PUT a blob to, in one request. Raises as `presigned_get`."""
        ...

    def presigned_part(self, upload: PartsUpload, number: int, *, expires_s: int) -> str:
        """Returns a URL to PUT a part to. It leads nowhere once the upload is finished or dropped.

        Raises `ValueError` for a number that is not between 1 and `PARTS_MAX`, or as `presigned_get`.
        """
        ...
