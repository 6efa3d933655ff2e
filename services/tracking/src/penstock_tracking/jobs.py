"""What the tracking service does by itself."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from penstock_tracking.domain import HEARTBEAT_LEASE_S
from penstock_tracking.ingest.streams import WriterStreams
from penstock_tracking.search import RunIndex
from penstock_tracking.service import TrackingService

__all__ = ["crash_check", "fence_check", "keep_columns"]

_log = logging.getLogger(__name__)


def crash_check(service: TrackingService, interval_s: float) -> Callable[[], Awaitable[None]]:
    """Gives up the runs that went silent, again and again. Any replica may do it, several at once as well."""

    async def run() -> None:
        # Senders that lost the server when it stopped need time to come back.
        await asyncio.sleep(HEARTBEAT_LEASE_S)
        while True:
            await asyncio.sleep(interval_s)
            crashed = await service.crash_silent_runs()
            if crashed:
                _log.info("%d runs went silent and count as crashed", crashed)

    return run


def keep_columns(index: RunIndex, interval_s: float) -> Callable[[], Awaitable[None]]:
    """Keeps the search columns of projects that changed, again and again. Any replica may do it, several at once as well."""

    async def run() -> None:
        while True:
            # Replicas that started together do not do the same at the same moment.
            await asyncio.sleep(interval_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads work, no secret
            for project in await index.projects():
                await index.keep(project)

    return run


def fence_check(streams: WriterStreams, interval_s: float) -> Callable[[], Awaitable[None]]:
    """Ends the streams whose writer was opened on another replica, again and again: their senders learn of it."""

    async def run() -> None:
        while True:
            await asyncio.sleep(interval_s)
            await streams.end_lost()

    return run
