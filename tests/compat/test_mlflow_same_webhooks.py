"""Webhooks on MLflow's own server and on ours: how they are kept, and what they are told."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.differential import Pair
from support.receiver import Received, Receiver, receiving_beside

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODELS = "2.0/mlflow/registered-models"
VERSIONS = "2.0/mlflow/model-versions"
WEBHOOKS = "2.0/mlflow/webhooks"
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
EVERY = [
    {"entity": entity, "action": action}
    for entity, actions in {
        "REGISTERED_MODEL": ["CREATED"],
        "MODEL_VERSION": ["CREATED"],
        "MODEL_VERSION_TAG": ["SET", "DELETED"],
        "MODEL_VERSION_ALIAS": ["CREATED", "DELETED"],
        "PROMPT": ["CREATED"],
        "PROMPT_VERSION": ["CREATED"],
        "PROMPT_TAG": ["SET", "DELETED"],
        "PROMPT_VERSION_TAG": ["SET", "DELETED"],
        "PROMPT_ALIAS": ["CREATED", "DELETED"],
    }.items()
    for action in actions
]
TOLD_S = 30


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    """Ours and theirs."""
    with receiving_beside() as ours, receiving_beside() as theirs:
        yield ours, theirs


def hook(pair: Pair, events: list[Any], **fields: Any) -> None:
    """A webhook that goes nowhere, whose id the test names `<hook>`."""
    body = {"name": "hook", "url": "https://127.0.0.1:9/hook", "events": events, **fields}
    pair.same("POST", "2.0/mlflow/webhooks", body, learn={"hook": "webhook.webhook_id"})


def test_webhooks_are_made_changed_and_deleted(pair: Pair) -> None:
    hook(pair, [CREATED], description="for the team", secret="s3cret")
    pair.same("GET", "2.0/mlflow/webhooks/<hook>")
    for change in (
        {"name": "Other.hook_2"},
        {"description": ""},
        {"description": "again", "status": "DISABLED"},
        {"status": "ACTIVE", "url": "https://127.0.0.1:9/other", "secret": ""},
        {"events": [{"entity": "PROMPT_TAG", "action": "SET"}]},
        {"events": [], "name": ""},
        {},
    ):
        pair.same("PATCH", "2.0/mlflow/webhooks/<hook>", change)
        pair.same("GET", "2.0/mlflow/webhooks/<hook>")
    pair.same("DELETE", "2.0/mlflow/webhooks/<hook>")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        pair.same(method, f"2.0/mlflow/webhooks/<hook>{path}", {} if method != "GET" else None, status=404)
    hook(pair, [CREATED], status="DISABLED")
    pair.same("GET", "2.0/mlflow/webhooks/<hook>")
    pair.same("DELETE", "2.0/mlflow/webhooks/<hook>")


def test_webhooks_are_listed_page_by_page(pair: Pair) -> None:
    ids: list[list[str]] = [[], []]
    for _ in range(3):
        hook(pair, [CREATED])
        for side, own in zip((pair.ours, pair.theirs), ids, strict=True):
            own.insert(0, side.names["hook"])
        time.sleep(0.002)  # newest first, by milliseconds
    pair.same("GET", WEBHOOKS, query={"max_results": 3})
    for side, own in zip((pair.ours, pair.theirs), ids, strict=True):
        found: list[str] = []
        token = ""
        for _ in range(2):
            query = {"max_results": 2, **({"page_token": token} if token else {})}
            answer = side.call("GET", WEBHOOKS, None, query).json
            found += [one["webhook_id"] for one in answer.get("webhooks", ())]
            token = answer.get("next_page_token", "")
        assert found[:3] == own
    for wrong in ({"max_results": 0}, {"max_results": 1_001}, {"max_results": -1}, {"page_token": "???"}):
        ours, theirs = pair.both("GET", WEBHOOKS, query=wrong)
        assert (ours.status, ours.json.get("error_code")) == (theirs.status, theirs.json.get("error_code")), wrong
    for side, own in zip((pair.ours, pair.theirs), ids, strict=True):
        for webhook_id in own:
            side.call("DELETE", f"{WEBHOOKS}/{webhook_id}", {}, {})
    assert pair.ours.call("GET", WEBHOOKS, None, {}).json == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "h"},
        {"name": "", "url": "https://127.0.0.1/", "events": [CREATED]},
        {"name": "h", "url": "https://127.0.0.1/"},
        {"name": "h", "url": "https://127.0.0.1/", "events": []},
        {"name": "h", "url": "https://127.0.0.1/", "events": "x"},
        {"name": "h", "url": "https://127.0.0.1/", "events": [{"entity": "MODEL_VERSION", "action": "DELETED"}]},
        {"name": "h", "url": "https://127.0.0.1/", "events": [{"entity": "PROMPT_TAG", "action": "CREATED"}]},
        {"name": "h", "url": "https://127.0.0.1/", "events": [{"entity": "PROMPT_ALIAS", "action": "UPDATED"}]},
        {"name": "-h", "url": "https://127.0.0.1/", "events": [CREATED]},
        {"name": "h i", "url": "https://127.0.0.1/", "events": [CREATED]},
        {"name": "h" * 64, "url": "https://127.0.0.1/", "events": [CREATED]},
        {"name": 7, "url": "https://127.0.0.1/", "events": [CREATED]},
        {"name": "h", "url": "  ", "events": [CREATED]},
        {"name": "h", "url": "https://", "events": [CREATED]},
        {"name": "h", "url": "https://127.0.0.1/", "events": [CREATED], "description": 7},
    ],
)
def test_webhooks_that_are_refused(pair: Pair, body: Any) -> None:
    pair.same("POST", WEBHOOKS, body, status=400)


def told(receiver: Receiver, count: int) -> list[Received]:
    end_s = time.monotonic() + TOLD_S
    while len(receiver.received) < count and time.monotonic() < end_s:
        time.sleep(0.02)
    return list(receiver.received)


def signed(received: Received) -> bool:
    headers = received.headers
    content = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{received.body.decode()}".encode()
    digest = base64.b64encode(hmac.digest(b"s3cret", content, hashlib.sha256)).decode()
    return headers["x-mlflow-signature"] == f"v1,{digest}"


def bodies(received: list[Received]) -> list[dict[str, Any]]:
    """What was told, in an order of its own: MLflow tells from several threads at once."""
    found = [json.loads(one.body) for one in received]
    assert all(isinstance(one.pop("timestamp"), str) for one in found)
    return sorted(found, key=lambda one: json.dumps(one, sort_keys=True))


def test_the_same_is_told(pair: Pair, receivers: tuple[Receiver, Receiver]) -> None:
    for side, receiver in zip((pair.ours, pair.theirs), receivers, strict=True):
        body = {"name": "hook", "url": receiver.url, "events": EVERY, "secret": "s3cret"}
        answer = side.call("POST", WEBHOOKS, body, {})
        assert answer.status == 200, answer
        side.names["hook"] = answer.json["webhook"]["webhook_id"]
    name, prompt = f"net {pair.mark}", f"prompt {pair.mark}"
    is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    pair.same("POST", f"{MODELS}/create", {"name": name, "tags": [{"key": "a", "value": "1"}], "description": "d"})
    pair.same("POST", f"{MODELS}/create", {"name": prompt, "tags": [is_prompt, {"key": "t", "value": "1"}]})
    version = {"name": name, "source": "s3://bucket/m", "tags": [{"key": "a", "value": "é"}]}
    pair.same("POST", f"{VERSIONS}/create", version)
    pair.same("POST", f"{VERSIONS}/create", {**version, "description": "second"})
    text = {"key": "mlflow.prompt.text", "value": "Hi {{name}}"}
    body = {"name": prompt, "source": "dummy-source", "tags": [is_prompt, text, {"key": "k", "value": "v"}]}
    pair.same("POST", f"{VERSIONS}/create", body)
    for of in (name, prompt):
        pair.same("POST", f"{MODELS}/set-tag", {"name": of, "key": "x", "value": "1"})
        pair.same("DELETE", f"{MODELS}/delete-tag", {"name": of, "key": "x"})
        pair.same("POST", f"{VERSIONS}/set-tag", {"name": of, "version": "1", "key": "y", "value": "2"})
        pair.same("DELETE", f"{VERSIONS}/delete-tag", {"name": of, "version": "1", "key": "y"})
        pair.same("POST", f"{MODELS}/alias", {"name": of, "alias": "best", "version": "1"})
        pair.same("DELETE", f"{MODELS}/alias", {"name": of, "alias": "best"})
    count = 15
    ours, theirs = (told(receiver, count) for receiver in receivers)
    assert bodies(ours) == bodies(theirs)
    assert len(ours) == count
    assert all(signed(received) for received in [*ours, *theirs])
    for received in (ours[0], theirs[0]):
        assert received.headers["content-type"] == "application/json"
    for event in EVERY:
        pair.same("POST", "2.0/mlflow/webhooks/<hook>/test", {"event": event})
    ours, theirs = (told(receiver, count + len(EVERY))[count:] for receiver in receivers)
    assert bodies(ours) == bodies(theirs)
    pair.same("DELETE", "2.0/mlflow/webhooks/<hook>")
