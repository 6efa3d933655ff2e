"""Policies, evaluations, verdicts and approvals as documents, in the partition of the project, under the uid of the model.

A change of the policy is a change of the model too: its record says which aliases are protected, so that no move can miss it.
"""

from collections.abc import Sequence
from typing import Final

from penstock_kit.stores.documents import (
    Collection,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    DocumentTooLarge,
    Index,
    Insert,
    Operation,
    Replace,
    UniqueConflict,
    VersionConflict,
)
from penstock_registry.bodies import samples_body, with_samples
from penstock_registry.domain import Event, Metric, Model
from penstock_registry.errors import EtagMismatch, PolicyNotFound, VerdictNotFound, VersionTooLarge
from penstock_registry.gates import bodies
from penstock_registry.gates.domain import Approval, Evaluation, GatePolicy, Verdict
from penstock_registry.store import event_operation

__all__ = ["GATE_COLLECTIONS", "GateStore", "add_policy"]

POLICIES: Final = "policies"
EVALUATIONS: Final = "evaluations"
SAMPLES: Final = "evaluation_samples"
VERDICTS: Final = "verdicts"
APPROVALS: Final = "approvals"
APPROVALS_MAX: Final = 1_000
APPROVALS_LISTED_MAX: Final = 200  # of a model; a list of gates asks for those of each
WRITE_ATTEMPTS_MAX: Final = 20

# Each has the index `model`, by which `RegistryStore.finish_deletion` finds what belonged to a deleted model.
GATE_COLLECTIONS: Final = (
    Collection(POLICIES, (Index("model", ("uid",)),)),
    Collection(
        EVALUATIONS,
        (
            Index("model", ("uid",)),
            Index("version", ("uid", "number", "create_us")),
            Index("creation", ("creation",), unique=True),
        ),
    ),
    Collection(SAMPLES, (Index("model", ("uid",)),)),
    Collection(VERDICTS, (Index("model", ("uid", "create_us")), Index("version", ("uid", "number", "create_us")))),
    Collection(APPROVALS, (Index("model", ("uid",)), Index("version", ("uid", "number", "create_us")))),
)


class GateStore:
    """What gates keep.

    Args:
        documents: A store opened with `GATE_COLLECTIONS`, among others.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def policy(self, model: Model, revision: int = 0) -> GatePolicy:
        """Returns a revision of the policy of a model, 0 means the current one. Raises `PolicyNotFound`."""
        wanted = revision or model.policy_revision
        try:
            document = await self._documents.get(POLICIES, model.project, _policy_id(model, wanted))
        except DocumentMissing:
            which = f"no revision {wanted} of a gate policy" if wanted else "no gate policy"
            raise PolicyNotFound(f"The model {model.model_id!r} has {which}.") from None
        return bodies.policy_of(document.body)

    async def policies(self, project: str, models: Sequence[Model]) -> list[GatePolicy | None]:
        """Returns the current policies of models; None of one that was deleted meanwhile."""
        ids = [_policy_id(model, model.policy_revision) for model in models]
        found = await self._documents.get_many(POLICIES, project, ids)
        return [bodies.policy_of(found[one].body) if one in found else None for one in ids]

    async def add_evaluation(self, model: Model, evaluation: Evaluation) -> Evaluation:
        """Adds an evaluation. Returns the one that the same create made before, if it did. Raises `VersionTooLarge`."""
        operations: list[Operation] = [Insert(EVALUATIONS, evaluation.id, bodies.evaluation_body(evaluation))]
        if evaluation.has_samples:
            body = {"uid": model.uid, "samples": samples_body(evaluation.metrics)}
            operations.append(Insert(SAMPLES, evaluation.id, body))
        try:
            await self._documents.apply(model.project, operations)
        except UniqueConflict:
            page = await self._documents.query(
                EVALUATIONS, model.project, "creation", equal=(evaluation.creation,), limit=1
            )
            return _evaluation(page.documents[0])
        except DocumentTooLarge:
            raise VersionTooLarge("The evaluation would be too large: record fewer samples at once.") from None
        return evaluation

    async def evaluations(
        self, model: Model, number: int, *, limit: int, cursor: bytes | None = None
    ) -> tuple[list[Evaluation], bytes | None]:
        """Returns evaluations of a version, newest first, and where to go on."""
        page = await self._documents.query(
            EVALUATIONS,
            model.project,
            "version",
            equal=(model.uid, number),
            descending=True,
            limit=limit,
            cursor=cursor,
        )
        return [_evaluation(document) for document in page.documents], page.cursor

    async def metrics_with_samples(self, model: Model, evaluation: Evaluation) -> tuple[Metric, ...]:
        """Returns the metrics of an evaluation with their samples."""
        if not evaluation.has_samples:
            return evaluation.metrics
        document = await self._documents.get(SAMPLES, model.project, evaluation.id)
        return with_samples(evaluation.metrics, document.body)

    async def add_verdict(self, model: Model, verdict: Verdict, event: Event) -> None:
        """Adds a verdict."""
        await self._documents.apply(
            model.project,
            [Insert(VERDICTS, verdict.id, bodies.verdict_body(verdict)), event_operation(event)],
        )

    async def verdict(self, model: Model, verdict_id: str) -> Verdict:
        """Returns a verdict. Raises `VerdictNotFound`."""
        try:
            document = await self._documents.get(VERDICTS, model.project, verdict_id)
        except DocumentMissing:
            document = None
        if document is None or document.body["uid"] != model.uid:
            raise VerdictNotFound(f"There is no verdict {verdict_id} about {model.model_id!r}.")
        return bodies.verdict_of(document.id, document.body)

    async def verdicts(
        self, model: Model, number: int, *, limit: int, cursor: bytes | None = None
    ) -> tuple[list[Verdict], bytes | None]:
        """Returns verdicts about a model, newest first, and where to go on. A number of 0 means about all its versions."""
        index, equal = ("version", (model.uid, number)) if number else ("model", (model.uid,))
        page = await self._documents.query(
            VERDICTS, model.project, index, equal=equal, descending=True, limit=limit, cursor=cursor
        )
        return [bodies.verdict_of(document.id, document.body) for document in page.documents], page.cursor

    async def put_approval(self, model: Model, approval: Approval, event: Event) -> None:
        """Adds an approval, in place of one that the same principal gave for the same alias and version."""
        approval_id = f"{approval.uid}/{approval.number:09d}/{approval.alias}/{approval.principal}"
        body = bodies.approval_body(approval)
        for _ in range(WRITE_ATTEMPTS_MAX):
            found = await self._documents.get_many(APPROVALS, model.project, [approval_id])
            operation: Operation = Insert(APPROVALS, approval_id, body)
            if approval_id in found:
                operation = Replace(APPROVALS, approval_id, body, found[approval_id].version)
            try:
                await self._documents.apply(model.project, [operation, event_operation(event)])
            except (DocumentExists, DocumentMissing, VersionConflict):
                continue  # the same principal, at the same moment
            return
        raise EtagMismatch("The approval is being given by too many calls at once; try again.")

    async def approvals(self, model: Model, number: int) -> list[Approval]:
        """Returns the approvals of a version that hold now, oldest first."""
        page = await self._documents.query(
            APPROVALS, model.project, "version", equal=(model.uid, number), limit=APPROVALS_MAX
        )
        given = [bodies.approval_of(document.body) for document in page.documents]
        return [approval for approval in given if approval.holds(model)]

    async def waiting_approvals(self, model: Model) -> list[Approval]:
        """Returns the approvals for protected aliases that hold now, of versions they do not point to yet, oldest first.

        They are looked for among the `APPROVALS_LISTED_MAX` of the versions with the highest numbers.
        """
        page = await self._documents.query(
            APPROVALS, model.project, "model", equal=(model.uid,), descending=True, limit=APPROVALS_LISTED_MAX
        )
        given = [bodies.approval_of(document.body) for document in page.documents]
        waiting = [
            approval
            for approval in given
            if approval.alias in model.protections
            and model.number_of(approval.alias) != approval.number
            and approval.holds(model)
        ]
        return sorted(waiting, key=lambda approval: approval.create_us)


def add_policy(model: Model, policy: GatePolicy) -> Sequence[Operation]:
    """Adds a revision of the policy of a model; goes with the change of the model."""
    return [Insert(POLICIES, _policy_id(model, policy.revision), bodies.policy_body(policy, model.uid))]


def _policy_id(model: Model, revision: int) -> str:
    return f"{model.uid}/{revision:09d}"


def _evaluation(document: Document) -> Evaluation:
    return bodies.evaluation_of(document.id, document.body)
