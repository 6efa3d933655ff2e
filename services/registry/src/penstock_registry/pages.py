"""Page tokens that hold a cursor of the document store."""

from penstock_kit import paging

__all__ = ["cursor_of"]


def cursor_of(token: str, digest: str) -> bytes | None:
    """The store cursor in a page token, None for the first page. Raises `PageTokenInvalid`."""
    if not token:
        return None
    state = paging.open(token, digest)
    if not isinstance(state, bytes):
        raise paging.PageTokenInvalid("The page token is damaged: send next_page_token as it was received.")
    return state
