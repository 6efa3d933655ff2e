"""The media of a run, a tab of its page: one card per key, and within it the steps at which something was logged."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import dash_mantine_components as dmc
from dash import MATCH, Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from penstock.api.artifact.v1 import file_pb2, media_pb2
from penstock.client import AsyncClient
from penstock.errors import PenstockError
from penstock_dashboard.components import files
from penstock_dashboard.components.charts import GRAPH_CONFIG
from penstock_dashboard.pages.context import visitor_client
from penstock_dashboard.session import Sessions

__all__ = ["media_of", "register", "shown_at"]

KEYS_MAX = 24
"""Keys with a card; the others are files of the run."""
FILES_PER_KEY_MAX = 200
"""The newest files of a key, that its steps are made of."""
FILES_PER_STEP_MAX = 16
FIGURE_BYTES_MAX = 4_000_000
PLOT_HEIGHT_PX = 320


async def media_of(client: AsyncClient, run: str) -> html.Div:
    """All cards of a run, given by its full name."""
    keys = await client.media_keys(run)
    if not keys:
        return html.Div(
            html.P('No media were logged: run.log({"samples": penstock.Image(...)}, step=...)', className="quiet"),
            className="charts-none",
        )
    listed = await asyncio.gather(
        *(client.media(run, key.key, descending=True, limit=FILES_PER_KEY_MAX).to_list() for key in keys[:KEYS_MAX])
    )
    cards = await asyncio.gather(
        *(
            _card(client, run, place, key, found)
            for place, (key, found) in enumerate(zip(keys, listed, strict=False))
            if found
        )
    )
    more = f"The first {KEYS_MAX:,} of {len(keys):,} keys." if len(keys) > KEYS_MAX else ""
    return html.Div(
        [html.Div(cards, className="media-grid"), html.P(more, className="quiet page-text") if more else None]
    )


def register(app: Dash, sessions: Sessions) -> None:
    """Adds the callbacks of the tab and of the steps of each card."""

    @app.callback(
        Output("run-media", "children"),
        Input("run-tabs", "value"),
        State("run-context", "data"),
        prevent_initial_call=True,
    )
    async def show(tab: str, context: dict[str, Any]) -> Any:
        if tab != "media":
            raise PreventUpdate
        return await media_of(visitor_client(sessions), context["name"])

    @app.callback(
        Output({"type": "media-body", "key": MATCH}, "children"),
        Input({"type": "media-step", "key": MATCH}, "value"),
        State({"type": "media-steps", "key": MATCH}, "data"),
        State("run-context", "data"),
        prevent_initial_call=True,
    )
    async def go_to(place: int, steps: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        return await shown_at(visitor_client(sessions), context["name"], steps[place])


async def shown_at(client: AsyncClient, run: str, step: Mapping[str, Any]) -> list[Any]:
    """What was logged under a key at a step, as `_steps` wrote it."""
    shown = await asyncio.gather(*(_shown(client, run, file) for file in step["files"][:FILES_PER_STEP_MAX]))
    left = len(step["files"]) - len(shown)
    return [
        html.Div(f"step {step['step']:,}", className="media-at"),
        html.Div(shown, className="media-items"),
        html.P(f"and {left:,} more files", className="quiet") if left > 0 else None,
    ]


async def _card(
    client: AsyncClient, run: str, place: int, key: media_pb2.MediaKey, found: Sequence[file_pb2.File]
) -> html.Section:
    steps = _steps(found)
    slider = dmc.Slider(
        id={"type": "media-step", "key": place},
        min=0,
        max=max(len(steps) - 1, 1),
        step=1,
        value=len(steps) - 1,
        label=None,
        size="sm",
        className="media-slider",
        **{"aria-label": f"Step of {key.key}"},
    )
    return html.Section(
        className="card media-card",
        children=[
            html.Div([html.H2(key.key, title=key.key), slider if len(steps) > 1 else None], className="media-head"),
            dcc.Store(id={"type": "media-steps", "key": place}, data=steps),
            html.Div(await shown_at(client, run, steps[-1]), id={"type": "media-body", "key": place}),
        ],
    )


def _steps(found: Sequence[file_pb2.File]) -> list[dict[str, Any]]:
    """The steps with their files, oldest first."""
    ordered = sorted(found, key=lambda file: (file.media.step, file.media.rank, file.path))
    return [
        {
            "step": step,
            "files": [
                {"path": file.path, "kind": file.media.kind, "caption": file.media.caption, "rank": file.media.rank}
                for file in group
            ],
        }
        for step, group in groupby(ordered, key=lambda file: file.media.step)
    ]


async def _shown(client: AsyncClient, run: str, file: Mapping[str, Any]) -> html.Figure:
    path, caption = file["path"], file["caption"]
    try:
        body = await _body(client, run, path, file["kind"], caption or path.rpartition("/")[2])
    except PenstockError as error:
        body = html.P(error.message, className="quiet")
    words = [caption] if caption else []
    if file["rank"]:
        words.append(f"rank {file['rank']}")
    return html.Figure([body, html.Figcaption(" · ".join(words)) if words else None])


async def _body(client: AsyncClient, run: str, path: str, kind: int, label: str) -> Any:
    match kind:
        case media_pb2.MEDIA_KIND_IMAGE:
            return files.media(run, path, "image/png", label=label)
        case media_pb2.MEDIA_KIND_AUDIO:
            return files.media(run, path, "audio/wav", label=label)
        case media_pb2.MEDIA_KIND_VIDEO:
            is_image = path.lower().endswith((".gif", ".webp", ".png"))
            return files.media(run, path, "image/gif" if is_image else "video/mp4", label=label)
        case media_pb2.MEDIA_KIND_TABLE:
            return await files.file_preview(client, run, path)
        case media_pb2.MEDIA_KIND_HISTOGRAM | media_pb2.MEDIA_KIND_PLOT:
            figure = _figure(await client.read_file(run, path, length=FIGURE_BYTES_MAX), kind)
            if figure is None:
                return html.P("The figure cannot be shown.", className="quiet")
            return dcc.Graph(
                figure=figure, config=GRAPH_CONFIG, responsive=True, style={"height": f"{PLOT_HEIGHT_PX}px"}
            )
        case _:
            return html.P("Media of a kind that this dashboard does not know.", className="quiet")


def _figure(content: bytes, kind: int) -> dict[str, Any] | None:
    """A figure of Plotly from what a run logged; None if it is none."""
    try:
        found = json.loads(content)
        if kind == media_pb2.MEDIA_KIND_HISTOGRAM:
            return _histogram([float(edge) for edge in found["edges"]], [float(count) for count in found["counts"]])
        if not isinstance(found["data"], list) or not isinstance(found.get("layout", {}), dict):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return {
        "data": found["data"],
        "layout": {**found.get("layout", {}), "autosize": True, "width": None, "height": None},
    }


def _histogram(edges: Sequence[float], counts: Sequence[float]) -> dict[str, Any] | None:
    if len(edges) != len(counts) + 1 or not all(map(math.isfinite, (*edges, *counts))):
        return None
    widths = [after - before for before, after in pairwise(edges)]
    bars = {
        "type": "bar",
        "x": [before + width / 2 for before, width in zip(edges, widths, strict=False)],
        "y": list(counts),
        "width": widths,
        "marker": {"color": "#0b7a99"},
        "hovertemplate": "%{x:.4~g}: %{y}<extra></extra>",
    }
    layout = {
        "margin": {"l": 44, "r": 10, "t": 10, "b": 34},
        "bargap": 0,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return {"data": [bars], "layout": layout}
