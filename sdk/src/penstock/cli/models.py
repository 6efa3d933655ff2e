"""Commands about registered models: `model list`, `versions`, `show`, `create`, `register`, `alias`, `moves`, `tag`, ..."""

from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.describing import described, key_values, numbers
from penstock.cli.naming import ProjectOption, named_run
from penstock.cli.output import JsonOption, ago, cell, confirm, hint, pairs, print_json, print_table, say
from penstock.errors import InvalidInput

__all__ = ["LimitOption", "ModelArgument", "ReasonOption", "VersionArgument", "app"]

app = typer.Typer(no_args_is_help=True, help="Register models and their versions, and point aliases to them.")

LIST_LIMIT = 50
"""What a list shows unless told otherwise."""

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Its name, or projects/PROJECT/models/NAME in full.")
]
VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="MODEL/NUMBER, MODEL@ALIAS, MODEL@latest, or the name in full.")
]
FilterOption = Annotated[str, typer.Option("--filter", "-f", help="Which: a search expression.")]
OrderOption = Annotated[str, typer.Option("--order-by", help="The order, such as 'update_time desc'.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why, for the history.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_models(
    project: ProjectOption = "default",
    filter: FilterOption = "",
    order_by: OrderOption = "",
    limit: LimitOption = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List the models of a project, by name. With --json, one document per line.

    \b
    Examples:
      penstock model list -p digits
      penstock model list -f 'aliases.production is not null'
    """
    from penstock.client import Client
    from penstock.client.records import model_record

    with Client() as client:
        found = [model_record(model) for model in client.models(project, filter=filter, order_by=order_by, limit=limit)]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint(f"No model found in {project}. Register one with `penstock model register NAME -p {project}`.")
        return
    rows = [(_last(r["name"]), r["latest_version"] or "", _aliases(r["aliases"]), ago(r["update_time"])) for r in found]
    print_table(["MODEL", "LATEST", "ALIASES", "CHANGED"], rows, numbers=["LATEST"])


@app.command()
def versions(
    model: Annotated[str | None, typer.Argument(help="Only those of this model.")] = None,
    project: ProjectOption = "default",
    filter: FilterOption = "",
    order_by: OrderOption = "",
    limit: LimitOption = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List versions, newest first. With --json, one document per line.

    \b
    Examples:
      penstock model versions reader
      penstock model versions -f 'metrics.accuracy > 0.9' --order-by 'metrics.accuracy desc'
    """
    from penstock.client import Client
    from penstock.client.records import model_version_record

    with Client() as client:
        found = [
            model_version_record(version)
            for version in client.model_versions(project, model=model, filter=filter, order_by=order_by, limit=limit)
        ]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("No version found. Register one with `penstock model register NAME`.")
        return
    rows = [
        (f"{r['model']}/{r['version']}", ", ".join(r["aliases"]), _metrics(r["metrics"]), ago(r["create_time"]))
        for r in found
    ]
    print_table(["VERSION", "ALIASES", "METRICS", "REGISTERED"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="MODEL|VERSION", help="A model, or a version of one.")],
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Show a model or one of its versions.

    \b
    Examples:
      penstock model show reader
      penstock model show reader@production
    """
    from penstock.client import Client
    from penstock.client.names import model_version_ref
    from penstock.client.records import model_record, model_version_record

    try:
        model_version_ref(name, project)
        is_version = True
    except InvalidInput:
        is_version = False
    with Client() as client:
        if is_version:
            record = model_version_record(client.model_version(name, project=project))
        else:
            record = model_record(client.model(name, project=project))
    if json:
        print_json(record)
        return
    pairs({key: value for key, value in record.items() if value not in ("", [], {}, None, 0)})


@app.command()
def create(
    model: ModelArgument,
    project: ProjectOption = "default",
    description: Annotated[str, typer.Option("--description", help="What it is for, Markdown.")] = "",
    json: JsonOption = False,
) -> None:
    """Create a model without versions. `model register` does it by itself, too.

    \b
    Example:
      penstock model create reader -p digits --description "Reads digits"
    """
    from penstock.client import Client
    from penstock.client.records import model_record

    with Client() as client:
        made = client.create_model(model, project=project, description=description)
    if json:
        print_json(model_record(made))
        return
    say(f"Created {made.name}. Register a version with `penstock model register {_last(made.name)}`.")


@app.command()
def register(
    model: ModelArgument,
    project: ProjectOption = "default",
    run: Annotated[str | None, typer.Option("--run", help="The run that made it.")] = None,
    manifest: Annotated[str, typer.Option("--manifest", help="Its files: the digest of a manifest.")] = "",
    artifact: Annotated[
        str, typer.Option("--artifact", help="The version of an artifact that has its files, by its full name.")
    ] = "",
    source: Annotated[str, typer.Option("--source", help="Where its files are, if elsewhere.")] = "",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="KEY=VALUE, measured on all data.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="KEY=TEXT.")] = None,
    description: Annotated[str, typer.Option("--description", help="What is new in it, Markdown.")] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", help="JSON with whatever else a version has, as the contract names it; - reads stdin."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Register a version of a model under the next number, and the model if it is new.

    \b
    Examples:
      penstock model register reader -p digits --run ID --metric accuracy=0.93
      penstock model register reader --source s3://models/reader.onnx --file signature.json
    """
    from penstock.api.registry.v1 import model_pb2
    from penstock.client import Client
    from penstock.client.records import model_version_record

    values = numbers(key_values(metric, "--metric"))
    with Client() as client:
        made = client.register_version(
            model,
            None if file is None else described(file, model_pb2.ModelVersion()),
            project=project,
            run=None if run is None else named_run(client, run, project),
            artifact_manifest=manifest,
            artifact_version=artifact,
            source_uri=source,
            description=description,
            tags=key_values(tag, "--tag"),
            metrics=values,
        )
    if json:
        print_json(model_version_record(made))
        return
    say(f"Registered {made.name}.")


@app.command()
def alias(
    version: VersionArgument,
    alias: Annotated[str, typer.Argument(help="The alias: letters, digits, _ and -.")],
    project: ProjectOption = "default",
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Point an alias to a version: move it, or make it.

    \b
    Examples:
      penstock model alias reader/3 production -m "better on French"
      penstock model alias reader@production previous
    """
    from penstock.client import Client

    with Client() as client:
        target = client.model_version(version, project=project)
        model = target.name.rpartition("/versions/")[0]
        moved = client.set_alias(model, alias, target.number, reason=reason)
    if json:
        print_json({"name": moved.name, "version": moved.version})
        return
    say(f"{_last(model)}@{alias} points to version {target.number}.")


@app.command()
def unalias(
    model: ModelArgument,
    alias: Annotated[str, typer.Argument(help="The alias.")],
    project: ProjectOption = "default",
    reason: ReasonOption = "",
) -> None:
    """Delete an alias. Its history stays.

    \b
    Example:
      penstock model unalias reader shadow
    """
    from penstock.client import Client

    with Client() as client:
        client.delete_alias(model, alias, project=project, reason=reason)
    say(f"Deleted the alias {alias} of {model}.")


@app.command()
def moves(
    model: ModelArgument,
    alias: Annotated[str, typer.Argument(help="Only those of this alias.")] = "",
    project: ProjectOption = "default",
    limit: LimitOption = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List the moves of aliases, newest first: who, when, from where to where, why. With --json, one document per line.

    \b
    Example:
      penstock model moves reader production
    """
    from penstock.client import Client
    from penstock.client.records import move_record

    with Client() as client:
        found = [move_record(move) for move in client.alias_moves(model, project=project, alias=alias, limit=limit)]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("No alias was moved yet.")
        return
    rows = [
        (r["alias"], r["from_version"], r["to_version"], r["principal"], ago(r["move_time"]), r["reason"])
        for r in found
    ]
    print_table(["ALIAS", "FROM", "TO", "WHO", "WHEN", "WHY"], rows, numbers=["FROM", "TO"])


@app.command()
def lineage(
    version: VersionArgument,
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Show what a version was made from, and what came of it: datasets, run, artifacts, other versions.

    \b
    Example:
      penstock model lineage reader@production
    """
    from google.protobuf.json_format import MessageToDict

    from penstock.client import Client

    with Client() as client:
        found = MessageToDict(client.lineage(version, project=project), preserving_proto_field_name=True)
    if json:
        print_json(found)
        return
    for kind in ("datasets", "run_datasets"):
        found[kind] = [f"{one['name']} {one.get('digest', '')}".strip() for one in found.get(kind, [])]
    pairs({key: value for key, value in found.items() if value})


@app.command()
def tag(
    name: Annotated[str, typer.Argument(metavar="MODEL|VERSION", help="A model, or a version of one.")],
    tags: Annotated[
        list[str], typer.Argument(metavar="KEY=TEXT...", help="Tags to set; KEY= with nothing removes it.")
    ],
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Set or remove tags of a model or of a version.

    \b
    Examples:
      penstock model tag reader team=vision
      penstock model tag reader/3 reviewed=yes draft=
    """
    from penstock.client import Client
    from penstock.client.names import model_version_ref

    given = key_values(tags, "tags")
    put = {key: text for key, text in given.items() if text}
    remove = [key for key, text in given.items() if not text]
    with Client() as client:
        try:
            model_version_ref(name, project)
        except InvalidInput:
            changed = client.tag_model(name, put, project=project, remove=remove)
        else:
            changed = client.tag_model_version(name, put, project=project, remove=remove)
    if json:
        print_json({"name": changed.name, "tags": dict(changed.tags)})
        return
    say(
        f"{changed.name} has the tags {', '.join(f'{key}={text}' for key, text in sorted(changed.tags.items())) or 'none'}."
    )


@app.command()
def rename(
    model: ModelArgument,
    new_name: Annotated[str, typer.Argument(help="The new name.")],
    project: ProjectOption = "default",
) -> None:
    """Give a model another name. Versions, aliases and history stay.

    \b
    Example:
      penstock model rename reader digit-reader
    """
    from penstock.api.registry.v1 import registry_service_pb2
    from penstock.client import Client
    from penstock.client.names import model_name

    with Client() as client:
        request = registry_service_pb2.RenameModelRequest(name=model_name(model, project), model_id=new_name)
        response = client.registry.RenameModel(request)
    say(f"It is {response.model.name} now.")


@app.command()
def delete(
    name: Annotated[
        str, typer.Argument(metavar="MODEL|VERSION", help="A model with all its versions, or one version.")
    ],
    project: ProjectOption = "default",
    yes: YesOption = False,
) -> None:
    """Delete a model with all its versions, or one version, for good. The number of a version is not used again.

    \b
    Examples:
      penstock model delete reader/2
      penstock model delete reader --yes
    """
    from penstock.api.registry.v1 import registry_service_pb2
    from penstock.client import Client
    from penstock.client.names import model_name, model_version_ref

    with Client() as client:
        try:
            ref = model_version_ref(name, project)
        except InvalidInput:
            full = model_name(name, project)
            confirm(f"Delete {full} with all its versions for good?", yes=yes)
            client.registry.DeleteModel(registry_service_pb2.DeleteModelRequest(name=full))
        else:
            full = client.model_version(name, project=project).name if ref.alias else ref.name
            confirm(f"Delete {full} for good?", yes=yes)
            client.registry.DeleteModelVersion(registry_service_pb2.DeleteModelVersionRequest(name=full))
    say(f"Deleted {full}.")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _aliases(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias} → {number}" for alias, number in aliases.items())


def _metrics(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{key}={cell(value)}" for key, value in metrics.items())
