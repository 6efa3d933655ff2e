"""The key table of a writer: which metric each of its numbers stands for."""

from collections.abc import Sequence

from penstock_kit.stores.metric_log import BatchRecord, MetricLog
from penstock_tracking.ingest.codec import parse_content
from penstock_tracking.threads import in_thread

__all__ = ["writer_key_table"]


async def writer_key_table(log: MetricLog, run_key: bytes, writer_key: bytes, *, upto: int) -> list[str]:
    """The keys that a writer defined up to the batch `upto`, in the order of their numbers."""
    keys: list[str] = []
    after = 0
    while after < upto:
        records = await log.scan(run_key, writer_key, after=after, key_definitions_only=True)
        if not records:
            break
        keys += await in_thread(_defined, records, upto)
        after = records[-1].sequence
    return keys


def _defined(records: Sequence[BatchRecord], upto: int) -> list[str]:
    return [
        definition.key
        for record in records
        if record.sequence <= upto
        for definition in parse_content(record.content).new_keys
    ]
