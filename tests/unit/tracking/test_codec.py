"""The rules of a batch, at their limits, and the private twin of the messages."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock_tracking.errors import BatchInvalid
from penstock_tracking.ingest.codec import (
    CONTENT_BYTES_MAX,
    KEYS_PER_BLOCK_MAX,
    POINTS_PER_BATCH_MAX,
    CheckedKeyIds,
    StreamRequest,
    checked_content,
    decode_blocks,
    digest_of,
)


def content(rows: int = 2, keys: int = 3, **changes: object) -> metric_pb2.MetricBatchContent:
    block: dict[str, object] = {
        "key_ids": range(keys),
        "steps": range(rows),
        "times_unix_us": range(rows),
        "values": [float(i) for i in range(rows * keys)],
    }
    return metric_pb2.MetricBatchContent(
        new_keys=[metric_pb2.MetricKey(id=i, key=f"k{i}") for i in range(keys)],
        blocks=[metric_pb2.MetricBlock(**{**block, **changes})],  # type: ignore[arg-type] - built by name
    )


def check(message: metric_pb2.MetricBatchContent, known: int = 0, names: frozenset[str] = frozenset()) -> object:
    return checked_content(message.SerializeToString(), known, set(names))


def test_the_twin_reads_what_the_public_message_says() -> None:
    inner = content()
    inner.tags.append(run_pb2.Tag(key="a", value="b"))
    request = metric_pb2.StreamMetricsRequest(batch=metric_pb2.MetricBatch(sequence=7, digest=b"d" * 32, content=inner))
    twin = StreamRequest.FromString(request.SerializeToString())
    assert twin.WhichOneof("message") == "batch"
    assert (twin.batch.sequence, twin.batch.digest) == (7, b"d" * 32)
    assert twin.batch.content == inner.SerializeToString()
    checked = checked_content(twin.batch.content, 0, set())
    assert checked.points == 6
    assert checked.new_keys == ("k0", "k1", "k2")
    assert checked.message.tags[0].value == "b"
    [block] = decode_blocks(checked.message)
    assert block.values.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    opening = metric_pb2.StreamMetricsRequest(open=metric_pb2.OpenWriter(run="r", epoch=3))
    assert StreamRequest.FromString(opening.SerializeToString()).open.epoch == 3


@given(st.lists(st.floats(width=64), min_size=1, max_size=50), st.integers(-(2**63), 2**63 - 1))
def test_values_and_steps_are_bit_exact(values: list[float], step: int) -> None:
    message = metric_pb2.MetricBatchContent(
        new_keys=[metric_pb2.MetricKey(id=0, key="k")],
        blocks=[
            metric_pb2.MetricBlock(
                key_ids=[0], steps=[step] * len(values), times_unix_us=[0] * len(values), values=values
            )
        ],
    )
    [block] = decode_blocks(checked_content(message.SerializeToString(), 0, set()).message)
    assert block.values[:, 0].tobytes() == np.array(values).tobytes()
    assert block.steps.tolist() == [step] * len(values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key_ids": []}, "no keys or no rows"),
        ({"steps": [], "times_unix_us": [], "values": []}, "no keys or no rows"),
        ({"values": [1.0]}, "values instead of"),
        ({"times_unix_us": [1]}, "times"),
        ({"key_ids": [0, 1, 3]}, "no batch has defined"),
        ({"key_ids": [0, 1, 1]}, "twice"),
    ],
)
def test_a_block_that_breaks_a_rule(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BatchInvalid, match=said):
        check(content(**changes))


def test_points_at_their_limit() -> None:
    # Steps and times of a row weigh too: enough columns that the points reach their limit before the bytes do is impossible
    # with 8-byte values, so this limit guards small encodings of later versions, and the byte limit is the one that binds.
    assert POINTS_PER_BATCH_MAX * 8 > CONTENT_BYTES_MAX
    rows, keys = 45, 10_000
    assert check(content(rows, keys)).points == rows * keys  # type: ignore[attr-defined] - CheckedContent
    too_large = content(51, 10_000)
    with pytest.raises(BatchInvalid, match="bytes") as raised:
        check(too_large)
    assert raised.value.metadata["limit"] == "CONTENT_BYTES_MAX"


def test_keys_of_a_block_at_their_limit() -> None:
    check(content(1, KEYS_PER_BLOCK_MAX))
    with pytest.raises(BatchInvalid, match="keys, at most"):
        check(content(1, KEYS_PER_BLOCK_MAX + 1))


def test_key_numbers_follow_on() -> None:
    message = metric_pb2.MetricBatchContent(new_keys=[metric_pb2.MetricKey(id=5, key="a")])
    assert check(message, known=5).new_keys == ("a",)  # type: ignore[attr-defined] - CheckedContent
    with pytest.raises(BatchInvalid, match="next number is 4"):
        check(message, known=4)
    with pytest.raises(BatchInvalid, match="twice"):
        check(message, known=5, names=frozenset({"a"}))


@pytest.mark.parametrize("key", ["", "k" * 251, "a\x00b", "tab\there"])
def test_key_names_keep_the_rules(key: str) -> None:
    with pytest.raises(BatchInvalid):
        check(metric_pb2.MetricBatchContent(new_keys=[metric_pb2.MetricKey(id=0, key=key)]))


def test_a_split_packed_field_is_read_whole() -> None:
    # Allowed by protobuf: values in two chunks. The twin alone would see the second one only.
    first = metric_pb2.MetricBlock(key_ids=[0], steps=[1, 2], times_unix_us=[1, 2], values=[1.0])
    second = metric_pb2.MetricBlock(values=[2.0])
    block = first.SerializeToString() + second.SerializeToString()
    message = metric_pb2.MetricBatchContent(new_keys=[metric_pb2.MetricKey(id=0, key="a")]).SerializeToString()
    data = message + b"\x12" + bytes([len(block)]) + block
    [decoded] = decode_blocks(checked_content(data, 0, set()).message)
    assert decoded.values.tolist() == [[1.0], [2.0]]


def test_key_ids_that_were_right_once_are_known_and_those_of_a_refused_batch_are_not() -> None:
    seen = CheckedKeyIds()

    def said(key_ids: Sequence[int], known: int) -> str:
        message = content(keys=0, key_ids=key_ids, values=[0.0] * 2 * len(key_ids))
        try:
            checked_content(message.SerializeToString(), known, set(), seen)
        except BatchInvalid as error:
            return error.message
        return ""

    assert said([0, 1], 2) == ""
    assert said([0, 1], 2) == ""
    assert "no batch has defined" in said([0, 2], 2)
    assert "twice" in said([1, 1], 2)
    assert seen.problem((5, 6), 5, 7) is None  # a batch that defines them, and is refused for something else
    assert "no batch has defined" in said([5, 6], 5)
    for first in range(200):
        assert said([first, first + 1], 1_000) == ""
    assert said([0, 1], 1_000) == ""


def test_rubbish_is_refused() -> None:
    with pytest.raises(BatchInvalid):
        checked_content(b"\xff\xff\xff", 0, set())


def test_digest_is_sha256() -> None:
    assert digest_of(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
