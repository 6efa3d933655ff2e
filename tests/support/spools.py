"""Spools for tests: made in a folder, read back by the SDK's own reader, decoded by the generated messages."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from penstock.api.tracking.v1 import metric_pb2
from penstock.sender.batches import BATCH_BYTES_TARGET, EncodedBatch, encode_batch
from penstock.spool.meta import SpoolMeta
from penstock.spool.names import random_id
from penstock.spool.reader import START, Damage, SpoolReader
from penstock.spool.writer import SpoolWriter

__all__ = ["batches_of", "decoded", "new_spool", "points_of", "spool_points"]


def new_spool(root: Path, **options: Any) -> SpoolWriter:
    """A new spool below a folder, as home()/spool is laid out. Options as of `SpoolWriter`."""
    meta = SpoolMeta(run_id=random_id(), writer_id=random_id(), project="tests", start_time_us=1)
    return SpoolWriter.create(root / meta.run_id / meta.writer_id, meta, **options)


def batches_of(folder: Path, *, ended: bool = True, bytes_max: int = BATCH_BYTES_TARGET) -> list[EncodedBatch]:
    """All batches of a spool."""
    reader = SpoolReader(folder)
    made: list[EncodedBatch] = []
    position, keys = START, 0
    while True:
        encoded = encode_batch(reader, position, keys, ended=ended, bytes_max=bytes_max)
        made.append(encoded)
        position, keys = encoded.end, encoded.keys_total
        if not encoded.full:
            return made


def decoded(batches: Sequence[EncodedBatch]) -> list[Any]:
    """The contents as the generated messages read them."""
    return [metric_pb2.MetricBatchContent.FromString(batch.content) for batch in batches]


def points_of(contents: Sequence[Any]) -> Iterator[tuple[str, int, int, float]]:
    """Key, step, time and value of each point."""
    names: dict[int, str] = {}
    for content in contents:
        for key in content.new_keys:
            assert key.id == len(names), "key numbers have a gap"
            names[key.id] = key.key
        for block in content.blocks:
            width = len(block.key_ids)
            for row, (step, time_us) in enumerate(zip(block.steps, block.times_unix_us, strict=True)):
                for column, key_id in enumerate(block.key_ids):
                    yield names[key_id], step, time_us, block.values[row * width + column]


def spool_points(folder: Path, damage: list[Damage] | None = None) -> Counter[tuple[str, int, str]]:
    """Key, step and value (as hexadecimal text) of each point that a spool holds, with how often it is there."""
    batches = batches_of(folder)
    if damage is not None:
        damage.extend(found for batch in batches for found in batch.damage)
    return Counter((key, step, float(value).hex()) for key, step, _, value in points_of(decoded(batches)))
