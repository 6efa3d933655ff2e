"""The command that sends what was logged without a server, or left behind by a sender that died, or gives it up: `sync`."""

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.failures import ExitStatus
from penstock.cli.output import JsonOption, confirm, console, hint, print_json, say
from penstock.errors import InvalidInput, SpoolCorrupt

if TYPE_CHECKING:
    from penstock.sender import SyncProgress, SyncResult

__all__ = ["app"]

app = typer.Typer()

_ENDINGS = {
    "done": ("✓", "green", "sent whole"),
    "caught_up": ("✓", "green", "sent so far; its process still logs"),
    "occupied": ("·", "dim", "another sender is at it"),
    "refused": ("✗", "red", "refused"),
    "unreachable": ("✗", "red", "the server could not be reached; nothing is lost"),
}
_AUTHENTICATION_REASONS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})


@app.command()
def sync(
    path: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Spools, or folders of spools. Default: all on this machine."),
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Give up the spools named, with all in them that was not sent.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before that.")] = False,
    json: JsonOption = False,
) -> None:
    """Send what was logged here and is not on the server yet: offline runs, and what a crash left.

    Nothing is sent twice, however often it is called. A spool goes to the server that it was begun for. With --json, one
    document per spool.

    What a server refuses for good is removed with --discard, which asks first.

    \b
    Examples:
      penstock sync
      penstock sync /mnt/cluster/penstock/spool
      penstock sync --discard ~/.penstock/spool/RUN/WRITER
    """
    if discard:
        _discard(path or [], yes=yes, json=json)
        return
    from penstock.sender import sync as send

    # The results say it, once; without a handler logging would print each attempt.
    logging.getLogger("penstock.sender").addHandler(logging.NullHandler())
    with _progress(not json) as tell:
        results = send(path or (), tell)
    for result in results:
        if json:
            print_json(_document(result))
        else:
            _show(result)
    if not results and not json:
        hint("Nothing waits to be sent.")
    status = max((_status(result) for result in results), default=ExitStatus.DONE)
    if status:
        raise typer.Exit(status)


def _discard(folders: list[Path], *, yes: bool, json: bool) -> None:
    from penstock.spool.meta import META_FILE, SpoolMeta
    from penstock.spool.orders import ORDERS_FOLDER
    from penstock.spool.segments import spool_bytes
    from penstock.spool.settle import discard

    if not folders:
        raise InvalidInput("Name the spools to discard, as `penstock status` and `penstock sync` show them.")
    for folder in folders:
        # Not folders of spools: too much would be gone by a slip.
        if not (folder / META_FILE).is_file():
            raise InvalidInput(f"{folder} is not a spool.")
    for folder in folders:
        try:
            run = SpoolMeta.read(folder).run_name
        except SpoolCorrupt:
            run = ""
        # Media and artifacts that wait may be the most of it.
        orders = sum(path.stat().st_size for path in (folder / ORDERS_FOLDER).rglob("*") if path.is_file())
        size = spool_bytes(folder) + orders
        confirm(f"Remove {size:,} bytes of {run or 'a damaged spool'} for good, in {folder}?", yes=yes)
        discard(folder)
        if json:
            print_json({"folder": str(folder), "run": run, "discarded": True})
        else:
            say(f"Discarded {folder}.")


def _document(result: "SyncResult") -> dict[str, Any]:
    return {**asdict(result), "folder": str(result.folder)}


def _show(result: "SyncResult") -> None:
    from rich.text import Text

    mark, style, meaning = _ENDINGS[result.ending]
    line = Text(f"{mark} ", style=style).append(result.run or str(result.folder), style="default not dim")
    line.append(f": {meaning}, {result.points_durable:,} points durable", style="default not dim")
    console().print(line)
    if result.message:
        console().print(Text(f"  {result.message}", style="dim"))
    if _status(result) is ExitStatus.FAILED:
        console().print(
            Text(f"  It stays in {result.folder}; `penstock sync --discard` with that folder gives it up.", style="dim")
        )
    if result.receipt is not None and result.receipt.dropped:
        console().print(Text(f"  {result.receipt.dropped:,} points were dropped while logging.", style="yellow"))


def _status(result: "SyncResult") -> ExitStatus:
    if result.ending == "unreachable" or result.reason == "NOT_CONNECTED":
        return ExitStatus.UNAVAILABLE
    if result.ending != "refused":
        return ExitStatus.DONE
    if result.reason.startswith("TOKEN_") or result.reason in _AUTHENTICATION_REASONS:
        return ExitStatus.AUTHENTICATION
    return ExitStatus.FAILED


@contextmanager
def _progress(wanted: bool) -> "Generator[Callable[[SyncProgress], None] | None, None, None]":
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    shown = (
        TextColumn("Sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("spools, {task.fields[points]:,} points"),
    )
    with Progress(*shown, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("sync", total=None, points=0)

        def tell(state: "SyncProgress") -> None:
            progress.update(task, total=state.total, completed=state.index, points=state.points_durable)

        yield tell
