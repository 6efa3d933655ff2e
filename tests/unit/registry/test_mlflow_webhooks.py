"""What MLflow's webhooks are told: its events, its data, its headers."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from penstock_registry.domain import EVENT_TAG_BYTES_MAX, Event, EventType, tags_told
from penstock_registry.events.domain import ConcurrencyKey, MlflowTarget, Webhook
from penstock_registry.events.mlflow import EVENTS, example, tellings
from penstock_registry.events.requests import request_of
from penstock_registry.events.secrets import SecretBox

NOW_US = 1_700_000_000_500_000


BOX = SecretBox([Fernet.generate_key().decode()])
SECRETS = ((BOX.seal(b"s3cret"), None),)


def webhook(*events: str, secrets: tuple[tuple[str, int | None], ...] = SECRETS) -> Webhook:
    return Webhook(
        project="p",
        id="f" * 32,
        display_name="",
        types=frozenset(EVENTS[event] for event in events),
        model_id="",
        alias="",
        target=MlflowTarget("https://example.test/hook", events),
        enabled=True,
        concurrency_key=ConcurrencyKey.NONE,
        chain_length_max=3,
        secrets=secrets,
        creator="",
        create_us=0,
        update_us=0,
    )


def event(kind: EventType, **fields: Any) -> Event:
    return Event("e" * 32, kind, NOW_US, "users/ada", "reader", **fields)


def told(happened: Event) -> dict[str, Any]:
    return {telling.event: telling.data for telling in tellings(happened, EVENTS)}


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_has_an_example_that_is_it(name: str) -> None:
    (telling,) = tellings(example(name, "0" * 32, NOW_US), EVENTS)
    assert telling.event == name
    assert telling.data["name"] == ("example_prompt" if name.startswith("prompt") else "example_model")


def test_a_model_and_a_version_that_were_created() -> None:
    made = event(EventType.MODEL_CREATED, set_tags={"team": "a"})
    assert told(made) == {"registered_model.created": {"name": "reader", "tags": {"team": "a"}, "description": ""}}
    version = event(
        EventType.VERSION_CREATED, version=3, source_uri="s3://b/m", set_tags={"k": "v"}, description="good"
    )
    assert told(version) == {
        "model_version.created": {
            "name": "reader",
            "version": "3",
            "source": "s3://b/m",
            "run_id": None,
            "tags": {"k": "v"},
            "description": "good",
        }
    }


def test_prompts_are_told_without_the_tags_that_make_them_one() -> None:
    tags = {"mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "text", "mlflow.prompt.text": "Hi", "team": "a"}
    made = event(EventType.MODEL_CREATED, set_tags=tags, prompt=True)
    assert told(made) == {"prompt.created": {"name": "reader", "tags": {"team": "a"}, "description": ""}}
    version = event(EventType.VERSION_CREATED, version=1, set_tags=tags, prompt=True)
    assert told(version)["prompt_version.created"] == {
        "name": "reader",
        "version": "1",
        "template": "Hi",
        "tags": {"team": "a"},
        "description": None,
    }
    assert list(told(event(EventType.ALIAS_MOVED, version=1, alias="a", prompt=True))) == ["prompt_alias.created"]
    assert list(told(event(EventType.ALIAS_DELETED, alias="a", prompt=True))) == ["prompt_alias.deleted"]


def test_each_tag_is_told_by_itself() -> None:
    changed = event(EventType.VERSION_UPDATED, version=2, set_tags={"a": "1", "b": ""}, removed_tags=("c",))
    assert [(one.event, one.data) for one in tellings(changed, EVENTS)] == [
        ("model_version_tag.set", {"name": "reader", "version": "2", "key": "a", "value": "1"}),
        ("model_version_tag.set", {"name": "reader", "version": "2", "key": "b", "value": ""}),
        ("model_version_tag.deleted", {"name": "reader", "version": "2", "key": "c"}),
    ]
    assert webhook("model_version_tag.set").requests(changed) == 2
    assert webhook("model_version_tag.deleted").requests(changed) == 1
    assert not webhook("model_version_tag.set").fires(replace(changed, set_tags={}))
    assert told(event(EventType.MODEL_UPDATED, set_tags={"a": "1"})) == {}, "of a model MLflow tells no tags"
    assert list(told(event(EventType.MODEL_UPDATED, set_tags={"a": "1"}, prompt=True))) == ["prompt_tag.set"]
    assert told(event(EventType.STAGE_CHANGED, version=1, stage="Staging")) == {}


def test_a_request_is_signed_as_receivers_of_mlflow_check_it() -> None:
    moved = event(EventType.ALIAS_MOVED, version=3, alias="champion")
    request = request_of(webhook("model_version_alias.created"), moved, NOW_US, BOX)
    assert json.loads(request.body) == {
        "entity": "model_version_alias",
        "action": "created",
        "timestamp": "2023-11-14T22:13:20.500000+00:00",
        "data": {"name": "reader", "alias": "champion", "version": "3"},
    }
    delivery, time_s = request.headers["x-mlflow-delivery-id"], request.headers["x-mlflow-timestamp"]
    signed = f"{delivery}.{time_s}.{request.body.decode()}".encode()
    expected = "v1," + base64.b64encode(hmac.new(b"s3cret", signed, hashlib.sha256).digest()).decode()
    assert request.headers["x-mlflow-signature"] == expected
    assert (time_s, request.headers["content-type"]) == ("1700000000", "application/json")


def test_without_a_secret_nothing_is_signed() -> None:
    request = request_of(webhook("registered_model.created", secrets=()), event(EventType.MODEL_CREATED), NOW_US, BOX)
    assert "x-mlflow-signature" not in request.headers


def test_a_repeat_has_the_same_id_and_each_request_another() -> None:
    hook = webhook("model_version_tag.set")
    changed = event(EventType.VERSION_UPDATED, version=2, set_tags={"a": "1", "b": "2"})
    ids = [
        request_of(hook, changed, at, BOX, number).headers["x-mlflow-delivery-id"] for at in (1, 2) for number in (0, 1)
    ]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


def test_an_event_tells_tags_up_to_its_limit() -> None:
    fits = tags_told({"k": "é" * ((EVENT_TAG_BYTES_MAX - 2) // 2), "l": ""})
    assert list(fits["set_tags"]) == ["k", "l"]
    beyond = tags_told({"k": "é" * ((EVENT_TAG_BYTES_MAX - 2) // 2), "l": "x"}, ["m"])
    assert (list(beyond["set_tags"]), beyond["removed_tags"]) == (["k"], ())
    assert tags_told({}, ["m"]) == {"set_tags": {}, "removed_tags": ("m",)}
