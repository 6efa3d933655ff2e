"""Registered models: those of a project, one model with its versions, gate and history, and one version. They only show."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from dash import Dash, Input, Output, dcc, html

from penstock.api.registry.v1 import gate_pb2, model_pb2
from penstock.client import AsyncClient
from penstock.errors import InvalidInput, NotFound
from penstock_dashboard import formatting
from penstock_dashboard.components import blocks, gates, notices
from penstock_dashboard.pages.context import Drawn, Visit
from penstock_dashboard.pages.run_files import run_title
from penstock_dashboard.paths import page_of

__all__ = ["draw", "draw_model", "draw_version", "register"]

MODELS_MAX = 500
"""Models that the list shows; a filter finds the others."""
VERSIONS_MAX = 200
MOVES_MAX = 50
VERDICTS_MAX = 20
FILTER_CHARS_MAX = 4_000
OUTCOMES = {
    gate_pb2.CHECK_OUTCOME_PASSED: ("passed", "state-finished"),
    gate_pb2.CHECK_OUTCOME_FAILED: ("failed", "state-failed"),
    gate_pb2.CHECK_OUTCOME_SKIPPED: ("skipped", "state-scheduled"),
}


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the list of models."""
    project = visit.parts["project"]
    wanted = parse_qs(visit.search.removeprefix("?")).get("filter", [""])[0][:FILTER_CHARS_MAX]
    problem: Any = None
    models: list[model_pb2.Model] = []
    try:
        models = await client.models(project, filter=wanted, limit=MODELS_MAX).to_list()
    except InvalidInput as error:
        problem = notices.message_page("The filter cannot be understood", error.message)
    now_s = time.time()
    rows = [
        [
            dcc.Link(blocks.last(model.name), href=page_of(model.name)),
            str(model.latest_version or "–"),
            _aliases(model),
            _tags(model.tags),
            blocks.when(model.update_time, now_s),
        ]
        for model in models
    ]
    content = html.Div(
        className="page page-wide",
        children=[
            html.Div([html.H1("Models"), html.Div(className="spacer"), _filter_box(wanted)], className="page-head"),
            problem
            or blocks.table(["Model", "Latest", "Aliases", "Tags", "Changed"], rows, _no_models(project, wanted)),
        ],
    )
    return Drawn(f"Models · {project}", content, project)


async def draw_model(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws one model."""
    project, name = visit.parts["project"], _name(visit)
    model, versions, moves, verdicts, policy = await asyncio.gather(
        client.model(name),
        client.model_versions(project, model=name, limit=VERSIONS_MAX).to_list(),
        client.alias_moves(name, limit=MOVES_MAX).to_list(),
        client.verdicts(name, limit=VERDICTS_MAX).to_list(),
        _policy(client, name),
    )
    now_s = time.time()
    passed: dict[str, gate_pb2.Verdict] = {}
    for verdict in reversed(verdicts):
        passed[verdict.version] = verdict
    keys = sorted({metric.key for version in versions for metric in version.metrics if not metric.slice})[:6]
    rows = [
        [
            dcc.Link(str(version.number), href=page_of(version.name)),
            ", ".join(version.aliases),
            *(_metric(version, key) for key in keys),
            gates.verdict_badge(passed.get(version.name)),
            version.creator.removeprefix("users/"),
            blocks.when(version.create_time, now_s),
        ]
        for version in versions
    ]
    title = blocks.last(model.name)
    content = html.Div(
        className="page page-wide",
        children=[
            blocks.breadcrumb([("Models", f"/projects/{project}/models")], title),
            html.Div(html.H1(title), className="page-head"),
            blocks.description(model.description),
            blocks.section(
                "Versions",
                len(rows),
                blocks.table(["Version", "Aliases", *keys, "Gate", "By", "Registered"], rows, "No version yet."),
            ),
            html.Div(
                className="overview",
                children=[
                    html.Div([_policy_panel(policy), _verdicts_panel(verdicts, now_s)], className="overview-column"),
                    html.Div(
                        [
                            _moves_panel(moves, now_s),
                            blocks.pairs("Tags", sorted(model.tags.items()), "No tags.", code=True),
                        ],
                        className="overview-column",
                    ),
                ],
            ),
        ],
    )
    return Drawn(title, content, project)


async def draw_version(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws one version."""
    project, name = visit.parts["project"], _name(visit)
    number = int(visit.parts["number"])
    version, verdicts = await asyncio.gather(
        client.model_version(f"{name}/versions/{number}"),
        client.verdicts(name, version=number, limit=1).to_list(),
    )
    run = dcc.Link(await run_title(client, version.run), href=page_of(version.run)) if version.run else ""
    title = f"{blocks.last(name)} / {number}"
    facts = [
        ("Aliases", ", ".join(version.aliases)),
        ("Registered", f"{formatting.absolute_time(version.create_time)} by {version.creator.removeprefix('users/')}"),
        ("Run", run),
        ("Stage", _stage(version)),
        ("Files", _files(version)),
        ("Size", formatting.size(version.size_bytes) if version.size_bytes else ""),
        ("Flavours", ", ".join(flavor.name for flavor in version.flavors)),
        ("Datasets", ", ".join(dataset.name for dataset in version.datasets)),
    ]
    verdict = verdicts[0] if verdicts else None
    content = html.Div(
        className="page page-wide",
        children=[
            blocks.breadcrumb([("Models", f"/projects/{project}/models"), (blocks.last(name), page_of(name))], title),
            html.Div([html.H1(title), gates.verdict_badge(verdict)], className="page-head"),
            blocks.description(version.description),
            html.Div(
                className="overview",
                children=[
                    html.Div(
                        [
                            blocks.pairs("About", [(key, content) for key, content in facts if content], ""),
                            blocks.pairs("Tags", sorted(version.tags.items()), "No tags.", code=True),
                            _signature(version.signature),
                        ],
                        className="overview-column",
                    ),
                    html.Div(
                        [
                            _metrics(version),
                            _results(verdict),
                        ],
                        className="overview-column",
                    ),
                ],
            ),
        ],
    )
    return Drawn(title, content, project)


def register(app: Dash) -> None:
    """Adds the callback of the filter box."""

    @app.callback(
        Output("location", "search", allow_duplicate=True),
        Input("models-filter", "value"),
        prevent_initial_call=True,
    )
    async def search(wanted: str | None) -> str:
        text = (wanted or "").strip()[:FILTER_CHARS_MAX]
        return f"?{urlencode({'filter': text})}" if text else ""


async def _policy(client: AsyncClient, name: str) -> gate_pb2.GatePolicy | None:
    try:
        return await client.gate_policy(name)
    except NotFound as error:
        if error.reason == "POLICY_NOT_FOUND":
            return None
        raise


def _name(visit: Visit) -> str:
    return f"projects/{visit.parts['project']}/models/{unquote(visit.parts['model'])}"


def _filter_box(wanted: str) -> dcc.Input:
    return dcc.Input(
        id="models-filter",
        value=wanted,
        debounce=True,
        placeholder='aliases.production is not null and tags.team = "vision"',
        className="text-filter",
    )


def _no_models(project: str, wanted: str) -> str:
    if wanted:
        return "No model matches the filter."
    return f"No model is registered yet: penstock model register NAME -p {project} --run RUN"


def _policy_panel(policy: gate_pb2.GatePolicy | None) -> html.Section:
    if policy is None:
        return blocks.pairs("Gate policy", [], "None: every alias moves freely.")
    pairs = [(check.id, gates.check_text(check)) for check in policy.checks]
    pairs += [
        (
            f"alias {protected.alias}",
            "only by promotion"
            + (", gate passed" if protected.gate_required else "")
            + (f", {protected.approvals_required} approvals" if protected.approvals_required else ""),
        )
        for protected in policy.protected_aliases
    ]
    return blocks.pairs(f"Gate policy, revision {policy.revision}", pairs, "No checks.")


def _verdicts_panel(verdicts: Sequence[gate_pb2.Verdict], now_s: float) -> html.Section:
    pairs = [
        (
            html.Span(["version ", dcc.Link(blocks.last(verdict.version), href=page_of(verdict.version))]),
            html.Span([gates.verdict_badge(verdict), " ", blocks.when(verdict.create_time, now_s)]),
        )
        for verdict in verdicts
    ]
    return blocks.pairs("Verdicts", pairs, "No version was checked yet.")


def _moves_panel(moves: Sequence[model_pb2.AliasMove], now_s: float) -> html.Section:
    pairs = [
        (
            f"{blocks.last(move.alias)}: {move.from_version or 'none'} → {move.to_version or 'none'}",
            html.Span(
                [
                    f"{move.principal.removeprefix('users/')}, ",
                    blocks.when(move.move_time, now_s),
                    f" · {move.reason}" if move.reason else "",
                    f" · approved by {', '.join(who.removeprefix('users/') for who in move.approvers)}"
                    if move.approvers
                    else "",
                ]
            ),
        )
        for move in moves
    ]
    return blocks.pairs("Moves of aliases", pairs, "No alias was moved yet.")


def _results(verdict: gate_pb2.Verdict | None) -> html.Section:
    if verdict is None:
        return blocks.section("Gate", 0, html.P("It was not checked yet: penstock gate check", className="quiet"))
    rows = [
        [
            f"{result.check} [{result.slice}]" if result.slice else result.check,
            blocks.badge(*OUTCOMES.get(result.outcome, ("unknown", "state-scheduled"))),
            result.message,
        ]
        for result in verdict.results
    ]
    title = f"Gate, policy revision {verdict.policy_revision}"
    return blocks.section(title, len(rows), blocks.table(["Check", "Outcome", "Found"], rows, "No checks."))


def _metrics(version: model_pb2.ModelVersion) -> html.Section:
    """The metrics; slices and numbers of samples only where there are some."""
    sliced = any(metric.slice for metric in version.metrics)
    sampled = any(metric.samples for metric in version.metrics)
    heads = ["Metric", *(["Slice"] if sliced else []), "Value", *(["Samples"] if sampled else [])]
    rows = [
        [
            metric.key,
            *([metric.slice] if sliced else []),
            html.Span(formatting.number(metric.value), title=repr(metric.value)),
            *([f"{len(metric.samples):,}" if metric.samples else ""] if sampled else []),
        ]
        for metric in version.metrics
    ]
    return blocks.section("Metrics", len(rows), blocks.table(heads, rows, "No metrics were registered."))


def _signature(signature: model_pb2.ModelSignature) -> html.Section:
    pairs = [
        (f"{kind} {field.name}".strip(), f"{field.datatype} {list(field.shape)}{' optional' if field.optional else ''}")
        for kind, fields in (("input", signature.inputs), ("output", signature.outputs), ("param", signature.params))
        for field in fields
    ]
    return blocks.pairs("Signature", pairs, "No signature was given.", code=True)


def _files(version: model_pb2.ModelVersion) -> Any:
    """The version of an artifact that has the files, as a link to it; else what else is known of where they are."""
    if name := version.artifact_version:
        return dcc.Link(f"{name.split('/')[3]} / {blocks.last(name)}", href=page_of(name))
    return version.artifact_manifest or version.source_uri


def _stage(version: model_pb2.ModelVersion) -> str:
    name = model_pb2.ModelVersionStage.Name(version.stage).rpartition("_")[2].capitalize()
    return "" if name in {"None", "Unspecified"} else name


def _metric(version: model_pb2.ModelVersion, key: str) -> Any:
    found = [metric.value for metric in version.metrics if metric.key == key and not metric.slice]
    return html.Span(formatting.number(found[0]), title=repr(found[0])) if found else "–"


def _aliases(model: model_pb2.Model) -> str:
    return ", ".join(f"{blocks.last(alias.name)} → {blocks.last(alias.version)}" for alias in model.aliases)


def _tags(tags: Any) -> str:
    return ", ".join(f"{key}={text}" for key, text in sorted(tags.items())[:5])
