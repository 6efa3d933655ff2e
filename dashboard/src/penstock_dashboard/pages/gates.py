"""The gates of a project: models with a gate policy, what it guards, what was found last, and what waits. It only shows."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

from dash import dcc, html

from penstock.api.registry.v1 import gate_pb2, registry_service_pb2
from penstock.client import AsyncClient
from penstock_dashboard import formatting
from penstock_dashboard.components import blocks
from penstock_dashboard.components.gates import check_text, verdict_badge
from penstock_dashboard.components.icon import icon
from penstock_dashboard.components.snippet import code_block
from penstock_dashboard.pages.context import Drawn, Visit
from penstock_dashboard.paths import page_of

__all__ = ["draw"]

GATES_PER_PAGE = 50
CHECKS_SHOWN = 6
ALIASES_SHOWN = 6
FAILURES_SHOWN = 3
"""Failed checks of one verdict; its version's page has all."""
WAITING_SHOWN = 3
"""Versions that wait for approvals of one alias."""
PAGE_TOKEN_CHARS_MAX = 4_096

POLICY = """{
  "checks": [
    {"id": "floor", "threshold": {"metric": "accuracy", "min": 0.9}},
    {"id": "no-worse", "delta": {"metric": "accuracy", "alias": "production",
                                 "goal": "METRIC_GOAL_MAXIMIZE"}}
  ],
  "protectedAliases": [{"alias": "production", "gateRequired": true, "approvalsRequired": 1}]
}"""


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the list of gates."""
    project = visit.parts["project"]
    token = parse_qs(visit.search.removeprefix("?")).get("page", [""])[0][:PAGE_TOKEN_CHARS_MAX]
    listed = await client.registry.ListGates(
        registry_service_pb2.ListGatesRequest(parent=f"projects/{project}", page_size=GATES_PER_PAGE, page_token=token)
    )
    now_s = time.time()
    gates = sorted(listed.gates, key=lambda gate: gate.model.casefold())
    rows = [[_model(gate, now_s), _checks(gate.policy), _guards(gate), _verdicts(gate, now_s)] for gate in gates]
    content = html.Div(
        className="page page-wide",
        children=[
            html.Div(html.H1("Gates"), className="page-head"),
            blocks.table(["Model", "Checks", "Guards", "Last verdicts"], rows, "No more gates.", kind="gates-table")
            if rows or token
            else _none_yet(project),
            _pager(visit.path, token, listed.next_page_token),
        ],
    )
    return Drawn(f"Gates · {project}", content, project)


def _model(gate: gate_pb2.Gate, now_s: float) -> html.Div:
    policy = gate.policy
    return html.Div(
        [
            dcc.Link(blocks.last(gate.model), href=page_of(gate.model)),
            html.Div(
                [f"revision {policy.revision}, ", blocks.when(policy.create_time, now_s), _by(policy.creator)],
                className="quiet",
            ),
            html.Div(policy.description.partition("\n")[0], className="quiet clamp-2") if policy.description else None,
        ],
        className="gate-lines",
    )


def _checks(policy: gate_pb2.GatePolicy) -> Any:
    lines = [
        html.Div([html.Code(check.id, className="check-id"), f" {check_text(check)}"])
        for check in policy.checks[:CHECKS_SHOWN]
    ]
    return _lines(lines, len(policy.checks), "No checks.")


def _guards(gate: gate_pb2.Gate) -> Any:
    lines: list[Any] = []
    for protected in gate.policy.protected_aliases[:ALIASES_SHOWN]:
        number = gate.aliases.get(protected.alias, 0)
        rules = [
            *(["gate passed"] if protected.gate_required else []),
            *([formatting.count(protected.approvals_required, "approval")] if protected.approvals_required else []),
        ]
        lines.append(
            html.Div(
                [
                    html.Div([html.Strong(protected.alias), " → ", _version(gate.model, number) if number else "none"]),
                    html.Div(f"by promotion: {', '.join(rules)}" if rules else "by promotion", className="quiet"),
                    *_waiting(gate, protected, number),
                ]
            )
        )
    return _lines(lines, len(gate.policy.protected_aliases), "No alias: every one moves freely.")


def _waiting(gate: gate_pb2.Gate, protected: gate_pb2.ProtectedAlias, pointed: int) -> list[html.Div]:
    """The versions that somebody approves for an alias, or that passed last, as long as they need approvals."""
    needed = protected.approvals_required
    if not needed:
        return []
    given: dict[int, list[str]] = {}
    for approval in gate.approvals:
        if approval.alias == protected.alias:
            given.setdefault(int(blocks.last(approval.version)), []).append(approval.principal.removeprefix("users/"))
    for verdict in gate.verdicts[:1]:
        number = int(blocks.last(verdict.version))
        if verdict.passed and verdict.policy_revision == gate.policy.revision and number > pointed:
            given.setdefault(number, [])
    return [
        html.Div(
            [
                blocks.badge("waits" if len(who) < needed else "approved", "state-killed" if len(who) < needed else ""),
                " ",
                _version(gate.model, number),
                f" has {len(who)} of {formatting.count(needed, 'approval')}",
                f": {', '.join(who)}" if who else "",
            ],
            className="gate-waiting",
        )
        for number, who in sorted(given.items(), reverse=True)[:WAITING_SHOWN]
    ]


def _verdicts(gate: gate_pb2.Gate, now_s: float) -> Any:
    lines: list[Any] = []
    for verdict in gate.verdicts:
        older = verdict.policy_revision != gate.policy.revision
        failed = [html.Div(f"{_check_of(result)}: {result.message}") for result in verdict.results[:FAILURES_SHOWN]]
        more = len(verdict.results) - len(failed)
        lines.append(
            html.Div(
                [
                    verdict_badge(verdict),
                    " ",
                    _version(gate.model, int(blocks.last(verdict.version))),
                    html.Span(
                        [
                            " ",
                            blocks.when(verdict.create_time, now_s),
                            _by(verdict.creator),
                            f", of revision {verdict.policy_revision}" if older else "",
                        ],
                        className="quiet",
                    ),
                    html.Div([*failed, f"and {more} more" if more > 0 else None], className="gate-failures")
                    if failed
                    else None,
                ]
            )
        )
    return _lines(lines, len(lines), "No version was checked yet.")


def _lines(lines: Sequence[Any], total: int, nothing: str) -> html.Div:
    if not lines:
        return html.Div(nothing, className="quiet")
    more = [html.Div(f"and {total - len(lines)} more", className="quiet")] if total > len(lines) else []
    return html.Div([*lines, *more], className="gate-lines")


def _version(model: str, number: int) -> dcc.Link:
    return dcc.Link(f"version {number}", href=page_of(f"{model}/versions/{number}"), className="nowrap")


def _check_of(result: gate_pb2.CheckResult) -> str:
    return f"{result.check} [{result.slice}]" if result.slice else result.check


def _by(principal: str) -> str:
    return f" by {principal.removeprefix('users/')}"


def _pager(path: str, token: str, following: str) -> html.Nav | None:
    links = [
        *([dcc.Link("First page", href=path)] if token else []),
        *([dcc.Link("Next page", href=f"{path}?{urlencode({'page': following})}")] if following else []),
    ]
    order = html.Span("Those whose policy changed most often come first.", className="quiet")
    return html.Nav([*links, order], className="pager", **{"aria-label": "Pages"}) if links else None


def _none_yet(project: str) -> html.Div:
    commands = "\n".join(
        [
            f"penstock gate set MODEL policy.json -p {project}",
            f"penstock gate check MODEL/1 -p {project}",
            f"penstock gate approve MODEL/1 production -p {project}",
            f"penstock gate promote MODEL/1 production -p {project}",
        ]
    )
    return html.Div(
        className="empty",
        children=[
            html.Div(icon("check", 30), className="message-icon"),
            html.H2("No gate yet"),
            html.P(
                "A gate is a policy of a registered model. It says what a version must show, such as an accuracy that is not"
                " worse than that of production, and which aliases it guards: these move only by promotion, to a version"
                " that passed, once as many others approved as the policy asks for."
            ),
            code_block("policy.json", POLICY),
            code_block("Commands", commands),
        ],
    )
