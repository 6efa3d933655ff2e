"""The metric log on MongoDB: one document per batch, groups of appends in transactions.

A batch is `{_id, d: digest, h: chain, n: points, m: durable points, a: rank, c: content, k}`. Its `_id` is run, writer and
sequence, 40 bytes: the dedup key, the order of a scan and the shard key in one index. `k` repeats it where the batch defines
keys, in a sparse index. A writer is `{_id: run and writer, 32 bytes, h: its head, l: lane, n: number}`. Batches, heads and
numbers are written in one transaction: a head never is before or after its batches, whatever is killed. A request that counts
once is `{_id: run and request, 32 bytes}`, written in the transaction of its batch.

Changes are numbered, so that a cursor skips nothing. One counter for all would make appends wait for each other, so there are
`LANES` of them. An append takes numbers from one lane, for each writer that grew, in its transaction. Two transactions on one
lane cannot both commit, so within a lane numbers are in the order of the commits: who sees one sees all before it, whichever
replica wrote them. A cursor is the last number seen of each lane, and `changes` reads all lanes at one moment, because a
writer moves to another lane when it grows. No clock is involved.
"""

import asyncio
import errno
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from pymongo import ASCENDING, ReturnDocument, UpdateOne

from penstock_kit.stores.errors import StoreClosed, StoreError, StoreUnavailable
from penstock_kit.stores.metric_log import (
    RUNS_PER_READ_MAX,
    AppendOutcome,
    BatchRecord,
    LogChange,
    LogChanges,
    LogFull,
    WriterHead,
)
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.connection import DuplicateKey, MongoConnection

__all__ = ["MongoMetricLog"]

LANES: Final = 16  # more than there are replicas times `APPENDS_IN_FLIGHT_MAX`, so that they seldom meet
APPENDS_IN_FLIGHT_MAX: Final = 4  # transactions of this process, each with writers of its own
APPEND_BYTES: Final = 2_000_000  # several of these beside each other are quicker than one as large as all
GROUP_BYTES_MAX: Final = 4_000_000  # MongoDB slows down with larger transactions; a group beyond holds one append
BATCHES_PER_SWEEP: Final = 500  # of a dropped run, per transaction
BATCHES_PER_TRIM: Final = 200  # per command
SCAN_ROWS_FIRST: Final = 8
SCAN_ROWS_MAX: Final = 5_000  # per command
SETTLE_S: Final = 0.02
DUPLICATE_ATTEMPTS_MAX: Final = 20  # each time another process was quicker with one of the batches

_BATCHES: Final = "metric_batches"
_WRITERS: Final = "metric_writers"
_REQUESTS: Final = "metric_requests"
_NUMBER_BYTES: Final = 8
_THERE: Final = {"dropped": {"$exists": False}}


@dataclass(frozen=True, slots=True)
class _Append:
    records: Sequence[BatchRecord]
    writers: frozenset[bytes]
    size: int
    done: "asyncio.Future[list[AppendOutcome]]"


class MongoMetricLog:
    """The metric log port on one database of MongoDB. Made by `open`.

    Calls raise `StoreUnavailable` where the server does not answer in time. An append that ends so may have happened; it may
    be repeated.
    """

    append_bytes: Final = APPEND_BYTES
    appends_at_once: Final = APPENDS_IN_FLIGHT_MAX

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection
        self._batches: Any = connection.database[_BATCHES]
        self._writers: Any = connection.database[_WRITERS]
        self._requests: Any = connection.database[_REQUESTS]
        self._waiting: deque[_Append] = deque()
        self._in_flight: Counter[bytes] = Counter()  # writers
        self._committing: set[asyncio.Task[None]] = set()
        # Those used last are used again: so processes end up with lanes of their own.
        self._lanes = random.sample(range(LANES), LANES)
        self._new_at_once = asyncio.Semaphore(APPENDS_IN_FLIGHT_MAX)
        self._new_in_flight: set[asyncio.Task[set[bytes]]] = set()
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, driver: MongoDriver = "motor") -> Self:
        """Connects, and finishes what drops that were cut short left.

        Raises `StoreUnavailable`, `StoreMisconfigured`.
        """
        connection = await MongoConnection.open(url, driver)
        log = cls(connection)
        try:
            with connection.translated():
                await log._batches.create_index([("k", ASCENDING)], name="key_definitions", sparse=True)
                await log._writers.create_index(
                    [("l", ASCENDING), ("n", ASCENDING)],
                    name="changes",
                    partialFilterExpression={"l": {"$exists": True}},
                )
                await log._writers.create_index([("dropped", ASCENDING)], name="dropped", sparse=True)
            await log._sweep({"dropped": True})
        except BaseException:
            await connection.close()
            raise
        return log

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        """See `MetricLog.append`.

        Appends that wait share transactions. Those of one writer are kept in the order of the calls.
        """
        if self._closed:
            raise StoreClosed("the metric log is closed")
        if not records:
            return []
        writers = frozenset(record.run_key + record.writer_key for record in records)
        size = sum(len(record.content) for record in records)
        append = _Append(records, writers, size, asyncio.get_running_loop().create_future())
        self._waiting.append(append)
        self._start()
        return await append.done

    async def append_new(self, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        """See `MetricLog.append_new`."""
        if self._closed:
            raise StoreClosed("the metric log is closed")
        if not requests:
            return set()
        task = asyncio.create_task(self._commit_new(requests))
        self._new_in_flight.add(task)
        task.add_done_callback(self._new_in_flight.discard)
        return await asyncio.shield(task)

    async def head(self, run_key: bytes, writer_key: bytes) -> WriterHead | None:
        """See `MetricLog.head`."""
        with self._connection.translated():
            row = await self._writers.find_one({"_id": run_key + writer_key, **_THERE})
        return None if row is None else _head(row)

    async def heads(self, run_key: bytes) -> list[WriterHead]:
        """See `MetricLog.heads`."""
        with self._connection.translated():
            found = self._writers.find({"_id": _below(run_key, 16), **_THERE}).sort([("_id", ASCENDING)])
            return [_head(row) for row in await found.to_list(None)]

    async def heads_of(self, run_keys: Sequence[bytes]) -> dict[bytes, list[WriterHead]]:
        """See `MetricLog.heads_of`."""
        if len(run_keys) > RUNS_PER_READ_MAX:
            raise ValueError(f"{len(run_keys)} runs in one read; at most {RUNS_PER_READ_MAX} are allowed")
        found: dict[bytes, list[WriterHead]] = {run_key: [] for run_key in run_keys}
        if not found:
            return found
        ranges = [{"_id": _below(run_key, 16)} for run_key in found]
        with self._connection.translated():
            rows = self._writers.find({"$or": ranges, **_THERE}).sort([("_id", ASCENDING)])
            for row in await rows.to_list(None):
                head = _head(row)
                found[head.run_key].append(head)
        return found

    async def batch(self, run_key: bytes, writer_key: bytes, sequence: int) -> BatchRecord | None:
        """See `MetricLog.batch`."""
        with self._connection.translated():
            row = await self._batches.find_one({"_id": _batch_id(run_key + writer_key, sequence)})
        return None if row is None else _record(row)

    async def scan(
        self,
        run_key: bytes,
        writer_key: bytes,
        *,
        after: int = 0,
        bytes_max: int = 8_000_000,
        key_definitions_only: bool = False,
    ) -> list[BatchRecord]:
        """See `MetricLog.scan`."""
        writer = run_key + writer_key
        order = "k" if key_definitions_only else "_id"
        end = writer + b"\xff" * _NUMBER_BYTES
        found: list[BatchRecord] = []
        size = 0
        wanted = SCAN_ROWS_FIRST
        while True:
            # As many as will do, by the size of those before: the server would send more than that by itself.
            condition = {order: {"$gt": _batch_id(writer, after), "$lte": end}}
            with self._connection.translated():
                rows = self._batches.find(condition).sort([(order, ASCENDING)]).limit(wanted).batch_size(wanted)
                records = [_record(row) for row in await rows.to_list(None)]
            for record in records:
                found.append(record)
                size += len(record.content)
                if size > bytes_max:
                    return found
            if len(records) < wanted:
                return found
            after = records[-1].sequence
            wanted = min(SCAN_ROWS_MAX, (bytes_max - size) * len(found) // max(size, 1) + 1)

    async def changes(self, cursor: bytes, *, limit: int = 1000) -> LogChanges:
        """See `MetricLog.changes`. The cursor is the last number of each lane, `LANES` times 8 bytes."""
        seen = _numbers(cursor)
        condition = {"$or": [{"l": lane, "n": {"$gt": number}} for lane, number in enumerate(seen)]}
        with self._connection.translated():
            async with self._connection.snapshot() as session:
                found = self._writers.find(condition, {"l": 1, "n": 1}, session=session)
                rows = await found.sort([("l", ASCENDING), ("n", ASCENDING)]).limit(limit + 1).to_list(None)
        page = rows[:limit]
        for row in page:
            seen[row["l"]] = row["n"]
        runs = dict.fromkeys(bytes(row["_id"][:16]) for row in page)
        packed = b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in seen)
        return LogChanges([LogChange(run) for run in runs], packed, len(rows) > limit)

    async def trim(self, run_key: bytes, writer_key: bytes, upto: int) -> None:
        """See `MetricLog.trim`. No transaction: whoever trims has the batches elsewhere, and a rest is trimmed later."""
        writer = run_key + writer_key
        there = {"$gte": writer + bytes(_NUMBER_BYTES), "$lte": _batch_id(writer, upto)}
        with self._connection.translated():
            while True:
                found = self._batches.find({"_id": there}, {"_id": 1}).sort([("_id", ASCENDING)])
                ids = await found.limit(BATCHES_PER_TRIM).to_list(None)
                if ids:
                    await self._batches.delete_many({"_id": {"$gte": ids[0]["_id"], "$lte": ids[-1]["_id"]}})
                if len(ids) < BATCHES_PER_TRIM:
                    return

    async def drop(self, run_key: bytes) -> None:
        """See `MetricLog.drop`. The heads are gone at once; requests and batches are then removed a few at a time."""
        writers = {"_id": _below(run_key, 16)}

        async def work(session: Any) -> None:
            change = {"$set": {"dropped": True}, "$unset": {"h": "", "l": "", "n": ""}}
            await self._writers.update_many(writers, change, session=session)

        await self._connection.transaction(work)
        await self._sweep(writers | {"dropped": True})

    async def close(self) -> None:
        """See `MetricLog.close`. Finishes the appends that wait."""
        self._closed = True
        while self._committing:
            await asyncio.gather(*self._committing)
        while self._new_in_flight:
            await asyncio.wait(self._new_in_flight)
        await self._connection.close()

    def _start(self) -> None:
        """Starts transactions of what waits, as far as may be in flight."""
        while self._waiting and len(self._committing) < APPENDS_IN_FLIGHT_MAX:
            group = self._take_group()
            if not group:
                return
            for append in group:
                self._in_flight.update(append.writers)
            committing = asyncio.create_task(self._commit_group(group))
            self._committing.add(committing)

    def _take_group(self) -> list[_Append]:
        """Takes the appends to commit next, oldest first. None is taken past another one with the same writer."""
        group: list[_Append] = []
        size = 0
        passed: list[_Append] = []
        busy = set(self._in_flight)
        while self._waiting:
            append = self._waiting.popleft()
            if group and size + append.size > GROUP_BYTES_MAX:
                self._waiting.appendleft(append)
                break
            if busy & append.writers:
                busy |= append.writers
                passed.append(append)
                continue
            group.append(append)
            size += append.size
        self._waiting.extendleft(reversed(passed))
        return group

    async def _commit_group(self, group: Sequence[_Append]) -> None:
        lane = self._lanes.pop()
        try:
            outcomes = await self._commit(group, lane)
        finally:
            self._lanes.append(lane)
            for append in group:
                self._in_flight.subtract(append.writers)
            self._in_flight = +self._in_flight
            task = asyncio.current_task()
            assert task is not None
            self._committing.discard(task)
            self._start()
        for append, outcome in zip(group, outcomes, strict=True):
            if append.done.done():  # the caller was cancelled
                continue
            if isinstance(outcome, Exception):
                append.done.set_exception(outcome)
            else:
                append.done.set_result(outcome)

    async def _commit(self, group: Sequence[_Append], lane: int) -> Sequence[list[AppendOutcome] | Exception]:
        try:
            outcomes = await self._commit_together([record for append in group for record in append.records], lane)
        except StoreUnavailable as error:
            return [error] * len(group)
        except Exception as error:
            if len(group) > 1:
                # Each alone, so that only those suffer that do not fit.
                return [outcome for append in group for outcome in await self._commit([append], lane)]
            return [_as_log_full(error)]
        each = iter(outcomes)
        return [[next(each) for _ in append.records] for append in group]

    async def _commit_together(self, records: Sequence[BatchRecord], lane: int) -> list[AppendOutcome]:
        # That a batch is there already is rare and costs a read, so it is only looked for once it was met.
        look = False

        async def work(session: Any) -> list[AppendOutcome]:
            digests = await self._digests(records, session) if look else {}
            outcomes: list[AppendOutcome] = []
            fresh: list[dict[str, Any]] = []
            newest: dict[bytes, BatchRecord] = {}
            for record in records:
                writer = record.run_key + record.writer_key
                id = _batch_id(writer, record.sequence)
                there = digests.get(id)
                if there is not None:
                    outcomes.append(AppendOutcome.REPEATED if there == record.digest else AppendOutcome.CONFLICT)
                    continue
                digests[id] = record.digest
                fresh.append(_batch_row(id, record))
                if writer not in newest or record.sequence > newest[writer].sequence:
                    newest[writer] = record
                outcomes.append(AppendOutcome.APPENDED)
            if fresh:
                await self._grow(newest, lane, session)
                await self._batches.insert_many(fresh, session=session)
            return outcomes

        for _ in range(DUPLICATE_ATTEMPTS_MAX):
            try:
                return await self._connection.transaction(work)
            except DuplicateKey:
                look = True
                # Or the run was dropped by somebody who did not come to the end, and what is left is in the way.
                writers = {record.run_key + record.writer_key for record in records}
                await self._sweep({"_id": {"$in": list(writers)}, "dropped": True})
        return await self._connection.transaction(work)

    async def _commit_new(self, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        async with self._new_at_once:
            lane = self._lanes.pop()
            try:
                return await self._commit_new_on(lane, requests)
            except OSError as error:
                raise _as_log_full(error) from error
            finally:
                self._lanes.append(lane)

    async def _commit_new_on(self, lane: int, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        records = list(requests.values())
        last = records[-1]
        writer = last.run_key + last.writer_key
        ids = [last.run_key + request for request in requests]

        async def work(session: Any) -> None:
            await self._requests.insert_many([{"_id": id} for id in ids], session=session)
            await self._grow({writer: last}, lane, session)
            await self._batches.insert_many(
                [_batch_row(_batch_id(writer, record.sequence), record) for record in records], session=session
            )

        for _ in range(DUPLICATE_ATTEMPTS_MAX):
            try:
                await self._connection.transaction(work)
            except DuplicateKey:
                with self._connection.translated():
                    found = self._requests.find({"_id": {"$in": ids}})
                    taken = {bytes(row["_id"][16:]) async for row in found}
                if taken:
                    return taken
                # Whoever took it has committed, and a majority is about to know.
                await asyncio.sleep(SETTLE_S)
            else:
                return set()
        raise StoreError(
            "The metric log", "has a batch that nobody should have appended", "The server's log tells more."
        )

    async def _digests(self, records: Sequence[BatchRecord], session: Any) -> dict[bytes, bytes]:
        ids = list({_batch_id(record.run_key + record.writer_key, record.sequence) for record in records})
        found = self._batches.find({"_id": {"$in": ids}}, {"d": 1}, session=session)
        return {row["_id"]: row["d"] async for row in found}

    async def _grow(self, newest: Mapping[bytes, BatchRecord], lane: int, session: Any) -> None:
        """Moves the heads of writers on, and gives each a new number of the lane."""
        counter = await self._writers.find_one_and_update(
            {"_id": lane},
            {"$inc": {"last": len(newest)}},
            projection={"last": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        first = counter["last"] - len(newest) + 1
        await self._writers.bulk_write(
            [
                UpdateOne({"_id": writer, **_THERE}, _growth(record, lane, number), upsert=True)
                for number, (writer, record) in enumerate(newest.items(), first)
            ],
            session=session,
        )

    async def _sweep(self, dropped: Mapping[str, Any]) -> None:
        """Removes what is left of dropped writers."""
        with self._connection.translated():
            writers = [row["_id"] async for row in self._writers.find(dropped, {"_id": 1})]
            for run_key in {writer[:16] for writer in writers}:
                # Where the run has come again meanwhile, its requests are told from the old ones by nothing: they all stay.
                if await self._writers.find_one({"_id": _below(run_key, 16), **_THERE}, {"_id": 1}) is None:
                    await self._requests.delete_many({"_id": _below(run_key, 16)})
        for writer in writers:
            while not await self._connection.transaction(
                lambda session, writer=writer: self._sweep_some(writer, session)
            ):
                pass

    async def _sweep_some(self, writer: bytes, session: Any) -> bool:
        """Removes some batches of a dropped writer, and the writer with the last. Returns whether nothing is left."""
        # Written, not only read: so of two who sweep, one cannot remove what was appended after the other was done.
        there = await self._writers.update_one(
            {"_id": writer, "dropped": True}, {"$inc": {"sweeps": 1}}, session=session
        )
        if not there.matched_count:
            return True
        found = self._batches.find({"_id": _below(writer, _NUMBER_BYTES)}, {"_id": 1}, session=session)
        ids = [row["_id"] async for row in found.limit(BATCHES_PER_SWEEP)]
        await self._batches.delete_many({"_id": {"$in": ids}}, session=session)
        if len(ids) == BATCHES_PER_SWEEP:
            return False
        await self._writers.delete_one({"_id": writer}, session=session)
        return True


def _growth(record: BatchRecord, lane: int, number: int) -> list[dict[str, Any]]:
    head = {
        "s": record.sequence,
        "d": record.digest,
        "h": record.chain,
        "m": record.durable_points,
        "a": record.rank,
    }
    higher = {"$gt": [record.sequence, {"$ifNull": ["$h.s", 0]}]}
    return [{"$set": {"h": {"$cond": [higher, {"$literal": head}, "$h"]}, "l": lane, "n": number}}]


def _batch_row(id: bytes, record: BatchRecord) -> dict[str, Any]:
    row = {
        "_id": id,
        "d": record.digest,
        "h": record.chain,
        "n": record.points,
        "m": record.durable_points,
        "a": record.rank,
        "c": record.content,
    }
    return row | {"k": id} if record.defines_keys else row


def _record(row: Mapping[str, Any]) -> BatchRecord:
    id = row["_id"]
    return BatchRecord(
        run_key=id[:16],
        writer_key=id[16:32],
        sequence=int.from_bytes(id[32:], "big"),
        digest=row["d"],
        chain=row["h"],
        points=row["n"],
        durable_points=row["m"],
        defines_keys="k" in row,
        rank=row["a"],
        content=row["c"],
    )


def _head(row: Mapping[str, Any]) -> WriterHead:
    id, head = row["_id"], row["h"]
    return WriterHead(id[:16], id[16:], head["s"], head["d"], head["h"], head["m"], head["a"])


def _batch_id(writer: bytes, sequence: int) -> bytes:
    return writer + sequence.to_bytes(_NUMBER_BYTES, "big")


def _below(prefix: bytes, rest_bytes: int) -> dict[str, bytes]:
    """The ids that begin with `prefix` and have `rest_bytes` more."""
    return {"$gte": prefix + bytes(rest_bytes), "$lte": prefix + b"\xff" * rest_bytes}


def _numbers(cursor: bytes) -> list[int]:
    numbers = [
        int.from_bytes(cursor[start : start + _NUMBER_BYTES], "big") for start in range(0, len(cursor), _NUMBER_BYTES)
    ]
    return numbers + [0] * (LANES - len(numbers))


def _as_log_full(error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        full = LogFull(str(error))
        full.__cause__ = error
        return full
    return error
