"""How processes end, and what of them is in the spool then. Real processes, real signals."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.spools import batches_of, decoded, points_of, spool_points

from penstock.spool.locks import SenderLock, owner_is_alive
from penstock.spool.meta import SpoolMeta
from penstock.spool.reader import Damage

HEAD = """
import os, signal, sys, time
import penstock
run = penstock.init(mode="offline", system_metrics=False, capture=False)
print(run.spool_folder, flush=True)
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PENSTOCK_") and name not in {"RANK", "SLURM_PROCID"}
    }
    return kept | {"PENSTOCK_HOME": str(home)} | more


def start(home: Path, program: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end_of(folder: Path) -> dict[str, Any]:
    finish = batches_of(folder)[-1].finish
    assert finish is not None
    return finish


def ended(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=30)
    return errors


@pytest.mark.parametrize(
    ("tail", "state"),
    [
        ("run.log({'a': 1.0})", "FINISHED"),
        ("run.log({'a': 1.0}); raise ValueError('boom')", "FAILED"),
        ("run.log({'a': 1.0}); os.kill(os.getpid(), signal.SIGINT); time.sleep(30)", "KILLED"),
        ("run.log({'a': 1.0}); os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)", "KILLED"),
    ],
)
def test_the_end_of_the_process_ends_the_run(tmp_path: Path, tail: str, state: str) -> None:
    process = start(tmp_path, HEAD + tail)
    folder = Path(line(process))
    ended(process)
    end = end_of(folder)
    assert (end["state"], end["points"]) == (state, 1)
    assert ("boom" in end["failure"]) == (state == "FAILED")
    assert (process.returncode == -signal.SIGTERM) == ("SIGTERM" in tail)
    assert not owner_is_alive(folder)


def test_logging_without_a_run_says_how_to_start_one(tmp_path: Path) -> None:
    process = start(tmp_path, "import penstock; penstock.log({'a': 1.0})")
    assert ended(process).rstrip().endswith("start one with penstock.init().")


def test_somebody_elses_sigterm_handler_stays(tmp_path: Path) -> None:
    program = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + HEAD + "time.sleep(30)"
    process = start(tmp_path, program)
    folder = Path(line(process))
    process.terminate()
    ended(process)
    assert process.returncode == 7
    assert end_of(folder)["state"] == "FINISHED"


def test_a_vanished_process_leaves_no_end(tmp_path: Path) -> None:
    process = start(tmp_path, HEAD + "run.log({'a': 1.0}); print('logged', flush=True); time.sleep(30)")
    folder = Path(line(process))
    assert line(process) == "logged"
    assert owner_is_alive(folder)
    process.kill()
    ended(process)
    assert not owner_is_alive(folder)
    (batch,) = batches_of(folder)
    assert (batch.points, batch.finish) == (1, None)


KILLED = (
    HEAD
    + """
out = os.fdopen(os.dup(1), "wb", buffering=0)
for step in range(10**9):
    run.log({"a": step, f"b{step % 5}": -step}, step)
    out.write(b"%d\\n" % step)
"""
)


@pytest.mark.parametrize("seed", range(6))
def test_every_log_that_returned_is_in_the_spool_when_the_trainer_is_killed(tmp_path: Path, seed: int) -> None:
    process = start(tmp_path, KILLED)
    assert process.stdout is not None
    folder = Path(line(process))
    reads = random.Random(seed).randrange(1, 3000)
    returned = max(int(process.stdout.readline()) + 1 for _ in range(reads))
    process.kill()
    for text in process.stdout:
        if text.endswith("\n"):
            returned = int(text) + 1
    ended(process)
    damage: list[Damage] = []
    points = spool_points(folder, damage)
    assert all(item.torn_tail for item in damage)
    steps = {step for key, step, _ in points if key == "a"}
    # At most one more than those that returned: killed between the write and the return.
    assert set(range(returned)) <= steps <= set(range(returned + 1))
    assert set(points.values()) == {1}


def test_ctrl_c_in_finish_waits_a_little_and_says_how_to_send_the_rest(tmp_path: Path) -> None:
    # A server that takes the connection and never answers.
    program = """
import socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
import os
os.environ["PENSTOCK_URL"] = f"http://127.0.0.1:{server.getsockname()[1]}"
os.environ["PENSTOCK_TOKEN"] = "pst_none"
import penstock
run = penstock.init(system_metrics=False, capture=False)
run.log({"a": 1.0})
print(run.spool_folder, flush=True)
def tell():
    # Its sender has begun by then.
    while not (run.spool_folder / "status.json").exists():
        time.sleep(0.02)
    print("waiting", flush=True)
threading.Thread(target=tell).start()
receipt = run.finish()
print(receipt.points_logged, receipt.points_durable, flush=True)
"""
    process = start(tmp_path, program)
    try:
        folder = Path(line(process))
        assert line(process) == "waiting"
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert output.split() == ["1", "0"]
        assert "5 s more" in errors
        assert "penstock sync" in errors
        assert "Traceback" not in errors
        assert sum(spool_points(folder).values()) == 1
        # It goes on in the background, and was told nothing by the environment.
        assert "pst_none" in (folder / "connection.json").read_text()
        sender = json.loads((folder / "status.json").read_text())["sender_process_id"]
        if Path("/proc").is_dir():
            assert b"pst_none" not in Path(f"/proc/{sender}/environ").read_bytes()
            assert b"pst_none" not in Path(f"/proc/{sender}/cmdline").read_bytes()
    finally:
        process.kill()
        for status in tmp_path.glob("spool/*/*/status.json"):
            os.kill(json.loads(status.read_text())["sender_process_id"], signal.SIGTERM)


FORKED = (
    HEAD
    + """
run.log({"parent": 1.0})
child = os.fork()
if child == 0:
    run.log({"child": 1.0})
    run.log({"child": 2.0})
    print(run.spool_folder, flush=True)
    sys.exit(0)
os.waitpid(child, 0)
run.log({"parent": 2.0})
"""
)


def test_a_forked_child_writes_a_spool_of_its_own(tmp_path: Path) -> None:
    process = start(tmp_path, FORKED)
    parent = Path(line(process))
    child = Path(line(process))
    assert ended(process).count("Traceback") == 0
    assert parent.parent == child.parent
    assert parent != child
    assert (SpoolMeta.read(parent).primary, SpoolMeta.read(child).primary) == (True, False)
    assert {key for key, _, _ in spool_points(parent)} == {"parent"}
    steps = [step for _, step, _, _ in points_of(decoded(batches_of(child)))]
    assert steps == [1, 2]
    # The child's exit ends its writer, and not the run.
    assert end_of(child)["state"] == ""
    assert (end_of(parent)["state"], end_of(parent)["points"]) == ("FINISHED", 2)


def test_a_pool_of_forked_workers_logs_into_one_run(tmp_path: Path) -> None:
    program = (
        HEAD
        + """
import multiprocessing
def work(number):
    run.log({f"worker{number}": float(number)})
    return os.getpid()
with multiprocessing.get_context("fork").Pool(3) as pool:
    pool.map(work, range(12), chunksize=1)
"""
    )
    process = start(tmp_path, program)
    parent = Path(line(process))
    assert "Traceback" not in ended(process)
    points = sum(
        (spool_points(folder) for folder in parent.parent.iterdir() if folder != parent), start=spool_points(parent)
    )
    assert {key for key, _, _ in points} == {f"worker{number}" for number in range(12)}


def test_a_forked_child_has_the_signals_of_any_child(tmp_path: Path) -> None:
    """A worker that waits for a lock between processes may never come to run a handler, and its pool would wait for it."""
    program = (
        HEAD
        + """
read, write = os.pipe()
child = os.fork()
if not child:
    run.log({"child": 1.0})
    os.write(write, b"1" if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else b"0")
    signal.pause()
print(os.read(read, 1).decode(), signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, flush=True)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM, flush=True)
"""
    )
    process = start(tmp_path, program)
    parent = Path(line(process))
    assert [line(process), line(process)] == ["1 True", "True"]
    assert "Traceback" not in ended(process)
    assert end_of(parent)["state"] == "FINISHED"
    (child,) = (folder for folder in parent.parent.iterdir() if folder != parent)
    assert {key for key, _, _ in spool_points(child)} == {"child"}


def test_the_training_process_imports_no_grpc(tmp_path: Path) -> None:
    program = """
import sys, os
os.environ["PENSTOCK_URL"] = "http://127.0.0.1:9"
import penstock
assert not [name for name in sys.modules if name.startswith("penstock.")], "import penstock is lazy"
run = penstock.init(system_metrics=False, capture=False)
run.log({"a": 1.0})
run.finish(timeout_s=0.1)
print([name for name in sys.modules if name.split(".")[0] in {"grpc", "google", "numpy", "asyncio", "rich", "typer"}])
"""
    process = start(tmp_path, program)
    try:
        output, errors = process.communicate(timeout=30)
        assert output.strip() == "[]", errors
    finally:
        for _ in range(100):
            found = list(tmp_path.glob("spool/*/*/status.json"))
            if found:
                os.kill(json.loads(found[0].read_text())["sender_process_id"], signal.SIGTERM)
                break
            time.sleep(0.05)


def test_two_senders_on_one_spool(tmp_path: Path) -> None:
    process = start(tmp_path, HEAD + "run.log({'a': 1.0}); run.finish()")
    folder = Path(line(process))
    ended(process)
    lock = SenderLock.try_acquire(folder)
    assert lock is not None
    with lock:
        done = subprocess.run(
            [sys.executable, "-m", "penstock.sender", str(folder)],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 3
    assert "Another sender" in done.stderr
    assert "Traceback" not in done.stderr
