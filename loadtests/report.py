"""What a benchmark reports: a figure, its goal, and what it stands beside."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["Figure", "machine", "percentile", "write"]

PACKAGES = ("penstock", "grpcio", "protobuf", "numpy", "dash")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The median, or the one number there is.
        unit: Of value, goal and beside.
        goal: What it should be, and `better` says which way.
        beside_name: The peer or limit measured in the same run.
        beside: Its figure.
        details: Anything else worth keeping, such as all rounds.
    """

    name: str
    value: float
    unit: str
    goal: float
    better: str
    beside_name: str
    beside: float
    details: dict[str, Any]

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal

    def as_json(self) -> dict[str, Any]:
        """The figure with its ratio to what it stands beside."""
        ratio = self.value / self.beside if self.beside else None
        return {**asdict(self), "ratio": ratio, "met": self.met}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` per cent of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """Where it was measured."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.system(),
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def write(figures: Sequence[Figure], path: Path) -> None:
    """Writes a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(report, indent=2) + "\n")
