"""Who makes an HTTP request, and what of it is carried to the services as metadata."""

import base64
import binascii

from starlette.requests import Request

from penstock_gateway.tokens import PERSONAL_TOKEN_PREFIX, TokenExchange
from penstock_kit.errors import Unauthenticated

__all__ = ["Callers", "basic_or_bearer_token", "bearer_token"]

_TRACE_HEADERS = ("traceparent", "tracestate")


class Callers:
    """Makes the metadata of calls to services.

    Args:
        tokens: Exchanges the personal access tokens of callers.
    """

    def __init__(self, tokens: TokenExchange) -> None:
        self._tokens = tokens

    async def metadata(self, request: Request, secret: str) -> list[tuple[str, str]]:
        """The metadata with which a request goes on to a service. Raises `RpcFailed` with what auth said of the token.

        Args:
            request: The request, which has its id already.
            secret: Its token: an access token, or a personal one, which is exchanged; empty if it has none.
        """
        metadata = [("x-request-id", request.state.request_id)]
        metadata += [(name, value) for name in _TRACE_HEADERS if (value := request.headers.get(name))]
        if secret.startswith(PERSONAL_TOKEN_PREFIX):
            secret = await self._tokens.access_token(secret)
        if secret:
            metadata.append(("authorization", f"Bearer {secret}"))
        return metadata

    def refused(self, secret: str) -> None:
        """A service did not accept the token: what is kept for it is dropped."""
        if secret.startswith(PERSONAL_TOKEN_PREFIX):
            self._tokens.forget(secret)


def bearer_token(request: Request) -> str:
    """The token of a request, empty if it has none. Raises `Unauthenticated` for other kinds of authorization."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if header and (scheme.lower() != "bearer" or not token.strip()):
        raise Unauthenticated("The Authorization header is not `Bearer <token>`.")
    return _plain(token.strip())


def basic_or_bearer_token(request: Request) -> str:
    """The same, or the password of Basic authorization, whatever the user name. Raises `Unauthenticated`."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer_token(request)
    try:
        _, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = password = ""
    if not colon or not password.strip():
        raise Unauthenticated("The Authorization header is not `Basic` with a token as the password.")
    return _plain(password.strip())


def _plain(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise Unauthenticated("The token holds characters that no token has.")
    return token
