"""Policies, evaluations, verdicts and approvals as bodies of documents, and back. Owns the layout."""

from collections.abc import Iterable, Mapping
from typing import Any

from penstock_registry.domain import Dataset, Metric, Protection
from penstock_registry.gates.domain import (
    Approval,
    Check,
    CheckResult,
    DeltaCheck,
    Evaluation,
    GatePolicy,
    LatencyCheck,
    Outcome,
    SignatureCheck,
    SizeCheck,
    ThresholdCheck,
    Verdict,
)

__all__ = [
    "approval_body",
    "approval_of",
    "evaluation_body",
    "evaluation_of",
    "policy_body",
    "policy_of",
    "verdict_body",
    "verdict_of",
]

Body = Mapping[str, Any]


def policy_body(policy: GatePolicy, uid: str) -> dict[str, Any]:
    """A revision of a policy."""
    return {
        "uid": uid,
        "revision": policy.revision,
        "checks": [_check_body(check) for check in policy.checks],
        "protections": [[alias, p.gate_required, p.approvals_required] for alias, p in policy.protections.items()],
        "description": policy.description,
        "creator": policy.creator,
        "create_us": policy.create_us,
    }


def policy_of(body: Body) -> GatePolicy:
    """The policy in a body."""
    return GatePolicy(
        revision=body["revision"],
        checks=tuple(_check_of(check) for check in body["checks"]),
        protections={alias: Protection(gate, approvals) for alias, gate, approvals in body["protections"]},
        description=body["description"],
        creator=body["creator"],
        create_us=body["create_us"],
    )


def evaluation_body(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation, but for its samples."""
    dataset = evaluation.dataset
    body: dict[str, Any] = {
        "uid": evaluation.uid,
        "number": evaluation.number,
        "metrics": [[m.key, m.slice, m.value] for m in evaluation.metrics],
        "dataset": None if dataset is None else [dataset.name, dataset.digest, dataset.source_uri, dataset.context],
        "creator": evaluation.creator,
        "create_us": evaluation.create_us,
        "has_samples": evaluation.has_samples,
    }
    if evaluation.creation:
        body["creation"] = evaluation.creation
    return body


def evaluation_of(evaluation_id: str, body: Body) -> Evaluation:
    """The evaluation in a body."""
    return Evaluation(
        id=evaluation_id,
        uid=body["uid"],
        number=body["number"],
        metrics=tuple(Metric(*parts) for parts in body["metrics"]),
        dataset=None if body["dataset"] is None else Dataset(*body["dataset"]),
        creator=body["creator"],
        create_us=body["create_us"],
        creation=body.get("creation", ""),
        has_samples=body["has_samples"],
    )


def verdict_body(verdict: Verdict) -> dict[str, Any]:
    """A verdict."""
    return {
        "uid": verdict.uid,
        "number": verdict.number,
        "policy_revision": verdict.policy_revision,
        "passed": verdict.passed,
        "results": [_result_body(result) for result in verdict.results],
        "references": [[alias, number] for alias, number in verdict.references.items()],
        "evaluations": list(verdict.evaluations),
        "creator": verdict.creator,
        "create_us": verdict.create_us,
    }


def verdict_of(verdict_id: str, body: Body) -> Verdict:
    """The verdict in a body."""
    return Verdict(
        id=verdict_id,
        uid=body["uid"],
        number=body["number"],
        policy_revision=body["policy_revision"],
        passed=body["passed"],
        results=tuple(_result_of(result) for result in body["results"]),
        references=dict(body["references"]),
        evaluations=tuple(body["evaluations"]),
        creator=body["creator"],
        create_us=body["create_us"],
    )


def approval_body(approval: Approval) -> dict[str, Any]:
    """An approval."""
    return {
        "uid": approval.uid,
        "number": approval.number,
        "alias": approval.alias,
        "principal": approval.principal,
        "comment": approval.comment,
        "create_us": approval.create_us,
        "move_us": approval.move_us,
        "policy_revision": approval.policy_revision,
    }


def approval_of(body: Body) -> Approval:
    """The approval in a body."""
    return Approval(**body)


def _check_body(check: Check) -> list[Any]:
    match check:
        case ThresholdCheck():
            return ["threshold", check.id, check.metric, list(check.slices), check.min, check.max]
        case DeltaCheck():
            compared = [check.alias, check.higher_is_better, check.regression_max]
            sure = [check.confidence, check.samples_required]
            return ["delta", check.id, check.metric, list(check.slices), *compared, *sure]
        case LatencyCheck():
            return ["latency", check.id, check.percentile, check.max_ms]
        case SizeCheck():
            return ["size", check.id, check.max_bytes]
        case SignatureCheck():
            return ["signature", check.id, check.alias]


def _check_of(parts: Any) -> Check:
    kind, *fields = parts
    match kind:
        case "threshold":
            check_id, metric, slices, low, high = fields
            return ThresholdCheck(check_id, metric, tuple(slices), low, high)
        case "delta":
            check_id, metric, slices, *rest = fields
            return DeltaCheck(check_id, metric, tuple(slices), *rest)
        case "latency":
            return LatencyCheck(*fields)
        case "size":
            return SizeCheck(*fields)
        case _:
            return SignatureCheck(*fields)


def _result_body(result: CheckResult) -> list[Any]:
    return [
        result.check,
        int(result.outcome),
        result.message,
        result.metric,
        result.slice,
        result.value,
        result.reference,
        result.reference_number,
        result.improvement,
        result.improvement_low,
        result.improvement_high,
        result.paired,
    ]


def _result_of(parts: Iterable[Any]) -> CheckResult:
    check, outcome, *rest = parts
    return CheckResult(check, Outcome(outcome), *rest)
