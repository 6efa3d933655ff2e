"""How commands speak: JSON for programs; tables, panels and hints for people."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.errors import InvalidInput
from penstock.jsonable import jsonable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "JsonOption",
    "ago",
    "cell",
    "confirm",
    "console",
    "duration",
    "hint",
    "pairs",
    "print_json",
    "print_table",
    "say",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

CELL_CHARS_MAX = 80
"""Longest text in a cell of a table; what is longer ends in an ellipsis."""
MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400


def print_json(value: Any) -> None:
    """One JSON document on one line of stdout, written out at once."""
    sys.stdout.write(json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> "Console":
    """A console as wide as the terminal; where there is none, as wide as it takes to cut nothing."""
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    return Console(file=file, highlight=False, soft_wrap=False, width=None if file.isatty() else 400)


def say(text: str) -> None:
    """A line for people on stdout. Its text is never read as markup."""
    from rich.text import Text

    console().print(Text(text))


def hint(text: str) -> None:
    """A line for people on stderr, beside the result."""
    from rich.text import Text

    console(stderr=True).print(Text(text, style="dim"))


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal before something is gone for good. Returns if the answer, or `yes`, is yes.

    Raises:
        InvalidInput: There is no terminal to ask on.
        typer.Abort: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("There is no terminal to ask on. Confirm with --yes.")
    typer.confirm(question, abort=True, err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Iterable[str] = ()) -> None:
    """A table. The columns in `numbers` are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    right = set(numbers)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        # A short first column, such as a name to copy, is never broken.
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console().print(table)


def pairs(entries: Mapping[str, Any], title: str = "") -> None:
    """Names and values, one pair per line."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, title=title or None, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in entries.items():
        table.add_row(Text(name), Text(cell(value, chars_max=1000)))
    console().print(table)


def cell(value: Any, chars_max: int = CELL_CHARS_MAX) -> str:
    """A value as a cell shows it: short, on one line, without control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False, default=str)
    # What somebody logged must not be able to steer a terminal.
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def duration(seconds: float) -> str:
    """A duration in its two greatest units: `3 h 12 min`."""
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def ago(time: datetime | None) -> str:
    """How long ago a time was; empty for None."""
    if time is None:
        return ""
    seconds = (datetime.now(UTC) - time).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
