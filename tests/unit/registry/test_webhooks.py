"""Signatures, where webhooks may go, and when they are tried again."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from penstock_registry.domain import Event, EventType
from penstock_registry.errors import TargetForbidden
from penstock_registry.events.domain import (
    ATTEMPTS_MAX,
    RETRY_AFTER_S_MAX,
    Attempt,
    ConcurrencyKey,
    GitHubTarget,
    GitLabTarget,
    HttpTarget,
    JenkinsTarget,
    Target,
    Webhook,
    retry_delay_s,
)
from penstock_registry.events.guard import TargetGuard
from penstock_registry.events.requests import request_of, signature
from penstock_registry.events.secrets import SecretBox
from penstock_registry.events.service import with_token

BOX = SecretBox([Fernet.generate_key().decode()])
EVENT = Event("e" * 32, EventType.ALIAS_MOVED, 1_700_000_000_123_456, "users/ada", "reader", 3, "production", 2)


def webhook(target: Target = HttpTarget("https://example.test/hook"), **fields: Any) -> Webhook:  # noqa: B008 - frozen
    values: dict[str, Any] = {
        "project": "p",
        "id": "f" * 32,
        "display_name": "",
        "types": frozenset({EventType.ALIAS_MOVED}),
        "model_id": "",
        "alias": "",
        "target": target,
        "enabled": True,
        "concurrency_key": ConcurrencyKey.NONE,
        "chain_length_max": 3,
        "secrets": ((BOX.seal(b"new"), None), (BOX.seal(b"old"), 2_000)),
        "creator": "",
        "create_us": 0,
        "update_us": 0,
    }
    return Webhook(**(values | fields))


def test_the_signature_of_the_standards_own_example() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    said = signature([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_former_secret_signs_too_until_its_time_is_over() -> None:
    assert len(request_of(webhook(), EVENT, 1_999, BOX).headers["webhook-signature"].split()) == 2
    assert len(request_of(webhook(), EVENT, 2_000, BOX).headers["webhook-signature"].split()) == 1


def test_the_envelope_is_a_cloud_event() -> None:
    request = request_of(webhook(), EVENT, 5_000_000, BOX)
    event = json.loads(request.body)
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert request.headers["webhook-id"] == event["id"] == EVENT.id
    assert request.headers["webhook-timestamp"] == "5"
    assert (event["specversion"], event["source"]) == ("1.0", "/projects/p")
    assert event["type"] == "penstock.registry.alias.moved"
    assert event["time"] == "2023-11-14T22:13:20.123456Z"
    assert event["data"]["model"] == event["subject"] == "projects/p/models/reader"
    assert (event["data"]["version"], event["data"]["formerVersion"], event["data"]["alias"]) == (
        "3",
        "2",
        "production",
    )


def test_ci_systems_are_asked_as_they_want_it() -> None:
    github = request_of(webhook(GitHubTarget("", "o/r", "deploy.yml", "main", BOX.seal(b"tok"))), EVENT, 0, BOX)
    assert github.url == "https://api.github.com/repos/o/r/actions/workflows/deploy.yml/dispatches"
    assert github.headers["authorization"] == "Bearer tok"
    inputs = json.loads(github.body)["inputs"]
    assert (inputs["penstock_alias"], inputs["penstock_chain_length"]) == ("production", "1")
    assert all(isinstance(value, str) for value in inputs.values())
    gitlab = request_of(
        webhook(GitLabTarget("https://git.test/", "group/app", "main", BOX.seal(b"tok"))), EVENT, 0, BOX
    )
    assert gitlab.url == "https://git.test/api/v4/projects/group%2Fapp/trigger/pipeline"
    assert b"token=tok&ref=main&variables%5BPENSTOCK_EVENT%5D=" in gitlab.body
    jenkins = request_of(webhook(JenkinsTarget("https://ci.test/job/deploy", "ada", BOX.seal(b"tok"))), EVENT, 0, BOX)
    assert jenkins.url == "https://ci.test/job/deploy/buildWithParameters"
    assert base64.b64decode(jenkins.headers["authorization"].removeprefix("Basic ")) == b"ada:tok"
    # What may be long stays away: GitHub takes 65,535 characters of inputs in all.
    tagged = replace(EVENT, set_tags={"k": "v" * 100_000}, description="d" * 10_000)
    target = GitHubTarget("", "o/r", "deploy.yml", "main", BOX.seal(b"tok"))
    asked = json.loads(request_of(webhook(target), tagged, 0, BOX).body)
    assert asked["inputs"] == inputs
    assert json.loads(request_of(webhook(), tagged, 0, BOX).body)["data"]["setTags"] == {"k": "v" * 100_000}
    assert "tok" not in repr(github) + repr(gitlab) + repr(jenkins)


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"types": frozenset({EventType.MODEL_CREATED})}, False),
        ({"model_id": "reader"}, True),
        ({"model_id": "writer"}, False),
        ({"alias": "production"}, True),
        ({"alias": "staging"}, False),
        ({"create_us": EVENT.time_us + 1}, False),
        ({"chain_length_max": 0}, False),
    ],
)
def test_what_fires(fields: Any, fires: bool) -> None:
    assert webhook(**fields).fires(EVENT) is fires


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::",
    ],
)
def test_private_addresses_are_refused_whatever_they_are_written_as(address: str) -> None:
    guard = TargetGuard()
    with pytest.raises(TargetForbidden):
        guard.choose("host.test", 443, [address])
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(TargetForbidden):
        guard.check_url(f"https://{shown}/hook")


def test_of_several_addresses_only_public_ones_are_taken() -> None:
    assert TargetGuard().choose("host.test", 443, ["10.0.0.1", "93.184.216.34", "93.184.216.34"]) == ["93.184.216.34"]


@pytest.mark.parametrize("url", ["http://example.test/", "https://", "https://user:pw@example.test/", "https://[::1/"])
def test_addresses_that_are_refused_at_once(url: str) -> None:
    with pytest.raises(TargetForbidden):
        TargetGuard().check_url(url)


def test_an_administrator_may_allow_a_host() -> None:
    guard = TargetGuard(["ci.internal", "127.0.0.1:9999"])
    guard.check_url("http://ci.internal/hook")
    guard.check_url("http://127.0.0.1:9999/hook")
    with pytest.raises(TargetForbidden):
        guard.check_url("http://127.0.0.1:9998/hook")
    assert guard.choose("CI.internal", 80, ["10.0.0.1"]) == ["10.0.0.1"]


def attempts(count: int, **fields: Any) -> list[Attempt]:
    values: dict[str, Any] = {"time_us": 0, "duration_ms": 1, "http_status": 503, "error": ""}
    return [Attempt(**(values | fields))] * count


def test_retries_grow_vary_and_end() -> None:
    assert retry_delay_s(attempts(1), 0.5) == 5
    assert retry_delay_s(attempts(1), 0.0) == 4
    assert retry_delay_s(attempts(1), 1.0) == pytest.approx(6)
    delays = [retry_delay_s(attempts(count), 0.5) or 0 for count in range(1, ATTEMPTS_MAX)]
    assert delays == sorted(delays)
    assert retry_delay_s(attempts(ATTEMPTS_MAX), 0.5) is None
    assert retry_delay_s(attempts(1, http_status=410), 0.5) is None
    assert retry_delay_s(attempts(1, retry_after_s=77.0), 0.5) == 77
    assert retry_delay_s(attempts(1, retry_after_s=1e9), 0.5) == RETRY_AFTER_S_MAX


def test_a_token_goes_to_no_other_place() -> None:
    had = GitLabTarget("https://git.test", "a", "main", "tok")
    assert with_token(GitLabTarget("https://git.test", "b", "main", ""), had) == GitLabTarget(
        "https://git.test", "b", "main", "tok"
    )
    for other in (GitLabTarget("https://evil.test", "a", "main", ""), JenkinsTarget("https://git.test", "", "")):
        assert with_token(other, had) == other
