"""The commands that bring runs from other tools: `import mlflow`, `wandb-offline`, `tensorboard`, `neptune-export`."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.failures import ExitStatus
from penstock.cli.output import JsonOption, console, print_json
from penstock.spool.names import checked_project

if TYPE_CHECKING:
    from penstock.importers.importing import ImportedRun
    from penstock.importers.model import Source

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Bring runs from MLflow, W&B, TensorBoard or Neptune. Safe to repeat: what is here already is not added again.",
)

_OUTCOMES = {
    "imported": ("✓", "green"),
    "continued": ("✓", "green"),
    "unchanged": ("·", "dim"),
    "found": ("·", "dim"),
    "failed": ("✗", "red"),
}
_NOTICES_SHOWN = 5
"""Notices of one run that people are shown; all of them with --json."""

ProjectOption = Annotated[
    str, typer.Option("--project", "-p", envvar="PENSTOCK_PROJECT", help="Where the runs go. Created if it is missing.")
]
ExperimentOption = Annotated[
    str,
    typer.Option(
        "--experiment", "-e", help="The experiment for all of them, by its name. Default: as the source groups them."
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Read everything, say what is there, and import nothing.")
]


@app.command()
def mlflow(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The tracking URI: http://HOST:PORT, sqlite:///mlflow.db or the file itself, or a folder mlruns.",
        ),
    ],
    project: ProjectOption = "default",
    experiment: ExperimentOption = "",
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Import the runs of an MLflow store that are in use. Each goes to the experiment of the same name, under its id.

    Credentials for a server are taken from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    With --json, one document per run, and one for all at the end.

    \b
    Examples:
      penstock import mlflow ./mlruns
      penstock import mlflow sqlite:///mlflow.db --project vision
      penstock import mlflow http://mlflow.example.com:5000 --dry-run
    """
    from penstock.importers.mlflow import mlflow_source

    _import(mlflow_source(source), project, experiment, dry_run=dry_run, json=json)


@app.command("wandb-offline")
def wandb_offline(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A folder wandb or one above it, or one run's folder or file in it."),
    ],
    artifact_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--artifact-files",
            metavar="FOLDER",
            help="Where files of artifacts may be read as well. Always: W&B's own staging and cache.",
        ),
    ] = None,
    project: ProjectOption = "default",
    experiment: ExperimentOption = "",
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Import runs that W&B logged offline. W&B's project becomes the experiment, its artifacts become artifacts.

    The bytes of artifacts lie where W&B staged them, outside of the run's folder: in WANDB_DATA_DIR, or its default. If they
    were copied here from another machine, name their folder with --artifact-files. What the run logged from elsewhere
    without a copy (policy="immutable") is read from folders that are named so, and from no others.
    With --json, one document per run, and one for all at the end.

    \b
    Examples:
      penstock import wandb-offline ./wandb --project vision
      penstock import wandb-offline ./wandb --artifact-files ./staging --artifact-files /data/images
    """
    from penstock.importers.wandb import WandbOfflineSource

    _import(WandbOfflineSource(source, artifact_files or ()), project, experiment, dry_run=dry_run, json=json)


@app.command()
def tensorboard(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The log folder. Each folder in it with event files is a run.")
    ],
    project: ProjectOption = "default",
    experiment: ExperimentOption = "",
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Import scalars and hparams from TensorBoard's event files. The log folder's name becomes the experiment.

    With --json, one document per run, and one for all at the end.

    \b
    Example:
      penstock import tensorboard runs/ --experiment ablation
    """
    from penstock.importers.tensorboard import TensorBoardSource

    _import(TensorBoardSource(source), project, experiment, dry_run=dry_run, json=json)


@app.command("neptune-export")
def neptune_export(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The folder of Parquet files that Neptune's exporter wrote.")
    ],
    project: ProjectOption = "default",
    experiment: ExperimentOption = "",
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Import runs that Neptune's exporter wrote to Parquet. Neptune's project becomes the experiment.

    With --json, one document per run, and one for all at the end.

    \b
    Example:
      penstock import neptune-export ./exports/data
    """
    from penstock.importers.neptune import NeptuneExportSource

    _import(NeptuneExportSource(source), project, experiment, dry_run=dry_run, json=json)


def _import(source: "Source", project: str, experiment: str, *, dry_run: bool, json: bool) -> None:
    from penstock import config
    from penstock.importers.importing import import_runs, look_through

    project = checked_project(project)
    with _watching(json=json) as watcher:
        try:
            if dry_run:
                for _ in look_through(source, project, experiment, watcher):
                    pass
            else:
                asyncio.run(import_runs(config.resolve(), source, project, experiment, watcher))
        finally:
            # Also of what was done before an error or an interrupt.
            watcher.sum_up()
    if watcher.failed:
        raise typer.Exit(ExitStatus.FAILED)


class _Teller:
    """Tells of each run as it is done, and of all at the end: as JSON."""

    def __init__(self) -> None:
        self.runs: list[ImportedRun] = []
        self.total = 0

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return self.count("failed")

    def count(self, outcome: str) -> int:
        """How many runs ended so."""
        return sum(run.outcome == outcome for run in self.runs)

    def began(self, total: int) -> None:
        self.total = total

    def reading(self, label: str) -> None:
        pass

    def added(self, points: int) -> None:
        pass

    def sent(self, size: int) -> None:
        pass

    def done(self, run: "ImportedRun") -> None:
        self.runs.append(run)
        self.tell(run)

    def tell(self, run: "ImportedRun") -> None:
        """Tells of one run."""
        print_json(asdict(run))

    def sum_up(self) -> None:
        """Tells of all, unless the source could not even be listed."""
        if self.total:
            print_json({"summary": self.summary()})

    def summary(self) -> dict[str, int]:
        """The runs of the source, how they ended, their points, files and versions of artifacts."""
        return {
            "runs": self.total,
            **{outcome: self.count(outcome) for outcome in _OUTCOMES},
            "points": sum(run.points for run in self.runs),
            "points_added": sum(run.points_added for run in self.runs),
            "files": sum(run.files for run in self.runs),
            "files_added": sum(run.files_added for run in self.runs),
            "artifacts": sum(run.artifacts for run in self.runs),
            "artifacts_added": sum(run.artifacts_added for run in self.runs),
        }


class _Shower(_Teller):
    """The same for people; with bars on a terminal."""

    def __init__(self, progress: Any) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("", total=None, points=0, sent="", label="") if progress is not None else None
        self._points = 0
        self._bytes = 0

    def began(self, total: int) -> None:
        super().began(total)
        self._update(total=total)

    def reading(self, label: str) -> None:
        self._update(label=label)

    def added(self, points: int) -> None:
        self._points += points
        self._update(points=self._points)

    def sent(self, size: int) -> None:
        self._bytes += size
        self._update(sent=f", {self._bytes / 1e6:,.0f} MB of files")

    def done(self, run: "ImportedRun") -> None:
        super().done(run)
        self._update(completed=len(self.runs))

    def tell(self, run: "ImportedRun") -> None:
        from rich.text import Text

        mark, style = _OUTCOMES[run.outcome]
        line = Text(f"{mark} ", style=style)
        line.append(
            run.label if run.display_name in ("", run.label) else f"{run.display_name} ({run.label})", "default"
        )
        if run.outcome == "failed":
            line.append(f": {run.message}", "default")
        elif run.outcome == "found":
            found = f"{run.points:,} points, {run.params:,} params, {run.files:,} files"
            if run.artifacts:
                found += f", {_artifacts(run.artifacts)}"
            line.append(f": {found}, {run.state}, in {run.experiment}", "default")
        else:
            added = f"{run.points_added:,} of {run.points:,} points added"
            if run.files:
                added += f", {run.files_added:,} of {run.files:,} files"
            if run.artifacts:
                added += f", {run.artifacts_added:,} of {_artifacts(run.artifacts)}"
            line.append(f": {run.outcome}, {added}", "default")
        self._print(line)
        if run.run and run.outcome in ("imported", "continued"):
            self._print(Text(f"  {run.run}", style="dim"))
        for notice in run.notices[:_NOTICES_SHOWN]:
            self._print(Text(f"  {notice}", style="yellow"))
        if len(run.notices) > _NOTICES_SHOWN:
            self._print(Text(f"  and {len(run.notices) - _NOTICES_SHOWN} more", style="yellow"))

    def sum_up(self) -> None:
        from rich.text import Text

        if not self.total:
            return
        said = [f"{self.count(outcome):,} {outcome}" for outcome in _OUTCOMES if self.count(outcome)]
        left = self.total - len(self.runs)
        if left:
            said.append(f"{left:,} not reached: run it again to go on")
        summary, found = self.summary(), self.count("found")
        points, files, artifacts = (
            summary[name if found else f"{name}_added"] for name in ("points", "files", "artifacts")
        )
        runs = "1 run" if self.total == 1 else f"{self.total:,} runs"
        brought = f"{points:,} points, {files:,} files and {_artifacts(artifacts)} {'found' if found else 'added'}"
        self._print(Text(f"{runs}: {', '.join(said)}. {brought}."))

    def _update(self, **fields: Any) -> None:
        if self._progress is not None:
            self._progress.update(self._task, **fields)

    def _print(self, line: Any) -> None:
        # Above the bar, if there is one.
        (console() if self._progress is None else self._progress.console).print(line)


def _artifacts(versions: int) -> str:
    return "1 artifact version" if versions == 1 else f"{versions:,} artifact versions"


@contextmanager
def _watching(*, json: bool) -> Generator[_Teller, None, None]:
    if json:
        yield _Teller()
        return
    out = console()
    if not out.file.isatty():
        yield _Shower(None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    shown = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs, {task.fields[points]:,} points added{task.fields[sent]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[label]}", markup=False),
    )
    with Progress(*shown, console=out, transient=True) as progress:
        yield _Shower(progress)
