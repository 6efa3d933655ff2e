"""Owns the picture of all grants and revocations: how it follows the store, and how watchers hear of a change.

The picture is what the guard of this process decides by, and what `WatchGrants` sends to every other service. A write of
this process is in the picture when the write returns; one of another process at the next refresh.
"""

import asyncio
from collections.abc import AsyncGenerator

from penstock_auth.store import AuthStore, FeedPosition
from penstock_kit.access import Grants, Role
from penstock_kit.clock import Clock

__all__ = ["BEAT_INTERVAL_S", "GrantFeed"]

BEAT_INTERVAL_S = 5.0
"""The contract promises a beat at least every ten seconds: half of that leaves room for a slow store."""


class GrantFeed:
    """The picture of grants and revocations.

    Args:
        store: Where they lie.
        clock: Measures the age of the picture.
        beat_interval_s: How long a watcher waits for a change before it gets a beat.
    """

    def __init__(self, store: AuthStore, clock: Clock, beat_interval_s: float = BEAT_INTERVAL_S) -> None:
        self._store = store
        self._clock = clock
        self._beat_interval_s = beat_interval_s
        self._grants = Grants()
        self._position = FeedPosition()
        self._refreshed_s: float | None = None
        self._refreshing = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def grants(self) -> Grants:
        """The latest picture. Replaced, never changed."""
        return self._grants

    @property
    def age_s(self) -> float:
        """How long ago the picture was compared with the store; infinite before the first time."""
        return float("inf") if self._refreshed_s is None else self._clock.monotonic_s() - self._refreshed_s

    async def refresh(self) -> None:
        """Catches up with the store, and wakes the watchers if anything changed. Raises what the store raises."""
        async with self._refreshing:
            started_s = self._clock.monotonic_s()
            changes = await self._store.read_feed(self._position)
            self._position = changes.position
            self._refreshed_s = started_s
            if not changes:
                return
            before = self._grants
            roles = dict(before.roles)
            for key, role in changes.roles.items():
                if role is None:
                    roles.pop(key, None)
                else:
                    roles[key] = Role(role)
            after = Grants(
                roles=roles,
                projects=_updated(before.projects, changes.projects),
                owners=_updated(before.owners, changes.owners),
                revoked_tokens=_updated(before.revoked_tokens, changes.revoked_tokens),
            )
            if after == before:
                return
            self._grants = after
            self._changed.set()
            self._changed = asyncio.Event()

    async def watch(self, stop: asyncio.Event) -> AsyncGenerator[Grants | None]:
        """Yields the picture at once and after each change, several at once being one; None as a beat between.

        A beat comes after a look into the store, so it truly says that nothing changed. Ends once `stop` is set. Raises
        what the store raises.
        """
        await self.refresh()
        seen = self._grants
        yield seen
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                if self._grants is seen:
                    changed = asyncio.ensure_future(self._changed.wait())
                    try:
                        await asyncio.wait(
                            {changed, stopped}, timeout=self._beat_interval_s, return_when=asyncio.FIRST_COMPLETED
                        )
                    finally:
                        changed.cancel()
                    if stop.is_set():
                        return
                    if self._grants is seen:
                        await self.refresh()
                if self._grants is seen:
                    yield None
                else:
                    seen = self._grants
                    yield seen
        finally:
            stopped.cancel()


def _updated(before: frozenset[str], changes: dict[str, bool]) -> frozenset[str]:
    return before.difference(changes) | {item for item, there in changes.items() if there}
