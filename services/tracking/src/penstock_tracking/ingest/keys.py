"""The key table of a writer: which metric each of its numbers stands for."""

from penstock_kit.stores.metric_log import MetricLog
from penstock_tracking.ingest.codec import parse_content

__all__ = ["writer_key_table"]


async def writer_key_table(log: MetricLog, run_key: bytes, writer_key: bytes) -> list[str]:
    """The keys that a writer defined, in the order of their numbers."""
    keys: list[str] = []
    after = 0
    while records := await log.scan(run_key, writer_key, after=after, key_definitions_only=True):
        for record in records:
            keys.extend(definition.key for definition in parse_content(record.content).new_keys)
        after = records[-1].sequence
    return keys
