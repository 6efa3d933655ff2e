"""Which page a path shows, and the frame around it. The pages themselves are plain functions."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output

from penstock.api.auth.v1 import auth_service_pb2
from penstock.client import AsyncClient
from penstock.errors import AuthenticationFailed, PenstockError
from penstock_dashboard.components import notices, shell
from penstock_dashboard.pages import artifacts, compare, gates, models, projects, run, run_files, runs
from penstock_dashboard.pages.context import Drawn, Visit, visitor_client
from penstock_dashboard.session import Sessions
from penstock_dashboard.settings import Settings

__all__ = ["register"]

PROJECTS_MAX = 1000
"""Projects in the switcher."""

_PROJECT = r"/projects/(?P<project>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"


@dataclass(frozen=True)
class _Page:
    path: re.Pattern[str]
    draw: Callable[[AsyncClient, Visit], Awaitable[Drawn]]


_PAGES = (
    _Page(re.compile(r"/(?:projects)?"), projects.draw),
    _Page(re.compile(_PROJECT), runs.draw),
    _Page(re.compile(_PROJECT + r"/runs"), runs.draw),
    _Page(re.compile(_PROJECT + r"/runs/(?P<run_id>[0-9a-f]{32})"), run.draw),
    _Page(re.compile(_PROJECT + r"/runs/(?P<run_id>[0-9a-f]{32})/files"), run_files.draw),
    _Page(re.compile(_PROJECT + r"/compare"), compare.draw),
    _Page(re.compile(_PROJECT + r"/artifacts"), artifacts.draw),
    _Page(re.compile(_PROJECT + r"/artifacts/(?P<artifact>[^/]+)"), artifacts.draw_artifact),
    _Page(
        re.compile(_PROJECT + r"/artifacts/(?P<artifact>[^/]+)/versions/(?P<number>[1-9][0-9]{0,8}|latest)"),
        artifacts.draw_version,
    ),
    _Page(re.compile(_PROJECT + r"/models"), models.draw),
    _Page(re.compile(_PROJECT + r"/models/(?P<model>[^/]+)"), models.draw_model),
    _Page(re.compile(_PROJECT + r"/models/(?P<model>[^/]+)/versions/(?P<number>[1-9][0-9]{0,8})"), models.draw_version),
    _Page(re.compile(_PROJECT + r"/gates"), gates.draw),
)


def register(app: Dash, sessions: Sessions, settings: Settings) -> None:
    """Adds the callbacks of the frame and of every page."""

    @app.callback(
        Output("page", "children"),
        Output("project-switcher", "children"),
        Output("visitor", "children"),
        Output("page-title", "data"),
        Output("notice", "children"),
        Input("location", "pathname"),
        Input("location", "search"),
        running=[(Output("page-progress", "className"), "page-progress running", "page-progress")],
    )
    async def show_page(pathname: str | None, search: str | None) -> tuple[Any, Any, Any, str, Any]:
        client = visitor_client(sessions)
        path = (pathname or "/").rstrip("/") or "/"
        draw, parts = _find(path)
        visit = Visit(path=path, search=search or "", parts=parts, settings=settings)
        listing, who, drawn = await asyncio.gather(
            client.auth.ListProjects(auth_service_pb2.ListProjectsRequest(page_size=PROJECTS_MAX)),
            client.auth.WhoAmI(auth_service_pb2.WhoAmIRequest()),
            _drawn(draw, client, visit),
        )
        return (
            drawn.content,
            shell.project_switcher(listing.projects, drawn.project, path),
            who.principal.removeprefix("users/"),
            f"{drawn.title} · Penstock" if drawn.title else "Penstock",
            None,
        )

    app.clientside_callback(ClientsideFunction("penstock", "set_title"), Input("page-title", "data"))
    app.clientside_callback(
        ClientsideFunction("penstock", "sign_out"), Input("sign-out", "n_clicks"), prevent_initial_call=True
    )
    for page in (runs, run, compare):
        page.register(app, sessions)
    models.register(app)


def _find(path: str) -> tuple[Callable[[AsyncClient, Visit], Awaitable[Drawn]], dict[str, str]]:
    for page in _PAGES:
        match = page.path.fullmatch(path)
        if match is not None:
            return page.draw, match.groupdict()
    return _nothing_here, {}


async def _drawn(draw: Callable[[AsyncClient, Visit], Awaitable[Drawn]], client: AsyncClient, visit: Visit) -> Drawn:
    try:
        return await draw(client, visit)
    except AuthenticationFailed:
        raise
    except PenstockError as error:
        return Drawn("", notices.page_notice(error), visit.parts.get("project"))


async def _nothing_here(client: AsyncClient, visit: Visit) -> Drawn:  # noqa: ARG001 - drawn like every page
    return Drawn("Not found", notices.message_page("Nothing here", "This address leads to no page."))
