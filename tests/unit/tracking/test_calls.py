"""Points that come in calls: each counts once, whoever takes it, and one writer holds those of a run."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from penstock.api.tracking.v1 import metric_pb2
from penstock_kit.clock import SystemClock
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.metric_log import BatchRecord, LogFull
from penstock_tracking.ingest import calls as calling
from penstock_tracking.ingest.calls import CallWriters
from penstock_tracking.ingest.codec import CheckedContent, checked_content
from penstock_tracking.ingest.committer import GroupCommitter, StorageFull

RUN = b"r" * 16


class TroubledLog:
    """The metric log, some appends of which fail: before they are done, or with their answer lost."""

    def __init__(self, log: SqliteMetricLog) -> None:
        self._log = log
        self.before: list[Exception | None] = []
        self.after: list[Exception | None] = []
        self.appends: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append_new(self, requests: Mapping[bytes, BatchRecord]) -> set[bytes]:
        self.appends.append(len(requests))
        await asyncio.sleep(0)
        if self.before and (error := self.before.pop(0)):
            raise error
        taken = await self._log.append_new(requests)
        if self.after and (error := self.after.pop(0)):
            raise error
        return taken


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[TroubledLog]:
    opened = await SqliteMetricLog.open(tmp_path / "metrics.sqlite")
    yield TroubledLog(opened)
    await opened.close()


def writers_on(log: Any) -> CallWriters:
    """As a process has them."""
    return CallWriters(log, GroupCommitter(log, InProcessHotStore(SystemClock())))


def points(*keys: str, value: float = 1.0) -> CheckedContent:
    """One point of each key."""
    message = metric_pb2.MetricBatchContent(
        new_keys=[metric_pb2.MetricKey(id=number, key=key) for number, key in enumerate(keys)],
        blocks=[
            metric_pb2.MetricBlock(
                key_ids=range(len(keys)), steps=[0], times_unix_us=[1], values=[value + i for i in range(len(keys))]
            )
        ],
    )
    return checked_content(message.SerializeToString(), 0, set())


def call_id(number: int) -> bytes:
    return number.to_bytes(calling.CALL_ID_BYTES, "big")


async def logged(log: Any, run_key: bytes = RUN) -> list[tuple[str, float]]:
    """What the log holds, key and value, in the order of its writers. Checks that no writer has a gap."""
    found: list[tuple[str, float]] = []
    for head in await log.heads(run_key):
        keys: list[str] = []
        records = await log.scan(run_key, head.writer_key)
        assert [record.sequence for record in records] == list(range(1, head.sequence + 1))
        assert records[-1].durable_points == head.durable_points == sum(record.points for record in records)
        for record in records:
            message = metric_pb2.MetricBatchContent.FromString(record.content)
            assert [key.id for key in message.new_keys] == list(range(len(keys), len(keys) + len(message.new_keys)))
            assert record.defines_keys == bool(message.new_keys)
            keys += [key.key for key in message.new_keys]
            for block in message.blocks:
                found += zip((keys[number] for number in block.key_ids), block.values, strict=True)
    return found


async def test_calls_of_a_run_share_a_writer_and_its_keys(log: TroubledLog) -> None:
    writers = writers_on(log)
    assert await writers.append(RUN, call_id(1), points("a", "b"))
    assert await writers.append(RUN, call_id(2), points("b", "a", value=5.0))
    assert await writers.append(RUN, call_id(3), points("c", "a", value=9.0))
    assert await logged(log) == [("a", 1.0), ("b", 2.0), ("b", 5.0), ("a", 6.0), ("c", 9.0), ("a", 10.0)]
    assert len(await log.heads(RUN)) == 1
    assert await writers.append(b"o" * 16, call_id(1), points("a"))
    assert await logged(log, b"o" * 16) == [("a", 1.0)]


async def test_calls_that_come_at_once_share_commits_and_each_counts_once(log: TroubledLog) -> None:
    writers = writers_on(log)
    numbers = [*range(50), *range(25)]
    outcomes = await asyncio.gather(
        *(writers.append(RUN, call_id(number), points(f"k{number}", value=number)) for number in numbers)
    )
    assert outcomes[:50] == [True] * 50
    assert outcomes[50:] == [False] * 25
    assert sorted(await logged(log)) == sorted((f"k{number}", float(number)) for number in range(50))
    assert len(log.appends) < 10


async def test_processes_that_take_the_same_calls_append_each_once(log: TroubledLog) -> None:
    processes = [writers_on(log) for _ in range(3)]
    order = [(process, number) for process in processes for number in range(40)]
    random.Random(3).shuffle(order)
    outcomes = await asyncio.gather(
        *(process.append(RUN, call_id(number), points(f"k{number}", value=number)) for process, number in order)
    )
    assert sum(outcomes) == 40
    assert sorted(await logged(log)) == sorted((f"k{number}", float(number)) for number in range(40))
    assert len(await log.heads(RUN)) <= 3


async def test_a_repeat_after_a_lost_answer_finds_that_it_counted(log: TroubledLog) -> None:
    writers = writers_on(log)
    await writers.append(RUN, call_id(1), points("a"))
    log.after = [RuntimeError("the answer was lost")]
    with pytest.raises(RuntimeError):
        await writers.append(RUN, call_id(2), points("b"))
    assert not await writers.append(RUN, call_id(2), points("b"))
    assert await writers.append(RUN, call_id(3), points("a", value=3.0))
    assert sorted(await logged(log)) == [("a", 1.0), ("a", 3.0), ("b", 1.0)]


async def test_a_repeat_after_a_failure_before_the_commit_appends(log: TroubledLog) -> None:
    writers = writers_on(log)
    log.before = [LogFull("no room"), RuntimeError("away")]
    with pytest.raises(StorageFull):
        await writers.append(RUN, call_id(1), points("a"))
    with pytest.raises(RuntimeError):
        await writers.append(RUN, call_id(1), points("a"))
    assert await writers.append(RUN, call_id(1), points("a"))
    assert await logged(log) == [("a", 1.0)]


async def test_any_failures_and_repeats_lose_and_double_nothing(log: TroubledLog) -> None:
    chance = random.Random(11)
    log.before = [RuntimeError("before") if chance.random() < 0.2 else None for _ in range(500)]
    log.after = [RuntimeError("after") if chance.random() < 0.2 else None for _ in range(500)]
    processes = [writers_on(log) for _ in range(2)]

    async def until_logged(number: int) -> None:
        while True:
            try:
                await chance.choice(processes).append(RUN, call_id(number), points(f"k{number % 7}", value=number))
            except RuntimeError:
                continue
            return

    await asyncio.gather(*(until_logged(number) for number in range(60)))
    assert sorted(await logged(log)) == sorted((f"k{number % 7}", float(number)) for number in range(60))


async def test_a_caller_that_goes_away_leaves_the_others_and_the_room(
    log: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = writers_on(log)
    monkeypatch.setattr("penstock_tracking.ingest.committer.BYTES_IN_FLIGHT_MAX", 1_200)  # a call here takes about 560
    calls = [asyncio.ensure_future(writers.append(RUN, call_id(number), points(f"k{number}"))) for number in range(6)]
    await asyncio.sleep(0)
    calls[0].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [True] * 5


async def test_what_is_remembered_here_is_bounded(log: TroubledLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "WRITERS_KEPT_MAX", 2)
    monkeypatch.setattr(calling, "KEYS_PER_WRITER_KEPT_MAX", 3)
    writers = writers_on(log)
    runs = [bytes([number]) * 16 for number in range(4)]
    for number in range(8):
        for run_key in runs:
            assert await writers.append(run_key, call_id(number), points(f"k{number}", value=number))
    for run_key in runs:
        assert sorted(await logged(log, run_key)) == [(f"k{number}", float(number)) for number in range(8)]
        assert not await writers.append(run_key, call_id(7), points("k7"))
    assert len(writers._runs) == 2
    assert writers._keys_kept == sum(len(run.writer.numbers) for run in writers._runs.values())
