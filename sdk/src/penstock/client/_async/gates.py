"""What a client asks of the registry service about quality gates: policies, evaluations, verdicts, approvals, promotion."""

from collections.abc import Mapping, Sequence

from penstock.api.registry.v1 import gate_pb2, model_pb2, registry_service_pb2
from penstock.client import records
from penstock.client._async.models import AsyncModels
from penstock.client._async.paging import AsyncPages
from penstock.client.names import model_name, project_name

__all__ = ["AsyncGates"]

GATE_TIMEOUT_S = 120.0
"""The deadline of a check, which may have many samples to resample."""


class AsyncGates(AsyncModels):
    """The part of a client that decides which version an alias may point to.

    Models and versions are given as in the part for models.
    """

    async def gate_policy(self, model: str, *, project: str = "default", revision: int = 0) -> gate_pb2.GatePolicy:
        """The gate policy of a model, or an older revision of it. Raises `NotFound`."""
        response = await self.registry.GetGatePolicy(
            registry_service_pb2.GetGatePolicyRequest(
                name=f"{model_name(model, project)}/gatePolicy", revision=revision
            )
        )
        return response.policy

    async def set_gate_policy(
        self, model: str, policy: gate_pb2.GatePolicy, *, project: str = "default"
    ) -> gate_pb2.GatePolicy:
        """Makes a policy the next revision of that of a model. With an etag, only if the model still has that revision.

        Raises:
            NotFound: There is no such model.
            InvalidInput: The policy makes no sense.
            Conflict: It changed since it was read.
        """
        whole = gate_pb2.GatePolicy()
        whole.CopyFrom(policy)
        whole.name = f"{model_name(model, project)}/gatePolicy"
        response = await self.registry.SetGatePolicy(registry_service_pb2.SetGatePolicyRequest(policy=whole))
        return response.policy

    def gates(self, project: str = "default", *, limit: int | None = None) -> AsyncPages[gate_pb2.Gate]:
        """The models of a project that have a gate policy, each with its newest verdicts and the approvals that wait.

        Those whose policy was changed most often come first.
        """
        parent = project_name(project)

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[gate_pb2.Gate], str]:
            response = await self.registry.ListGates(
                registry_service_pb2.ListGatesRequest(
                    parent=parent, page_size=min(page_size, 50), page_token=page_token
                )
            )
            return response.gates, response.next_page_token

        return AsyncPages(fetch, records.gate_record, ["model", "revision"], limit)

    async def record_evaluation(
        self,
        version: str,
        metrics: Mapping[str, float] | Sequence[model_pb2.ModelMetric],
        *,
        project: str = "default",
        dataset: model_pb2.ModelDataset | None = None,
        request_id: str = "",
    ) -> gate_pb2.Evaluation:
        """Records what was measured of a version. Of each metric and slice the newest value counts.

        Args:
            version: The version.
            metrics: Values by key, or metrics with slices and samples.
            project: The project.
            dataset: What it was measured on.
            request_id: Makes a repeat safe: at most 64 characters, unique per evaluation.

        Raises:
            NotFound: There is no such version.
            LimitExceeded: The version has 100 evaluations.
        """
        name = (await self.model_version(version, project=project)).name
        told = (
            [model_pb2.ModelMetric(key=key, value=value) for key, value in metrics.items()]
            if isinstance(metrics, Mapping)
            else metrics
        )
        response = await self.registry.RecordEvaluation(
            registry_service_pb2.RecordEvaluationRequest(
                parent=name, evaluation=gate_pb2.Evaluation(metrics=told, dataset=dataset), request_id=request_id
            )
        )
        return response.evaluation

    async def check_gate(self, version: str, *, project: str = "default") -> gate_pb2.Verdict:
        """Checks a version against the gate policy of its model, and keeps the verdict.

        `penstock.client.verdicts` shows it as text, Markdown or JUnit.

        Raises:
            NotFound: There is no such version, or its model has no policy.
        """
        name = (await self.model_version(version, project=project)).name
        response = await self.registry.CheckGate(
            registry_service_pb2.CheckGateRequest(name=name), timeout=GATE_TIMEOUT_S
        )
        return response.verdict

    def verdicts(
        self, model: str, *, project: str = "default", version: int = 0, limit: int | None = None
    ) -> AsyncPages[gate_pb2.Verdict]:
        """The verdicts about a model, newest first.

        Args:
            model: The model.
            project: The project.
            version: Only those about the version of this number; 0 means about all.
            limit: How many at most; None means all.
        """
        parent = model_name(model, project)

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[gate_pb2.Verdict], str]:
            response = await self.registry.ListVerdicts(
                registry_service_pb2.ListVerdictsRequest(
                    parent=parent, version=version, page_size=min(page_size, 100), page_token=page_token
                )
            )
            return response.verdicts, response.next_page_token

        return AsyncPages(fetch, records.verdict_record, ["name", "version", "passed"], limit)

    async def approve_promotion(
        self, version: str, alias: str, *, project: str = "default", comment: str = ""
    ) -> gate_pb2.Approval:
        """Agrees that an alias is moved to a version. It holds until the alias moves or the policy changes.

        Raises:
            NotFound: There is no such version.
            PermissionDenied: The caller may not promote.
        """
        name = (await self.model_version(version, project=project)).name
        response = await self.registry.ApprovePromotion(
            registry_service_pb2.ApprovePromotionRequest(name=name, alias=alias, comment=comment)
        )
        return response.approval

    async def promote(
        self,
        version: str,
        alias: str,
        *,
        project: str = "default",
        reason: str = "",
        expected_version: int | None = None,
    ) -> model_pb2.ModelAlias:
        """Points an alias to a version, protected or not, if the gate policy allows it.

        Args:
            version: The version.
            alias: The alias.
            project: The project.
            reason: Why, for the history.
            expected_version: If given, it must still point to the version of this number, 0 for none.

        Raises:
            NotFound: There is no such version.
            Conflict: No verdict allows it (reason GATE_NOT_PASSED), others have to approve (APPROVALS_MISSING), or the alias
                does not point where it is expected to (ALIAS_MOVED).
            PermissionDenied: The caller may not promote.
        """
        name = (await self.model_version(version, project=project)).name
        response = await self.registry.PromoteModelVersion(
            registry_service_pb2.PromoteModelVersionRequest(
                name=name, alias=alias, reason=reason, expected_version=expected_version
            )
        )
        return response.alias
