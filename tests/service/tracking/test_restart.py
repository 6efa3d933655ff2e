"""What a new process finds: everything acknowledged, where writers stand, latest values, silent runs."""

from dataclasses import replace
from pathlib import Path

from support.tracking import content, serving_tracking, settings_in

from penstock.api.tracking.v1 import run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.clock import ManualClock
from penstock_tracking.app import open_stores
from penstock_tracking.domain import HEARTBEAT_LEASE_S, RunState
from penstock_tracking.ingest.calls import CallWriters
from penstock_tracking.ingest.claims import WriterClaims
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.streams import WriterStreams
from penstock_tracking.logged_models.service import LoggedModelService
from penstock_tracking.logged_models.store import LoggedModelStore
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.service import TrackingService
from penstock_tracking.store import TrackingStore


async def test_a_writer_goes_on_where_it_was(tmp_path: Path) -> None:
    async with serving_tracking(tmp_path) as before:
        run = (await before.new_run()).name
        writer, _ = await before.open(run)
        await writer.send(1, content([(0, [1.0, 2.0])], ["a", "b"]))
        acked = await writer.acked(1)
    async with serving_tracking(tmp_path) as after:
        again, start = await after.open(run, writer_id=writer.writer_id, epoch=2)
        assert (start.acked_sequence, start.chain, start.durable_points) == (1, acked.chain, 2)
        await again.send(2, content([(1, [3.0])], ["b"], first_key=1, defined=True))
        await again.close()
        assert await after.points(run, "b") == [(0, 2.0), (1, 3.0)]
        latest = await after.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
        assert [(m.key, m.value) for m in latest.metrics] == [("a", 1.0), ("b", 3.0)]


async def test_latest_values_are_right_from_a_snapshot_and_the_tail_after_it(tmp_path: Path) -> None:
    rows = [(step, [float(step)] * 50) for step in range(3000)]  # 1.2 MB: enough for a snapshot
    keys = [f"k{i}" for i in range(50)]
    async with serving_tracking(tmp_path) as before:
        run = (await before.new_run()).name
        writer, _ = await before.open(run)
        await writer.send(1, content(rows, keys))
        await writer.acked(1)
        await before.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run))
        await writer.send(2, content([(5000, [-1.0])], ["k7"], first_key=7, defined=True))
        await writer.close()
    async with serving_tracking(tmp_path) as after:
        latest = await after.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run, keys=["k7", "k8"]))
        assert [(m.value, m.step, m.points, m.min) for m in latest.metrics] == [
            (-1.0, 5000, 3001, -1.0),
            (2999.0, 2999, 3000, 0.0),
        ]


async def test_a_run_that_went_silent_counts_as_crashed_and_lives_again_when_heard(tmp_path: Path) -> None:
    clock = ManualClock()
    stores = await open_stores(settings_in(tmp_path), clock)
    log, hot = stores.metric_log, stores.hot
    store = TrackingStore(stores.documents)
    runs = SegmentedLog(log, stores.documents, stores.blobs)
    committer = GroupCommitter(log, hot)
    calls = CallWriters(log, committer)
    streams = WriterStreams(store, WriterClaims(stores.documents, clock), runs, committer, clock)
    models = LoggedModelService(LoggedModelStore(stores.documents), store, clock)
    service = TrackingService(store, hot, streams, calls, models, clock)
    async with serving_tracking(tmp_path) as tracking:
        run = await tracking.new_run()
    run_id = run.name.rpartition("/")[2]
    await store.change_run("default", run_id, lambda run: run.writer_opened(0, True, clock.now_us()))
    await store.change_run("default", run_id, lambda run: replace(run, display_name="leased"))
    clock.advance(HEARTBEAT_LEASE_S)
    assert await service.crash_silent_runs() == 0
    clock.advance(1)
    assert await service.crash_silent_runs() == 1
    assert await service.crash_silent_runs() == 0
    stored = await store.run("default", run_id)
    assert stored.value.state is RunState.CRASHED
    assert "No sign of life" in stored.value.failure
    await store.change_run("default", run_id, lambda run: run.heard(clock.now_us()))
    assert (await store.run("default", run_id)).value.state is RunState.RUNNING
    assert run.state == run_pb2.RUN_STATE_RUNNING
    await stores.close()
