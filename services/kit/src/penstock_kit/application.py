"""A service as a whole: what it serves, its background jobs, and what is closed at the end. Runs it."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from prometheus_client import start_http_server

from penstock_kit import metrics
from penstock_kit.access import AccessGuard
from penstock_kit.clock import Clock, SystemClock
from penstock_kit.listening import CannotListen
from penstock_kit.server import Mount, Server, ServerSettings
from penstock_kit.settings import SettingsError
from penstock_kit.traces import Tracer, tracer_from_environment

__all__ = ["Application", "Job", "Running", "serve", "supervise"]

_JOB_BACKOFF_S_MIN = 0.5
_JOB_BACKOFF_S_MAX = 30.0
_READINESS_POLL_S = 0.1
# How long a thread at work may keep the interpreter when others want it. With Python's own 5 ms and some such threads, a call
# that changes threads ten times waited 200 ms; with 1 ms it waits 60.
_SWITCH_INTERVAL_S = 0.001

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work in the background.

    Attributes:
        name: For the log.
        run: Loops until it is cancelled. If it raises, that is logged and it is started again after a pause.
    """

    name: str
    run: Callable[[], Awaitable[None]]


@dataclass
class Application:
    """A service, built from its settings and stores and not running yet.

    Attributes:
        mounts: What it serves.
        jobs: What it does beside.
        close: Called once, when calls and jobs are over: closes what the service opened.
    """

    mounts: list[Mount]
    jobs: list[Job]
    close: Callable[[], Awaitable[None]]


@runtime_checkable
class _Learning(Protocol):
    """A guard that has to learn something before it can decide."""

    @property
    def ready(self) -> bool: ...


class Running:
    """Runs an application within the current event loop.

    Args:
        application: What is run. It is closed by `stop`, and by a `start` that fails.
        guard: Decides about each call. Whoever made it starts and closes it. If it has `ready`, as `RemoteGuard` has, health
            says NOT_SERVING for as long as it is not.
        settings: Where it listens and what it takes.
        clock: The time.
        tracer: Where spans go.
    """

    def __init__(
        self,
        application: Application,
        guard: AccessGuard,
        settings: ServerSettings,
        clock: Clock | None = None,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self._application = application
        self._guard = guard
        self._server = Server(application.mounts, guard, settings, clock or SystemClock(), tracer=tracer)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def address(self) -> str:
        """`host:port` where it listens, once it is started."""
        return self._server.address

    async def start(self) -> None:
        """Takes calls and starts the jobs. Raises `SettingsError`, `CannotListen`; then the application is closed."""
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            await self._server.start()
        except BaseException:
            await self._application.close()
            raise
        self._publish_readiness()
        self._tasks.append(asyncio.create_task(self._watch_readiness(), name="readiness"))
        for job in self._application.jobs:
            self._tasks.append(asyncio.create_task(supervise(job), name=job.name))

    async def stop(self) -> None:
        """Drains calls, cancels the jobs, closes the application."""
        try:
            await self._server.stop()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
            await self._application.close()

    def _publish_readiness(self) -> None:
        ready = self._guard.ready if isinstance(self._guard, _Learning) else True
        for service in self._server.services:
            self._server.set_ready(service, ready)

    async def _watch_readiness(self) -> None:
        while isinstance(self._guard, _Learning):
            await asyncio.sleep(_READINESS_POLL_S)
            self._publish_readiness()


async def serve(
    application: Application,
    guard: AccessGuard,
    settings: ServerSettings,
    *,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Runs an application as the work of this process, until SIGTERM or SIGINT; then drains it and returns.

    Also exports spans if `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and serves `/metrics` if the settings say where.

    Raises:
        SettingsError, CannotListen: It cannot run like this. The message is for the person who started it.
    """
    tracer = tracer_from_environment(environ)
    running = Running(application, guard, settings, tracer=tracer)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    with _metrics_listener(settings.metrics_address):
        await running.start()
        handled = _on_signals(loop, stopping.set)
        _log.info(
            "Serving", extra={"address": running.address, "services": [m.service.full_name for m in application.mounts]}
        )
        try:
            await stopping.wait()
            _log.info("Stopping")
        finally:
            await running.stop()
            for number in handled:
                loop.remove_signal_handler(number)
            if tracer is not None:
                await tracer.close()


def _on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> list[signal.Signals]:
    if sys.platform == "win32":  # no handlers in loops there: Ctrl-C cancels the main task instead
        return []
    numbers = [signal.SIGTERM, signal.SIGINT]
    for number in numbers:
        loop.add_signal_handler(number, stop)
    return numbers


@contextlib.contextmanager
def _metrics_listener(address: str) -> Generator[None]:
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(f"metrics_address {address!r} is not of the form host:port, such as 127.0.0.1:9090.")
    try:
        listener, thread = start_http_server(int(port), host, metrics.REGISTRY)
    except OSError as error:
        raise CannotListen(f"Cannot serve metrics on {address}: {error.strerror}.") from None
    try:
        yield
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


async def supervise(job: Job) -> None:
    """Runs a job until it is cancelled, and starts it again after a pause whenever it fails."""
    pause_s = _JOB_BACKOFF_S_MIN
    loop = asyncio.get_running_loop()
    while True:
        started_s = loop.time()
        try:
            await job.run()
            _log.error("Job %s ended, though it should run until it is cancelled", job.name)
        except Exception:
            _log.exception("Job %s failed", job.name)
        if loop.time() - started_s > _JOB_BACKOFF_S_MAX:
            pause_s = _JOB_BACKOFF_S_MIN  # it had worked for a while
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads restarts, no secret
        pause_s = min(pause_s * 2, _JOB_BACKOFF_S_MAX)
