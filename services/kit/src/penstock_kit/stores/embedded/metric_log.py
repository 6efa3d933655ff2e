"""The metric log on SQLite: durable on one machine, a whole group of appends in one sync.

Batches are rows in the order of their commits, under a number that is never used again. A writer is known inside by a
small integer, so that the dedup index (writer, sequence) is narrow. Its head is a row of its own, written in the same
transaction; it also holds the number of its newest batch, so that `changes` costs as much as there are writers that
grew, however many batches they sent.
"""

import errno
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from penstock_kit.stores.embedded.sqlite import Schema, SqliteFile, StoreClosed
from penstock_kit.stores.metric_log import (
    RUNS_PER_READ_MAX,
    AppendOutcome,
    BatchRecord,
    LogChange,
    LogChanges,
    LogFull,
    WriterHead,
)

__all__ = ["SqliteMetricLog"]

APPEND_BYTES = 16_000_000  # one sync serves them all
BATCHES_PER_SWEEP = 500  # of a dropped run, per transaction: appends get their turn in between
BATCHES_PER_TRIM = 200  # per transaction
BYTES_PER_TRIM = 4_000_000  # of content, per transaction: every page of what is removed is looked at

_SCHEMA = Schema(
    application_id=0x50534D4C,  # "PSML"
    migrations=(
        (
            # AUTOINCREMENT in both: a number freed by a drop must not come again, or a cursor would pass over it.
            """CREATE TABLE batches (
                batch INTEGER PRIMARY KEY AUTOINCREMENT,
                writer INTEGER NOT NULL,
                sequence INTEGER NOT NULL,
                digest BLOB NOT NULL,
                chain BLOB NOT NULL,
                points INTEGER NOT NULL,
                durable_points INTEGER NOT NULL,
                rank INTEGER NOT NULL,
                defines_keys INTEGER NOT NULL,
                content BLOB NOT NULL -- last, so that the columns before are read without it
            ) STRICT""",
            "CREATE UNIQUE INDEX batches_by_sequence ON batches (writer, sequence)",
            "CREATE INDEX batches_with_keys ON batches (writer, sequence) WHERE defines_keys = 1",
            """CREATE TABLE writers (
                writer INTEGER PRIMARY KEY AUTOINCREMENT,
                run_key BLOB NOT NULL,
                writer_key BLOB NOT NULL,
                sequence INTEGER NOT NULL,
                digest BLOB NOT NULL,
                chain BLOB NOT NULL,
                durable_points INTEGER NOT NULL,
                rank INTEGER NOT NULL,
                newest_batch INTEGER NOT NULL,
                UNIQUE (run_key, writer_key)
            ) STRICT""",
            "CREATE INDEX writers_by_change ON writers (newest_batch)",
            # Writers of dropped runs whose batches are still to be removed.
            "CREATE TABLE dropped (writer INTEGER PRIMARY KEY) STRICT",
        ),
        (
            """CREATE TABLE requests (
                run_key BLOB NOT NULL,
                request BLOB NOT NULL,
                PRIMARY KEY (run_key, request)
            ) STRICT, WITHOUT ROWID""",
        ),
    ),
    # A batch of 80 kB takes 5 pages instead of 20; 16 pages of small batches share a commit.
    page_size=16_384,
    checkpoint_pages=2_000,
)

_HEAD = "run_key, writer_key, sequence, digest, chain, durable_points, rank"
_BATCH = "sequence, digest, chain, points, durable_points, defines_keys, rank, content"


class SqliteMetricLog:
    """The metric log port on one SQLite file. Made by `open`."""

    append_bytes: Final = APPEND_BYTES
    appends_at_once: Final = 1  # there is one writer

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Opens or creates the file.

        Raises `StoreFileDamaged`, `StoreFileNewer`, `StoreFileBusy`.
        """
        log = cls(await SqliteFile.open(path, _SCHEMA))
        await log._sweep()
        return log

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        """See `MetricLog.append`."""
        if not records:
            return []
        try:
            return await self._file.write(lambda connection: _append(connection, records))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise LogFull(str(error)) from error
            raise

    async def append_new(self, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        """See `MetricLog.append_new`."""
        if not requests:
            return set()
        try:
            return await self._file.write(lambda connection: _append_new(connection, requests))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise LogFull(str(error)) from error
            raise

    async def head(self, run_key: bytes, writer_key: bytes) -> WriterHead | None:
        """See `MetricLog.head`."""

        def work(connection: sqlite3.Connection) -> WriterHead | None:
            row = connection.execute(
                f"SELECT {_HEAD} FROM writers WHERE run_key = ? AND writer_key = ?", (run_key, writer_key)
            ).fetchone()
            return None if row is None else WriterHead(*row)

        return await self._file.read(work)

    async def heads(self, run_key: bytes) -> list[WriterHead]:
        """See `MetricLog.heads`."""

        def work(connection: sqlite3.Connection) -> list[WriterHead]:
            rows = connection.execute(f"SELECT {_HEAD} FROM writers WHERE run_key = ? ORDER BY writer_key", (run_key,))
            return [WriterHead(*row) for row in rows]

        return await self._file.read(work)

    async def heads_of(self, run_keys: Sequence[bytes]) -> dict[bytes, list[WriterHead]]:
        """See `MetricLog.heads_of`."""
        if len(run_keys) > RUNS_PER_READ_MAX:
            raise ValueError(f"{len(run_keys)} runs in one read; at most {RUNS_PER_READ_MAX} are allowed")

        def work(connection: sqlite3.Connection) -> dict[bytes, list[WriterHead]]:
            found: dict[bytes, list[WriterHead]] = {run_key: [] for run_key in run_keys}
            places = ", ".join("?" * len(found))
            rows = connection.execute(
                f"SELECT {_HEAD} FROM writers WHERE run_key IN ({places}) ORDER BY run_key, writer_key", list(found)
            )
            for row in rows:
                head = WriterHead(*row)
                found[head.run_key].append(head)
            return found

        return await self._file.read(work)

    async def batch(self, run_key: bytes, writer_key: bytes, sequence: int) -> BatchRecord | None:
        """See `MetricLog.batch`."""

        def work(connection: sqlite3.Connection) -> BatchRecord | None:
            row = connection.execute(
                f"SELECT {_BATCH} FROM batches WHERE sequence = ? AND writer ="
                " (SELECT writer FROM writers WHERE run_key = ? AND writer_key = ?)",
                (sequence, run_key, writer_key),
            ).fetchone()
            return None if row is None else _record(run_key, writer_key, row)

        return await self._file.read(work)

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
        only = "AND defines_keys = 1" if key_definitions_only else ""
        statement = (
            f"SELECT {_BATCH} FROM batches WHERE sequence > ? {only} AND writer ="
            " (SELECT writer FROM writers WHERE run_key = ? AND writer_key = ?) ORDER BY sequence"
        )

        def work(connection: sqlite3.Connection) -> list[BatchRecord]:
            found: list[BatchRecord] = []
            size = 0
            rows = connection.execute(statement, (after, run_key, writer_key))
            for row in rows:
                record = _record(run_key, writer_key, row)
                found.append(record)
                size += len(record.content)
                if size > bytes_max:
                    break
            rows.close()
            return found

        return await self._file.read(work)

    async def changes(self, cursor: bytes, *, limit: int = 1000) -> LogChanges:
        """See `MetricLog.changes`. The cursor is the number of a batch, 8 bytes."""
        since = int.from_bytes(cursor, "big")

        def work(connection: sqlite3.Connection) -> LogChanges:
            rows = connection.execute(
                "SELECT newest_batch, run_key FROM writers WHERE newest_batch > ? ORDER BY newest_batch LIMIT ?",
                (since, limit + 1),
            ).fetchall()
            page = rows[:limit]
            newest = page[-1][0] if page else since
            runs = dict.fromkeys(run_key for _, run_key in page)
            return LogChanges([LogChange(run) for run in runs], newest.to_bytes(8, "big"), len(rows) > limit)

        return await self._file.read(work)

    async def trim(self, run_key: bytes, writer_key: bytes, upto: int) -> None:
        """See `MetricLog.trim`."""
        while await self._file.write(lambda connection: _trim_some(connection, run_key, writer_key, upto)):
            pass

    async def drop(self, run_key: bytes) -> None:
        """See `MetricLog.drop`. The run is gone at once; its batches are then removed a few at a time."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO dropped SELECT writer FROM writers WHERE run_key = ?", (run_key,))
            connection.execute("DELETE FROM writers WHERE run_key = ?", (run_key,))
            connection.execute("DELETE FROM requests WHERE run_key = ?", (run_key,))

        await self._file.write(work)
        await self._sweep()

    async def close(self) -> None:
        """See `MetricLog.close`."""
        await self._file.close()

    async def _sweep(self) -> None:
        try:
            while await self._file.write(_sweep_some):
                pass
        except StoreClosed:
            return  # the next open goes on


def _append(connection: sqlite3.Connection, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
    outcomes: list[AppendOutcome] = []
    for record in records:
        writer, sequence = _writer_of(connection, record)
        inserted = connection.execute(
            "INSERT INTO batches (writer, sequence, digest, chain, points, durable_points, rank, defines_keys, content)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (writer, sequence) DO NOTHING",
            (
                writer,
                record.sequence,
                record.digest,
                record.chain,
                record.points,
                record.durable_points,
                record.rank,
                record.defines_keys,
                record.content,
            ),
        )
        if not inserted.rowcount:
            digest = connection.execute(
                "SELECT digest FROM batches WHERE writer = ? AND sequence = ?", (writer, record.sequence)
            ).fetchone()[0]
            outcomes.append(AppendOutcome.REPEATED if digest == record.digest else AppendOutcome.CONFLICT)
            continue
        if record.sequence > sequence:
            connection.execute(
                "UPDATE writers SET sequence = ?, digest = ?, chain = ?, durable_points = ?, rank = ?, newest_batch = ?"
                " WHERE writer = ?",
                (
                    record.sequence,
                    record.digest,
                    record.chain,
                    record.durable_points,
                    record.rank,
                    inserted.lastrowid,
                    writer,
                ),
            )
        else:
            connection.execute("UPDATE writers SET newest_batch = ? WHERE writer = ?", (inserted.lastrowid, writer))
        outcomes.append(AppendOutcome.APPENDED)
    return outcomes


def _append_new(connection: sqlite3.Connection, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
    taken = {
        request
        for request, record in requests.items()
        if connection.execute(
            "SELECT 1 FROM requests WHERE run_key = ? AND request = ?", (record.run_key, request)
        ).fetchone()
    }
    if not taken:
        connection.executemany(
            "INSERT INTO requests (run_key, request) VALUES (?, ?)",
            [(record.run_key, request) for request, record in requests.items()],
        )
        _append(connection, list(requests.values()))
    return taken


def _writer_of(connection: sqlite3.Connection, record: BatchRecord) -> tuple[int, int]:
    """Returns the number of a record's writer and the sequence of its head, adding the writer if it is new."""
    known = connection.execute(
        "SELECT writer, sequence FROM writers WHERE run_key = ? AND writer_key = ?", (record.run_key, record.writer_key)
    ).fetchone()
    if known is not None:
        return known
    added = connection.execute(
        f"INSERT INTO writers ({_HEAD}, newest_batch) VALUES (?, ?, 0, ?, ?, 0, ?, 0)",
        (record.run_key, record.writer_key, record.digest, record.chain, record.rank),
    )
    assert added.lastrowid is not None
    return added.lastrowid, 0


def _trim_some(connection: sqlite3.Connection, run_key: bytes, writer_key: bytes, upto: int) -> bool:
    """Removes the first batches of a writer up to a sequence. Returns whether there may be more."""
    found = connection.execute(
        "SELECT batch, length(content) FROM batches WHERE sequence <= ? AND writer ="
        " (SELECT writer FROM writers WHERE run_key = ? AND writer_key = ?) ORDER BY sequence LIMIT ?",
        (upto, run_key, writer_key, BATCHES_PER_TRIM),
    ).fetchall()
    size = 0
    for removed, (batch, content_bytes) in enumerate(found):
        if size > BYTES_PER_TRIM:
            return removed > 0
        connection.execute("DELETE FROM batches WHERE batch = ?", (batch,))
        size += content_bytes
    return len(found) == BATCHES_PER_TRIM


def _sweep_some(connection: sqlite3.Connection) -> bool:
    """Removes some batches of dropped runs. Returns whether there was anything to remove."""
    dropped = connection.execute("SELECT writer FROM dropped LIMIT 1").fetchone()
    if dropped is None:
        return False
    removed = connection.execute(
        "DELETE FROM batches WHERE batch IN (SELECT batch FROM batches WHERE writer = ? LIMIT ?)",
        (dropped[0], BATCHES_PER_SWEEP),
    ).rowcount
    if removed < BATCHES_PER_SWEEP:
        connection.execute("DELETE FROM dropped WHERE writer = ?", dropped)
    return True


def _record(run_key: bytes, writer_key: bytes, row: tuple[Any, ...]) -> BatchRecord:
    sequence, digest, chain, points, durable_points, defines_keys, rank, content = row
    return BatchRecord(
        run_key, writer_key, sequence, digest, chain, points, durable_points, bool(defines_keys), rank, content
    )
