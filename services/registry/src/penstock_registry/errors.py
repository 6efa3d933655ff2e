"""What can go wrong in the registry, in its own words. `penstock_kit.errors` says which gRPC code each family becomes."""

from penstock_kit.errors import (
    Aborted,
    AlreadyExists,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
)

__all__ = [
    "AliasLimitReached",
    "AliasMoved",
    "AliasNotFound",
    "AliasProtected",
    "AliasReserved",
    "ApprovalsMissing",
    "BaselineNotFound",
    "CursorInvalid",
    "DeliveryNotFound",
    "EtagMismatch",
    "EvaluationLimitReached",
    "FieldInvalid",
    "GateNotPassed",
    "GateTooCostly",
    "ModelExists",
    "ModelNotFound",
    "ModelTooLarge",
    "PolicyNotFound",
    "TargetForbidden",
    "TooManyTags",
    "TooManyVersions",
    "VerdictNotFound",
    "VersionHasAliases",
    "VersionLimitReached",
    "VersionNotFound",
    "VersionTooLarge",
    "WebhookDisabled",
    "WebhookLimitReached",
    "WebhookNotFound",
]


class ModelNotFound(NotFound):
    """There is no such model."""

    reason = "MODEL_NOT_FOUND"


class VersionNotFound(NotFound):
    """The model has no such version, or it was deleted."""

    reason = "VERSION_NOT_FOUND"


class AliasNotFound(NotFound):
    """The model has no such alias."""

    reason = "ALIAS_NOT_FOUND"


class BaselineNotFound(NotFound):
    """The version was registered without a baseline."""

    reason = "BASELINE_NOT_FOUND"


class PolicyNotFound(NotFound):
    """The model has no gate policy, or not this revision of it."""

    reason = "POLICY_NOT_FOUND"


class VerdictNotFound(NotFound):
    """There is no such verdict."""

    reason = "VERDICT_NOT_FOUND"


class WebhookNotFound(NotFound):
    """There is no such webhook."""

    reason = "WEBHOOK_NOT_FOUND"


class DeliveryNotFound(NotFound):
    """The webhook has no such delivery."""

    reason = "DELIVERY_NOT_FOUND"


class ModelExists(AlreadyExists):
    """Another model of the project has the name."""

    reason = "MODEL_EXISTS"


class EtagMismatch(Aborted):
    """The resource changed since it was read."""

    reason = "ETAG_MISMATCH"


class AliasMoved(Aborted):
    """The alias does not point where the caller thinks. Metadata: `version`, the number it points to, 0 for none."""

    reason = "ALIAS_MOVED"


class AliasProtected(PreconditionFailed):
    """Only a promotion moves this alias."""

    reason = "ALIAS_PROTECTED"


class GateNotPassed(PreconditionFailed):
    """No verdict allows the promotion."""

    reason = "GATE_NOT_PASSED"


class ApprovalsMissing(PreconditionFailed):
    """Others have to approve the promotion. Metadata: `needed`, `given`."""

    reason = "APPROVALS_MISSING"


class WebhookDisabled(PreconditionFailed):
    """The webhook does not fire."""

    reason = "WEBHOOK_DISABLED"


class VersionHasAliases(PreconditionFailed):
    """Aliases point to the version. Metadata: `aliases`."""

    reason = "VERSION_HAS_ALIASES"


class AliasReserved(InvalidInput):
    """The alias means something of its own."""

    reason = "ALIAS_RESERVED"


class FieldInvalid(InvalidInput):
    """A field of the request breaks a rule that the contract states in words."""

    reason = "FIELD_INVALID"


class CursorInvalid(InvalidInput):
    """A cursor is damaged."""

    reason = "CURSOR_INVALID"


class TargetForbidden(InvalidInput):
    """A webhook may not go there."""

    reason = "TARGET_FORBIDDEN"


class AliasLimitReached(LimitExceeded):
    """The model has `ALIASES_PER_MODEL_MAX` aliases."""

    reason = "ALIAS_LIMIT_REACHED"


class EvaluationLimitReached(LimitExceeded):
    """The version has `EVALUATIONS_PER_VERSION_MAX` evaluations."""

    reason = "EVALUATION_LIMIT_REACHED"


class GateTooCostly(LimitExceeded):
    """The checks would take too long, or have too many results."""

    reason = "GATE_TOO_COSTLY"


class TooManyTags(LimitExceeded):
    """A model or version would have more than `TAGS_MAX` tags."""

    reason = "TOO_MANY_TAGS"


class TooManyVersions(LimitExceeded):
    """The call would change more than `STAGE_CHANGES_MAX` versions."""

    reason = "TOO_MANY_VERSIONS"


class WebhookLimitReached(LimitExceeded):
    """The project has `WEBHOOKS_PER_PROJECT_MAX` webhooks."""

    reason = "WEBHOOK_LIMIT_REACHED"


class VersionLimitReached(LimitExceeded):
    """The model has had `VERSIONS_PER_MODEL_MAX` versions."""

    reason = "VERSION_LIMIT_REACHED"


class ModelTooLarge(LimitExceeded):
    """The record of a model, with all its tags, would be larger than a store takes."""

    reason = "MODEL_TOO_LARGE"


class VersionTooLarge(LimitExceeded):
    """The record of a version would be larger than a store takes."""

    reason = "VERSION_TOO_LARGE"
