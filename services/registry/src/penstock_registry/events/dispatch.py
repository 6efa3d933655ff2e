"""Turns events into deliveries, and makes these. Any replica may, several at once as well: a delivery is claimed first.

A claim ends by itself, so one whose maker died is made again: at least once, under the same id.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from penstock_kit.clock import Clock
from penstock_registry.domain import Event
from penstock_registry.errors import WebhookNotFound
from penstock_registry.events.domain import (
    DELIVERY_TIMEOUT_S,
    Attempt,
    Delivery,
    DeliveryState,
    Webhook,
    retry_delay_s,
)
from penstock_registry.events.requests import request_of
from penstock_registry.events.secrets import SecretBox
from penstock_registry.events.sending import Sender
from penstock_registry.events.store import EventStore
from penstock_registry.store import Stored

__all__ = ["Dispatcher", "new_delivery"]

POLL_INTERVAL_S: Final = 0.5
SENDING_MAX: Final = 32
SENDING_PER_WEBHOOK_MAX: Final = 4
CLAIM_S: Final = 2 * DELIVERY_TIMEOUT_S
DUE_PER_LOOK: Final = 100

_log = logging.getLogger(__name__)


def new_delivery(webhook: Webhook, event: Event, now_us: int) -> Delivery:
    """The delivery of an event to a webhook, whose id follows from both."""
    return Delivery(
        id=hashlib.sha256(f"{webhook.id} {event.id}".encode()).hexdigest()[:32],
        webhook_id=webhook.id,
        event=event,
        key=webhook.key(event),
        state=DeliveryState.PENDING,
        attempts=(),
        create_us=now_us,
        due_us=now_us,
    )


class Dispatcher:
    """Tells webhooks what happened.

    Args:
        store: Events, webhooks, deliveries.
        sender: Makes requests.
        box: Opens what they are signed with, and tokens.
        clock: The time.
    """

    def __init__(self, store: EventStore, sender: Sender, box: SecretBox, clock: Clock) -> None:
        self._store = store
        self._box = box
        self._sender = sender
        self._clock = clock
        self._sending: dict[asyncio.Task[None], str] = {}

    async def run(self) -> None:
        """Works until cancelled; then lets what is being sent end."""
        try:
            while True:
                for project in await self._store.projects():
                    await self.step(project)
                await asyncio.sleep(POLL_INTERVAL_S * random.uniform(0.75, 1.25))  # noqa: S311 - spreads work, no secret
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def step(self, project: str) -> None:
        """Does what is to be done now in a project: makes deliveries of events, and begins those that are due."""
        webhooks = {stored.value.id: stored.value for stored in await self._store.webhooks(project)}
        now_us = self._clock.now_us()

        def make(event: Event) -> Sequence[Delivery]:
            return [new_delivery(webhook, event, now_us) for webhook in webhooks.values() if webhook.fires(event)]

        while await self._store.fan_out(project, make):
            pass
        # Webhook by webhook, so that one whose receiver is slow keeps no other waiting.
        for webhook in webhooks.values():
            await self._begin_due(project, webhook)

    async def _begin_due(self, project: str, webhook: Webhook) -> None:
        for stored in await self._store.due_deliveries(project, webhook.id, self._clock.now_us(), DUE_PER_LOOK):
            if not webhook.enabled or stored.value.request >= webhook.requests(stored.value.event):
                await self._give_up(project, stored)
                continue
            of_it = list(self._sending.values()).count(webhook.id)
            if len(self._sending) >= SENDING_MAX or of_it >= SENDING_PER_WEBHOOK_MAX:
                return
            claimed = await self._claim(project, stored)
            if claimed is not None:
                task = asyncio.create_task(self._deliver(project, webhook, claimed))
                self._sending[task] = webhook.id
                task.add_done_callback(lambda done: self._sending.pop(done, None))

    async def settled(self) -> None:
        """Waits until nothing is being sent."""
        while self._sending:
            await asyncio.wait(list(self._sending))

    async def _claim(self, project: str, stored: Stored[Delivery]) -> Stored[Delivery] | None:
        """Takes a delivery for this replica. None if somebody else has it, or one with the same key goes before it."""
        delivery = stored.value
        now_us = self._clock.now_us()
        changes = [(stored, replace(delivery, claimed=True, due_us=now_us + round(CLAIM_S * 1_000_000)))]
        if delivery.key:
            rivals = await self._store.pending_with_key(project, delivery.key)
            if any(r.value.claimed and r.value.due_us is not None and r.value.due_us > now_us for r in rivals):
                return None
            newest = max(rivals, key=lambda r: (r.value.create_us, r.value.event.time_us, r.value.id), default=stored)
            changes = [
                (rival, replace(rival.value, state=DeliveryState.SUPERSEDED, due_us=None, claimed=False))
                for rival in rivals
                if rival.value.id != newest.value.id
            ]
            if newest.value.id == delivery.id:
                changes.append(
                    (newest, replace(newest.value, claimed=True, due_us=now_us + round(CLAIM_S * 1_000_000)))
                )
        written = await self._store.replace_deliveries(project, changes) if changes else []
        mine = [one for one in written or () if one.value.id == delivery.id and one.value.claimed]
        return mine[0] if mine else None

    async def _deliver(self, project: str, webhook: Webhook, claimed: Stored[Delivery]) -> None:
        try:
            making: Stored[Delivery] | None = claimed
            while making is not None:
                delivery = making.value
                request = request_of(webhook, delivery.event, self._clock.now_us(), self._box, delivery.request)
                attempt = (await self._sender.send(request)).attempt
                after = self._after(webhook, delivery, attempt)
                written = await self._store.replace_deliveries(project, [(making, after)])
                making = written[0] if written and after.claimed else None
                if attempt.gone:
                    await self._disable(webhook)
        except Exception:
            # The claim ends by itself, and then it is tried again.
            _log.exception("A delivery of webhook %s failed unexpectedly", webhook.id)

    def _after(self, webhook: Webhook, delivery: Delivery, attempt: Attempt) -> Delivery:
        """A delivery after an attempt; claimed still if the next of its requests is to be made."""
        attempts = (*delivery.attempts, attempt)
        done = replace(delivery, attempts=attempts, claimed=False, due_us=None)
        if attempt.succeeded:
            if delivery.request + 1 < webhook.requests(delivery.event):
                until_us = self._clock.now_us() + round(CLAIM_S * 1_000_000)
                return replace(delivery, attempts=(), request=delivery.request + 1, due_us=until_us)
            return replace(done, state=DeliveryState.DELIVERED)
        delay_s = retry_delay_s(attempts, random.random())  # noqa: S311 - spreads retries, no secret
        if delay_s is None:
            return replace(done, state=DeliveryState.FAILED)
        return replace(done, due_us=self._clock.now_us() + round(delay_s * 1_000_000))

    async def _give_up(self, project: str, stored: Stored[Delivery]) -> None:
        given_up = replace(stored.value, state=DeliveryState.FAILED, due_us=None, claimed=False)
        await self._store.replace_deliveries(project, [(stored, given_up)])

    async def _disable(self, webhook: Webhook) -> None:
        now_us = self._clock.now_us()
        reason = "The receiver answered 410: it will take no more."
        try:
            await self._store.change_webhook(
                webhook.project,
                webhook.id,
                lambda current: replace(current, enabled=False, disabled_reason=reason, update_us=now_us),
            )
        except WebhookNotFound:
            return
