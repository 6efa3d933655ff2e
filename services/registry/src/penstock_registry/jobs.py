"""What the registry does by itself."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from penstock_kit.application import Job
from penstock_kit.clock import Clock
from penstock_registry.artifacts import HoldKeeper
from penstock_registry.events.service import EventService
from penstock_registry.events.store import EventStore
from penstock_registry.search import ModelIndex
from penstock_registry.service import RegistryService
from penstock_registry.store import RegistryStore

__all__ = ["EVENTS_KEPT_S", "jobs"]

DELETION_CHECK_INTERVAL_S = 60.0
HOLDS_INTERVAL_S = 2.0
KEEP_INTERVAL_S = 60.0
PURGE_INTERVAL_S = 3_600.0
RENEWAL_INTERVAL_S = 3_600.0
EVENTS_KEPT_S = 30 * 86_400


def jobs(
    service: RegistryService,
    store: RegistryStore,
    webhooks: EventService,
    events: EventStore,
    index: ModelIndex,
    holds: HoldKeeper | None,
    clock: Clock,
) -> list[Job]:
    """Returns the loops of a running service. Any replica may run them, several at once as well."""

    async def purge() -> None:
        before_us = clock.now_us() - EVENTS_KEPT_S * 1_000_000
        await store.purge_events(before_us)
        await events.purge_deliveries(before_us)

    async def keep() -> None:
        for project in await index.projects():
            await index.keep(project)

    found = [] if holds is None else [Job("registry-keep-holds", _every(HOLDS_INTERVAL_S, holds.run_once))]
    return [
        *found,
        Job("registry-finish-deletions", _every(DELETION_CHECK_INTERVAL_S, service.finish_deletions)),
        Job("registry-purge-events", _every(PURGE_INTERVAL_S, purge)),
        Job("registry-keep-columns", _every(KEEP_INTERVAL_S, keep)),
        Job("registry-renew-secrets", _every(RENEWAL_INTERVAL_S, webhooks.renew_secrets)),
    ]


def _every(interval_s: float, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        while True:
            await work()
            # Replicas that started together do not do the same at the same moment.
            await asyncio.sleep(interval_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads work, no secret

    return run
