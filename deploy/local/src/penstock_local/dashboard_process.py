"""The dashboard as a child process: started, found, restarted when it dies, and never left behind."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

__all__ = ["DashboardProcess"]

STOP_S = 5.0
"""How long it may take to end after it was told to."""

RESTART_PAUSE_S_MIN = 0.5
RESTART_PAUSE_S_MAX = 15.0
STEADY_S = 60.0
"""After this long a restart counts as the first again."""

LOG_BYTES_MAX = 10_000_000

_LOG = logging.getLogger(__name__)


class DashboardProcess:
    """Keeps one dashboard running.

    Its standard input is a pipe from this process: when this process dies, however it dies, the pipe ends and so does the
    dashboard. It is in a session of its own, so that Ctrl-C reaches this process alone.

    Args:
        gateway_http: The HTTP address of the gateway.
        gateway_grpc: The gRPC address of the gateway, `host:port`.
        log_file: Where its standard error goes.
        moved: Called with its address whenever it is ready, and with an empty text when it is gone.
    """

    def __init__(self, *, gateway_http: str, gateway_grpc: str, log_file: Path, moved: Callable[[str], None]) -> None:
        self._environment = {
            "PENSTOCK_DASHBOARD_ADDRESS": "127.0.0.1:0",
            "PENSTOCK_DASHBOARD_GATEWAY_HTTP": gateway_http,
            "PENSTOCK_DASHBOARD_GATEWAY_GRPC": gateway_grpc,
            "PENSTOCK_DASHBOARD_EXIT_WITH_PARENT": "1",
        }
        self._log_file = log_file
        self._moved = moved
        self._first_attempt = asyncio.Event()
        self._ready = False
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts it. Returns at once."""
        self._keeping = asyncio.create_task(self._keep(), name="dashboard")

    async def first_attempt(self, timeout_s: float) -> bool:
        """Waits until it is ready for the first time, or has failed to become so. Returns whether it is ready."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first_attempt.wait(), timeout_s)
        return self._ready

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
                await self._run()
            except OSError:
                _LOG.exception("the dashboard cannot be started")
            self._first_attempt.set()
            if loop.time() - started_s > STEADY_S:
                pause_s = RESTART_PAUSE_S_MIN
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_PAUSE_S_MAX)

    async def _run(self) -> None:
        """Runs it once, to its end."""
        with self._open_log() as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "penstock_dashboard",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        assert process.stdout is not None
        try:
            line = await process.stdout.readline()
            if line:
                self._ready = True
                self._moved(json.loads(line)["http"])
                self._first_attempt.set()
            # Nothing more is said there; reading on keeps the pipe from filling all the same.
            while await process.stdout.read(4096):
                pass
            status = await process.wait()
            _LOG.error("the dashboard ended", extra={"status": status, "log_file": str(self._log_file)})
        finally:
            self._ready = False
            self._moved("")
            await _end(process)

    def _open_log(self) -> IO[bytes]:
        if self._log_file.exists() and self._log_file.stat().st_size > LOG_BYTES_MAX:
            self._log_file.replace(self._log_file.with_suffix(".1.log"))
        return os.fdopen(os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")


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
