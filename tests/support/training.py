"""Training in processes of its own, for tests that kill and freeze what is around it.

`Training` runs a script beside the test, `SteadyTraining` the one in `support/steady.py`, of which a test knows each value.
`points_on_server` reads back every point, to be compared with what was logged.
"""

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from support import steady

from penstock.client import Client
from penstock.config import Connection
from penstock.spool.meta import read_status

__all__ = [
    "SteadyTraining",
    "Training",
    "Watcher",
    "bits",
    "check_all_arrived",
    "connection_of",
    "end_senders",
    "eventually",
    "points_on_server",
    "rows_on_server",
    "sender_processes",
    "until_rows_grow",
    "until_streaming",
]

DEADLINE_S = 60.0
POLL_INTERVAL_S = 0.05

Found = TypeVar("Found")
Points = dict[str, list[tuple[int, str]]]
"""Step and value (as hexadecimal text, which tells every NaN apart) of the points of each metric, by step."""


def bits(value: float) -> str:
    """The 64 bits of a value, as hexadecimal text."""
    return struct.pack(">d", value).hex()


def points_on_server(client: Client, run: str, *, by_rank: bool = False) -> Points:
    """Every point of a run but those of the system, as the server has it. With `by_rank`, keys are `key@rank`."""
    found: Points = {}
    for piece in client.history(run, by_rank=by_rank):
        if not piece.key.startswith("system/"):
            key = f"{piece.key}@{piece.rank}" if by_rank else piece.key
            values = map(bits, piece.points.values)
            found.setdefault(key, []).extend(zip(piece.points.steps, values, strict=True))
    return found


def connection_of(env: Mapping[str, str]) -> Connection:
    """Where a client with this environment would connect to."""
    if "PENSTOCK_URL" in env:
        return Connection(env["PENSTOCK_URL"], None, env["PENSTOCK_TOKEN"], "tests")
    local = json.loads((Path(env["PENSTOCK_HOME"]) / "local.json").read_text())
    return Connection(local["http"], None, local["token"], "tests")


def eventually(look: Callable[[], Found | None], what: str, timeout_s: float = DEADLINE_S) -> Found:
    """Looks again and again until something is found, and returns it. `what` is for the failure."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        found = look()
        if found:
            return found
        time.sleep(POLL_INTERVAL_S)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class Training:
    """A script that runs in a process of its own. Kills it at the end, if nothing else did.

    A line of JSON on its standard output is a report: `reports` are those so far.

    Args:
        script: The file.
        arguments: Its arguments.
        env: Its whole environment.
        folder: The folder in which it runs.
    """

    def __init__(self, script: Path, *arguments: object, env: Mapping[str, str], folder: Path) -> None:
        self.reports: list[dict[str, Any]] = []
        self._said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read_reports, daemon=True),
            threading.Thread(target=self._read_words, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._join()

    @property
    def words(self) -> str:
        """What it has said on standard error so far."""
        return "".join(self._said)

    def report(self, key: str, timeout_s: float = DEADLINE_S) -> Any:
        """The value of a key, as soon as a report has it."""

        def look() -> list[Any]:
            found = [report[key] for report in list(self.reports) if key in report]
            if not found and self._process.poll() is not None and not self._readers[0].is_alive():
                raise AssertionError(f"it ended with {self._process.returncode} without {key!r}: {self.words}")
            return found

        return eventually(look, f"a report of {key!r}; it said: {self.words}", timeout_s)[0]

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Waits for its end and returns the exit code."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout_s} s: {self.words}") from None
        self._join()
        return code

    def receipt(self, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        """Waits until it ended well, and returns the receipt that it reported."""
        code = self.wait(timeout_s)
        assert code == 0, self.words
        return self.report("receipt")

    def _join(self) -> None:
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _read_reports(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.reports.append(json.loads(line))

    def _read_words(self) -> None:
        assert self._process.stderr is not None
        self._said.extend(self._process.stderr)


class SteadyTraining(Training):
    """The training of `support/steady.py`: goes on until `stop`.

    Args:
        folder: A folder of its own.
        seed: Its values depend on it.
        env: Its whole environment.
        finish_timeout_s: How long its `finish` waits; None means as long as it takes.
    """

    def __init__(self, folder: Path, seed: int, env: Mapping[str, str], finish_timeout_s: float | None = None) -> None:
        self.seed = seed
        self._stop_file = folder / f"stop-{seed}"
        # A copy: beside the others in tests/support it would take support/platform.py for Python's platform.
        script = Path(shutil.copy(steady.__file__, folder / f"steady-{seed}.py"))
        timeout = () if finish_timeout_s is None else (finish_timeout_s,)
        super().__init__(script, self._stop_file, seed, *timeout, env=env, folder=folder)

    def stop(self) -> None:
        """Tells it to finish."""
        self._stop_file.touch()

    def points(self) -> Points:
        """All that it logged, once it was told to finish."""
        return {
            key: [(step, bits(steady.value(self.seed, key, step))) for step in range(self.report("rows"))]
            for key in steady.KEYS
        }


def rows_on_server(client: Client, run: str) -> int:
    """How many rows of a steady training are on the server."""
    latest = client.latest(run, keys=["train/loss"])
    return latest[0].points if latest else 0


def until_rows_grow(client: Client, run: str) -> None:
    """Returns when the server has more of a run than it had."""
    before = rows_on_server(client, run)
    eventually(lambda: rows_on_server(client, run) > before, f"more rows than {before}")


def until_streaming(client: Client, run: str) -> None:
    """Returns when the first rows of a run are on the server."""
    eventually(lambda: [found for found in client.runs("default") if found.name == run], f"{run} on the server")
    until_rows_grow(client, run)


def check_all_arrived(client: Client, training: SteadyTraining) -> None:
    """Stops a training and compares what the server has with what it logged."""
    training.stop()
    receipt = training.receipt()
    logged = training.points()
    assert receipt["points_logged"] == sum(map(len, logged.values()))
    assert receipt["points_durable"] == receipt["points_logged"]
    assert (receipt["dropped"], receipt["verified"], receipt["state"]) == (0, True, "FINISHED")
    assert points_on_server(client, training.report("run")) == logged


class Watcher:
    """Follows a run live, in a thread and with a client of its own, until the run is over.

    Args:
        connection: The server.
        run: The run.
    """

    def __init__(self, connection: Connection, run: str) -> None:
        self._connection = connection
        self._run = run
        self._points: Points = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def points(self, timeout_s: float = DEADLINE_S) -> Points:
        """Waits for the end, and returns every point that was told, as often as it was, by step."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"the watch of {self._run} did not end within {timeout_s} s"
        if self._error is not None:
            raise self._error
        return {key: sorted(points) for key, points in self._points.items()}

    def _watch(self) -> None:
        try:
            with Client(self._connection) as client:
                for event in client.watch(self._run):
                    told = event.points
                    values = map(bits, told.points.values)
                    self._points.setdefault(told.key, []).extend(zip(told.points.steps, values, strict=True))
        except BaseException as error:
            self._error = error
        self._points.pop("", None)  # of events without points


@contextlib.contextmanager
def end_senders(home: Path) -> Generator[None]:
    """Ends, when a test is over, the senders of its spools: they would look for a server for an hour."""
    try:
        yield
    finally:
        for pid in sender_processes(home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def sender_processes(home: Path) -> Sequence[int]:
    """The living senders of the spools in a home folder."""
    pids = []
    for status in (home / "spool").glob("*/*/status.json"):
        told = read_status(status.parent)
        if told is not None and _is_sender(told.sender_process_id, status.parent):
            pids.append(told.sender_process_id)
    return pids


def _is_sender(pid: int, spool: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"penstock.sender" in words and str(spool).encode() in words
