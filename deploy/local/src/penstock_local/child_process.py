"""Owns a child process: started, started again when it dies, its words in a log of bounded size, and never left behind."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["ChildProcess"]

STOP_S = 10.0
"""How long it may take to end after it was told to."""

RESTART_PAUSE_S_MIN = 0.5
RESTART_PAUSE_S_MAX = 15.0
STEADY_S = 60.0
"""After this long a restart counts as the first again."""

LOG_BYTES_MAX = 10_000_000
LAST_WORDS_BYTES = 4_000

_LOG = logging.getLogger(__name__)


class ChildProcess:
    """Keeps one Python module running as a process.

    Its standard input is a pipe from this process: when this process dies, however it dies, the pipe ends and the child is
    to end by itself. It is in a session of its own, so that Ctrl-C reaches this process alone.

    Args:
        name: For the log.
        module: What `python -m` runs.
        environment: Its whole environment.
        log_file: Where its standard error goes; at `LOG_BYTES_MAX` it is moved to `NAME.1.log`.
        inherited: Open files, by number, that it holds as long as it lives.
        said: Called with the first line that it writes to standard output, after each start.
        gone: Called whenever it has ended.
    """

    def __init__(
        self,
        name: str,
        module: str,
        environment: Mapping[str, str],
        log_file: Path,
        *,
        inherited: Sequence[int] = (),
        said: Callable[[str], None] | None = None,
        gone: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._module = module
        self._environment = environment
        self._log_file = log_file
        self._inherited = inherited
        self._said = said
        self._gone = gone
        self._first_attempt = asyncio.Event()
        self._spoke = False
        self._last_words = b""
        self._ends = 0
        self._keeping: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself, once or oftener."""
        return self._ends > 0

    @property
    def last_words(self) -> str:
        """The last line that it wrote to standard error; empty if there is none."""
        lines = self._last_words.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def start(self) -> None:
        """Starts it. Returns at once."""
        self._keeping = asyncio.create_task(self._keep(), name=self.name)

    async def first_attempt(self, timeout_s: float) -> bool:
        """Waits until it has spoken for the first time, or has failed to. Returns whether it has."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first_attempt.wait(), timeout_s)
        return self._spoke

    async def stop(self) -> None:
        """Ends it, and returns when it is gone."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping

    async def _keep(self) -> None:
        pause_s = RESTART_PAUSE_S_MIN
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            try:
                status = await self._run()
            except OSError:
                _LOG.exception("%s cannot be started", self.name)
            else:
                _LOG.error("%s ended", self.name, extra={"status": status, "log_file": str(self._log_file)})
            self._ends += 1
            self._first_attempt.set()
            if loop.time() - started_s > STEADY_S:
                pause_s = RESTART_PAUSE_S_MIN
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_PAUSE_S_MAX)
            _LOG.info("%s is started again", self.name)

    async def _run(self) -> int:
        """Runs it once, to its end. Returns its exit status."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            pass_fds=self._inherited,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        keeping_words = asyncio.create_task(self._keep_words(process.stderr))
        try:
            line = await process.stdout.readline()
            if line:
                self._spoke = True
                if self._said is not None:
                    self._said(line.decode())
                self._first_attempt.set()
            # Nothing more is said there; reading on keeps the pipe from filling all the same.
            while await process.stdout.read(4096):
                pass
            await keeping_words
            return await process.wait()
        finally:
            self._spoke = False
            if self._gone is not None:
                self._gone()
            await _end(process)
            # A grandchild may hold the other end of the pipe.
            keeping_words.cancel()
            await asyncio.gather(keeping_words, return_exceptions=True)

    async def _keep_words(self, words: asyncio.StreamReader) -> None:
        self._last_words = b""
        log = self._open_log()
        try:
            while piece := await words.read(65_536):
                self._last_words = (self._last_words + piece)[-LAST_WORDS_BYTES:]
                if log.tell() + len(piece) > LOG_BYTES_MAX:
                    log.close()
                    self._log_file.replace(self._log_file.with_suffix(".1.log"))
                    log = self._open_log()
                with contextlib.suppress(OSError):  # a full disk is no reason to stop the child
                    log.write(piece)
                    log.flush()
        finally:
            with contextlib.suppress(OSError):
                log.close()

    def _open_log(self) -> IO[bytes]:
        number = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        log = os.fdopen(number, "ab")
        log.seek(0, os.SEEK_END)
        return log


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends a process, by force if it does not end when told to."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
