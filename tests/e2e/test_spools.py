"""What stays on the disk where training runs, and how it gets to the server: offline, interrupted, with no server there.

The scripts are those of users: no timing of theirs is part of a test, they are told by files when to go on.
"""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.platform import PENSTOCK, Platform, running_platform
from support.training import Training, bits, connection_of, end_senders, eventually, points_on_server

from penstock.api.tracking.v1 import run_pb2
from penstock.client import Client
from penstock.spool.reader import START, SpoolReader
from penstock.spool.records import RecordType

pytestmark = pytest.mark.slow

COMMAND_TIMEOUT_S = 60
ROWS = 500

OFFLINE = """
import dataclasses, json, sys, penstock

with penstock.init(config={"lr": 0.1}, tags=["offline"], mode="offline", system_metrics=False) as run:
    for step in range(int(sys.argv[1])):
        run.log({"loss": 1 / (step + 1)}, step=step)
    run.summary["best"] = 0.5
    receipt = run.finish()
print(json.dumps({"receipt": dataclasses.asdict(receipt)}))
"""

ENDLESS = """
import json, sys, time, penstock

{opening}
step = 0
try:
    while True:
        run.log({{"loss": 1 / (step + 1)}}, step=step)
        step += 1
        if step == {rows}:
            print(json.dumps({{"run": run.resource_name}}), flush=True)
        time.sleep(0.002)
finally:
    print(json.dumps({{"rows": step}}), flush=True)
"""
OPENING = 'run = penstock.init(name="endless", system_metrics=False)'

FAILING = """
import penstock

with penstock.init(name="failing", system_metrics=False) as run:
    for step in range(500):
        run.log({"loss": 1 / (step + 1)}, step=step)
    raise ValueError("the loss is ugly")
"""

WAITING = """
import dataclasses, json, pathlib, sys, time, penstock

run = penstock.init(name="waiting", system_metrics=False)
print(json.dumps({"run": run.resource_name}), flush=True)
for step in range(500):
    run.log({"loss": 1 / (step + 1)}, step=step)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print(json.dumps({"finishing": True}), flush=True)
receipt = run.finish(timeout_s=float(sys.argv[2]) if len(sys.argv) > 2 else None)
print(json.dumps({"receipt": dataclasses.asdict(receipt)}))
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("spools")) as running, end_senders(running.home):
        yield running


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with Client(connection_of(platform.env)) as opened:
        yield opened


def script(folder: Path, text: str) -> Path:
    path = folder / "train.py"
    path.write_text(text)
    return path


def losses(rows: int) -> dict[str, list[tuple[int, str]]]:
    return {"loss": [(step, bits(1 / (step + 1))) for step in range(rows)]}


def sync(platform: Platform, *paths: Path) -> list[dict[str, Any]]:
    """Runs `penstock sync` and returns what it says of each spool."""
    done = subprocess.run(
        [PENSTOCK, "sync", "--json", *paths],
        env=platform.env,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def until_ended(client: Client, run: str) -> run_pb2.Run:
    """The run, as soon as it is over."""

    def look() -> list[run_pb2.Run]:
        found = list(client.runs("default", filter=f"run_id = '{run.rpartition('/')[2]}' and end_time is not null"))
        return [each for each in found if each.state != run_pb2.RUN_STATE_RUNNING]

    return eventually(look, f"the end of {run}")[0]


def test_an_offline_run_is_sent_once_however_often(platform: Platform, client: Client, tmp_path: Path) -> None:
    with Training(script(tmp_path, OFFLINE), ROWS, env=platform.env, folder=tmp_path) as training:
        receipt = training.receipt()
        assert "penstock sync" in training.words
    run = receipt["run"]
    assert (receipt["points_logged"], receipt["points_durable"], receipt["verified"]) == (ROWS, 0, False)
    assert not list(client.runs("default", filter=f"run_id = '{run.rpartition('/')[2]}'"))
    (spool,) = (platform.home / "spool" / run.rpartition("/")[2]).iterdir()
    copy = Path(shutil.copytree(spool, tmp_path / "usb-stick" / spool.name))

    (sent,) = sync(platform, spool)
    assert (sent["run"], sent["ending"], sent["points_durable"]) == (run, "done", ROWS)
    assert sent["receipt"]["verified"]
    assert not spool.exists()
    assert sync(platform) == []
    # Once more, from a copy that somebody carried away before.
    (again,) = sync(platform, copy)
    assert (again["ending"], again["points_durable"]) == ("done", ROWS)
    assert again["receipt"]["digest"] == sent["receipt"]["digest"]

    assert points_on_server(client, run) == losses(ROWS)
    found = client.run(run)
    assert found.state == run_pb2.RUN_STATE_FINISHED
    assert [param.key for param in found.params] == ["lr"]
    assert "offline" in {tag.key for tag in found.tags}
    assert [entry.key for entry in found.summary] == ["best"]


@pytest.mark.parametrize("context", [True, False])
def test_an_interrupt_ends_the_run_and_loses_nothing(
    platform: Platform, client: Client, tmp_path: Path, context: bool
) -> None:
    text = ENDLESS.format(opening=OPENING, rows=ROWS)
    if context:
        head, _, loop = text.partition("step = 0\n")
        body = "".join(f"    {line}\n" for line in f"step = 0\n{loop}".splitlines())
        text = f"{head}with run:\n{body}"
    with Training(script(tmp_path, text), env=platform.env, folder=tmp_path) as training:
        run = training.report("run")
        training.send(signal.SIGINT)
        assert training.wait() == -signal.SIGINT
        assert "KeyboardInterrupt" in training.words
        rows = training.report("rows")
    found = until_ended(client, run)
    assert (found.state, found.failure) == (run_pb2.RUN_STATE_KILLED, "")
    # The row at which it struck may have been written and not counted.
    arrived = points_on_server(client, run)
    assert arrived in (losses(rows), losses(rows + 1))


def test_a_termination_ends_the_run_and_loses_nothing(platform: Platform, client: Client, tmp_path: Path) -> None:
    text = ENDLESS.format(opening=OPENING, rows=ROWS)
    with Training(script(tmp_path, text), env=platform.env, folder=tmp_path) as training:
        run = training.report("run")
        training.send(signal.SIGTERM)
        assert training.wait() == -signal.SIGTERM
    assert until_ended(client, run).state == run_pb2.RUN_STATE_KILLED
    arrived = points_on_server(client, run)["loss"]
    assert len(arrived) >= ROWS
    assert arrived == losses(len(arrived))["loss"]


def test_a_failure_is_told(platform: Platform, client: Client, tmp_path: Path) -> None:
    with Training(script(tmp_path, FAILING), env=platform.env, folder=tmp_path) as training:
        assert training.wait() == 1
    (found,) = client.runs("default", filter="name = 'failing'")
    assert found.state == run_pb2.RUN_STATE_FAILED
    assert found.failure.rstrip().endswith("ValueError: the loss is ugly")
    assert points_on_server(client, found.name) == losses(ROWS)


def test_a_killed_training_has_crashed(platform: Platform, client: Client, tmp_path: Path) -> None:
    text = ENDLESS.format(opening=OPENING, rows=ROWS)
    with Training(script(tmp_path, text), env=platform.env, folder=tmp_path) as training:
        run = training.report("run")
        training.send(signal.SIGKILL)
        training.wait()
    assert until_ended(client, run).state == run_pb2.RUN_STATE_CRASHED
    arrived = points_on_server(client, run)["loss"]
    assert len(arrived) >= ROWS
    assert arrived == losses(len(arrived))["loss"]


def record_types(spool: Path) -> set[int]:
    return {record.type for record in SpoolReader(spool).records(START, ended=False, damage=[])}


@pytest.fixture
def own_platform(tmp_path: Path) -> Iterator[Platform]:
    """One that a test may stop."""
    with running_platform(tmp_path) as running, end_senders(running.home):
        yield running


def test_finish_while_the_server_is_away(own_platform: Platform, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    connection = connection_of(own_platform.env)
    with Training(script(tmp_path, WAITING), go_on, 0.2, env=own_platform.env, folder=tmp_path) as patient:
        run = patient.report("run")
        own_platform.stop()
        go_on.touch()
        receipt = patient.receipt()
        assert not receipt["verified"]
        assert "penstock sync" in patient.words
        (spool,) = (own_platform.home / "spool" / run.rpartition("/")[2]).iterdir()
        assert str(spool) in patient.words
    own_platform.start()
    with Client(connection) as client:
        assert until_ended(client, run).state == run_pb2.RUN_STATE_FINISHED
        assert points_on_server(client, run) == losses(ROWS)


def test_the_first_interrupt_of_finish_waits_and_the_second_leaves(own_platform: Platform, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    connection = connection_of(own_platform.env)
    with Training(script(tmp_path, WAITING), go_on, env=own_platform.env, folder=tmp_path) as training:
        run = training.report("run")
        own_platform.stop()
        go_on.touch()
        training.report("finishing")
        (spool,) = (own_platform.home / "spool" / run.rpartition("/")[2]).iterdir()
        # Until the end is written, an interrupt is one of the script, as any other.
        eventually(lambda: RecordType.FINISH in record_types(spool), "the end of the run in the spool")
        training.send(signal.SIGINT)
        eventually(lambda: "Ctrl-C again leaves at once" in training.words, "what the first interrupt says")
        training.send(signal.SIGINT)
        receipt = training.receipt()
        assert "penstock sync" in training.words
        assert not receipt["verified"]
    own_platform.start()
    with Client(connection) as client:
        assert until_ended(client, run).state == run_pb2.RUN_STATE_FINISHED
        assert points_on_server(client, run) == losses(ROWS)
