"""The metric log port: batches of metric points, appended idempotently, read back in the order of their writer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

__all__ = [
    "RUNS_PER_READ_MAX",
    "AppendOutcome",
    "BatchRecord",
    "LogChange",
    "LogChanges",
    "LogFull",
    "MetricLog",
    "WriterHead",
]

RUNS_PER_READ_MAX = 1_000


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch of one writer. (run_key, writer_key, sequence) is its identity, its dedup key and its place in a scan.

    Attributes:
        run_key: 16 bytes.
        writer_key: 16 bytes.
        sequence: Counted by the writer from 1 without gaps.
        digest: SHA-256 of `content`, 32 bytes.
        chain: SHA-256 over the previous chain and `digest`, 32 bytes.
        points: Points in this batch.
        durable_points: Points of the writer up to and including this batch.
        defines_keys: Whether `content` defines metric keys, so that the key table of a writer is read without the rest.
        rank: The rank of the writer.
        content: A serialised `penstock.api.tracking.v1.MetricBatchContent`.
    """

    run_key: bytes
    writer_key: bytes
    sequence: int
    digest: bytes
    chain: bytes
    points: int
    durable_points: int
    defines_keys: bool
    rank: int
    content: bytes


@dataclass(frozen=True, slots=True)
class WriterHead:
    """Where a writer stands: its last durable batch."""

    run_key: bytes
    writer_key: bytes
    sequence: int
    digest: bytes
    chain: bytes
    durable_points: int
    rank: int


class AppendOutcome(Enum):
    """What became of one record of an append."""

    APPENDED = "appended"
    REPEATED = "repeated"
    """The same identity with the same digest was there."""
    CONFLICT = "conflict"
    """The same identity with another digest was there. It stays as it was."""


@dataclass(frozen=True, slots=True)
class LogChange:
    """A run whose log grew."""

    run_key: bytes


@dataclass(frozen=True, slots=True)
class LogChanges:
    """Runs that grew, each once. `cursor` is where to go on; `more` says whether there are others already."""

    changes: Sequence[LogChange]
    cursor: bytes
    more: bool


class LogFull(Exception):
    """The medium has no room. Nothing of the append was kept."""


class MetricLog(Protocol):
    """Append-only batches. Every record that `append` reported as appended or repeated is durable when it returns."""

    @property
    def append_bytes(self) -> int:
        """How much content makes a good append: more at once is not quicker any more. No limit."""
        ...

    @property
    def appends_at_once(self) -> int:
        """How many appends, of different writers, become durable beside each other. Further ones wait; no limit either."""
        ...

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        """Appends records of any writers in one durable commit, and says what became of each.

        A conflict of one record does not touch the others. Raises `LogFull`.
        """
        ...

    async def append_new(self, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        """Appends the batches of requests that each count once, in one durable commit. Nothing is kept if one counted before.

        A run remembers its requests until it is dropped, whoever appended their batches, and also when those are trimmed.

        Args:
            requests: Id of a request, 16 bytes → its batch: the next batches of one writer, to whom nobody else appends, in
                their order.

        Returns:
            The requests that counted before. If there are none, all were appended.

        Raises:
            LogFull: Nothing was kept.
        """
        ...

    async def head(self, run_key: bytes, writer_key: bytes) -> WriterHead | None:
        """Returns where a writer stands, None before its first batch."""
        ...

    async def heads(self, run_key: bytes) -> list[WriterHead]:
        """Returns where each writer of a run stands, by writer key."""
        ...

    async def heads_of(self, run_keys: Sequence[bytes]) -> dict[bytes, list[WriterHead]]:
        """Returns `heads` of each of some runs, in one read. Raises `ValueError` for more than `RUNS_PER_READ_MAX`."""
        ...

    async def batch(self, run_key: bytes, writer_key: bytes, sequence: int) -> BatchRecord | None:
        """Returns one batch, None if there is none."""
        ...

    async def scan(
        self,
        run_key: bytes,
        writer_key: bytes,
        *,
        after: int = 0,
        bytes_max: int = 8_000_000,
        key_definitions_only: bool = False,
    ) -> list[BatchRecord]:
        """Returns batches of a writer with a sequence above `after`, ascending.

        At least one if there is any, and no further one once `bytes_max` bytes of content are exceeded. An empty list
        means that there are no more.
        """
        ...

    async def changes(self, cursor: bytes, *, limit: int = 1000) -> LogChanges:
        """Returns the runs appended to since `cursor` (empty: since ever).

        No append that returned before this call is ever skipped by a caller who goes on from `LogChanges.cursor`.
        """
        ...

    async def trim(self, run_key: bytes, writer_key: bytes, upto: int) -> None:
        """Removes the batches of a writer with a sequence of at most `upto`, a few at a time, so that appends get their turn.

        The head stays and nothing counts as changed. Cut short, some of them are left, and another call removes them. A batch
        at or below `upto` that is appended later is in nobody's way: it does not move the head, and whether it counts as
        appended or as repeated is open. No error if there is nothing.
        """
        ...

    async def drop(self, run_key: bytes) -> None:
        """Removes everything of a run. No error if there is nothing."""
        ...

    async def close(self) -> None:
        """Releases files and connections. The log is not usable afterwards."""
        ...
