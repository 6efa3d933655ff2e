"""Puts the commands together: those of this package, and those that other packages plug in.

A package plugs in with an entry point of the group `penstock.commands` whose value is a `typer.Typer`; its commands appear at
the top level.
"""

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from penstock.cli import (
    artifacts,
    connection,
    experiments,
    export,
    files,
    gates,
    importing,
    packages,
    projects,
    runs,
    state,
    sync,
    tokens,
    webhooks,
)
from penstock.cli.failures import Commands, ExitStatus

__all__ = ["build", "main"]

PLUG_IN_GROUP = "penstock.commands"


def build() -> typer.Typer:
    """The whole command tree."""
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Track machine-learning runs: metrics that stream and never get lost.",
        epilog="Start with `penstock up` on this machine, or `penstock login URL` for a server elsewhere.",
    )
    app.callback()(_options)
    for part in (connection.app, state.app, export.app, sync.app):
        _merge(app, part)
    app.add_typer(projects.app, name="project")
    app.add_typer(experiments.app, name="experiment")
    app.add_typer(runs.app, name="run")
    app.add_typer(packages.app, name="model")
    app.add_typer(gates.app, name="gate")
    app.add_typer(webhooks.app, name="webhook")
    app.add_typer(artifacts.app, name="artifact")
    app.add_typer(files.app, name="file")
    app.add_typer(tokens.app, name="token")
    app.add_typer(importing.app, name="import")
    for entry in sorted(entry_points(group=PLUG_IN_GROUP), key=lambda entry: entry.name):
        try:
            plug_in = entry.load()
        except Exception as error:
            sys.stderr.write(f"Warning: the commands of {entry.value} could not be loaded: {error}\n")
            continue
        _merge(app, plug_in)
    return app


def main() -> None:
    """The `penstock` command."""
    try:
        build()(prog_name="penstock")
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)


def _merge(app: typer.Typer, part: typer.Typer) -> None:
    app.registered_commands += part.registered_commands
    app.registered_groups += part.registered_groups


def _version(wanted: bool) -> None:
    if wanted:
        from penstock import __version__

        typer.echo(f"penstock {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass
