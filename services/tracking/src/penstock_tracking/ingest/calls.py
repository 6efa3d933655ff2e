"""Points that come in calls of their own, without a stream: one writer per run in this process, and each call counts once.

The metric log itself remembers the calls of a run, in the commit that appends their batches. So a repeat is known, whichever
process took the first one, and after any crash: a call is either remembered and its points are there, or neither.

The writers are this process's own. They are as few as there are processes, however many calls there are, and readers look up
no more. One that may not be where it seems, after an append without an answer, is left, and the next call begins another.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from penstock_kit.errors import Unavailable
from penstock_kit.stores.metric_log import BatchRecord, LogFull, MetricLog
from penstock_kit.threads import in_thread
from penstock_tracking.ingest.codec import CheckedContent, digest_of
from penstock_tracking.ingest.committer import GroupCommitter, StorageFull
from penstock_tracking.ingest.writer import CHAIN_START, chained

__all__ = ["CALL_ID_BYTES", "WRITERS_KEPT_MAX", "CallWriters"]

CALL_ID_BYTES: Final = 16
WRITERS_KEPT_MAX: Final = 1_000  # of as many runs; those longest without calls are left first
KEYS_KEPT_MAX: Final = 200_000  # of all writers together, likewise
KEYS_PER_WRITER_KEPT_MAX: Final = 50_000  # a run whose calls name ever new metrics begins another writer


@dataclass(frozen=True, slots=True)
class _Writer:
    """Where a writer stands: never changed, so that an append that is not kept leaves it as it was."""

    key: bytes
    sequence: int
    chain: bytes
    points: int
    numbers: dict[str, int]  # of its metric keys

    @classmethod
    def new(cls) -> "_Writer":
        return cls(os.urandom(16), 0, CHAIN_START, 0, {})


@dataclass(slots=True)
class _Waiting:
    call_id: bytes
    checked: CheckedContent
    counted: "asyncio.Future[bool]"


@dataclass(slots=True)
class _Run:
    writer: _Writer = field(default_factory=_Writer.new)
    waiting: list[_Waiting] = field(default_factory=list)
    appending: asyncio.Task[None] | None = None


class CallWriters:
    """Appends the points of calls, those of one run that wait together in one commit."""

    def __init__(self, log: MetricLog, committer: GroupCommitter) -> None:
        self._log = log
        self._committer = committer
        self._runs: OrderedDict[bytes, _Run] = OrderedDict()  # the longest unused first
        self._keys_kept = 0

    async def append(self, run_key: bytes, call_id: bytes, checked: CheckedContent) -> bool:
        """Appends the points of a call, unless it counted before. Returns whether they were appended; then they are durable.

        Waits while the committer is full.

        Args:
            call_id: `CALL_ID_BYTES` bytes, the same for a repeat.
            checked: The points, with keys that the content defines itself, numbered from 0.

        Raises:
            StorageFull: There is no room; nothing was kept.
            Unavailable: The log did not answer. The call may have counted; a repeat finds out.
        """
        room = await self._committer.reserve(len(checked.content))
        try:
            run = self._run(run_key)
            waiting = _Waiting(call_id, checked, asyncio.get_running_loop().create_future())
            run.waiting.append(waiting)
            if run.appending is None:
                run.appending = asyncio.create_task(self._append_waiting(run_key, run), name="append-calls")
            return await waiting.counted
        finally:
            self._committer.release(room)

    def _run(self, run_key: bytes) -> _Run:
        run = self._runs.get(run_key)
        if run is None:
            run = self._runs[run_key] = _Run()
        self._runs.move_to_end(run_key)
        while len(self._runs) > WRITERS_KEPT_MAX or (self._keys_kept > KEYS_KEPT_MAX and len(self._runs) > 1):
            _, left = self._runs.popitem(last=False)  # if it is appending it goes on, and is forgotten after
            self._keys_kept -= len(left.writer.numbers)
        return run

    def _move(self, run_key: bytes, run: _Run, writer: _Writer) -> None:
        """Takes note where the writer of a run stands."""
        if self._runs.get(run_key) is run:
            self._keys_kept += len(writer.numbers) - len(run.writer.numbers)
        run.writer = writer

    async def _append_waiting(self, run_key: bytes, run: _Run) -> None:
        try:
            while run.waiting:
                await self._append_group(run_key, run, self._take_group(run))
        finally:
            run.appending = None

    def _take_group(self, run: _Run) -> list[_Waiting]:
        """The calls to append next, in their order, about as many bytes as are good for the log. None is in it twice."""
        group: dict[bytes, _Waiting] = {}
        left: list[_Waiting] = []
        size = 0
        for waiting in run.waiting:
            full = group and size + len(waiting.checked.content) > self._log.append_bytes
            if full or waiting.call_id in group:
                left.append(waiting)
                continue
            group[waiting.call_id] = waiting
            size += len(waiting.checked.content)
        run.waiting = left
        return list(group.values())

    async def _append_group(self, run_key: bytes, run: _Run, group: Sequence[_Waiting]) -> None:
        try:
            records, writer = await in_thread(_batches_of, run_key, run.writer, group)
            requests = dict(zip((waiting.call_id for waiting in group), records, strict=True))
            taken = await self._log.append_new(requests)
        except LogFull:
            _fail(group, StorageFull("The server's disk is full: nothing of the batch was kept."))
        except Exception as error:
            self._move(run_key, run, _Writer.new())
            _fail(group, error)
        except BaseException:
            self._move(run_key, run, _Writer.new())
            _fail(group, Unavailable("The server is stopping. The batch may have been logged: send it again."))
            raise
        else:
            if not taken:
                self._move(run_key, run, writer)
            # If some counted before, nothing was kept: the others go once more, before what came meanwhile.
            run.waiting[:0] = [waiting for waiting in group if taken and waiting.call_id not in taken]
            for waiting in group:
                if not waiting.counted.done() and (not taken or waiting.call_id in taken):
                    waiting.counted.set_result(not taken)


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for waiting in group:
        if not waiting.counted.done():
            waiting.counted.set_exception(error)


def _batches_of(run_key: bytes, writer: _Writer, group: Sequence[_Waiting]) -> tuple[list[BatchRecord], _Writer]:
    """The calls as the next batches of a writer, and where it stands once they are appended."""
    records: list[BatchRecord] = []
    if len(writer.numbers) > KEYS_PER_WRITER_KEPT_MAX:
        writer = _Writer.new()
    numbers = dict(writer.numbers)
    sequence, chain, points = writer.sequence, writer.chain, writer.points
    for waiting in group:
        checked = waiting.checked
        content, defines_keys = _renumbered(checked, numbers)
        digest = digest_of(content)
        sequence += 1
        chain = chained(chain, digest)
        points += checked.points
        records.append(
            BatchRecord(
                run_key=run_key,
                writer_key=writer.key,
                sequence=sequence,
                digest=digest,
                chain=chain,
                points=checked.points,
                durable_points=points,
                defines_keys=defines_keys,
                rank=0,
                content=content,
            )
        )
    return records, _Writer(writer.key, sequence, chain, points, numbers)


def _renumbered(checked: CheckedContent, numbers: dict[str, int]) -> tuple[bytes, bool]:
    """Content with the writer's numbers for its keys, and whether it defines any. New keys are added to `numbers`."""
    known = len(numbers)
    number_of = [numbers.setdefault(key, len(numbers)) for key in checked.new_keys]
    if number_of == list(range(len(number_of))) and known == 0:
        return checked.content, True
    message: Any = type(checked.message)()
    message.CopyFrom(checked.message)
    del message.new_keys[:]
    for key, number in zip(checked.new_keys, number_of, strict=True):
        if number >= known:
            message.new_keys.add(id=number, key=key)
    for block in message.blocks:
        block.key_ids[:] = [number_of[local] for local in block.key_ids]
    return message.SerializeToString(deterministic=True), len(numbers) > known
