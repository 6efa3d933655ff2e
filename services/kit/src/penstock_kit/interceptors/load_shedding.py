"""Refuses calls beyond what the server can carry, by class: many watchers must not keep writers out."""

from collections.abc import Mapping

from penstock_kit.errors import LimitExceeded
from penstock_kit.interceptors.call import Call, MethodKind, Proceed

__all__ = ["LoadShedding", "Overloaded"]


class Overloaded(LimitExceeded):
    """The server has as many calls of this class in flight as it takes. Nothing was done; try again later."""

    reason = "OVERLOADED"


class LoadShedding:
    """The stage.

    Args:
        limits: How many calls of each kind may be in flight.
    """

    def __init__(self, limits: Mapping[MethodKind, int]) -> None:
        self._limits = dict(limits)
        self._in_flight = dict.fromkeys(MethodKind, 0)

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        kind = call.method.kind
        if self._in_flight[kind] >= self._limits[kind]:
            raise Overloaded(
                f"The server already handles {self._limits[kind]} {kind.value} calls, its limit: try again later.",
                limit=str(self._limits[kind]),
            )
        self._in_flight[kind] += 1
        try:
            await proceed(call)
        finally:
            self._in_flight[kind] -= 1
