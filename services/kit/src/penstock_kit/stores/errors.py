"""Errors of every store behind a server: it cannot be used as it is, or not now. Each tells the reason and the remedy."""

__all__ = ["StoreClosed", "StoreError", "StoreMisconfigured", "StoreUnavailable"]


class StoreError(Exception):
    """A store on a server cannot be used.

    Args:
        store: Which one, for people: its address, never with credentials.
        reason: What is wrong: a clause without a full stop.
        remedy: What to do: a sentence.
    """

    def __init__(self, store: str, reason: str, remedy: str) -> None:
        super().__init__(f"{store} {reason}. {remedy}")
        self.store = store
        self.reason = reason
        self.remedy = remedy


class StoreUnavailable(StoreError):
    """The server does not answer, or not in time. The same call may succeed later."""


class StoreMisconfigured(StoreError):
    """The URL, the credentials or the server are not what is needed. Somebody must change something."""


class StoreClosed(RuntimeError):
    """The store was closed before the call."""
