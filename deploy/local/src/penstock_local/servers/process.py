"""Owns a server as a child process: its ports, its start until it answers, signals, its certain end."""

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from penstock.errors import PenstockError
from penstock_local.ports import free_ports

__all__ = ["ServerFailed", "ServerProcess"]

START_ATTEMPTS_MAX = 3  # another process may take a port between our look and the server's
START_S = 90.0  # until it answers: two busy cores, or a recovery after a kill
POLL_S = 0.03
LOG_LINES_SHOWN = 15
LOG_BYTES_MAX = 10_000_000  # looked at when a server starts
FILES_UMASK = 0o077  # what a server writes is for this user alone


class ServerFailed(PenstockError):
    """A server did not start. The message has the end of its log."""

    default_reason = "SERVER_FAILED"


class ServerProcess(ABC):
    """One server, as a context manager: started when entered, stopped when left.

    It is a child of this process in a session of its own: Ctrl-C does not reach it. When this process ends, however it
    ends, it is killed, paused or not: a shell beside it holds the other end of a pipe. Its port stays the same over every
    stop, kill and start of one object. Not for two threads at once.

    Args:
        folder: Where it keeps its data and its `server.log`; made if missing. Another object on the same folder goes on
            with the same data, at another port.
    """

    ports_count: ClassVar[int] = 1
    stop_s: ClassVar[float] = 20.0  # until it ends after it was told to; then it is killed

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def available(cls) -> Path | None:
        """Returns its program if that is on this machine. Touches no network, writes nothing."""

    @classmethod
    @abstractmethod
    def fetch(cls) -> Path:
        """Returns its program, fetched now if it is not on this machine, with progress on standard error.

        Raises:
            ProgramMissing: It cannot be had here; the message says why and what to do.
        """

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that leads to it, credentials included. Known once it was started."""

    @property
    def port(self) -> int:
        """The port that it serves at. Known once it was started."""
        if not self._ports:
            raise RuntimeError("the server was not started yet")
        return self._ports[0]

    @property
    def pid(self) -> int:
        """Its process number. Raises `RuntimeError` if it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, and returns when it answers. No effect if it runs.

        Raises:
            ProgramMissing: See `fetch`.
            ServerFailed: It ended, or did not answer in time.
        """
        if self.running:
            return
        self._end()
        program = self.fetch()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        first = not self._ports
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            if first:
                self._ports = free_ports(self.ports_count)
            try:
                self._spawn(program)
                self._wait_until_it_answers()
            except ServerFailed:
                self._end()
                if not first or attempt == START_ATTEMPTS_MAX:
                    raise
            except BaseException:
                self._end()
                raise
            else:
                return

    def stop(self) -> None:
        """Ends it as an administrator would (SIGTERM), by force if that takes too long. No effect if it does not run."""
        if self._process is not None and self.running:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # one that is paused could not hear
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.stop_s)
        self._end()

    def kill(self) -> None:
        """Ends it at once (SIGKILL): what it had not written is lost. No effect if it does not run."""
        self._end()

    def pause(self) -> None:
        """Freezes it (SIGSTOP): connections stay, and nothing answers. Raises `RuntimeError` if it does not run."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on (SIGCONT). Raises `RuntimeError` if it does not run."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def _command(self, program: Path) -> list[str]:
        """The command line. `self._ports` is set, and `self.folder` is there."""

    def _environment(self) -> Mapping[str, str] | None:
        """The whole environment; this process's if None."""
        return None

    @abstractmethod
    def _answers(self) -> bool:
        """Asks once whether it is ready for clients, in well under a second if nothing answers."""

    def _spawn(self, program: Path) -> None:
        log_file = self.folder / "server.log"
        if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
            log_file.replace(self.folder / "server.1.log")
        number = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(number, "ab") as log:
            self._process = subprocess.Popen(
                self._command(program),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=FILES_UMASK,
            )
        # Its `read` fails when the last writer of the pipe, this process, is gone.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ || kill -KILL "$0"', str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_it_answers(self) -> None:
        give_up_s = time.monotonic() + START_S
        while not self._answers():
            if not self.running:
                raise ServerFailed(f"{type(self).__name__} ended at once.\n{self._log_end()}")
            if time.monotonic() > give_up_s:
                raise ServerFailed(f"{type(self).__name__} does not answer after {START_S:.0f} s.\n{self._log_end()}")
            time.sleep(POLL_S)

    def _log_end(self) -> str:
        lines = (self.folder / "server.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def _signal(self, number: signal.Signals) -> None:
        assert self.pid
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self) -> None:
        """Kills what is left, in an order in which the guard never holds the number of a process that is gone."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.kill()
            self._guard.wait()
            self._guard.stdin.close()
            self._guard = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
