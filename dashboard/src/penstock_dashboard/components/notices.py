"""What a visitor reads when something does not work: one sentence on what happened, one on what to do."""

import logging
from typing import Any

import dash_mantine_components as dmc
from dash import html, set_props

from penstock.errors import (
    AuthenticationFailed,
    InvalidInput,
    NotConnected,
    NotFound,
    PenstockError,
    PermissionDenied,
    ServerUnavailable,
)
from penstock_dashboard.components.icon import icon

__all__ = ["SIGN_IN_EXPIRED", "notice", "on_error", "page_notice"]

SIGN_IN_EXPIRED = "/sign-in?expired=1"

_log = logging.getLogger(__name__)


def words(error: Exception) -> tuple[str, str]:
    """Title and text for an error."""
    if isinstance(error, ServerUnavailable | NotConnected):
        return "Penstock does not answer", "The services cannot be reached. This page tries again by itself."
    if isinstance(error, PermissionDenied):
        return "No access", error.message or "Your token does not allow this."
    if isinstance(error, NotFound):
        return "Not found", error.message or "It does not exist, or it was deleted."
    if isinstance(error, InvalidInput):
        return "That was not understood", error.message
    if isinstance(error, PenstockError):
        return "That did not work", error.message
    return "Something went wrong here", "The dashboard's log says more. Reloading the page may help."


def notice(error: Exception) -> dmc.Alert:
    """A strip above the page."""
    title, text = words(error)
    return dmc.Alert(
        title=title,
        children=text,
        color="yellow" if isinstance(error, ServerUnavailable | NotConnected) else "red",
        variant="light",
        icon=icon("alert"),
        className="notice-strip",
    )


def page_notice(error: Exception) -> html.Div:
    """A whole page that says what happened."""
    title, text = words(error)
    return message_page(title, text)


def message_page(title: str, text: str) -> html.Div:
    """A whole page with one message and the way home."""
    return html.Div(
        className="message-page",
        children=[
            html.Div(icon("alert", 28), className="message-icon"),
            html.H1(title),
            html.P(text),
            dmc.Anchor("Go to the projects", href="/", className="button-link", refresh=False),
        ],
    )


def on_error(error: Exception) -> Any:
    """What Dash calls when a callback failed: shows a notice, or the sign-in page when the session ended."""
    if isinstance(error, AuthenticationFailed):
        set_props("leave", {"href": SIGN_IN_EXPIRED})
        return
    if not isinstance(error, PenstockError):
        _log.error("A callback failed.", exc_info=error)
    set_props("notice", {"children": notice(error)})
