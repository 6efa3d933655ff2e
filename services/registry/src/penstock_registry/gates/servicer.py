"""The gRPC face of gates: unpack, call, pack."""

from typing import Any, Final

from penstock.api.registry.v1 import registry_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.names import ModelAliasName, ModelName, ModelVersionName, ProjectName
from penstock_registry.acting import acting
from penstock_registry.convert import alias_message, dataset_from_message, metrics_from_messages
from penstock_registry.gates import convert
from penstock_registry.gates.service import GateService

__all__ = ["GateServicer"]

PAGE_SIZE_DEFAULT: Final = 10
PAGE_SIZE_MAX: Final = 100
GATES_PER_PAGE: Final = 20
GATES_PER_PAGE_MAX: Final = 50


class GateServicer:
    """The part of `RegistryService` that is about gates. Each method is the RPC of its name."""

    def __init__(self, gates: GateService) -> None:
        self._gates = gates

    async def SetGatePolicy(self, request: pb.SetGatePolicyRequest, context: Any) -> pb.SetGatePolicyResponse:
        name = convert.parse_policy_name(request.policy.name)
        policy = await self._gates.set_policy(
            name, convert.policy_from_message(request.policy), etag=request.policy.etag, by=acting(context)
        )
        return pb.SetGatePolicyResponse(policy=convert.policy_message(name, policy))

    async def GetGatePolicy(self, request: pb.GetGatePolicyRequest, context: Any) -> pb.GetGatePolicyResponse:
        name = convert.parse_policy_name(request.name)
        policy = await self._gates.get_policy(name, request.revision)
        return pb.GetGatePolicyResponse(policy=convert.policy_message(name, policy))

    async def ListGates(self, request: pb.ListGatesRequest, context: Any) -> pb.ListGatesResponse:
        parent = ProjectName.parse(request.parent)
        digest = paging.fingerprint(request)
        gates, cursor = await self._gates.list_gates(
            parent,
            limit=paging.page_size(request.page_size, GATES_PER_PAGE, GATES_PER_PAGE_MAX),
            cursor=paging.place(request.page_token, digest, bytes),
        )
        return pb.ListGatesResponse(
            gates=[convert.gate_message(gate) for gate in gates],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def RecordEvaluation(self, request: pb.RecordEvaluationRequest, context: Any) -> pb.RecordEvaluationResponse:
        parent = ModelVersionName.parse(request.parent)
        given = request.evaluation
        evaluation = await self._gates.record_evaluation(
            parent,
            metrics_from_messages(given.metrics),
            dataset_from_message(given.dataset) if given.HasField("dataset") else None,
            request_id=request.request_id,
            by=acting(context),
        )
        return pb.RecordEvaluationResponse(evaluation=convert.evaluation_message(parent, evaluation))

    async def ListEvaluations(self, request: pb.ListEvaluationsRequest, context: Any) -> pb.ListEvaluationsResponse:
        parent = ModelVersionName.parse(request.parent)
        digest = paging.fingerprint(request)
        evaluations, cursor = await self._gates.list_evaluations(
            parent, limit=_page_size(request.page_size), cursor=paging.place(request.page_token, digest, bytes)
        )
        return pb.ListEvaluationsResponse(
            evaluations=[convert.evaluation_message(parent, evaluation) for evaluation in evaluations],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def CheckGate(self, request: pb.CheckGateRequest, context: Any) -> pb.CheckGateResponse:
        name = ModelVersionName.parse(request.name)
        verdict = await self._gates.check(name, by=acting(context))
        return pb.CheckGateResponse(verdict=convert.verdict_message(name.model, verdict))

    async def GetVerdict(self, request: pb.GetVerdictRequest, context: Any) -> pb.GetVerdictResponse:
        name, verdict_id = convert.parse_verdict_name(request.name)
        verdict = await self._gates.get_verdict(name, verdict_id)
        return pb.GetVerdictResponse(verdict=convert.verdict_message(name, verdict))

    async def ListVerdicts(self, request: pb.ListVerdictsRequest, context: Any) -> pb.ListVerdictsResponse:
        parent = ModelName.parse(request.parent)
        digest = paging.fingerprint(request)
        verdicts, cursor = await self._gates.list_verdicts(
            parent,
            request.version,
            limit=_page_size(request.page_size),
            cursor=paging.place(request.page_token, digest, bytes),
        )
        return pb.ListVerdictsResponse(
            verdicts=[convert.verdict_message(parent, verdict) for verdict in verdicts],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def ApprovePromotion(self, request: pb.ApprovePromotionRequest, context: Any) -> pb.ApprovePromotionResponse:
        name = ModelVersionName.parse(request.name)
        approval = await self._gates.approve(name, request.alias, comment=request.comment, by=acting(context))
        return pb.ApprovePromotionResponse(approval=convert.approval_message(name.model, approval))

    async def ListApprovals(self, request: pb.ListApprovalsRequest, context: Any) -> pb.ListApprovalsResponse:
        name = ModelVersionName.parse(request.name)
        approvals = await self._gates.list_approvals(name, request.alias)
        return pb.ListApprovalsResponse(
            approvals=[convert.approval_message(name.model, approval) for approval in approvals]
        )

    async def PromoteModelVersion(
        self, request: pb.PromoteModelVersionRequest, context: Any
    ) -> pb.PromoteModelVersionResponse:
        name = ModelVersionName.parse(request.name)
        alias = ModelAliasName(name.model, request.alias)
        target = await self._gates.promote(
            name,
            alias.alias,
            reason=request.reason,
            expected=request.expected_version if request.HasField("expected_version") else None,
            by=acting(context),
        )
        return pb.PromoteModelVersionResponse(alias=alias_message(name.model, alias.alias, target))


def _page_size(requested: int) -> int:
    return paging.page_size(requested, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
