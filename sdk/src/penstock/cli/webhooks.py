"""Commands about webhooks: `webhook list`, `create`, `enable`, `disable`, `rotate`, `test`, `delete`, `deliveries`,
`replay`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.describing import described
from penstock.cli.naming import ProjectOption
from penstock.cli.output import JsonOption, ago, confirm, hint, print_json, print_table, say
from penstock.errors import InvalidInput

if TYPE_CHECKING:
    from penstock.api.registry.v1 import event_pb2

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Tell servers and CI systems what happens to models.")

LIST_LIMIT = 20
"""Deliveries that are listed unless told otherwise."""


class On(StrEnum):
    """What happened, in short."""

    MODEL_CREATED = "model-created"
    MODEL_UPDATED = "model-updated"
    MODEL_RENAMED = "model-renamed"
    MODEL_DELETED = "model-deleted"
    VERSION_CREATED = "version-created"
    VERSION_UPDATED = "version-updated"
    VERSION_DELETED = "version-deleted"
    STAGE_CHANGED = "stage-changed"
    ALIAS_MOVED = "alias-moved"
    ALIAS_DELETED = "alias-deleted"
    POLICY_CHANGED = "policy-changed"
    VERDICT_GIVEN = "verdict-given"
    APPROVAL_GIVEN = "approval-given"


WebhookArgument = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its id or name, or projects/PROJECT/webhooks/ID in full.")
]


@app.command("list")
def list_webhooks(project: ProjectOption = "default", json: JsonOption = False) -> None:
    """List the webhooks of a project. With --json, one document per line.

    \b
    Example:
      penstock webhook list
    """
    from penstock.client import Client
    from penstock.client.records import webhook_record

    with Client() as client:
        found = [webhook_record(webhook) for webhook in client.webhooks(project)]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("No webhook yet. Create one with `penstock webhook create`.")
        return
    rows = [
        (
            r["name"].rpartition("/")[2][:8],
            r["display_name"],
            f"{r['kind']} {r['target']}",
            ", ".join(r["types"]),
            "yes" if r["enabled"] else f"no: {r['disabled_reason']}" if r["disabled_reason"] else "no",
        )
        for r in found
    ]
    print_table(["WEBHOOK", "NAME", "TARGET", "FIRES ON", "ENABLED"], rows)


@app.command()
def create(
    url: Annotated[str, typer.Argument(help="Where to; left out with --file.")] = "",
    on: Annotated[list[On] | None, typer.Option("--on", help="What fires it; may be given several times.")] = None,
    model: Annotated[str, typer.Option("--model", help="Only events of this model.")] = "",
    alias: Annotated[str, typer.Option("--alias", help="Only events about this alias.")] = "",
    name: Annotated[str, typer.Option("--name", help="A name for people.")] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A webhook as JSON, such as one for GitHub, GitLab or Jenkins; - reads stdin."),
    ] = None,
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Create a webhook, and print its secret once: what its requests are signed with.

    \b
    Examples:
      penstock webhook create https://hooks.example/penstock --on alias-moved --alias production
      penstock webhook create --file github.json
    """
    from penstock.api.registry.v1 import event_pb2
    from penstock.client import Client
    from penstock.client.records import webhook_record

    webhook = event_pb2.Webhook() if file is None else described(file, event_pb2.Webhook())
    asked = [f"EVENT_TYPE_{one.name}" for one in on or ()]
    webhook.MergeFrom(event_pb2.Webhook(display_name=name, types=asked, model=model, alias=alias, enabled=True))
    if url:
        webhook.http.url = url
    if webhook.WhichOneof("target") is None:
        raise InvalidInput("Say where to: a URL, or a file with --file.")
    with Client() as client:
        made = client.create_webhook(webhook, project=project)
    if json:
        print_json({**webhook_record(made.webhook), "secret": made.secret})
        return
    say(f"Created {made.webhook.name}.")
    if made.secret:
        say(f"Its secret, shown only now: {made.secret}")


@app.command()
def enable(webhook: WebhookArgument, project: ProjectOption = "default") -> None:
    """Let a webhook fire again.

    \b
    Example:
      penstock webhook enable 3f2a
    """
    _switch(webhook, project, enabled=True)
    say("It fires.")


@app.command()
def disable(webhook: WebhookArgument, project: ProjectOption = "default") -> None:
    """Keep a webhook from firing.

    \b
    Example:
      penstock webhook disable 3f2a
    """
    _switch(webhook, project, enabled=False)
    say("It does not fire.")


@app.command()
def rotate(webhook: WebhookArgument, project: ProjectOption = "default", json: JsonOption = False) -> None:
    """Make a new secret and print it once. For a day requests are signed with the former one too.

    \b
    Example:
      penstock webhook rotate 3f2a
    """
    from penstock.client import Client

    with Client() as client:
        name = _named(client.webhooks(project), webhook).name
        secret = client.rotate_webhook_secret(name)
    if json:
        print_json({"name": name, "secret": secret})
        return
    say(f"Its new secret, shown only now: {secret}")


@app.command("test")
def try_out(
    webhook: WebhookArgument,
    project: ProjectOption = "default",
    mlflow_event: Annotated[str, typer.Option("--mlflow-event", help="Of one for MLflow: which event.")] = "",
    json: JsonOption = False,
) -> None:
    """Make one request of an example event, and show how it was answered. Ends with 1 if that was no success.

    \b
    Example:
      penstock webhook test 3f2a
    """
    from penstock.client import Client

    with Client() as client:
        name = _named(client.webhooks(project), webhook).name
        answer = client.test_webhook(name, mlflow_event=mlflow_event)
    if json:
        print_json({"name": name, "http_status": answer.http_status, "answer": answer.answer, "error": answer.error})
    elif answer.error:
        say(f"No answer: {answer.error}")
    else:
        say(f"It answered {answer.http_status}. {answer.answer}".rstrip())
    if not 200 <= answer.http_status < 300:
        raise typer.Exit(1)


@app.command()
def delete(
    webhook: WebhookArgument,
    project: ProjectOption = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a webhook with its deliveries.

    \b
    Example:
      penstock webhook delete 3f2a --yes
    """
    from penstock.client import Client

    with Client() as client:
        name = _named(client.webhooks(project), webhook).name
        confirm(f"Delete {name}?", yes=yes)
        client.delete_webhook(name)
    say(f"Deleted {name}.")


@app.command()
def deliveries(
    webhook: WebhookArgument,
    project: ProjectOption = "default",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List the deliveries of a webhook, newest first. With --json, one document per line.

    \b
    Example:
      penstock webhook deliveries 3f2a
    """
    from penstock.client import Client
    from penstock.client.records import delivery_record

    with Client() as client:
        name = _named(client.webhooks(project), webhook).name
        found = [delivery_record(delivery) for delivery in client.deliveries(name, limit=limit)]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("Nothing was delivered yet.")
        return
    rows = [
        (
            r["name"].rpartition("/")[2],
            r["event"],
            r["state"].lower(),
            len(r["attempts"]),
            r["attempts"][-1]["http_status"] or r["attempts"][-1]["error"] if r["attempts"] else "",
            ago(r["create_time"]),
        )
        for r in found
    ]
    print_table(["DELIVERY", "EVENT", "STATE", "ATTEMPTS", "ANSWER", "WHEN"], rows, numbers=["ATTEMPTS"])


@app.command()
def replay(
    webhook: WebhookArgument,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id, as `deliveries` shows it.")],
    project: ProjectOption = "default",
) -> None:
    """Make a delivery anew, of the same event under the same id.

    \b
    Example:
      penstock webhook replay 3f2a 9c0d...
    """
    from penstock.client import Client

    with Client() as client:
        name = _named(client.webhooks(project), webhook).name
        client.replay_delivery(f"{name}/deliveries/{delivery}")
    say("It is made anew.")


def _switch(webhook: str, project: str, *, enabled: bool) -> None:
    from penstock.api.registry.v1 import event_pb2
    from penstock.client import Client

    with Client() as client:
        name = _named(client.webhooks(project), webhook).name
        client.update_webhook(event_pb2.Webhook(name=name, enabled=enabled), ["enabled"])


def _named(webhooks: "list[event_pb2.Webhook]", text: str) -> "event_pb2.Webhook":
    """The webhook of a name, an id or its beginning, or a name for people. Raises `NotFound`, `InvalidInput`."""
    from penstock.errors import NotFound

    found = [
        one
        for one in webhooks
        if text in {one.name, one.display_name} or one.name.partition("/webhooks/")[2].startswith(text)
    ]
    if not found:
        raise NotFound(f"There is no webhook {text!r}.", reason="WEBHOOK_NOT_FOUND")
    if len(found) > 1:
        raise InvalidInput(f"Several webhooks are meant by {text!r}: give more of the id.")
    return found[0]
