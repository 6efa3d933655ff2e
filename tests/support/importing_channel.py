"""A channel to an artifact service that has no auth service beside it."""

from support.artifact import Artifacts

from penstock.client._async.channel import AsyncChannel, _Access
from penstock.config import Connection

__all__ = ["GuardedChannel"]


class GuardedChannel(AsyncChannel):
    """Its token is made here.

    Args:
        server: The service.
        by: Who calls.
    """

    def __init__(self, server: Artifacts, by: str = "users/ada") -> None:
        super().__init__(Connection(f"http://{server.address}", server.address, "unused", "tests"), timeout_s=30)
        self._guard = server.guard
        self._by = by

    async def _authorized(self, deadline_s: float) -> _Access:
        return _Access(self._guard.issue(self._by), float("inf"))
