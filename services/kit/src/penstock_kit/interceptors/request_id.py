"""Gives every call an id: the caller's `x-request-id` if it is sane, else a fresh one. It comes back in the trailing
metadata and is in every log line of the call.
"""

import re

from penstock_kit import logs
from penstock_kit.ids import random_id
from penstock_kit.interceptors.call import Call, Proceed

__all__ = ["REQUEST_ID_HEADER", "RequestId"]

REQUEST_ID_HEADER = "x-request-id"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class RequestId:
    """The stage."""

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        given = call.header(REQUEST_ID_HEADER)
        call.request_id = given if given is not None and _SANE.match(given) else random_id()
        call.context.set_trailing_metadata(((REQUEST_ID_HEADER, call.request_id),))
        logs.bind(request_id=call.request_id)
        await proceed(call)
