"""Errors of the SDK. Every error that Penstock raises on purpose is a `PenstockError`.

PenstockError
├── InvalidInput (ValueError)       the call is wrong in itself
│   └── InvalidType (TypeError)     a value is of a kind that cannot be logged
├── NotConnected                    no server is known: nothing says where it is
├── ServerUnavailable               the server cannot be reached, or cannot answer now
├── AuthenticationFailed            there is no token, or the server does not take it
├── PermissionDenied                the token does not allow this
├── NotFound                        what was named does not exist
├── AlreadyExists                   what would be created exists
├── Conflict                        the state of the resource does not allow this now
├── LimitExceeded                   a named limit is reached
├── MissingExtra (ImportError)      a package that this needs is not installed
├── RunFinished                     the run was finished before, and takes no more
├── SpoolFull (OSError)             the disk, or the allowed share of it, is full
└── SpoolCorrupt                    a spool on disk is not what was written

Errors that a server sent carry its `reason`, such as `RUN_NOT_FOUND`, and its `metadata`.
"""

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "ERRORS_BY_NAME",
    "AlreadyExists",
    "AuthenticationFailed",
    "Conflict",
    "InvalidInput",
    "InvalidType",
    "LimitExceeded",
    "MissingExtra",
    "NotConnected",
    "NotFound",
    "PenstockError",
    "PermissionDenied",
    "RunFinished",
    "ServerUnavailable",
    "SpoolCorrupt",
    "SpoolFull",
]


class PenstockError(Exception):
    """An error with a message for people and a reason for programs.

    Args:
        message: One or two sentences: what is wrong, and the remedy where there is one.
        reason: The reason as the server sent it; the class's own if empty.
        metadata: Facts for programs, such as the position of an offending token.
    """

    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata: dict[str, str] = dict(metadata or {})

    def __str__(self) -> str:
        return self.message


class InvalidInput(PenstockError, ValueError):
    """The call is wrong in itself, whatever the state of the server."""

    default_reason = "INVALID_INPUT"


class InvalidType(InvalidInput, TypeError):
    """A value is of a kind that cannot be logged."""

    default_reason = "INVALID_TYPE"


class NotConnected(PenstockError):
    """No server is known: neither arguments, environment, profile nor a platform on this machine say where it is."""

    default_reason = "NOT_CONNECTED"


class ServerUnavailable(PenstockError):
    """The server cannot be reached, or cannot answer now. The same call may succeed later."""

    default_reason = "UNAVAILABLE"


class AuthenticationFailed(PenstockError):
    """There is no token, or the server does not take it."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(PenstockError):
    """The token is known and does not allow this."""

    default_reason = "PERMISSION_DENIED"


class NotFound(PenstockError):
    """What was named does not exist."""

    default_reason = "NOT_FOUND"


class AlreadyExists(PenstockError):
    """What would be created exists."""

    default_reason = "ALREADY_EXISTS"


class Conflict(PenstockError):
    """The state of the resource does not allow this now, or somebody else was quicker."""

    default_reason = "CONFLICT"


class LimitExceeded(PenstockError):
    """A named limit is reached."""

    default_reason = "LIMIT_EXCEEDED"


class MissingExtra(PenstockError, ImportError):
    """A package that this needs is not installed. The message names the extra that brings it."""

    default_reason = "MISSING_EXTRA"


class RunFinished(PenstockError):
    """The run was finished before, and takes no more."""

    default_reason = "RUN_FINISHED"


class SpoolFull(PenstockError, OSError):
    """The disk, or the share of it that a spool may take, is full: what was logged could not be kept."""

    default_reason = "SPOOL_FULL"


class SpoolCorrupt(PenstockError):
    """A spool on disk is not what was written there."""

    default_reason = "SPOOL_CORRUPT"


ERRORS_BY_NAME: Mapping[str, type[PenstockError]] = {
    kind.__name__: kind
    for kind in (
        InvalidInput,
        InvalidType,
        NotConnected,
        ServerUnavailable,
        AuthenticationFailed,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        Conflict,
        LimitExceeded,
    )
}
"""The errors of calls by the names of their classes: for those that another process met."""
