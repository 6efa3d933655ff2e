"""The metric log on SQLite: the contract, and what is peculiar to a file."""

import asyncio
import signal
import sqlite3
import stat
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock_kit.stores.contract.metric_log import RUN, WRITER, MetricLogContract, batch_of
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.embedded.sqlite import StoreFileDamaged, StoreFileNewer
from penstock_kit.stores.metric_log import AppendOutcome, LogFull, MetricLog


class TestSqliteMetricLog(MetricLogContract):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[SqliteMetricLog]:
        self.path = tmp_path / "metrics.db"
        log = await SqliteMetricLog.open(self.path)
        yield log
        await log.close()

    async def reopen(self, log: MetricLog) -> MetricLog:
        await log.close()
        return await SqliteMetricLog.open(self.path)


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    log = await SqliteMetricLog.open(tmp_path / "metrics.db")
    await log.append([batch_of(1)])
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["metrics.db", "metrics.db-shm", "metrics.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await log.close()


async def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(StoreFileDamaged, match=r"metrics\.db"):
        await SqliteMetricLog.open(path)


async def test_a_log_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    await (await SqliteMetricLog.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFileNewer, match="schema version 99"):
        await SqliteMetricLog.open(path)


async def test_a_full_disk_keeps_nothing_of_the_append_and_all_before(tmp_path: Path) -> None:
    log = await SqliteMetricLog.open(tmp_path / "metrics.db")
    await log.append([batch_of(1)])
    await _limit_pages(log, more=4)
    large = batch_of(2, content=bytes(1_000_000))
    with pytest.raises(LogFull):
        await log.append([batch_of(1, writer_key=b"n" * 16), large])
    assert await log.scan(RUN, WRITER) == [batch_of(1)]
    assert [head.sequence for head in await log.heads(RUN)] == [1]

    outcomes = await asyncio.gather(
        log.append([batch_of(2, content=b"small")]),
        log.append([batch_of(1, writer_key=b"n" * 16, content=bytes(1_000_000))]),
        log.append([batch_of(3, content=b"small")]),
        return_exceptions=True,
    )
    assert outcomes[0] == outcomes[2] == [AppendOutcome.APPENDED]
    assert isinstance(outcomes[1], LogFull)

    await _limit_pages(log, more=1_000)
    assert await log.append([batch_of(1, writer_key=b"n" * 16, content=bytes(1_000_000))]) == [AppendOutcome.APPENDED]
    assert [batch.sequence for batch in await log.scan(RUN, WRITER)] == [1, 2, 3]
    await log.close()


async def _limit_pages(log: SqliteMetricLog, more: int) -> None:
    # There is no full disk to be had without being root; to SQLite, a file that may not grow is the same.
    def work(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    await log._file.write(work)


async def test_a_drop_that_was_cut_short_is_finished_with_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    log = await SqliteMetricLog.open(path)
    await log.append([batch_of(sequence) for sequence in range(1, 1_101)])
    await log.append([batch_of(1, run_key=b"k" * 16)])
    dropping = asyncio.ensure_future(log.drop(RUN))
    await asyncio.sleep(0)
    await log.close()
    await dropping
    assert _count(path, "batches") > 1
    log = await SqliteMetricLog.open(path)
    assert await log.scan(RUN, WRITER) == []
    await log.close()
    assert _count(path, "batches") == 1
    assert _count(path, "dropped") == 0


def _count(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()


async def test_reads_use_an_index(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    await (await SqliteMetricLog.open(path)).close()
    connection = sqlite3.connect(path)
    for statement, index in (
        ("SELECT run_key FROM writers WHERE newest_batch > 5 ORDER BY newest_batch LIMIT 9", "writers_by_change"),
        ("SELECT content FROM batches WHERE writer = 1 AND sequence > 3 ORDER BY sequence", "batches_by_sequence"),
        (
            "SELECT content FROM batches WHERE writer = 1 AND sequence > 3 AND defines_keys = 1 ORDER BY sequence",
            "batches_with_keys",
        ),
    ):
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert len(plan) == 1
        assert f"USING INDEX {index}" in plan[0]
    connection.close()


APPENDER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from penstock_kit.stores.contract.metric_log import batch_of
    from penstock_kit.stores.embedded.metric_log import SqliteMetricLog

    async def append_for_ever(log, writer):
        sequence = 0
        while True:
            sequence += 1
            await log.append([batch_of(sequence, writer_key=bytes([writer]) * 16, content=bytes([writer]) * 30_000)])
            sys.stdout.write(f"{writer} {sequence}\\n")
            sys.stdout.flush()

    async def main():
        log = await SqliteMetricLog.open(Path(sys.argv[1]))
        await asyncio.gather(*(append_for_ever(log, writer) for writer in range(4)))

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("reports", [1, 150, 400])
async def test_what_was_reported_is_there_after_a_kill(tmp_path: Path, reports: int) -> None:
    path = tmp_path / "metrics.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPENDER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(reports)]
    process.send_signal(signal.SIGKILL)
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    reported: dict[int, int] = {}
    for line in lines:
        if line.endswith(b"\n"):
            writer, sequence = map(int, line.split())
            reported[writer] = sequence

    log = await SqliteMetricLog.open(path)
    for writer, last in reported.items():
        key = bytes([writer]) * 16
        head = await log.head(RUN, key)
        assert head is not None
        assert head.sequence >= last
        batches = await log.scan(RUN, key, bytes_max=2**40)
        assert [batch.sequence for batch in batches] == list(range(1, head.sequence + 1))
        for batch in batches:
            assert batch == batch_of(batch.sequence, writer_key=key, content=bytes([writer]) * 30_000)
    await log.close()
