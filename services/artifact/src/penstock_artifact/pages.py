"""Owns how a listing is cut into pages: what a request asks for, and the token with which the next one goes on."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from penstock_artifact.store import Page
from penstock_kit import paging

__all__ = ["page_of"]

T = TypeVar("T")


async def page_of(request: Any, fetch: Callable[[int, bytes | None], Awaitable[Page[T]]]) -> tuple[list[T], str]:
    """Fetches the page that a request asks for. Returns its items and the next token. Raises `PageTokenInvalid`."""
    digest = paging.fingerprint(request)
    page = await fetch(paging.page_size(request.page_size), paging.place(request.page_token, digest, bytes))
    return page.items, paging.seal(digest, page.cursor) if page.cursor is not None else ""
