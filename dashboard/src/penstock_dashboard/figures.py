"""Charts from series: what a `MetricSeries` becomes in Plotly's figure format.

A series that came whole is drawn as it is. A series that the server reduced to buckets is drawn through the smallest and the
largest point of each bucket, in the order of their steps: every vertex is a logged point, and a spike never disappears.
NaN and the infinities cannot be drawn: they break the line where they stood, if that is known, and are counted.

Figures carry no colours of paper, text or grid: the style sheet gives them, so that they follow light and dark at once.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from penstock.api.tracking.v1 import metric_pb2

__all__ = [
    "PALETTE",
    "ChartOptions",
    "Curve",
    "LineStyle",
    "against",
    "curve",
    "detailed",
    "figure",
    "legend_name",
    "smooth",
]

PALETTE = (
    "#4c6ef5",
    "#f76707",
    "#12b886",
    "#e64980",
    "#7950f2",
    "#1098ad",
    "#e8a200",
    "#fa5252",
    "#66a80f",
    "#be4bdb",
    "#228be6",
    "#a9826b",
)
"""Line colours, legible on white and on near-black."""

XAxis = Literal["step", "relative", "wall"]

MARKERS_POINTS_MAX = 2
"""A curve with at most this many points gets markers, since its line could not be seen."""
TITLE_CHARS_MAX = 60
STEP_TICKS_MAX = 6
"""Ticks of an x axis at most."""
STEP_FORMATS: list[dict[str, Any]] = [
    {"dtickrange": [None, 99], "value": ",d"},
    {"dtickrange": [100, None], "value": ".9~s"},
]
"""Steps are whole: near each other they are written out, far from each other as `500`, `1.5k`, `2M`."""
FONT_FAMILY = (
    'Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", '
    "sans-serif"
)


@dataclass(frozen=True)
class ChartOptions:
    """How curves are drawn.

    Attributes:
        x: Steps, seconds since the run's start, or the time of day.
        log_y: Whether the y axis is logarithmic.
        smoothing: Weight of the past in the exponential moving average, 0 (none) to 0.99.
    """

    x: XAxis = "step"
    log_y: bool = False
    smoothing: float = 0.0


@dataclass(frozen=True)
class LineStyle:
    """What a series is called, which colour it has, and whether the visitor took it out of sight."""

    name: str
    color: str
    hidden: bool = False


@dataclass
class Curve:
    """One line.

    Attributes:
        x: Steps, seconds, or milliseconds since 1970 UTC, ascending.
        y: The values; None breaks the line.
        mean_x: Where the means stand, which smoothing goes through: of a series that came whole the same as `x`.
        mean_y: The means of the buckets; of a series that came whole the same as `y`.
        nan: How many NaN there are.
        positive_infinity: How many +Inf.
        negative_infinity: How many -Inf.
        latest: The last value, whatever it is; None if there is none.
        smallest: The smallest finite value; None if there is none.
        largest: The largest finite value; None if there is none.
        reduced: Whether the server reduced the series.
    """

    x: list[float] = field(default_factory=list)
    y: list[float | None] = field(default_factory=list)
    mean_x: list[float] = field(default_factory=list)
    mean_y: list[float | None] = field(default_factory=list)
    nan: int = 0
    positive_infinity: int = 0
    negative_infinity: int = 0
    latest: float | None = None
    smallest: float | None = None
    largest: float | None = None
    reduced: bool = False

    @property
    def not_finite(self) -> int:
        """How many values could not be drawn."""
        return self.nan + self.positive_infinity + self.negative_infinity


def curve(series: metric_pb2.MetricSeries, *, x: XAxis, start_s: float | None = None) -> Curve:
    """Turns a series into a line.

    Args:
        series: What GetMetricSeries returned.
        x: What is on the x axis.
        start_s: Start of the run in seconds since 1970 UTC, for `relative`; None means from the first point on.
    """
    kind = series.WhichOneof("data")
    if kind == "points":
        line = _curve_of_points(series.points, x, start_s)
    elif kind == "buckets":
        line = _curve_of_buckets(series.buckets, x, start_s)
    else:
        return Curve()
    finite = [y for y in line.y if y is not None]
    if finite:
        line.smallest, line.largest = min(finite), max(finite)
    return line


def against(line: Curve, metric: metric_pb2.MetricSeries) -> Curve:
    """Draws a curve over another metric instead of over steps, as `define_metric(x=...)` asks.

    A point stands where the other metric last was at or before its step; one before the other's first point is left out.
    When the other metric came reduced, it counts as it was at the end of each bucket.

    Args:
        line: A curve over steps.
        metric: The series of the other metric, of the same run.
    """
    kind = metric.WhichOneof("data")
    if kind == "buckets":
        steps, values = metric.buckets.last_steps, metric.buckets.lasts
    else:
        steps, values = metric.points.steps, metric.points.values

    def moved(at: Sequence[float], y: Sequence[float | None]) -> tuple[list[float], list[float | None]]:
        new_x: list[float] = []
        new_y: list[float | None] = []
        for step, value in zip(at, y, strict=True):
            index = bisect.bisect_right(steps, step) - 1
            if index >= 0 and math.isfinite(values[index]):
                new_x.append(values[index])
                new_y.append(value)
        return new_x, new_y

    x, y = moved(line.x, line.y)
    mean_x, mean_y = moved(line.mean_x, line.mean_y)
    return replace(line, x=x, y=y, mean_x=mean_x, mean_y=mean_y)


def detailed(line: Curve, part: Curve) -> Curve:
    """Puts a part of a series, read in finer detail, in its place in the series. Both are over steps."""
    if not part.x:
        return line

    def spliced(
        x: list[float], y: list[float | None], part_x: list[float], part_y: list[float | None]
    ) -> tuple[list[float], list[float | None]]:
        before, after = bisect.bisect_left(x, part.x[0]), bisect.bisect_right(x, part.x[-1])
        return x[:before] + part_x + x[after:], y[:before] + part_y + y[after:]

    x, y = spliced(line.x, line.y, part.x, part.y)
    mean_x, mean_y = spliced(line.mean_x, line.mean_y, part.mean_x, part.mean_y)
    return replace(line, x=x, y=y, mean_x=mean_x, mean_y=mean_y)


def smooth(values: Sequence[float | None], weight: float) -> list[float | None]:
    """The exponential moving average with bias correction: the first value is kept, gaps stay gaps.

    `s(i) = w · s(i-1) + (1-w) · y(i)`, divided by `1 - w^i` (Kingma & Ba 2014, section 3).
    """
    if weight <= 0:
        return list(values)
    smoothed: list[float | None] = []
    average, correction = 0.0, 1.0
    for y in values:
        if y is None:
            smoothed.append(None)
            continue
        average = weight * average + (1 - weight) * y
        correction *= weight
        smoothed.append(average / (1 - correction))
    return smoothed


def figure(
    curves: Sequence[tuple[Curve, LineStyle]],
    options: ChartOptions,
    *,
    revision: str,
    x_title: str = "",
    zoom: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """One chart.

    Args:
        curves: The lines with their styles.
        options: How they are drawn.
        revision: While it stays the same, the visitor's zoom is kept when the data change.
        x_title: Name of the x axis, when it is another metric.
        zoom: The steps that the visitor zoomed into; None means all.

    Returns:
        A figure as Plotly takes it.
    """
    traces: list[dict[str, Any]] = []
    for line, style in curves:
        single = sum(y is not None for y in line.y) <= MARKERS_POINTS_MAX
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers" if single else "lines",
            "name": style.name,
            "x": line.x,
            "y": line.y,
            "line": {"color": style.color, "width": 1.6},
            "marker": {"color": style.color, "size": 6},
            "hovertemplate": "%{y:.5~g}<extra></extra>"
            if len(curves) == 1
            else "%{y:.5~g}<extra>%{fullData.name}</extra>",
            "connectgaps": False,
            "visible": not style.hidden,
        }
        if options.smoothing > 0 and not single:
            traces.append({**trace, "opacity": 0.25, "line": {**trace["line"], "width": 1}, "hoverinfo": "skip"})
            del traces[-1]["hovertemplate"]
            trace |= {
                "x": line.mean_x,
                "y": smooth(line.mean_y, options.smoothing),
                "line": {**trace["line"], "width": 2},
            }
        traces.append(trace)
    return {"data": traces, "layout": _layout(curves, options, revision, x_title, zoom)}


def legend_name(text: str) -> str:
    """A name short enough for a legend, and without markup, which Plotly would interpret."""
    short = text if len(text) <= TITLE_CHARS_MAX else f"{text[: TITLE_CHARS_MAX - 1]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tick_mode(curves: Sequence[tuple[Curve, LineStyle]], zoom: tuple[float, float] | None) -> str:
    """`linear`, a tick at each whole step, where Plotly would also choose halves; `auto` where it chooses well itself."""
    ends = zoom or [end for line, _ in curves if line.x for end in (line.x[0], line.x[-1])]
    return "linear" if ends and max(ends) - min(ends) < STEP_TICKS_MAX else "auto"


def _layout(
    curves: Sequence[tuple[Curve, LineStyle]],
    options: ChartOptions,
    revision: str,
    x_title: str,
    zoom: tuple[float, float] | None,
) -> dict[str, Any]:
    x_axis: dict[str, Any] = {
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "nticks": STEP_TICKS_MAX,
    }
    x_axis |= {"spikethickness": 1, "spikedash": "solid"}
    if x_title:
        x_axis |= {"title": {"text": legend_name(x_title), "standoff": 2}, "hoverformat": ".5~g"}
    elif options.x == "step":
        x_axis |= {"hoverformat": ",d", "tickformatstops": STEP_FORMATS}
        x_axis |= {"tick0": 0, "dtick": 1, "tickmode": _tick_mode(curves, zoom)}
    elif options.x == "relative":
        x_axis |= {"title": {"text": "seconds since start", "standoff": 2}, "hoverformat": ",.1f"}
        x_axis |= {"tickformat": ",.7~r"}
    else:
        x_axis |= {"type": "date", "title": {"text": "UTC", "standoff": 2}}
    y_axis: dict[str, Any] = {
        "automargin": True,
        "zeroline": False,
        "ticks": "",
        "nticks": 6,
        "separatethousands": True,
        "exponentformat": "power",
        "showexponent": "all",
        "type": "log" if options.log_y else "linear",
    }
    if options.log_y:
        y_axis |= {"dtick": 1, "minor": {"showgrid": False}}
    return {
        "margin": {"l": 8, "r": 12, "t": 6, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        # The fonts of the style sheet, since Plotly measures its labels with what it is told here.
        "font": {"size": 11, "family": FONT_FAMILY},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "orientation": "v"},
        "xaxis": x_axis,
        "yaxis": y_axis,
        "hovermode": "x unified",
        "showlegend": False,
        "dragmode": "zoom",
        "uirevision": revision,
    }


def _x_of(step: int, time_us: int, x: XAxis, origin_us: float) -> float:
    if x == "step":
        return step
    if x == "relative":
        return (time_us - origin_us) / 1e6
    return time_us / 1e3


def _curve_of_points(points: metric_pb2.MetricPoints, x: XAxis, start_s: float | None) -> Curve:
    line = Curve()
    times = points.times_unix_us
    origin_us = start_s * 1e6 if start_s is not None else float(min(times, default=0))
    rows = zip(points.steps, times, points.values, strict=True)
    ordered = rows if x == "step" else sorted(rows, key=lambda row: row[1])
    for step, time_us, y in ordered:
        line.x.append(_x_of(step, time_us, x, origin_us))
        if math.isfinite(y):
            line.y.append(y)
            continue
        line.y.append(None)
        if math.isnan(y):
            line.nan += 1
        elif y > 0:
            line.positive_infinity += 1
        else:
            line.negative_infinity += 1
    if points.values:
        line.latest = points.values[-1]
    line.mean_x, line.mean_y = line.x, line.y
    return line


def _curve_of_buckets(buckets: metric_pb2.MetricBuckets, x: XAxis, start_s: float | None) -> Curve:
    line = Curve(
        reduced=True,
        nan=sum(buckets.nan_counts),
        positive_infinity=sum(buckets.positive_infinity_counts),
        negative_infinity=sum(buckets.negative_infinity_counts),
    )
    times = buckets.last_times_unix_us
    origin_us = start_s * 1e6 if start_s is not None else float(min(times, default=0))
    last = len(buckets.counts) - 1
    for i in range(last + 1):
        # Buckets know the time of their last point only, so on a time axis both extremes stand there.
        time_us = times[i]
        low, high = (buckets.min_steps[i], buckets.mins[i]), (buckets.max_steps[i], buckets.maxs[i])
        line.mean_x.append(_x_of(buckets.last_steps[i], time_us, x, origin_us))
        line.mean_y.append(None if math.isnan(buckets.means[i]) else buckets.means[i])
        if math.isnan(low[1]):
            line.x.append(_x_of(buckets.last_steps[i], time_us, x, origin_us))
            line.y.append(None)
            continue
        extremes = [low] if low == high else sorted((low, high))
        # The curve must end where the run stands now, so the last bucket also shows its last value.
        end = buckets.lasts[i]
        if i == last and math.isfinite(end) and (buckets.last_steps[i], end) not in extremes:
            extremes.append((buckets.last_steps[i], end))
        for step, y in extremes:
            line.x.append(_x_of(step, time_us, x, origin_us))
            line.y.append(y)
    if last >= 0:
        line.latest = buckets.lasts[last]
    return line
