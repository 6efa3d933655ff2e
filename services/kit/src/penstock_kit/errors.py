"""Errors that a caller may see. A service raises meaning; the error interceptor alone turns it into a gRPC status.

PenstockError
├── InvalidInput          INVALID_ARGUMENT
├── Unauthenticated       UNAUTHENTICATED
├── PermissionDenied      PERMISSION_DENIED
├── NotFound              NOT_FOUND
├── AlreadyExists         ALREADY_EXISTS
├── PreconditionFailed    FAILED_PRECONDITION
├── Aborted               ABORTED
├── LimitExceeded         RESOURCE_EXHAUSTED
└── Unavailable           UNAVAILABLE

A service derives its own errors from these, each with a `reason` of its own: `class RunNotFound(NotFound): reason =
"RUN_NOT_FOUND"`. The reason travels as `google.rpc.ErrorInfo.reason`, the metadata beside it.
"""

from typing import ClassVar

import grpc

__all__ = [
    "Aborted",
    "AlreadyExists",
    "InvalidInput",
    "LimitExceeded",
    "NotFound",
    "PenstockError",
    "PermissionDenied",
    "PreconditionFailed",
    "Unauthenticated",
    "Unavailable",
]


class PenstockError(Exception):
    """An error with a message for people and a reason for programs.

    Args:
        message: One or two sentences, for the person who made the call: what is wrong, and the remedy where there is one.
        metadata: Facts for programs, such as the position of an offending token.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class InvalidInput(PenstockError):
    """The request is wrong in itself, whatever the state of the server."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_INPUT"


class Unauthenticated(PenstockError):
    """There is no token, or it is not valid."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(PenstockError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class NotFound(PenstockError):
    """What the request names does not exist."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(PenstockError):
    """What the request would create exists."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class PreconditionFailed(PenstockError):
    """The state of the resource does not allow this now."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class Aborted(PenstockError):
    """Somebody else was quicker: read again and decide anew."""

    code = grpc.StatusCode.ABORTED
    reason = "ABORTED"


class LimitExceeded(PenstockError):
    """A named limit is reached."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "LIMIT_EXCEEDED"


class Unavailable(PenstockError):
    """The server cannot do it now; the same call may succeed later."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"
