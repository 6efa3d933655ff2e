"""What a page gets: the visit it answers, and the visitor's client inside a callback."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dash import ctx

from penstock.client import AsyncClient
from penstock_dashboard.session import COOKIE, Sessions
from penstock_dashboard.settings import Settings

__all__ = ["Drawn", "Visit", "request_header", "visitor_client"]


@dataclass(frozen=True)
class Visit:
    """One look at one address.

    Attributes:
        path: The path of the URL.
        search: The query string with `?`, or empty.
        parts: What the path names: `project`, `run_id`.
        settings: The dashboard's settings.
    """

    path: str
    search: str
    parts: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True)
class Drawn:
    """A page.

    Attributes:
        title: For the browser's tab.
        content: The components.
        project: The id of the project it is about; None if of none.
    """

    title: str
    content: Any
    project: str | None = None


def request_header(name: str) -> str | None:
    """A header of the request of the callback that is running, by its lower-case name."""
    headers: Any = ctx.headers
    return headers.get(name)


def visitor_client(sessions: Sessions) -> AsyncClient:
    """The client of whoever sent the request of the callback that is running. Raises `AuthenticationFailed`."""
    cookies: Any = ctx.cookies
    return sessions.client(cookies.get(COOKIE))
