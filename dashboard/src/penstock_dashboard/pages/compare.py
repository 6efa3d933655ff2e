"""Several runs over each other, and what differs between their params."""

import asyncio
from collections.abc import Sequence
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html, set_props

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock.errors import NotFound
from penstock_dashboard import figures, formatting, ordering
from penstock_dashboard.components import charts, notices
from penstock_dashboard.components.badges import state_badge
from penstock_dashboard.components.icon import icon
from penstock_dashboard.pages.context import Drawn, Visit, visitor_client
from penstock_dashboard.session import Sessions
from penstock_dashboard.state import compared_runs

__all__ = ["draw", "register"]

PARAMS_MAX = 60
"""Rows of the table of differences."""


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the page. Runs that no longer exist are left out."""
    project, run_ids = visit.parts["project"], compared_runs(visit.search)
    found = [run for run in await asyncio.gather(*(_run(client, project, run_id) for run_id in run_ids)) if run]
    if not found:
        nothing = notices.message_page("Nothing to compare", "Select runs in the table of runs, then choose Compare.")
        return Drawn("Compare", nothing, project)
    charted = [
        charts.ChartedRun(_id(run), run.display_name or _id(run)[:8], formatting.seconds(run.start_time))
        for run in found
    ]
    listed = await charts.list_keys(client, project, [run.run_id for run in charted])
    content = html.Div(
        className="page page-wide",
        children=[
            dcc.Store(id="compare-tick", data=0),
            dcc.Interval(id="compare-interval", interval=charts.LIVE_MS if _any_live(found) else charts.QUIET_MS),
            dcc.Store(id="compare-context", data={"project": project, "runs": [_id(run) for run in found]}),
            html.Nav(
                className="breadcrumb",
                children=[
                    dcc.Link("Runs", href=f"/projects/{project}"),
                    icon("chevron-right", 14),
                    html.Span("Compare"),
                ],
                **{"aria-label": "Breadcrumb"},
            ),
            html.Div(html.H1(f"Compare {formatting.count(len(found), 'run')}"), className="page-head"),
            html.Div(_legend(found), id="compare-legend", className="legend"),
            _differences(found),
            charts.charts(project, charted, listed, live=_any_live(found), ranks=1),
        ],
    )
    return Drawn("Compare", content, project)


def register(app: Dash, sessions: Sessions) -> None:
    """Adds the page's callback. The charts have their own."""

    @app.callback(
        Output("compare-interval", "interval"),
        Input("compare-tick", "data"),
        State("compare-context", "data"),
        prevent_initial_call=True,
    )
    async def follow(_tick: int, context: dict[str, Any]) -> int:
        client = visitor_client(sessions)
        runs = await asyncio.gather(*(_run(client, context["project"], run_id) for run_id in context["runs"]))
        found = [run for run in runs if run]
        interval_ms = charts.LIVE_MS if _any_live(found) else charts.QUIET_MS
        set_props("charts-interval", {"interval": interval_ms})
        for run in found:
            set_props({"type": "legend-state", "run": _id(run)}, {"children": state_badge(run.state)})
        return interval_ms

    app.clientside_callback(
        ClientsideFunction("penstock", "hide_runs"),
        Output("charts-hidden", "data"),
        Input({"type": "legend", "run": ALL}, "n_clicks"),
        State("charts-hidden", "data"),
        prevent_initial_call=True,
    )
    charts.register_tick(app, "compare-tick", "compare-interval")


async def _run(client: AsyncClient, project: str, run_id: str) -> run_pb2.Run | None:
    try:
        response = await client.tracking.GetRun(
            tracking_service_pb2.GetRunRequest(name=f"projects/{project}/runs/{run_id}")
        )
    except NotFound:
        return None
    return response.run


def _id(run: run_pb2.Run) -> str:
    return run.name.rpartition("/")[2]


def _any_live(runs: Sequence[run_pb2.Run]) -> bool:
    return any(run.state == run_pb2.RUN_STATE_RUNNING for run in runs)


def _legend(runs: Sequence[run_pb2.Run]) -> list[Any]:
    """A chip per run: a click on it hides and shows its curves, the arrow leads to the run."""
    return [
        html.Span(
            className="legend-item",
            children=[
                html.Button(
                    id={"type": "legend", "run": _id(run)},
                    className="legend-toggle",
                    title="Hide or show its curves",
                    children=[
                        _swatch(index),
                        html.Span(run.display_name or _id(run)[:8], className="legend-name"),
                        html.Span(state_badge(run.state), id={"type": "legend-state", "run": _id(run)}),
                    ],
                    **{"aria-pressed": "true"},
                ),
                dcc.Link(
                    icon("chevron-right", 15),
                    href=f"/{run.name}",
                    className="legend-link",
                    title=f"Open {run.display_name or _id(run)[:8]}",
                ),
            ],
        )
        for index, run in enumerate(runs)
    ]


def _swatch(index: int) -> html.Span:
    return html.Span(className="swatch", style={"background": figures.PALETTE[index % len(figures.PALETTE)]})


def _differences(runs: Sequence[run_pb2.Run]) -> Any:
    """The params that are not the same in all runs."""
    values = [{param.key: formatting.value(param.value) for param in run.params} for run in runs]
    keys = ordering.natural({key for one in values for key in one})
    differing = [key for key in keys if len({one.get(key) for one in values}) > 1][:PARAMS_MAX]
    if not differing:
        return None
    head = html.Tr(
        [html.Th("Param", scope="col")]
        + [
            html.Th([_swatch(index), run.display_name or _id(run)[:8]], scope="col", title=run.display_name)
            for index, run in enumerate(runs)
        ]
    )
    rows = [
        html.Tr([html.Th(key, scope="row")] + [html.Td(one.get(key, "–"), title=one.get(key)) for one in values])
        for key in differing
    ]
    return html.Details(
        open=True,
        className="card panel differences",
        children=[
            html.Summary(html.H2("Params that differ")),
            html.Div(
                html.Table([html.Thead(head), html.Tbody(rows)], className="key-values compared"), className="scroll-x"
            ),
        ],
    )
