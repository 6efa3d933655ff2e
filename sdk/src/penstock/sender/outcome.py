"""How the sending of a spool ended, and which errors may pass by themselves."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from penstock.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    InvalidInput,
    PenstockError,
    PermissionDenied,
    SpoolCorrupt,
)
from penstock.spool.meta import ReceiptData

__all__ = ["Ending", "Outcome", "is_final"]

_PASSING_CONFLICTS: Final = frozenset({"SEQUENCE_GAP", "ETAG_MISMATCH", "ABORTED"})
_UNKNOWN_METHOD: Final = "UNIMPLEMENTED"


class Ending(Enum):
    """Why a sender stopped."""

    DONE = "done"
    """Everything is durable, and the run ended."""
    CAUGHT_UP = "caught_up"
    """Everything that was there is durable; its process still logs."""
    OCCUPIED = "occupied"
    """Another sender reads the spool."""
    REFUSED = "refused"
    """The server will not take it, or the spool is damaged beyond sending: a person must act."""
    UNREACHABLE = "unreachable"
    """The server did not answer for as long as the sender was to wait. Nothing is lost."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    Attributes:
        ending: Why the sender stopped.
        message: For people; empty if there is nothing to say.
        reason: The reason of the last error, such as `RUN_DELETED`.
        points_durable: Points of the spool that are durable on the server, as far as this sender knows.
        receipt: What became of everything, when it is done.
    """

    ending: Ending
    message: str = ""
    reason: str = ""
    points_durable: int = 0
    receipt: ReceiptData | None = None


def is_final(error: PenstockError) -> bool:
    """Whether trying again cannot help."""
    if isinstance(error, (AlreadyExists, AuthenticationFailed, PermissionDenied, InvalidInput, SpoolCorrupt)):
        return True
    if isinstance(error, Conflict):
        return error.reason not in _PASSING_CONFLICTS
    return error.reason == _UNKNOWN_METHOD
