"""The metric log on MongoDB: the contract through both drivers, and what is peculiar to a server."""

import asyncio
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.mongo import elect_quickly, failing, reported

from penstock_kit.stores.contract.metric_log import RUN, WRITER, MetricLogContract, batch_of
from penstock_kit.stores.errors import StoreClosed, StoreError, StoreUnavailable
from penstock_kit.stores.metric_log import AppendOutcome, LogFull, MetricLog
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.metric_log import LANES, MongoMetricLog
from penstock_local.servers import MongoServer

APPENDED = AppendOutcome.APPENDED
Opened = Callable[..., Awaitable[MongoMetricLog]]


class TestMongoMetricLog(MetricLogContract):
    @pytest.fixture(params=["motor", "pymongo"])
    def driver(self, request: pytest.FixtureRequest) -> MongoDriver:
        return request.param

    @pytest.fixture
    async def log(self, mongodb_url: str, driver: MongoDriver) -> AsyncIterator[MongoMetricLog]:
        self.url, self.driver = mongodb_url, driver
        log = await MongoMetricLog.open(mongodb_url, driver=driver)
        yield log
        await log.close()

    async def reopen(self, log: MetricLog) -> MetricLog:
        await log.close()
        return await MongoMetricLog.open(self.url, driver=self.driver)


@pytest.fixture
async def opened(mongodb_url: str) -> AsyncIterator[Opened]:
    """Opens logs on one database, and closes them after the test."""
    logs: list[MongoMetricLog] = []

    async def open_log(url: str = mongodb_url, driver: MongoDriver = "motor") -> MongoMetricLog:
        logs.append(await MongoMetricLog.open(url, driver=driver))
        return logs[-1]

    yield open_log
    for log in logs:
        await log.close()


async def test_closing_finishes_what_was_asked_for(opened: Opened) -> None:
    log = await opened()
    appends = [asyncio.ensure_future(log.append([batch_of(sequence)])) for sequence in range(1, 21)]
    await asyncio.sleep(0)
    await log.close()
    assert await asyncio.gather(*appends) == [[APPENDED]] * 20
    with pytest.raises(StoreClosed):
        await log.append([batch_of(21)])
    with pytest.raises(StoreClosed):
        await log.scan(RUN, WRITER)


async def test_appends_of_one_writer_happen_in_the_order_of_the_calls(opened: Opened) -> None:
    log = await opened()
    first = [asyncio.ensure_future(log.append([batch_of(1, content=bytes([n]))])) for n in range(10)]
    outcomes = await asyncio.gather(*first)
    assert [outcome.value for (outcome,) in outcomes] == ["appended"] + ["conflict"] * 9
    assert await log.scan(RUN, WRITER) == [batch_of(1, content=b"\0")]


async def test_a_follower_on_another_replica_misses_nothing(opened: Opened) -> None:
    logs = [await opened(driver=driver) for driver in ("motor", "pymongo", "motor")]
    reader = await opened(driver="pymongo")
    returned: dict[bytes, int] = {}
    writing = True

    async def write(run: bytes) -> None:
        for sequence in range(1, 31):
            # Another replica each time, as when a stream is taken over: the writer moves between lanes.
            assert await logs[sequence % 3].append([batch_of(sequence, run_key=run)]) == [APPENDED]
            returned[run] = sequence

    async def follow() -> None:
        seen: dict[bytes, int] = {}
        cursor = b""
        while writing:
            expected = dict(returned)
            more = True
            while more:
                page = await reader.changes(cursor, limit=3)
                for change in page.changes:
                    head = await reader.head(change.run_key, WRITER)
                    assert head is not None
                    seen[change.run_key] = head.sequence
                cursor, more = page.cursor, page.more
            assert all(seen.get(run, 0) >= sequence for run, sequence in expected.items())
            assert len(cursor) == LANES * 8

    following = asyncio.ensure_future(follow())
    await asyncio.gather(*(write(bytes([n]) * 16) for n in range(8)))
    writing = False
    await following


async def test_replicas_that_send_the_same(opened: Opened) -> None:
    logs = [await opened(driver=driver) for driver in ("motor", "pymongo", "motor", "pymongo")]
    batches = [batch_of(sequence) for sequence in range(1, 31)]
    outcomes = await asyncio.gather(*(log.append([batch]) for batch in batches for log in logs))
    assert sum(outcome == [APPENDED] for outcome in outcomes) == 30
    assert sum(outcome == [AppendOutcome.REPEATED] for outcome in outcomes) == 90
    assert await logs[0].scan(RUN, WRITER) == batches


async def test_no_room_keeps_nothing_of_the_append_and_all_before(opened: Opened, mongodb_url: str) -> None:
    log = await opened()
    await log.append([batch_of(1)])
    before = await log.changes(b"")
    with failing(mongodb_url, ["insert"], errorCode=14031), pytest.raises(LogFull) as error:
        await log.append([batch_of(1, writer_key=b"n" * 16), batch_of(2)])
    assert isinstance(error.value.__cause__, OSError)
    assert await log.scan(RUN, WRITER) == [batch_of(1)]
    assert [head.sequence for head in await log.heads(RUN)] == [1]
    assert await log.changes(b"") == before
    assert await log.append([batch_of(2)]) == [APPENDED]


@pytest.mark.parametrize("command", ["findAndModify", "update", "insert", "commitTransaction"])
async def test_a_lost_connection_does_not_append_twice(opened: Opened, mongodb_url: str, command: str) -> None:
    log = await opened()
    await log.append([batch_of(1)])
    cursor = (await log.changes(b"")).cursor
    with failing(mongodb_url, [command], times=1, closeConnection=True):
        assert await log.append([batch_of(2)]) == [APPENDED]
    assert await log.scan(RUN, WRITER) == [batch_of(1), batch_of(2)]
    assert [change.run_key for change in (await log.changes(cursor)).changes] == [RUN]


async def test_a_drop_that_was_cut_short_is_finished_with_the_next_start(opened: Opened, mongodb_url: str) -> None:
    log = await opened()
    await log.append([batch_of(sequence) for sequence in range(1, 1_101)])
    await log.append([batch_of(1, run_key=b"k" * 16)])
    with failing(mongodb_url, ["delete"], errorCode=8), pytest.raises(StoreError):
        await log.drop(RUN)
    assert await log.heads(RUN) == []
    assert [change.run_key for change in (await log.changes(b"")).changes] == [b"k" * 16]
    again = await opened()
    assert await again.scan(RUN, WRITER) == []
    assert await again._batches.count_documents({}) == 1
    assert await again._writers.count_documents({"dropped": True}) == 0


async def test_an_append_after_a_drop_that_was_cut_short(opened: Opened, mongodb_url: str) -> None:
    log = await opened()
    await log.append([batch_of(sequence) for sequence in range(1, 1_101)])
    with failing(mongodb_url, ["delete"], errorCode=8), pytest.raises(StoreError):
        await log.drop(RUN)
    again = batch_of(1, content=b"again")
    assert await log.append([again]) == [APPENDED]
    assert await log.scan(RUN, WRITER) == [again]
    await opened()
    assert await log.scan(RUN, WRITER) == [again]


async def test_reads_use_an_index(opened: Opened, mongodb_url: str) -> None:
    log = await opened()
    await log.append([batch_of(1, defines_keys=True), batch_of(2)])
    with reported(mongodb_url) as commands:
        await log.changes(b"")
        await log.scan(RUN, WRITER)
        await log.scan(RUN, WRITER, key_definitions_only=True)
        await log.batch(RUN, WRITER, 1)
        await log.heads(RUN)
    changes, *others = [command for command in commands if command["op"] == "query"]
    assert set(changes["planSummary"].split(", IX")) == {"IXSCAN { l: 1, n: 1 }", "SCAN { l: 1, n: 1 }"}
    assert changes["docsExamined"] == 1
    assert [command["planSummary"] for command in others] == [
        "IXSCAN { _id: 1 }",
        "IXSCAN { k: 1 }",
        "IDHACK",
        "IXSCAN { _id: 1 }",
    ]


APPENDER = textwrap.dedent(
    """
    import asyncio, sys
    from penstock_kit.stores.contract.metric_log import batch_of
    from penstock_kit.stores.mongo.metric_log import MongoMetricLog

    async def append_for_ever(log, writer):
        sequence = 0
        while True:
            key, content = bytes([writer]) * 16, bytes([writer]) * 30_000
            await log.append([batch_of(sequence + n, writer_key=key, content=content) for n in (1, 2, 3)])
            sequence += 3
            sys.stdout.write(f"{writer} {sequence}\\n")
            sys.stdout.flush()

    async def main():
        log = await MongoMetricLog.open(sys.argv[1])
        await asyncio.gather(*(append_for_ever(log, writer) for writer in range(6)))

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("reports", [1, 100])
async def test_what_was_reported_is_there_after_a_kill(opened: Opened, mongodb_url: str, reports: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPENDER, mongodb_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(reports)]
    process.send_signal(signal.SIGKILL)
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    reported_sequences = {int(line.split()[0]): int(line.split()[1]) for line in lines if line.endswith(b"\n")}
    log = await opened()
    # Of what was under way nothing may come to light later: the next append of each writer waits for its end.
    for writer, last in reported_sequences.items():
        key = bytes([writer]) * 16
        head = await log.head(RUN, key)
        assert head is not None
        outcomes = await log.append([batch_of(head.sequence + 1, writer_key=key, content=bytes([writer]) * 30_000)])
        assert outcomes[0] in (APPENDED, AppendOutcome.REPEATED)
        assert head.sequence >= last
        batches = await log.scan(RUN, key, bytes_max=2**40)
        assert [batch.sequence for batch in batches] == list(range(1, len(batches) + 1))
        for batch in batches:
            assert batch == batch_of(batch.sequence, writer_key=key, content=bytes([writer]) * 30_000)


async def test_what_was_reported_is_there_after_a_kill_of_the_server(opened: Opened, tmp_path: Path) -> None:
    with MongoServer(tmp_path) as server:
        elect_quickly(server.url)
        log = await opened(server.database_url("tracking") + "&serverSelectionTimeoutMS=2000")
        reported_sequences: dict[bytes, int] = {}

        async def append(key: bytes) -> None:
            sequence = 0
            while sequence < 60:
                try:
                    (outcome,) = await log.append([batch_of(sequence + 1, writer_key=key, content=key * 2_000)])
                except StoreUnavailable:
                    continue
                assert outcome in (APPENDED, AppendOutcome.REPEATED)
                sequence += 1
                reported_sequences[key] = sequence

        async def kill() -> None:
            for _ in range(2):
                goal = sum(reported_sequences.values()) + 40
                while sum(reported_sequences.values()) < goal:  # noqa: ASYNC110 - the goal is a number
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)

        keys = [bytes([n]) * 16 for n in range(4)]
        await asyncio.gather(kill(), *(append(key) for key in keys))
        for key in keys:
            batches = await log.scan(RUN, key, bytes_max=2**40)
            assert batches == [batch_of(n, writer_key=key, content=key * 2_000) for n in range(1, 61)]
        assert [head.sequence for head in await log.heads(RUN)] == [60] * 4
        await log.close()
