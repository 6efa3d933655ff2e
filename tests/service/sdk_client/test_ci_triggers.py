"""CI systems that events start: jobs that really run, and whose doings would start them again, for ever."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.ci_servers import INPUTS, REF, TOKEN, USER, CiServer, ci_server
from support.installation import Installation, installation
from support.training import eventually

from penstock.api.registry.v1 import event_pb2
from penstock.client import Client

JOB = """
import os
import penstock

# Whoever registers a version in a job that a move started, and moves the alias there, starts the job again.
client = penstock.Client()
model = os.environ["PENSTOCK_MODEL"]
version = client.register_version(model)
client.set_alias(model, os.environ["PENSTOCK_ALIAS"], version.number, reason="in a job")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation"), webhook_hosts="127.0.0.1") as running:
        yield running


@pytest.fixture(params=["github", "gitlab", "jenkins"])
def ci(request: pytest.FixtureRequest, server: Installation, tmp_path: Path) -> Iterator[tuple[str, CiServer]]:
    with ci_server(request.param) as running:
        running.environment = {**server.environment, "PENSTOCK_HOME": str(tmp_path)}
        running.script = JOB
        yield request.param, running


def target(kind: str, ci: CiServer, token: str = TOKEN) -> dict[str, Any]:
    match kind:
        case "github":
            return {
                "github": event_pb2.GitHubTarget(
                    api_url=ci.url, repository="acme/models", workflow="deploy.yml", ref=REF, token=token
                )
            }
        case "gitlab":
            return {"gitlab": event_pb2.GitLabTarget(url=ci.url, project="acme/models", ref=REF, token=token)}
        case _:
            return {"jenkins": event_pb2.JenkinsTarget(job_url=f"{ci.url}/job/deploy", user=USER, token=token)}


def hook(project: Any, fields: dict[str, Any], **more: Any) -> str:
    webhook = event_pb2.Webhook(
        types=[event_pb2.EVENT_TYPE_ALIAS_MOVED], alias="production", enabled=True, **fields, **more
    )
    return project.client.create_webhook(webhook, project=project.id).webhook.name


def deliveries(client: Client, webhook: str) -> list[event_pb2.Delivery]:
    return list(client.deliveries(webhook))


def test_a_job_that_starts_itself_ends(project: Any, ci: tuple[str, CiServer]) -> None:
    kind, running = ci
    client = project.client
    webhook = hook(project, target(kind, running), chain_length_max=3)
    client.register_version("reader", project=project.id)
    client.set_alias("reader", "production", 1, project=project.id)
    # Moved by a person, and then by three jobs, of which the last starts none.
    eventually(lambda: client.model("reader", project=project.id).latest_version == 4, "that three jobs ran", 40)
    eventually(lambda: client.model_version("reader@production", project=project.id).number == 4, "the last move")
    moves = [event.chain_length for event in moved(client, project.id, 4)]
    assert moves == [0, 1, 2, 3]
    assert [given["PENSTOCK_CHAIN_LENGTH"] for given in running.given] == ["1", "2", "3"]
    assert [delivery.state for delivery in deliveries(client, webhook)] == [event_pb2.DELIVERY_STATE_DELIVERED] * 3
    assert (running.refused, running.problems) == ([], [])
    for number, given in enumerate(running.given, start=1):
        assert given.keys() == {name.upper() for name in INPUTS}
        assert given["PENSTOCK_MODEL"] == f"projects/{project.id}/models/reader"
        assert (given["PENSTOCK_VERSION"], given["PENSTOCK_ALIAS"]) == (str(number), "production")
        assert json.loads(given["PENSTOCK_EVENT"])["version"] == str(number)


def moved(client: Client, project: str, count: int) -> list[event_pb2.Event]:
    """The first moves of aliases."""
    events = (response.event for response in client.watch_events(project))
    moves = (event for event in events if event.type == event_pb2.EVENT_TYPE_ALIAS_MOVED)
    return list(islice(moves, count))


def test_jobs_of_one_key(project: Any, ci: tuple[str, CiServer]) -> None:
    """They share what a CI system needs to let jobs about the same alias follow each other."""
    kind, running = ci
    running.script = "pass"
    client = project.client
    hook(project, target(kind, running), concurrency_key=event_pb2.CONCURRENCY_KEY_ALIAS)
    for model in ("reader", "writer"):
        client.register_version(model, project=project.id)
        client.register_version(model, project=project.id)
        client.set_alias(model, "production", 1, project=project.id)
    eventually(lambda: len(running.given) == 2, "that both were told")
    client.set_alias("reader", "production", 2, project=project.id)
    eventually(lambda: len(running.given) == 3, "the third")
    keys = {(one["PENSTOCK_MODEL"].rpartition("/")[2], one["PENSTOCK_VERSION"]): key(one) for one in running.given}
    assert keys["reader", "1"] == keys["reader", "2"] != keys["writer", "1"]
    assert all(len(one) == 32 and one.isalnum() for one in keys.values())


def key(given: dict[str, str]) -> str:
    return given["PENSTOCK_CONCURRENCY_KEY"]


def test_jobs_without_a_key(project: Any, ci: tuple[str, CiServer]) -> None:
    kind, running = ci
    running.script = "pass"
    client = project.client
    hook(project, target(kind, running))
    client.register_version("reader", project=project.id)
    client.register_version("reader", project=project.id)
    client.set_alias("reader", "production", 1, project=project.id)
    client.set_alias("reader", "production", 2, project=project.id)
    eventually(lambda: len(running.given) == 2, "that both were told")
    assert len({key(given) for given in running.given}) == 2


def test_a_wrong_token_is_told(project: Any, ci: tuple[str, CiServer]) -> None:
    kind, running = ci
    client = project.client
    webhook = hook(project, target(kind, running, "not-this-one"))
    client.register_version("reader", project=project.id)
    client.set_alias("reader", "production", 1, project=project.id)
    eventually(lambda: any(one.attempts for one in deliveries(client, webhook)), "an attempt")
    (delivery,) = deliveries(client, webhook)
    assert delivery.attempts[0].http_status in {401, 404}
    assert (delivery.state, running.given) == (event_pb2.DELIVERY_STATE_PENDING, [])
    assert "not-this-one" not in str(delivery)


def test_the_command_line_tells_how_long_the_chain_is(project: Any, server: Installation, tmp_path: Path) -> None:
    """A job need not use Python: the command does it as well."""
    project.client.register_version("reader", project=project.id)
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("penstock")), "model", "alias", "reader/1", "production", "-p", project.id],
        env={**server.environment, "PENSTOCK_HOME": str(tmp_path), "PENSTOCK_CHAIN_LENGTH": "2"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 0, ended.stderr
    assert [event.chain_length for event in moved(project.client, project.id, 1)] == [2]
