"""The command `export`, and what it shares with `run export`: options, standard output, the progress bar."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from penstock.cli.naming import named_experiment
from penstock.cli.output import JsonOption, console, hint, print_json, say
from penstock.errors import InvalidInput

if TYPE_CHECKING:
    from penstock.client.export.progress import ExportProgress

__all__ = ["ForceOption", "FormatOption", "KeysOption", "app", "output_target", "progress_bar"]

STDOUT = Path("-")
"""Stands for standard output."""

KeysOption = Annotated[list[str] | None, typer.Option("--key", "-k", help="Only this metric; repeat for more.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="The format of a file, where its ending does not say it.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]

app = typer.Typer()


@app.command()
def export(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A folder; or a file of points: .parquet, .arrow, .csv, .json, .jsonl, - is stdout."
        ),
    ],
    filter: Annotated[str, typer.Option("--filter", "-f", help="Which runs: a search expression.")] = "",
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", help="Only runs of the experiment of this name.")
    ] = None,
    key: KeysOption = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also runs in the bin.")] = False,
    format: FormatOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write the runs of a project, and every point of them, at full resolution.

    A folder gets runs.parquet, a row per run with its params, tags, summary and latest metrics, and metrics/part-*.parquet
    with the columns run_id, key, rank, step, time, value. One that was cut short goes on where it was when you give the
    same command again. A file gets the points alone.

    \b
    Examples:
      penstock export digits -o digits-export
      penstock export digits -o losses.csv -f 'params.lr < 0.1' -k train/loss -k val/loss
    """
    from penstock.client import Client
    from penstock.client.export.files import check_file
    from penstock.client.export.folder import check_folder
    from penstock.client.export.points import format_of, is_folder

    target = output_target(output, json=json)
    if is_folder(target, format):
        check_folder(target, replace=force)
    else:
        format = format_of(target, format)
        check_file(target, replace=force)
    with _what_is_kept(target), Client() as client, progress_bar(shown=target is output and not json) as on_progress:
        done = client.export(
            project,
            target,
            filter=filter,
            keys=key or (),
            experiments=[named_experiment(client, experiment, project).name] if experiment is not None else [],
            show_deleted=deleted,
            format=format,
            replace=force,
            on_progress=on_progress,
        )
    if json:
        print_json({"path": str(output), "runs": done.runs, "points": done.points, "resumed": done.resumed})
    elif target is output:
        resumed = ", going on with an export that was cut short" if done.resumed else ""
        say(f"Wrote {done.points:,} points of {done.runs:,} runs to {output}{resumed}.")


@contextmanager
def _what_is_kept(target: Path | IO[bytes]) -> Generator[None, None, None]:
    """Says where an export that fails in the block can go on, if it can."""
    from penstock.client.export.folder import partial_folder

    try:
        yield
    except (Exception, KeyboardInterrupt):
        if isinstance(target, Path) and (kept := partial_folder(target)).is_dir():
            hint(f"What was exported is kept in {kept}: the same command goes on with it.")
        raise


def output_target(output: Path, *, json: bool) -> Path | IO[bytes]:
    """Where `--output` leads: a path, or standard output for `-`. Raises `InvalidInput` if that is for `--json` too."""
    if output != STDOUT:
        return output
    if json:
        raise InvalidInput("With -o - the points are on standard output: leave --json away.")
    return sys.stdout.buffer


@contextmanager
def progress_bar(*, shown: bool) -> "Generator[Callable[[ExportProgress], None] | None, None, None]":
    """A bar of points on stderr, if that is a terminal. None where there is nobody to show it to."""
    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("points"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("Exporting", total=None)

        def show(now: "ExportProgress") -> None:
            if now.runs_total is None and now.points_total is not None:
                said = "Listing runs"
            elif now.runs_total == 1:
                said = "Exporting"
            else:
                said = f"Exporting, {now.runs:,} runs" + (f" of {now.runs_total:,}" if now.runs_total else "")
            progress.update(task, description=said, completed=now.points, total=now.points_total)

        yield show
