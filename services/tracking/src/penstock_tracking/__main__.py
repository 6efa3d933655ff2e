"""Runs the tracking service as a process of its own: settings → stores → serve."""

import asyncio
import os
import sys

from penstock_kit import logs
from penstock_kit.application import serve
from penstock_kit.clock import SystemClock
from penstock_kit.server import ServerSettings
from penstock_kit.settings import load
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.tokens import RemoteGuard
from penstock_tracking.app import build
from penstock_tracking.settings import PREFIX, TrackingSettings
from penstock_tracking.store import COLLECTIONS

__all__ = ["main"]


async def run(settings: TrackingSettings) -> None:
    """Serves until SIGTERM."""
    clock = SystemClock()
    application = build(
        settings,
        documents=await SqliteDocumentStore.open(settings.data_dir / "documents.sqlite", COLLECTIONS),
        metric_log=await SqliteMetricLog.open(settings.data_dir / "metrics.sqlite"),
        hot=InProcessHotStore(clock),
        clock=clock,
    )
    guard = RemoteGuard(settings.auth_address, settings.service_credential_file, clock)
    await guard.start()
    try:
        await serve(application, guard, ServerSettings(address=settings.address))
    finally:
        await guard.close()


def main() -> None:
    """The entry point of `penstock-tracking`."""
    logs.configure("tracking", sys.stderr)
    asyncio.run(run(load(TrackingSettings, PREFIX, os.environ)))


if __name__ == "__main__":
    main()
