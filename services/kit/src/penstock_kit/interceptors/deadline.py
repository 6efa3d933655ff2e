"""Gives every unary call an end: the caller's deadline, which the transport keeps, or else a default. Streams may last."""

import asyncio

import grpc

from penstock_kit.errors import PenstockError
from penstock_kit.interceptors.call import Call, MethodKind, Proceed

__all__ = ["Deadline", "DeadlineExceeded"]


class DeadlineExceeded(PenstockError):
    """The call took longer than the server allows to one without a deadline of its own."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Deadline:
    """The stage.

    Args:
        default_s: Seconds for a unary call that came without a deadline.
    """

    def __init__(self, default_s: float) -> None:
        self._default_s = default_s

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        if call.method.kind is not MethodKind.UNARY or call.context.time_remaining() is not None:
            await proceed(call)
            return
        limit = asyncio.timeout(self._default_s)
        try:
            async with limit:
                await proceed(call)
        except TimeoutError:
            if not limit.expired():
                raise  # the handler's own
            raise DeadlineExceeded(
                f"The call took longer than {self._default_s:g} s, the limit of a call without a deadline."
            ) from None
