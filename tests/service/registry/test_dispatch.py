"""Deliveries of two replicas over one store, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver, receiving
from support.registry import settings_in
from support.servers import until

from penstock_kit.clock import ManualClock
from penstock_kit.stores.documents import DocumentStore
from penstock_registry.app import open_stores
from penstock_registry.bodies import event_body
from penstock_registry.domain import Event, EventType
from penstock_registry.events.dispatch import CLAIM_S, Dispatcher
from penstock_registry.events.domain import (
    ATTEMPTS_MAX,
    ConcurrencyKey,
    Delivery,
    DeliveryState,
    HttpTarget,
    Webhook,
)
from penstock_registry.events.guard import TargetGuard
from penstock_registry.events.secrets import SecretBox
from penstock_registry.events.sending import Sender
from penstock_registry.events.store import EventStore
from penstock_registry.store import EVENTS

PENDING, DELIVERED = DeliveryState.PENDING, DeliveryState.DELIVERED
FAILED, SUPERSEDED = DeliveryState.FAILED, DeliveryState.SUPERSEDED
PROJECT = "default"
WEBHOOK = "f" * 32


@dataclass
class Bench:
    """Two dispatchers over one store, and a receiver."""

    documents: DocumentStore
    box: SecretBox
    store: EventStore
    clock: ManualClock
    receiver: Receiver
    dispatchers: tuple[Dispatcher, Dispatcher]

    async def webhook(self, **fields: Any) -> None:
        values: dict[str, Any] = {
            "project": PROJECT,
            "id": WEBHOOK,
            "display_name": "",
            "types": frozenset({EventType.ALIAS_MOVED}),
            "model_id": "",
            "alias": "",
            "target": HttpTarget(self.receiver.url),
            "enabled": True,
            "concurrency_key": ConcurrencyKey.NONE,
            "chain_length_max": 3,
            "secrets": ((self.box.seal(b"s"), None),),
            "creator": "",
            "create_us": 0,
            "update_us": 0,
        }
        await self.store.begin_fan_out(PROJECT)
        await self.store.add_webhook(Webhook(**(values | fields)))

    async def happen(self, *numbers: int, alias: str = "production") -> None:
        """Versions that an alias moves to, a second apart."""
        for number in numbers:
            self.clock.advance(1)
            event = Event(
                f"{number:032x}", EventType.ALIAS_MOVED, self.clock.now_us(), "users/ada", "digits", number, alias
            )
            await self.documents.insert(EVENTS, PROJECT, event.id, event_body(event))

    async def look(self) -> None:
        """Both look at once, and end what they began."""
        await asyncio.gather(*(dispatcher.step(PROJECT) for dispatcher in self.dispatchers))
        for dispatcher in self.dispatchers:
            await dispatcher.settled()

    async def deliveries(self) -> list[Delivery]:
        """By version."""
        found, _ = await self.store.deliveries(PROJECT, WEBHOOK, limit=100, cursor=None)
        return sorted(found, key=lambda delivery: delivery.event.version)

    async def states(self) -> list[DeliveryState]:
        return [delivery.state for delivery in await self.deliveries()]


@pytest.fixture
async def bench(tmp_path: Path, documents_url: str) -> AsyncIterator[Bench]:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        stores = await open_stores(settings_in(tmp_path, documents_url=documents_url), clock)
        stack.push_async_callback(stores.close)
        store = EventStore(stores.documents)
        dispatchers: list[Dispatcher] = []
        for _ in range(2):
            sender = Sender(TargetGuard(["127.0.0.1"]), clock)
            stack.push_async_callback(sender.close)
            dispatchers.append(Dispatcher(store, sender, stores.box, clock))
        yield Bench(stores.documents, stores.box, store, clock, receiver, (dispatchers[0], dispatchers[1]))


async def test_two_replicas_make_each_delivery_once(bench: Bench) -> None:
    await bench.webhook()
    await bench.happen(*range(1, 11))
    for _ in range(5):
        await bench.look()
    assert await bench.states() == [DELIVERED] * 10
    assert len(bench.receiver.received) == 10


async def test_who_is_busy_is_asked_again_later_and_later(bench: Bench) -> None:
    await bench.webhook()
    bench.receiver.answers += ["503 Busy", "500 Oops"]
    await bench.happen(1)
    await bench.look()
    assert await bench.states() == [PENDING]
    await bench.look()  # too early
    assert len(bench.receiver.received) == 1
    bench.clock.advance(6)
    await bench.look()
    bench.clock.advance(6)
    await bench.look()  # too early again
    assert len(bench.receiver.received) == 2
    bench.clock.advance(36)
    await bench.look()
    (delivery,) = await bench.deliveries()
    assert delivery.state is DELIVERED
    assert [attempt.http_status for attempt in delivery.attempts] == [503, 500, 204]
    ids = {received.headers["webhook-id"] for received in bench.receiver.received}
    assert ids == {delivery.event.id}


async def test_retry_after_is_waited_for(bench: Bench) -> None:
    await bench.webhook()
    bench.receiver.answers.append("429 Slow down\r\nRetry-After: 100")
    await bench.happen(1)
    await bench.look()
    bench.clock.advance(99)
    await bench.look()
    assert len(bench.receiver.received) == 1
    bench.clock.advance(2)
    await bench.look()
    assert await bench.states() == [DELIVERED]


async def test_it_is_given_up_in_the_end(bench: Bench) -> None:
    await bench.webhook()
    bench.receiver.answers += ["500 Oops"] * ATTEMPTS_MAX
    await bench.happen(1)
    for _ in range(ATTEMPTS_MAX + 3):
        await bench.look()
        bench.clock.advance(110_000)
    (delivery,) = await bench.deliveries()
    assert (delivery.state, len(delivery.attempts)) == (FAILED, ATTEMPTS_MAX)


async def test_what_a_replica_died_over_is_made_by_another(bench: Bench) -> None:
    await bench.webhook()
    bench.receiver.hold.clear()
    await bench.happen(1)
    dying, other = bench.dispatchers
    await dying.step(PROJECT)
    await until(lambda: len(bench.receiver.received) == 1)
    await other.step(PROJECT)
    await other.settled()
    assert len(bench.receiver.received) == 1, "it is claimed"
    for task in list(dying._sending):
        task.cancel()
    await dying.settled()
    bench.receiver.hold.set()
    bench.clock.advance(CLAIM_S + 1)
    await other.step(PROJECT)
    await other.settled()
    assert await bench.states() == [DELIVERED]
    first, second = bench.receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


@pytest.mark.parametrize("key", [ConcurrencyKey.MODEL, ConcurrencyKey.ALIAS])
async def test_with_a_key_one_at_a_time_and_the_newest_of_those_that_wait(bench: Bench, key: ConcurrencyKey) -> None:
    await bench.webhook(concurrency_key=key)
    bench.receiver.hold.clear()
    await bench.happen(1)
    one, other = bench.dispatchers
    await one.step(PROJECT)
    await until(lambda: len(bench.receiver.received) == 1)
    await bench.happen(2, 3, 4)
    await one.step(PROJECT)
    await other.step(PROJECT)
    assert len(bench.receiver.received) == 1, "one is under way"
    bench.receiver.hold.set()
    await one.settled()
    for _ in range(4):
        await bench.look()
    assert await bench.states() == [DELIVERED, SUPERSEDED, SUPERSEDED, DELIVERED]
    assert bench.receiver.at_once_max == 1


async def test_another_alias_has_a_key_of_its_own(bench: Bench) -> None:
    await bench.webhook(concurrency_key=ConcurrencyKey.ALIAS)
    await bench.happen(1)
    await bench.happen(2, alias="staging")
    for _ in range(3):
        await bench.look()
    assert await bench.states() == [DELIVERED, DELIVERED]


async def test_a_receiver_that_is_slow_keeps_no_other_waiting(bench: Bench) -> None:
    async with receiving() as slow:
        slow.hold.clear()
        await bench.webhook(id="0" * 32, target=HttpTarget(slow.url))
        await bench.webhook()
        await bench.happen(*range(1, 151))
        one, _ = bench.dispatchers
        async with asyncio.timeout(20):
            while len(bench.receiver.received) < 150:
                await one.step(PROJECT)
                await asyncio.sleep(0.01)
        assert len(slow.received) == 4, "no more of one webhook at a time"
        slow.hold.set()
        await one.settled()


async def test_a_disabled_webhook_gives_up_what_waits(bench: Bench) -> None:
    await bench.webhook()
    bench.receiver.answers.append("500 Oops")
    await bench.happen(1)
    await bench.look()

    def disabled(webhook: Webhook) -> Webhook:
        return replace(webhook, enabled=False)

    await bench.store.change_webhook(PROJECT, WEBHOOK, disabled)
    bench.clock.advance(10)
    await bench.happen(2)
    await bench.look()
    assert await bench.states() == [FAILED]
    assert len(bench.receiver.received) == 1


async def test_old_deliveries_are_purged(bench: Bench) -> None:
    await bench.webhook()
    await bench.happen(1, 2)
    await bench.look()
    (first, _) = await bench.deliveries()
    await bench.store.purge_deliveries(first.create_us + 1)
    assert await bench.states() == []
