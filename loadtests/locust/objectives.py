"""Service level objectives: what must hold of what Locust measured. Knows nothing of the scenarios."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locust.stats import RequestStats, StatsEntry
from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["Objective", "Outcome", "check", "print_outcomes", "read_objectives"]

PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
MEASURES = (*PERCENTILES, "failure_ratio", "per_second")


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        request: The name under which Locust counts the requests.
        measure: `p50_ms`, `p95_ms` or `p99_ms` of the response time; `failure_ratio`, 0 to 1; `per_second`, requests.
        limit: The most that it may be; for `per_second` the least.
    """

    request: str
    measure: str
    limit: float

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"{self.measure!r} is no measure: there are {', '.join(MEASURES)}")

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.measure == "per_second"

    def holds(self, found: float) -> bool:
        """Whether a measured value satisfies it."""
        return found >= self.limit if self.at_least else found <= self.limit


@dataclass(frozen=True)
class Outcome:
    """What became of an objective: the value found, None if there was no such request, and whether it holds."""

    objective: Objective
    found: float | None

    @property
    def met(self) -> bool:
        return self.found is not None and self.objective.holds(self.found)


def read_objectives(path: Path) -> list[Objective]:
    """Objectives of a JSON file: `[{"request": ..., "measure": ..., "limit": ...}, ...]`. Raises `ValueError`, `OSError`."""
    try:
        content: Any = json.loads(path.read_bytes())
        return [Objective(str(item["request"]), str(item["measure"]), float(item["limit"])) for item in content]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no list of objectives with request, measure and limit") from error


def check(stats: RequestStats, objectives: Iterable[Objective]) -> list[Outcome]:
    """Compares what was measured with the objectives. One about requests that nobody made is missed."""
    entries: dict[str, StatsEntry] = {entry.name: entry for entry in stats.entries.values()}
    return [Outcome(objective, _found(entries.get(objective.request), objective.measure)) for objective in objectives]


def _found(entry: StatsEntry | None, measure: str) -> float | None:
    if entry is None or not entry.num_requests:
        return None
    if measure in PERCENTILES:
        return float(entry.get_response_time_percentile(PERCENTILES[measure]))
    return float(entry.fail_ratio if measure == "failure_ratio" else entry.total_rps)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """A table that says which objectives were met."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("OBJECTIVE", "MEASURE", "LIMIT", "FOUND", ""):
        table.add_column(title, justify="right" if title in {"LIMIT", "FOUND"} else "left")
    for outcome in outcomes:
        objective = outcome.objective
        table.add_row(
            objective.request,
            objective.measure,
            f"{'≥' if objective.at_least else '≤'} {objective.limit:g}",
            "no request" if outcome.found is None else f"{outcome.found:.4g}",
            "met" if outcome.met else "MISSED",
        )
    Console(highlight=False).print(table)
