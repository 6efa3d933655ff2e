"""Between the messages of gates in the contract and the domain. No decisions here."""

from typing import Any

from penstock.api.registry.v1 import gate_pb2
from penstock_kit.names import ModelName, ModelVersionName, NameInvalid
from penstock_registry.convert import dataset_message, metric_messages, time_of_us
from penstock_registry.domain import Protection
from penstock_registry.errors import FieldInvalid
from penstock_registry.gates.domain import (
    Approval,
    Check,
    CheckResult,
    DeltaCheck,
    Evaluation,
    Gate,
    GatePolicy,
    LatencyCheck,
    SignatureCheck,
    SizeCheck,
    ThresholdCheck,
    Verdict,
)

__all__ = [
    "approval_message",
    "evaluation_message",
    "gate_message",
    "parse_policy_name",
    "parse_verdict_name",
    "policy_from_message",
    "policy_message",
    "verdict_message",
]

CONFIDENCE_DEFAULT = 0.95


def parse_policy_name(name: str) -> ModelName:
    """The model of a `projects/{project}/models/{model}/gatePolicy`. Raises `NameInvalid`."""
    model, separator, rest = name.rpartition("/gatePolicy")
    if not separator or rest:
        raise NameInvalid(
            f"{name!r} is not a gate policy: it should look like projects/my-project/models/m/gatePolicy."
        )
    return ModelName.parse(model)


def parse_verdict_name(name: str) -> tuple[ModelName, str]:
    """The model and the id of a `projects/{project}/models/{model}/verdicts/{verdict}`. Raises `NameInvalid`."""
    model, separator, verdict_id = name.rpartition("/verdicts/")
    if not separator:
        raise NameInvalid(
            f"{name!r} is not a verdict: it should look like projects/p/models/m/verdicts/<32 hex digits>."
        )
    return ModelName.parse(model), verdict_id


def policy_message(model: ModelName, policy: GatePolicy) -> gate_pb2.GatePolicy:
    """A policy."""
    return gate_pb2.GatePolicy(
        name=f"{model}/gatePolicy",
        revision=policy.revision,
        checks=[_check_message(check) for check in policy.checks],
        protected_aliases=[
            gate_pb2.ProtectedAlias(
                alias=alias,
                gate_required=protection.gate_required,
                approvals_required=protection.approvals_required,
            )
            for alias, protection in policy.protections.items()
        ],
        description=policy.description,
        creator=policy.creator,
        create_time=time_of_us(policy.create_us),
        etag=str(policy.revision),
    )


def policy_from_message(message: gate_pb2.GatePolicy) -> GatePolicy:
    """A policy that is to be set. Raises `FieldInvalid` if an alias is protected twice."""
    protections = {
        protected.alias: Protection(protected.gate_required, protected.approvals_required)
        for protected in message.protected_aliases
    }
    if len(protections) != len(message.protected_aliases):
        raise FieldInvalid("An alias is protected twice.", field="policy.protected_aliases")
    return GatePolicy(
        revision=0,
        checks=tuple(_check(check) for check in message.checks),
        protections=protections,
        description=message.description,
        creator="",
        create_us=0,
    )


def evaluation_message(version: ModelVersionName, evaluation: Evaluation) -> gate_pb2.Evaluation:
    """An evaluation."""
    return gate_pb2.Evaluation(
        name=f"{version}/evaluations/{evaluation.id}",
        metrics=metric_messages(evaluation.metrics),
        dataset=None if evaluation.dataset is None else dataset_message(evaluation.dataset),
        creator=evaluation.creator,
        create_time=time_of_us(evaluation.create_us),
    )


def verdict_message(model: ModelName, verdict: Verdict) -> gate_pb2.Verdict:
    """A verdict."""
    version = ModelVersionName(model, verdict.number)
    return gate_pb2.Verdict(
        name=f"{model}/verdicts/{verdict.id}",
        version=str(version),
        policy_revision=verdict.policy_revision,
        passed=verdict.passed,
        results=[_result_message(result) for result in verdict.results],
        references=verdict.references,
        evaluations=[f"{version}/evaluations/{evaluation}" for evaluation in verdict.evaluations],
        creator=verdict.creator,
        create_time=time_of_us(verdict.create_us),
    )


def approval_message(model: ModelName, approval: Approval) -> gate_pb2.Approval:
    """An approval."""
    return gate_pb2.Approval(
        version=str(ModelVersionName(model, approval.number)),
        alias=approval.alias,
        principal=approval.principal,
        comment=approval.comment,
        create_time=time_of_us(approval.create_us),
    )


def gate_message(gate: Gate) -> gate_pb2.Gate:
    """A gate."""
    model = ModelName(gate.model.project, gate.model.model_id)
    targets = {alias: gate.model.number_of(alias) for alias in gate.policy.protections}
    return gate_pb2.Gate(
        model=str(model),
        policy=policy_message(model, gate.policy),
        aliases={alias: number for alias, number in targets.items() if number},
        verdicts=[verdict_message(model, verdict) for verdict in gate.verdicts],
        approvals=[approval_message(model, approval) for approval in gate.approvals],
    )


def _check_message(check: Check) -> gate_pb2.GateCheck:
    match check:
        case ThresholdCheck():
            threshold = gate_pb2.ThresholdCheck(metric=check.metric, slices=check.slices, min=check.min, max=check.max)
            return gate_pb2.GateCheck(id=check.id, threshold=threshold)
        case DeltaCheck():
            goal = gate_pb2.METRIC_GOAL_MAXIMIZE if check.higher_is_better else gate_pb2.METRIC_GOAL_MINIMIZE
            delta = gate_pb2.DeltaCheck(
                metric=check.metric,
                slices=check.slices,
                alias=check.alias,
                goal=goal,
                regression_max=check.regression_max,
                confidence=check.confidence,
                samples_required=check.samples_required,
            )
            return gate_pb2.GateCheck(id=check.id, delta=delta)
        case LatencyCheck():
            latency = gate_pb2.LatencyCheck(percentile=check.percentile, max_ms=check.max_ms)
            return gate_pb2.GateCheck(id=check.id, latency=latency)
        case SizeCheck():
            return gate_pb2.GateCheck(id=check.id, size=gate_pb2.SizeCheck(max_bytes=check.max_bytes))
        case SignatureCheck():
            return gate_pb2.GateCheck(id=check.id, signature=gate_pb2.SignatureCheck(alias=check.alias))


def _check(message: gate_pb2.GateCheck) -> Check:
    kind: Any = getattr(message, message.WhichOneof("kind"))
    match kind:
        case gate_pb2.ThresholdCheck():
            low = kind.min if kind.HasField("min") else None
            high = kind.max if kind.HasField("max") else None
            return ThresholdCheck(message.id, kind.metric, tuple(kind.slices), low, high)
        case gate_pb2.DeltaCheck():
            return DeltaCheck(
                message.id,
                kind.metric,
                tuple(kind.slices),
                kind.alias,
                kind.goal == gate_pb2.METRIC_GOAL_MAXIMIZE,
                kind.regression_max,
                kind.confidence or CONFIDENCE_DEFAULT,
                kind.samples_required,
            )
        case gate_pb2.LatencyCheck():
            return LatencyCheck(message.id, kind.percentile, kind.max_ms)
        case gate_pb2.SizeCheck():
            return SizeCheck(message.id, kind.max_bytes)
        case _:
            return SignatureCheck(message.id, kind.alias)


def _result_message(result: CheckResult) -> gate_pb2.CheckResult:
    return gate_pb2.CheckResult(
        check=result.check,
        outcome=gate_pb2.CheckOutcome.Name(result.outcome),
        message=result.message,
        metric=result.metric,
        slice=result.slice,
        value=result.value,
        reference=result.reference,
        reference_version=result.reference_number,
        improvement=result.improvement,
        improvement_low=result.improvement_low,
        improvement_high=result.improvement_high,
        paired=result.paired,
    )
