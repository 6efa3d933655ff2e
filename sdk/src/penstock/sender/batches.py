"""Turns a stretch of a spool into the content of a batch: `penstock.api.tracking.v1.MetricBatchContent`.

The content is a function of the stretch alone, together with the key sets before it: encoded twice, it is the same bytes.
Rows of one key set become one block, whatever lies between them, so long curves and wide rows cost the same per point.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from penstock.errors import SpoolCorrupt
from penstock.sender.wire import bytes_field, metric_block, metric_definition, metric_key, param, tag
from penstock.spool.cuts import Cut
from penstock.spool.reader import Damage, Position, Record, SpoolReader, parse_key_set
from penstock.spool.records import ROW_HEAD, RecordType

__all__ = ["BATCH_BYTES_TARGET", "ENCODER_VERSION", "EncodedBatch", "encode_batch", "encode_cut"]

ENCODER_VERSION: Final = 1
"""Raised when the same stretch would encode to other bytes."""
BATCH_BYTES_TARGET: Final = 1_000_000
"""Where a batch ends. The contract allows 4,000,000; smaller ones keep the pipe full and the curves live."""

_GOALS: Final = {"": 0, "minimize": 1, "maximize": 2}
_SUMMARIES: Final = {"": 0, "last": 1, "min": 2, "max": 3}
_BLOCK_BYTES: Final = 64  # tags and lengths of a block, at most
_RECORD_BYTES: Final = 32  # tags and lengths of any other record, at most
_KEY_ID_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The content of one batch.

    Attributes:
        content: The serialised content; empty if the stretch holds nothing to send.
        end: Where the stretch ends.
        points: Points in it.
        keys_total: Keys that the writer has defined up to its end.
        full: Whether it ended because it was full: there is more.
        finish: The FINISH record that follows it, if the spool ends here.
        damage: What could not be read within it.
        points_lost: Points of rows whose key set was lost.
    """

    content: bytes
    end: Position
    points: int
    keys_total: int
    full: bool
    finish: dict[str, Any] | None
    damage: tuple[Damage, ...]
    points_lost: int


def encode_cut(reader: SpoolReader, cut: Cut, keys_before: int) -> EncodedBatch:
    """Encodes the batch of a cut anew."""
    return _encode(reader, cut.start, keys_before, stop=cut.end, bytes_max=0, ended=True)


def encode_batch(
    reader: SpoolReader, start: Position, keys_before: int, *, ended: bool, bytes_max: int = BATCH_BYTES_TARGET
) -> EncodedBatch:
    """Encodes the next batch.

    Args:
        reader: The spool.
        start: Where it begins.
        keys_before: Keys that earlier batches have defined.
        ended: Whether nobody writes to the spool any more.
        bytes_max: Where it ends. A single longer record is a batch of its own.
    """
    return _encode(reader, start, keys_before, stop=None, bytes_max=bytes_max, ended=ended)


class _Block:
    __slots__ = ("key_ids", "steps", "times", "values")

    def __init__(self, key_ids: tuple[int, ...]) -> None:
        self.key_ids = key_ids
        self.steps: list[memoryview] = []
        self.times: list[memoryview] = []
        self.values: list[memoryview] = []


def _encode(
    reader: SpoolReader, start: Position, keys_before: int, *, stop: Position | None, bytes_max: int, ended: bool
) -> EncodedBatch:
    key_sets = dict(reader.key_sets(start))
    segment = start.segment
    damage: list[Damage] = []
    keys: list[bytes] = []
    blocks: dict[tuple[int, ...], _Block] = {}
    entries = _Entries()
    keys_total = keys_before
    points = points_lost = 0
    size = 0
    end = start
    full = False
    finish: dict[str, Any] | None = None
    damage_taken = 0

    # A block is found by its key set's id first: hashing thousands of key ids for each row would be dear.
    block_by_set: dict[int, _Block] = {}
    for record in reader.records(start, ended=ended, damage=damage):
        if stop is not None and record.end > stop:
            break
        kind = record.type
        payload = record.payload
        if record.end.segment != segment:
            # Each segment defines its key sets anew.
            segment = record.end.segment
            key_sets = {}
            block_by_set = {}
        if kind == RecordType.ROW:
            set_id = int.from_bytes(payload[:4], "little")
            block = block_by_set.get(set_id)
            added = len(payload)
            if block is None:
                key_ids = key_sets.get(set_id)
                if key_ids is None:
                    points_lost += (len(payload) - ROW_HEAD.size) // 8
                    end = record.end
                    continue
                block = blocks.get(key_ids) or _Block(key_ids)
                added += _BLOCK_BYTES + _KEY_ID_BYTES * len(key_ids)
            if size and size + added > bytes_max and stop is None:
                full = True
                break
            if not block.steps:
                keys_total = _fill_lost_keys(keys, keys_total, block.key_ids)
                blocks[block.key_ids] = block
            block_by_set[set_id] = block
            block.steps.append(payload[4:12])
            block.times.append(payload[12:20])
            block.values.append(payload[20:])
            points += len(block.key_ids)
            size += added
        elif kind == RecordType.KEY_SET:
            set_id, key_ids = parse_key_set(payload)
            key_sets[set_id] = key_ids
        elif kind == RecordType.FINISH:
            finish = _parsed(record)
            damage_taken = len(damage)
            break
        else:
            added = len(payload) + _RECORD_BYTES
            if size and size + added > bytes_max and stop is None:
                full = True
                break
            if kind == RecordType.KEY:
                key_id = int.from_bytes(payload[:4], "little")
                if key_id >= keys_total:
                    keys_total = _fill_lost_keys(keys, keys_total, (key_id - 1,) if key_id else ())
                    keys.append(bytes_field(1, metric_key(key_id, bytes(payload[4:]))))
                    keys_total += 1
            else:
                entries.add(kind, _parsed(record))
            size += added
        end = record.end
        damage_taken = len(damage)
    else:
        damage_taken = len(damage)

    parts = keys
    parts.extend(
        bytes_field(
            2,
            metric_block(block.key_ids, b"".join(block.steps), b"".join(block.times), b"".join(block.values)),
        )
        for block in blocks.values()
    )
    parts.extend(entries.encoded())
    return EncodedBatch(
        content=b"".join(parts),
        end=end,
        points=points,
        keys_total=keys_total,
        full=full,
        finish=finish,
        damage=tuple(damage[:damage_taken]),
        points_lost=points_lost,
    )


class _Entries:
    """Params, tags, summary and definitions of a batch. Of two with the same key the later one counts."""

    def __init__(self) -> None:
        self._params: dict[str, bytes] = {}
        self._tags: dict[str, str | None] = {}
        self._summary: dict[str, bytes] = {}
        self._definitions: dict[str, bytes] = {}

    def add(self, kind: int, content: dict[str, Any]) -> None:
        """Takes the content of a record."""
        key = content["key"]
        if kind == RecordType.PARAM:
            # Write-once: the first one counts, here and on the server.
            self._params.setdefault(key, param(key, content["kind"], content["value"]))
        elif kind == RecordType.TAG:
            self._tags[key] = content["value"]
        elif kind == RecordType.SUMMARY:
            self._summary[key] = param(key, content["kind"], content["value"])
        elif kind == RecordType.DEFINITION:
            goal, summary = _GOALS[content["goal"]], _SUMMARIES[content["summary"]]
            self._definitions[key] = metric_definition(key, content["x"], goal, summary)

    def encoded(self) -> list[bytes]:
        """The fields of `MetricBatchContent` for them, in the order of their numbers."""
        fields = [bytes_field(3, data) for data in self._params.values()]
        fields.extend(bytes_field(4, tag(key, value)) for key, value in self._tags.items() if value is not None)
        fields.extend(bytes_field(5, key.encode()) for key, value in self._tags.items() if value is None)
        fields.extend(bytes_field(6, data) for data in self._summary.values())
        fields.extend(bytes_field(7, data) for data in self._definitions.values())
        return fields


def _fill_lost_keys(keys: list[bytes], keys_total: int, used: tuple[int, ...]) -> int:
    """Defines keys whose records were damaged, under a name that says so: their rows are kept. Returns the new total."""
    needed = max(keys_total, max(used, default=-1) + 1)
    keys.extend(
        bytes_field(1, metric_key(key_id, f"penstock/damaged-name/{key_id}".encode()))
        for key_id in range(keys_total, needed)
    )
    return needed


def _parsed(record: Record) -> dict[str, Any]:
    try:
        content = json.loads(bytes(record.payload))
    except ValueError:
        raise SpoolCorrupt(
            f"The record before {record.end} is whole and cannot be read: it is not from penstock."
        ) from None
    return content
