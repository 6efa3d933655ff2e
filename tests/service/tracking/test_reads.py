"""GetLatestMetrics, ListMetricKeys, GetMetricSeries, ReadMetricPoints, LogBatch, SearchRuns."""

import math

import grpc
import pytest
from support.tracking import Tracking, content, refused

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb

PROJECT = "projects/default"


async def logged(tracking: Tracking, *points: tuple[str, float, int], run: str | None = None, **fields: object) -> str:
    """Logs points as (key, value, step) in one batch, and returns the run's name."""
    name = run or (await tracking.new_run()).name
    metrics = [pb.MetricPoint(key=key, value=value, step=step, time_unix_us=step + 1000) for key, value, step in points]
    await tracking.call("LogBatch", pb.LogBatchRequest(run=name, metrics=metrics, **fields))
    return name


async def test_latest_is_the_maximum_of_step_time_value(tracking: Tracking) -> None:
    run = await logged(tracking, ("loss", 1.0, 5), ("loss", 2.0, 3), ("loss", math.nan, 9), ("acc", 0.5, 0))
    await logged(tracking, ("loss", -1.0, 9), run=run)
    latest = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
    by_key = {metric.key: metric for metric in latest.metrics}
    assert list(by_key) == ["acc", "loss"]
    assert math.isnan(by_key["loss"].value)  # NaN counts as 0, and 0 > -1
    assert (by_key["loss"].step, by_key["loss"].points) == (9, 4)
    assert (by_key["loss"].min, by_key["loss"].max) == (-1.0, 2.0)
    some = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run, keys=["acc", "absent"]))
    assert [metric.key for metric in some.metrics] == ["acc"]
    prefixed = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run, prefix="lo"))
    assert [metric.key for metric in prefixed.metrics] == ["loss"]


async def test_keys_of_many_runs_by_prefix_pattern_and_page(tracking: Tracking) -> None:
    one = await logged(tracking, ("train/loss", 1.0, 0), ("train/acc", 1.0, 0))
    two = await logged(tracking, ("val/loss", 1.0, 0), ("train/loss", 1.0, 0))

    async def keys(**fields: object) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            request = pb.ListMetricKeysRequest(parent=PROJECT, runs=[one, two], page_token=token, **fields)
            page = await tracking.call("ListMetricKeys", request)
            found.extend(page.keys)
            token = page.next_page_token
            if not token:
                return found

    assert await keys(page_size=2) == ["train/acc", "train/loss", "val/loss"]
    assert await keys(prefix="train/") == ["train/acc", "train/loss"]
    assert await keys(pattern="loss$") == ["train/loss", "val/loss"]
    bad = pb.ListMetricKeysRequest(parent=PROJECT, runs=[one], pattern="(")
    assert (await refused(tracking.call("ListMetricKeys", bad))).reason == "PATTERN_INVALID"
    hostile = pb.ListMetricKeysRequest(parent=PROJECT, runs=[one], pattern="(a*)*b")
    assert not (await tracking.call("ListMetricKeys", hostile)).keys


async def test_series_within_a_range_and_reduced_with_extremes(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    values = [math.sin(step / 50) for step in range(5000)]
    values[1234] = 99.0
    values[4321] = math.nan
    await writer.send(1, content([(step, [value, 1.0]) for step, value in enumerate(values)], ["loss", "one"]))
    await writer.close()

    async def series(**fields: object) -> list[metric_pb2.MetricSeries]:
        request = pb.GetMetricSeriesRequest(parent=PROJECT, runs=[run], keys=["loss"], **fields)
        return list((await tracking.call("GetMetricSeries", request)).series)

    [reduced] = await series(max_points=100)
    assert reduced.total_points == 5000
    assert sum(reduced.buckets.counts) == 5000
    assert max(reduced.buckets.maxs) == 99.0
    assert reduced.buckets.max_steps[list(reduced.buckets.maxs).index(99.0)] == 1234
    assert sum(reduced.buckets.nan_counts) == 1
    [ranged] = await series(range=metric_pb2.StepRange(first=1230, last=1239))
    assert list(ranged.points.steps) == list(range(1230, 1240))
    assert ranged.points.values[4] == 99.0
    assert await series(range=metric_pb2.StepRange(first=9000)) == []


async def test_many_runs_and_keys_in_one_call(tracking: Tracking) -> None:
    runs = [await logged(tracking, ("a", float(i), 0), ("b", float(i), 1)) for i in range(3)]
    request = pb.GetMetricSeriesRequest(parent=PROJECT, runs=runs, keys=["b", "a", "absent"])
    found = (await tracking.call("GetMetricSeries", request)).series
    assert [(s.run, s.key) for s in found] == [(run, key) for run in runs for key in ("b", "a")]


async def test_too_many_series_and_foreign_runs_are_refused(tracking: Tracking) -> None:
    run = await logged(tracking, ("a", 1.0, 0))
    runs = [f"{PROJECT}/runs/{i:032x}" for i in range(100)]
    many = pb.GetMetricSeriesRequest(parent=PROJECT, runs=runs, keys=[str(i) for i in range(201)])
    assert (await refused(tracking.call("GetMetricSeries", many))).reason == "TOO_MANY_SERIES"
    foreign = pb.GetMetricSeriesRequest(parent=PROJECT, runs=[run, run.replace("default", "other")], keys=["a"])
    assert (await refused(tracking.call("GetMetricSeries", foreign))).reason == "FIELD_INVALID"
    missing = pb.GetMetricSeriesRequest(parent=PROJECT, runs=[f"{PROJECT}/runs/{'0' * 32}"], keys=["a"])
    assert (await refused(tracking.call("GetMetricSeries", missing))).reason == "RUN_NOT_FOUND"


async def test_ranks_apart_and_together(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    for rank in (0, 1):
        writer, _ = await tracking.open(run, rank=rank)
        await writer.send(1, content([(step, [float(rank)]) for step in range(3)], ["loss"]))
        await writer.close()
    request = pb.GetMetricSeriesRequest(parent=PROJECT, runs=[run], keys=["loss"], rank_mode=metric_pb2.RANK_MODE_APART)
    apart = (await tracking.call("GetMetricSeries", request)).series
    assert [(s.rank, list(s.points.values)) for s in apart] == [(0, [0.0] * 3), (1, [1.0] * 3)]
    request.rank_mode = metric_pb2.RANK_MODE_TOGETHER
    [together] = (await tracking.call("GetMetricSeries", request)).series
    assert not together.HasField("rank")
    assert list(together.points.steps) == [0, 0, 1, 1, 2, 2]


async def test_full_resolution_comes_in_pieces(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    rows = [(step, [float(step), -float(step)]) for step in range(70_000)]
    await writer.send(1, content(rows[:40_000], ["a", "b"]))
    await writer.send(2, content(rows[40_000:], ["a", "b"], defined=True))
    await writer.close()
    pieces = [p.series async for p in tracking.stream("ReadMetricPoints", pb.ReadMetricPointsRequest(run=run))]
    assert [(p.key, len(p.points.steps)) for p in pieces] == [("a", 65_536), ("a", 4_464), ("b", 65_536), ("b", 4_464)]
    assert await tracking.points(run, "b", range=metric_pb2.StepRange(first=69_999)) == [(69_999, -69_999.0)]


async def test_log_batch_is_refused_whole_or_kept_whole(tracking: Tracking) -> None:
    run = await logged(
        tracking,
        ("loss", 1.0, 0),
        params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1))],
        tags=[run_pb2.Tag(key="t", value="1")],
    )
    conflicting = pb.LogBatchRequest(
        run=run,
        metrics=[pb.MetricPoint(key="loss", value=2.0, step=1)],
        params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.2))],
        tags=[run_pb2.Tag(key="t", value="2")],
    )
    error = await refused(tracking.call("LogBatch", conflicting))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PARAM_CONFLICT")
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=run))).run
    assert got.tags[0].value == "1"
    assert await tracking.points(run, "loss") == [(0, 1.0)]


async def test_log_batch_repeated_changes_nothing(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    request = pb.LogBatchRequest(run=run, metrics=[pb.MetricPoint(key="loss", value=1.0, step=1)])  # no time
    assert not (await tracking.call("LogBatch", request)).repeated_request
    assert (await tracking.call("LogBatch", request)).repeated_request
    request.request_id = "meant again"
    assert not (await tracking.call("LogBatch", request)).repeated_request
    assert await tracking.points(run, "loss") == [(1, 1.0), (1, 1.0)]


@pytest.mark.parametrize("key", ["", "k" * 251, "a\nb"])
async def test_log_batch_refuses_forbidden_keys(tracking: Tracking, key: str) -> None:
    run = (await tracking.new_run()).name
    request = pb.LogBatchRequest(run=run, metrics=[pb.MetricPoint(key="ok"), pb.MetricPoint(key=key)])
    assert (await refused(tracking.call("LogBatch", request))).code is grpc.StatusCode.INVALID_ARGUMENT
    assert await tracking.points(run, "ok") == []


async def test_log_batch_at_its_limit(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    points = [pb.MetricPoint(key="loss", value=1.0, step=step) for step in range(100_001)]
    too_many = pb.LogBatchRequest(run=run, metrics=points)
    assert (await refused(tracking.call("LogBatch", too_many))).code is grpc.StatusCode.INVALID_ARGUMENT
    await tracking.call("LogBatch", pb.LogBatchRequest(run=run, metrics=points[:100_000]))
    latest = await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
    assert latest.metrics[0].points == 100_000


async def test_a_search_sees_every_acknowledged_write_and_returns_the_columns_asked_for(tracking: Tracking) -> None:
    good = await logged(
        tracking, ("val/loss", 0.1, 3), params=[run_pb2.Param(key="lr", value=run_pb2.Value(int_value=1))]
    )
    bad = await logged(tracking, ("val/loss", 0.9, 3), ("other", 1.0, 0))

    async def search(where: str, **fields: object) -> pb.SearchRunsResponse:
        return await tracking.call("SearchRuns", pb.SearchRunsRequest(parent=PROJECT, filter=where, **fields))

    found = await search('metrics."val/loss" < 0.5', columns=["state", "metrics.val/loss", "params.lr"])
    assert [run.name for run in found.runs] == [good]
    assert found.total_size == 1
    [run] = found.runs
    assert [metric.key for metric in run.latest_metrics] == ["val/loss"]
    assert run.params[0].value.int_value == 1
    assert run.state == run_pb2.RUN_STATE_RUNNING
    assert not run.display_name
    await logged(tracking, ("val/loss", 0.2, 4), run=bad)
    ordered = await search('metrics."val/loss" < 0.5', order_by='metrics."val/loss" desc', columns=["metrics"])
    assert [run.name for run in ordered.runs] == [bad, good]
    assert [metric.key for metric in ordered.runs[0].latest_metrics] == ["other", "val/loss"]
    error = await refused(search("metrics.loss <"))
    assert error.reason == "FILTER_INVALID"
    assert "position" in error.metadata
    assert (await refused(search("", order_by="nonsense sideways"))).reason == "ORDER_INVALID"
    assert (await refused(search("", columns=["nonsense"]))).reason == "FIELD_INVALID"


async def test_search_pages_stay_right_while_runs_are_added(tracking: Tracking) -> None:
    wanted = {(await tracking.new_run(display_name=f"r{i}")).name for i in range(7)}
    seen: list[str] = []
    token = ""
    while True:
        request = pb.SearchRunsRequest(parent=PROJECT, order_by="display_name", page_size=3, page_token=token)
        page = await tracking.call("SearchRuns", request)
        seen += [run.name for run in page.runs]
        token = page.next_page_token
        if not token:
            break
        await tracking.new_run(display_name="a")  # before everything that is still to come
    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)
