"""Owns the keys of bytes in the blob store: what they tell of the bytes, to whom finds no record of them.

Each upload has a key of its own. It tells the project, when the upload began, and the digest of the bytes if that was known
before they came.
"""

import secrets
from typing import Final

__all__ = ["begun_us", "new_key", "new_streamed_key", "project_of", "sha256_of"]

_STREAMED: Final = "streamed"


def new_key(project: str, sha256: str, now_us: int) -> str:
    """Makes a key for an upload of known content that begins now."""
    return f"{project}/{sha256[:2]}/{sha256}-{now_us:016x}-{secrets.token_hex(4)}"


def new_streamed_key(project: str, now_us: int) -> str:
    """Makes a key for an upload that begins now, and whose digest is known when it has ended."""
    token = secrets.token_hex(16)
    return f"{project}/{token[:2]}/{_STREAMED}-{now_us:016x}-{token}"


def begun_us(key: str) -> int:
    """When the upload to a key began."""
    return int(key.split("-")[-2], 16)


def project_of(key: str) -> str:
    """The project of a key."""
    return key.partition("/")[0]


def sha256_of(key: str) -> str | None:
    """The digest that a key tells; None if it was not known."""
    first = key.rpartition("/")[2].partition("-")[0]
    return None if first == _STREAMED else first
