"""Owns what a gate is about: policies and checks, evaluations, verdicts, approvals. Knows nothing of gRPC or storage."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from penstock_registry.domain import Dataset, Metric, Model, Protection, alias_reserved, twice

__all__ = [
    "EVALUATIONS_PER_VERSION_MAX",
    "LATENCY_METRIC",
    "Approval",
    "Check",
    "CheckResult",
    "DeltaCheck",
    "Evaluation",
    "Gate",
    "GatePolicy",
    "LatencyCheck",
    "Outcome",
    "SignatureCheck",
    "SizeCheck",
    "ThresholdCheck",
    "Verdict",
    "policy_problem",
    "reference_aliases",
    "sampled_metrics",
    "verdict_problem",
]

EVALUATIONS_PER_VERSION_MAX = 100
LATENCY_METRIC = "latency_ms"
EVERY_SLICE = "*"


@dataclass(frozen=True, slots=True)
class ThresholdCheck:
    """A metric is within bounds; None where there is no bound. `slices` empty means all data."""

    id: str
    metric: str
    slices: tuple[str, ...]
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class DeltaCheck:
    """A metric is at most `regression_max` worse than that of the version an alias points to, as sure as `confidence`."""

    id: str
    metric: str
    slices: tuple[str, ...]
    alias: str
    higher_is_better: bool
    regression_max: float
    confidence: float
    samples_required: bool


@dataclass(frozen=True, slots=True)
class LatencyCheck:
    """A percentile of the samples of `LATENCY_METRIC` is at most `max_ms`."""

    id: str
    percentile: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class SizeCheck:
    """The files take at most `max_bytes`."""

    id: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Clients of the version an alias points to can use this one."""

    id: str
    alias: str


Check = ThresholdCheck | DeltaCheck | LatencyCheck | SizeCheck | SignatureCheck


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """A revision of a policy. `protections` are by alias."""

    revision: int
    checks: tuple[Check, ...]
    protections: Mapping[str, Protection]
    description: str
    creator: str
    create_us: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of a version after it was registered. Samples are kept apart: empty unless they were asked for."""

    id: str
    uid: str
    number: int
    metrics: tuple[Metric, ...]
    dataset: Dataset | None
    creator: str
    create_us: int
    creation: str = ""
    has_samples: bool = False


class Outcome(IntEnum):
    """How a check ended. The values are those of the contract."""

    PASSED = 1
    FAILED = 2
    SKIPPED = 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found, of one slice. None and 0 where there is nothing to say."""

    check: str
    outcome: Outcome
    message: str
    metric: str = ""
    slice: str = ""
    value: float | None = None
    reference: float | None = None
    reference_number: int = 0
    improvement: float | None = None
    improvement_low: float | None = None
    improvement_high: float | None = None
    paired: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy said of a version. `references` are the numbers that aliases pointed to then, `evaluations` ids."""

    id: str
    uid: str
    number: int
    policy_revision: int
    passed: bool
    results: tuple[CheckResult, ...]
    references: Mapping[str, int]
    evaluations: tuple[str, ...]
    creator: str
    create_us: int

    @property
    def failed(self) -> list[CheckResult]:
        """The results that kept it from passing."""
        return [result for result in self.results if result.outcome is Outcome.FAILED]


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody's agreement that an alias is moved to a version.

    It holds as long as the alias and the policy are as they were: `move_us` is when the alias was moved last before (0 if it
    did not exist), `policy_revision` that of the policy.
    """

    uid: str
    number: int
    alias: str
    principal: str
    comment: str
    create_us: int
    move_us: int
    policy_revision: int

    def holds(self, model: Model) -> bool:
        """Whether alias and policy are still as they were."""
        target = model.aliases.get(self.alias)
        return self.policy_revision == model.policy_revision and self.move_us == (target.move_us if target else 0)


@dataclass(frozen=True, slots=True)
class Gate:
    """A model with its policy, the newest verdicts about its versions, and the approvals that wait for others."""

    model: Model
    policy: GatePolicy
    verdicts: tuple[Verdict, ...]
    approvals: tuple[Approval, ...]


def policy_problem(policy: GatePolicy) -> str:
    """What is wrong with a policy that is to be set, in a sentence; empty if nothing is."""
    if (check_id := twice(check.id for check in policy.checks)) is not None:
        return f"Two checks have the id {check_id!r}."
    for check in policy.checks:
        if isinstance(check, ThresholdCheck) and check.min is None and check.max is None:
            return f"The check {check.id!r} has no bound."
        if isinstance(check, DeltaCheck | SignatureCheck) and alias_reserved(check.alias):
            return f"The check {check.id!r} compares with {check.alias!r}, which is no alias that can be moved."
    for alias in policy.protections:
        if alias_reserved(alias):
            return f"{alias!r} is no alias that can be moved, so it needs no protection."
    return ""


def sampled_metrics(policy: GatePolicy) -> set[str]:
    """The metrics of which the checks look at samples."""
    found = {check.metric for check in policy.checks if isinstance(check, DeltaCheck)}
    if any(isinstance(check, LatencyCheck) for check in policy.checks):
        found.add(LATENCY_METRIC)
    return found


def reference_aliases(policy: GatePolicy) -> list[str]:
    """The aliases whose versions the checks compare with."""
    return sorted({check.alias for check in policy.checks if isinstance(check, DeltaCheck | SignatureCheck)})


def verdict_problem(verdict: Verdict | None, model: Model) -> str:
    """Why a verdict does not allow a promotion now, in a sentence; empty if it does."""
    if verdict is None:
        return "No gate has checked it yet: run one with `penstock gate check`."
    if verdict.policy_revision != model.policy_revision:
        return "The gate policy changed since it was checked: check it again."
    if not verdict.passed:
        failed = sorted({result.check for result in verdict.failed})
        return f"It did not pass the gate: {', '.join(failed)}."
    moved = [alias for alias, number in verdict.references.items() if model.number_of(alias) != number]
    if moved:
        return f"It was compared with another version than {moved[0]!r} points to now: check it again."
    return ""
