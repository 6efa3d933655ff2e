"""Media, alerts and artifacts while trainer, senders and the artifact service are killed: each arrives once."""

import contextlib
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.platform import Processes
from support.training import Training, connection_of, end_senders, eventually, sender_processes

from penstock.api.tracking.v1 import run_pb2
from penstock.client import Client

pytestmark = pytest.mark.slow

STEPS = 60
ALERT_EVERY = 20
SIZE = 30_000_000
SCRIPT = """
import json, sys, time
import penstock
run = penstock.init(system_metrics=False, capture=False)
print(json.dumps({"run": run.resource_name}), flush=True)
run.log_artifact(sys.argv[1], name="net", type="model", wait=False)
for step in range(int(sys.argv[2])):
    run.log({"loss": float(step), "values": penstock.Histogram([float(step)])}, step=step)
    if step % int(sys.argv[3]) == 0:
        run.alert(f"step {step}", step=step)
print(json.dumps({"logged": True}), flush=True)
time.sleep(600)
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes.start()


def large_file(folder: Path) -> Path:
    """A file that takes a while to send. Its bytes are not all the same."""
    file = folder / "large.bin"
    with file.open("wb") as opened:
        opened.truncate(SIZE)
        for place in range(0, SIZE, SIZE // 16):
            opened.seek(place)
            opened.write(hashlib.sha256(str(place).encode()).digest())
    return file


def kill_senders(home: Path) -> None:
    for pid in sender_processes(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_everything_arrives_once_whatever_is_killed(platform: Processes, tmp_path: Path) -> None:
    home = Path(platform.env["PENSTOCK_HOME"])
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    file = large_file(tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with end_senders(home), Client(connection_of(platform.env)) as client:
        arguments = (file, STEPS, ALERT_EVERY)
        with Training(script, *arguments, env=platform.env, folder=tmp_path) as training:
            run = training.report("run")
            eventually(lambda: list(client.media(run, limit=1)), "the first media")
            kill_senders(home)
            platform.kill_one("artifact")
            training.report("logged")
            file.unlink()
            platform.restart_one("artifact")
            eventually(lambda: len(list(client.media(run))) > STEPS // 4, "more media, by another sender")
            kill_senders(home)
            training.send(signal.SIGKILL)
        # The next init on this machine, here a sync, goes on.
        eventually(lambda: not sender_processes(home), "nobody sends any more")
        script.write_text(
            "from penstock.sender import sync\nimport json\nprint(json.dumps({'ending': sync()[0].ending}))"
        )
        with Training(script, env=platform.env, folder=tmp_path) as syncing:
            assert syncing.report("ending") == "done"
        steps = [one.media.step for one in client.media(run)]
        assert steps == list(range(STEPS))
        assert sorted(alert.step for alert in client.alerts(run)) == list(range(0, STEPS, ALERT_EVERY))
        assert [one.name[-2:] for one in client.artifact_versions("net")] == ["/1"]
        (entry,) = client.artifact_entries("net/1")
        assert entry.file.blob.sha256 == digest
        assert client.run(run).state == run_pb2.RUN_STATE_CRASHED
        assert list((home / "spool").glob("*/*")) == []
