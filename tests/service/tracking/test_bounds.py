"""What reads hold at most, what survives a reader that leaves, and cursors of runs with many writers."""

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from support.tracking import Tracking, content, refused, serving_tracking, settings_in

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.clock import ManualClock, SystemClock
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.metric_log import BatchRecord
from penstock_tracking.app import open_stores
from penstock_tracking.domain import Run
from penstock_tracking.ingest.codec import KEYS_PER_BLOCK_MAX, digest_of
from penstock_tracking.ingest.committer import ring_run
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series import service as service_module
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.series.reader import SeriesReader
from penstock_tracking.store import TrackingStore

PROJECT = "projects/default"


async def log_batch(tracking: Tracking, run: str, points: list[tuple[str, float, int]], **fields: object) -> bool:
    metrics = [pb.MetricPoint(key=key, value=value, step=step, time_unix_us=1 + step) for key, value, step in points]
    request = pb.LogBatchRequest(run=run, metrics=metrics, **fields)
    return (await tracking.call("LogBatch", request)).repeated_request


async def test_an_answer_with_many_series_has_fewer_buckets_each(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "POINTS_PER_RESPONSE_MAX", 100)
    keys = [f"k{i}" for i in range(10)]
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    rows = [(step, [float(step)] * 10) for step in range(1000)]
    rows[777] = (777, [1e9] * 10)
    await writer.send(1, content(rows, keys))
    await writer.close()

    async def buckets(keys: list[str], max_points: int) -> list[int]:
        request = pb.GetMetricSeriesRequest(parent=PROJECT, runs=[run], keys=keys, max_points=max_points)
        series = (await tracking.call("GetMetricSeries", request)).series
        assert all(max(one.buckets.maxs) == 1e9 for one in series)
        return [len(one.buckets.counts) for one in series]

    assert await buckets(keys, 10_000) == [10] * 10
    assert await buckets(keys[:1], 10_000) == [100]
    assert await buckets(keys, 7) == [7] * 10


async def test_latest_values_of_one_answer_at_their_limit(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "METRICS_PER_RESPONSE_MAX", 3)
    run = (await tracking.new_run()).name
    await log_batch(tracking, run, [("a1", 1.0, 0), ("a2", 1.0, 0), ("a3", 1.0, 0)])
    latest = pb.GetLatestMetricsRequest(run=run)
    assert len((await tracking.call("GetLatestMetrics", latest)).metrics) == 3
    await log_batch(tracking, run, [("b", 1.0, 0)])
    error = await refused(tracking.call("GetLatestMetrics", latest))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_METRICS")
    latest.prefix = "a"
    assert len((await tracking.call("GetLatestMetrics", latest)).metrics) == 3


async def test_pages_of_a_search_fit_into_what_clients_receive(tracking: Tracking) -> None:
    made = {(await tracking.new_run(notes="x" * 90_000, display_name=str(i))).name for i in range(60)}
    found: list[str] = []
    pages = 0
    token = ""
    while True:
        request = pb.SearchRunsRequest(parent=PROJECT, page_size=1000, page_token=token)
        page = await tracking.call("SearchRuns", request)  # over a channel that receives 4 MiB at most
        found += [run.name for run in page.runs]
        pages += 1
        token = page.next_page_token
        if not token:
            break
        assert page.total_size == 60
    assert pages == 2
    assert len(found) == 60
    assert set(found) == made
    narrow = pb.SearchRunsRequest(parent=PROJECT, page_size=1000, columns=["display_name"])
    assert len((await tracking.call("SearchRuns", narrow)).runs) == 60


async def test_a_log_batch_may_name_more_keys_than_a_block_holds(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    keys = KEYS_PER_BLOCK_MAX + 1
    await log_batch(tracking, run, [(f"k{i:06}", float(i), 5) for i in range(keys)])
    request = pb.GetLatestMetricsRequest(run=run, keys=["k000000", f"k{keys - 1:06}"])
    latest = (await tracking.call("GetLatestMetrics", request)).metrics
    assert [metric.value for metric in latest] == [0.0, float(keys - 1)]


async def test_identical_points_of_a_batch_that_says_so_count_once(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    points = [
        ("loss", 1.0, 0),
        ("loss", 1.0, 0),
        ("loss", 1.0, 1),
        ("acc", 1.0, 0),
        ("loss", math.nan, 2),
        ("loss", math.nan, 2),
        ("loss", 0.0, 3),
        ("loss", -0.0, 3),
    ]
    await log_batch(tracking, run, points, collapse_identical=True)
    read = await tracking.points(run, "loss")
    assert [(step, struct.pack("<d", value)) for step, value in read] == [
        (step, struct.pack("<d", value)) for step, value in [(0, 1.0), (1, 1.0), (2, math.nan), (3, 0.0), (3, -0.0)]
    ]
    latest = (await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))).metrics
    assert {metric.key: metric.points for metric in latest} == {"acc": 1, "loss": 5}
    await log_batch(tracking, run, points[:2], request_id="not collapsed")
    assert len(await tracking.points(run, "loss")) == 7


async def test_the_cursor_of_a_run_with_many_writers_can_be_sent_back(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    for step in range(250):
        writer, _ = await tracking.open(run)
        await writer.send(1, content([(step, [1.0, 2.0])], ["a", "b"]))
        await writer.close()
    await tracking.call("FinishRun", pb.FinishRunRequest(name=run, state=run_pb2.RUN_STATE_FINISHED))
    seen: list[tuple[str, int]] = []
    cursor = ""
    for stop_after in (333, 1000):  # the first in the middle of a round
        call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run, cursor=cursor))
        async for response in call:
            series = response.event.points
            if response.event.HasField("points"):
                seen += [(series.key, step) for step in series.points.steps]
            cursor = response.event.cursor
            if len(seen) >= stop_after:
                call.cancel()
                break
    assert len(cursor) > 4096
    assert len(seen) == 500
    assert set(seen) == {(key, step) for key in "ab" for step in range(250)}


async def test_a_run_logged_by_many_calls_has_one_writer_to_follow(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    for step in range(250):
        await log_batch(tracking, run, [("a", 1.0, step), (f"b{step % 3}", 2.0, step)])
    await tracking.call("FinishRun", pb.FinishRunRequest(name=run, state=run_pb2.RUN_STATE_FINISHED))
    cursors = [response.event.cursor async for response in tracking.stream("WatchRun", pb.WatchRunRequest(run=run))]
    assert max(map(len, cursors)) < 200
    assert await tracking.points(run, "a") == [(step, 1.0) for step in range(250)]
    assert await tracking.points(run, "b1") == [(step, 2.0) for step in range(1, 250, 3)]


async def test_a_cursor_from_within_a_round_is_good_with_other_keys(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    await log_batch(tracking, run, [("a", 1.0, 0), ("b", 1.0, 0), ("c", 1.0, 0)])
    await tracking.call("FinishRun", pb.FinishRunRequest(name=run, state=run_pb2.RUN_STATE_FINISHED))
    cursor = ""
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run))
    async for response in call:
        if response.event.points.key == "a":
            cursor = response.event.cursor
            call.cancel()
            break
    request = pb.WatchRunRequest(run=run, cursor=cursor, keys=["b", "c"])
    rest = [response.event.points.key async for response in tracking.stream("WatchRun", request)]
    assert rest == ["", "b", "c"]


async def test_params_are_told_again_only_when_they_changed(tracking: Tracking) -> None:
    run = (await tracking.new_run(params=[run_pb2.Param(key="lr", value=run_pb2.Value(int_value=1))])).name
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run))
    assert len((await call.read()).event.run.params) == 1
    await tracking.call("LogBatch", pb.LogBatchRequest(run=run, tags=[run_pb2.Tag(key="t", value="1")]))
    tagged = (await call.read()).event.run
    assert (len(tagged.tags), len(tagged.params)) == (1, 0)
    more = [run_pb2.Param(key="n", value=run_pb2.Value(int_value=1))]
    await tracking.call("LogBatch", pb.LogBatchRequest(run=run, params=more))
    assert len((await call.read()).event.run.params) == 2
    call.cancel()


async def test_a_reader_that_leaves_at_any_moment_takes_nothing_from_the_next(tmp_path: Path) -> None:
    stores = await open_stores(settings_in(tmp_path), SystemClock())
    log = stores.metric_log
    run = Run("default", "0" * 32, b"r" * 16, "0", "swift-delta", "users/ada", 1, 1, 1)
    batches = 4_800
    records = []
    for sequence in range(1, batches + 1):
        inner = content([(sequence, [float(sequence)])], ["loss"], defined=sequence > 1).SerializeToString()
        records.append(
            BatchRecord(
                b"r" * 16, b"w" * 16, sequence, digest_of(inner), b"c" * 32, 1, sequence, sequence == 1, 0, inner
            )
        )
    runs = SegmentedLog(log, stores.documents, stores.blobs)
    latest, series = LatestReader(runs, TrackingStore(stores.documents)), SeriesReader(runs)
    reads: list[Callable[[], Awaitable[object]]] = [lambda: latest.of_run(run), lambda: series.open(run)]
    for moment in range(16):
        await log.append(records[moment * 300 : moment * 300 + 300])
        for read in reads:
            reading = asyncio.ensure_future(read())
            await asyncio.sleep(moment / 2_000)
            reading.cancel()
            await asyncio.wait([reading])
    [(_, value)] = await latest.of_run(run)
    assert (value.count, value.step) == (batches, batches)
    [points] = [points async for points in (await series.open(run)).points("loss")]
    assert points.steps.tolist() == list(range(1, batches + 1))
    await stores.close()


class DeafHotStore(InProcessHotStore):
    """A hot store that cannot ring."""

    async def ring(self, topic: str) -> None:
        raise ConnectionError(topic)


async def test_a_hot_store_that_fails_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    await ring_run(DeafHotStore(ManualClock()), b"r" * 16)
    assert "did not ring" in caplog.text


async def test_latest_values_do_not_depend_on_the_order_of_writers(tmp_path: Path) -> None:
    equal = [0.0, -0.0, math.nan, struct.unpack("<d", bytes.fromhex("0100000000f0f87f"))[0]]
    answers = set()
    async with serving_tracking(tmp_path) as tracking:
        for turn in range(len(equal)):
            run = (await tracking.new_run()).name
            for value in equal[turn:] + equal[:turn]:
                writer, _ = await tracking.open(run)
                await writer.send(1, content([(7, [value])], ["loss"]))
                await writer.close()
                if turn % 2:
                    await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
            [metric] = (await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))).metrics
            answers.add(struct.pack("<d", metric.value))
            assert (metric.points, metric.min, metric.max) == (4, 0.0, 0.0)
    assert len(answers) == 1


async def test_extreme_steps_and_one_key_by_many_writers(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    for rank, step in enumerate((-(2**63), 2**63 - 1, 0)):
        writer, _ = await tracking.open(run, rank=rank)
        keys = ["other", "loss"] if rank else ["loss", "other"]  # the same keys under other numbers
        await writer.send(1, content([(step, [float(rank)] * 2)], keys))
        await writer.close()
    assert await tracking.points(run, "loss") == [(-(2**63), 0.0), (0, 2.0), (2**63 - 1, 1.0)]
    first = pb.GetMetricSeriesRequest(
        parent=PROJECT, runs=[run], keys=["loss"], range=metric_pb2.StepRange(last=-1), max_points=1
    )
    [series] = (await tracking.call("GetMetricSeries", first)).series
    assert list(series.points.steps) == [-(2**63)]
    latest = (await tracking.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run, keys=["loss"]))).metrics
    assert (latest[0].step, latest[0].value, latest[0].points) == (2**63 - 1, 1.0, 3)
