"""What can go wrong, for users of the SDK. Every error of the SDK is one of these.

PenstockError
├── NotConnected          no server is configured or running here
├── ServerUnavailable     the server does not answer, or cannot now
├── AuthenticationFailed  there is no token, or it is not valid
├── PermissionDenied      the token does not allow this
├── NotFound              what was named does not exist
├── InvalidInput          an argument is wrong in itself (also a ValueError)
├── AlreadyExists         what would be created exists
├── Conflict              the state of the thing does not allow this now
└── LimitExceeded         a named limit is reached
"""

from collections.abc import Mapping

__all__ = [
    "AlreadyExists",
    "AuthenticationFailed",
    "Conflict",
    "InvalidInput",
    "LimitExceeded",
    "NotConnected",
    "NotFound",
    "PenstockError",
    "PermissionDenied",
    "ServerUnavailable",
]


class PenstockError(Exception):
    """Something went wrong. The message says what, and the remedy where there is one.

    Args:
        message: For people.
        reason: For programs, as the server names it, such as `RUN_NOT_FOUND`; empty if there is none.
        metadata: Facts for programs, such as the position of an offending token.
    """

    def __init__(self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})


class NotConnected(PenstockError):
    """No server is configured, and none runs on this machine."""


class ServerUnavailable(PenstockError):
    """The server does not answer, or cannot do it now. The same call may succeed later."""


class AuthenticationFailed(PenstockError):
    """There is no token, or it is not valid."""


class PermissionDenied(PenstockError):
    """The token is valid and does not allow this."""


class NotFound(PenstockError):
    """What was named does not exist."""


class InvalidInput(PenstockError, ValueError):
    """An argument is wrong in itself, whatever the state of the server."""


class AlreadyExists(PenstockError):
    """What would be created exists."""


class Conflict(PenstockError):
    """The state of the thing does not allow this now, or somebody else was quicker."""


class LimitExceeded(PenstockError):
    """A named limit is reached."""
