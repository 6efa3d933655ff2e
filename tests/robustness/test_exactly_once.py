"""Whatever is killed, sent again or sent twice: every `log()` that returned is on the server exactly once, bit-exact.

Moments are random, from seeds in the tests' names. PENSTOCK_SOAK=1 makes it as long as the figures of the project ask for.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.installation import Installation, installation
from support.platform import running_platform
from support.spools import new_spool, spool_points
from support.training import connection_of, end_senders, eventually, points_on_server, sender_processes

from penstock.api.tracking.v1 import run_pb2
from penstock.client import Client
from penstock.sender import exchange, sync
from penstock.sender.outcome import Ending, Outcome
from penstock.sender.sending import Sending, SendingLimits
from penstock.sender.source import SpoolSource
from penstock.spool.locks import SenderLock
from penstock.spool.meta import SpoolMeta, read_receipt, read_status, receipt_path

pytestmark = pytest.mark.slow

PENSTOCK = Path(sys.executable).with_name("penstock")
SOAK = os.environ.get("PENSTOCK_SOAK") == "1"
TRAINER_KILLS = 50 if SOAK else 8
SENDER_KILLS = 25 if SOAK else 3
RARE = (float("nan"), float("inf"), -0.0, 5e-324)

TRAINER = """
import os, sys, time
import penstock
run = penstock.init(project="default", system_metrics=False, capture=False)
pause_s = float(sys.argv[1])
out = os.fdopen(os.dup(1), "wb", buffering=0)
out.write(f"{run.spool_folder}\\n".encode())
rare = (float("nan"), float("inf"), -0.0, 5e-324)
for step in range(int(sys.argv[2])):
    # Several key sets, and default steps.
    row = {"a": step / 7}
    if step % 2:
        row |= {"rare": rare[step % 4], f"b{step % 3}": -step, "wide/x": step * 1e300}
    run.log(row)
    out.write(b"%d\\n" % step)
    if pause_s:
        time.sleep(pause_s)
receipt = run.finish()
out.write(f"{receipt.points_logged} {receipt.points_durable} {receipt.dropped} {receipt.verified}\\n".encode())
"""


def row(step: int) -> dict[str, float]:
    """What the trainer logs."""
    if step % 2 == 0:
        return {"a": step / 7}
    return {"a": step / 7, "rare": RARE[step % 4], f"b{step % 3}": -float(step), "wide/x": step * 1e300}


def expected(rows: int) -> dict[str, list[tuple[int, str]]]:
    """Steps and bits of what so many rows hold, by key."""
    found: dict[str, list[tuple[int, str]]] = {}
    for step in range(rows):
        for key, value in row(step).items():
            found.setdefault(key, []).append((step, struct.pack(">d", value).hex()))
    return found


@dataclass
class Trainer:
    """A training process and its spool."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def run(self) -> str:
        return f"projects/default/runs/{self.folder.parent.name}"

    @property
    def receipt(self) -> Path:
        return receipt_path(self.folder.parents[2], self.folder.parent.name, self.folder.name)

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def training(env: dict[str, str], *, pause_s: float = 0, rows: int = 10**9) -> Iterator[Trainer]:
    """Runs a trainer, and kills it at the end if nothing else did."""
    trainer = start(env, pause_s=pause_s, rows=rows)
    try:
        yield trainer
    finally:
        trainer.close()


def start(env: dict[str, str], *, pause_s: float = 0, rows: int = 10**9) -> Trainer:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(pause_s), str(rows)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    return Trainer(process, Path(process.stdout.readline().decode().strip()))


def killed_after(trainer: Trainer, reads: int) -> int:
    """Kills a trainer after so many of its reports. Returns how many `log()` returned."""
    returned = 0
    for _ in range(reads):
        returned = int(trainer.line()) + 1
    trainer.process.kill()
    assert trainer.process.stdout is not None
    for text in trainer.process.stdout:
        if text.endswith(b"\n"):
            returned = int(text) + 1
    trainer.close()
    return returned


def deliver(trainer: Trainer, home: Path, env: dict[str, str]) -> None:
    """Waits for the receipt. Where no sender lives that would bring it, the spool is sent as a user would do it."""
    if not sender_processes(home):
        subprocess.run([PENSTOCK, "sync"], env=env, check=True, stdout=subprocess.DEVNULL)
    eventually(trainer.receipt.exists, f"the receipt of {trainer.folder}")


def check(client: Client, run: str, returned: int) -> None:
    """Every `log()` that returned is there once; at most the one in the midst of which it was killed beside them."""
    found = points_on_server(client, run)
    rows = len(found["a"])
    assert rows in {returned, returned + 1}
    assert found == expected(rows)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def env(server: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    for name in ("PENSTOCK_MODE", "PENSTOCK_PROJECT", "PENSTOCK_RUN_ID", "PENSTOCK_PROFILE", "RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    for name, value in (server.environment | {"PENSTOCK_HOME": str(home)}).items():
        monkeypatch.setenv(name, value)
    with end_senders(home):
        yield dict(os.environ)


@pytest.fixture
def client(server: Installation) -> Iterator[Client]:
    with Client(server.connection) as client:
        yield client


@pytest.mark.parametrize("seed", range(TRAINER_KILLS))
def test_a_trainer_that_is_killed(env: dict[str, str], client: Client, seed: int) -> None:
    with training(env) as trainer:
        returned = killed_after(trainer, random.Random(seed).randrange(1, 5000))
        eventually(trainer.receipt.exists, f"the receipt of {trainer.folder}")
        receipt = read_receipt(trainer.receipt)
        assert receipt is not None
        assert (receipt.state, receipt.verified) == ("CRASHED", True)
        assert client.run(trainer.run, fields=["state"]).state == run_pb2.RUN_STATE_CRASHED
        check(client, trainer.run, returned)
        # The receipt is durable before the spool goes, never the other way round.
        eventually(lambda: not trainer.folder.exists(), f"the removal of {trainer.folder}")


def test_a_sender_that_is_killed_again_and_again(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    chance = random.Random(1)
    with training(env, pause_s=0.002, rows=SENDER_KILLS * 900) as trainer:
        for _ in range(SENDER_KILLS):
            (pid,) = eventually(lambda: sender_processes(tmp_path / "home"), "a sender")
            time.sleep(chance.uniform(0.1, 0.8))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: pid not in sender_processes(tmp_path / "home"), "its end")
        assert trainer.process.stdout is not None
        *_, last = list(trainer.process.stdout)
        logged, durable, dropped, verified = last.split()
        assert (durable, dropped, verified) == (logged, b"0", b"True")
        assert points_on_server(client, trainer.run) == expected(SENDER_KILLS * 900)


def test_trainer_and_sender_killed_together_and_the_spool_sent_twice(
    env: dict[str, str], client: Client, tmp_path: Path
) -> None:
    """As when a machine fails: what is left is sent by somebody else, and then sent again from a copy."""
    with training(env) as trainer:
        for _ in range(3000):
            trainer.line()
        (pid,) = eventually(lambda: sender_processes(tmp_path / "home"), "a sender")
        eventually(lambda: (status := read_status(trainer.folder)) and status.acked_points, "something sent")
        os.kill(pid, signal.SIGKILL)
        returned = killed_after(trainer, 10)
        copy = tmp_path / "copy" / trainer.folder.parent.name / trainer.folder.name
        shutil.copytree(trainer.folder, copy)
        (first,) = sync([trainer.folder])
        assert (first.ending, first.receipt and first.receipt.verified) == ("done", True)
        check(client, trainer.run, returned)
        (second,) = sync([copy])
        assert (second.ending, second.receipt and second.receipt.verified) == ("done", True)
        check(client, trainer.run, returned)


def _offline_spool(root: Path, rows: int) -> Path:
    writer = new_spool(root)
    SpoolMeta(writer.folder.parent.name, writer.folder.name, "default", time.time_ns() // 1000, mode="offline").write(
        writer.folder
    )
    for step in range(rows):
        writer.write_row(row(step), step)
    writer.finish("FINISHED", "", closes_run=True)
    return writer.folder


def _run_of(folder: Path) -> str:
    return f"projects/default/runs/{folder.parent.name}"


async def _interrupted_sending(source: SpoolSource, server: Installation, acks: int) -> Outcome | None:
    """Sends until some batches were acknowledged, then stops as abruptly as a kill would. The outcome, if it came first."""
    enough = asyncio.Event()
    seen: set[int] = set()

    def count(points: int) -> None:
        seen.add(points)
        if len(seen) > acks:
            enough.set()

    task = asyncio.create_task(Sending(source, lambda: server.connection, SendingLimits(follow=False), count).run())
    waiting = asyncio.create_task(enough.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


async def test_a_sender_that_is_restarted_after_every_batch(
    env: dict[str, str], server: Installation, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One batch in flight at a time, and small ones.
    monkeypatch.setattr(exchange, "IN_FLIGHT_BYTES_MAX", 1)
    rows = 4000 if SOAK else 1000
    folder = _offline_spool(tmp_path / "spool", rows)
    restarts = 0
    while True:
        lock = SenderLock.try_acquire(folder)
        assert lock is not None
        with lock:
            source = SpoolSource(folder, batch_bytes=1000)
            outcome = await _interrupted_sending(source, server, acks=1)
            source.close()
        if outcome is not None:
            break
        restarts += 1
    assert outcome.ending is Ending.DONE
    assert outcome.receipt is not None
    assert outcome.receipt.verified
    assert restarts > rows / 50
    assert await asyncio.to_thread(points_on_server, client, _run_of(folder)) == expected(rows)


def test_an_offline_spool_sent_twice(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    folder = _offline_spool(tmp_path / "spool", 20_000)
    copy = tmp_path / "copy" / folder.parent.name / folder.name
    shutil.copytree(folder, copy)
    results = [*sync([folder]), *sync([copy])]
    assert [(result.ending, result.points_durable) for result in results] == [("done", 50_000)] * 2
    assert results[0].receipt == results[1].receipt
    assert points_on_server(client, _run_of(folder)) == expected(20_000)


def test_two_senders_with_copies_at_the_same_time(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    folder = _offline_spool(tmp_path / "spool", 60_000)
    copies = [folder]
    for number in range(2):
        copies.append(tmp_path / f"copy{number}" / folder.parent.name / folder.name)
        shutil.copytree(folder, copies[-1])
    program = (
        "import sys; from pathlib import Path; from penstock.sender import sync\n"
        "print(sync([Path(sys.argv[1])])[0].ending)"
    )
    senders = [
        subprocess.Popen([sys.executable, "-c", program, str(copy)], env=env, stdout=subprocess.PIPE, text=True)
        for copy in copies
    ]
    endings = [sender.communicate(timeout=60)[0].strip() for sender in senders]
    # One that was overtaken by another stops.
    assert set(endings) <= {"done", "occupied"}
    assert "done" in endings
    assert points_on_server(client, _run_of(folder)) == expected(60_000)


def test_an_altered_copy_is_refused_loudly(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    folder = _offline_spool(tmp_path / "spool", 100)
    altered = tmp_path / "altered" / folder.parent.name / folder.name
    shutil.copytree(folder, altered)
    writer = new_spool(tmp_path / "other")
    writer.write_row({"a": 5.0}, 0)
    writer.finish("FINISHED", "", closes_run=True)
    shutil.copy(writer.folder / "00000001.log", altered / "00000001.log")
    assert [result.ending for result in sync([folder])] == ["done"]
    (refused,) = sync([altered])
    assert (refused.ending, refused.reason) == ("refused", "DIGEST_CONFLICT")
    assert "altered" in refused.message
    assert points_on_server(client, _run_of(folder)) == expected(100)
    assert sum(spool_points(altered).values()) == 1


@pytest.mark.parametrize("sender_goes_first", [False, True])
def test_a_platform_a_sender_and_a_trainer_killed_at_random(tmp_path: Path, sender_goes_first: bool) -> None:
    """Everything at once, over the whole platform in processes of its own.

    At the end the trainer is killed, either while a sender lives or is due, or just after its sender was.
    """
    chance = random.Random(7)
    with running_platform(tmp_path) as platform, end_senders(platform.home):
        env = dict(platform.env)
        with training(env, pause_s=0.001) as trainer:
            for _ in range(10 if SOAK else 1):
                time.sleep(chance.uniform(0, 1.5))
                platform.kill()
                for pid in sender_processes(platform.home):
                    os.kill(pid, signal.SIGKILL)
                time.sleep(chance.uniform(0, 1.0))
                platform.start()
            if sender_goes_first:
                for pid in eventually(lambda: sender_processes(platform.home), "a sender"):
                    os.kill(pid, signal.SIGKILL)
            returned = killed_after(trainer, 10)
            # The trainer may have gone before it started another sender: then the spool waits to be sent.
            deliver(trainer, platform.home, env)
            with Client(connection_of(env)) as client:
                check(client, trainer.run, returned)
                assert client.run(trainer.run, fields=["state"]).state == run_pb2.RUN_STATE_CRASHED
