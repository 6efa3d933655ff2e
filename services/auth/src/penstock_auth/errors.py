"""What can go wrong in auth, for callers.

PenstockError
├── NotFound           ProjectNotFound, PrincipalNotFound, GrantNotFound, TokenNotFound
├── AlreadyExists      ProjectExists
├── Aborted            EtagMismatch
├── InvalidInput       FieldMaskInvalid
├── PermissionDenied   ScopeExceeded, UsersOnly
├── Unauthenticated    TokenInvalid, TokenExpired, TokenRevoked, SetupLinkInvalid
└── LimitExceeded      ProjectLimitReached, GrantLimitReached, TokenLimitReached

StartError stands apart: it stops the process and no caller sees it.
"""

from penstock_kit.access import ProjectNotFound, TokenRevoked
from penstock_kit.errors import (
    Aborted,
    AlreadyExists,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

__all__ = [
    "EtagMismatch",
    "FieldMaskInvalid",
    "GrantLimitReached",
    "GrantNotFound",
    "PrincipalNotFound",
    "ProjectExists",
    "ProjectLimitReached",
    "ProjectNotFound",
    "ScopeExceeded",
    "SetupLinkInvalid",
    "StartError",
    "TokenExpired",
    "TokenInvalid",
    "TokenLimitReached",
    "TokenNotFound",
    "TokenRevoked",
    "UsersOnly",
]


class PrincipalNotFound(NotFound):
    """There is no such principal."""

    reason = "PRINCIPAL_NOT_FOUND"


class GrantNotFound(NotFound):
    """The principal has no role in the project."""

    reason = "GRANT_NOT_FOUND"


class TokenNotFound(NotFound):
    """The caller has no such token."""

    reason = "TOKEN_NOT_FOUND"


class ProjectExists(AlreadyExists):
    """The project id is taken."""

    reason = "PROJECT_EXISTS"


class EtagMismatch(Aborted):
    """The project changed since the caller read it."""

    reason = "ETAG_MISMATCH"


class FieldMaskInvalid(InvalidInput):
    """The update mask names a field that cannot be updated."""

    reason = "FIELD_MASK_INVALID"


class ScopeExceeded(PermissionDenied):
    """The call would reach further than the token in use."""

    reason = "SCOPE_EXCEEDED"


class UsersOnly(PermissionDenied):
    """Services hold the one credential they were given and mint no others."""

    reason = "USERS_ONLY"


class TokenInvalid(Unauthenticated):
    """No token has this secret."""

    reason = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("This token is not valid here. Check that it is complete and of this server.")


class TokenExpired(Unauthenticated):
    """The token's time is over."""

    reason = "TOKEN_EXPIRED"


class SetupLinkInvalid(Unauthenticated):
    """The setup link is unknown, used or expired: which of these, nobody is told."""

    reason = "SETUP_LINK_INVALID"

    def __init__(self) -> None:
        super().__init__("This setup link is unknown, used or expired. Run `penstock open` for a fresh one.")


class ProjectLimitReached(LimitExceeded):
    """The installation has `PROJECTS_MAX` projects."""

    reason = "PROJECT_LIMIT_REACHED"


class GrantLimitReached(LimitExceeded):
    """The installation has `GRANTS_MAX` grants."""

    reason = "GRANT_LIMIT_REACHED"


class TokenLimitReached(LimitExceeded):
    """The principal has `TOKENS_PER_PRINCIPAL_MAX` tokens."""

    reason = "TOKEN_LIMIT_REACHED"


class StartError(Exception):
    """The service cannot start on this machine. The message names the cause and the remedy."""
