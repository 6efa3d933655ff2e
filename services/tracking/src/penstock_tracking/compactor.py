"""Compaction as a process of its own, for a service that runs with `PENSTOCK_TRACKING_COMPACTION=false`.

`python -m penstock_tracking.compactor`, with the settings of the service: it needs the same stores and nothing else of them.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping

from penstock_kit.application import supervise
from penstock_kit.clock import SystemClock
from penstock_kit.process import run_process, server_settings
from penstock_kit.settings import load
from penstock_tracking.app import compaction, open_stores
from penstock_tracking.settings import TrackingSettings

__all__ = ["main"]

_PREFIX = "PENSTOCK_TRACKING"


async def _run(environ: Mapping[str, str]) -> None:
    settings = load(TrackingSettings, _PREFIX, environ)
    server_settings(_PREFIX, environ)
    clock = SystemClock()
    stores = await open_stores(settings, clock)
    try:
        working = asyncio.create_task(supervise(compaction(stores, clock)))
        if sys.platform != "win32":  # there Ctrl-C cancels the main task
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        await asyncio.wait([working])
    finally:
        await stores.close()


def main() -> None:
    """Compacts until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    run_process("compactor", _run)


if __name__ == "__main__":
    main()
