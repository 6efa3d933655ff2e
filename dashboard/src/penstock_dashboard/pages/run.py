"""One run: its live charts, and what is known about it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, set_props
from dash.exceptions import PreventUpdate

from penstock.api.tracking.v1 import experiment_pb2, run_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock_dashboard import formatting
from penstock_dashboard.components import charts
from penstock_dashboard.components.alerts import alert_list
from penstock_dashboard.components.badges import state_badge
from penstock_dashboard.components.icon import icon
from penstock_dashboard.components.snippet import copy_button
from penstock_dashboard.pages import edit, media, run_files
from penstock_dashboard.pages.context import Drawn, Visit, visitor_client
from penstock_dashboard.session import Sessions

__all__ = ["draw", "register"]

ALERTS_MAX = 50
"""The newest alerts, which the page shows."""


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the page."""
    project, run_id = visit.parts["project"], visit.parts["run_id"]
    name = f"projects/{project}/runs/{run_id}"
    response, listed, alerts = await asyncio.gather(
        client.tracking.GetRun(tracking_service_pb2.GetRunRequest(name=name)),
        charts.list_keys(client, project, [run_id]),
        _alerts(client, name),
    )
    run = response.run
    experiment = await client.tracking.GetExperiment(tracking_service_pb2.GetExperimentRequest(name=run.experiment))
    title = run.display_name or run_id[:8]
    charted = charts.ChartedRun(run_id, title, formatting.seconds(run.start_time))
    content = html.Div(
        className="page page-wide",
        children=[
            dcc.Store(id="run-tick", data=0),
            dcc.Interval(id="run-interval", interval=charts.LIVE_MS if _is_live(run) else charts.QUIET_MS),
            dcc.Store(id="run-context", data={"name": run.name, "experiment": experiment.experiment.display_name}),
            html.Nav(
                className="breadcrumb",
                children=[dcc.Link("Runs", href=f"/projects/{project}"), icon("chevron-right", 14), html.Span(title)],
                **{"aria-label": "Breadcrumb"},
            ),
            html.Div(
                className="page-head",
                children=[
                    html.H1(title, id="run-title"),
                    html.Span(state_badge(run.state), id="run-state"),
                    html.Div(className="spacer"),
                    html.Span(
                        [html.Code(run_id, className="run-id"), copy_button(run_id, "Copy id")], className="id-group"
                    ),
                    edit.menu(),
                ],
            ),
            edit.dialogs(run.name),
            html.Div(_facts(run, experiment.experiment, time.time()), id="run-facts", className="facts"),
            html.Div(_failure(run), id="run-failure"),
            html.Div(alerts, id="run-alerts"),
            dmc.Tabs(
                id="run-tabs",
                value="charts",
                children=[
                    dmc.TabsList(
                        [
                            dmc.TabsTab("Charts", value="charts"),
                            dmc.TabsTab("Overview", value="overview"),
                            dmc.TabsTab("Media", value="media"),
                            dmc.TabsTab("Files", value="files"),
                        ]
                    ),
                    dmc.TabsPanel(
                        charts.charts(project, [charted], listed, live=_is_live(run), ranks=len(run.ranks)),
                        value="charts",
                    ),
                    dmc.TabsPanel(html.Div(_overview(run), id="run-overview"), value="overview"),
                    dmc.TabsPanel(html.Div(id="run-media", className="tab-panel"), value="media"),
                    dmc.TabsPanel(html.Div(id="run-files", className="tab-panel"), value="files"),
                ],
            ),
        ],
    )
    return Drawn(title, content, project)


def register(app: Dash, sessions: Sessions) -> None:
    """Adds the page's callbacks, and those of the charts."""
    charts.register(app, sessions)
    edit.register(app, sessions)
    media.register(app, sessions)

    @app.callback(
        Output("run-title", "children"),
        Output("run-state", "children"),
        Output("run-facts", "children"),
        Output("run-failure", "children"),
        Output("run-alerts", "children"),
        Output("run-overview", "children"),
        Output("run-interval", "interval"),
        Input("run-tick", "data"),
        State("run-context", "data"),
        prevent_initial_call=True,
    )
    async def follow(_tick: int, context: dict[str, Any]) -> tuple[Any, ...]:
        client = visitor_client(sessions)
        response, alerts = await asyncio.gather(
            client.tracking.GetRun(tracking_service_pb2.GetRunRequest(name=context["name"])),
            _alerts(client, context["name"]),
        )
        run = response.run
        experiment = experiment_pb2.Experiment(display_name=context["experiment"])
        interval_ms = charts.LIVE_MS if _is_live(run) else charts.QUIET_MS
        set_props("charts-interval", {"interval": interval_ms})
        return (
            run.display_name or run.name.rpartition("/")[2][:8],
            state_badge(run.state),
            _facts(run, experiment, time.time()),
            _failure(run),
            alerts,
            _overview(run),
            interval_ms,
        )

    @app.callback(
        Output("run-files", "children"),
        Input("run-tabs", "value"),
        State("run-context", "data"),
        prevent_initial_call=True,
    )
    async def show_files(tab: str, context: dict[str, Any]) -> Any:
        if tab != "files":
            raise PreventUpdate
        return await run_files.files_of(visitor_client(sessions), context["name"], "")

    charts.register_tick(app, "run-tick", "run-interval")


async def _alerts(client: AsyncClient, run: str) -> Any:
    found = await client.alerts(run, limit=ALERTS_MAX + 1).to_list()
    return alert_list(found[:ALERTS_MAX], time.time(), more=len(found) > ALERTS_MAX)


def _is_live(run: run_pb2.Run) -> bool:
    return run.state == run_pb2.RUN_STATE_RUNNING


def _facts(run: run_pb2.Run, experiment: experiment_pb2.Experiment, now_s: float) -> list[Any]:
    facts = [
        ("Experiment", experiment.display_name, None),
        ("Started", formatting.relative_time(run.start_time, now_s=now_s), formatting.absolute_time(run.start_time)),
        ("Duration", formatting.duration_between(run.start_time, run.end_time, now_s=now_s), None),
        ("By", run.creator.removeprefix("users/"), None),
    ]
    if run.group:
        facts.append(("Group", run.group, None))
    if len(run.ranks) > 1:
        facts.append(("Ranks", str(len(run.ranks)), None))
    if run.forked_from:
        facts.append(("Forked from", f"{run.forked_from.rpartition('/')[2][:8]} at step {run.fork_step:,}", None))
    return [
        html.Div([html.Span(name, className="fact-name"), html.Span(text or "–", title=tip)], className="fact")
        for name, text, tip in facts
    ]


def _failure(run: run_pb2.Run) -> Any:
    if not run.failure:
        return None
    return dmc.Alert(
        title="Why it ended",
        children=html.Pre(run.failure, className="failure"),
        color="red",
        variant="light",
        icon=icon("alert"),
        className="notice-strip",
    )


def _overview(run: run_pb2.Run) -> html.Div:
    own = [(tag.key, tag.value) for tag in run.tags if not tag.key.startswith(edit.RESERVED_TAG_PREFIX)]
    found = [
        (tag.key.removeprefix(edit.RESERVED_TAG_PREFIX), tag.value)
        for tag in run.tags
        if tag.key.startswith(edit.RESERVED_TAG_PREFIX)
    ]
    params = [(param.key, formatting.value(param.value)) for param in run.params]
    summary = [(entry.key, formatting.value(entry.value)) for entry in run.summary]
    notes = (
        dcc.Markdown(run.notes, className="markdown", link_target="_blank")
        if run.notes
        else html.P("No notes.", className="quiet")
    )
    return html.Div(
        className="overview",
        children=[
            html.Div(
                [
                    _table("Params", params, "No params were logged."),
                    _table("Summary", summary, "The run set no summary."),
                ],
                className="overview-column",
            ),
            html.Div(
                [
                    html.Section([html.H2("Notes"), notes], className="card panel"),
                    _table("Tags", own, "No tags."),
                    *([_table("Code and machine", found, "")] if found else []),
                ],
                className="overview-column",
            ),
        ],
    )


def _table(title: str, rows: Sequence[tuple[str, str]], nothing: str) -> html.Section:
    body: Any = html.P(nothing, className="quiet")
    if rows:
        body = html.Table(
            html.Tbody([html.Tr([html.Th(key, scope="row"), html.Td(text, title=text)]) for key, text in rows]),
            className="key-values",
        )
    count = html.Span(str(len(rows)), className="section-count") if rows else None
    return html.Section([html.H2([title, count]), body], className="card panel")
