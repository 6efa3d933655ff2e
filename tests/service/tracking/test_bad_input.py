"""What a caller may get wrong: each is refused with its reason, and nothing stored is lost."""

import base64
from typing import Any

import grpc
import msgpack
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.tracking import Tracking, batch, content, refused

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_tracking.ingest import writer as writer_module
from penstock_tracking.ingest.streams import WARNINGS_PER_BATCH_MAX

PROJECT = "projects/default"


def raw_stream(tracking: Tracking, token: str | None = None) -> Any:
    """A metric stream that carries bytes as they are."""
    call = tracking.channel.stream_stream("/penstock.api.tracking.v1.TrackingService/StreamMetrics")
    return call(metadata=tracking.metadata(token), timeout=20)


def opening(run: str) -> bytes:
    return metric_pb2.StreamMetricsRequest(
        open=metric_pb2.OpenWriter(run=run, writer_id="0" * 32, epoch=1)
    ).SerializeToString()


async def test_half_a_batch_is_refused_and_what_came_before_is_kept(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    call = raw_stream(tracking)
    await call.write(opening(run))
    await call.read()
    await call.write(batch(1, content([(0, [1.0])], ["loss"])).SerializeToString())
    await call.read()
    second = batch(2, content([(1, [2.0]), (2, [3.0])], ["loss"], defined=True)).SerializeToString()
    await call.write(second[: len(second) // 2])
    error = await refused(call.read())
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")
    assert await tracking.points(run, "loss") == [(0, 1.0)]


async def test_content_cut_in_half_under_its_own_digest_is_refused(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    whole = content([(0, [1.0]), (1, [2.0])], ["loss"])
    half = metric_pb2.MetricBatchContent.FromString(whole.SerializeToString())
    del half.blocks[0].values[1:]
    await writer.send(1, half)
    error = await writer.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_INVALID")
    assert "values instead of" in error.message


async def test_fields_this_server_does_not_know_are_kept_and_covered_by_the_digest(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    unknown = b"\xa2\x1f\x03abc"  # field 500, three bytes
    inner = metric_pb2.MetricBatchContent.FromString(content([(0, [1.0])], ["loss"]).SerializeToString() + unknown)
    await writer.send(1, inner)
    await writer.acked(1)
    assert await tracking.points(run, "loss") == [(0, 1.0)]


async def test_the_greatest_sequence_is_a_gap(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run, epoch=2**64 - 1)
    await writer.send(2**64 - 1, content([(0, [1.0])], ["loss"]))
    error = await writer.refused()
    assert (error.reason, error.metadata["expected"]) == ("SEQUENCE_GAP", "1")


async def test_a_batch_beyond_its_bytes_is_refused(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    await writer.send(1, content([(step, [0.0] * 10) for step in range(41_700)], [f"k{i}" for i in range(10)]))
    error = await writer.refused()
    assert (error.reason, error.metadata["limit"]) == ("BATCH_INVALID", "CONTENT_BYTES_MAX")


async def test_a_stream_needs_a_token_and_a_negative_rank_is_none(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    call = tracking.channel.stream_stream("/penstock.api.tracking.v1.TrackingService/StreamMetrics")(timeout=20)
    assert (await refused(call.read())).code is grpc.StatusCode.UNAUTHENTICATED
    opened = metric_pb2.StreamMetricsRequest.FromString(opening(run))
    opened.open.rank = -1
    call = raw_stream(tracking)
    await call.write(opened.SerializeToString())
    assert (await refused(call.read())).reason == "FIELD_INVALID"


async def test_a_token_of_another_project_reaches_nothing(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    token = tracking.guard.issue("users/ada", projects=["other"])
    for method, request in (
        ("GetRun", pb.GetRunRequest(name=run)),
        ("LogBatch", pb.LogBatchRequest(run=run, metrics=[pb.MetricPoint(key="loss")])),
        ("GetMetricSeries", pb.GetMetricSeriesRequest(parent=PROJECT, runs=[run], keys=["loss"])),
        ("SearchRuns", pb.SearchRunsRequest(parent=PROJECT)),
        ("GroupRuns", pb.GroupRunsRequest(parent=PROJECT)),
    ):
        error = await refused(tracking.call(method, request, token=token))
        assert error.code is grpc.StatusCode.PERMISSION_DENIED
    call = raw_stream(tracking, token)
    await call.write(opening(run))
    assert (await refused(call.read())).code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("time", [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(nanos=-1)])
async def test_times_outside_the_calendar_are_refused(tracking: Tracking, time: Timestamp) -> None:
    error = await refused(tracking.new_run(start_time=time))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    run = (await tracking.new_run()).name
    finish = pb.FinishRunRequest(name=run, state=run_pb2.RUN_STATE_FINISHED, end_time=time)
    assert (await refused(tracking.call("FinishRun", finish))).reason == "FIELD_INVALID"


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "[" * 20_000])
async def test_a_json_value_is_json(tracking: Tracking, text: str) -> None:
    error = await refused(
        tracking.new_run(params=[run_pb2.Param(key="k", value=run_pb2.Value(json_value=text))]),
    )
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


async def test_page_tokens_that_were_made_up_are_refused(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    await tracking.call(
        "LogBatch", pb.LogBatchRequest(run=run, metrics=[pb.MetricPoint(key=key) for key in ("a", "b", "c")])
    )
    keys = pb.ListMetricKeysRequest(parent=PROJECT, runs=[run], page_size=1)
    keys.page_token = (await tracking.call("ListMetricKeys", keys)).next_page_token
    assert list((await tracking.call("ListMetricKeys", keys)).keys) == ["b"]
    other = pb.ListMetricKeysRequest(parent=PROJECT, runs=[run], prefix="a", page_token=keys.page_token)
    assert (await refused(tracking.call("ListMetricKeys", other))).reason == "PAGE_TOKEN_INVALID"
    keys.page_token = with_state(keys.page_token, 7)
    assert (await refused(tracking.call("ListMetricKeys", keys))).reason == "PAGE_TOKEN_INVALID"
    for number in range(2):
        create = pb.CreateExperimentRequest(parent=PROJECT)
        create.experiment.display_name = str(number)
        await tracking.call("CreateExperiment", create)
    experiments = pb.ListExperimentsRequest(parent=PROJECT, page_size=1)
    token = (await tracking.call("ListExperiments", experiments)).next_page_token
    experiments.page_token = with_state(token, [1])
    assert (await refused(tracking.call("ListExperiments", experiments))).reason == "PAGE_TOKEN_INVALID"


def with_state(token: str, state: object) -> str:
    """A page token of the same request with another state."""
    version, sealed_for, _ = msgpack.unpackb(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    packed = msgpack.packb([version, sealed_for, state])
    assert isinstance(packed, bytes)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


LONG = [run_pb2.Param(key=f"p{i}", value=run_pb2.Value(json_value=f'"{"x" * 31_000}"')) for i in range(300)]


async def test_a_record_that_would_be_too_large_is_refused_and_its_points_are_kept(tracking: Tracking) -> None:
    assert (await refused(tracking.new_run(params=LONG))).reason == "RUN_TOO_LARGE"
    run = (await tracking.new_run()).name
    error = await refused(tracking.call("LogBatch", pb.LogBatchRequest(run=run, params=LONG)))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RUN_TOO_LARGE")
    writer, _ = await tracking.open(run)
    for sequence in range(1, 4):  # three times 3.1 MB
        inner = content([(sequence, [1.0])], ["loss"], defined=sequence > 1)
        inner.params.extend(LONG[100 * (sequence - 1) : 100 * sequence])
        await writer.send(sequence, inner)
    warnings = []
    while True:
        ack = await writer.ack()
        warnings += ack.warnings
        if ack.acked_sequence == 3:
            break
    assert [(warning.sequence, warning.reason) for warning in warnings] == [(3, "RUN_TOO_LARGE")]
    assert len(await tracking.points(run, "loss")) == 3


async def test_warnings_of_a_batch_are_cut_and_counted(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    keys = range(WARNINGS_PER_BATCH_MAX + 50)
    for sequence in (1, 2):
        params = [run_pb2.Param(key=f"p{key}", value=run_pb2.Value(int_value=sequence)) for key in keys]
        await writer.send(sequence, metric_pb2.MetricBatchContent(params=params))
    warnings = (await writer.acked(2)).warnings
    assert len(warnings) == WARNINGS_PER_BATCH_MAX + 1
    assert {warning.reason for warning in warnings[:-1]} == {"PARAM_CONFLICT"}
    assert warnings[-1].reason == "MORE_WARNINGS"
    assert warnings[-1].message.startswith("50 more")


async def test_many_warnings_come_in_several_acks(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WARNINGS_PER_ACK_MAX", 10)
    run = (await tracking.new_run()).name
    writer, _ = await tracking.open(run)
    for sequence in (1, 2):
        params = [run_pb2.Param(key=f"p{key}", value=run_pb2.Value(int_value=sequence)) for key in range(25)]
        await writer.send(sequence, metric_pb2.MetricBatchContent(params=params))
    told: list[int] = []
    while sum(told) < 25:
        told.append(len((await writer.acked(2)).warnings))
    assert told == [10, 10, 5]
