"""Events and webhooks through the client and the command line, against the real services behind the real gateway."""

import json
from typing import Any

import pytest
from support.installation import Installation
from typer.testing import CliRunner

from penstock.api.registry.v1 import event_pb2
from penstock.cli.failures import ExitStatus
from penstock.cli.main import build
from penstock.client import AsyncClient, Client

pytestmark = pytest.mark.usefixtures("home")


def run(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(build(), args, **kwargs)


def said(*args: str, **kwargs: Any) -> list[Any]:
    """What a command prints with --json, by line."""
    result = run(*args, "--json", **kwargs)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def some(client: Client, count: int, project: str, **fields: Any) -> list[Any]:
    """The first responses of a watch."""
    responses = client.watch_events(project, **fields)
    try:
        return [next(responses) for _ in range(count)]
    finally:
        responses.close()


def test_events_are_followed_from_any_cursor(project: Any) -> None:
    client, name = project.client, project.id
    for _ in range(2):
        client.register_version("reader", project=name)
    first = some(client, 2, name)
    assert [event_pb2.EventType.Name(one.event.type) for one in first] == [
        "EVENT_TYPE_MODEL_CREATED",
        "EVENT_TYPE_VERSION_CREATED",
    ]
    (third,) = some(client, 1, name, cursor=first[-1].cursor)
    assert third.event.version == 2


async def test_events_are_followed_live(server: Installation) -> None:
    async with AsyncClient(server.connection) as client:
        await client.register_version("live")
        events = client.watch_events()
        assert [(await anext(events)).event.version for _ in range(2)] == [0, 1]
        await client.set_alias("live", "best", 1)
        assert (await anext(events)).event.alias == "best"
        await events.aclose()


def test_what_a_job_does_counts_the_events_that_led_to_it(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.client.register_version("reader", project=project.id)
    monkeypatch.setenv("PENSTOCK_CHAIN_LENGTH", "2")
    project.client.set_alias("reader", "best", 1, project=project.id)
    responses = some(project.client, 3, project.id)
    assert [one.event.chain_length for one in responses] == [0, 0, 2]


def test_webhooks(project: Any) -> None:
    client, name = project.client, project.id
    target = event_pb2.HttpTarget(url="https://example.test/hook")
    webhook = event_pb2.Webhook(types=[event_pb2.EVENT_TYPE_ALIAS_MOVED], http=target, enabled=False)
    made = client.create_webhook(webhook, project=name)
    assert made.secret.startswith("whsec_")
    assert [one.name for one in client.webhooks(name)] == [made.webhook.name]
    named = event_pb2.Webhook(name=made.webhook.name, display_name="CI")
    assert client.update_webhook(named, ["display_name"]).display_name == "CI"
    assert client.rotate_webhook_secret(made.webhook.name) != made.secret
    assert client.deliveries(made.webhook.name).to_list() == []
    elsewhere = event_pb2.Webhook(name=made.webhook.name, http=event_pb2.HttpTarget(url="https://localhost:1/"))
    client.update_webhook(elsewhere, ["http"])
    assert "no public address" in client.test_webhook(made.webhook.name).error
    client.delete_webhook(made.webhook.name)
    assert client.webhooks(name) == []


def test_the_commands(project: Any) -> None:
    name = project.id
    (made,) = said(
        *("webhook", "create", "https://example.test/hook", "--on", "alias-moved", "--on", "version-created"),
        *("--name", "ci", "--alias", "production", "-p", name),
    )
    assert (made["types"], made["alias"], made["enabled"]) == (["VERSION_CREATED", "ALIAS_MOVED"], "production", True)
    assert made["secret"].startswith("whsec_")
    github = {"types": ["EVENT_TYPE_VERDICT_GIVEN"], "github": {"repository": "o/r", "workflow": "w.yml", "ref": "m"}}
    github["github"]["token"] = "very-secret"
    result = run("webhook", "create", "--file", "-", "--name", "github", "-p", name, input=json.dumps(github))
    assert result.exit_code == 0, result.output
    assert "very-secret" not in result.output
    listed = said("webhook", "list", "-p", name)
    assert [(one["display_name"], one["kind"], one["target"]) for one in listed] == [
        ("ci", "http", "https://example.test/hook"),
        ("github", "github", "o/r w.yml"),
    ]
    assert "very-secret" not in run("webhook", "list", "-p", name).output
    assert run("webhook", "disable", "github", "-p", name).exit_code == 0
    assert [one["enabled"] for one in said("webhook", "list", "-p", name)] == [True, False]
    assert run("webhook", "enable", "github", "-p", name).exit_code == 0
    assert said("webhook", "rotate", "ci", "-p", name)[0]["secret"] != made["secret"]
    assert said("webhook", "deliveries", "ci", "-p", name) == []
    mlflow = {"mlflow": {"url": "https://localhost:1/", "events": ["prompt.created"]}}
    result = run("webhook", "create", "--file", "-", "--name", "hub", "-p", name, input=json.dumps(mlflow))
    assert (result.exit_code, "secret" in result.output) == (0, False)
    result = run("webhook", "test", "hub", "-p", name, "--mlflow-event", "prompt_tag.set")
    assert (result.exit_code, "no public address" in result.output) == (1, True)
    short = made["name"].rpartition("/")[2][:12]
    assert run("webhook", "replay", short, "0" * 32, "-p", name).exit_code == ExitStatus.NOT_FOUND
    assert run("webhook", "delete", short, "-p", name, "--yes").exit_code == 0
    assert run("webhook", "delete", short, "-p", name, "--yes").exit_code == ExitStatus.NOT_FOUND
    assert run("webhook", "create", "-p", name).exit_code == ExitStatus.USAGE
    assert run("webhook", "create", "http://10.0.0.1/", "--on", "alias-moved").exit_code == ExitStatus.USAGE
