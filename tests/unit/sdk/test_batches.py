"""Batches: the bytes that go over the wire are what the generated messages say, and the same every time."""

import math
import struct
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.spools import batches_of, decoded, new_spool, points_of

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.errors import SpoolCorrupt
from penstock.sender import wire
from penstock.sender.batches import BATCH_BYTES_TARGET, encode_batch
from penstock.sender.source import SpoolSource
from penstock.spool.reader import START, SpoolReader
from penstock.spool.records import RecordType
from penstock.spool.segments import segment_path
from penstock.spool.values import typed_value

KEYS = st.sampled_from(["a", "b", "train/loss", "ключ", "k" * 250])
ROWS = st.lists(
    st.tuples(
        st.dictionaries(KEYS, st.floats(width=64), min_size=1, max_size=5), st.integers(-(2**63), 2**63 - 1) | st.none()
    ),
    max_size=40,
)


@given(st.integers(-(2**63), 2**64 - 1))
def test_varints(number: int) -> None:
    message = run_pb2.Value(int_value=number) if number < 2**63 else None
    if message is not None:
        assert wire.typed_value("int", number) == message.SerializeToString()
    assert len(wire.varint(number)) <= 10


@pytest.mark.parametrize(
    "value",
    ["", "text", 0, -1, 2**63 - 1, 0.0, -0.0, math.inf, True, False, [1, 2.5, "x", None], None, 2**70, {"a": 1}],
)
def test_values_are_encoded_as_protobuf_does(value: Any) -> None:
    kind, plain = typed_value(value, "value")
    message = run_pb2.Param(key="k", value=run_pb2.Value(**{f"{kind}_value": plain}))
    assert wire.param("k", kind, plain) == message.SerializeToString()
    assert run_pb2.Param.FromString(wire.param("k", kind, plain)).value.WhichOneof("kind") == f"{kind}_value"


def test_other_messages_are_encoded_as_protobuf_does() -> None:
    assert wire.metric_key(0, b"loss") == metric_pb2.MetricKey(id=0, key="loss").SerializeToString()
    assert wire.metric_key(300, b"loss") == metric_pb2.MetricKey(id=300, key="loss").SerializeToString()
    assert wire.tag("k", "") == run_pb2.Tag(key="k").SerializeToString()
    definition = run_pb2.MetricDefinition(key="a*", x_key="x", goal=1, summary=3)  # type: ignore[bad-argument-type]  # enum numbers
    assert wire.metric_definition("a*", "x", 1, 3) == definition.SerializeToString()
    batch = metric_pb2.MetricBatch(sequence=7, digest=bytes(32), content=metric_pb2.MetricBatchContent())
    assert wire.stream_batch(7, bytes(32), b"") == metric_pb2.StreamMetricsRequest(batch=batch).SerializeToString()


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 600))
def test_every_point_arrives_once_bit_exact_whatever_the_batches(rows: list[Any], bytes_max: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = new_spool(Path(folder), segment_bytes=700)
        logged: list[tuple[str, int, bytes]] = []
        for row, step in rows:
            written_step = step
            if written_step is None:
                if writer.next_step > 2**63 - 1:
                    continue
                written_step = writer.next_step
            writer.write_row(row, step)
            logged.extend((key, written_step, struct.pack("<d", value)) for key, value in row.items())
        writer.finish("FINISHED", "", closes_run=True)
        batches = batches_of(writer.folder, bytes_max=bytes_max)
        found = [(key, step, struct.pack("<d", value)) for key, step, _, value in points_of(decoded(batches))]
        assert sorted(found) == sorted(logged)
        assert sum(batch.points for batch in batches) == writer.points == len(logged)
        # The encoding is what protobuf itself makes of the same content.
        for batch, content in zip(batches, decoded(batches), strict=True):
            assert content.SerializeToString(deterministic=True) == batch.content
        assert batches_of(writer.folder, bytes_max=bytes_max) == batches


def test_rows_of_one_key_set_make_one_block(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    for step in range(50):
        writer.write_row({"a": step}, step)
        writer.write_row({"b": step, "c": step}, step)
    writer.finish("FINISHED", "", closes_run=True)
    (content,) = decoded(batches_of(writer.folder))
    assert [(len(block.key_ids), len(block.steps)) for block in content.blocks] == [(1, 50), (2, 50)]


def test_batches_keep_their_size(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    row = {f"metric/{index}": float(index) for index in range(1000)}
    for step in range(400):
        writer.write_row(row, step)
    writer.finish("FINISHED", "", closes_run=True)
    batches = batches_of(writer.folder)
    assert all(len(batch.content) <= BATCH_BYTES_TARGET for batch in batches)
    assert all(len(batch.content) > BATCH_BYTES_TARGET * 0.9 for batch in batches[:-1])
    assert sum(batch.points for batch in batches) == 400_000


def test_the_widest_row_with_the_longest_names_fits(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({f"{index:05d}" + "ж" * 245: float(index) for index in range(10_000)}, 0)
    writer.finish("FINISHED", "", closes_run=True)
    batches = batches_of(writer.folder)
    assert all(len(batch.content) <= 4_000_000 for batch in batches)
    assert sum(1 for _ in points_of(decoded(batches))) == 10_000


def test_entries_of_a_run(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_record(RecordType.PARAM, {"key": "lr", "kind": "double", "value": 0.1})
    writer.write_record(RecordType.PARAM, {"key": "bad", "kind": "double", "value": float("nan")})
    writer.write_record(RecordType.TAG, {"key": "team", "value": "old"})
    writer.write_record(RecordType.TAG, {"key": "team", "value": "vision"})
    writer.write_record(RecordType.TAG, {"key": "gone", "value": "x"})
    writer.write_record(RecordType.TAG, {"key": "gone", "value": None})
    writer.write_record(RecordType.SUMMARY, {"key": "best", "kind": "int", "value": 1})
    writer.write_record(RecordType.SUMMARY, {"key": "best", "kind": "int", "value": 2})
    writer.write_record(RecordType.DEFINITION, {"key": "loss", "x": "", "goal": "minimize", "summary": "min"})
    writer.finish("FINISHED", "", closes_run=True)
    (content,) = decoded(batches_of(writer.folder))
    assert [param.key for param in content.params] == ["lr", "bad"]
    assert math.isnan(content.params[1].value.double_value)
    assert [(tag.key, tag.value) for tag in content.tags] == [("team", "vision")]
    assert list(content.removed_tags) == ["gone"]
    assert content.summary[0].value.int_value == 2
    assert content.metric_definitions[0].goal == run_pb2.METRIC_GOAL_MINIMIZE
    assert content.metric_definitions[0].summary == run_pb2.METRIC_SUMMARY_MIN


def test_a_spool_without_content_makes_no_batch(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.finish("KILLED", "", closes_run=True)
    (batch,) = batches_of(writer.folder)
    assert (batch.content, batch.points) == (b"", 0)
    assert batch.finish is not None
    assert batch.finish["state"] == "KILLED"


def test_a_sender_that_takes_over_sends_the_same_bytes(tmp_path: Path) -> None:
    writer = new_spool(tmp_path, segment_bytes=2000)
    first = SpoolSource(writer.folder)
    sent = []
    for step in range(300):
        writer.write_row({"a": step, "b": -step}, step)
        if step % 7 == 0:
            sent.extend(first.cut_more(10**9))
    first.close()
    second = SpoolSource(writer.folder)
    assert second.last_cut == sent[-1].cut
    assert [second.again(outgoing.cut.sequence) for outgoing in sent] == sent
    for step in range(300, 350):
        writer.write_row({"a": step, "b": -step}, step)
    writer.finish("FINISHED", "", closes_run=True)
    sent.extend(second.cut_more(10**9))
    assert second.ended
    assert [outgoing.cut.sequence for outgoing in sent] == list(range(1, len(sent) + 1))
    assert second.last_cut.points_total == writer.points
    chain = bytes(32)
    for outgoing in sent:
        chain = sha256(chain + outgoing.cut.digest).digest()
        assert outgoing.cut.chain == chain
        content = metric_pb2.StreamMetricsRequest.FromString(outgoing.message).batch.content
        assert sha256(content.SerializeToString(deterministic=True)).digest() == outgoing.cut.digest
    second.close()


def test_an_altered_spool_is_not_sent_as_the_same_batch(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    for step in range(10):
        writer.write_row({"a": 1.5}, step)
    source = SpoolSource(writer.folder)
    source.cut_more(10**9)
    path = segment_path(writer.folder, 1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpoolCorrupt, match="altered"):
        source.again(1)
    source.close()
    writer.abandon()


def test_acknowledged_segments_are_deleted_and_the_rest_still_reads(tmp_path: Path) -> None:
    writer = new_spool(tmp_path, segment_bytes=1000)
    source = SpoolSource(writer.folder)
    for step in range(100):
        writer.write_row({"a": step}, step)
    cut = source.cut_more(10**9)[-1].cut
    source.acknowledged(cut.sequence)
    assert not segment_path(writer.folder, 1).exists()
    source.close()
    for step in range(100, 130):
        writer.write_row({"a": step}, step)
    writer.finish("FINISHED", "", closes_run=True)
    later = SpoolSource(writer.folder)
    later.cut_more(10**9)
    assert later.last_cut.points_total == 130
    with pytest.raises(SpoolCorrupt, match="lost data"):
        later.again(0)
    later.close()


def test_a_batch_waits_for_a_record_that_is_being_written(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"a": 1.0}, 0)
    path = segment_path(writer.folder, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    reader = SpoolReader(writer.folder)
    assert encode_batch(reader, START, 0, ended=False).points == 0
    path.write_bytes(whole)
    assert encode_batch(reader, START, 0, ended=False).points == 1
    writer.abandon()
