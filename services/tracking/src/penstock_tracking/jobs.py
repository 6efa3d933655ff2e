"""What the tracking service does by itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from penstock_tracking.service import TrackingService

__all__ = ["crash_check"]

_log = logging.getLogger(__name__)


def crash_check(service: TrackingService, interval_s: float) -> Callable[[], Awaitable[None]]:
    """Gives up the runs that went silent, again and again. Any replica may do it, several at once as well."""

    async def run() -> None:
        while True:
            await asyncio.sleep(interval_s)
            crashed = await service.crash_silent_runs()
            if crashed:
                _log.info("%d runs went silent and count as crashed", crashed)

    return run
