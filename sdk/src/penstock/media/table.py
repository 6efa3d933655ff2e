"""Tables."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from penstock.errors import InvalidInput, InvalidType
from penstock.media.base import Encoded, Media

__all__ = ["Table"]

TABLE_ROWS_MAX: Final = 200_000
TABLE_COLUMNS_MAX: Final = 1_000


class Table(Media):
    """A table. It becomes CSV with a row of names.

    Args:
        columns: The names of the columns, 1 to 1,000.
        rows: The rows, at most 200,000, each with a cell per column. None and NaN become empty cells, everything else
            its text.
        dataframe: A data frame of pandas or polars, or a table of Arrow, in place of both.
        caption: What it shows, at most 2,000 characters.

    Raises:
        InvalidType: `dataframe` is none.
        InvalidInput: Rows are longer or shorter than `columns`, or there are too many.
    """

    kind: ClassVar[str] = "table"

    def __init__(
        self,
        columns: Sequence[str] = (),
        rows: Iterable[Sequence[Any]] = (),
        *,
        dataframe: Any = None,
        caption: str = "",
    ) -> None:
        super().__init__(caption)
        if dataframe is not None:
            if columns or rows:
                raise InvalidInput("Give columns and rows, or a data frame.")
            columns, rows = _content(dataframe)
        self.columns = [str(name) for name in columns]
        if not 1 <= len(self.columns) <= TABLE_COLUMNS_MAX:
            raise InvalidInput(f"A table has 1 to {TABLE_COLUMNS_MAX:,} columns, not {len(self.columns):,}.")
        self.rows: list[Sequence[Any]] = []
        for row in rows:
            self.add_row(*row)

    def add_row(self, *cells: Any) -> None:
        """Adds a row. Raises `InvalidInput` if it has another number of cells, or the table is full."""
        if len(cells) != len(self.columns):
            raise InvalidInput(f"A row has {len(cells):,} cells, and the table {len(self.columns):,} columns.")
        if len(self.rows) >= TABLE_ROWS_MAX:
            raise InvalidInput(f"A table has at most {TABLE_ROWS_MAX:,} rows. Log larger ones as an artifact.")
        self.rows.append(cells)

    def encoded(self) -> Encoded:
        """CSV in UTF-8."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(cell) for cell in row] for row in self.rows)
        return Encoded(buffer.getvalue().encode("utf-8", "replace"), ".csv", "text/csv")


def _cell(cell: Any) -> Any:
    return "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell


def _content(dataframe: Any) -> tuple[list[str], Iterable[Sequence[Any]]]:
    """The names and rows of a data frame."""
    if hasattr(dataframe, "itertuples"):  # pandas
        return [str(name) for name in dataframe.columns], dataframe.itertuples(index=False, name=None)
    if hasattr(dataframe, "iter_rows"):  # polars
        return list(dataframe.columns), dataframe.iter_rows()
    if hasattr(dataframe, "to_pylist"):  # Arrow
        names = list(dataframe.column_names)
        return names, ([row[name] for name in names] for row in dataframe.to_pylist())
    raise InvalidType(f"dataframe must be one of pandas, polars or Arrow, not {type(dataframe).__name__}.")
