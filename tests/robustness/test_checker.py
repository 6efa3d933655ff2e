"""The checker of the fault tests finds each kind of lie, and none where there is none."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any, cast

import pytest
from support.faithful import Endpoint, ended, progress, read_all, reading, sending
from support.history import KEYS, History
from support.lying_logs import (
    AcksBeforeCommit,
    AppliesTwice,
    ChangesOneBit,
    DropsBatches,
    LyingLog,
    ReadsStaleReplica,
    RemembersInHotStoreOnly,
    Reorders,
)
from support.tracking import Tracking, serving_tracking

pytestmark = pytest.mark.slow

WRITERS = 2
BATCHES = 40  # of each writer, before a restart and after it
LIE_TIMEOUT_S = 10.0  # a log that lies may also stand still


async def history_of(folder: Path, log: type[LyingLog]) -> History:
    """Writes, reads and restarts a service on a log."""
    history = History(seed=1)
    servers: list[Tracking] = []  # one, or none between two lives
    run = ""

    async def connect() -> Endpoint:
        if not servers:
            raise ConnectionError
        return Endpoint(servers[0].address, servers[0].metadata())

    tasks: list[asyncio.Task[None]] = []
    for life in range(2):
        async with serving_tracking(folder, metric_log=cast("Any", log)) as server:
            servers.append(server)
            if life == 0:
                run = (await server.new_run()).name
                tasks = [asyncio.create_task(sending(history, writer, run, connect)) for writer in range(WRITERS)]
                tasks.append(asyncio.create_task(reading(history, run, WRITERS, connect, seed=1)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIE_TIMEOUT_S if log is not LyingLog else None):
                    await progress(history, WRITERS, BATCHES)
            if life == 1:
                await ended(tasks)
                await read_all(history, run, WRITERS, connect)
            servers.clear()
    return history


async def test_a_log_that_keeps_its_promises(tmp_path: Path) -> None:
    history = await history_of(tmp_path, LyingLog)
    assert history.violations == []
    assert min(history.acked.values()) >= 2 * BATCHES


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (AcksBeforeCommit, "was acknowledged"),
        (AppliesTwice, "are not what was sent"),
        (ChangesOneBit, "are not what was sent"),
        (DropsBatches, "were acknowledged before"),
        (ReadsStaleReplica, "were acknowledged before"),
        (RemembersInHotStoreOnly, "resumes behind"),
        (Reorders, "are not what was sent"),
    ],
)
async def test_a_log_that_lies(tmp_path: Path, log: type[LyingLog], found: str) -> None:
    history = await history_of(tmp_path, log)
    assert any(found in violation for violation in history.violations), history.violations


def test_each_rule_by_itself() -> None:
    def history() -> History:
        made = History(seed=2)
        for sequence in (1, 2, 3):
            made.content(0, sequence)
        made.acknowledged(0, 2)
        return made

    values = [v for n in (1, 2, 3) for v in history().content(0, n).blocks[0].values[:: len(KEYS)]]
    steps = [s for n in (1, 2, 3) for s in history().content(0, n).blocks[0].steps]

    def violations(keep: Any, *, acked: int = 2) -> list[str]:
        checked = history()
        checked.read(0, "a", [steps[n] for n in keep], [values[n] for n in keep], acked=acked)
        return checked.violations

    rows = [*range(150)]
    assert violations(rows) == []
    assert violations(rows[:100]) == []  # the third was not acknowledged
    assert violations(rows[:50], acked=1) == []  # the second was acknowledged while this was read
    assert "were acknowledged before" in violations(rows[:99])[0]
    assert "were sent" in violations([*rows, 149])[0]
    assert "are not what was sent" in violations([*rows[:50], *rows[:50], *rows[50:100]])[0]
    assert "row 60 of 150 and 1 others" in violations([*rows[:60], 61, 60, *rows[62:]])[0]
    seen = history()
    seen.read(0, "a", steps, values, acked=0)
    seen.read(0, "a", steps[:100], values[:100], acked=0)
    assert "150 before" in seen.violations[0]
    forgotten = history()
    forgotten.resumed(0, 1)
    forgotten.acknowledged(0, 4)
    assert ["resumes behind" in forgotten.violations[0], "4 was acknowledged" in forgotten.violations[1]] == [
        True,
        True,
    ]
