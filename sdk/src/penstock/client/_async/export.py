"""Exports: what is asked of the server, in which order, and where it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.api.tracking.v1 import run_pb2
from penstock.client._async.paging import AsyncPages
from penstock.client.export.files import Target, writing
from penstock.client.export.folder import ExportFolder
from penstock.client.export.points import PointColumns, open_points
from penstock.client.export.progress import Exported, ExportProgress
from penstock.client.export.runs import COLUMNS
from penstock.client.runtime_async import in_thread

if TYPE_CHECKING:
    from penstock.client._async.client import AsyncClient

__all__ = ["Selection", "export_project", "export_project_points", "export_run"]

POINTS_PER_PART = 10_000_000
"""A part takes no further run once it has so many points: about 70 MB, unless one run alone has more."""
KEYS_BY_NAME_MAX = 400
"""Up to so many metrics are asked for by name when runs are listed, within the columns that a search takes."""

Tell = Callable[[ExportProgress], object]


@dataclass(frozen=True)
class Selection:
    """Which runs of a project, and which of their metrics; none named means all."""

    project: str
    filter: str
    experiments: Sequence[str]
    show_deleted: bool
    keys: Sequence[str]


async def export_run(
    client: "AsyncClient",
    run: str,
    target: Target,
    format_: str,
    *,
    keys: Sequence[str],
    first_step: int | None,
    last_step: int | None,
    by_rank: bool,
    tell: Tell | None,
) -> Exported:
    """Writes the points of a run to a file."""
    total: int | None = None
    if tell is not None and first_step is None and last_step is None:
        total = sum(metric.points for metric in await client.latest(run, keys=keys))
    points = 0
    with writing(target) as file, open_points(file, format_, PointColumns(by_run=False, by_rank=by_rank)) as writer:
        async for piece in client.history(run, keys=keys, first_step=first_step, last_step=last_step, by_rank=by_rank):
            await in_thread(writer.add, piece)
            points += len(piece.points.steps)
            if tell is not None:
                tell(ExportProgress(0, 1, points, total))
        await in_thread(writer.close)
    return Exported(target if isinstance(target, Path) else None, 1, points)


async def export_project_points(
    client: "AsyncClient", selection: Selection, target: Target, format_: str, tell: Tell | None
) -> Exported:
    """Writes the points of all runs to one file."""
    runs = points = 0
    with writing(target) as file, open_points(file, format_, PointColumns(by_run=True, by_rank=True)) as writer:
        async for run in _selected(client, selection, ["name"]):
            async for piece in client.history(run.name, keys=selection.keys, by_rank=True):
                await in_thread(writer.add, piece)
                points += len(piece.points.steps)
                if tell is not None:
                    tell(ExportProgress(runs, None, points, None))
            runs += 1
        await in_thread(writer.close)
    return Exported(target if isinstance(target, Path) else None, runs, points)


async def export_project(
    client: "AsyncClient", selection: Selection, path: Path, *, anew: bool, tell: Tell | None
) -> Exported:
    """Writes runs and points to a folder, or goes on with that."""
    request = {
        "server": client.connection.http,
        "project": selection.project,
        "filter": selection.filter,
        "experiments": list(selection.experiments),
        "show_deleted": selection.show_deleted,
        "keys": list(selection.keys),
    }
    with ExportFolder(path, request, anew=anew) as folder:
        resumed = folder.listed
        if not resumed:
            await _list_runs(client, selection, folder, tell)
        left = folder.runs_left()
        run = next(left, None)
        runs = sum(part["runs"] for part in folder.parts)
        points = sum(part["points"] for part in folder.parts)
        # One part at least, so that whoever reads metrics/*.parquet finds the columns.
        while run is not None or not folder.parts:
            with folder.part() as part:
                while run is not None and part.points < POINTS_PER_PART:
                    async for piece in client.history(run.name, keys=selection.keys, by_rank=True):
                        await in_thread(part.add, piece)
                        points += len(piece.points.steps)
                        if tell is not None:
                            tell(ExportProgress(runs, folder.runs, points, folder.points_expected))
                    part.runs += 1
                    runs += 1
                    run = next(left, None)
        await in_thread(folder.finish)
    return Exported(path, runs, points, resumed)


async def _list_runs(client: "AsyncClient", selection: Selection, folder: ExportFolder, tell: Tell | None) -> None:
    titles = {
        experiment.name: experiment.display_name
        async for experiment in client.experiments(selection.project, show_deleted=True)
    }
    by_name = 0 < len(selection.keys) <= KEYS_BY_NAME_MAX
    metrics = [f"metrics.{key}" for key in selection.keys] if by_name else ["metrics"]
    wanted = set(selection.keys)
    with folder.list_runs(titles) as listing:
        async for run in _selected(client, selection, [*COLUMNS, *metrics]):
            if wanted and not by_name:
                kept = [metric for metric in run.latest_metrics if metric.key in wanted]
                del run.latest_metrics[:]
                run.latest_metrics.extend(kept)
            listing.add(run)
            if tell is not None:
                tell(ExportProgress(0, None, 0, listing.points))


def _selected(client: "AsyncClient", selection: Selection, columns: Sequence[str]) -> AsyncPages[run_pb2.Run]:
    # Oldest first: what is added meanwhile comes last, and an export made again has the same order.
    return client.runs(
        selection.project,
        filter=selection.filter,
        order_by="create_time asc",
        columns=columns,
        experiments=selection.experiments,
        show_deleted=selection.show_deleted,
    )
