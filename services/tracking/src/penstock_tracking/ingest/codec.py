"""The private twin of the stream's messages, and the rules that a batch must keep.

A packed `repeated double` or `repeated sfixed64` and a `bytes` field are the same on the wire. The twin declares the
columns as bytes, so that parsing a batch copies them once and never looks at a point. `content` is bytes as well: the digest
covers it and the log keeps it as it came.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock_tracking.domain import key_problem
from penstock_tracking.errors import BatchInvalid

__all__ = [
    "CONTENT_BYTES_MAX",
    "KEYS_PER_BLOCK_MAX",
    "KEYS_PER_WRITER_MAX",
    "POINTS_PER_BATCH_MAX",
    "CheckedKeyIds",
    "DecodedBlock",
    "StreamRequest",
    "checked_content",
    "decode_blocks",
    "digest_of",
    "parse_content",
]

CONTENT_BYTES_MAX = 4_000_000  # with the envelope below gRPC's usual 4 MiB
POINTS_PER_BATCH_MAX = 1_000_000
KEYS_PER_BLOCK_MAX = 10_000
KEYS_PER_WRITER_MAX = 1_000_000
_KEY_IDS_SEEN_MAX = 64  # of a writer: most have one to three
_PACKAGE = "penstock.tracking.wire"

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


def _twin_classes() -> tuple[Any, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    public = metric_pb2.DESCRIPTOR
    file = descriptor_pb2.FileDescriptorProto(
        name="penstock/tracking/wire.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[public.name, run_pb2.DESCRIPTOR.name],
    )

    def twin(name: str, of: str, as_bytes: Sequence[str], as_twin: dict[str, str]) -> None:
        """Declares `of` once more, with some fields as bytes and some as other twins."""
        message = file.message_type.add(name=name)
        original = descriptor_pb2.DescriptorProto()
        public.message_types_by_name[of].CopyToProto(original)
        message.oneof_decl.extend(original.oneof_decl)
        for source in original.field:
            source.ClearField("options")
            target = message.field.add()
            target.CopyFrom(source)
            if source.name in as_bytes:
                target.type = field.TYPE_BYTES
                target.label = field.LABEL_OPTIONAL
                target.ClearField("type_name")
            elif source.name in as_twin:
                target.type_name = f".{_PACKAGE}.{as_twin[source.name]}"

    twin("Block", "MetricBlock", ("steps", "times_unix_us", "values"), {})
    twin("Content", "MetricBatchContent", (), {"blocks": "Block"})
    twin("Batch", "MetricBatch", ("content",), {})
    twin("StreamRequest", "StreamMetricsRequest", (), {"batch": "Batch"})
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in ("StreamRequest", "Content")]
    return message_factory.GetMessageClass(found[0]), message_factory.GetMessageClass(found[1])


StreamRequest, _Content = _twin_classes()
"""`StreamMetricsRequest` with `batch.content` as bytes. Its `open`, `heartbeat` and `close` are the public messages."""


@dataclass(frozen=True, slots=True)
class DecodedBlock:
    """Points of one block: `values[r, k]` belongs to `steps[r]`, `times_us[r]` and the writer's key `key_ids[k]`.

    Attributes:
        key_ids: K numbers.
        steps: (R,) int64.
        times_us: (R,) int64, microseconds since 1970 UTC.
        values: (R, K) float64, read-only, over the bytes of the batch.
    """

    key_ids: tuple[int, ...]
    steps: Int64s
    times_us: Int64s
    values: Float64s


def digest_of(content: bytes) -> bytes:
    """SHA-256, the digest of a batch."""
    return hashlib.sha256(content).digest()


def parse_content(content: bytes) -> Any:
    """Parses content into the twin. Raises `BatchInvalid`."""
    try:
        return _Content.FromString(content)
    except DecodeError:
        raise BatchInvalid("The content of the batch is not a MetricBatchContent.") from None


@dataclass(frozen=True, slots=True)
class CheckedContent:
    """Content that keeps the rules.

    Attributes:
        content: Its bytes: as they came, or normalised when an encoder had split a packed field.
        message: The twin message.
        points: How many points it holds.
        new_keys: The keys it defines, in the order of their numbers.
    """

    content: bytes
    message: Any
    points: int
    new_keys: tuple[str, ...]


class CheckedKeyIds:
    """Key ids of blocks that one writer sent before: it sends the same again and again, and they are looked at once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, ...]] = set()

    def problem(self, key_ids: tuple[int, ...], keys_known: int, keys_total: int) -> str | None:
        """What is wrong with the ids of a block, of which there is one at least.

        Args:
            key_ids: The ids.
            keys_known: How many keys the writer had defined before this batch.
            keys_total: How many it has with those that this batch defines.
        """
        if key_ids in self._seen:
            return None
        columns = len(key_ids)
        if columns > KEYS_PER_BLOCK_MAX:
            return f"has {columns:,} keys, at most {KEYS_PER_BLOCK_MAX:,} are allowed"
        if (highest := max(key_ids)) >= keys_total:
            return f"uses the key number {highest}, which no batch has defined"
        if len(set(key_ids)) != columns:
            return "names a key twice"
        if highest < keys_known:  # else they are right in this batch only, which may be refused
            if len(self._seen) >= _KEY_IDS_SEEN_MAX:
                self._seen.clear()
            self._seen.add(key_ids)
        return None


def checked_content(
    content: bytes, keys_known: int, key_names: set[str], key_ids_seen: CheckedKeyIds | None = None
) -> CheckedContent:
    """Checks content against the rules of `MetricBatchContent`. Raises `BatchInvalid` with the broken rule.

    Args:
        content: The serialised content.
        keys_known: How many keys the writer defined before.
        key_names: Those keys.
        key_ids_seen: Those of the writer's earlier batches, added to here; None where there are none.
    """
    if len(content) > CONTENT_BYTES_MAX:
        raise BatchInvalid(
            f"The content has {len(content):,} bytes, at most {CONTENT_BYTES_MAX:,} are allowed.",
            limit="CONTENT_BYTES_MAX",
        )
    message = parse_content(content)
    new_keys = _checked_keys(message.new_keys, keys_known, key_names)
    keys_total = keys_known + len(new_keys)
    key_ids_seen = key_ids_seen or CheckedKeyIds()
    problem, points = _blocks_problem(message.blocks, keys_known, keys_total, key_ids_seen)
    if problem is not None:
        # Protobuf allows an encoder to split a packed field, or not to pack it; the twin then sees a part. Read it the
        # public way, write it anew in one piece, and judge that.
        try:
            content = metric_pb2.MetricBatchContent.FromString(content).SerializeToString(deterministic=True)
        except DecodeError:
            raise BatchInvalid("The content of the batch is not a MetricBatchContent.") from None
        message = parse_content(content)
        problem, points = _blocks_problem(message.blocks, keys_known, keys_total, key_ids_seen)
    if problem is not None:
        raise BatchInvalid(problem)
    if points > POINTS_PER_BATCH_MAX:
        raise BatchInvalid(
            f"The batch holds {points:,} points, at most {POINTS_PER_BATCH_MAX:,} are allowed.",
            limit="POINTS_PER_BATCH_MAX",
        )
    return CheckedContent(content, message, points, new_keys)


def _checked_keys(new_keys: Sequence[Any], keys_known: int, key_names: set[str]) -> tuple[str, ...]:
    if not new_keys:
        return ()
    seen: set[str] = set()
    for expected, definition in enumerate(new_keys, start=keys_known):
        if definition.id != expected:
            raise BatchInvalid(
                f"The key {definition.key!r} has the number {definition.id}; the writer's next number is {expected}."
            )
        if problem := key_problem(definition.key):
            raise BatchInvalid(f"A metric key is not allowed: {problem}.")
        if definition.key in key_names or definition.key in seen:
            raise BatchInvalid(f"The key {definition.key!r} is defined twice by the writer.")
        seen.add(definition.key)
    if keys_known + len(new_keys) > KEYS_PER_WRITER_MAX:
        raise BatchInvalid(
            f"The writer would define more than {KEYS_PER_WRITER_MAX:,} keys.", limit="KEYS_PER_WRITER_MAX"
        )
    return tuple(definition.key for definition in new_keys)


def _blocks_problem(
    blocks: Sequence[Any], keys_known: int, keys_total: int, key_ids_seen: CheckedKeyIds
) -> tuple[str | None, int]:
    points = 0
    for index, block in enumerate(blocks):
        key_ids = tuple(block.key_ids)
        columns = len(key_ids)
        steps_bytes = len(block.steps)
        rows = steps_bytes // 8
        if columns == 0 or rows == 0:
            return f"Block {index} has no keys or no rows.", 0
        if steps_bytes % 8 or len(block.times_unix_us) != steps_bytes:
            return f"Block {index} has {rows:,} steps and {len(block.times_unix_us) // 8:,} times.", 0
        if len(block.values) != steps_bytes * columns:
            wanted = f"{len(block.values) // 8:,} values instead of {rows * columns:,}"
            return f"Block {index} has {rows:,} steps, {columns:,} keys and {wanted}.", 0
        if problem := key_ids_seen.problem(key_ids, keys_known, keys_total):
            return f"Block {index} {problem}.", 0
        points += rows * columns
    return None, points


_LITTLE_INT64: Final = np.dtype("<i8")
_LITTLE_FLOAT64: Final = np.dtype("<f8")


def decode_blocks(message: Any) -> list[DecodedBlock]:
    """The points of a twin content, identical ones once if it says so. Views that live as long as its bytes."""
    decoded: list[DecodedBlock] = []
    for block in message.blocks:
        key_ids = tuple(block.key_ids)
        steps = np.frombuffer(block.steps, _LITTLE_INT64)
        decoded.append(
            DecodedBlock(
                key_ids,
                steps,
                np.frombuffer(block.times_unix_us, _LITTLE_INT64),
                np.frombuffer(block.values, _LITTLE_FLOAT64).reshape(len(steps), len(key_ids)),
            )
        )
    return _collapsed(decoded) if message.collapse_identical and decoded else decoded


def _collapsed(blocks: list[DecodedBlock]) -> list[DecodedBlock]:
    """Blocks with each point that is there twice once, the first one: a block per key then, else as they are."""
    ids = np.concatenate([np.tile(np.array(block.key_ids, np.int64), len(block.steps)) for block in blocks])
    steps = np.concatenate([np.repeat(block.steps, len(block.key_ids)) for block in blocks])
    times = np.concatenate([np.repeat(block.times_us, len(block.key_ids)) for block in blocks])
    values = np.concatenate([block.values.reshape(-1) for block in blocks])
    order = np.lexsort((values.view(np.int64), times, steps, ids))  # by bits: NaN is NaN, and 0.0 is not -0.0
    first = np.zeros(len(order), np.bool_)
    first[0] = True
    for column in (ids, steps, times, values.view(np.int64)):
        ordered = column[order]
        first[1:] |= ordered[1:] != ordered[:-1]
    if first.all():
        return blocks
    kept = np.sort(order[first])
    kept = kept[np.argsort(ids[kept], kind="stable")]
    per_key = np.split(kept, np.flatnonzero(np.diff(ids[kept])) + 1)
    return [
        DecodedBlock((int(ids[rows[0]]),), steps[rows], times[rows], values[rows].reshape(-1, 1)) for rows in per_key
    ]
