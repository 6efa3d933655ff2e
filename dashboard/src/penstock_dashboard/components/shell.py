"""The frame of every page: header with project switcher, light and dark, and the visitor's menu."""

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from penstock.api.auth.v1 import auth_service_pb2
from penstock_dashboard.components.icon import icon

__all__ = ["header", "page_skeleton", "project_switcher"]

_PLACES = (("Runs", ""), ("Artifacts", "/artifacts"), ("Models", "/models"), ("Gates", "/gates"))
"""The ways within a project."""


def header() -> html.Header:
    """The bar at the top. The router fills in the project and the visitor."""
    return html.Header(
        className="top-bar",
        children=[
            html.A("Skip to content", href="#main", className="skip-link"),
            dcc.Link(
                href="/",
                className="brand",
                children=[html.Img(src="/static/favicon.svg", width=26, height=26, alt=""), html.Span("Penstock")],
            ),
            html.Div(id="project-switcher", className="project-switcher"),
            html.Div(className="spacer"),
            dmc.Tooltip(
                label="Light or dark",
                children=dmc.ColorSchemeToggle(
                    id="color-scheme",
                    lightIcon=icon("sun"),
                    darkIcon=icon("moon"),
                    color="gray",
                    variant="subtle",
                    size="lg",
                    **{"aria-label": "Switch between light and dark"},
                ),
            ),
            dmc.Menu(
                position="bottom-end",
                width=220,
                shadow="md",
                children=[
                    dmc.MenuTarget(
                        dmc.ActionIcon(
                            icon("user"),
                            id="visitor-menu",
                            color="gray",
                            variant="subtle",
                            size="lg",
                            **{"aria-label": "Account"},
                        )
                    ),
                    dmc.MenuDropdown(
                        [
                            html.Div(id="visitor", className="visitor"),
                            dmc.MenuDivider(),
                            dmc.MenuItem("Sign out", id="sign-out", leftSection=icon("logout", 16)),
                        ]
                    ),
                ],
            ),
        ],
    )


def project_switcher(projects: Sequence[auth_service_pb2.Project], current: str | None, path: str) -> list[Any]:
    """The menu of projects, and the ways within the one that is shown.

    Args:
        projects: What the visitor may read.
        current: The id of the project that is shown; None on the page of projects.
        path: The path of the page that is shown.
    """
    if current is None:
        return []
    place = next(
        (place for place in ("/models", "/artifacts", "/gates") if path.startswith(f"/projects/{current}{place}")), ""
    )
    items = []
    for project in projects:
        project_id = project.name.removeprefix("projects/")
        items.append(
            dmc.MenuItem(
                project_id,
                href=f"/projects/{project_id}",
                refresh=False,
                leftSection=icon("check" if project_id == current else "folder", 16),
            )
        )
    return [
        html.Span("/", className="crumb-slash", **{"aria-hidden": "true"}),
        dmc.Menu(
            position="bottom-start",
            shadow="md",
            width=260,
            children=[
                dmc.MenuTarget(
                    dmc.Button(
                        current,
                        id="project-menu",
                        variant="subtle",
                        color="gray",
                        size="compact-md",
                        rightSection=icon("chevron-down", 15),
                        **{"aria-label": f"Project {current}, switch project"},
                    )
                ),
                dmc.MenuDropdown(
                    [
                        dmc.MenuLabel("Projects"),
                        html.Div(items, className="project-items"),
                        dmc.MenuDivider(),
                        dmc.MenuItem("All projects", href="/projects", refresh=False),
                    ]
                ),
            ],
        ),
        html.Nav(
            className="project-nav",
            children=[
                dcc.Link(title, href=f"/projects/{current}{leads}", className="here" if leads == place else "")
                for title, leads in _PLACES
            ],
            **{"aria-label": "Project"},
        ),
    ]


def page_skeleton() -> html.Div:
    """What stands where a page will be."""
    return html.Div(
        className="page",
        children=[
            dmc.Skeleton(height=30, width=260, mb=18),
            dmc.Skeleton(height=36, mb=12),
            *(dmc.Skeleton(height=34, mb=6) for _ in range(9)),
        ],
    )
