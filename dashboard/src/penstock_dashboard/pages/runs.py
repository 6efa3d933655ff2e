"""The runs of a project: a table that follows them live, searched and ordered by the tracking service.

The grid asks for blocks of rows as they are scrolled into view; each block is one page of SearchRuns. The browser asks again
every few seconds, in place, so that a row's values change while it stays where it is.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock.errors import InvalidInput
from penstock_dashboard import formatting, ordering, queries
from penstock_dashboard.components import charts
from penstock_dashboard.components.badges import state_name
from penstock_dashboard.components.icon import icon
from penstock_dashboard.components.snippet import empty_project, server_address
from penstock_dashboard.pages.context import Drawn, Visit, request_header, visitor_client
from penstock_dashboard.session import Sessions
from penstock_dashboard.state import COMPARED_RUNS_MAX, STATES, RunsView, compare_query

__all__ = ["draw", "register"]

ROWS_PER_BLOCK = 100
"""Rows per request, of the grid and of SearchRuns."""
RUNS_SAMPLED = 200
"""Newest runs from which the choice of columns is made."""
RUNS_SAMPLED_FOR_METRICS = 50
"""Newest runs in which metrics are counted, to choose columns by."""
METRICS_COUNTED_MAX = 200
"""Metrics that are counted."""
METRIC_COLUMNS_DEFAULT_MAX = 6
SHARE_MIN = 0.25
"""A metric that fewer of the counted runs have gets no column of itself, unless all are that rare."""
PARAM_COLUMNS_DEFAULT_MAX = 5
PARAM_COLUMNS_SAME_MAX = 2
"""Params shown while none differs."""
COLUMN_CHOICES_MAX = 2000
"""Columns offered at most."""
EXPERIMENTS_MAX = 1000
REFRESH_MS = 2000
"""How often the table is read anew while runs go on."""
LOOK_MS = 5000
"""How often the dashboard looks for new metrics, params and experiments."""
LOOK_EMPTY_MS = 1500
"""The same, while the project has no run."""
CHAINS_MAX = 8
"""Queries of one visitor whose page tokens are remembered."""
SYSTEM_PREFIX = "system/"
BASE_COLUMNS = ("display_name", "state", "start_time", "duration")
ATTRIBUTE_CHOICES = ("state", "start_time", "duration", "end_time", "experiment", "creator", "group", "run_id")


@dataclass(frozen=True)
class Discovery:
    """What the newest runs carry.

    Attributes:
        total: How many runs the project has.
        metrics: Their metric keys, in natural order.
        metrics_total: How many there are, `metrics` being cut at what the menu offers.
        useful: Those metrics and params that deserve a column, the best first, as columns.
        goals: Which way a metric is better, in words, for those that say.
        params: Their params, those that differ between runs first.
        tags: Their tags.
        summary: Their summary entries.
        experiments: Pairs of id and name.
    """

    total: int
    metrics: tuple[str, ...]
    params: tuple[str, ...]
    tags: tuple[str, ...]
    summary: tuple[str, ...]
    experiments: tuple[tuple[str, str], ...]
    metrics_total: int = 0
    useful: tuple[str, ...] = ()
    goals: Mapping[str, str] = field(default_factory=dict)

    def default_columns(self) -> tuple[str, ...]:
        """What the table shows until the visitor chooses."""
        several = ("experiment",) if len(self.experiments) > 1 else ()
        return (*BASE_COLUMNS, *several, *self.useful)

    def choices(self, chosen: Sequence[str]) -> list[dict[str, Any]]:
        """The column menu's groups. What is chosen is offered even when no sampled run has it."""
        groups: list[tuple[str, list[str]]] = [
            ("Run", list(ATTRIBUTE_CHOICES)),
            (self._metrics_name(), [f"metrics.{key}" for key in self.metrics]),
            ("Params", [f"params.{key}" for key in self.params]),
            ("Summary", [f"summary.{key}" for key in self.summary]),
            ("Tags", [f"tags.{key}" for key in self.tags]),
        ]
        known = {column for _, columns in groups for column in columns}
        other = [column for column in chosen if column not in known and column != "display_name"]
        groups.append(("Other", other))
        return [
            {
                "group": name,
                "items": [{"value": c, "label": queries.column_label(c)} for c in columns[:COLUMN_CHOICES_MAX]],
            }
            for name, columns in groups
            if columns
        ]

    def _metrics_name(self) -> str:
        if self.metrics_total <= len(self.metrics):
            return "Metrics"
        return f"Metrics · {len(self.metrics):,} of {self.metrics_total:,}"

    def fingerprint(self) -> str:
        """Changes when the offered columns do."""
        return repr((self.total > 0, self.metrics, self.params, self.tags, self.summary, self.experiments))


async def discover(client: AsyncClient, project: str) -> Discovery:
    """Looks at the newest runs of a project."""
    parent = f"projects/{project}"
    sample, experiments = await asyncio.gather(
        client.tracking.SearchRuns(
            tracking_service_pb2.SearchRunsRequest(
                parent=parent, page_size=RUNS_SAMPLED, columns=["params", "tags", "summary"]
            )
        ),
        client.tracking.ListExperiments(
            tracking_service_pb2.ListExperimentsRequest(parent=parent, page_size=EXPERIMENTS_MAX)
        ),
    )
    values: dict[str, set[str]] = {}
    holders: dict[str, int] = {}
    for run in sample.runs:
        for param in run.params:
            values.setdefault(param.key, set()).add(formatting.value(param.value))
            holders[param.key] = holders.get(param.key, 0) + 1
    metrics = await _metrics(client, project, [run.name.rpartition("/")[2] for run in sample.runs])
    useful_metrics, goals = await _useful_metrics(client, parent, metrics)
    differing = useful_params(values, holders, len(sample.runs))
    return Discovery(
        total=sample.total_size,
        metrics=tuple(metrics[:COLUMN_CHOICES_MAX]),
        params=tuple(ordering.natural(values)),
        tags=tuple(ordering.natural({tag.key for run in sample.runs for tag in run.tags})),
        summary=tuple(ordering.natural({entry.key for run in sample.runs for entry in run.summary})),
        experiments=tuple((e.name.rpartition("/")[2], e.display_name) for e in experiments.experiments),
        metrics_total=len(metrics),
        useful=(*(f"metrics.{key}" for key in useful_metrics), *(f"params.{key}" for key in differing)),
        goals=goals,
    )


def useful_params(values: Mapping[str, set[str]], holders: Mapping[str, int], runs: int) -> list[str]:
    """Params that deserve a column: those that differ between runs; a few of all, if none does.

    Args:
        values: The values that each param has.
        holders: How many runs have it.
        runs: How many runs there are.
    """
    if not holders:
        return []
    ranked = ordering.by_usefulness(holders, runs)
    differing = [key for key in ranked if len(values[key]) > 1]
    # A param that some runs lack tells them apart too, but its column is half empty.
    partly = [key for key in ranked if len(values[key]) == 1 and holders[key] < runs]
    return [*differing, *partly][:PARAM_COLUMNS_DEFAULT_MAX] or ranked[:PARAM_COLUMNS_SAME_MAX]


def counted_metrics(keys: Sequence[str]) -> list[str]:
    """The metrics among which columns are chosen: not the system's, those without numbers in their names first."""
    own = [key for key in keys if not key.startswith(SYSTEM_PREFIX)]
    own.sort(key=lambda key: (any(char.isdigit() for char in key), len(key)))
    return own[:METRICS_COUNTED_MAX]


async def _metrics(client: AsyncClient, project: str, run_ids: Sequence[str]) -> list[str]:
    """The runs' metrics, in natural order. Where they are too many to be read, those without numbers are among them."""
    if not run_ids:
        return []
    listed = await charts.list_keys(client, project, run_ids)
    if listed.complete:
        return list(listed.keys)
    plain = await client.tracking.ListMetricKeys(
        tracking_service_pb2.ListMetricKeysRequest(
            parent=f"projects/{project}",
            runs=[f"projects/{project}/runs/{run_id}" for run_id in run_ids],
            pattern="^[^0-9]*$",
        )
    )
    return ordering.natural({*listed.keys, *plain.keys})


async def _useful_metrics(
    client: AsyncClient, parent: str, metrics: Sequence[str]
) -> tuple[list[str], Mapping[str, str]]:
    """The metrics that deserve a column, and the goals of all that are counted."""
    counted = counted_metrics(metrics)
    if not counted:
        return [], {}
    sample = await client.tracking.SearchRuns(
        tracking_service_pb2.SearchRunsRequest(
            parent=parent,
            page_size=RUNS_SAMPLED_FOR_METRICS,
            columns=["metric_definitions", *(f"metrics.{key}" for key in counted)],
        )
    )
    holders: dict[str, int] = {}
    goals: dict[str, str] = {}
    for run in sample.runs:
        for metric in run.latest_metrics:
            holders[metric.key] = holders.get(metric.key, 0) + 1
        for key, definition in charts.definitions_of(run.metric_definitions, counted).items():
            goals.setdefault(key, charts.goal_text(definition.goal))
    ranked = ordering.by_usefulness(holders, max(1, len(sample.runs)))
    common = [key for key in ranked if holders[key] >= SHARE_MIN * len(sample.runs)] or ranked
    return common[:METRIC_COLUMNS_DEFAULT_MAX], {key: goal for key, goal in goals.items() if goal}


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the page."""
    project = visit.parts["project"]
    view = RunsView.parse(visit.search)
    found = await discover(client, project)
    columns = view.columns if view.columns is not None else found.default_columns()
    address = server_address(
        request_header("x-forwarded-host"),
        secure=request_header("x-forwarded-proto") == "https",
        gateway_http=visit.settings.gateway_http,
    )
    empty = found.total == 0
    content = html.Div(
        className="page page-wide",
        children=[
            dcc.Store(
                id="runs-context",
                data={
                    "project": project,
                    "path": visit.path,
                    "experiments": dict(found.experiments),
                    "goals": dict(found.goals),
                },
            ),
            dcc.Store(id="runs-view", data=_view_data(view)),
            dcc.Store(id="runs-columns-shown", data=list(columns)),
            dcc.Store(id="runs-fingerprint", data=found.fingerprint()),
            dcc.Store(id="runs-url"),
            dcc.Store(id="runs-tick", data=0),
            dcc.Store(id="runs-look", data=0),
            dcc.Interval(id="runs-interval", interval=REFRESH_MS),
            dcc.Interval(id="runs-look-interval", interval=LOOK_EMPTY_MS if empty else LOOK_MS),
            html.Div(
                className="page-head",
                children=[
                    html.H1("Runs"),
                    html.Span(formatting.count(found.total, "run"), id="runs-count", className="quiet"),
                    html.Div(className="spacer"),
                    html.Div(id="runs-selected", className="selection"),
                ],
            ),
            html.Div(empty_project(project, address), id="runs-empty", style={} if empty else {"display": "none"}),
            html.Div(
                id="runs-full",
                className="table-area",
                style={"display": "none"} if empty else {},
                children=[
                    _toolbar(view, found, columns),
                    html.Div(id="runs-problem"),
                    _grid(view, columns, found.goals),
                ],
            ),
        ],
    )
    return Drawn(f"Runs · {project}", content, project)


def register(app: Dash, sessions: Sessions) -> None:
    """Adds the page's callbacks."""
    chains = _Chains()

    @app.callback(
        Output("runs-grid", "getRowsResponse"),
        Output("runs-count", "children"),
        Output("runs-problem", "children"),
        Output("runs-url", "data"),
        Input("runs-grid", "getRowsRequest"),
        State("runs-context", "data"),
        State("runs-view", "data"),
        State("runs-columns-shown", "data"),
        prevent_initial_call=True,
    )
    async def rows(
        request: dict[str, Any] | None, context: dict[str, Any], view_data: dict[str, Any], shown: list[str]
    ) -> tuple[Any, Any, Any, Any]:
        if request is None:
            return no_update, no_update, no_update, no_update
        client = visitor_client(sessions)
        view = _view_of(view_data, request)
        start = int(request.get("startRow") or 0)
        asked = tracking_service_pb2.SearchRunsRequest(
            parent=f"projects/{context['project']}",
            filter=queries.filter_text(view),
            order_by=queries.order_text(view),
            page_size=ROWS_PER_BLOCK,
            columns=queries.read_columns(tuple(shown)),
            experiments=[f"projects/{context['project']}/experiments/{view.experiment}"] if view.experiment else [],
        )
        url = {"path": context["path"], "query": view.query()}
        try:
            page = await chains.page(client, asked, start // ROWS_PER_BLOCK)
        except InvalidInput as error:
            if error.reason not in {"FILTER_INVALID", "ORDER_INVALID"}:
                raise
            return {"rowData": [], "rowCount": 0}, "", _problem(error.message), url
        names = context["experiments"]
        now_s = time.time()
        data = [_row(run, shown, names, now_s) for run in page.runs]
        summary = formatting.count(page.total_size, "run")
        return {"rowData": data, "rowCount": page.total_size}, summary, None, url

    @app.callback(
        Output("runs-view", "data"),
        Input("runs-filter", "value"),
        Input("runs-experiment", "value"),
        Input("runs-states", "value"),
        Input("runs-columns", "value"),
        State("runs-view", "data"),
        State("runs-columns-shown", "data"),
        prevent_initial_call=True,
    )
    async def choose(
        text: str | None,
        experiment: str | None,
        states: list[str] | None,
        columns: list[str] | None,
        view_data: dict[str, Any],
        shown: list[str],
    ) -> Any:
        changed = {
            **view_data,
            "filter": text or "",
            "experiment": experiment or "",
            "states": [state for state in STATES if state in (states or [])],
        }
        wanted = ["display_name", *(c for c in columns or [] if c != "display_name")]
        # The menu also changes when the dashboard itself chose: that is no choice of the visitor.
        if ctx.triggered_id == "runs-columns" and wanted != shown:
            changed["columns"] = wanted
        return no_update if changed == view_data else changed

    @app.callback(
        Output("runs-grid", "columnDefs"),
        Output("runs-columns-shown", "data"),
        Input("runs-view", "data"),
        State("runs-columns-shown", "data"),
        State("runs-context", "data"),
        prevent_initial_call=True,
    )
    async def show_columns(view_data: dict[str, Any], shown: list[str], context: dict[str, Any]) -> tuple[Any, Any]:
        wanted = view_data.get("columns")
        if wanted is None or wanted == shown:
            return no_update, no_update
        return [_column(column, {}, context["goals"]) for column in wanted], wanted

    @app.callback(
        Output("runs-fingerprint", "data"),
        Output("runs-context", "data"),
        Output("runs-look-interval", "interval"),
        Output("runs-columns", "data"),
        Output("runs-columns", "value"),
        Output("runs-experiment", "data"),
        Output("runs-empty", "style"),
        Output("runs-full", "style"),
        Output("runs-grid", "columnDefs", allow_duplicate=True),
        Output("runs-columns-shown", "data", allow_duplicate=True),
        Output("notice", "children", allow_duplicate=True),
        Input("runs-look", "data"),
        State("runs-context", "data"),
        State("runs-fingerprint", "data"),
        State("runs-view", "data"),
        State("runs-columns-shown", "data"),
        prevent_initial_call=True,
    )
    async def look_for_columns(
        _look: int, context: dict[str, Any], fingerprint: str, view_data: dict[str, Any], shown: list[str]
    ) -> tuple[Any, ...]:
        found = await discover(visitor_client(sessions), context["project"])
        if found.fingerprint() == fingerprint:
            return (*[no_update] * 10, None)
        chosen = view_data.get("columns")
        columns = list(chosen if chosen is not None else found.default_columns())
        changed = columns != shown
        return (
            found.fingerprint(),
            {**context, "experiments": dict(found.experiments), "goals": dict(found.goals)},
            LOOK_EMPTY_MS if found.total == 0 else LOOK_MS,
            found.choices(columns),
            [column for column in columns if column != "display_name"] if changed else no_update,
            _experiment_choices(found),
            {} if found.total == 0 else {"display": "none"},
            {"display": "none"} if found.total == 0 else {},
            [_column(column, {}, found.goals) for column in columns] if changed else no_update,
            columns if changed else no_update,
            None,
        )

    @app.callback(
        Output("runs-selected", "children"),
        Input("runs-grid", "selectedRows"),
        State("runs-context", "data"),
        prevent_initial_call=True,
    )
    async def select(selected: Any, context: dict[str, Any]) -> Any:
        ids = [row["id"] for row in selected] if isinstance(selected, list) else []
        return _selection(context["project"], ids)

    charts.register_tick(app, "runs-tick", "runs-interval")
    charts.register_tick(app, "runs-look", "runs-look-interval")
    for function, trigger in (
        ("refresh_grid", "runs-tick"),
        ("refresh_grid_now", "runs-columns-shown"),
        ("reload_grid", "runs-view"),
        ("replace_url", "runs-url"),
    ):
        app.clientside_callback(
            ClientsideFunction("penstock", function), Input(trigger, "data"), prevent_initial_call=True
        )


class _Chains:
    """Page tokens by query: SearchRuns is read page after page, while the grid asks for any block.

    The tokens of a query that is asked for block 0 again are forgotten: it is being read anew.
    """

    def __init__(self) -> None:
        self._tokens: WeakKeyDictionary[AsyncClient, OrderedDict[bytes, list[str]]] = WeakKeyDictionary()

    async def page(
        self, client: AsyncClient, request: tracking_service_pb2.SearchRunsRequest, index: int
    ) -> tracking_service_pb2.SearchRunsResponse:
        key = request.SerializeToString(deterministic=True)
        chains = self._tokens.setdefault(client, OrderedDict())
        tokens = chains.get(key)
        if tokens is None or index == 0:
            tokens = chains[key] = [""]
            if len(chains) > CHAINS_MAX:
                chains.popitem(last=False)
        chains.move_to_end(key)
        at = min(index, len(tokens) - 1)
        while True:
            request.page_token = tokens[at]
            response = await client.tracking.SearchRuns(request)
            if at + 1 == len(tokens) and response.next_page_token:
                tokens.append(response.next_page_token)
            if at == index or not response.next_page_token:
                break
            at += 1
        if at < index:
            del response.runs[:]  # there are fewer pages now than the grid thought
        return response


def _toolbar(view: RunsView, found: Discovery, columns: Sequence[str]) -> html.Div:
    return html.Div(
        className="toolbar",
        children=[
            dmc.TextInput(
                id="runs-filter",
                value=view.filter,
                placeholder='Search by name, or filter: metrics."val/loss" < 0.5 and params.lr = 0.01',
                leftSection=icon("search", 16),
                debounce=500,
                className="grow filter-box",
                **{"aria-label": "Filter runs"},
            ),
            dmc.Select(
                id="runs-experiment",
                value=view.experiment or None,
                data=_experiment_choices(found),
                placeholder="All experiments",
                clearable=True,
                searchable=True,
                w=190,
                **{"aria-label": "Experiment"},
            ),
            dmc.MultiSelect(
                id="runs-states",
                value=list(view.states),
                data=[{"value": state, "label": state.capitalize()} for state in STATES],
                placeholder="" if view.states else "Any state",
                clearable=True,
                w=190,
                className="one-line",
                **{"aria-label": "State"},
            ),
            dmc.Popover(
                position="bottom-end",
                width=380,
                shadow="md",
                trapFocus=True,
                children=[
                    dmc.PopoverTarget(
                        dmc.Button("Columns", leftSection=icon("columns", 16), variant="default", id="columns-button")
                    ),
                    dmc.PopoverDropdown(
                        dmc.MultiSelect(
                            id="runs-columns",
                            label="Columns of the table",
                            value=[column for column in columns if column != "display_name"],
                            data=found.choices(columns),
                            searchable=True,
                            clearable=False,
                            hidePickedOptions=False,
                            maxDropdownHeight=320,
                            placeholder="Search metrics, params, tags",
                            comboboxProps={"withinPortal": False},
                        )
                    ),
                ],
            ),
        ],
    )


def _grid(view: RunsView, columns: Sequence[str], goals: Mapping[str, str]) -> dag.AgGrid:
    sort = {column: (direction, index) for index, (column, direction) in enumerate(view.sort)}
    return dag.AgGrid(
        id="runs-grid",
        className="runs-grid",
        rowModelType="infinite",
        columnDefs=[_column(column, sort, goals) for column in columns],
        filterModel=dict(view.column_filters),
        defaultColDef={
            "resizable": True,
            "sortable": True,
            "minWidth": 84,
            "suppressHeaderMenuButton": True,
            "suppressHeaderFilterButton": False,
            "sortingOrder": ["desc", "asc", None],
        },
        getRowId="params.data.id",
        style={"height": "100%", "width": "100%"},
        dashGridOptions={
            "theme": "themeQuartz",
            "suppressFieldDotNotation": True,
            "rowSelection": {
                "mode": "multiRow",
                "headerCheckbox": False,
                "checkboxes": True,
                "enableClickSelection": False,
            },
            "selectionColumnDef": {"width": 44, "maxWidth": 44, "pinned": "left", "resizable": False},
            "cacheBlockSize": ROWS_PER_BLOCK,
            "maxBlocksInCache": 20,
            "maxConcurrentDatasourceRequests": 1,
            "blockLoadDebounceMillis": 60,
            "infiniteInitialRowCount": 1,
            "rowBuffer": 20,
            "rowHeight": 38,
            "headerHeight": 38,
            "animateRows": False,
            "suppressCellFocus": False,
            "enableCellTextSelection": True,
            "multiSortKey": "ctrl",
            "alwaysMultiSort": False,
            "tooltipShowDelay": 500,
            "localeText": {"noRowsToShow": "No run matches.", "loadingOoo": ""},
        },
    )


def _column(column: str, sort: Mapping[str, tuple[str, int]], goals: Mapping[str, str]) -> dict[str, Any]:
    collection, key = queries.split_column(column)
    definition: dict[str, Any] = {
        "field": column,
        "colId": column,
        "headerName": queries.column_label(column),
        "headerTooltip": column if collection else queries.column_label(column),
        "headerClass": f"head-{collection or 'run'}",
    }
    if column in sort:
        direction, index = sort[column]
        definition |= {"sort": direction, "sortIndex": index}
    if collection == "metrics":
        return definition | {
            "headerClass": "head-metrics ag-right-aligned-header",
            "headerTooltip": f"{column} · {goals[key].lower()}" if key in goals else column,
            "width": _width(column),
            "cellClass": "num ag-right-aligned-cell",
            "filter": "agNumberColumnFilter",
            "filterParams": {"maxNumConditions": 1},
            "tooltipField": f"{column}|full",
        }
    if collection:
        return definition | {
            "width": _width(column),
            "filter": "agTextColumnFilter",
            "filterParams": {"maxNumConditions": 1},
            "tooltipField": column,
        }
    sortable = column in queries.SORTABLE_ATTRIBUTES
    definition |= {"sortable": sortable}
    if column == "display_name":
        return definition | {
            "cellRenderer": "RunLink",
            "pinned": "left",
            "width": 210,
            "lockPinned": True,
            "filter": "agTextColumnFilter",
            "filterParams": {"maxNumConditions": 1},
        }
    if column == "state":
        return definition | {"cellRenderer": "StateBadge", "width": 116}
    if column in {"start_time", "end_time"}:
        return definition | {"width": 108, "tooltipField": f"{column}|full"}
    if column == "duration":
        return definition | {
            "width": 106,
            "headerClass": "ag-right-aligned-header",
            "cellClass": "num ag-right-aligned-cell",
        }
    return definition | {"width": 140, "tooltipField": column}


def _width(column: str) -> int:
    """Wide enough for the head and its filter button, within reason."""
    return max(104, min(230, 62 + int(7.6 * len(queries.column_label(column)))))


def _row(run: run_pb2.Run, shown: Sequence[str], experiments: Mapping[str, str], now_s: float) -> dict[str, Any]:
    run_id = run.name.rpartition("/")[2]
    row: dict[str, Any] = {
        "id": run_id,
        "run_id": run_id,
        "href": f"/{run.name}",
        "display_name": run.display_name or run_id[:8],
        "state": state_name(run.state).capitalize(),
        "start_time": formatting.relative_time(run.start_time, now_s=now_s),
        "start_time|full": formatting.absolute_time(run.start_time),
        "duration": formatting.duration_between(run.start_time, run.end_time, now_s=now_s),
        "experiment": experiments.get(run.experiment.rpartition("/")[2], run.experiment.rpartition("/")[2]),
    }
    if "end_time" in shown:
        row["end_time"] = formatting.relative_time(run.end_time, now_s=now_s)
        row["end_time|full"] = formatting.absolute_time(run.end_time)
    if "creator" in shown:
        row["creator"] = run.creator.removeprefix("users/")
    if "group" in shown:
        row["group"] = run.group
    for param in run.params:
        row[f"params.{param.key}"] = formatting.value(param.value)
    for tag in run.tags:
        row[f"tags.{tag.key}"] = tag.value
    for entry in run.summary:
        row[f"summary.{entry.key}"] = formatting.value(entry.value)
    for metric in run.latest_metrics:
        row[f"metrics.{metric.key}"] = formatting.number(metric.value)
        row[f"metrics.{metric.key}|full"] = (
            f"{metric.value!r} at step {metric.step:,} · min {formatting.number(metric.min)} · "
            f"max {formatting.number(metric.max)}"
        )
    return row


def _selection(project: str, ids: Sequence[str]) -> Any:
    if not ids:
        return None
    if len(ids) == 1:
        return html.Span("Select another run to compare", className="quiet")
    return dcc.Link(
        [icon("compare", 16), f"Compare {len(ids[:COMPARED_RUNS_MAX])} runs"],
        href=f"/projects/{project}/compare{compare_query(ids)}",
        className="button-link",
    )


def _problem(message: str) -> Any:
    return html.Pre(message, className="filter-problem", role="alert")


def _experiment_choices(found: Discovery) -> list[dict[str, str]]:
    return [{"value": experiment_id, "label": name} for experiment_id, name in found.experiments]


def _view_data(view: RunsView) -> dict[str, Any]:
    return {
        "filter": view.filter,
        "experiment": view.experiment,
        "states": list(view.states),
        "columns": None if view.columns is None else list(view.columns),
    }


def _view_of(data: Mapping[str, Any], request: Mapping[str, Any]) -> RunsView:
    """What the visitor chose: in the toolbar, and in the heads of the columns."""
    columns = data.get("columns")
    return RunsView(
        filter=data.get("filter") or "",
        experiment=data.get("experiment") or "",
        states=tuple(data.get("states") or ()),
        columns=None if columns is None else tuple(columns),
        sort=tuple((term["colId"], term["sort"]) for term in request.get("sortModel") or ()),
        column_filters=request.get("filterModel") or {},
    )
