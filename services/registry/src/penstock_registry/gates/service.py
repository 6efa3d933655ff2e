"""The use cases of gates: policies, evaluations, verdicts, approvals, promotion. Knows nothing of gRPC or of documents."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from penstock_kit.clock import Clock
from penstock_kit.ids import derived_id, random_id
from penstock_kit.names import ModelName, ModelVersionName, ProjectName
from penstock_kit.threads import in_thread
from penstock_registry.changes import check_alias, check_expected, moved_alias, new_event
from penstock_registry.domain import AliasTarget, Dataset, EventType, Metric, Model, Protection, metrics_problem
from penstock_registry.errors import (
    ApprovalsMissing,
    EtagMismatch,
    EvaluationLimitReached,
    FieldInvalid,
    GateNotPassed,
)
from penstock_registry.gates.domain import (
    EVALUATIONS_PER_VERSION_MAX,
    Approval,
    Evaluation,
    Gate,
    GatePolicy,
    Outcome,
    Verdict,
    policy_problem,
    reference_aliases,
    sampled_metrics,
    verdict_problem,
)
from penstock_registry.gates.evaluate import Measured, evaluate
from penstock_registry.gates.store import GateStore, add_policy
from penstock_registry.store import RegistryStore, Step, event_operation

__all__ = ["GateService"]

VERDICTS_PER_GATE_MAX: Final = 3
RESULTS_PER_VERDICT_MAX: Final = 10
"""Of those that failed, in a list of gates."""


class GateService:
    """What decides which version an alias may point to.

    Args:
        store: Models and versions.
        gates: What gates keep.
        clock: The time.
    """

    def __init__(self, store: RegistryStore, gates: GateStore, clock: Clock) -> None:
        self._store = store
        self._gates = gates
        self._clock = clock

    async def set_policy(self, name: ModelName, policy: GatePolicy, *, etag: str, by: str) -> GatePolicy:
        """Makes a policy the next revision of that of a model.

        Raises `ModelNotFound`, `FieldInvalid`, `EtagMismatch`.
        """
        problem = policy_problem(policy)
        if problem:
            raise FieldInvalid(problem, field="policy")
        written = policy

        async def step(model: Model) -> Step:
            nonlocal written
            if etag and etag != str(model.policy_revision):
                raise EtagMismatch("The policy changed since it was read: read it again and decide anew.")
            now_us = self._clock.now_us()
            written = replace(policy, revision=model.policy_revision + 1, creator=by, create_us=now_us)
            event = new_event(EventType.POLICY_CHANGED, model, by, now_us)
            changed = replace(
                model, policy_revision=written.revision, protections=written.protections, update_us=now_us
            )
            return Step(changed, [*add_policy(model, written), event_operation(event)])

        await self._store.change_model(name.project, name.model_id, step)
        return written

    async def get_policy(self, name: ModelName, revision: int) -> GatePolicy:
        """Returns a revision of the policy of a model, 0 means the current one. Raises `ModelNotFound`, `PolicyNotFound`."""
        return await self._gates.policy(await self._model(name), revision)

    async def list_gates(
        self, parent: ProjectName, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Gate], bytes | None]:
        """Returns models with their policies and what became of these lately, and where to go on."""
        models, following = await self._store.gated_models(parent.project, limit, cursor)
        policies = await self._gates.policies(parent.project, models)
        there = [(model, policy) for model, policy in zip(models, policies, strict=True) if policy is not None]
        return list(await asyncio.gather(*(self._gate(model, policy) for model, policy in there))), following

    async def record_evaluation(
        self,
        name: ModelVersionName,
        metrics: tuple[Metric, ...],
        dataset: Dataset | None,
        *,
        request_id: str,
        by: str,
    ) -> Evaluation:
        """Records what was measured of a version; a repeat returns the one made first.

        Raises `ModelNotFound`, `VersionNotFound`, `FieldInvalid`, `EvaluationLimitReached`, `VersionTooLarge`.
        """
        problem = metrics_problem(metrics)
        if problem:
            raise FieldInvalid(problem, field="evaluation.metrics")
        model = await self._model(name.model)
        await self._store.version(model, name.number)
        if len(await self._evaluations(model, name.number)) >= EVALUATIONS_PER_VERSION_MAX:
            raise EvaluationLimitReached(
                f"The version has {EVALUATIONS_PER_VERSION_MAX} evaluations, which is the limit."
            )
        evaluation = Evaluation(
            id=random_id(),
            uid=model.uid,
            number=name.number,
            metrics=metrics,
            dataset=dataset,
            creator=by,
            create_us=self._clock.now_us(),
            creation=derived_id(by, request_id, f"evaluation {name}") if request_id else "",
            has_samples=any(metric.samples for metric in metrics),
        )
        return await self._gates.add_evaluation(model, evaluation)

    async def list_evaluations(
        self, name: ModelVersionName, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Evaluation], bytes | None]:
        """Returns evaluations, newest first, and where to go on. Raises `ModelNotFound`, `VersionNotFound`."""
        model = await self._model(name.model)
        await self._store.version(model, name.number)
        return await self._gates.evaluations(model, name.number, limit=limit, cursor=cursor)

    async def check(self, name: ModelVersionName, *, by: str) -> Verdict:
        """Checks a version against the policy of its model, and keeps the verdict.

        Raises `ModelNotFound`, `VersionNotFound`, `PolicyNotFound`, `GateTooCostly`.
        """
        model = await self._model(name.model)
        policy = await self._gates.policy(model)
        wanted = sampled_metrics(policy)
        evaluations = await self._evaluations(model, name.number)
        candidate = await self._measured(model, name.number, wanted)
        references: dict[str, Measured | None] = {}
        numbers: dict[str, int] = {}
        for alias in reference_aliases(policy):
            number = numbers[alias] = model.number_of(alias)
            references[alias] = await self._measured(model, number, wanted) if number else None
        results = await in_thread(evaluate, policy, candidate, references)
        verdict = Verdict(
            id=random_id(),
            uid=model.uid,
            number=name.number,
            policy_revision=policy.revision,
            passed=all(result.outcome is not Outcome.FAILED for result in results),
            results=tuple(results),
            references=numbers,
            evaluations=tuple(evaluation.id for evaluation in evaluations),
            creator=by,
            create_us=self._clock.now_us(),
        )
        event = new_event(
            EventType.VERDICT_GIVEN,
            model,
            by,
            verdict.create_us,
            version=name.number,
            verdict=verdict.id,
            passed=verdict.passed,
        )
        await self._gates.add_verdict(model, verdict, event)
        return verdict

    async def get_verdict(self, name: ModelName, verdict_id: str) -> Verdict:
        """Returns a verdict. Raises `ModelNotFound`, `VerdictNotFound`."""
        return await self._gates.verdict(await self._model(name), verdict_id)

    async def list_verdicts(
        self, name: ModelName, number: int, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Verdict], bytes | None]:
        """Returns verdicts, newest first, and where to go on. Raises `ModelNotFound`."""
        return await self._gates.verdicts(await self._model(name), number, limit=limit, cursor=cursor)

    async def approve(self, name: ModelVersionName, alias: str, *, comment: str, by: str) -> Approval:
        """Agrees that an alias is moved to a version. Raises `ModelNotFound`, `VersionNotFound`, `AliasReserved`."""
        check_alias(alias)
        model = await self._model(name.model)
        await self._store.version(model, name.number)
        target = model.aliases.get(alias)
        approval = Approval(
            uid=model.uid,
            number=name.number,
            alias=alias,
            principal=by,
            comment=comment,
            create_us=self._clock.now_us(),
            move_us=target.move_us if target else 0,
            policy_revision=model.policy_revision,
        )
        event = new_event(
            EventType.APPROVAL_GIVEN,
            model,
            by,
            approval.create_us,
            version=name.number,
            alias=alias,
            reason=comment,
        )
        await self._gates.put_approval(model, approval, event)
        return approval

    async def list_approvals(self, name: ModelVersionName, alias: str) -> list[Approval]:
        """Returns the approvals that hold now, oldest first. Raises `ModelNotFound`, `VersionNotFound`."""
        model = await self._model(name.model)
        await self._store.version(model, name.number)
        return [one for one in await self._gates.approvals(model, name.number) if not alias or one.alias == alias]

    async def promote(
        self, name: ModelVersionName, alias: str, *, reason: str, expected: int | None, by: str
    ) -> AliasTarget:
        """Points an alias to a version, if the policy allows it.

        Raises `ModelNotFound`, `VersionNotFound`, `AliasReserved`, `AliasMoved`, `GateNotPassed`, `ApprovalsMissing`,
        `AliasLimitReached`, `EtagMismatch`.
        """
        check_alias(alias)

        async def step(model: Model) -> Step:
            check_expected(model, alias, expected)
            await self._store.version(model, name.number)
            if model.number_of(alias) == name.number:
                return Step(model)
            verdict, approvers = "", list[str]()
            protection = model.protections.get(alias)
            if protection is not None:
                verdict = await self._allowing_verdict(model, name.number, protection)
                approvers = await self._approvers(model, name.number, alias, protection, by)
            return moved_alias(
                model,
                alias,
                name.number,
                now_us=self._clock.now_us(),
                by=by,
                reason=reason,
                verdict=verdict,
                approvers=approvers,
            )

        stored = await self._store.change_model(name.model.project, name.model.model_id, step)
        return stored.value.aliases[alias]

    async def _allowing_verdict(self, model: Model, number: int, protection: Protection) -> str:
        """The id of the verdict that allows a promotion, empty if none is needed. Raises `GateNotPassed`."""
        if not protection.gate_required:
            return ""
        verdicts, _ = await self._gates.verdicts(model, number, limit=1)
        latest = verdicts[0] if verdicts else None
        problem = verdict_problem(latest, model)
        if latest is None or problem:
            raise GateNotPassed(f"Version {number} of {model.model_id!r} cannot be promoted. {problem}")
        return latest.id

    async def _approvers(self, model: Model, number: int, alias: str, protection: Protection, by: str) -> list[str]:
        """Who else approved. Raises `ApprovalsMissing`."""
        given = [
            approval.principal
            for approval in await self._gates.approvals(model, number)
            if approval.alias == alias and approval.principal != by
        ]
        needed = protection.approvals_required
        if len(given) < needed:
            raise ApprovalsMissing(
                f"Moving {alias!r} needs {needed} approvals of others, and has {len(given)}: "
                f"`penstock gate approve {model.model_id}/{number} {alias}`.",
                needed=str(needed),
                given=str(len(given)),
            )
        return given

    async def _gate(self, model: Model, policy: GatePolicy) -> Gate:
        verdicts, _ = await self._gates.verdicts(model, 0, limit=VERDICTS_PER_GATE_MAX)
        return Gate(
            model,
            policy,
            tuple(replace(verdict, results=tuple(verdict.failed[:RESULTS_PER_VERDICT_MAX])) for verdict in verdicts),
            tuple(await self._gates.waiting_approvals(model)),
        )

    async def _evaluations(self, model: Model, number: int) -> list[Evaluation]:
        return (await self._gates.evaluations(model, number, limit=EVALUATIONS_PER_VERSION_MAX))[0]

    async def _measured(self, model: Model, number: int, sampled: set[str]) -> Measured:
        """What was measured of a version: of each metric and slice what was told last, of some metrics with samples."""
        version = (await self._store.version(model, number)).value
        metrics: dict[tuple[str, str], Metric] = {}

        def needed(told: Sequence[Metric]) -> bool:
            return any(metric.key in sampled and (metric.key, metric.slice) not in metrics for metric in told)

        def take(told: Sequence[Metric]) -> None:
            for metric in told:
                metrics.setdefault((metric.key, metric.slice), metric)

        for evaluation in await self._evaluations(model, number):
            if needed(evaluation.metrics):
                take(await self._gates.metrics_with_samples(model, evaluation))
            take(evaluation.metrics)
        if needed(version.metrics):
            take(await self._store.metrics_with_samples(version))
        take(version.metrics)
        return Measured(version, metrics)

    async def _model(self, name: ModelName) -> Model:
        return (await self._store.model(name.project, name.model_id)).value
