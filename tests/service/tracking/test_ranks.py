"""Many ranks of one job at the same moment, and the lease that keeps their run from counting as crashed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.tracking import Tracking, content, refused, settings_in

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.access import Role
from penstock_kit.clock import ManualClock
from penstock_kit.ids import random_id
from penstock_kit.names import RunName
from penstock_tracking.app import open_stores
from penstock_tracking.domain import HEARTBEAT_LEASE_S, Run, RunState
from penstock_tracking.ingest.calls import CallWriters
from penstock_tracking.ingest.claims import WriterClaims
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.streams import OpenWriterRequest, WriterStreams
from penstock_tracking.ingest.writer import WriterStream
from penstock_tracking.logged_models.service import LoggedModelService
from penstock_tracking.logged_models.store import LoggedModelStore
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.service import TrackingService
from penstock_tracking.store import TrackingStore

PROJECT = "projects/default"


async def test_ranks_that_create_one_run_at_once_get_the_same(tracking: Tracking) -> None:
    request = pb.CreateRunRequest(
        parent=PROJECT, run_id=random_id(), run=run_pb2.Run(), experiment_display_name="together"
    )
    made = await asyncio.gather(*(tracking.call("CreateRun", request) for _ in range(32)))
    assert sum(response.created for response in made) == 1
    assert len({response.run.SerializeToString(deterministic=True) for response in made}) == 1


async def test_two_people_who_name_a_new_experiment_at_once_meet_in_one(tracking: Tracking) -> None:
    tracking.guard.grant("default", "users/bob", Role.EDITOR)
    tokens = [tracking.guard.issue("users/ada"), tracking.guard.issue("users/bob")]
    for name in ("one", "two", "three"):
        request = pb.CreateRunRequest(parent=PROJECT, run=run_pb2.Run(), experiment_display_name=name)
        made = await asyncio.gather(*(tracking.call("CreateRun", request, token=token) for token in tokens * 4))
        assert len({response.run.experiment for response in made}) == 1


async def test_a_request_id_belongs_to_its_principal(tracking: Tracking) -> None:
    tracking.guard.grant("default", "users/bob", Role.EDITOR)
    request = pb.CreateRunRequest(parent=PROJECT, run=run_pb2.Run(), request_id="r1")
    mine, again = [await tracking.call("CreateRun", request) for _ in range(2)]
    theirs = await tracking.call("CreateRun", request, token=tracking.guard.issue("users/bob"))
    assert (mine.run.name, again.created) == (again.run.name, False)
    assert theirs.created
    assert theirs.run.name != mine.run.name


async def test_a_deleted_or_renamed_experiment_does_not_hold_its_name(tracking: Tracking) -> None:
    async def experiment_of_a_new_run() -> str:
        request = pb.CreateRunRequest(parent=PROJECT, run=run_pb2.Run(), experiment_display_name="digits")
        return (await tracking.call("CreateRun", request)).run.experiment

    first = await experiment_of_a_new_run()
    await tracking.call("DeleteExperiment", pb.DeleteExperimentRequest(name=first))
    second = await experiment_of_a_new_run()
    rename = pb.UpdateExperimentRequest()
    rename.experiment.name = second
    rename.experiment.display_name = "digits of old"
    rename.update_mask.paths.append("display_name")
    await tracking.call("UpdateExperiment", rename)
    third = await experiment_of_a_new_run()
    assert len({first, second, third}) == 3
    restore = pb.RestoreExperimentRequest(name=first)
    assert (await refused(tracking.call("RestoreExperiment", restore))).reason == "EXPERIMENT_EXISTS"


async def test_many_ranks_open_and_tag_one_run_at_the_same_moment(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    ranks = range(48)
    writers = [writer for writer, _ in await asyncio.gather(*(tracking.open(run, rank=rank) for rank in ranks))]
    for rank, writer in enumerate(writers):
        inner = content([(0, [float(rank)])], ["loss"])
        inner.tags.append(run_pb2.Tag(key=f"host {rank}", value="up"))
        await writer.send(1, inner)
    await asyncio.gather(*(writer.close() for writer in writers))
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=run))).run
    assert list(got.ranks) == list(ranks)
    assert len(got.tags) == len(ranks)
    assert got.latest_metrics[0].points == len(ranks)


async def test_updates_without_an_etag_do_not_disturb_each_other(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    create = pb.CreateExperimentRequest(parent=PROJECT)
    create.experiment.display_name = "e"
    experiment = (await tracking.call("CreateExperiment", create)).experiment

    async def tag(number: int) -> None:
        await tracking.call("LogBatch", pb.LogBatchRequest(run=run, tags=[run_pb2.Tag(key=str(number), value="")]))

    async def describe(number: int) -> None:
        update = pb.UpdateExperimentRequest()
        update.experiment.name = experiment.name  # the display name is not in the mask, so need not be sent
        update.experiment.description = str(number)
        update.update_mask.paths.append("description")
        await tracking.call("UpdateExperiment", update)

    await asyncio.gather(*(action(number) for number in range(40) for action in (tag, describe)))
    assert len((await tracking.call("GetRun", pb.GetRunRequest(name=run))).run.tags) == 40


@dataclass
class Rooms:
    """The parts that leases are made of, over real stores, with a clock to move."""

    clock: ManualClock
    store: TrackingStore
    streams: WriterStreams
    service: TrackingService
    name: RunName

    async def open(self, *, lease: bool) -> WriterStream:
        return await self.streams.open(OpenWriterRequest.checked(str(self.name), random_id(), 1, 0, lease))

    async def run(self) -> Run:
        return (await self.store.run(self.name.project, self.name.run_id)).value


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
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
    name = RunName("default", random_id())
    blank = Run("default", name.run_id, b"k" * 16, "0", "swift-delta", "users/ada", 1, 1, 1)
    await store.add_run(blank)
    yield Rooms(clock, store, streams, service, name)
    await stores.close()


async def test_heartbeats_without_a_lease_do_not_stand_in_for_those_with_one(rooms: Rooms) -> None:
    with_lease, without = await rooms.open(lease=True), await rooms.open(lease=False)
    for _ in range(2 * HEARTBEAT_LEASE_S // 10):
        await rooms.streams.heartbeat(rooms.name, without)
        rooms.clock.advance(1)
        await rooms.streams.heartbeat(rooms.name, with_lease)
        rooms.clock.advance(9)
        assert await rooms.service.crash_silent_runs() == 0
    rooms.clock.advance(HEARTBEAT_LEASE_S)
    await rooms.streams.heartbeat(rooms.name, without)
    assert await rooms.service.crash_silent_runs() == 1


async def test_the_lease_ends_with_the_last_writer_that_has_one(rooms: Rooms) -> None:
    first, second = await rooms.open(lease=True), await rooms.open(lease=True)
    await rooms.streams.end_lease(rooms.name, first)
    await rooms.streams.close(first)
    assert (await rooms.run()).leased
    await rooms.streams.end_lease(rooms.name, second)
    await rooms.streams.close(second)
    assert not (await rooms.run()).leased
    rooms.clock.advance(10 * HEARTBEAT_LEASE_S)
    assert await rooms.service.crash_silent_runs() == 0
    assert (await rooms.run()).state is RunState.RUNNING


async def test_a_closed_writer_needs_no_more_heartbeats(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run, lease=True)
    await writer.call.write(metric_pb2.StreamMetricsRequest(heartbeat=metric_pb2.WriterHeartbeat()))
    assert (await writer.close()).closed
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=run))).run
    assert got.HasField("heartbeat_time")
    assert got.state == run_pb2.RUN_STATE_RUNNING


async def test_across_ranks_each_step_has_their_mean_minimum_and_maximum(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    for rank in range(3):
        writer, _ = await tracking.open(run, rank=rank)
        await writer.send(1, content([(step, [float(step * (rank + 1))]) for step in range(1, 5)], ["loss"]))
        await writer.close()
    request = pb.GetMetricSeriesRequest(
        parent="projects/default", runs=[run], keys=["loss", "none"], rank_mode=metric_pb2.RANK_MODE_ACROSS
    )
    [series] = (await tracking.call("GetMetricSeries", request)).series
    assert not series.HasField("rank")
    buckets = series.buckets
    assert (series.total_points, list(buckets.first_steps), list(buckets.counts)) == (12, [1, 2, 3, 4], [3] * 4)
    assert (list(buckets.mins), list(buckets.maxs)) == ([1, 2, 3, 4], [3, 6, 9, 12])
    assert list(buckets.means) == pytest.approx([2, 4, 6, 8])
    request.range.first = 2
    request.max_points = 2
    [series] = (await tracking.call("GetMetricSeries", request)).series
    assert (sum(series.buckets.counts), len(series.buckets.counts)) == (9, 2)
    reading = tracking.stream(
        "ReadMetricPoints", pb.ReadMetricPointsRequest(run=run, rank_mode=metric_pb2.RANK_MODE_ACROSS)
    )
    assert (await refused(reading.read())).reason == "FIELD_INVALID"
