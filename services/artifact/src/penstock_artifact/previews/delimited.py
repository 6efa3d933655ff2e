"""The beginning of a table in CSV or TSV."""

import csv
import io
from typing import Final

from penstock_artifact.previews.domain import CELL_CHARS_MAX, COLUMNS_MAX, ROWS_MAX, Column, Table

__all__ = ["DELIMITED", "table_in"]

DELIMITED: Final = frozenset({".csv", ".tsv"})
"""Suffixes of what is read here."""

_DELIMITERS: Final = ",;\t|"


def table_in(text: str, *, truncated: bool) -> Table | None:
    """Reads a table whose first row names the columns. None if that is not possible.

    The delimiter is the one of comma, semicolon, tabulator and bar that is most often in the first line. Rows that are
    shorter than the first one have nulls.

    Args:
        text: The beginning of the file.
        truncated: Whether there is more; then the last row may be cut off, and is left out.
    """
    first_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return None
    if truncated:
        rows = rows[:-1]
    if not rows:
        return None
    head, *body = rows
    shown = min(len(head), COLUMNS_MAX)
    return Table(
        columns=tuple(Column(name[:CELL_CHARS_MAX]) for name in head[:shown]),
        rows=tuple(
            tuple(row[place][:CELL_CHARS_MAX] if place < len(row) else None for place in range(shown))
            for row in body[:ROWS_MAX]
        ),
        column_count=len(head),
        row_count=None if truncated else len(body),
    )
