"""The background loops of auth: following other replicas, rotating keys, deleting what is over."""

import asyncio
from collections.abc import Awaitable, Callable

from penstock_auth.domain import REVOCATION_FEED_S
from penstock_auth.feed import GrantFeed
from penstock_auth.keys import KeyRing
from penstock_auth.store import AuthStore
from penstock_kit.application import Job
from penstock_kit.clock import Clock

__all__ = ["EXPIRED_TOKEN_KEPT_S", "REVOKED_TOKEN_KEPT_S", "jobs", "purge"]

FOLLOW_INTERVAL_S = 1.0
"""With this, the refresh in the services and a slow network, a revocation at another replica arrives well within 5 s."""
ROTATION_CHECK_INTERVAL_S = 60.0
PURGE_INTERVAL_S = 60.0

# So long a caller is told that the token has expired or was revoked; afterwards, that it is not valid.
EXPIRED_TOKEN_KEPT_S = 86_400
REVOKED_TOKEN_KEPT_S = 30 * 86_400


def jobs(store: AuthStore, keys: KeyRing, feed: GrantFeed, clock: Clock) -> list[Job]:
    """Returns the loops of a running service."""
    return [
        Job("auth-follow-grants", _every(FOLLOW_INTERVAL_S, feed.refresh)),
        Job("auth-rotate-keys", _every(ROTATION_CHECK_INTERVAL_S, keys.rotate)),
        Job("auth-purge", _every(PURGE_INTERVAL_S, lambda: purge(store, clock))),
    ]


async def purge(store: AuthStore, clock: Clock) -> None:
    """Deletes tokens and setup links that are over, and revocations whose access tokens are all dead."""
    now_us = clock.now_us()
    await store.purge(
        tokens_expired_before_us=now_us - EXPIRED_TOKEN_KEPT_S * 1_000_000,
        tokens_revoked_before_us=now_us - REVOKED_TOKEN_KEPT_S * 1_000_000,
        links_expired_before_us=now_us,
        fed_before_us=now_us - REVOCATION_FEED_S * 1_000_000,
    )


def _every(interval_s: float, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        while True:
            await work()
            await asyncio.sleep(interval_s)

    return run
