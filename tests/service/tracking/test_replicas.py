"""Two tracking services over the same stores: whoever is asked, the answer is the same, and no writer is in two hands."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from support.tracking import Tracking, Writer, content, refused, serving_replicas, settings_in

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.clock import ManualClock
from penstock_kit.ids import random_id
from penstock_kit.names import RunName
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_tracking.app import open_stores
from penstock_tracking.domain import HEARTBEAT_LEASE_S, Run, RunState
from penstock_tracking.errors import WriterFenced, WriterReopened
from penstock_tracking.ingest.calls import CallWriters
from penstock_tracking.ingest.claims import CLAIM_AGE_S_MAX, Claim, WriterClaims
from penstock_tracking.ingest.codec import digest_of
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.streams import OpenWriterRequest, WriterStreams
from penstock_tracking.ingest.writer import WriterStream
from penstock_tracking.logged_models.service import LoggedModelService
from penstock_tracking.logged_models.store import LoggedModelStore
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series import watch
from penstock_tracking.service import TrackingService
from penstock_tracking.store import COLLECTIONS, TrackingStore

Replicas = tuple[Tracking, Tracking]


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    async with serving_replicas(tmp_path, fence_check_interval_s=0.05) as both:
        yield both


def row(step: int, *, defined: bool = True, **tags: str) -> metric_pb2.MetricBatchContent:
    made = content([(step, [float(step)])], ["loss"], defined=defined)
    made.tags.extend(run_pb2.Tag(key=key, value=value) for key, value in tags.items())
    return made


async def test_a_stream_goes_on_at_the_other_replica(replicas: Replicas) -> None:
    a, b = replicas
    run = (await a.new_run()).name
    writer, _ = await a.open(run)
    for sequence in (1, 2):
        await writer.send(sequence, row(sequence, defined=sequence > 1))
    await writer.acked(2)
    writer.call.cancel()
    again, start = await b.open(run, writer_id=writer.writer_id)
    assert (start.acked_sequence, start.durable_points) == (2, 2)
    # Sent again, as one does whose acknowledgement was lost.
    await again.send(2, row(2))
    await again.send(3, row(3))
    assert (await again.acked(3)).durable_points == 3
    await again.close()
    for each in replicas:
        assert await each.points(run, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


async def test_each_replica_finds_what_the_other_acknowledged(replicas: Replicas) -> None:
    a, b = replicas
    run = (await a.new_run()).name
    writer, _ = await a.open(run)
    for sequence in range(1, 6):
        await writer.send(sequence, row(sequence, defined=sequence > 1, seen=str(sequence)))
        await writer.acked(sequence)
        for each in (b, a):
            found = await each.call(
                "SearchRuns",
                pb.SearchRunsRequest(
                    parent="projects/default", filter=f'metrics.loss = {sequence} AND tags.seen = "{sequence}"'
                ),
            )
            assert [found.name for found in found.runs] == [run]
            latest = await each.call("GetLatestMetrics", pb.GetLatestMetricsRequest(run=run, keys=["loss"]))
            assert [metric.step for metric in latest.metrics] == [sequence]


async def test_a_newer_sender_at_the_other_replica_fences_the_older_one(replicas: Replicas) -> None:
    a, b = replicas
    run = (await a.new_run()).name
    old, _ = await a.open(run, epoch=1)
    await old.send(1, row(1, defined=False))
    await old.acked(1)
    new, start = await b.open(run, writer_id=old.writer_id, epoch=2)
    assert start.acked_sequence == 1
    refusal = await old.refused()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "WRITER_FENCED")
    assert (await refused(a.open(run, writer_id=old.writer_id, epoch=1))).reason == "WRITER_FENCED"
    await new.send(2, row(2))
    await new.acked(2)
    assert await a.points(run, "loss") == [(1, 1.0), (2, 2.0)]


async def test_a_sender_that_opens_anew_elsewhere_is_not_told_to_stop(replicas: Replicas) -> None:
    a, b = replicas
    run = (await a.new_run()).name
    stale, _ = await a.open(run, epoch=1)
    await b.open(run, writer_id=stale.writer_id, epoch=1)
    refusal = await stale.refused()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "WRITER_REOPENED")


@pytest.mark.parametrize("epochs", [(1, 2), (1, 1)])
async def test_two_senders_of_one_spool_lose_and_double_nothing(tmp_path: Path, epochs: tuple[int, int]) -> None:
    # Without the check in the background: both go on as long as they can.
    async with serving_replicas(tmp_path, fence_check_interval_s=3_600.0) as (a, b):
        run = (await a.new_run()).name
        first, _ = await a.open(run, epoch=epochs[0])
        second, _ = await b.open(run, writer_id=first.writer_id, epoch=epochs[1])

        async def send_all(writer: Writer) -> int:
            for sequence in range(1, 101):
                await writer.send(sequence, row(sequence, defined=sequence > 1))
            ack = await writer.acked(100)
            return ack.durable_points

        assert await asyncio.gather(send_all(first), send_all(second)) == [100, 100]
        expected = [(step, float(step)) for step in range(1, 101)]
        assert await a.points(run, "loss") == await b.points(run, "loss") == expected
        chains = {(await writer.close()).chain for writer in (first, second)}
        assert len(chains) == 1


@pytest.mark.parametrize(("epoch", "reason"), [(2, "WRITER_FENCED"), (1, "WRITER_REOPENED")])
async def test_a_stream_that_was_followed_cannot_undo_what_the_other_applied(
    tmp_path: Path, epoch: int, reason: str
) -> None:
    async with serving_replicas(tmp_path, fence_check_interval_s=3_600.0) as (a, b):
        run = (await a.new_run()).name
        stale, _ = await a.open(run, epoch=1)
        new, _ = await b.open(run, writer_id=stale.writer_id, epoch=epoch)
        await new.send(1, row(1, defined=False, phase="warm-up"))
        await new.send(2, row(2, phase="training"))
        await new.acked(2)
        await stale.send(1, row(1, defined=False, phase="warm-up"))
        assert (await stale.refused()).reason == reason
        got = (await a.call("GetRun", pb.GetRunRequest(name=run))).run
        assert [(tag.key, tag.value) for tag in got.tags] == [("phase", "training")]


async def test_a_watcher_is_woken_by_the_other_replica(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_INTERVAL_S", 3_600.0)  # so that only the bell is left
    a, b = replicas
    run = (await a.new_run()).name
    events = b.stream("WatchRun", pb.WatchRunRequest(run=run))
    assert (await events.read()).event.run.name == run
    writer, _ = await a.open(run)
    for sequence in (1, 2, 3):
        await writer.send(sequence, row(sequence, defined=sequence > 1))
        points = (await events.read()).event.points
        while not points.key:
            points = (await events.read()).event.points
        assert list(points.points.steps) == [sequence]
    events.cancel()


@dataclass
class Rooms:
    """What two replicas have inside, over the same stores."""

    clock: ManualClock
    store: TrackingStore
    claims: WriterClaims
    streams: list[WriterStreams]
    services: list[TrackingService]
    name: RunName

    async def open(self, replica: int, rank: int) -> WriterStream:
        request = OpenWriterRequest.checked(str(self.name), random_id(), 1, rank, lease=True)
        return await self.streams[replica].open(request)

    async def run(self) -> Run:
        return (await self.store.run(self.name.project, self.name.run_id)).value


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    clock = ManualClock()
    stores = await open_stores(settings_in(tmp_path), clock)
    log, hot = stores.metric_log, stores.hot
    store = TrackingStore(stores.documents)
    runs = SegmentedLog(log, stores.documents, stores.blobs)
    claims = WriterClaims(stores.documents, clock)
    committer = GroupCommitter(log, hot)
    streams = [WriterStreams(TrackingStore(stores.documents), claims, runs, committer, clock) for _ in range(2)]
    calls = CallWriters(log, committer)
    models = LoggedModelService(LoggedModelStore(stores.documents), store, clock)
    services = [TrackingService(store, hot, each, calls, models, clock) for each in streams]
    name = RunName("default", random_id())
    await store.add_run(Run("default", name.run_id, b"k" * 16, "0", "swift-delta", "users/ada", 1, 1, 1))
    yield Rooms(clock, store, claims, streams, services, name)
    await stores.close()


async def test_a_stream_that_is_followed_while_it_applies_something_is_late(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = await rooms.open(0, rank=0)
    claims = rooms.claims
    look = claims.require

    async def look_and_be_followed(claim: Claim) -> None:
        await look(claim)
        monkeypatch.setattr(claims, "require", look)
        request = OpenWriterRequest.checked(str(rooms.name), stale.writer_key.hex(), 1, 0, lease=True)
        await rooms.streams[1].open(request)

    monkeypatch.setattr(claims, "require", look_and_be_followed)
    applied = row(1, defined=False, phase="warm-up").SerializeToString()
    with pytest.raises(WriterReopened):
        async with asyncio.timeout(20):
            await rooms.streams[0].take_batch(rooms.name, stale, 1, digest_of(applied), applied)
    assert (await rooms.run()).tags == {}


async def test_the_lease_ends_with_the_last_writer_of_all_replicas(rooms: Rooms) -> None:
    here, there = await rooms.open(0, rank=0), await rooms.open(1, rank=1)
    await rooms.streams[1].end_lease(rooms.name, there)
    await rooms.streams[1].close(there)
    assert (await rooms.run()).leased
    await rooms.streams[0].end_lease(rooms.name, here)
    await rooms.streams[0].close(here)
    assert not (await rooms.run()).leased


async def test_two_that_look_for_silent_runs_do_no_harm(rooms: Rooms) -> None:
    stream = await rooms.open(0, rank=0)
    rooms.clock.advance(HEARTBEAT_LEASE_S + 1)
    await asyncio.gather(*(service.crash_silent_runs() for service in rooms.services * 2))
    crashed = await rooms.run()
    assert crashed.state is RunState.CRASHED
    # It was not silent after all, and is heard at the other replica.
    await rooms.streams[1].heartbeat(rooms.name, stream)
    assert (await rooms.run()).state is RunState.RUNNING
    await asyncio.gather(*(service.crash_silent_runs() for service in rooms.services * 2))
    assert (await rooms.run()).state is RunState.RUNNING


async def test_a_claim_of_a_replica_that_died_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    clock = ManualClock()
    documents = await SqliteDocumentStore.open(tmp_path / "documents.sqlite", COLLECTIONS)
    claims = WriterClaims(documents, clock)
    writer = bytes.fromhex(random_id())
    left = await claims.take("default", "r", writer, epoch=7, lease=False)
    clock.advance(CLAIM_AGE_S_MAX)
    with pytest.raises(WriterFenced):
        await claims.take("default", "r", writer, epoch=1, lease=False)
    clock.advance(1)
    taken = await claims.take("default", "r", writer, epoch=1, lease=False)
    assert taken.followed
    # It is not the dead one's to give up any more.
    await claims.release(left)
    await claims.require(taken)
    await claims.release(taken)
    await documents.close()
