"""Commands about quality gates: `gate list`, `check`, `show`, `set`, `measure`, `verdicts`, `approve`, `promote`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.describing import described, key_values, numbers
from penstock.cli.failures import ExitStatus
from penstock.cli.models import LimitOption, ModelArgument, ReasonOption, VersionArgument
from penstock.cli.naming import ProjectOption
from penstock.cli.output import JsonOption, ago, hint, print_json, print_table, say

if TYPE_CHECKING:
    from penstock.api.registry.v1 import gate_pb2

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check versions against quality gates, and promote them.")

LIST_LIMIT = 20
"""Gates and verdicts that are listed unless told otherwise."""


class Format(StrEnum):
    """How a verdict is shown."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"


AliasArgument = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias, such as production.")]


@app.command("list")
def list_gates(project: ProjectOption = "default", limit: LimitOption = LIST_LIMIT, json: JsonOption = False) -> None:
    """List the models that have a gate policy, with what it said last. With --json, one document per line.

    \b
    Example:
      penstock gate list -p vision
    """
    from penstock.client import Client
    from penstock.client.records import gate_record

    with Client() as client:
        found = [gate_record(gate) for gate in client.gates(project, limit=limit)]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("No model has a gate policy. Give one with `penstock gate set MODEL policy.json`.")
        return
    rows = [
        (
            r["model"].rpartition("/")[2],
            r["revision"],
            ", ".join(r["checks"]),
            ", ".join(one["alias"] for one in r["protected_aliases"]),
            *(_said(r["verdicts"][0]) if r["verdicts"] else ("never checked", "")),
        )
        for r in found
    ]
    print_table(["MODEL", "REVISION", "CHECKS", "PROTECTS", "LAST VERDICT", "WHEN"], rows)


@app.command()
def check(
    version: VersionArgument,
    project: ProjectOption = "default",
    format: Annotated[Format, typer.Option("--format", help="How the verdict is shown.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to a file instead.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a version against the gate policy of its model. Ends with status 6 if it does not pass.

    \b
    Examples:
      penstock gate check reader/3
      penstock gate check reader@latest --format junit -o gate.xml
      penstock gate check reader@candidate --format markdown >> "$GITHUB_STEP_SUMMARY"
    """
    from penstock.client import Client

    with Client() as client:
        verdict = client.check_gate(version, project=project)
    shown = _shown(verdict, Format.JSON if json else format)
    if output is None:
        typer.echo(shown, nl=False)
    else:
        output.write_text(shown, "utf-8")
    if not verdict.passed:
        raise typer.Exit(ExitStatus.NOT_PASSED)


@app.command()
def show(
    model: ModelArgument,
    project: ProjectOption = "default",
    revision: Annotated[int, typer.Option("--revision", min=0, help="An older one; 0 is the current one.")] = 0,
) -> None:
    """Print the gate policy of a model as JSON, as `gate set` reads it.

    \b
    Example:
      penstock gate show reader > policy.json
    """
    from google.protobuf import json_format

    from penstock.client import Client

    with Client() as client:
        policy = client.gate_policy(model, project=project, revision=revision)
    typer.echo(json_format.MessageToJson(policy))


@app.command("set")
def set_policy(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="The policy as JSON, as the contract names its fields; - reads stdin.")],
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Make a policy the next revision of that of a model. A file from `gate show` replaces only what it was made from.

    \b
    Example:
      penstock gate set reader policy.json
    """
    from penstock.api.registry.v1 import gate_pb2
    from penstock.client import Client

    policy = described(file, gate_pb2.GatePolicy())
    with Client() as client:
        written = client.set_gate_policy(model, policy, project=project)
    if json:
        print_json({"name": written.name, "revision": written.revision})
        return
    protected = ", ".join(one.alias for one in written.protected_aliases) or "no alias"
    say(f"{written.name} has revision {written.revision}: {len(written.checks)} checks, protects {protected}.")


@app.command()
def measure(
    version: VersionArgument,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="KEY=VALUE, measured on all data.")] = None,
    project: ProjectOption = "default",
    file: Annotated[
        Path | None,
        typer.Option("--file", help="An evaluation as JSON, with slices and samples; - reads stdin."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Record what was measured of a version after it was registered. The newest value of each metric counts.

    \b
    Examples:
      penstock gate measure reader/3 --metric accuracy=0.93
      penstock gate measure reader/3 --file evaluation.json
    """
    from penstock.api.registry.v1 import gate_pb2, model_pb2
    from penstock.client import Client

    evaluation = gate_pb2.Evaluation() if file is None else described(file, gate_pb2.Evaluation())
    given = numbers(key_values(metric, "--metric"))
    told = [*evaluation.metrics, *(model_pb2.ModelMetric(key=key, value=value) for key, value in given.items())]
    dataset = evaluation.dataset if evaluation.HasField("dataset") else None
    with Client() as client:
        written = client.record_evaluation(version, told, project=project, dataset=dataset)
    if json:
        print_json({"name": written.name})
        return
    say(f"Recorded {written.name}.")


@app.command()
def verdicts(
    model: ModelArgument,
    project: ProjectOption = "default",
    limit: LimitOption = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List the verdicts about a model, newest first. With --json, one document per line.

    \b
    Example:
      penstock gate verdicts reader
    """
    from penstock.client import Client
    from penstock.client.records import verdict_record

    with Client() as client:
        found = [verdict_record(verdict) for verdict in client.verdicts(model, project=project, limit=limit)]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("No verdict yet. Check a version with `penstock gate check`.")
        return
    rows = [(r["version"], "passed" if r["passed"] else "FAILED", _failed(r), ago(r["create_time"])) for r in found]
    print_table(["VERSION", "GATE", "FAILED CHECKS", "WHEN"], rows)


@app.command()
def approve(
    version: VersionArgument,
    alias: AliasArgument,
    project: ProjectOption = "default",
    comment: Annotated[str, typer.Option("--comment", "-m", help="What there is to say.")] = "",
) -> None:
    """Agree that an alias is moved to a version. It holds until the alias moves or the policy changes.

    \b
    Example:
      penstock gate approve reader/3 production
    """
    from penstock.client import Client

    with Client() as client:
        approval = client.approve_promotion(version, alias, project=project, comment=comment)
    say(f"{approval.principal} approves that {alias} points to {approval.version}.")


@app.command()
def promote(
    version: VersionArgument,
    alias: AliasArgument,
    project: ProjectOption = "default",
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Point an alias to a version, protected or not, if the gate policy allows it.

    \b
    Example:
      penstock gate promote reader/3 production -m "better on French"
    """
    from penstock.client import Client

    with Client() as client:
        moved = client.promote(version, alias, project=project, reason=reason)
    if json:
        print_json({"name": moved.name, "version": moved.version})
        return
    say(f"{moved.name} points to {moved.version}.")


def _shown(verdict: "gate_pb2.Verdict", format: Format) -> str:
    if format is Format.JSON:
        import json

        from penstock.client.records import verdict_record
        from penstock.jsonable import jsonable

        return json.dumps(jsonable(verdict_record(verdict)), ensure_ascii=False) + "\n"
    from penstock.client.verdicts import FORMATS

    return FORMATS[format.value](verdict)


def _said(record: dict[str, Any]) -> tuple[str, str]:
    version = record["version"].rpartition("/")[2]
    ended = "passed" if record["passed"] else f"FAILED: {_failed(record)}"
    return f"version {version} {ended}", ago(record["create_time"])


def _failed(record: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(r["check"] for r in record["results"] if r["outcome"] == "FAILED"))
