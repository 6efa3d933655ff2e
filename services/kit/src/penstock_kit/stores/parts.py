"""Blobs that come in parts: what an upload in parts is, and the arithmetic that every adapter needs."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

__all__ = [
    "PARTS_MAX",
    "PART_BYTES_MIN",
    "PartTooLarge",
    "PartsGone",
    "PartsMissing",
    "PartsUpload",
    "bounded",
    "check_part",
    "check_part_bytes",
    "missing_parts",
    "part_size",
]

PARTS_MAX = 10_000
"""The most that S3 takes."""
PART_BYTES_MIN = 5 * 1024 * 1024
"""The least that S3 takes of every part but the last."""


@dataclass(frozen=True, slots=True)
class PartsUpload:
    """A blob on its way, of which parts come in any order, several at once, and again where one was lost.

    Attributes:
        key: Where the blob will be.
        id: Of this upload; the adapter's.
        part_bytes: The size of every part but the last, which has the rest.
    """

    key: str
    id: str
    part_bytes: int


class PartsGone(Exception):
    """The upload was finished or dropped, or never was."""


class PartsMissing(Exception):
    """Parts are not there, or not of their size. `number` is the first of them."""

    def __init__(self, number: int) -> None:
        super().__init__(f"part {number} is missing")
        self.number = number


class PartTooLarge(ValueError):
    """A part has more bytes than `PartsUpload.part_bytes`."""


def part_size(number: int, part_bytes: int, size: int) -> int:
    """The bytes of a part, counted from 1, of a blob of `size` bytes. A blob without bytes has one part, which is empty."""
    return min(part_bytes, size - (number - 1) * part_bytes)


def missing_parts(sizes: Mapping[int, int], part_bytes: int, size: int) -> list[int]:
    """The numbers of the parts that a blob of `size` bytes still lacks, given the sizes of those that are there."""
    count = max(1, -(-size // part_bytes))
    return [number for number in range(1, count + 1) if sizes.get(number) != part_size(number, part_bytes, size)]


def check_part_bytes(part_bytes: int) -> None:
    """Raises `ValueError` unless parts may have this size."""
    if part_bytes < PART_BYTES_MIN:
        raise ValueError(f"part_bytes is {part_bytes}; it must be at least {PART_BYTES_MIN}")


def check_part(number: int) -> None:
    """Raises `ValueError` unless a part may have this number."""
    if not 1 <= number <= PARTS_MAX:
        raise ValueError(f"the number of a part is {number}; it must be between 1 and {PARTS_MAX}")


async def bounded(chunks: AsyncIterator[bytes], part_bytes: int) -> AsyncIterator[bytes]:
    """Yields the chunks of a part. Raises `PartTooLarge` before one that is too much."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > part_bytes:
            raise PartTooLarge(f"a part has more than {part_bytes} bytes")
        yield chunk
