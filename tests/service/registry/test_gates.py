"""Gate policies, evaluations, verdicts, approvals, and promotion to protected aliases."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.registry import MODEL, PROJECT, Registry, open_guard, pb, serving_registry

from penstock.api.registry.v1 import gate_pb2, model_pb2

Code = grpc.StatusCode
POLICY = f"{MODEL}/gatePolicy"


def metrics(**values: float) -> list[model_pb2.ModelMetric]:
    return [model_pb2.ModelMetric(key=key, value=value) for key, value in values.items()]


def policy(*checks: gate_pb2.GateCheck, approvals: int = 0, gate: bool = True, **fields: Any) -> gate_pb2.GatePolicy:
    """A policy that protects `production`."""
    protected = gate_pb2.ProtectedAlias(alias="production", gate_required=gate, approvals_required=approvals)
    return gate_pb2.GatePolicy(name=POLICY, checks=checks, protected_aliases=[protected], **fields)


def at_least(value: float, metric: str = "acc") -> gate_pb2.GateCheck:
    return gate_pb2.GateCheck(id="floor", threshold=gate_pb2.ThresholdCheck(metric=metric, min=value))


def not_worse(alias: str = "production") -> gate_pb2.GateCheck:
    check = gate_pb2.DeltaCheck(metric="acc", alias=alias, goal=gate_pb2.METRIC_GOAL_MAXIMIZE)
    return gate_pb2.GateCheck(id="delta", delta=check)


async def check(registry: Registry, number: int) -> gate_pb2.Verdict:
    return (await registry.call("CheckGate", name=f"{MODEL}/versions/{number}")).verdict


async def promote(registry: Registry, number: int, by: str = "users/ada", **fields: Any) -> model_pb2.ModelAlias:
    answer = await registry.call(
        "PromoteModelVersion", name=f"{MODEL}/versions/{number}", alias="production", by=by, **fields
    )
    return answer.alias


async def promotion_refused(registry: Registry, number: int, by: str = "users/ada") -> str:
    refusal = await registry.refused(
        "PromoteModelVersion", name=f"{MODEL}/versions/{number}", alias="production", by=by
    )
    return refusal.reason


@pytest.fixture
async def three(any_registry: Registry) -> Registry:
    """A model with versions of accuracy 0.7, 0.8 and 0.9."""
    await any_registry.new_model()
    for value in (0.7, 0.8, 0.9):
        await any_registry.new_version(metrics=metrics(acc=value))
    return any_registry


async def test_a_policy_is_kept_by_revision(three: Registry) -> None:
    assert (await three.refused("GetGatePolicy", name=POLICY)).reason == "POLICY_NOT_FOUND"
    everything = policy(
        at_least(0.5),
        not_worse(),
        gate_pb2.GateCheck(id="quick", latency=gate_pb2.LatencyCheck(percentile=99, max_ms=5)),
        gate_pb2.GateCheck(id="small", size=gate_pb2.SizeCheck(max_bytes=10)),
        gate_pb2.GateCheck(id="same", signature=gate_pb2.SignatureCheck(alias="production")),
        approvals=2,
        description="Because",
    )
    first = (await three.call("SetGatePolicy", policy=everything)).policy
    assert (first.revision, first.creator, first.description) == (1, "users/ada", "Because")
    assert first.checks[1].delta.confidence == 0.95
    assert (await three.call("GetGatePolicy", name=POLICY)).policy == first
    second = (await three.call("SetGatePolicy", policy=policy(at_least(0.6), etag=first.etag))).policy
    assert second.revision == 2
    assert (await three.call("GetGatePolicy", name=POLICY, revision=1)).policy == first
    refusal = await three.refused("SetGatePolicy", policy=policy(at_least(0.6), etag=first.etag))
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    assert (await three.refused("GetGatePolicy", name=POLICY, revision=3)).reason == "POLICY_NOT_FOUND"


@pytest.mark.parametrize(
    "wrong",
    [
        policy(at_least(0.5), at_least(0.6)),
        policy(gate_pb2.GateCheck(id="a", threshold=gate_pb2.ThresholdCheck(metric="m"))),
        gate_pb2.GatePolicy(name=POLICY, protected_aliases=[gate_pb2.ProtectedAlias(alias="a")] * 2),
        gate_pb2.GatePolicy(name=POLICY, protected_aliases=[gate_pb2.ProtectedAlias(alias="latest")]),
        policy(gate_pb2.GateCheck(id="a")),
        policy(
            gate_pb2.GateCheck(
                id="a",
                delta=gate_pb2.DeltaCheck(metric="m", alias="p", goal=gate_pb2.METRIC_GOAL_MINIMIZE, confidence=0.9999),
            )
        ),
        policy(*(gate_pb2.GateCheck(id=f"c{n}", size=gate_pb2.SizeCheck(max_bytes=1)) for n in range(101))),
    ],
    ids=["id twice", "no bound", "alias twice", "reserved", "no check", "confidence", "too many"],
)
async def test_a_policy_that_makes_no_sense_is_refused(registry: Registry, wrong: gate_pb2.GatePolicy) -> None:
    await registry.new_model()
    assert (await registry.refused("SetGatePolicy", policy=wrong)).code is Code.INVALID_ARGUMENT


async def gates(registry: Registry, **fields: Any) -> Any:
    return await registry.call("ListGates", parent=PROJECT, **fields)


async def test_gates_are_listed_with_what_they_said_last(three: Registry) -> None:
    assert await gates(three) == pb.ListGatesResponse()
    many = [gate_pb2.GateCheck(id=f"m{n}", threshold=gate_pb2.ThresholdCheck(metric="none", min=1)) for n in range(10)]
    await three.call("SetGatePolicy", policy=policy(at_least(0.75), *many, approvals=2))
    written = (await three.call("SetGatePolicy", policy=policy(at_least(0.75), approvals=2))).policy
    for number in (1, 2, 3, 1):
        await check(three, number)
    [gate] = (await gates(three)).gates
    assert (gate.model, gate.policy, dict(gate.aliases), list(gate.approvals)) == (MODEL, written, {}, [])
    assert [one.version.rpartition("/")[2] for one in gate.verdicts] == ["1", "3", "2"]
    assert [one.passed for one in gate.verdicts] == [False, True, True]
    # Of what was found only what failed.
    assert [[result.check for result in one.results] for one in gate.verdicts] == [["floor"], [], []]

    many.append(at_least(2))
    await three.call("SetGatePolicy", policy=policy(*many))
    await check(three, 1)
    [gate] = (await gates(three)).gates
    assert [result.check for result in gate.verdicts[0].results] == [f"m{n}" for n in range(10)]


async def test_approvals_that_wait_are_listed(three: Registry) -> None:
    async def approve(number: int, by: str, alias: str = "production") -> None:
        await three.call("ApprovePromotion", name=f"{MODEL}/versions/{number}", alias=alias, by=by, comment="ok")

    async def waiting() -> list[tuple[str, str, str]]:
        [gate] = (await gates(three)).gates
        return [(one.version.rpartition("/")[2], one.alias, one.principal) for one in gate.approvals]

    await three.call("SetGatePolicy", policy=policy(approvals=1, gate=False))
    await approve(3, "users/bob")
    await approve(2, "users/eve")
    await approve(1, "users/bob", alias="candidate")  # which nobody protects
    assert await waiting() == [("3", "production", "users/bob"), ("2", "production", "users/eve")]
    await promote(three, 3)
    # The alias was moved: what was said before holds no longer.
    assert await waiting() == []
    await approve(3, "users/bob")  # it points there
    await approve(1, "users/bob")
    assert await waiting() == [("1", "production", "users/bob")]
    [gate] = (await gates(three)).gates
    assert dict(gate.aliases) == {"production": 3}
    await three.call("SetGatePolicy", policy=policy(approvals=1, gate=False))
    assert await waiting() == []


async def test_gates_of_many_models_come_in_pages(any_registry: Registry) -> None:
    for number in range(6):
        name = (await any_registry.new_model(f"m{number}")).name
        for _ in range(number // 2):
            await any_registry.call("SetGatePolicy", policy=gate_pb2.GatePolicy(name=f"{name}/gatePolicy"))
    await any_registry.call("DeleteModel", name=f"{PROJECT}/models/m5")
    found: list[str] = []
    token, pages = "", 0
    while token or not pages:
        page = await gates(any_registry, page_size=2, page_token=token)
        found += [gate.model.rpartition("/")[2] for gate in page.gates]
        token, pages = page.next_page_token, pages + 1
    assert (found, pages) == (["m4", "m3", "m2"], 2)
    assert len((await gates(any_registry, page_size=50)).gates) == 3


async def test_a_verdict_carries_its_evidence(three: Registry) -> None:
    await three.call("SetGatePolicy", policy=policy(at_least(0.75), not_worse()))
    verdict = await check(three, 1)
    assert (verdict.passed, verdict.policy_revision, verdict.version) == (False, 1, f"{MODEL}/versions/1")
    assert [(one.check, one.outcome) for one in verdict.results] == [
        ("floor", gate_pb2.CHECK_OUTCOME_FAILED),
        ("delta", gate_pb2.CHECK_OUTCOME_SKIPPED),
    ]
    assert (verdict.results[0].value, verdict.results[0].reference) == (0.7, 0.75)
    assert dict(verdict.references) == {"production": 0}
    assert (await three.call("GetVerdict", name=verdict.name)).verdict == verdict
    other = await check(three, 2)
    assert other.passed
    listed = (await three.call("ListVerdicts", parent=MODEL)).verdicts
    assert [one.name for one in listed] == [other.name, verdict.name]
    listed = (await three.call("ListVerdicts", parent=MODEL, version=1)).verdicts
    assert [one.name for one in listed] == [verdict.name]
    missing = f"{MODEL}/verdicts/{'0' * 32}"
    assert (await three.refused("GetVerdict", name=missing)).reason == "VERDICT_NOT_FOUND"


async def test_what_is_measured_later_counts_most(three: Registry) -> None:
    await three.call("SetGatePolicy", policy=policy(at_least(0.75)))
    name = f"{MODEL}/versions/1"
    samples = [0.8] * 50
    told = gate_pb2.Evaluation(
        metrics=[model_pb2.ModelMetric(key="acc", value=0.8, samples=samples)],
        dataset=model_pb2.ModelDataset(name="holdout", digest="d"),
    )
    fields = {"parent": name, "evaluation": told, "request_id": "r"}
    first = (await three.call("RecordEvaluation", **fields)).evaluation
    assert (await three.call("RecordEvaluation", **fields)).evaluation.name == first.name
    verdict = await check(three, 1)
    assert (verdict.passed, verdict.results[0].value) == (True, 0.8)
    assert list(verdict.evaluations) == [first.name]
    await three.call("RecordEvaluation", parent=name, evaluation=gate_pb2.Evaluation(metrics=metrics(acc=0.1)))
    assert not (await check(three, 1)).passed
    listed = await three.call("ListEvaluations", parent=name, page_size=1)
    assert [one.metrics[0].value for one in listed.evaluations] == [0.1]
    rest = await three.call("ListEvaluations", parent=name, page_size=1, page_token=listed.next_page_token)
    assert [(one.name, one.dataset.name, len(one.metrics[0].samples)) for one in rest.evaluations] == [
        (first.name, "holdout", 0)
    ]


async def test_samples_of_snapshot_and_evaluation_make_an_interval(registry: Registry) -> None:
    await registry.new_model()
    old, new = [0.5, 0.6, 0.7, 0.8] * 20, [0.6, 0.7, 0.8, 0.9] * 20
    await registry.new_version(metrics=[model_pb2.ModelMetric(key="acc", value=0.65, samples=old)])
    await registry.new_version()
    await registry.call(
        "RecordEvaluation",
        parent=f"{MODEL}/versions/2",
        evaluation=gate_pb2.Evaluation(metrics=[model_pb2.ModelMetric(key="acc", value=0.75, samples=new)]),
    )
    await registry.point("best", 1)
    await registry.call("SetGatePolicy", policy=policy(not_worse("best")))
    (result,) = (await check(registry, 2)).results
    assert result.outcome == gate_pb2.CHECK_OUTCOME_PASSED
    assert result.paired
    assert result.improvement_low == pytest.approx(0.1)
    assert result.reference_version == 1


async def test_a_version_has_a_hundred_evaluations_at_most(registry: Registry) -> None:
    await registry.new_model()
    await registry.new_version()
    fields = {"parent": f"{MODEL}/versions/1", "evaluation": gate_pb2.Evaluation(metrics=metrics(acc=0.1))}
    for _ in range(100):
        await registry.call("RecordEvaluation", **fields)
    refusal = await registry.refused("RecordEvaluation", **fields)
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "EVALUATION_LIMIT_REACHED")


async def test_a_protected_alias_is_moved_by_promotion_alone(three: Registry) -> None:
    await three.point("production", 1)
    await three.call("SetGatePolicy", policy=policy(at_least(0.75), not_worse()))
    for method, fields in (
        ("SetModelAlias", {"parent": MODEL, "alias": "production", "version": 2}),
        ("DeleteModelAlias", {"name": f"{MODEL}/aliases/production"}),
        ("DeleteModelVersion", {"name": f"{MODEL}/versions/1", "delete_aliases": True}),
        ("DeleteModel", {"name": MODEL}),
    ):
        refusal = await three.refused(method, **fields)
        assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "ALIAS_PROTECTED"), method
    assert await promotion_refused(three, 2) == "GATE_NOT_PASSED"
    verdict = await check(three, 2)
    assert verdict.passed
    await promote(three, 2, reason="better")
    assert await three.alias_number("production") == 2
    (move, _) = (await three.call("ListAliasMoves", parent=MODEL)).moves
    assert (move.verdict, move.reason, move.from_version, move.to_version) == (verdict.name, "better", 1, 2)
    # Others are as free as before, and a promotion moves them too.
    await three.point("shadow", 3)
    await three.call("PromoteModelVersion", name=f"{MODEL}/versions/1", alias="shadow")


async def test_a_verdict_that_is_not_of_now_allows_nothing(three: Registry) -> None:
    await three.call("SetGatePolicy", policy=policy(at_least(0.75), not_worse()))
    await check(three, 2)
    await check(three, 3)
    await promote(three, 3)
    # It was compared with no version, and now there is one.
    assert await promotion_refused(three, 2) == "GATE_NOT_PASSED"
    assert not (await check(three, 2)).passed
    assert await promotion_refused(three, 2) == "GATE_NOT_PASSED"
    # The policy changed, so what it said before is over.
    await three.call("SetGatePolicy", policy=policy(at_least(0.75)))
    assert await promotion_refused(three, 2) == "GATE_NOT_PASSED"
    assert (await check(three, 2)).passed
    await promote(three, 2)


async def test_only_the_newest_verdict_counts(three: Registry) -> None:
    await three.call("SetGatePolicy", policy=policy(at_least(0.75)))
    assert (await check(three, 2)).passed
    await three.call(
        "RecordEvaluation", parent=f"{MODEL}/versions/2", evaluation=gate_pb2.Evaluation(metrics=metrics(acc=0.1))
    )
    assert not (await check(three, 2)).passed
    assert await promotion_refused(three, 2) == "GATE_NOT_PASSED"


async def test_approvals_of_others_are_needed(three: Registry) -> None:
    await three.call("SetGatePolicy", policy=policy(approvals=2, gate=False))
    name = f"{MODEL}/versions/2"
    for by in ("users/ada", "users/bob"):
        await three.call("ApprovePromotion", name=name, alias="production", comment="good", by=by)
        await three.call("ApprovePromotion", name=name, alias="production", by=by)
    refusal = await three.refused("PromoteModelVersion", name=name, alias="production")
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "APPROVALS_MISSING")
    assert (refusal.metadata["needed"], refusal.metadata["given"]) == ("2", "1")
    await three.call("ApprovePromotion", name=name, alias="production", by="users/eve")
    # Not for another alias, nor for another version.
    await three.call("ApprovePromotion", name=name, alias="shadow", by="users/eve")
    listed = (await three.call("ListApprovals", name=name, alias="production")).approvals
    assert [one.principal for one in listed] == ["users/ada", "users/bob", "users/eve"]
    assert await promotion_refused(three, 3) == "APPROVALS_MISSING"
    await promote(three, 2)
    (move,) = (await three.call("ListAliasMoves", parent=MODEL)).moves
    assert sorted(move.approvers) == ["users/bob", "users/eve"]
    # They held for this move: to come back later, others have to agree again.
    assert (await three.call("ListApprovals", name=name, alias="production")).approvals == []


async def test_approvals_end_with_the_policy(three: Registry) -> None:
    await three.call("SetGatePolicy", policy=policy(approvals=1, gate=False))
    name = f"{MODEL}/versions/2"
    await three.call("ApprovePromotion", name=name, alias="production", by="users/bob")
    await three.call("SetGatePolicy", policy=policy(at_least(0.1), approvals=1, gate=False))
    assert await promotion_refused(three, 2) == "APPROVALS_MISSING"


async def test_of_promotions_at_once_each_was_compared_with_what_it_replaced(
    tmp_path: Path, documents_url: str
) -> None:
    """Both verdicts say better than version 1; once one is promoted, the other's is about a past."""
    guard = open_guard()
    async with (
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as one,
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as other,
    ):
        await one.new_model()
        for value in (0.7, 0.9, 0.8):
            await one.new_version(metrics=metrics(acc=value))
        await one.point("production", 1)
        await one.call("SetGatePolicy", policy=policy(not_worse()))
        for number in (2, 3):
            assert (await check(one, number)).passed
        done = await asyncio.gather(promote(one, 2), promote(other, 3), return_exceptions=True)
        errors = [error for error in done if isinstance(error, grpc.aio.AioRpcError)]
        assert len(errors) == 1
        assert errors[0].code() is Code.FAILED_PRECONDITION
        assert len((await one.call("ListAliasMoves", parent=MODEL)).moves) == 2
