"""Owns what webhooks are: what fires them, when a delivery is tried again, and when it is given up.

Knows nothing of gRPC, HTTP or storage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from penstock_registry.domain import Event, EventType
from penstock_registry.events import mlflow

__all__ = [
    "ATTEMPTS_MAX",
    "CHAIN_LENGTH_DEFAULT",
    "DELIVERY_TIMEOUT_S",
    "ERROR_CHARS_MAX",
    "RETRY_AFTER_S_MAX",
    "RETRY_DELAYS_S",
    "SECRET_OVERLAP_S",
    "WEBHOOKS_PER_PROJECT_MAX",
    "Attempt",
    "ConcurrencyKey",
    "Delivery",
    "DeliveryState",
    "GitHubTarget",
    "GitLabTarget",
    "HttpTarget",
    "JenkinsTarget",
    "MlflowTarget",
    "Target",
    "Webhook",
]

WEBHOOKS_PER_PROJECT_MAX = 100
CHAIN_LENGTH_DEFAULT = 3
SECRET_OVERLAP_S = 86_400
DELIVERY_TIMEOUT_S = 15.0
RETRY_DELAYS_S = (5, 30, 120, 300, 900, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400)
"""After the first, the second, ... attempt that failed; each varied by a fifth."""
ATTEMPTS_MAX = len(RETRY_DELAYS_S) + 1
RETRY_AFTER_S_MAX = 86_400
ERROR_CHARS_MAX = 1_000
HTTP_GONE = 410


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A server of one's own."""

    url: str


@dataclass(frozen=True, slots=True)
class GitHubTarget:
    """A workflow of GitHub Actions. The token is sealed, as are those of the others."""

    api_url: str
    repository: str
    workflow: str
    ref: str
    token: str


@dataclass(frozen=True, slots=True)
class GitLabTarget:
    """A pipeline of GitLab CI."""

    url: str
    project: str
    ref: str
    token: str


@dataclass(frozen=True, slots=True)
class JenkinsTarget:
    """A job of Jenkins."""

    job_url: str
    user: str
    token: str


@dataclass(frozen=True, slots=True)
class MlflowTarget:
    """A server of one's own that takes the webhooks of MLflow: those of some of its events."""

    url: str
    events: tuple[str, ...]


Target = HttpTarget | GitHubTarget | GitLabTarget | JenkinsTarget | MlflowTarget


class ConcurrencyKey(IntEnum):
    """Which deliveries of a webhook do not overlap. The values are those of the contract."""

    NONE = 0
    MODEL = 1
    ALIAS = 2


@dataclass(frozen=True, slots=True)
class Webhook:
    """What happens when something happened.

    Attributes:
        secrets: What requests are signed with, sealed, newest first, each with when it stops counting; None for the newest.
            Of one for MLflow there may be none.
        disabled_reason: Why the server disabled it; empty if it did not.
    """

    project: str
    id: str
    display_name: str
    types: frozenset[EventType]
    model_id: str
    alias: str
    target: Target
    enabled: bool
    concurrency_key: ConcurrencyKey
    chain_length_max: int
    secrets: tuple[tuple[str, int | None], ...]
    creator: str
    create_us: int
    update_us: int
    disabled_reason: str = ""
    creation: str = ""
    description: str = ""

    def fires(self, event: Event) -> bool:
        """Whether an event fires it."""
        return (
            self.enabled
            and event.type in self.types
            and self.model_id in {"", event.model_id}
            and self.alias in {"", event.alias}
            and event.time_us >= self.create_us
            and event.chain_length < self.chain_length_max
            and self.requests(event) > 0
        )

    def requests(self, event: Event) -> int:
        """How many requests tell it of an event, one after the other."""
        return len(mlflow.tellings(event, self.target.events)) if isinstance(self.target, MlflowTarget) else 1

    def key(self, event: Event) -> str:
        """What deliveries that do not overlap share; empty if all may."""
        match self.concurrency_key:
            case ConcurrencyKey.NONE:
                return ""
            case ConcurrencyKey.MODEL:
                return f"{self.id}/{event.model_id}"
            case ConcurrencyKey.ALIAS:
                return f"{self.id}/{event.model_id}@{event.alias}"

    def signing_secrets(self, now_us: int) -> list[str]:
        """The secrets that count now, sealed, newest first."""
        return [secret for secret, end_us in self.secrets if end_us is None or now_us < end_us]


class DeliveryState(IntEnum):
    """How a delivery stands. The values are those of the contract."""

    PENDING = 1
    DELIVERED = 2
    FAILED = 3
    SUPERSEDED = 4


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery. `http_status` is 0 if there was no answer."""

    time_us: int
    duration_ms: int
    http_status: int
    error: str
    retry_after_s: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it was answered with success."""
        return 200 <= self.http_status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver says that it will never take one again."""
        return self.http_status == HTTP_GONE


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook.

    Attributes:
        key: Deliveries with the same do not overlap; empty if it may overlap with any.
        due_us: When it is tried next; None unless it is pending.
        claimed: Whether somebody tries it now, until `due_us` at the latest.
        request: Which of its requests is made next, from 0; the attempts are those at it.
    """

    id: str
    webhook_id: str
    event: Event
    key: str
    state: DeliveryState
    attempts: tuple[Attempt, ...]
    create_us: int
    due_us: int | None
    claimed: bool = False
    request: int = 0


def retry_delay_s(attempts: Sequence[Attempt], spread: float) -> float | None:
    """How long to wait after these attempts, None to give up.

    Args:
        attempts: All so far, oldest first, the last one failed.
        spread: 0 to 1, at random: varies the delay by a fifth.
    """
    if len(attempts) >= ATTEMPTS_MAX or attempts[-1].gone:
        return None
    delay_s = RETRY_DELAYS_S[len(attempts) - 1] * (0.8 + 0.4 * spread)
    asked_s = attempts[-1].retry_after_s
    return delay_s if asked_s is None else max(delay_s, min(asked_s, RETRY_AFTER_S_MAX))
