"""What a user sees when something goes wrong: a message, a remedy and an exit status. Never a traceback."""

import os
import sys
import traceback
import warnings
from enum import IntEnum
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from penstock.errors import (
    AuthenticationFailed,
    InvalidInput,
    NotConnected,
    NotFound,
    PenstockError,
    PermissionDenied,
    ServerUnavailable,
)

__all__ = ["Commands", "ExitStatus", "exit_status"]

_JSON_KEY = "penstock.json"


class ExitStatus(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTHENTICATION = 4
    UNAVAILABLE = 5
    NOT_PASSED = 6
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_STATUSES: tuple[tuple[type[PenstockError] | tuple[type[PenstockError], ...], ExitStatus], ...] = (
    (InvalidInput, ExitStatus.USAGE),
    (NotFound, ExitStatus.NOT_FOUND),
    ((AuthenticationFailed, PermissionDenied), ExitStatus.AUTHENTICATION),
    ((NotConnected, ServerUnavailable), ExitStatus.UNAVAILABLE),
)


def exit_status(error: PenstockError) -> ExitStatus:
    """The exit status that stands for an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), ExitStatus.FAILED)


class Commands(TyperGroup):
    """The top of the command tree: runs a command and turns whatever it raises into a message and an exit status."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_JSON_KEY] = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            raise _as_document(error, as_json=ctx.meta[_JSON_KEY]) from None

    def invoke(self, ctx: Any) -> Any:
        as_json = bool(ctx.meta.get(_JSON_KEY))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("once", UserWarning)
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(ExitStatus.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has gone: nobody is left to tell. The interpreter must not try once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitStatus.BROKEN_PIPE) from None
        except PenstockError as error:
            _trace(error)
            _tell(error.message, error.reason, error.metadata, as_json=as_json)
            raise typer.Exit(exit_status(error)) from None
        except Exception as error:
            if type(error).__module__.startswith("typer."):
                raise _as_document(error, as_json=as_json) from None
            _trace(error)
            _tell(_unexpected(error), "UNEXPECTED", {}, as_json=as_json)
            raise typer.Exit(ExitStatus.FAILED) from None


def _as_document(error: Exception, *, as_json: bool) -> Exception:
    """What to raise instead of an error of Typer: itself, which Typer shows to people, or an exit once it is told as JSON."""
    if not as_json:
        return error
    if isinstance(error, typer.Abort):
        _tell("Nothing was done.", "ABORTED", {}, as_json=True)
        return typer.Exit(ExitStatus.FAILED)
    # Its usage errors have no public name, and this method alone.
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return error
    _tell(format_message(), "USAGE", {}, as_json=True)
    return typer.Exit(ExitStatus.USAGE)


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    return (
        f"Unexpected error: {type(error).__name__}: {error}. This is a mistake in Penstock. Please report it with the "
        "command you gave and what PENSTOCK_DEBUG=1 shows."
    )


def _trace(error: BaseException) -> None:
    if os.environ.get("PENSTOCK_DEBUG"):
        traceback.print_exception(error)


def _tell(message: str, reason: str, metadata: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        import json

        document = {"error": {"reason": reason, "message": message, "metadata": metadata}}
        sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
        return
    from rich.text import Text

    from penstock.cli.output import console

    console(stderr=True).print(Text("Error: ", style="bold red").append(message, style="default not bold"))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001 - as `warnings.showwarning` is called
    lineno: int,  # noqa: ARG001 - the same
    file: TextIO | None = None,  # noqa: ARG001 - the same
    line: str | None = None,  # noqa: ARG001 - the same
) -> None:
    # Warnings about code are for developers, who run tests; a user gets those about what they do.
    if issubclass(category, UserWarning):
        sys.stderr.write(f"Warning: {message}\n")
