"""StreamMetrics: order, repeats, gaps, digests, fencing, warnings, the chain, and what is kept when a stream ends badly."""

import asyncio
import hashlib
import math
import struct

import grpc
from support.tracking import Tracking, batch, content, refusal, refused

from penstock.api.tracking.v1 import metric_pb2, run_pb2, tracking_service_pb2_grpc
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.access import Role
from penstock_kit.ids import random_id


async def test_batches_are_acknowledged_and_read_back(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, start = await tracking.open(run.name)
    assert (start.acked_sequence, start.chain, start.durable_points) == (0, bytes(32), 0)
    first = content([(0, [1.0, 2.0]), (1, [3.0, 4.0])], ["loss", "accuracy"])
    second = content([(2, [5.0, 6.0])], ["loss", "accuracy"], defined=True)
    await writer.send(1, first)
    await writer.send(2, second)
    ack = await writer.acked(2)
    assert ack.durable_points == 6
    chain = bytes(32)
    for inner in (first, second):
        chain = hashlib.sha256(chain + hashlib.sha256(inner.SerializeToString()).digest()).digest()
    assert ack.chain == chain
    assert (await writer.close()).closed
    assert await tracking.points(run.name, "loss") == [(0, 1.0), (1, 3.0), (2, 5.0)]
    assert await tracking.points(run.name, "accuracy") == [(0, 2.0), (1, 4.0), (2, 6.0)]


async def test_a_new_stream_resumes_where_the_old_one_was_durable(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(1, content([(0, [1.0])], ["loss"]))
    ack = await writer.acked(1)
    writer.call.cancel()
    again, start = await tracking.open(run.name, writer_id=writer.writer_id, epoch=2)
    assert (start.acked_sequence, start.chain, start.durable_points) == (1, ack.chain, 1)
    await again.send(2, content([(1, [2.0])], ["loss"], defined=True))
    await again.acked(2)
    assert await tracking.points(run.name, "loss") == [(0, 1.0), (1, 2.0)]


async def test_a_repeat_is_acknowledged_and_kept_once(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    first = content([(0, [1.0])], ["loss"])
    for _ in range(3):
        await writer.send(1, first)
    await writer.acked(1)
    await writer.send(2, content([(1, [2.0])], ["loss"], defined=True))
    await writer.acked(2)
    await writer.send(1, first)
    assert (await writer.ack()).acked_sequence == 2
    await writer.close()
    assert await tracking.points(run.name, "loss") == [(0, 1.0), (1, 2.0)]


async def test_two_equal_points_that_were_logged_twice_are_both_kept(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(1, content([(0, [1.0]), (0, [1.0])], ["loss"]))
    await writer.close()
    assert await tracking.points(run.name, "loss") == [(0, 1.0), (0, 1.0)]


async def test_the_same_sequence_with_another_digest_is_refused(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(1, content([(0, [1.0])], ["loss"]))
    await writer.acked(1)
    await writer.send(1, content([(0, [9.0])], ["loss"]))
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DIGEST_CONFLICT")
    assert await tracking.points(run.name, "loss") == [(0, 1.0)]


async def test_a_gap_is_refused_and_says_what_is_expected(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(1, content([(0, [1.0])], ["loss"]))
    await writer.send(3, content([(2, [3.0])], ["loss"], defined=True))
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_GAP")
    assert error.metadata["expected"] == "2"
    assert await tracking.points(run.name, "loss") == [(0, 1.0)]


async def test_sequence_zero_is_no_sequence(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(0, content([(0, [1.0])], ["loss"]))
    assert (await writer.refused()).reason == "SEQUENCE_GAP"


async def test_damaged_content_is_refused(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    message = batch(1, content([(0, [1.0])], ["loss"]))
    message.batch.content.blocks[0].values[0] = 2.0
    await writer.call.write(message)
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    assert await tracking.points(run.name, "loss") == []


async def test_a_broken_batch_ends_the_stream_and_all_before_it_is_kept(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(1, content([(0, [1.0])], ["loss"]))
    broken = content([(1, [2.0])], ["loss"], defined=True)
    del broken.blocks[0].values[:]
    await writer.send(2, broken)
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_INVALID")
    again, start = await tracking.open(run.name, writer_id=writer.writer_id, epoch=2)
    assert start.acked_sequence == 1
    await again.send(2, content([(1, [2.0])], ["loss"], defined=True))
    await again.acked(2)


async def test_a_newer_sender_fences_the_older_one(tracking: Tracking) -> None:
    run = await tracking.new_run()
    old, _ = await tracking.open(run.name, epoch=1)
    await old.send(1, content([(0, [1.0])], ["loss"]))
    await old.acked(1)
    new, start = await tracking.open(run.name, writer_id=old.writer_id, epoch=2)
    assert start.acked_sequence == 1
    error = await old.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "WRITER_FENCED")
    await new.send(2, content([(1, [2.0])], ["loss"], defined=True))
    await new.acked(2)
    late = await _refused_open(tracking, run.name, old.writer_id, epoch=1)
    assert late == "WRITER_FENCED"


async def _refused_open(tracking: Tracking, run: str, writer_id: str, epoch: int) -> str:
    try:
        await tracking.open(run, writer_id=writer_id, epoch=epoch)
    except grpc.aio.AioRpcError as error:
        return refusal(error).reason
    raise AssertionError("it opened")


async def test_writers_do_not_disturb_each_other(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writers = [(await tracking.open(run.name, rank=rank))[0] for rank in range(4)]
    for sequence in range(1, 11):
        for rank, writer in enumerate(writers):
            inner = content([(sequence, [float(rank)])], ["loss"], defined=sequence > 1)
            await writer.send(sequence, inner)
    await asyncio.gather(*(writer.close() for writer in writers))
    points = await tracking.points(run.name, "loss")
    assert sorted(points) == sorted((s, float(r)) for s in range(1, 11) for r in range(4))
    got = await tracking.call("GetRun", pb.GetRunRequest(name=run.name))
    assert list(got.run.ranks) == [0, 1, 2, 3]


async def test_values_are_bit_exact(tracking: Tracking) -> None:
    payload = struct.unpack("<d", bytes.fromhex("0100000000f0f87f"))[0]  # a NaN with a payload
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324, payload]
    steps = [2**63 - 1, -(2**63), 0, -1, 7, 7]
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await writer.send(1, content([(s, [v]) for s, v in zip(steps, values, strict=True)], ["loss"]))
    await writer.close()
    read = await tracking.points(run.name, "loss")
    wanted = sorted(zip(steps, values, strict=True), key=lambda point: point[0])
    assert [(s, struct.pack("<d", v)) for s, v in read] == [(s, struct.pack("<d", v)) for s, v in wanted]


async def test_params_and_tags_travel_with_a_batch_and_conflicts_are_told(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    inner = content([(0, [1.0])], ["loss"])
    inner.params.append(run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1)))
    inner.tags.append(run_pb2.Tag(key="team", value="vision"))
    inner.summary.append(run_pb2.SummaryEntry(key="best", value=run_pb2.Value(double_value=0.9)))
    inner.metric_definitions.append(run_pb2.MetricDefinition(key="loss", goal=run_pb2.METRIC_GOAL_MINIMIZE))
    await writer.send(1, inner)
    assert not (await writer.acked(1)).warnings
    other = metric_pb2.MetricBatchContent(
        params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.2))], removed_tags=["team"]
    )
    await writer.send(2, other)
    [warning] = (await writer.acked(2)).warnings
    assert (warning.sequence, warning.reason) == (2, "PARAM_CONFLICT")
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=run.name))).run
    assert got.params[0].value.double_value == 0.1
    assert not got.tags
    assert got.summary[0].value.double_value == 0.9
    assert got.metric_definitions[0].goal == run_pb2.METRIC_GOAL_MINIMIZE


async def test_a_batch_with_a_forbidden_tag_is_refused_whole(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    inner = content([(0, [1.0])], ["loss"])
    inner.tags.append(run_pb2.Tag(key="a\nb", value=""))
    await writer.send(1, inner)
    assert (await writer.refused()).reason == "BATCH_INVALID"
    assert await tracking.points(run.name, "loss") == []


async def test_deleting_a_run_ends_its_streams(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name)
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run.name))
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_DELETED")
    assert await _refused_open(tracking, run.name, writer.writer_id, epoch=9) == "RUN_DELETED"


async def test_a_stream_opens_first(tracking: Tracking) -> None:
    stub = tracking_service_pb2_grpc.TrackingServiceStub(tracking.channel)
    call = stub.StreamMetrics(metadata=tracking.metadata(), timeout=20)
    await call.write(batch(1, content([(0, [1.0])], ["loss"])))
    assert (await refused(call.read())).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_missing_run_a_malformed_writer_and_a_second_open(tracking: Tracking) -> None:
    run = await tracking.new_run()
    assert await _refused_open(tracking, f"projects/default/runs/{'0' * 32}", random_id(), 1) == "RUN_NOT_FOUND"
    assert await _refused_open(tracking, run.name, "not hex", 1) == "FIELD_INVALID"
    assert await _refused_open(tracking, "projects/default/runs/xyz", random_id(), 1) == "NAME_INVALID"
    writer, _ = await tracking.open(run.name)
    await writer.call.write(metric_pb2.StreamMetricsRequest(open=metric_pb2.OpenWriter(run=run.name)))
    assert (await writer.refused()).reason == "FIELD_INVALID"


async def test_another_projects_token_is_refused(tracking: Tracking) -> None:
    run = await tracking.new_run()
    tracking.guard.grant("other", "users/eve", Role.ADMIN)
    stub = tracking_service_pb2_grpc.TrackingServiceStub(tracking.channel)
    token = tracking.guard.issue("users/eve")
    call = stub.StreamMetrics(metadata=tracking.metadata(token), timeout=20)
    await call.write(
        metric_pb2.StreamMetricsRequest(open=metric_pb2.OpenWriter(run=run.name, writer_id=random_id(), epoch=1))
    )
    assert (await refused(call.read())).code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_heartbeat_gives_the_run_a_lease(tracking: Tracking) -> None:
    run = await tracking.new_run()
    writer, _ = await tracking.open(run.name, lease=True)
    await writer.call.write(metric_pb2.StreamMetricsRequest(heartbeat=metric_pb2.WriterHeartbeat()))
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=run.name))).run
    assert got.HasField("heartbeat_time")
    quiet = await tracking.new_run()
    await tracking.open(quiet.name)
    got = (await tracking.call("GetRun", pb.GetRunRequest(name=quiet.name))).run
    assert not got.HasField("heartbeat_time")
