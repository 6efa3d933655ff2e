"""What every metric log must do. An adapter passes by a subclass with the fixture `log` and the method `reopen`."""

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from penstock_kit.stores.metric_log import RUNS_PER_READ_MAX, AppendOutcome, BatchRecord, MetricLog, WriterHead

__all__ = ["MetricLogContract", "batch_of"]

RUN, OTHER_RUN = b"r" * 16, b"\x00" * 15 + b"\xff"
REQUEST, OTHER_REQUEST = b"q" * 16, b"\x00" * 16
WRITER, OTHER_WRITER = b"w" * 16, b"\xff" * 16
APPENDED, REPEATED, CONFLICT = AppendOutcome.APPENDED, AppendOutcome.REPEATED, AppendOutcome.CONFLICT


def batch_of(
    sequence: int,
    *,
    run_key: bytes = RUN,
    writer_key: bytes = WRITER,
    content: bytes | None = None,
    defines_keys: bool = False,
    rank: int = 0,
) -> BatchRecord:
    """Returns a batch of ten points whose other fields follow from the arguments."""
    if content is None:
        content = b"content of " + str(sequence).encode()
    digest = hashlib.sha256(content).digest()
    chain = hashlib.sha256(sequence.to_bytes(8, "big") + digest).digest()
    return BatchRecord(run_key, writer_key, sequence, digest, chain, 10, 10 * sequence, defines_keys, rank, content)


def head_after(batch: BatchRecord) -> WriterHead:
    """Returns the head of a writer whose last batch this is."""
    return WriterHead(
        batch.run_key, batch.writer_key, batch.sequence, batch.digest, batch.chain, batch.durable_points, batch.rank
    )


class MetricLogContract:
    """The contract of `MetricLog`."""

    @pytest.fixture
    async def log(self) -> MetricLog:
        """A new, empty log, closed afterwards."""
        raise NotImplementedError

    async def reopen(self, log: MetricLog) -> MetricLog:
        """Closes the log and opens it again with what was written. The caller closes what is returned."""
        raise NotImplementedError

    async def test_an_empty_log(self, log: MetricLog) -> None:
        assert await log.head(RUN, WRITER) is None
        assert await log.heads(RUN) == []
        assert await log.batch(RUN, WRITER, 1) is None
        assert await log.scan(RUN, WRITER) == []
        assert await log.append([]) == []
        changes = await log.changes(b"")
        assert (changes.changes, changes.more) == ([], False)
        await log.drop(RUN)

    async def test_batches_come_back_as_they_were_appended(self, log: MetricLog) -> None:
        batches = [
            batch_of(1, content=b"", defines_keys=True, rank=3),
            batch_of(2, content=bytes(range(256)) * 1_000, rank=3),
            batch_of(3, rank=3),
        ]
        assert await log.append(batches) == [APPENDED] * 3
        assert await log.scan(RUN, WRITER) == batches
        assert [await log.batch(RUN, WRITER, sequence) for sequence in (1, 2, 3, 4)] == [*batches, None]
        assert await log.head(RUN, WRITER) == head_after(batches[-1])

    async def test_a_repeat_is_recognised_and_a_conflict_refused(self, log: MetricLog) -> None:
        first = [batch_of(1), batch_of(2)]
        await log.append(first)
        other = batch_of(2, content=b"something else")
        outcomes = await log.append([batch_of(1), other, batch_of(2), batch_of(3)])
        assert outcomes == [REPEATED, CONFLICT, REPEATED, APPENDED]
        assert await log.scan(RUN, WRITER) == [*first, batch_of(3)]
        assert await log.head(RUN, WRITER) == head_after(batch_of(3))

    async def test_repeats_within_one_append(self, log: MetricLog) -> None:
        outcomes = await log.append([batch_of(1), batch_of(1), batch_of(1, content=b"else")])
        assert outcomes == [APPENDED, REPEATED, CONFLICT]
        assert await log.scan(RUN, WRITER) == [batch_of(1)]

    async def test_a_repeat_or_conflict_is_no_change(self, log: MetricLog) -> None:
        await log.append([batch_of(1), batch_of(2)])
        before = await log.changes(b"")
        await log.append([batch_of(1), batch_of(2, content=b"else")])
        assert (await log.changes(before.cursor)).changes == []
        assert await log.head(RUN, WRITER) == head_after(batch_of(2))

    async def test_of_the_same_batch_sent_at_once_one_is_appended(self, log: MetricLog) -> None:
        outcomes = await asyncio.gather(*(log.append([batch_of(1)]) for _ in range(20)))
        assert sorted(outcome.value for (outcome,) in outcomes) == ["appended"] + ["repeated"] * 19

    async def test_the_largest_sequence(self, log: MetricLog) -> None:
        largest = batch_of(2**63 - 1)
        largest = replace(largest, durable_points=2**63 - 1)
        await log.append([largest])
        assert await log.head(RUN, WRITER) == head_after(largest)
        assert await log.scan(RUN, WRITER, after=2**63 - 2) == [largest]
        assert await log.scan(RUN, WRITER, after=2**63 - 1) == []

    async def test_a_head_is_of_the_highest_sequence(self, log: MetricLog) -> None:
        await log.append([batch_of(2)])
        await log.append([batch_of(1)])
        assert await log.head(RUN, WRITER) == head_after(batch_of(2))
        assert [batch.sequence for batch in await log.scan(RUN, WRITER)] == [1, 2]

    async def test_writers_and_runs_are_apart(self, log: MetricLog) -> None:
        batches = [
            batch_of(1, run_key=run, writer_key=writer, content=run + writer, rank=rank)
            for run in (RUN, OTHER_RUN)
            for rank, writer in enumerate((WRITER, OTHER_WRITER))
        ]
        assert await log.append(batches) == [APPENDED] * 4
        for batch in batches:
            assert await log.scan(batch.run_key, batch.writer_key) == [batch]
            assert await log.head(batch.run_key, batch.writer_key) == head_after(batch)
        assert await log.heads(RUN) == [head_after(batch) for batch in batches[:2]]
        nobody = bytes(16)
        assert await log.heads_of([OTHER_RUN, nobody, RUN]) == {
            OTHER_RUN: [head_after(batch) for batch in batches[2:]],
            nobody: [],
            RUN: [head_after(batch) for batch in batches[:2]],
        }
        assert await log.heads_of([]) == {}

    async def test_heads_of_as_many_runs_as_may_be_read_at_once(self, log: MetricLog) -> None:
        keys = [number.to_bytes(16, "big") for number in range(RUNS_PER_READ_MAX)]
        await log.append([batch_of(1, run_key=keys[-1])])
        found = await log.heads_of(keys)
        assert list(found) == keys
        assert [len(heads) for heads in found.values()] == [0] * (RUNS_PER_READ_MAX - 1) + [1]
        with pytest.raises(ValueError, match="at most"):
            await log.heads_of([*keys, b"x" * 16])

    async def test_a_scan_goes_on_and_ends(self, log: MetricLog) -> None:
        batches = [batch_of(sequence, content=bytes(100)) for sequence in range(1, 11)]
        await log.append(batches)
        found: list[BatchRecord] = []
        while part := await log.scan(RUN, WRITER, after=found[-1].sequence if found else 0, bytes_max=250):
            assert len(part) <= 3
            found += part
        assert found == batches

    async def test_a_scan_returns_at_least_one(self, log: MetricLog) -> None:
        await log.append([batch_of(1, content=bytes(1000)), batch_of(2)])
        assert [batch.sequence for batch in await log.scan(RUN, WRITER, bytes_max=1)] == [1]
        assert [batch.sequence for batch in await log.scan(RUN, WRITER, bytes_max=0)] == [1]

    @pytest.mark.parametrize("large", [1, 9, 40])
    async def test_a_scan_of_batches_of_different_size(self, log: MetricLog, large: int) -> None:
        batches = [batch_of(n, content=bytes(30_000 if n == large else 10)) for n in range(1, 101)]
        await log.append(batches)
        assert await log.scan(RUN, WRITER) == batches
        # The first that exceeds is the last: the large one, or the one behind it if nothing was before.
        assert await log.scan(RUN, WRITER, bytes_max=30_000) == batches[: max(large, 2)]

    async def test_a_scan_for_key_definitions(self, log: MetricLog) -> None:
        batches = [batch_of(sequence, defines_keys=sequence in (1, 4, 9)) for sequence in range(1, 11)]
        await log.append(batches)
        assert [b.sequence for b in await log.scan(RUN, WRITER, key_definitions_only=True)] == [1, 4, 9]
        assert [b.sequence for b in await log.scan(RUN, WRITER, after=1, key_definitions_only=True)] == [4, 9]
        assert await log.scan(RUN, OTHER_WRITER, key_definitions_only=True) == []

    async def test_changes_name_each_run_once(self, log: MetricLog) -> None:
        await log.append(
            [batch_of(1), batch_of(1, writer_key=OTHER_WRITER), batch_of(1, run_key=OTHER_RUN), batch_of(2)]
        )
        first = await log.changes(b"")
        assert sorted(change.run_key for change in first.changes) == sorted([RUN, OTHER_RUN])
        assert not first.more
        assert (await log.changes(first.cursor)).changes == []
        await log.append([batch_of(2, run_key=OTHER_RUN)])
        second = await log.changes(first.cursor)
        assert [change.run_key for change in second.changes] == [OTHER_RUN]
        assert (await log.changes(second.cursor)).changes == []

    async def test_changes_in_pages(self, log: MetricLog) -> None:
        runs = [bytes([n]) * 16 for n in range(1, 8)]
        for run in runs:
            await log.append([batch_of(1, run_key=run)])
        found: list[bytes] = []
        cursor, more = b"", True
        while more:
            page = await log.changes(cursor, limit=3)
            assert len(page.changes) <= 3
            found += [change.run_key for change in page.changes]
            cursor, more = page.cursor, page.more
        assert sorted(found) == runs

    async def test_a_follower_of_changes_misses_nothing_under_load(self, log: MetricLog) -> None:
        seen: dict[bytes, int] = {}
        done = asyncio.Event()

        async def follow() -> None:
            cursor = b""
            while True:
                last = done.is_set()
                page = await log.changes(cursor, limit=2)
                for change in page.changes:
                    head = await log.head(change.run_key, WRITER)
                    assert head is not None
                    seen[change.run_key] = head.sequence
                cursor = page.cursor
                if last and not page.more:
                    return

        async def write(run: bytes) -> None:
            for sequence in range(1, 21):
                await log.append([batch_of(sequence, run_key=run)])

        runs = [bytes([n]) * 16 for n in range(5)]
        following = asyncio.ensure_future(follow())
        await asyncio.gather(*(write(run) for run in runs))
        done.set()
        await following
        assert seen == dict.fromkeys(runs, 20)

    async def test_trimmed_batches_are_gone_and_the_head_stays(self, log: MetricLog) -> None:
        batches = [batch_of(sequence, defines_keys=sequence in (1, 900)) for sequence in range(1, 1_001)]
        await log.append(batches)
        await log.append([batch_of(1, writer_key=OTHER_WRITER), batch_of(1, run_key=OTHER_RUN)])
        cursor = (await log.changes(b"")).cursor
        await log.trim(RUN, WRITER, 899)
        assert await log.head(RUN, WRITER) == head_after(batches[-1])
        assert (await log.changes(cursor)).changes == []
        assert await log.scan(RUN, WRITER) == batches[899:]
        assert await log.scan(RUN, WRITER, key_definitions_only=True) == [batches[899]]
        assert await log.batch(RUN, WRITER, 899) is None
        assert await log.batch(RUN, WRITER, 900) == batches[899]
        assert len(await log.scan(RUN, OTHER_WRITER)) == len(await log.scan(OTHER_RUN, WRITER)) == 1
        await log.trim(RUN, WRITER, 1_000)
        assert await log.scan(RUN, WRITER) == []
        assert await log.append([batch_of(1_001)]) == [APPENDED]
        assert await log.scan(RUN, WRITER) == [batch_of(1_001)]
        assert [change.run_key for change in (await log.changes(cursor)).changes] == [RUN]

    async def test_a_trimmed_batch_that_comes_again_does_not_move_the_head(self, log: MetricLog) -> None:
        await log.append([batch_of(1), batch_of(2), batch_of(3)])
        await log.trim(RUN, WRITER, 2)
        assert (await log.append([batch_of(2)]))[0] in (APPENDED, REPEATED)
        assert await log.head(RUN, WRITER) == head_after(batch_of(3))
        assert await log.scan(RUN, WRITER, after=2) == [batch_of(3)]
        await log.trim(RUN, WRITER, 2)
        assert await log.scan(RUN, WRITER) == [batch_of(3)]

    async def test_large_batches_are_trimmed(self, log: MetricLog) -> None:
        await log.append([batch_of(sequence, content=bytes(2_000_000)) for sequence in range(1, 8)])
        await log.trim(RUN, WRITER, 6)
        assert [batch.sequence for batch in await log.scan(RUN, WRITER)] == [7]

    async def test_trimming_nothing_is_no_error(self, log: MetricLog) -> None:
        await log.trim(RUN, WRITER, 5)
        assert await log.head(RUN, WRITER) is None
        await log.append([batch_of(1)])
        await log.trim(RUN, WRITER, 0)
        assert await log.scan(RUN, WRITER) == [batch_of(1)]

    async def test_a_request_counts_once_whoever_appends_it(self, log: MetricLog) -> None:
        first = [batch_of(1, defines_keys=True), batch_of(2)]
        assert await log.append_new({}) == set()
        assert await log.append_new({REQUEST: first[0], OTHER_REQUEST: first[1]}) == set()
        assert await log.scan(RUN, WRITER) == first
        assert await log.head(RUN, WRITER) == head_after(first[1])
        assert [change.run_key for change in (await log.changes(b"")).changes] == [RUN]
        again = batch_of(1, writer_key=OTHER_WRITER, content=b"made anew")
        assert await log.append_new({REQUEST: again}) == {REQUEST}
        assert await log.heads(RUN) == [head_after(first[1])]
        of_another_run = batch_of(1, run_key=OTHER_RUN)
        assert await log.append_new({REQUEST: of_another_run}) == set()
        assert await log.scan(OTHER_RUN, WRITER) == [of_another_run]

    async def test_of_requests_together_all_are_appended_or_none(self, log: MetricLog) -> None:
        await log.append_new({REQUEST: batch_of(1)})
        cursor = (await log.changes(b"")).cursor
        assert await log.append_new({OTHER_REQUEST: batch_of(2), REQUEST: batch_of(3)}) == {REQUEST}
        assert await log.scan(RUN, WRITER) == [batch_of(1)]
        assert (await log.changes(cursor)).changes == []
        assert await log.append_new({OTHER_REQUEST: batch_of(2)}) == set()
        assert await log.scan(RUN, WRITER) == [batch_of(1), batch_of(2)]

    async def test_of_writers_that_append_a_request_at_once_one_does(self, log: MetricLog) -> None:
        def append(writer: int) -> Awaitable[set[bytes]]:
            return log.append_new({REQUEST: batch_of(1, writer_key=writer.to_bytes(16, "big"))})

        outcomes = await asyncio.gather(*(append(writer) for writer in range(12)))
        assert sorted(map(len, outcomes)) == [0] + [1] * 11
        assert len(await log.heads(RUN)) == 1

    async def test_a_request_is_remembered_until_its_run_is_dropped(self, log: MetricLog) -> None:
        await log.append_new({REQUEST: batch_of(1)})
        await log.trim(RUN, WRITER, 1)
        assert await log.append_new({REQUEST: batch_of(2)}) == {REQUEST}
        reopened = await self.reopen(log)
        try:
            assert await reopened.append_new({REQUEST: batch_of(2)}) == {REQUEST}
            await reopened.drop(RUN)
            assert await reopened.append_new({REQUEST: batch_of(1, content=b"again")}) == set()
            assert await reopened.scan(RUN, WRITER) == [batch_of(1, content=b"again")]
        finally:
            await reopened.close()

    async def test_a_dropped_run_is_gone_and_may_come_again(self, log: MetricLog) -> None:
        await log.append([batch_of(sequence) for sequence in range(1, 1_201)])
        await log.append([batch_of(1, run_key=OTHER_RUN)])
        cursor = (await log.changes(b"")).cursor
        await log.drop(RUN)
        assert await log.head(RUN, WRITER) is None
        assert await log.heads(RUN) == []
        assert await log.scan(RUN, WRITER) == []
        assert await log.batch(RUN, WRITER, 1) is None
        assert await log.scan(OTHER_RUN, WRITER) == [batch_of(1, run_key=OTHER_RUN)]
        again = batch_of(1, content=b"again")
        assert await log.append([again]) == [APPENDED]
        assert await log.scan(RUN, WRITER) == [again]
        assert [change.run_key for change in (await log.changes(cursor)).changes] == [RUN]

    async def test_a_cursor_stays_good_when_the_newest_run_is_dropped(self, log: MetricLog) -> None:
        await log.append([batch_of(1, run_key=OTHER_RUN), batch_of(1), batch_of(2)])
        cursor = (await log.changes(b"")).cursor
        await log.drop(RUN)
        await log.append([batch_of(2, run_key=OTHER_RUN)])
        assert [change.run_key for change in (await log.changes(cursor)).changes] == [OTHER_RUN]

    async def test_what_was_appended_is_there_after_reopening(self, log: MetricLog) -> None:
        batches = [batch_of(1, defines_keys=True), batch_of(2)]
        await log.append(batches)
        cursor = (await log.changes(b"")).cursor
        again = await self.reopen(log)
        try:
            assert await again.scan(RUN, WRITER) == batches
            assert await again.head(RUN, WRITER) == head_after(batches[-1])
            assert (await again.changes(cursor)).changes == []
            assert await again.append([batch_of(2), batch_of(3)]) == [REPEATED, APPENDED]
            assert [change.run_key for change in (await again.changes(cursor)).changes] == [RUN]
        finally:
            await again.close()
