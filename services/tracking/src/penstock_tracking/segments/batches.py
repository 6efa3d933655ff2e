"""Batches as their points, whether they come from the metric log or from a segment."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_kit.stores.metric_log import BatchRecord
from penstock_tracking.ingest.codec import DecodedBlock, decode_blocks, parse_content

__all__ = ["DecodedBatch", "decoded"]


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch. `keys` is the table that the `key_ids` of its blocks point into; it only ever grows.

    `content_bytes` is what it takes as it was sent, nearly.
    """

    writer_key: bytes
    rank: int
    sequence: int
    digest: bytes
    keys: list[str]
    blocks: list[DecodedBlock]
    content_bytes: int


def decoded(records: Sequence[BatchRecord], keys: list[str]) -> list[DecodedBatch]:
    """Decodes batches of a writer that follow each other. The keys that they define are added to its table `keys`."""
    batches: list[DecodedBatch] = []
    for record in records:
        message = parse_content(record.content)
        for definition in message.new_keys:
            # After a read that was cancelled the table holds them already.
            if definition.id >= len(keys):
                keys.append(definition.key)
        blocks = decode_blocks(message)
        batches.append(
            DecodedBatch(
                record.writer_key, record.rank, record.sequence, record.digest, keys, blocks, len(record.content)
            )
        )
    return batches
