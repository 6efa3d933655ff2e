"""The command that sends what was logged without a server: `sync`."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import JsonOption

__all__ = ["app"]

app = typer.Typer()


@app.command()
def sync(
    path: Annotated[list[Path] | None, typer.Argument(help="Spools to send.")] = None,
    json: JsonOption = False,
) -> None:
    """Send what waits."""
