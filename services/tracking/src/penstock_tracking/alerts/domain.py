"""What an alert is. Knows nothing of gRPC or of storage. Times are microseconds since 1970 UTC."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["ALERTS_PER_RUN_MAX", "Alert", "AlertLevel"]

ALERTS_PER_RUN_MAX: Final = 10_000


class AlertLevel(IntEnum):
    """How urgent an alert is. The numbers are those of the contract."""

    INFO = 1
    WARN = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a run has to say. Never changed.

    Attributes:
        alert_id: 32 hex digits, minted by whoever raised it: a repeat has the same.
        alert_us: When it was raised, by the clock of the machine that did.
        create_us: When the server took it.
    """

    project: str
    run_id: str
    alert_id: str
    title: str
    text: str
    level: AlertLevel
    step: int | None
    alert_us: int
    create_us: int
    creator: str
