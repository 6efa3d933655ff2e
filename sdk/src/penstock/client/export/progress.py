"""What an export says of itself while it goes on, and when it is done."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ExportProgress", "Exported"]


@dataclass(frozen=True)
class ExportProgress:
    """How far an export is.

    Attributes:
        runs: Runs that are written.
        runs_total: Runs that it will have; None while they are being listed.
        points: Points that are written.
        points_total: Points that there were when it began; None if that is not known.
    """

    runs: int
    runs_total: int | None
    points: int
    points_total: int | None


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        path: The file or folder; None for a file that was given open.
        runs: Runs in it.
        points: Points in it.
        resumed: Whether it went on with an export that was cut short.
    """

    path: Path | None
    runs: int
    points: int
    resumed: bool = False
