"""Finds out who calls, from `authorization: Bearer <access token>`. Methods for anybody need no token, and ignore one."""

from penstock_kit import logs
from penstock_kit.access import AccessGuard, AccessScope, KeyUnknown, act_as
from penstock_kit.errors import Unauthenticated
from penstock_kit.interceptors.call import Call, Proceed

__all__ = ["AUTHORIZATION_HEADER", "Authenticate", "TokenMissing"]

AUTHORIZATION_HEADER = "authorization"
_SCHEME = "bearer "


class TokenMissing(Unauthenticated):
    """The call carries no access token."""

    reason = "TOKEN_MISSING"


class Authenticate:
    """The stage.

    Args:
        guard: Who knows the tokens.
    """

    def __init__(self, guard: AccessGuard) -> None:
        self._guard = guard

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        if call.method.rule.scope is not AccessScope.PUBLIC:
            header = call.header(AUTHORIZATION_HEADER) or ""
            if not header.lower().startswith(_SCHEME):
                raise TokenMissing("This needs an access token in the metadata: authorization: Bearer <token>, once.")
            call.bearer = header[len(_SCHEME) :].strip()
            try:
                caller = self._guard.authenticate(call.bearer)
            except KeyUnknown as error:
                if error.refetch is None or not await error.refetch():
                    raise
                caller = self._guard.authenticate(call.bearer)
            act_as(caller)
            logs.bind(principal=caller.principal)
        await proceed(call)
