"""Webhooks: told of what happened, at least once, signed, and never where they may not go."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.receiver import Received, Receiver, receiving
from support.registry import MODEL, PROJECT, Registry, pb, serving_registry
from support.servers import bearer, until

from penstock.api.registry.v1 import event_pb2, registry_service_pb2_grpc

Code = grpc.StatusCode


@dataclass
class Told:
    """A registry that may tell a receiver on loopback."""

    registry: Registry
    receiver: Receiver

    async def hook(self, *types: int, **fields: Any) -> tuple[event_pb2.Webhook, str]:
        webhook = event_pb2.Webhook(
            types=types or [event_pb2.EVENT_TYPE_ALIAS_MOVED],
            enabled=True,
            http=event_pb2.HttpTarget(url=self.receiver.url),
            **fields,
        )
        answer = await self.registry.call("CreateWebhook", parent=PROJECT, webhook=webhook)
        return answer.webhook, answer.secret

    async def came(self, count: int) -> list[Received]:
        await until(lambda: len(self.receiver.received) >= count)
        return self.receiver.received

    async def deliveries(self, name: str) -> list[event_pb2.Delivery]:
        return list((await self.registry.call("ListDeliveries", parent=name)).deliveries)


@pytest.fixture
async def told(tmp_path: Path, documents_url: str) -> AsyncIterator[Told]:
    async with (
        receiving() as receiver,
        serving_registry(tmp_path, documents_url=documents_url, webhook_hosts="127.0.0.1") as registry,
    ):
        await registry.new_model()
        for _ in range(3):
            await registry.new_version()
        yield Told(registry, receiver)


def verified(received: Received, secret: str) -> bool:
    """Whether a request is signed with a secret, as the standard says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    wanted = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return wanted in received.headers["webhook-signature"].split()


async def test_a_webhook_is_told_of_what_it_asked_for(told: Told) -> None:
    webhook, secret = await told.hook(alias="production")
    await told.registry.point("staging", 1)
    await told.registry.point("production", 2, reason="good")
    (received,) = await told.came(1)
    event = json.loads(received.body)
    assert (event["type"], event["data"]["version"], event["data"]["reason"]) == (
        "penstock.registry.alias.moved",
        "2",
        "good",
    )
    assert verified(received, secret)
    assert not verified(replace(received, body=received.body + b" "), secret)

    async def delivered() -> bool:
        return [d.state for d in await told.deliveries(webhook.name)] == [event_pb2.DELIVERY_STATE_DELIVERED]

    async with asyncio.timeout(10):
        while not await delivered():  # noqa: ASYNC110 - nothing rings when it is noted
            await asyncio.sleep(0.02)
    (delivery,) = await told.deliveries(webhook.name)
    assert (delivery.event.id, delivery.attempts[0].http_status) == (event["id"], 204)


async def test_nothing_before_a_webhook_is_told(told: Told) -> None:
    await told.registry.point("production", 1)
    await told.hook()
    await told.registry.point("production", 2)
    (received,) = await told.came(1)
    assert json.loads(received.body)["data"]["version"] == "2"


async def test_a_rotated_secret_and_the_former_one_both_count(told: Told) -> None:
    webhook, secret = await told.hook()
    rotated = (await told.registry.call("RotateWebhookSecret", name=webhook.name)).secret
    await told.registry.point("production", 1)
    (received,) = await told.came(1)
    assert secret != rotated
    assert verified(received, secret)
    assert verified(received, rotated)


async def test_a_delivery_is_made_anew_under_the_same_id(told: Told) -> None:
    webhook, _ = await told.hook()
    await told.registry.point("production", 1)
    await told.came(1)
    (delivery,) = await told.deliveries(webhook.name)
    await told.registry.call("ReplayDelivery", name=delivery.name)
    first, second = await told.came(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    missing = f"{webhook.name}/deliveries/{'0' * 32}"
    assert (await told.registry.refused("ReplayDelivery", name=missing)).reason == "DELIVERY_NOT_FOUND"


async def test_who_is_gone_is_told_no_more(told: Told) -> None:
    told.receiver.answers.append("410 Gone")
    webhook, _ = await told.hook()
    await told.registry.point("production", 1)
    await told.came(1)

    async def now() -> event_pb2.Webhook:
        return (await told.registry.call("GetWebhook", name=webhook.name)).webhook

    async with asyncio.timeout(10):
        while (await now()).enabled:  # noqa: ASYNC110 - nothing rings when it is noted
            await asyncio.sleep(0.02)
    assert "410" in (await now()).disabled_reason
    (delivery,) = await told.deliveries(webhook.name)
    assert delivery.state == event_pb2.DELIVERY_STATE_FAILED
    assert (await told.registry.refused("ReplayDelivery", name=delivery.name)).reason == "WEBHOOK_DISABLED"
    enabled = event_pb2.Webhook(name=webhook.name, enabled=True)
    mask = FieldMask(paths=["enabled"])
    answer = await told.registry.call("UpdateWebhook", webhook=enabled, update_mask=mask)
    assert (answer.webhook.enabled, answer.webhook.disabled_reason) == (True, "")
    await told.registry.point("production", 2)
    await told.came(2)


async def test_a_redirect_is_not_followed(told: Told) -> None:
    async with receiving() as elsewhere:
        told.receiver.answers.append(f"307 Temporary Redirect\r\nLocation: {elsewhere.url}")
        webhook, _ = await told.hook()
        await told.registry.point("production", 1)
        await told.came(1)

        async def tried() -> list[event_pb2.DeliveryAttempt]:
            return [attempt for delivery in await told.deliveries(webhook.name) for attempt in delivery.attempts]

        async with asyncio.timeout(10):
            while not await tried():  # noqa: ASYNC110 - nothing rings when it is noted
                await asyncio.sleep(0.02)
        assert [attempt.http_status for attempt in await tried()] == [307]
        assert elsewhere.received == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.test/hook", "TARGET_FORBIDDEN"),
        ("https://10.0.0.1/hook", "TARGET_FORBIDDEN"),
        ("https://[::1]/hook", "TARGET_FORBIDDEN"),
        ("https://169.254.169.254/latest/meta-data", "TARGET_FORBIDDEN"),
        ("ftp://example.test", ""),
    ],
)
async def test_where_a_webhook_may_not_go(registry: Registry, url: str, reason: str) -> None:
    webhook = event_pb2.Webhook(types=[1], http=event_pb2.HttpTarget(url=url))
    refusal = await registry.refused("CreateWebhook", parent=PROJECT, webhook=webhook)
    assert refusal.code is Code.INVALID_ARGUMENT
    assert not reason or refusal.reason == reason


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(tmp_path: Path) -> None:
    """It is decided when it is connected to: `localhost` is a name like any other until then."""
    async with receiving() as receiver, serving_registry(tmp_path) as registry:
        await registry.new_model()
        await registry.new_version()
        webhook = event_pb2.Webhook(
            types=[event_pb2.EVENT_TYPE_ALIAS_MOVED],
            enabled=True,
            http=event_pb2.HttpTarget(url=f"https://localhost:{receiver.port}/hook"),
        )
        name = (await registry.call("CreateWebhook", parent=PROJECT, webhook=webhook)).webhook.name
        await registry.point("production", 1)

        async def attempts() -> list[event_pb2.DeliveryAttempt]:
            deliveries = (await registry.call("ListDeliveries", parent=name)).deliveries
            return [attempt for delivery in deliveries for attempt in delivery.attempts]

        async with asyncio.timeout(10):
            while not await attempts():  # noqa: ASYNC110 - nothing rings when it is noted
                await asyncio.sleep(0.02)
        (attempt,) = await attempts()
        assert (attempt.http_status, "no public address" in attempt.error) == (0, True)
        assert receiver.received == []


async def test_tokens_are_kept_and_never_shown(registry: Registry) -> None:
    target = event_pb2.GitHubTarget(repository="o/r", workflow="w.yml", ref="main", token="very-secret")
    webhook = event_pb2.Webhook(types=[1], github=target)
    made = (await registry.call("CreateWebhook", parent=PROJECT, webhook=webhook)).webhook
    assert (made.github.repository, made.github.token) == ("o/r", "")
    target.token, target.ref = "", "next"
    update = event_pb2.Webhook(name=made.name, github=target)
    changed = await registry.call("UpdateWebhook", webhook=update, update_mask=FieldMask(paths=["github"]))
    assert changed.webhook.github.ref == "next"
    (listed,) = (await registry.call("ListWebhooks", parent=PROJECT)).webhooks
    assert "very-secret" not in str(listed)
    # For another place the token has to be given again.
    update.github.api_url = "https://github.evil.test"
    refusal = await registry.refused("UpdateWebhook", webhook=update, update_mask=FieldMask(paths=["github"]))
    assert refusal.reason == "FIELD_INVALID"


async def test_a_repeated_create_makes_one_and_shows_no_secret(registry: Registry) -> None:
    fields = {
        "parent": PROJECT,
        "webhook": event_pb2.Webhook(types=[1], http=event_pb2.HttpTarget(url="https://example.test/")),
        "request_id": "r",
    }
    first = await registry.call("CreateWebhook", **fields)
    again = await registry.call("CreateWebhook", **fields)
    assert (again.webhook.name, again.secret, bool(first.secret)) == (first.webhook.name, "", True)
    await registry.call("DeleteWebhook", name=first.webhook.name)
    assert (await registry.refused("GetWebhook", name=first.webhook.name)).reason == "WEBHOOK_NOT_FOUND"


async def test_a_project_has_a_hundred_webhooks_at_most(registry: Registry) -> None:
    fields = {
        "parent": PROJECT,
        "webhook": event_pb2.Webhook(types=[1], http=event_pb2.HttpTarget(url="https://example.test/")),
    }
    for _ in range(100):
        await registry.call("CreateWebhook", **fields)
    assert (await registry.refused("CreateWebhook", **fields)).reason == "WEBHOOK_LIMIT_REACHED"


async def test_an_automation_that_fires_itself_ends(told: Told) -> None:
    webhook, _ = await told.hook(chain_length_max=2)
    stub = registry_service_pb2_grpc.RegistryServiceStub(told.registry.channel)

    async def move(number: int, chain: int) -> None:
        metadata = (*bearer(told.registry.guard.issue("users/ada")), ("penstock-chain-length", str(chain)))
        request = pb.SetModelAliasRequest(parent=MODEL, alias="production", version=number)
        await stub.SetModelAlias(request, metadata=metadata, timeout=20)

    await move(1, 0)
    await move(2, 1)
    await move(3, 2)
    await move(1, 0)
    received = await told.came(3)
    chains = [json.loads(one.body)["data"].get("chainLength", 0) for one in received]
    assert sorted(chains) == [0, 0, 1]
    assert len(await told.deliveries(webhook.name)) == 3
