"""Live charts of one run or of several: sections by metric prefix, each chart drawn when it is looked at.

How it works. A section holds an empty slot per metric. The browser reports which slots are in view; the server reads those
series, reduced to what a chart can show, and fills the slots. While a run goes on a tick asks again, and a chart whose series
grew gets its data replaced whole, its zoom kept. Nothing is accumulated in the browser, so after a lost connection the next
tick shows the truth.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, Patch, State, ctx, dcc, html, no_update, set_props
from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.tracking.v1 import metric_pb2, run_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock_dashboard import figures, formatting, ordering
from penstock_dashboard.components.icon import icon
from penstock_dashboard.pages.context import visitor_client
from penstock_dashboard.session import Sessions

__all__ = [
    "LIVE_MS",
    "QUIET_MS",
    "ChartedRun",
    "KeyList",
    "charts",
    "definitions_of",
    "goal_text",
    "list_keys",
    "register",
    "register_tick",
]

LIVE_MS = 1000
"""How often charts are read anew while a run goes on."""
QUIET_MS = 15_000
"""How often otherwise: late points may come, and a run may be resumed."""
KEYS_PER_PAGE = 10_000
"""Keys per ListMetricKeys, its maximum."""
KEYS_MAX = 20_000
"""Keys that are read at most; of more the find box finds any."""
KEYS_MANY = 1000
"""With more keys than this, new ones are looked for at every tenth tick only."""
KEYS_MANY_TICKS = 10
PATTERN_CHARS_MAX = 250
"""Characters of a pattern, as ListMetricKeys takes them."""
VISIBLE_MAX = 40
"""Charts drawn in one answer; the rest follow with the next tick."""
BUCKETS_SINGLE = 500
"""Buckets per series when one run is shown: two vertices each, more than a chart has pixels."""
BUCKETS_COMPARED_MIN = 100
POINTS_PER_CHART_MAX = 6000
"""Vertices that the curves of one chart share."""
SLOTS_PER_SECTION = 60
"""Slots that a section begins with, and by which it grows. One with more metrics starts closed, unless it is the first."""
SLOTS_MAX = 600
"""Slots of all sections together, at the beginning; a page with more takes seconds to build."""
SECTIONS_MAX = 100
STEP_MIN, STEP_MAX = -(2**63), 2**63 - 1
"""What a step can be: an int64."""
PLOT_HEIGHT_PX = 226
"""Height of a plot; the style sheet gives an empty slot the same, so that nothing jumps."""
NO_METRIC = "No metric yet. Charts appear with the first point."
GENERAL = "general"
SYSTEM = "system"
SECTION_ORDER = {GENERAL: 6, "train": 1, "training": 1, "val": 2, "valid": 2, "validation": 2, "eval": 3, "test": 3}
GRAPH_CONFIG: Any = {
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


@dataclass(frozen=True)
class KeyList:
    """Metrics in natural order.

    Attributes:
        keys: Their keys.
        complete: Whether these are all.
    """

    keys: tuple[str, ...]
    complete: bool

    def total(self) -> str:
        """How many there are, for people."""
        return f"{len(self.keys):,}" if self.complete else f"more than {len(self.keys):,}"


@dataclass(frozen=True)
class Section:
    """The metrics of one prefix.

    Attributes:
        name: The prefix.
        keys: Those that get a slot.
        total: How many there are.
    """

    name: str
    keys: tuple[str, ...]
    total: int


async def list_keys(client: AsyncClient, project: str, run_ids: Sequence[str], text: str = "") -> KeyList:
    """The metrics of the runs that contain every word of a text, whatever their case. The server searches all keys."""
    request = tracking_service_pb2.ListMetricKeysRequest(
        parent=f"projects/{project}",
        runs=[f"projects/{project}/runs/{run_id}" for run_id in run_ids],
        pattern=key_pattern(text),
        page_size=KEYS_PER_PAGE,
    )
    keys: list[str] = []
    while True:
        response = await client.tracking.ListMetricKeys(request)
        keys += response.keys
        request.page_token = response.next_page_token
        if not request.page_token or len(keys) >= KEYS_MAX:
            return KeyList(tuple(ordering.natural(matching(keys, text))), complete=not request.page_token)


def key_pattern(text: str) -> str:
    """The expression for the longest word of a text: RE2 knows no "and", so the rest is for `matching`."""
    word = max(text.split(), key=len, default="")
    while word and len(pattern := f"(?i){re.escape(word)}") > PATTERN_CHARS_MAX:
        word = word[:-1]
    return pattern if word else ""


def matching(keys: Sequence[str], text: str) -> list[str]:
    """The metrics that contain every word of the text, whatever their case."""
    words = text.lower().split()
    return [key for key in keys if all(word in key.lower() for word in words)]


def goal_text(goal: int) -> str:
    """Which way a metric is better, in words; empty if its goal is not set."""
    words: dict[int, str] = {
        run_pb2.METRIC_GOAL_MINIMIZE: "Lower is better",
        run_pb2.METRIC_GOAL_MAXIMIZE: "Higher is better",
    }
    return words.get(goal, "")


def charts(project: str, runs: Sequence[ChartedRun], listed: KeyList, *, live: bool, ranks: int) -> html.Div:
    """The chart area with its toolbar.

    Args:
        project: The project's id.
        runs: What is drawn.
        listed: The metrics known so far; more may come.
        live: Whether any of the runs goes on.
        ranks: How many ranks wrote: with several, they can be shown apart.
    """
    sections = sections_of(listed.keys, {})
    context = {"project": project, "runs": [vars(run) for run in runs]}
    scope = _scope(context)
    return html.Div(
        className="charts",
        children=[
            dcc.Store(id="charts-context", data=context),
            dcc.Store(id="charts-shown", data=_shown(sections, listed, ["", {}])),
            dcc.Store(id="charts-limits", data={}),
            dcc.Store(id="charts-zoom", data={}),
            dcc.Store(id="charts-hidden", data=[]),
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
                        children=NO_METRIC,
                        style={"display": "none"} if listed.keys else {},
                    ),
                    dmc.Accordion(
                        id="charts-sections",
                        className="sections",
                        multiple=True,
                        chevronPosition="left",
                        variant="default",
                        chevron=icon("chevron-down", 16),
                        # A section opens at once: what moves away under the pointer takes the click with it.
                        transitionDuration=0,
                        value=_open_at_first(sections),
                        children=_items(scope, sections, {}),
                    ),
                    html.Div(_rest(sections, listed), id="charts-rest", className="quiet charts-rest"),
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
        Output("charts-none", "children"),
        Output("charts-rest", "children"),
        Output("charts-shown", "data"),
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
        Input("charts-limits", "data"),
        Input("charts-zoom", "data"),
        Input("charts-hidden", "data"),
        State("charts-context", "data"),
        State("charts-shown", "data"),
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
        limits: dict[str, int],
        zooms: dict[str, list[float]],
        hidden: list[str],
        context: dict[str, Any],
        shown: dict[str, Any],
        drawn: dict[str, str],
        opened: list[str] | None,
    ) -> tuple[Any, ...]:
        client = visitor_client(sessions)
        options = figures.ChartOptions(x=x or "step", log_y=bool(log_y), smoothing=float(smoothing or 0))
        apart = ranks == "apart"
        project, runs = context["project"], [ChartedRun(**run) for run in context["runs"]]
        scope = _scope(context)
        looked_at = (visible or [])[:VISIBLE_MAX]
        asked = [(text or "").strip(), limits]
        # Scrolling asks for series only: to list the keys takes longer, when there are many.
        due = "charts-tick" in _triggers() and (shown["count"] <= KEYS_MANY or tick % KEYS_MANY_TICKS == 0)
        lists = due or shown["asked"] != asked
        listing = list_keys(client, project, [run.run_id for run in runs], text or "") if lists else _nothing()
        listed, definitions = await asyncio.gather(listing, _definitions(client, project, runs[0].run_id, looked_at))
        over_steps = options.x == "step" and not apart
        x_keys = {key: one.x_key for key, one in definitions.items() if one.x_key not in {"", key} and over_steps}
        wanted = list(dict.fromkeys((*looked_at, *x_keys.values())))
        found = await _read(client, project, runs, wanted, apart, None)
        ranges = {
            key: (zoom[0], zoom[1])
            for key in looked_at
            if (zoom := zooms.get(_slot_id(scope, key))) and options.x == "step" and key not in x_keys
        }
        details = await _read_details(client, project, runs, ranges, found, apart)
        sections = sections_of(listed.keys, limits) if listed is not None else []
        rebuilt = listed is not None and _shown(sections, listed, asked) != shown
        cards: dict[str, Any] = {}
        now_drawn = {} if rebuilt else dict(drawn)
        for key in looked_at:
            slot = _slot_id(scope, key)
            series = found.get(key, [])
            x_key = x_keys.get(key, "")
            version = _version(series, options, apart, x_key, ranges.get(key), details.get(key, []), hidden)
            if not rebuilt and drawn.get(slot) == version:
                continue
            content = _content(
                key,
                series,
                runs,
                options,
                apart=apart,
                x_key=x_key,
                x_series=found.get(x_key, []),
                zoom=ranges.get(key),
                details=details.get(key, []),
                hidden=hidden,
                goal=definitions[key].goal if key in definitions else 0,
            )
            if rebuilt:
                cards[key] = _card(slot, key, content)
            elif slot in drawn and content.figure["data"]:
                _refresh(slot, content, same_look=drawn[slot].partition("|")[2] == version.partition("|")[2])
            else:
                set_props({"type": "slot", "chart": slot}, {"children": _card(slot, key, content)})
            now_drawn[slot] = version
        if listed is None or not rebuilt:
            return *[no_update] * 6, now_drawn, tick, None
        names = [section.name for section in sections]
        still_open = [name for name in opened or [] if name in names]
        # What was searched for is to be seen; else sections that the visitor closed stay closed.
        searched = bool(asked[0]) and shown["asked"][0] != asked[0]
        new_open = [
            name
            for name in _open_at_first(sections)
            if name not in still_open and (searched or name not in shown["names"])
        ]
        return (
            _items(scope, sections, cards),
            [*still_open, *new_open],
            {"display": "none"} if listed.keys else {},
            f"No metric contains “{text}”." if (text or "").strip() else NO_METRIC,
            _rest(sections, listed),
            _shown(sections, listed, asked),
            now_drawn,
            tick,
            None,
        )

    app.clientside_callback(
        ClientsideFunction("penstock", "zoom_charts"),
        Output("charts-zoom", "data"),
        Input({"type": "graph", "chart": ALL}, "relayoutData"),
        State("charts-zoom", "data"),
        prevent_initial_call=True,
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
    goal: int


def _triggers() -> set[str]:
    """The ids of the components that called."""
    triggered: Any = ctx.triggered_prop_ids
    return set(triggered.values())


async def _nothing() -> None:
    """Stands for a call that is not needed."""


async def _definitions(
    client: AsyncClient, project: str, run_id: str, keys: Sequence[str]
) -> dict[str, run_pb2.MetricDefinition]:
    """How metrics are to be shown, as the first run defines it: the exact key before a prefix."""
    response = await client.tracking.GetRun(
        tracking_service_pb2.GetRunRequest(
            name=f"projects/{project}/runs/{run_id}", read_mask=FieldMask(paths=["metric_definitions"])
        )
    )
    return definitions_of(response.run.metric_definitions, keys)


def definitions_of(
    definitions: Sequence[run_pb2.MetricDefinition], keys: Sequence[str]
) -> dict[str, run_pb2.MetricDefinition]:
    """Each key's definition: that of the exact key before that of a prefix, a longer prefix before a shorter one."""
    chosen: dict[str, run_pb2.MetricDefinition] = {}
    for definition in sorted(definitions, key=lambda one: (one.key.endswith("*"), -len(one.key))):
        for key in keys:
            if key == definition.key or (definition.key.endswith("*") and key.startswith(definition.key[:-1])):
                chosen.setdefault(key, definition)
    return chosen


async def _read(
    client: AsyncClient,
    project: str,
    runs: Sequence[ChartedRun],
    keys: Sequence[str],
    apart: bool,
    steps: metric_pb2.StepRange | None,
) -> dict[str, list[metric_pb2.MetricSeries]]:
    if not keys:
        return {}
    per_run = POINTS_PER_CHART_MAX // (2 * len(runs))
    response = await client.tracking.GetMetricSeries(
        tracking_service_pb2.GetMetricSeriesRequest(
            parent=f"projects/{project}",
            runs=[f"projects/{project}/runs/{run.run_id}" for run in runs],
            keys=keys,
            range=steps,
            max_points=max(BUCKETS_COMPARED_MIN, min(BUCKETS_SINGLE, per_run)),
            rank_mode=metric_pb2.RANK_MODE_APART if apart else metric_pb2.RANK_MODE_TOGETHER,
        )
    )
    found: dict[str, list[metric_pb2.MetricSeries]] = {}
    for series in response.series:
        found.setdefault(series.key, []).append(series)
    return found


async def _read_details(
    client: AsyncClient,
    project: str,
    runs: Sequence[ChartedRun],
    ranges: Mapping[str, tuple[float, float]],
    found: Mapping[str, Sequence[metric_pb2.MetricSeries]],
    apart: bool,
) -> dict[str, list[metric_pb2.MetricSeries]]:
    """What the visitor zoomed into, of the series that came reduced."""
    keys = [key for key in ranges if any(one.HasField("buckets") for one in found.get(key, []))]
    parts = await asyncio.gather(
        *(_read(client, project, runs, [key], apart, step_range(*ranges[key])) for key in keys)
    )
    return {key: part.get(key, []) for key, part in zip(keys, parts, strict=True)}


def step_range(first: float, last: float) -> metric_pb2.StepRange:
    """The whole steps around a stretch of an x axis."""
    return metric_pb2.StepRange(
        first=max(STEP_MIN, min(STEP_MAX, math.floor(first))), last=max(STEP_MIN, min(STEP_MAX, math.ceil(last)))
    )


def _content(
    key: str,
    series: Sequence[metric_pb2.MetricSeries],
    runs: Sequence[ChartedRun],
    options: figures.ChartOptions,
    *,
    apart: bool,
    x_key: str,
    x_series: Sequence[metric_pb2.MetricSeries],
    zoom: tuple[float, float] | None,
    details: Sequence[metric_pb2.MetricSeries],
    hidden: Sequence[str],
    goal: int,
) -> _Content:
    detail_of = {(one.run, one.rank): one for one in details}
    x_by_run = {one.run: one for one in x_series}
    places = {run.run_id: index for index, run in enumerate(runs)}
    curves: list[tuple[figures.Curve, figures.LineStyle]] = []
    not_finite = 0
    for index, one in enumerate(series):
        run_id = one.run.rpartition("/")[2]
        place = places[run_id]
        line = figures.curve(one, x=options.x, start_s=runs[place].start_s)
        not_finite += line.not_finite
        if (one.run, one.rank) in detail_of:
            line = figures.detailed(line, figures.curve(detail_of[one.run, one.rank], x="step"))
        if one.run in x_by_run:
            line = figures.against(line, x_by_run[one.run])
        name, color_index = runs[place].label, place
        if apart and one.HasField("rank"):
            name = f"rank {one.rank}" if len(runs) == 1 else f"{name} · rank {one.rank}"
            color_index = index
        color = figures.PALETTE[color_index % len(figures.PALETTE)]
        curves.append((line, figures.LineStyle(figures.legend_name(name), color, run_id in hidden)))
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
    return _Content(figures.figure(curves, options, revision=look, x_title=x_key, zoom=zoom), value, notes, goal)


def _card(slot: str, key: str, content: _Content) -> list[Any]:
    prefix, _, rest = key.partition("/")
    return [
        html.Div(
            className="chart-head",
            children=[
                html.Span(rest or prefix, className="chart-title", title=key),
                *_goal_arrow(content.goal),
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


def _goal_arrow(goal: int) -> list[Any]:
    words = goal_text(goal)
    if not words:
        return []
    arrow = "↓" if goal == run_pb2.METRIC_GOAL_MINIMIZE else "↑"
    return [html.Span(arrow, className="chart-goal", title=words, role="img", **{"aria-label": words})]


def _graph_config(key: str) -> Any:
    return {**GRAPH_CONFIG, "toImageButtonOptions": {"format": "png", "scale": 2, "filename": key.replace("/", "-")}}


def _refresh(slot: str, content: _Content, *, same_look: bool) -> None:
    """Gives a drawn chart its new data; only a change of axes or smoothing replaces the rest."""
    if same_look:
        figure: Any = Patch()
        figure["data"] = content.figure["data"]
        if "tickmode" in content.figure["layout"]["xaxis"]:
            figure["layout"]["xaxis"]["tickmode"] = content.figure["layout"]["xaxis"]["tickmode"]
    else:
        figure = content.figure
    set_props({"type": "graph", "chart": slot}, {"figure": figure})
    set_props({"type": "value", "chart": slot}, {"children": content.value})
    set_props({"type": "notes", "chart": slot}, {"children": content.notes})


def _version(
    series: Sequence[metric_pb2.MetricSeries],
    options: figures.ChartOptions,
    apart: bool,
    x_key: str,
    zoom: tuple[float, float] | None,
    details: Sequence[metric_pb2.MetricSeries],
    hidden: Sequence[str],
) -> str:
    """Changes when the chart would: `<data>|<look>`. Points only ever come, so their number tells."""
    counts = ",".join(str(one.total_points) for one in (*series, *details))
    data = f"{counts};{zoom};{','.join(hidden)}"
    return f"{data}|{options.x},{options.log_y},{options.smoothing},{apart},{x_key}"


def _scope(context: Mapping[str, Any]) -> str:
    """Tells the charts of one page from those of the next, so that a late answer cannot draw into the wrong page."""
    return f"{context['project']}:" + ",".join(run["run_id"] for run in context["runs"])


def _slot_id(scope: str, key: str) -> str:
    return hashlib.blake2s(f"{scope}|{key}".encode(), digest_size=8).hexdigest()


def sections_of(keys: Sequence[str], limits: Mapping[str, int]) -> list[Section]:
    """Metrics by prefix: train, validation and test first, then the rest by name, those without a prefix, and system.

    Args:
        keys: The metrics, in natural order.
        limits: How many slots a section gets that the visitor wanted to see more of.
    """
    groups: dict[str, list[str]] = {}
    for key in keys:
        prefix, slash, _ = key.partition("/")
        groups.setdefault(prefix if slash and prefix else GENERAL, []).append(key)

    def place(name: str) -> tuple[int, Any]:
        return (9 if name == SYSTEM else SECTION_ORDER.get(name, 5), ordering.natural_key(name))

    sections: list[Section] = []
    left = SLOTS_MAX
    for name in sorted(groups, key=place)[:SECTIONS_MAX]:
        members = groups[name]
        shown = members[: limits.get(name, min(SLOTS_PER_SECTION, left))]
        left = max(0, left - len(shown))
        sections.append(Section(name, tuple(shown), len(members)))
    return sections


def _shown(sections: Sequence[Section], listed: KeyList, asked: list[Any]) -> dict[str, Any]:
    """What the browser sends back to say which slots it has: a digest, since thousands of keys are much to send.

    It also holds what they answer, the text and the limits: an answer that came too late is then asked for again.
    """
    text = repr([(section.name, section.keys, section.total) for section in sections])
    return {
        "digest": hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest(),
        "names": [section.name for section in sections],
        "count": len(listed.keys),
        "complete": listed.complete,
        "asked": asked,
    }


def _rest(sections: Sequence[Section], listed: KeyList) -> str | None:
    """Says that metrics are missing, when they are."""
    shown = sum(len(section.keys) for section in sections)
    if shown == len(listed.keys) and listed.complete:
        return None
    return f"{shown:,} of {listed.total()} metrics have a chart here. To see others, type a part of their names above."


def _open_at_first(sections: Sequence[Section]) -> list[str]:
    return [
        section.name
        for index, section in enumerate(sections)
        if index == 0 or (section.name != SYSTEM and section.total <= SLOTS_PER_SECTION and section.keys)
    ]


def _items(scope: str, sections: Sequence[Section], cards: Mapping[str, Any]) -> list[Any]:
    return [
        dmc.AccordionItem(
            value=section.name,
            children=[
                dmc.AccordionControl(
                    [
                        html.Span(
                            section.name.capitalize() if section.name == GENERAL else section.name,
                            className="section-name",
                        ),
                        html.Span(_section_count(section), className="section-count"),
                    ]
                ),
                dmc.AccordionPanel(
                    [
                        html.Div([_slot(scope, key, cards.get(key)) for key in section.keys], className="chart-grid"),
                        *_more(section),
                    ]
                ),
            ],
        )
        for section in sections
    ]


def _section_count(section: Section) -> str:
    shown = len(section.keys)
    return f"{shown:,}" if shown == section.total else f"{shown:,} of {section.total:,}"


def _more(section: Section) -> list[Any]:
    shown = len(section.keys)
    if shown == section.total:
        return []
    more = min(SLOTS_PER_SECTION, section.total - shown)
    return [
        html.Div(
            className="section-more",
            children=[
                html.Span(f"{shown:,} of {section.total:,} shown", className="quiet"),
                html.Button(
                    f"Show {more:,} more",
                    className="link-button",
                    **{"data-more": section.name, "data-limit": str(shown + more)},
                ),
            ],
        )
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
