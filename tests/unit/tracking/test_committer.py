"""The group committer over a log whose appends end when the test says so."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from penstock_kit.clock import SystemClock
from penstock_kit.errors import PenstockError
from penstock_kit.stores.contract.metric_log import batch_of
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.metric_log import AppendOutcome, BatchRecord
from penstock_tracking.ingest import committer as committing
from penstock_tracking.ingest.committer import GroupCommitter

CONTENT = bytes(100)


class HeldLog:
    """A metric log that holds every append until it is let go."""

    append_bytes = 250
    appends_at_once = 2

    def __init__(self) -> None:
        self.appends: list[tuple[list[BatchRecord], asyncio.Future[None]]] = []

    async def append(self, records: Sequence[BatchRecord]) -> list[AppendOutcome]:
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.appends.append((list(records), held))
        await held
        return [AppendOutcome.APPENDED] * len(records)

    @property
    def sequences(self) -> list[list[tuple[str, int]]]:
        """What each append held, as writer and sequence."""
        return [
            [(record.writer_key[:1].decode(), record.sequence) for record in records] for records, _ in self.appends
        ]

    def let_go(self, append: int, error: Exception | None = None) -> None:
        held = self.appends[append][1]
        held.set_exception(error) if error else held.set_result(None)


class Stream:
    """A stream that remembers what became of its records."""

    def __init__(self, committer: GroupCommitter, writer: str) -> None:
        self._committer = committer
        self._writer_key = writer.encode() * 16
        self.sent = 0
        self.durable: list[int] = []
        self.failed = False

    async def send(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.sent += 1
            room = await self._committer.reserve(len(CONTENT))
            self._committer.submit(self, batch_of(self.sent, writer_key=self._writer_key, content=CONTENT), room)
        await settle()

    def committed(self, record: BatchRecord, outcome: AppendOutcome) -> None:
        self.durable.append(record.sequence)

    def commit_failed(self, error: PenstockError) -> None:
        self.failed = True


async def settle() -> None:
    """Lets everything happen that needs nothing from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def log() -> HeldLog:
    return HeldLog()


@pytest.fixture
async def committer(log: HeldLog) -> AsyncIterator[GroupCommitter]:
    made = GroupCommitter(log, InProcessHotStore(SystemClock()))  # pyrefly: ignore[bad-argument-type] - the part it uses
    running = asyncio.create_task(made.run())
    yield made
    for _, held in log.appends:
        if not held.done():
            held.set_result(None)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_batches_gather_while_one_group_is_on_its_way(committer: GroupCommitter, log: HeldLog) -> None:
    a, b = Stream(committer, "a"), Stream(committer, "b")
    await a.send()
    await a.send()
    await b.send()
    assert log.sequences == [[("a", 1)]]
    assert a.durable == []
    log.let_go(0)
    await settle()
    assert a.durable == [1]
    assert log.sequences[1] == [("b", 1), ("a", 2)]


async def test_a_full_group_starts_beside_the_one_on_its_way_and_no_more_than_the_log_takes(
    committer: GroupCommitter, log: HeldLog
) -> None:
    a, b, c = (Stream(committer, writer) for writer in "abc")
    await a.send()
    await b.send(3)
    assert log.sequences == [[("a", 1)], [("b", 1), ("b", 2), ("b", 3)]]
    await c.send(3)
    assert len(log.appends) == 2
    log.let_go(1)
    await settle()
    assert (a.durable, b.durable) == ([], [1, 2, 3])
    assert log.sequences[2] == [("c", 1), ("c", 2), ("c", 3)]


async def test_a_stream_is_never_in_two_groups(committer: GroupCommitter, log: HeldLog) -> None:
    a = Stream(committer, "a")
    await a.send()
    await a.send(9)  # three groups' worth
    assert log.sequences == [[("a", 1)]]
    log.let_go(0)
    await settle()
    assert log.sequences[1:] == [[("a", 2), ("a", 3), ("a", 4)]]
    log.let_go(1)
    await settle()
    assert log.sequences[2:] == [[("a", 5), ("a", 6), ("a", 7)]]
    log.let_go(2)
    await settle()
    log.let_go(3)
    await settle()
    assert a.durable == list(range(1, 11))
    assert len(log.appends) == 4


async def test_nothing_of_a_stream_is_committed_after_what_it_lost(committer: GroupCommitter, log: HeldLog) -> None:
    a, b = Stream(committer, "a"), Stream(committer, "b")
    await a.send()
    await a.send(2)
    await b.send()
    log.let_go(0, RuntimeError("the log failed"))
    await settle()
    assert a.failed
    assert log.sequences[1] == [("b", 1)]
    log.let_go(1)
    await settle()
    assert (a.durable, b.durable) == ([], [1])


async def test_streams_take_turns(committer: GroupCommitter, log: HeldLog) -> None:
    a, b = Stream(committer, "a"), Stream(committer, "b")
    await a.send(6)
    await b.send()
    assert log.sequences == [[("a", 1), ("a", 2), ("a", 3)]]
    log.let_go(0)
    await settle()
    assert log.sequences[1] == [("b", 1), ("a", 4), ("a", 5)]


async def test_room_is_bounded_and_comes_back(
    committer: GroupCommitter, log: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "BYTES_IN_FLIGHT_MAX", 1_000)  # a batch here takes 612
    a = Stream(committer, "a")
    await a.send(2)
    sending = asyncio.ensure_future(a.send())
    await settle()
    assert not sending.done()
    log.let_go(0)
    await asyncio.wait_for(sending, 5)


async def test_stopping_finishes_the_groups_on_their_way(log: HeldLog) -> None:
    committer: Any = GroupCommitter(log, InProcessHotStore(SystemClock()))  # pyrefly: ignore[bad-argument-type] - as above
    running = asyncio.create_task(committer.run())
    a, b = Stream(committer, "a"), Stream(committer, "b")
    await a.send()
    await b.send(3)
    running.cancel()
    await settle()
    assert not running.done()
    log.let_go(0)
    await settle()
    assert not running.done()
    log.let_go(1)
    await asyncio.gather(running, return_exceptions=True)
    assert (a.durable, b.durable) == ([1], [1, 2, 3])
