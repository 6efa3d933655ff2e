"""What a benchmark reports: a figure, its goal, and what it stands beside; and how figures are printed and kept."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Figure", "ServiceMemory", "machine", "median", "peak_bytes", "percentile", "print_table", "write"]

PACKAGES = (
    "penstock",
    "grpcio",
    "protobuf",
    "numpy",
    "pyarrow",
    "pcodec",
    "motor",
    "pymongo",
    "redis",
    "minio",
    "dash",
)
SERVICE_MEMORY_GOAL_MB = 400.0
"""Most memory that one service may hold, whatever is asked of it."""
MB = 1e6


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The median, or the one number there is.
        unit: Of value, goal and beside.
        goal: What it should be, and `better` says which way; None where it only stands beside others, for orientation.
        better: `lower` or `higher`.
        beside_name: The peer or limit measured in the same run.
        beside: Its figure.
        details: Anything else worth keeping, such as all rounds.
        ratio_goal: What value / beside should be, if that is a goal too; `better` says which way.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    better: str
    beside_name: str
    beside: float
    details: dict[str, Any] = field(default_factory=dict)
    ratio_goal: float | None = None

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of what it stands beside; None if that is 0."""
        return self.value / self.beside if self.beside else None

    @property
    def met(self) -> bool:
        """Whether every goal that there is is met."""
        return self._reaches(self.value, self.goal) and self._reaches(self.ratio, self.ratio_goal)

    def as_json(self) -> dict[str, Any]:
        """The figure with its ratio to what it stands beside."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}

    def _reaches(self, value: float | None, goal: float | None) -> bool:
        if goal is None:
            return True
        return value is not None and (value <= goal if self.better == "lower" else value >= goal)


class ServiceMemory:
    """The memory of a service's process during a benchmark: its peak, not only what it holds at the end.

        memory = ServiceMemory(platform.pid("tracking"))
        ...
        figures.append(memory.figure("ingest"))

    Args:
        pid: The process. What it holds now, which should be little, is what the peak stands beside.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._idle_bytes = psutil.Process(pid).memory_info().rss

    def figure(self, during: str, service: str = "tracking") -> Figure:
        """The figure. Call it while the process still runs."""
        return Figure(
            name=f"memory of {service} during {during}",
            value=peak_bytes(self._pid) / MB,
            unit="MB",
            goal=SERVICE_MEMORY_GOAL_MB,
            better="lower",
            beside_name="the same process before",
            beside=self._idle_bytes / MB,
        )


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held since it started; where the kernel keeps no such mark, what it holds now."""
    # Nothing has to be sampled, and no short peak is missed.
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return psutil.Process(pid).memory_info().rss


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` per cent of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """Where it was measured, and with which versions."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        # What others do on the machine meanwhile is in every figure.
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def write(figures: Sequence[Figure], failed: dict[str, str], where: dict[str, Any], path: Path) -> None:
    """Writes a report as JSON.

    Args:
        figures: What was measured.
        failed: Benchmarks that ended with an error, and the error.
        where: The machine, as it was at the start.
        path: The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": where, "figures": [figure.as_json() for figure in figures], "failed": failed}
    path.write_text(json.dumps(report, indent=2) + "\n")


def print_table(figures: Sequence[Figure]) -> None:
    """The figures as a table for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("WHAT", "GOAL", "FIGURE", "", "BESIDE", "RATIO", ""):
        table.add_column(title, justify="right" if title in {"GOAL", "FIGURE", "RATIO"} else "left")
    for figure in figures:
        sign = "≤" if figure.better == "lower" else "≥"
        ratio_goal = "" if figure.ratio_goal is None else f" ({sign} {number(figure.ratio_goal)})"
        verdict = "" if figure.goal is None and figure.ratio_goal is None else "met" if figure.met else "MISSED"
        table.add_row(
            figure.name,
            "" if figure.goal is None else f"{sign} {number(figure.goal)}",
            number(figure.value),
            figure.unit,
            f"{number(figure.beside)} {figure.beside_name}",
            "" if figure.ratio is None else f"{number(figure.ratio)}×{ratio_goal}",
            verdict,
        )
    # As wide as it takes where there is no terminal, so that nothing is cut in a log.
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=220)).print(table)


def number(value: float) -> str:
    """A number in a few digits: 15.3 M, 480 k, 48.2, 0.051."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
