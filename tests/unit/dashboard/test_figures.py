"""Curves from series: every vertex a logged point, spikes kept, NaN and the infinities counted and never drawn."""

import json
import math
from itertools import pairwise

import pytest

from penstock.api.tracking.v1 import metric_pb2
from penstock_dashboard import figures
from penstock_dashboard.figures import ChartOptions, Curve, LineStyle

STYLE = LineStyle("run", figures.PALETTE[0])


def points(*rows: tuple[int, int, float]) -> metric_pb2.MetricSeries:
    return metric_pb2.MetricSeries(
        run="projects/p/runs/r",
        key="loss",
        total_points=len(rows),
        points=metric_pb2.MetricPoints(
            steps=[row[0] for row in rows], times_unix_us=[row[1] for row in rows], values=[row[2] for row in rows]
        ),
    )


def buckets(values: list[float], size: int) -> metric_pb2.MetricSeries:
    """Reduces values at steps 0, 1, ... as the server does."""
    reduced = metric_pb2.MetricBuckets()
    for first in range(0, len(values), size):
        part = list(enumerate(values))[first : first + size]
        finite = [(value, step) for step, value in part if math.isfinite(value)]
        low, high = (min(finite), max(finite)) if finite else ((math.nan, 0), (math.nan, 0))
        reduced.first_steps.append(part[0][0])
        reduced.last_steps.append(part[-1][0])
        reduced.last_times_unix_us.append(part[-1][0] * 1_000_000)
        reduced.counts.append(len(part))
        reduced.mins.append(low[0])
        reduced.min_steps.append(low[1])
        reduced.maxs.append(high[0])
        reduced.max_steps.append(high[1])
        reduced.means.append(sum(v for v, _ in finite) / len(finite) if finite else math.nan)
        reduced.lasts.append(part[-1][1])
        reduced.nan_counts.append(sum(math.isnan(v) for _, v in part))
        reduced.positive_infinity_counts.append(sum(v == math.inf for _, v in part))
        reduced.negative_infinity_counts.append(sum(v == -math.inf for _, v in part))
    return metric_pb2.MetricSeries(key="loss", total_points=len(values), buckets=reduced)


def test_points_are_drawn_as_they_are() -> None:
    line = figures.curve(points((0, 0, 1.0), (1, 10, 0.5), (2, 20, 0.25)), x="step")
    assert (line.x, line.y, line.latest, line.reduced) == ([0, 1, 2], [1.0, 0.5, 0.25], 0.25, False)
    assert (line.smallest, line.largest, line.not_finite) == (0.25, 1.0, 0)


def test_values_that_cannot_be_drawn_break_the_line_and_are_counted() -> None:
    line = figures.curve(
        points((0, 0, 1.0), (1, 1, math.nan), (2, 2, math.inf), (3, 3, -math.inf), (4, 4, 2.0)), x="step"
    )
    assert line.y == [1.0, None, None, None, 2.0]
    assert (line.nan, line.positive_infinity, line.negative_infinity, line.not_finite) == (1, 1, 1, 3)


def test_a_series_of_nothing_but_nan() -> None:
    line = figures.curve(points((0, 0, math.nan)), x="step")
    assert (line.smallest, line.largest) == (None, None)
    assert line.latest is not None
    assert math.isnan(line.latest)


def test_a_series_without_data_is_an_empty_curve() -> None:
    assert figures.curve(metric_pb2.MetricSeries(), x="step") == Curve()


def test_steps_at_the_ends_of_int64() -> None:
    line = figures.curve(points((-(2**63), 0, 1.0), (2**63 - 1, 1, 2.0)), x="step")
    assert line.x == [-(2**63), 2**63 - 1]


def test_elapsed_and_clock_axes_are_in_order_of_time() -> None:
    series = points((0, 5_000_000, 1.0), (1, 3_000_000, 2.0), (2, 9_000_000, 3.0))
    elapsed = figures.curve(series, x="relative", start_s=2.0)
    assert (elapsed.x, elapsed.y) == ([1.0, 3.0, 7.0], [2.0, 1.0, 3.0])
    assert figures.curve(series, x="relative").x == [0.0, 2.0, 6.0]
    assert figures.curve(series, x="wall").x == [3000.0, 5000.0, 9000.0]


def test_a_spike_in_a_reduced_series_stays_at_its_step_and_height() -> None:
    values = [1.0] * 1000
    values[437] = 99.0
    line = figures.curve(buckets(values, 50), x="step")
    assert line.largest == 99.0
    assert line.x[line.y.index(99.0)] == 437
    assert line.reduced


def test_reduced_steps_ascend_and_every_vertex_is_a_logged_point() -> None:
    values = [math.sin(step / 7) * 1.001**step for step in range(977)]
    line = figures.curve(buckets(values, 10), x="step")
    assert all(a <= b for a, b in pairwise(line.x))
    assert all(values[int(step)] == y for step, y in zip(line.x, line.y, strict=True))


def test_a_reduced_series_ends_with_its_latest_value() -> None:
    values = [float(v) for v in range(95)] + [3.5, 90.0, 7.25]
    line = figures.curve(buckets(values, 10), x="step")
    assert (line.x[-1], line.y[-1], line.latest) == (97, 7.25, 7.25)


def test_a_bucket_without_finite_values_breaks_the_line() -> None:
    values = [1.0, 2.0, math.nan, math.inf, 3.0, 4.0]
    line = figures.curve(buckets(values, 2), x="step")
    assert line.y == [1.0, 2.0, None, 3.0, 4.0]
    assert (line.nan, line.positive_infinity) == (1, 1)


def test_a_curve_over_another_metric_stands_where_that_was_last() -> None:
    line = figures.curve(points((0, 0, 9.0), (10, 1, 8.0), (15, 2, 7.0), (20, 3, 6.0), (30, 4, math.nan)), x="step")
    epochs = points((5, 0, 1.0), (15, 0, 2.0), (20, 0, math.nan), (25, 0, 3.0))
    over = figures.against(line, epochs)
    assert (over.x, over.y) == ([1.0, 2.0, 3.0], [8.0, 7.0, None])
    reduced = buckets([float(step // 10) for step in range(100)], 10)
    assert figures.against(figures.curve(points((39, 0, 1.0)), x="step"), reduced).x == [3.0]
    assert figures.against(line, metric_pb2.MetricSeries()).x == []


def test_smoothing_keeps_the_first_value_constants_and_gaps() -> None:
    assert figures.smooth([5.0, None, 5.0, 5.0], 0.9) == pytest.approx([5.0, None, 5.0, 5.0])
    assert figures.smooth([1.0, 2.0], 0.0) == [1.0, 2.0]
    halved = figures.smooth([0.0, 1.0], 0.5)
    assert halved == pytest.approx([0.0, 2 / 3])


def test_a_figure_is_json_that_plotly_takes() -> None:
    line = figures.curve(points((0, 0, 1.0), (1, 1, math.nan), (2, 2, 3.0), (3, 3, 4.0)), x="step")
    figure = figures.figure([(line, STYLE)], ChartOptions(), revision="a")
    text = json.dumps(figure, allow_nan=False)
    assert json.loads(text)["data"][0]["y"] == [1.0, None, 3.0, 4.0]
    assert figure["layout"]["uirevision"] == "a"


def test_a_smoothed_figure_keeps_the_raw_line_behind() -> None:
    line = figures.curve(points(*((i, i, float(i % 2)) for i in range(20))), x="step")
    raw, smoothed = figures.figure([(line, STYLE)], ChartOptions(smoothing=0.9), revision="a")["data"]
    assert raw["y"] == line.y
    assert raw["opacity"] < 1
    assert raw["hoverinfo"] == "skip"
    assert smoothed["y"] == figures.smooth(line.y, 0.9)


def test_a_reduced_series_is_smoothed_through_its_means() -> None:
    values = [float(step % 2) for step in range(100)]
    line = figures.curve(buckets(values, 10), x="step")
    assert line.mean_y == [0.5] * 10
    raw, smoothed = figures.figure([(line, STYLE)], ChartOptions(smoothing=0.5), revision="a")["data"]
    assert raw["y"][:4] == [0.0, 1.0, 0.0, 1.0]
    assert smoothed["x"] == [float(last) for last in range(9, 100, 10)]
    assert smoothed["y"] == pytest.approx([0.5] * 10)


def test_a_single_point_gets_a_marker() -> None:
    line = figures.curve(points((0, 0, 1.0)), x="step")
    assert (
        figures.figure([(line, STYLE)], ChartOptions(smoothing=0.5), revision="a")["data"][0]["mode"] == "lines+markers"
    )


def test_a_logarithmic_axis() -> None:
    assert figures.figure([], ChartOptions(log_y=True), revision="a")["layout"]["yaxis"]["type"] == "log"


def test_names_in_legends_are_text_and_short() -> None:
    assert figures.legend_name("<b>&") == "&lt;b&gt;&amp;"
    assert len(figures.legend_name("x" * 500)) == figures.TITLE_CHARS_MAX


def test_near_each_other_steps_have_ticks_at_whole_numbers() -> None:
    def tick_mode(steps: int, zoom: tuple[float, float] | None = None) -> str:
        line = figures.curve(points(*((step, step, 1.0) for step in range(steps))), x="step")
        return figures.figure([(line, STYLE)], ChartOptions(), revision="a", zoom=zoom)["layout"]["xaxis"]["tickmode"]

    assert [tick_mode(1), tick_mode(figures.STEP_TICKS_MAX), tick_mode(1000)] == ["linear", "linear", "auto"]
    assert [tick_mode(0), tick_mode(1000, zoom=(3.2, 4.1)), tick_mode(1000, zoom=(3, 40))] == ["auto", "linear", "auto"]


def test_a_zoomed_part_takes_its_place_in_finer_detail() -> None:
    values = [float(step) for step in range(100)]
    coarse = figures.curve(buckets(values, 20), x="step")
    fine = figures.curve(points(*((step, 0, values[step]) for step in range(30, 61))), x="step")
    line = figures.detailed(coarse, fine)
    assert line.x == [0, 19, 20, *range(30, 61), 79, 80, 99]
    assert line.y == line.x
    assert line.mean_x == [19, *range(30, 61), 79, 99]
    assert figures.detailed(coarse, Curve()) == coarse


def test_a_hidden_run_keeps_its_place_and_is_not_drawn() -> None:
    line = figures.curve(points((0, 0, 1.0)), x="step")
    traces = figures.figure([(line, LineStyle("run", "#000", hidden=True))], ChartOptions(), revision="a")["data"]
    assert [trace["visible"] for trace in traces] == [False]
