"""WatchRun: every point once, from any cursor on, to the end of the run."""

import asyncio

import grpc
import pytest
from support.tracking import Tracking, content, refused

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb

Point = tuple[str, int, float]


def points_of(event: metric_pb2.RunEvent) -> list[Point]:
    series = event.points
    return [(series.key, step, value) for step, value in zip(series.points.steps, series.points.values, strict=True)]


async def finish(tracking: Tracking, run: str) -> None:
    await tracking.call("FinishRun", pb.FinishRunRequest(name=run, state=run_pb2.RUN_STATE_FINISHED))


async def a_run_with(tracking: Tracking, batches: int, keys: list[str]) -> tuple[str, set[Point]]:
    run = (await tracking.new_run()).name
    for rank in (0, 1):
        writer, _ = await tracking.open(run, rank=rank)
        for index in range(batches):
            rows = [(10 * index + rank, [float(k) for k in range(len(keys))])]
            await writer.send(index + 1, content(rows, keys, defined=index > 0))
        await writer.close()
    wanted = {(key, 10 * i + r, float(k)) for k, key in enumerate(keys) for i in range(batches) for r in (0, 1)}
    return run, wanted


async def test_the_record_comes_first_then_every_point_then_the_end(tracking: Tracking) -> None:
    run, wanted = await a_run_with(tracking, 5, ["a", "b"])
    await finish(tracking, run)
    events = [r.event async for r in tracking.stream("WatchRun", pb.WatchRunRequest(run=run))]
    assert events[0].WhichOneof("event") == "run"
    seen = [point for event in events for point in points_of(event)]
    assert len(seen) == len(wanted)
    assert set(seen) == wanted


async def test_a_reader_that_comes_back_after_any_event_misses_none_and_sees_none_twice(tracking: Tracking) -> None:
    run, wanted = await a_run_with(tracking, 3, ["a", "b", "c"])
    await finish(tracking, run)
    seen: list[Point] = []
    cursor = ""
    for _ in range(100):
        call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run, cursor=cursor))
        fresh = False
        async for response in call:
            got = points_of(response.event)
            if got:
                seen += got
                cursor = response.event.cursor
                fresh = True
                call.cancel()
                break
        if not fresh:
            break
    assert len(seen) == len(wanted)
    assert set(seen) == wanted


async def test_new_points_arrive_while_watching(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run, keys=["loss"]))
    assert (await call.read()).event.WhichOneof("event") == "run"
    seen: list[Point] = []
    for step in range(3):
        await writer.send(step + 1, content([(step, [float(step), 0.0])], ["loss", "unwatched"], defined=step > 0))
        while len(seen) <= step:
            seen += points_of((await asyncio.wait_for(call.read(), 15)).event)
    assert seen == [("loss", step, float(step)) for step in range(3)]
    await writer.close()
    await finish(tracking, run)
    last = []
    while (response := await call.read()) is not grpc.aio.EOF:
        last.append(response.event)
    assert last[-1].run.state == run_pb2.RUN_STATE_FINISHED


async def test_from_now_skips_what_is_there(tracking: Tracking) -> None:
    run, _ = await a_run_with(tracking, 2, ["a"])
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run, from_now=True))
    assert (await call.read()).event.WhichOneof("event") == "run"
    writer, _ = await tracking.open(run)
    await writer.send(1, content([(99, [1.0])], ["a"]))
    assert points_of((await asyncio.wait_for(call.read(), 15)).event) == [("a", 99, 1.0)]
    call.cancel()


@pytest.mark.parametrize("cursor", ["rubbish", "AAAA"])
async def test_a_damaged_cursor_is_refused(tracking: Tracking, cursor: str) -> None:
    run = (await tracking.new_run()).name
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run, cursor=cursor))
    assert (await refused(call.read())).reason == "CURSOR_INVALID"


async def test_a_cursor_of_another_run_is_refused(tracking: Tracking) -> None:
    run, other = (await tracking.new_run()).name, (await tracking.new_run()).name
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=run))
    cursor = (await call.read()).event.cursor
    call.cancel()
    call = tracking.stream("WatchRun", pb.WatchRunRequest(run=other, cursor=cursor))
    assert (await refused(call.read())).reason == "CURSOR_INVALID"
