"""Compaction stopped at every step it takes: what is read is the same at once, and after another one went on."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.segments import Block, LoggedRun, logged_run

import penstock_tracking.segments.build as build_module
import penstock_tracking.segments.compactor as compactor_module
import penstock_tracking.segments.merge as merge_module


class Killed(BaseException):
    """The process was killed here."""


class Fuse:
    """Kills at the n-th call of any store, before or after the call has its effect."""

    def __init__(self) -> None:
        self.calls: int | None = None  # left; None never kills
        self.after = False
        self.name = ""

    def burnt(self) -> bool:
        if self.calls is None:
            return False
        self.calls -= 1
        return self.calls == 0


class Fused:
    """A store with a fuse in each of its calls."""

    def __init__(self, store: Any, fuse: Fuse) -> None:
        self._store = store
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name in ("get", "close") and not asyncio.iscoroutinefunction(call):
            return call

        async def fused(*args: Any, **kwargs: Any) -> Any:
            burnt = self._fuse.burnt()
            if burnt:
                self._fuse.name = f"{type(self._store).__name__}.{name}"
            if burnt and not self._fuse.after:
                raise Killed
            result = await call(*args, **kwargs)
            if burnt:
                raise Killed
            return result

        return fused


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows a chunk, few batches a segment, blobs and merges soon."""
    monkeypatch.setattr(build_module, "CHUNK_ROWS", 16)
    monkeypatch.setattr(merge_module, "CHUNK_ROWS", 16)
    monkeypatch.setattr(compactor_module, "BATCHES_MAX", 3)
    monkeypatch.setattr(compactor_module, "MERGE_FANOUT", 3)
    monkeypatch.setattr(compactor_module, "INLINE_BYTES_MAX", 1_500)


@asynccontextmanager
async def fused_run(folder: Path, fuse: Fuse) -> AsyncIterator[LoggedRun]:
    def fused(store: Any) -> Any:
        return Fused(store, fuse)

    async with logged_run(folder, documents=fused, log=fused, blobs=fused) as run:
        yield run


async def write_some(run: LoggedRun) -> None:
    rng = np.random.default_rng(1)
    for number in range(10):
        keys = ["a", "b", f"c{number}"][: 1 + number % 3]
        rows = int(rng.integers(1, 40))
        values = rng.normal(0, 1, (rows, len(keys)))
        await run.write(f"w{number % 2}", Block(keys, range(number * 40, number * 40 + rows), values))


async def compact_and_sweep(run: LoggedRun) -> None:
    """All that a compactor ever does."""
    compactor = run.new_compactor()
    while await compactor.compact(run.run.log_key):
        await compactor.merge(run.run.log_key)
    run.clock.advance(601)
    await compactor.sweep()


TURNS = 8


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_stopped_at_every_step(tmp_path: Path, after: bool, turn: int) -> None:
    step = 1 + turn
    while True:
        fuse = Fuse()
        fuse.after = after
        async with fused_run(tmp_path / str(step), fuse) as run:
            await write_some(run)
            before = await run.everything()
            fuse.calls = step
            try:
                await compact_and_sweep(run)
            except Killed:
                killed = True
            else:
                killed = False
            fuse.calls = None
            assert await run.everything() == before, (step, fuse.name)
            await compact_and_sweep(run)
            await run.new_compactor().round()
            assert await run.everything() == before, (step, fuse.name)
            # Nothing is left behind.
            assert await run.logged() == 0
            manifest = await run.segmented.manifests.get(run.run.log_key)
            assert manifest.retired == ()
            stored = {blob.key.rpartition("/")[2] for blob in (await run.blobs.list()).blobs}
            assert stored == {segment.segment_id for segment in manifest.segments if not segment.inline}
        if not killed:
            break
        step += TURNS
    assert step > 20


class Untrimming:
    """A metric log that dies when it should trim."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def trim(self, *_: Any) -> None:
        raise Killed


@pytest.mark.usefixtures("small")
async def test_a_round_trims_what_another_compactor_published_and_did_not_trim(tmp_path: Path) -> None:
    async with logged_run(tmp_path) as run:
        await write_some(run)
        before = await run.everything()
        run.compactor._log.metric_log = Untrimming(run.log)  # type: ignore[assignment] - it has the calls that are used
        with pytest.raises(Killed):
            await run.compactor.compact(run.run.log_key)
        assert await run.logged() == 10
        assert await run.everything() == before
        await run.new_compactor().round()
        assert await run.logged() == 7
        assert await run.everything() == before


KILLED_TIMES = 4


@pytest.mark.slow
async def test_a_process_killed_at_random(tmp_path: Path) -> None:
    environ = os.environ | {
        "PENSTOCK_TRACKING_DATA_DIR": str(tmp_path),
        "PENSTOCK_TRACKING_AUTH_ADDRESS": "127.0.0.1:1",
        "PENSTOCK_TRACKING_SERVICE_CREDENTIAL_FILE": str(tmp_path / "none"),
    }
    moments = random.Random(7)
    rng = np.random.default_rng(7)
    async with logged_run(tmp_path) as run:
        first = 0
        for _ in range(KILLED_TIMES):
            for _ in range(12):
                steps = range(first, first + 5_000)
                first += 5_000
                await run.write("w", Block([f"k{n}" for n in range(10)], steps, rng.normal(0, 1, (5_000, 10))))
            before = await run.fingerprint()
            process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a millisecond
                [sys.executable, "-m", "penstock_tracking.compactor"], env=environ, stderr=subprocess.DEVNULL
            )
            try:
                left = await run.logged()
                while await run.logged() == left:  # noqa: ASYNC110 - it is another process that begins
                    await asyncio.sleep(0.01)
                await asyncio.sleep(moments.uniform(0, 0.1))
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert await run.fingerprint() == before
        await run.compact()
        assert await run.fingerprint() == before
        manifest = await run.segmented.manifests.get(run.run.log_key)
        assert manifest.points == first * 10
