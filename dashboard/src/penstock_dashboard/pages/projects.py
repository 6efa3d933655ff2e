"""The page of projects."""

import time

from dash import dcc, html

from penstock.api.auth.v1 import auth_service_pb2
from penstock.client import AsyncClient
from penstock_dashboard import formatting
from penstock_dashboard.components.icon import icon
from penstock_dashboard.pages import runs
from penstock_dashboard.pages.context import Drawn, Visit

__all__ = ["draw"]

PROJECTS_MAX = 1000


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the page. A visitor with one project is shown that project at once."""
    response = await client.auth.ListProjects(auth_service_pb2.ListProjectsRequest(page_size=PROJECTS_MAX))
    projects = list(response.projects)
    if len(projects) == 1:
        project_id = projects[0].name.removeprefix("projects/")
        return await runs.draw(client, Visit(visit.path, visit.search, {"project": project_id}, visit.settings))
    now_s = time.time()
    content = html.Div(
        className="page",
        children=[
            html.Div(html.H1("Projects"), className="page-head"),
            html.Div([_card(project, now_s) for project in projects], className="cards")
            if projects
            else html.P("You have access to no project yet. Ask its administrator for a grant.", className="quiet"),
        ],
    )
    return Drawn("Projects", content)


def _card(project: auth_service_pb2.Project, now_s: float) -> dcc.Link:
    project_id = project.name.removeprefix("projects/")
    return dcc.Link(
        href=f"/projects/{project_id}",
        className="card project-card",
        children=[
            html.Div([icon("folder", 20), html.H2(project.title or project_id)], className="card-title"),
            html.P(project.description or project_id, className="quiet clamp-2"),
            html.Div(f"Created {formatting.relative_time(project.create_time, now_s=now_s)}", className="fact-line"),
        ],
    )
