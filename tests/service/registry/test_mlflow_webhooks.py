"""Webhooks with the target `mlflow`: its events, its signatures, its secrets, and a request for a test."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.receiver import Received, Receiver, receiving
from support.registry import MODEL, PROJECT, Registry, serving_registry
from support.servers import until

from penstock.api.registry.v1 import event_pb2

VERSION = f"{MODEL}/versions/1"
TAGS = ("model_version_tag.set", "model_version_tag.deleted")


class Told:
    """A registry that may tell a receiver on loopback."""

    def __init__(self, registry: Registry, receiver: Receiver) -> None:
        self.registry = registry
        self.receiver = receiver

    async def hook(self, *events: str, secret: str = "s3cret", **fields: Any) -> event_pb2.Webhook:
        target = event_pb2.MlflowTarget(url=self.receiver.url, events=events, secret=secret)
        webhook = event_pb2.Webhook(mlflow=target, enabled=True, **fields)
        answer = await self.registry.call("CreateWebhook", parent=PROJECT, webhook=webhook)
        assert answer.secret == "", "it brings its own"
        return answer.webhook

    async def came(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.receiver.received) >= count)
        return [json.loads(received.body) for received in self.receiver.received]


@pytest.fixture
async def told(tmp_path: Path, documents_url: str) -> AsyncIterator[Told]:
    async with (
        receiving() as receiver,
        serving_registry(tmp_path, documents_url=documents_url, webhook_hosts="127.0.0.1") as registry,
    ):
        yield Told(registry, receiver)


def signed_with(received: Received, secret: str) -> bool:
    headers = received.headers
    content = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{received.body.decode()}"
    digest = hmac.new(secret.encode(), content.encode(), hashlib.sha256).digest()
    return headers["x-mlflow-signature"] == "v1," + base64.b64encode(digest).decode()


async def test_what_happens_is_told_as_mlflow_tells_it(told: Told) -> None:
    await told.hook("registered_model.created", "model_version.created", "model_version_alias.created")
    await told.registry.new_model(description="reads", tags={"team": "a"})
    run = f"{PROJECT}/runs/{'a' * 32}"
    await told.registry.new_version(source_uri="s3://b/m", run=run, tags={"k": "v"})
    await told.registry.point("champion", 1)
    # What happened in one look may be told in any order.
    came = {f"{one['entity']}.{one['action']}": one["data"] for one in await told.came(3)}
    assert came == {
        "registered_model.created": {"name": "digits", "tags": {"team": "a"}, "description": "reads"},
        "model_version.created": {
            "name": "digits",
            "version": "1",
            "source": "s3://b/m",
            "run_id": "a" * 32,
            "tags": {"k": "v"},
            "description": None,
        },
        "model_version_alias.created": {"name": "digits", "alias": "champion", "version": "1"},
    }
    assert all(signed_with(received, "s3cret") for received in told.receiver.received)


async def test_tags_are_told_one_after_the_other_each_until_it_is_taken(told: Told) -> None:
    await told.registry.new_model()
    await told.registry.new_version(tags={"old": "1"})
    webhook = await told.hook(*TAGS)
    await told.registry.call("UpdateModelVersionTags", name=VERSION, set={"a": "1", "b": "2"}, remove=["old", "absent"])
    told.receiver.answers = ["204 No Content", "204 No Content", "204 No Content"]
    came = await told.came(3)
    assert [(one["action"], one["data"]["key"]) for one in came] == [("set", "a"), ("set", "b"), ("deleted", "old")]
    assert len({received.headers["x-mlflow-delivery-id"] for received in told.receiver.received}) == 3

    async def state() -> int:
        (delivery,) = (await told.registry.call("ListDeliveries", parent=webhook.name)).deliveries
        return delivery.state

    async with asyncio.timeout(10):
        while await state() != event_pb2.DELIVERY_STATE_DELIVERED:  # noqa: ASYNC110 - nothing rings when it is noted
            await asyncio.sleep(0.02)
    (delivery,) = (await told.registry.call("ListDeliveries", parent=webhook.name)).deliveries
    await told.registry.call("ReplayDelivery", name=delivery.name)
    again = await told.came(6)
    assert [one["data"]["key"] for one in again[3:]] == ["a", "b", "old"]


async def test_all_tags_written_anew_are_told_as_what_changed(told: Told) -> None:
    await told.registry.new_model()
    await told.registry.new_version(tags={"same": "1", "old": "1", "other": "1"})
    await told.hook(*TAGS)
    version = {"name": VERSION, "tags": {"same": "1", "other": "2"}}
    await told.registry.call("UpdateModelVersion", version=version, update_mask=FieldMask(paths=["tags"]))
    came = await told.came(2)
    assert [(one["action"], one["data"]["key"]) for one in came] == [("set", "other"), ("deleted", "old")]


async def test_a_secret_is_kept_changed_removed_and_never_shown(told: Told) -> None:
    webhook = await told.hook("registered_model.created", description="for the team")
    assert not webhook.mlflow.HasField("secret")
    assert (webhook.description, list(webhook.types)) == ("for the team", [event_pb2.EVENT_TYPE_MODEL_CREATED])

    async def update(**target: Any) -> event_pb2.Webhook:
        mlflow = event_pb2.MlflowTarget(url=told.receiver.url, events=["registered_model.created"], **target)
        changed = event_pb2.Webhook(name=webhook.name, mlflow=mlflow)
        mask = FieldMask(paths=["mlflow"])
        return (await told.registry.call("UpdateWebhook", webhook=changed, update_mask=mask)).webhook

    async def signed(secret: str) -> bool:
        count = len(told.receiver.received)
        await told.registry.call("TestWebhook", name=webhook.name)
        await told.came(count + 1)
        return signed_with(told.receiver.received[-1], secret)

    assert "s3cret" not in str(await update())
    assert await signed("s3cret")
    await update(secret="other")
    assert await signed("other")
    rotated = (await told.registry.call("RotateWebhookSecret", name=webhook.name)).secret
    assert await signed(rotated)
    await update(secret="")
    await told.registry.call("TestWebhook", name=webhook.name)
    assert "x-mlflow-signature" not in told.receiver.received[-1].headers


async def test_a_test_makes_one_request_and_keeps_nothing(told: Told) -> None:
    webhook = await told.hook("model_version.created", "prompt.created")
    answer = await told.registry.call("TestWebhook", name=webhook.name)
    assert (answer.http_status, answer.error) == (204, "")
    told.receiver.answers = ["503 Busy"]
    answer = await told.registry.call("TestWebhook", name=webhook.name, mlflow_event="prompt_tag.set")
    assert (answer.http_status, answer.error) == (503, "")
    first, second = await told.came(2)
    assert (first["entity"], first["data"]["source"]) == ("model_version", "models:/123")
    assert second["data"] == {"name": "example_prompt", "key": "example_key", "value": "example_value"}
    assert list((await told.registry.call("ListDeliveries", parent=webhook.name)).deliveries) == []
    refusal = await told.registry.refused("TestWebhook", name=webhook.name, mlflow_event="run.created")
    assert refusal.reason == "FIELD_INVALID"


async def test_other_webhooks_are_tested_but_for_those_of_ci_systems(told: Told) -> None:
    own = event_pb2.Webhook(types=[9], http=event_pb2.HttpTarget(url=told.receiver.url))
    made = (await told.registry.call("CreateWebhook", parent=PROJECT, webhook=own)).webhook
    assert (await told.registry.call("TestWebhook", name=made.name)).http_status == 204
    (event,) = await told.came(1)
    assert (event["type"], event["data"]["version"]) == ("penstock.registry.alias.moved", "1")
    target = event_pb2.GitHubTarget(repository="o/r", workflow="w.yml", ref="main", token="t")
    ci = event_pb2.Webhook(types=[9], github=target)
    made = (await told.registry.call("CreateWebhook", parent=PROJECT, webhook=ci)).webhook
    assert (await told.registry.refused("TestWebhook", name=made.name)).reason == "FIELD_INVALID"
    absent = f"{PROJECT}/webhooks/{'0' * 32}"
    assert (await told.registry.refused("TestWebhook", name=absent)).reason == "WEBHOOK_NOT_FOUND"


async def test_one_of_mlflow_stays_one(told: Told) -> None:
    webhook = await told.hook("prompt.created")
    other = event_pb2.Webhook(name=webhook.name, types=[1], http=event_pb2.HttpTarget(url=told.receiver.url))
    refusal = await told.registry.refused(
        "UpdateWebhook", webhook=other, update_mask=FieldMask(paths=["http", "types"])
    )
    assert refusal.reason == "FIELD_INVALID"


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"secret": "s" * 1_000}, True),
        ({"secret": "s" * 1_001}, False),
        ({"events": ["prompt.created"] * 20}, True),
        ({"events": ["prompt.created"] * 21}, False),
        ({"events": []}, False),
        ({"events": ["prompt.updated"]}, False),
        ({"url": "https://example.test/" + "a" * 1_979}, True),
        ({"url": "https://example.test/" + "a" * 1_980}, False),
        ({"url": "https://10.0.0.1/"}, False),
    ],
)
async def test_limits(registry: Registry, fields: dict[str, Any], fits: bool) -> None:
    target = event_pb2.MlflowTarget(**({"url": "https://example.test/", "events": ["prompt.created"]} | fields))
    asked = {"parent": PROJECT, "webhook": event_pb2.Webhook(mlflow=target, description="d" * 1_000)}
    if fits:
        await registry.call("CreateWebhook", **asked)
    else:
        assert (await registry.refused("CreateWebhook", **asked)).code.name == "INVALID_ARGUMENT"
    asked["webhook"].description += "d"
    assert (await registry.refused("CreateWebhook", **asked)).code.name == "INVALID_ARGUMENT"
