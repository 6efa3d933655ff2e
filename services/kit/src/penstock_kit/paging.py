"""Pages of a list: how many items, and the opaque token that goes on after the last one.

A token is not secret and not signed: whoever opens one must treat its state as input. It says nothing that its holder could
not have asked for.
"""

import base64
import binascii
import hashlib
from typing import Any, TypeVar

import msgpack
from google.protobuf.message import Message

from penstock_kit.errors import InvalidInput

__all__ = ["PAGE_TOKEN_CHARS_MAX", "PageTokenInvalid", "fingerprint", "open", "page_size", "place", "seal"]

PAGE_TOKEN_CHARS_MAX = 4_096
_FORMAT = 1

T = TypeVar("T")


class PageTokenInvalid(InvalidInput):
    """A page token is damaged, or belongs to another request."""

    reason = "PAGE_TOKEN_INVALID"


def fingerprint(request: Message) -> str:
    """Digests a list request, all but `page_size` and `page_token`: what must stay the same from page to page."""
    copy = type(request)()
    copy.CopyFrom(request)
    for name in ("page_size", "page_token"):
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()


def seal(fingerprint: str, state: Any) -> str:
    """Makes the token of the next page.

    Args:
        fingerprint: Digest of the request without its page fields.
        state: Where to go on: None, bool, int (64 bit), float, str, bytes, and lists and dicts of these.
    """
    packed: Any = msgpack.packb([_FORMAT, _short(fingerprint), state], use_bin_type=True)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def open(token: str, fingerprint: str) -> Any:  # noqa: A001 - the counterpart of seal; called as paging.open
    """Returns the state in a token, tuples as lists. Raises `PageTokenInvalid` if it is damaged or of another request."""
    if len(token) > PAGE_TOKEN_CHARS_MAX:
        raise PageTokenInvalid(f"The page token is longer than {PAGE_TOKEN_CHARS_MAX} characters.")
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        content = msgpack.unpackb(packed, raw=False, strict_map_key=True)
        version, sealed_for, state = content
    except (binascii.Error, ValueError, TypeError, msgpack.UnpackException):
        raise PageTokenInvalid("The page token is damaged: send next_page_token as it was received.") from None
    if version != _FORMAT or sealed_for != _short(fingerprint):
        raise PageTokenInvalid("The page token belongs to another request: send all other fields unchanged.")
    return state


def place(token: str, fingerprint: str, kind: type[T]) -> T | None:
    """Returns where a page begins: the state in its token, None for the first page.

    Raises `PageTokenInvalid`, also where the state is of another type: anybody may have written it.
    """
    if not token:
        return None
    state = open(token, fingerprint)
    if not isinstance(state, kind):
        raise PageTokenInvalid("The page token is damaged: send next_page_token as it was received.")
    return state


def page_size(requested: int, default: int = 100, maximum: int = 1_000) -> int:
    """How many items a page holds: `default` for 0, else what was asked for, at most `maximum`. Raises `InvalidInput`."""
    if requested < 0:
        raise InvalidInput(f"page_size must be 0 to {maximum}.", field="page_size")
    return min(requested or default, maximum)


def _short(fingerprint: str) -> bytes:
    # 64 bits tell requests apart that are mixed up by mistake; tokens stay short.
    return hashlib.sha256(fingerprint.encode()).digest()[:8]
