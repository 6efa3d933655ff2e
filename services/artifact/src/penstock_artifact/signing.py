"""Owns the URLs by which clients move large files without this service: what they are for, and for how long."""

from dataclasses import dataclass, field
from typing import Final

from penstock_kit.clock import Clock
from penstock_kit.stores.blobs import PresignedLinks
from penstock_kit.stores.parts import PartsUpload

__all__ = ["LIFETIME_S", "SignedUrl", "UrlSigner"]

LIFETIME_S: Final = 900
"""Long enough for a part over a slow line. Whoever needs longer asks for another one."""


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that is as good as a permission, and until when, in microseconds since 1970."""

    url: str = field(repr=False)
    expire_us: int


class UrlSigner:
    """Signs URLs straight to the object store. There are none where clients cannot reach it.

    Args:
        store: The object store.
        clock: The time.
    """

    def __init__(self, store: PresignedLinks, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def file(self, key: str) -> SignedUrl:
        """A URL to GET bytes from, whole or by ranges."""
        return self._signed(self._store.presigned_get(key, expires_s=LIFETIME_S))

    def part(self, upload: PartsUpload, number: int) -> SignedUrl:
        """A URL to PUT a part to, until the upload is finished."""
        return self._signed(self._store.presigned_part(upload, number, expires_s=LIFETIME_S))

    def _signed(self, url: str) -> SignedUrl:
        return SignedUrl(url, self._clock.now_us() + LIFETIME_S * 1_000_000)
