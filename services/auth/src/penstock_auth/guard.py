"""Owns how the auth service guards itself: by its own keys and its own picture of grants, with the kit's decision."""

import logging

from penstock_auth.feed import GrantFeed
from penstock_auth.keys import KeyRing
from penstock_kit.access import Caller
from penstock_kit.tokens import ACCESS_FEED_AGE_S_MAX, AccessFeedStale

__all__ = ["LocalGuard"]

_PICTURE_AGE_S_MAX = 5.0
"""A picture older than this is compared with the store first. The background loop does so each second, if all is well."""

_log = logging.getLogger(__name__)


class LocalGuard:
    """The guard of the auth service.

    Args:
        keys: Verifies access tokens.
        feed: Knows grants and revocations.
    """

    def __init__(self, keys: KeyRing, feed: GrantFeed) -> None:
        self._keys = keys
        self._feed = feed

    @property
    def ready(self) -> bool:
        """Whether the picture of grants is recent."""
        return self._feed.age_s <= ACCESS_FEED_AGE_S_MAX

    def authenticate(self, bearer: str) -> Caller:
        """Returns who holds an access token. Raises `TokenInvalid`, `TokenExpired`, `TokenRevoked`, `KeyUnknown`."""
        caller = self._keys.verifier.verify(bearer)
        self._feed.grants.check_token(caller)
        return caller

    async def authorize(self, caller: Caller, permission: str, project: str | None) -> None:
        """Lets a caller pass. A project or a grant that is not known is looked for in the store before it is refused.

        Raises `PermissionDenied`, `ProjectNotFound`, `TokenRevoked`, `AccessFeedStale`.
        """
        if self._feed.age_s > _PICTURE_AGE_S_MAX or not self._feed.grants.knows(caller, project):
            try:
                await self._feed.refresh()
            except Exception as error:
                _log.exception("The store of auth cannot be read")
                if not self.ready:
                    raise AccessFeedStale("The auth service cannot read its store: try again later.") from error
        self._feed.grants.check(caller, permission, project)
