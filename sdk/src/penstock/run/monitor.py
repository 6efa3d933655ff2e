"""The one background thread of a run: system metrics, and an eye on the sender. It never does network I/O."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from penstock.capture import captured_git
from penstock.config import Connection, resolve
from penstock.errors import NotConnected, PenstockError
from penstock.run.messages import say
from penstock.run.sender_process import SenderProcess
from penstock.spool.meta import Status, read_status
from penstock.spool.records import RecordType
from penstock.spool.writer import SpoolWriter
from penstock.system_metrics import SystemMetrics

__all__ = ["SYSTEM_METRICS_INTERVAL_S", "Monitor"]

SYSTEM_METRICS_INTERVAL_S: Final = 15.0
_WATCH_INTERVAL_S: Final = 1.0
_LOOK_FOR_SERVER_INTERVAL_S: Final = 5.0
_JOIN_TIMEOUT_S: Final = 6.0


class Monitor:
    """Looks after one writer.

    Args:
        writer: The writer.
        offline: Whether no sender is wanted: then the thread itself flushes the spool to the medium once a second.
        connection: Where to send; None if no server is known yet. It is looked for again from time to time.
        capture_git: Whether commit and branch are noted, from this folder; None if not.
        system_metrics_interval_s: How often the load of the machine is measured; None if not at all.
        on_connected: Told when a server was found later.
    """

    def __init__(
        self,
        writer: SpoolWriter,
        *,
        offline: bool,
        connection: Connection | None,
        capture_git: Path | None,
        system_metrics_interval_s: float | None,
        on_connected: Callable[[Connection], None],
    ) -> None:
        self._writer = writer
        self._offline = offline
        self._connection = connection
        self._capture_git = capture_git
        self._interval_s = system_metrics_interval_s
        self._on_connected = on_connected
        self._stop = threading.Event()
        self._said: set[str] = set()
        self.sender: SenderProcess | None = None
        self._thread = threading.Thread(target=self._run, name="penstock-monitor", daemon=True)

    def start(self) -> None:
        """Starts sender and thread. A sender that cannot be started is tried again later."""
        if self._connection is not None:
            self._start_sender(self._connection)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. The sender goes on."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT_S)

    def look(self) -> Status | None:
        """Passes on what the sender has to say, each thing once, and keeps it alive. Returns what it says of itself."""
        status = read_status(self._writer.folder)
        if status is not None:
            self.tell([*status.notices, *status.warnings])
            if status.state == "refused":
                self.tell([f"{status.message} Nothing is lost: what is logged stays in {self._writer.folder}."])
        if self.sender is not None:
            self.sender.keep_alive()
        return status

    def tell(self, texts: Sequence[str]) -> None:
        """Says each of these, unless it was said before."""
        for text in texts:
            if text not in self._said:
                self._said.add(text)
                say(text)

    def find_server(self) -> None:
        """Looks for a server again, if none was known."""
        if self._connection is not None or self._offline:
            return
        try:
            self._connection = resolve()
        except (NotConnected, PenstockError):
            return
        self._start_sender(self._connection)
        self._on_connected(self._connection)

    def _start_sender(self, connection: Connection) -> None:
        self.sender = SenderProcess(self._writer.folder, connection)
        try:
            self.sender.start()
        except OSError as error:
            say(f"the sender cannot be started ({error}): what is logged is kept; send it with `penstock sync`.")

    def _run(self) -> None:
        self._note_git()
        metrics = SystemMetrics() if self._interval_s is not None else None
        started_s = time.monotonic()
        next_metrics_s = started_s
        next_search_s = started_s + _LOOK_FOR_SERVER_INTERVAL_S
        synced = (-1, -1)
        while not self._stop.wait(_WATCH_INTERVAL_S):
            now_s = time.monotonic()
            written = (self._writer.points, self._writer.orders.count)
            if self._offline and written != synced:
                synced = written
                with contextlib.suppress(OSError):
                    self._writer.sync()
            if not self._offline:
                self.look()
            if now_s >= next_search_s:
                next_search_s = now_s + _LOOK_FOR_SERVER_INTERVAL_S
                self.find_server()
            if metrics is not None and self._interval_s is not None and now_s >= next_metrics_s:
                next_metrics_s = now_s + self._interval_s
                # The steps of these are seconds since the start: they have nothing to do with the steps of training.
                try:
                    self._writer.write_row(metrics.measure(), round(now_s - started_s), counts_steps=False)
                except Exception:
                    # Nobody asked for these by name: a driver that fails, or a full disk, must not disturb training.
                    metrics = None

    def _note_git(self) -> None:
        if self._capture_git is None:
            return
        for key, value in captured_git(self._capture_git).items():
            with contextlib.suppress(PenstockError):
                self._writer.write_record(RecordType.TAG, {"key": f"penstock.{key}", "value": value})
