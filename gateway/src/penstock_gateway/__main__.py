"""The gateway as a process of its own: settings from the environment, logs to standard error, until SIGTERM or SIGINT."""

import asyncio
import logging
import os
import signal
import sys

from penstock_gateway.app import build
from penstock_gateway.listeners import bind
from penstock_gateway.settings import ENVIRONMENT_PREFIX, Settings
from penstock_kit import logs
from penstock_kit.clock import SystemClock
from penstock_kit.heaps import share_heaps
from penstock_kit.listening import CannotListen
from penstock_kit.parent import end_with_parent
from penstock_kit.settings import SettingsError, load
from penstock_kit.traces import tracer_from_environment

__all__ = ["main"]


_LOG = logging.getLogger(__name__)


def main() -> None:
    """Serves until told to stop. Exit code 2 when the settings cannot work."""
    logs.configure("gateway", sys.stderr)
    share_heaps()
    try:
        asyncio.run(_serve(load(Settings, ENVIRONMENT_PREFIX, os.environ)))
    except (SettingsError, CannotListen) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who starts it
        sys.exit(2)


async def _serve(settings: Settings) -> None:
    if settings.exit_with_parent:
        end_with_parent()
    listeners = bind(settings)
    tracer = tracer_from_environment(os.environ)
    gateway = build(settings, listeners, SystemClock(), tracer=tracer)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await gateway.start()
    addresses = {"http_address": listeners.http_address, "grpc_address": listeners.grpc_address}
    _LOG.info("Serving", extra=addresses)
    await stopped.wait()
    await gateway.stop()
    if tracer is not None:
        await tracer.close()


if __name__ == "__main__":
    main()
