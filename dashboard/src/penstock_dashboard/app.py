"""The composition root of the dashboard: the Dash application on FastAPI, its pages, and what stands before it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, dcc, html
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from penstock_dashboard.components import notices, shell
from penstock_dashboard.components.theme import THEME
from penstock_dashboard.files import mount_files
from penstock_dashboard.pages import router
from penstock_dashboard.session import Sessions
from penstock_dashboard.settings import Settings
from penstock_dashboard.web import Front, content_security_policy, mount_static

__all__ = ["Dashboard", "build"]

GZIP_LEVEL = 4
"""Plotly's script is 4.6 MB: this level takes a third of the time of the default and gives nearly the same size."""
GZIP_BYTES_MIN = 1024

DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="color-scheme" content="light dark">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/static/favicon.svg">
<script src="/static/theme.js"></script>
<link rel="stylesheet" href="/static/base.css">
<link rel="prefetch" as="script" href="/_dash-component-suites/plotly/package_data/plotly.min.js">
{%css%}
</head>
<body>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>
"""


@dataclass(frozen=True)
class Dashboard:
    """The built application.

    Attributes:
        asgi: To be served.
        close: Closes every connection to the services. To be awaited in the event loop that served.
    """

    asgi: ASGIApp
    close: Callable[[], Awaitable[None]]


def build(settings: Settings) -> Dashboard:
    """Builds the dashboard. Opens no connection."""
    sessions = Sessions(settings)
    # Any: Dash takes a FastAPI application here, but its annotation was not told.
    server: Any = FastAPI(openapi_url=None)
    sessions.mount(server)
    mount_static(server)
    mount_files(server, sessions)
    app = Dash(
        "penstock_dashboard",
        server=server,
        assets_folder=str(Path(__file__).parent / "assets"),
        title="Penstock",
        update_title="",
        index_string=DOCUMENT,
        suppress_callback_exceptions=True,  # pages come and go, so callbacks name components that are not there yet
        on_error=notices.on_error,
    )
    # No callback uses WebSockets; told that there are none, the browser opens none.
    app.backend.websocket_capability = False
    app.layout = _layout()
    router.register(app, sessions, settings)
    policy = content_security_policy(app.csp_hashes())
    return Dashboard(
        asgi=Front(GZipMiddleware(server, minimum_size=GZIP_BYTES_MIN, compresslevel=GZIP_LEVEL), policy),
        close=sessions.close,
    )


def _layout() -> dmc.MantineProvider:
    return dmc.MantineProvider(
        id="mantine",
        theme=THEME,
        defaultColorScheme="auto",
        children=[
            dcc.Location(id="location", refresh="callback-nav"),
            dcc.Location(id="leave", refresh=True),
            dcc.Store(id="page-title"),
            html.Div(id="page-progress", className="page-progress"),
            shell.header(),
            html.Main(id="main", children=[html.Div(id="notice"), html.Div(id="page", children=shell.page_skeleton())]),
        ],
    )
