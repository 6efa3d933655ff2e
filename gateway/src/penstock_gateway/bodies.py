"""Bodies of HTTP requests, read with a limit in size and time."""

import asyncio

from starlette.requests import Request

from penstock_gateway.errors import BodyTooLarge, BodyTooSlow

__all__ = ["BODY_BYTES_MAX", "BODY_TIMEOUT_S", "check_length", "read_body"]

BODY_BYTES_MAX = 16 * 1024 * 1024
"""As large as a message may be over gRPC."""

BODY_TIMEOUT_S = 60.0


async def read_body(request: Request) -> bytes:
    """The whole body. Raises `BodyTooLarge` above `BODY_BYTES_MAX`, `BodyTooSlow` after `BODY_TIMEOUT_S`."""
    check_length(request)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise _too_large()
    except TimeoutError as error:
        raise BodyTooSlow(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from error
    return bytes(body)


def check_length(request: Request) -> None:
    """Refuses a body by its declared length, before any of it is read. Raises `BodyTooLarge`."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > BODY_BYTES_MAX:
        raise _too_large()


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {BODY_BYTES_MAX} bytes.", limit=str(BODY_BYTES_MAX))
