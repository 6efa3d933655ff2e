"""Live charts of one run or of several: sections by metric prefix, each chart drawn when it is looked at.

How it works. A section holds an empty slot per metric. The browser reports which slots are in view; the server reads those
series, reduced to what a chart can show, and fills the slots. While a run goes on a tick asks again, and a chart whose series
grew gets its data replaced whole, its zoom kept. Nothing is accumulated in the browser, so after a lost connection the next
tick shows the truth.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, Patch, State, dcc, html, no_update, set_props
from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.tracking.v1 import metric_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock_dashboard import figures, formatting
from penstock_dashboard.components.icon import icon
from penstock_dashboard.pages.context import visitor_client
from penstock_dashboard.session import Sessions

__all__ = ["LIVE_MS", "QUIET_MS", "ChartedRun", "charts", "list_keys", "register", "register_tick"]

LIVE_MS = 1000
"""How often charts are read anew while a run goes on."""
QUIET_MS = 15_000
"""How often otherwise: late points may come, and a run may be resumed."""
KEYS_MAX = 5000
"""Metrics that get a slot."""
VISIBLE_MAX = 40
"""Charts drawn in one answer; the rest follow with the next tick."""
BUCKETS_SINGLE = 500
"""Buckets per series when one run is shown: two vertices each, more than a chart has pixels."""
BUCKETS_COMPARED_MIN = 100
POINTS_PER_CHART_MAX = 6000
"""Vertices that the curves of one chart share."""
SLOTS_OPEN_MAX = 60
"""A section with more charts than this starts closed, unless it is the first."""
PLOT_HEIGHT_PX = 226
"""Height of a plot; the style sheet gives an empty slot the same, so that nothing jumps."""
GENERAL = "general"
SYSTEM = "system"
SECTION_ORDER = {GENERAL: 6, "train": 1, "training": 1, "val": 2, "valid": 2, "validation": 2, "eval": 3, "test": 3}
GRAPH_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "pan2d"],
}
"""Plotly's own cloud buttons are off: nothing leaves for another host."""


@dataclass(frozen=True)
class ChartedRun:
    """A run whose curves are drawn.

    Attributes:
        run_id: Its id.
        label: How the legend calls it.
        start_s: When it started, seconds since 1970 UTC; None if unknown.
    """

    run_id: str
    label: str
    start_s: float | None


async def list_keys(client: AsyncClient, project: str, run_ids: Sequence[str]) -> list[str]:
    """The metrics of the runs, in order."""
    response = await client.tracking.ListMetricKeys(
        tracking_service_pb2.ListMetricKeysRequest(
            parent=f"projects/{project}",
            runs=[f"projects/{project}/runs/{run_id}" for run_id in run_ids],
            page_size=KEYS_MAX,
        )
    )
    return list(response.keys)


def charts(project: str, runs: Sequence[ChartedRun], keys: Sequence[str], *, live: bool, ranks: int) -> html.Div:
    """The chart area with its toolbar.

    Args:
        project: The project's id.
        runs: What is drawn.
        keys: The metrics known so far; more may come.
        live: Whether any of the runs goes on.
        ranks: How many ranks wrote: with several, they can be shown apart.
    """
    context = {"project": project, "runs": [vars(run) for run in runs]}
    scope = _scope(context)
    return html.Div(
        className="charts",
        children=[
            dcc.Store(id="charts-context", data=context),
            dcc.Store(id="charts-keys", data=list(keys)),
            dcc.Store(id="charts-visible", data=[]),
            dcc.Store(id="charts-drawn", data={}),
            dcc.Store(id="charts-tick", data=0),
            dcc.Store(id="charts-done", data=0),
            dcc.Interval(id="charts-interval", interval=LIVE_MS if live else QUIET_MS),
            _toolbar(ranks),
            html.Div(
                id="charts-area",
                **{"data-context": scope},
                children=[
                    html.Div(
                        id="charts-none",
                        className="charts-none",
                        children="No metric yet. Charts appear with the first point.",
                        style={"display": "none"} if keys else {},
                    ),
                    dmc.Accordion(
                        id="charts-sections",
                        className="sections",
                        multiple=True,
                        chevronPosition="left",
                        variant="default",
                        chevron=icon("chevron-down", 16),
                        value=_open_at_first(_sections(keys)),
                        children=_items(scope, keys, {}),
                    ),
                ],
            ),
        ],
    )


def register(app: Dash, sessions: Sessions) -> None:
    """Adds the callbacks of the chart area, which the pages of a run and of a comparison share."""

    @app.callback(
        Output("charts-sections", "children"),
        Output("charts-sections", "value"),
        Output("charts-none", "style"),
        Output("charts-keys", "data"),
        Output("charts-drawn", "data"),
        Output("charts-done", "data"),
        Output("notice", "children", allow_duplicate=True),
        Input("charts-visible", "data"),
        Input("charts-tick", "data"),
        Input("charts-x", "value"),
        Input("charts-smoothing", "value"),
        Input("charts-log", "checked"),
        Input("charts-ranks", "value"),
        Input("charts-filter", "value"),
        State("charts-context", "data"),
        State("charts-keys", "data"),
        State("charts-drawn", "data"),
        State("charts-sections", "value"),
        prevent_initial_call=True,
    )
    async def draw(
        visible: list[str] | None,
        tick: int,
        x: Any,
        smoothing: float | None,
        log_y: bool | None,
        ranks: str | None,
        text: str | None,
        context: dict[str, Any],
        keys: list[str],
        drawn: dict[str, str],
        opened: list[str] | None,
    ) -> tuple[Any, ...]:
        client = visitor_client(sessions)
        options = figures.ChartOptions(x=x or "step", log_y=bool(log_y), smoothing=float(smoothing or 0))
        apart = ranks == "apart"
        project, runs = context["project"], [ChartedRun(**run) for run in context["runs"]]
        looked_at = (visible or [])[:VISIBLE_MAX]
        known, x_keys = await asyncio.gather(
            list_keys(client, project, [run.run_id for run in runs]),
            _x_keys(client, project, runs[0].run_id, looked_at),
        )
        if options.x != "step" or apart:
            x_keys = {}
        wanted = list(dict.fromkeys((*looked_at, *x_keys.values())))
        found = await _read(client, project, runs, wanted, apart)
        shown = _matching(known, text or "")
        scope = _scope(context)
        rebuilt = shown != keys
        cards: dict[str, Any] = {}
        now_drawn = {} if rebuilt else dict(drawn)
        for key in looked_at:
            if key not in shown:
                continue
            slot = _slot_id(scope, key)
            series = found.get(key, [])
            x_key = x_keys.get(key, "")
            version = _version(series, options, apart, x_key)
            if not rebuilt and drawn.get(slot) == version:
                continue
            content = _content(key, series, runs, options, apart, x_key, found.get(x_key, []))
            if rebuilt:
                cards[key] = _card(slot, key, content)
            elif slot in drawn and content.figure["data"]:
                _refresh(slot, content, same_look=drawn[slot].partition("|")[2] == version.partition("|")[2])
            else:
                set_props({"type": "slot", "chart": slot}, {"children": _card(slot, key, content)})
            now_drawn[slot] = version
        if not rebuilt:
            return no_update, no_update, no_update, no_update, now_drawn, tick, None
        sections = _sections(shown)
        before = {name for name, _ in _sections(keys)}
        still_open = [name for name in opened or [] if name in dict(sections)]
        new_open = [name for name in _open_at_first(sections) if name not in before]
        return (
            _items(scope, shown, cards),
            [*still_open, *new_open],
            {"display": "none"} if shown else {},
            shown,
            now_drawn,
            tick,
            None,
        )

    app.clientside_callback(
        ClientsideFunction("penstock", "tick_when_done"),
        Output("charts-tick", "data"),
        Input("charts-interval", "n_intervals"),
        State("charts-tick", "data"),
        State("charts-done", "data"),
        prevent_initial_call=True,
    )


def register_tick(app: Dash, store: str, interval: str) -> None:
    """Counts the beats of an interval in a store, while the page can be seen."""
    app.clientside_callback(
        ClientsideFunction("penstock", "tick"),
        Output(store, "data"),
        Input(interval, "n_intervals"),
        State(store, "data"),
        prevent_initial_call=True,
    )


@dataclass(frozen=True)
class _Content:
    figure: dict[str, Any]
    value: str
    notes: list[Any]


async def _x_keys(client: AsyncClient, project: str, run_id: str, keys: Sequence[str]) -> dict[str, str]:
    """Which metrics are drawn over which others, as the first run defines it: the exact key before a prefix."""
    response = await client.tracking.GetRun(
        tracking_service_pb2.GetRunRequest(
            name=f"projects/{project}/runs/{run_id}", read_mask=FieldMask(paths=["metric_definitions"])
        )
    )
    chosen: dict[str, str] = {}
    for definition in sorted(response.run.metric_definitions, key=lambda one: (one.key.endswith("*"), -len(one.key))):
        for key in keys:
            matches = key == definition.key or (definition.key.endswith("*") and key.startswith(definition.key[:-1]))
            if matches and definition.x_key != key:
                chosen.setdefault(key, definition.x_key)
    return {key: x_key for key, x_key in chosen.items() if x_key}


async def _read(
    client: AsyncClient, project: str, runs: Sequence[ChartedRun], keys: Sequence[str], apart: bool
) -> dict[str, list[metric_pb2.MetricSeries]]:
    if not keys:
        return {}
    per_run = POINTS_PER_CHART_MAX // (2 * len(runs))
    response = await client.tracking.GetMetricSeries(
        tracking_service_pb2.GetMetricSeriesRequest(
            parent=f"projects/{project}",
            runs=[f"projects/{project}/runs/{run.run_id}" for run in runs],
            keys=keys,
            max_points=max(BUCKETS_COMPARED_MIN, min(BUCKETS_SINGLE, per_run)),
            rank_mode=metric_pb2.RANK_MODE_APART if apart else metric_pb2.RANK_MODE_TOGETHER,
        )
    )
    found: dict[str, list[metric_pb2.MetricSeries]] = {}
    for series in response.series:
        found.setdefault(series.key, []).append(series)
    return found


def _content(
    key: str,
    series: Sequence[metric_pb2.MetricSeries],
    runs: Sequence[ChartedRun],
    options: figures.ChartOptions,
    apart: bool,
    x_key: str,
    x_series: Sequence[metric_pb2.MetricSeries],
) -> _Content:
    x_by_run = {one.run: one for one in x_series}
    places = {run.run_id: index for index, run in enumerate(runs)}
    curves: list[tuple[figures.Curve, figures.LineStyle]] = []
    not_finite = 0
    for index, one in enumerate(series):
        place = places[one.run.rpartition("/")[2]]
        line = figures.curve(one, x=options.x, start_s=runs[place].start_s)
        not_finite += line.not_finite
        if one.run in x_by_run:
            line = figures.against(line, x_by_run[one.run])
        name, color_index = runs[place].label, place
        if apart and one.HasField("rank"):
            name = f"rank {one.rank}" if len(runs) == 1 else f"{name} · rank {one.rank}"
            color_index = index
        color = figures.PALETTE[color_index % len(figures.PALETTE)]
        curves.append((line, figures.LineStyle(figures.legend_name(name), color)))
    notes: list[Any] = []
    if not_finite:
        detail = ", ".join(
            f"{count:,} {word}"
            for count, word in (
                (sum(line.nan for line, _ in curves), "NaN"),
                (sum(line.positive_infinity for line, _ in curves), "+Inf"),
                (sum(line.negative_infinity for line, _ in curves), "−Inf"),
            )
            if count
        )
        notes.append(html.Span(detail, className="chart-warning", title="Values that no line can show"))
    value = ""
    if len(curves) == 1 and curves[0][0].latest is not None:
        value = formatting.number(curves[0][0].latest)
    look = f"{key}|{options.x}|{options.log_y}|{x_key}"
    return _Content(figures.figure(curves, options, revision=look, x_title=x_key), value, notes)


def _card(slot: str, key: str, content: _Content) -> list[Any]:
    prefix, _, rest = key.partition("/")
    return [
        html.Div(
            className="chart-head",
            children=[
                html.Span(rest or prefix, className="chart-title", title=key),
                html.Span(content.notes, id={"type": "notes", "chart": slot}),
                html.Span(content.value, id={"type": "value", "chart": slot}, className="chart-value"),
            ],
        ),
        dcc.Graph(
            id={"type": "graph", "chart": slot},
            figure=content.figure,
            config=_graph_config(key),
            responsive=True,
            style={"height": f"{PLOT_HEIGHT_PX}px"},
        )
        if content.figure["data"]
        else html.Div("No points", className="chart-plot chart-empty"),
    ]


def _graph_config(key: str) -> Any:
    return {**GRAPH_CONFIG, "toImageButtonOptions": {"format": "png", "scale": 2, "filename": key.replace("/", "-")}}


def _refresh(slot: str, content: _Content, *, same_look: bool) -> None:
    """Gives a drawn chart its new data; only a change of axes or smoothing replaces the rest."""
    if same_look:
        figure: Any = Patch()
        figure["data"] = content.figure["data"]
    else:
        figure = content.figure
    set_props({"type": "graph", "chart": slot}, {"figure": figure})
    set_props({"type": "value", "chart": slot}, {"children": content.value})
    set_props({"type": "notes", "chart": slot}, {"children": content.notes})


def _version(series: Sequence[metric_pb2.MetricSeries], options: figures.ChartOptions, apart: bool, x_key: str) -> str:
    """Changes when the chart would: `<data>|<look>`. Points only ever come, so their number tells."""
    data = ",".join(str(one.total_points) for one in series)
    return f"{data}|{options.x},{options.log_y},{options.smoothing},{apart},{x_key}"


def _scope(context: Mapping[str, Any]) -> str:
    """Tells the charts of one page from those of the next, so that a late answer cannot draw into the wrong page."""
    return f"{context['project']}:" + ",".join(run["run_id"] for run in context["runs"])


def _slot_id(scope: str, key: str) -> str:
    return hashlib.blake2s(f"{scope}|{key}".encode(), digest_size=8).hexdigest()


def _matching(keys: Sequence[str], text: str) -> list[str]:
    """The metrics that contain every word of the text, whatever their case."""
    words = text.lower().split()
    return [key for key in keys if all(word in key.lower() for word in words)]


def _sections(keys: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Metrics by prefix: train, validation and test first, then the rest by name, those without a prefix, and system."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        prefix, slash, _ = key.partition("/")
        groups.setdefault(prefix if slash and prefix else GENERAL, []).append(key)

    def place(name: str) -> tuple[int, str]:
        return (9, name) if name == SYSTEM else (SECTION_ORDER.get(name, 5), name)

    return [(name, groups[name]) for name in sorted(groups, key=place)]


def _open_at_first(sections: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [
        name
        for index, (name, keys) in enumerate(sections)
        if index == 0 or (name != SYSTEM and len(keys) <= SLOTS_OPEN_MAX)
    ]


def _items(scope: str, keys: Sequence[str], cards: Mapping[str, Any]) -> list[Any]:
    return [
        dmc.AccordionItem(
            value=name,
            children=[
                dmc.AccordionControl(
                    [
                        html.Span(name.capitalize() if name == GENERAL else name, className="section-name"),
                        html.Span(str(len(members)), className="section-count"),
                    ]
                ),
                dmc.AccordionPanel(
                    html.Div(
                        [_slot(scope, key, cards.get(key)) for key in members],
                        className="chart-grid",
                    )
                ),
            ],
        )
        for name, members in _sections(keys)
    ]


def _slot(scope: str, key: str, card: Any | None) -> html.Div:
    prefix, _, rest = key.partition("/")
    skeleton = [
        html.Div(html.Span(rest or prefix, className="chart-title", title=key), className="chart-head"),
        html.Div(dmc.Skeleton(height="100%", radius="sm"), className="chart-plot chart-wait"),
    ]
    return html.Div(
        skeleton if card is None else card,
        id={"type": "slot", "chart": _slot_id(scope, key)},
        className="card chart-card",
        **{"data-chart": key},
    )


def _toolbar(ranks: int) -> html.Div:
    return html.Div(
        className="toolbar charts-toolbar",
        children=[
            dmc.TextInput(
                id="charts-filter",
                placeholder="Find metrics",
                leftSection=icon("search", 16),
                debounce=250,
                className="grow",
                **{"aria-label": "Find metrics"},
            ),
            html.Label(
                className="control",
                children=[
                    html.Span("Smoothing"),
                    dmc.Slider(
                        id="charts-smoothing",
                        value=0,
                        min=0,
                        max=0.99,
                        step=0.01,
                        w=130,
                        size="sm",
                        updatemode="mouseup",
                    ),
                ],
            ),
            dmc.SegmentedControl(
                id="charts-ranks",
                data=[{"value": "together", "label": "All ranks"}, {"value": "apart", "label": "By rank"}],
                value="together",
                style={} if ranks > 1 else {"display": "none"},
            ),
            dmc.SegmentedControl(
                id="charts-x",
                data=[
                    {"value": "step", "label": "Step"},
                    {"value": "relative", "label": "Elapsed"},
                    {"value": "wall", "label": "Clock"},
                ],
                value="step",
            ),
            dmc.Switch(id="charts-log", label="Log scale", checked=False, size="sm"),
        ],
    )
