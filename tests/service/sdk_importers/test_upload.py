"""Uploads on a real tracking service: two at once on two replicas, which know nothing of each other's streams."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.tracking import Tracking, serving_replicas, serving_tracking

from penstock.api.tracking.v1 import tracking_service_pb2
from penstock.client._async.channel import AsyncChannel, _Access
from penstock.config import Connection
from penstock.errors import Conflict, LimitExceeded
from penstock.importers.importing import ImportedRun, _imported
from penstock.importers.model import Part, Row, RunDraft, Source, SourceEntry, SourceRun

ROWS = 12_000
KEYS = [f"k{number:02d}" for number in range(20)]
MEETING = 6_000
"""The row at which two uploads wait for each other, once: with batches of about 5,700 rows both have sent one by then."""
MEETING_TIMEOUT_S = 30


class Channel(AsyncChannel):
    """A channel to a service that has no auth service beside it: its token is made here."""

    def __init__(self, server: Tracking) -> None:
        connection = Connection(f"http://{server.address}", server.address, "unused", "tests")
        super().__init__(connection, timeout_s=30)
        self._server = server

    async def _authorized(self, deadline_s: float) -> _Access:
        return _Access(self._server.guard.issue("users/ada"), float("inf"))


class Nowhere:
    """Where the runs of these tests are from."""

    tool = "tests"
    location = "nowhere"

    def entries(self) -> Sequence[SourceEntry]:
        return []


class Counting:
    """Counts what a person would be told."""

    points = 0

    def began(self, total: int) -> None:
        pass

    def reading(self, label: str) -> None:
        pass

    def added(self, points: int) -> None:
        self.points += points

    def done(self, run: ImportedRun) -> None:
        pass


def made_rows() -> Iterator[Row]:
    for step in range(ROWS):
        yield Row(step, step * 10, {key: float(step + place) for place, key in enumerate(KEYS)})


def run_of(rows: Callable[[], Iterator[Row]], **fields: Any) -> SourceRun:
    draft = RunDraft("imports", 1_700_000_000_000_000, end_time_us=1_700_000_001_000_000, **fields)
    return draft.finished("ab" * 16, [Part("part", rows)])


async def imported(server: Tracking, run: SourceRun) -> ImportedRun:
    source: Source = Nowhere()
    channel = Channel(server)
    try:
        return await _imported(channel, source, "default", "label", run, Counting())
    finally:
        await channel.close()


async def check_points(server: Tracking) -> None:
    name = f"projects/default/runs/{'ab' * 16}"
    for place, key in enumerate(KEYS):
        found = Counter(await server.points(name, key))
        assert found == Counter((step, float(step + place)) for step in range(ROWS)), key


async def test_two_imports_on_two_replicas(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=MEETING_TIMEOUT_S)

    def meeting_rows() -> Callable[[], Iterator[Row]]:
        met = False

        def rows() -> Iterator[Row]:
            nonlocal met
            for number, row in enumerate(made_rows()):
                if number == MEETING and not met:
                    met = True
                    meeting.wait()
                yield row

        return rows

    async with serving_replicas(tmp_path) as (first, second):
        # A run that is there: who creates it is not the question here.
        await imported(first, run_of(lambda: iter(())))
        both = await asyncio.gather(imported(first, run_of(meeting_rows())), imported(second, run_of(meeting_rows())))
        assert [one.points for one in both] == [ROWS * len(KEYS)] * 2
        await check_points(second)


async def test_a_run_that_grew_between_two_imports_at_once(tmp_path: Path) -> None:
    other_is_done = threading.Event()

    def waiting_rows() -> Iterator[Row]:
        for number, row in enumerate(made_rows()):
            if number == MEETING + 500:
                # The other one takes the place of the batch that this row belongs to, with fewer rows.
                assert other_is_done.wait(MEETING_TIMEOUT_S)
            yield row

    async with serving_replicas(tmp_path) as (first, second):
        await imported(first, run_of(lambda: iter(())))
        longer = asyncio.create_task(imported(first, run_of(waiting_rows)))
        shorter = await imported(second, run_of(lambda: islice(made_rows(), MEETING)))
        other_is_done.set()
        assert shorter.points == MEETING * len(KEYS)
        assert (await longer).points == ROWS * len(KEYS)
        await check_points(second)


async def test_one_that_read_less_is_told_and_takes_nothing_away(tmp_path: Path) -> None:
    async with serving_tracking(tmp_path) as server:
        whole = await imported(server, run_of(made_rows))
        assert (whole.outcome, whole.points_added) == ("imported", ROWS * len(KEYS))
        with pytest.raises(Conflict) as caught:
            await imported(server, run_of(lambda: islice(made_rows(), 10)))
        assert caught.value.reason == "SOURCE_ALTERED"
        await check_points(server)


async def test_a_run_in_the_bin_stays_there(tmp_path: Path) -> None:
    async with serving_tracking(tmp_path) as server:
        done = await imported(server, run_of(lambda: iter(())))
        await server.call("DeleteRun", tracking_service_pb2.DeleteRunRequest(name=done.run))
        with pytest.raises(Conflict) as caught:
            await imported(server, run_of(made_rows))
        assert (caught.value.reason, done.run in caught.value.message) == ("RUN_DELETED", True)


async def test_params_that_changed_are_changed_and_limits_are_told(tmp_path: Path) -> None:
    def with_params(values: dict[str, Any]) -> SourceRun:
        draft = RunDraft("imports", 1_700_000_000_000_000)
        for key, value in values.items():
            draft.add_param(key, value)
        return draft.finished("ab" * 16, [])

    async with serving_tracking(tmp_path) as server:
        await imported(server, with_params({"lr": 0.1, "nan": float("nan")}))
        unchanged = await imported(server, with_params({"lr": 0.1, "nan": float("nan")}))
        changed = await imported(server, with_params({"lr": 0.2, "nan": float("nan"), "new": 1}))
        assert (unchanged.outcome, changed.outcome) == ("unchanged", "continued")
        run = (await server.call("GetRun", tracking_service_pb2.GetRunRequest(name=changed.run))).run
        assert {param.key: param.value.double_value for param in run.params if param.key == "lr"} == {"lr": 0.2}
        # A run takes so much text and no more: that is told at once, not tried again.
        texts = {f"text{number}": "x" * 8_000 for number in range(4_000)}
        with pytest.raises(LimitExceeded):
            await imported(server, with_params(texts))
