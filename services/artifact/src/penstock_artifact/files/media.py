"""Owns what media of a run are. Knows nothing of gRPC or storage."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["MEDIA_KEYS_PER_RUN_MAX", "Media", "MediaKey", "MediaKind"]

MEDIA_KEYS_PER_RUN_MAX: Final = 1_000


class MediaKind(IntEnum):
    """What a file of media is to be shown as. The numbers are those of the contract."""

    IMAGE = 1
    AUDIO = 2
    VIDEO = 3
    TABLE = 4
    HISTOGRAM = 5
    PLOT = 6


@dataclass(frozen=True, slots=True)
class Media:
    """Under which key and at which step a run logged a file.

    Attributes:
        log_us: When, by the clock of the machine that did, in microseconds since 1970.
        rank: The rank of the process that did.
    """

    key: str
    kind: MediaKind
    step: int
    log_us: int
    rank: int
    caption: str


@dataclass(frozen=True, slots=True)
class MediaKey:
    """The media of a run under one key: what those of the last step are shown as."""

    key: str
    kind: MediaKind
    last_step: int
