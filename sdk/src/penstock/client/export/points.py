"""Writes points to a file, piece by piece. CSV and JSON need no package; Parquet and Arrow need pyarrow."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeGuard

from penstock.api.tracking.v1 import metric_pb2
from penstock.client.export.files import Target
from penstock.client.names import run_id_of
from penstock.client.records import time_of_us
from penstock.client.tables import arrow_points, arrow_points_schema, require
from penstock.errors import InvalidInput
from penstock.jsonable import jsonable

__all__ = ["FORMATS", "PointColumns", "PointWriter", "format_of", "is_folder", "open_points", "parquet_writer"]

FORMATS = ("parquet", "arrow", "csv", "json", "jsonl")
"""The formats, which are also the endings of their files."""
ROWS_PER_GROUP = 262_144
"""Points that are gathered into one row group or record batch: all that is held in memory."""
_PARQUET_TEXTS = ("run_id", "key", "rank")
_PARQUET_NUMBERS = ("step", "time")


@dataclass(frozen=True)
class PointColumns:
    """The columns of a file of points: run_id if runs come apart, key, rank if ranks do, step, time, value."""

    by_run: bool
    by_rank: bool


class PointWriter(ABC):
    """Writes pieces in one format to an open file, which it leaves open. To be used with `with`, and closed in the block."""

    @abstractmethod
    def add(self, piece: metric_pb2.MetricSeries) -> None:
        """Writes the points of one piece."""

    @abstractmethod
    def close(self) -> None:
        """Writes what belongs at the end."""

    @abstractmethod
    def discard(self) -> None:
        """Lets go of the file, which nobody wants any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.discard()


def format_of(target: Target, chosen: str | None) -> str:
    """The format to write. Raises `InvalidInput` when neither the choice nor the file's ending says one."""
    name = chosen or (target.suffix.removeprefix(".").lower() if isinstance(target, Path) else "")
    if name not in FORMATS:
        said = name or (str(target) if isinstance(target, Path) else "")
        raise InvalidInput(
            f"{said!r} is no known format. Choose one by the file's ending or --format: {', '.join(FORMATS)}."
        )
    return name


def is_folder(target: Target, chosen: str | None) -> TypeGuard[Path]:
    """Whether an export of a project goes into a folder: no format is chosen, and the path has the ending of none."""
    return chosen is None and isinstance(target, Path) and target.suffix.removeprefix(".").lower() not in FORMATS


def open_points(file: IO[bytes], format_: str, columns: PointColumns) -> PointWriter:
    """A writer of points in one of `FORMATS`. Raises `MissingExtra` when that needs pyarrow, which is not installed."""
    if format_ == "csv":
        return _CsvWriter(file, columns)
    if format_ in {"json", "jsonl"}:
        return _JsonWriter(file, columns, lines=format_ == "jsonl")
    return _ArrowWriter(file, columns, parquet=format_ == "parquet")


def parquet_writer(file: IO[bytes], schema: Any) -> Any:
    """A `pyarrow.parquet.ParquetWriter` with the encodings that suit runs and points; any reader of today knows them."""
    names = set(schema.names)
    numbers = [name for name in _PARQUET_NUMBERS if name in names and "value" in names]
    return require("pyarrow.parquet", "arrow").ParquetWriter(
        file,
        schema,
        compression="zstd",
        # Texts repeat, and steps and times grow evenly. Values are neither: a dictionary of them would cost and gain nothing.
        use_dictionary=[name for name in _PARQUET_TEXTS if name in names] if numbers else True,
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED") if numbers else None,
    )


class _TextWriter(PointWriter):
    def __init__(self, file: IO[bytes], columns: PointColumns) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        self._columns = columns

    def close(self) -> None:
        self._text.flush()
        self._text.detach()

    def discard(self) -> None:
        with suppress(OSError, ValueError):
            self._text.detach()


class _CsvWriter(_TextWriter):
    """CSV with a header. Times in ISO 8601, values with as many digits as tell them apart, NaN and infinities by name."""

    def __init__(self, file: IO[bytes], columns: PointColumns) -> None:
        super().__init__(file, columns)
        self._rows = csv.writer(self._text, lineterminator="\n")
        run = ["run_id"] if columns.by_run else []
        self._rows.writerow([*run, "key", *(["rank"] if columns.by_rank else []), "step", "time", "value"])

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        self._rows.writerows(row.values() for row in _rows(piece, self._columns))


class _JsonWriter(_TextWriter):
    """JSON: with `lines`, an object per line; else one array of objects, an object per line in it."""

    def __init__(self, file: IO[bytes], columns: PointColumns, *, lines: bool) -> None:
        super().__init__(file, columns)
        self._lines = lines
        self._started = False

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        for row in _rows(piece, self._columns):
            before = "" if self._lines else ",\n" if self._started else "[\n"
            after = "\n" if self._lines else ""
            self._started = True
            self._text.write(f"{before}{json.dumps(row, ensure_ascii=False, allow_nan=False)}{after}")

    def close(self) -> None:
        if not self._lines:
            self._text.write("\n]\n" if self._started else "[]\n")
        super().close()


class _ArrowWriter(PointWriter):
    """Parquet, or the Arrow IPC file format. Values stay bit-exact."""

    def __init__(self, file: IO[bytes], columns: PointColumns, *, parquet: bool) -> None:
        self._pa = require("pyarrow", "arrow")
        schema = arrow_points_schema(columns.by_rank, by_run=columns.by_run)
        self._file: Any = parquet_writer(file, schema) if parquet else self._pa.ipc.new_file(file, schema)
        self._columns = columns
        self._waiting: list[Any] = []
        self._rows_waiting = 0

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        table = arrow_points(piece, self._columns.by_rank, by_run=self._columns.by_run)
        self._waiting.append(table)
        self._rows_waiting += table.num_rows
        # Short series share a row group, so that a file of many of them stays compact.
        if self._rows_waiting >= ROWS_PER_GROUP:
            self._write_waiting()

    def close(self) -> None:
        self._write_waiting()
        self._file.close()

    def discard(self) -> None:
        with suppress(Exception):  # its end cannot be written where the rest could not
            self._file.close()

    def _write_waiting(self) -> None:
        if self._waiting:
            self._file.write_table(self._pa.concat_tables(self._waiting).combine_chunks())
        self._waiting = []
        self._rows_waiting = 0


def _rows(piece: metric_pb2.MetricSeries, columns: PointColumns) -> Iterator[dict[str, Any]]:
    head: dict[str, Any] = {"run_id": run_id_of(piece.run)} if columns.by_run else {}
    head["key"] = piece.key
    if columns.by_rank:
        head["rank"] = piece.rank
    points = piece.points
    for step, time_us, value in zip(points.steps, points.times_unix_us, points.values, strict=True):
        yield {**head, "step": step, "time": jsonable(time_of_us(time_us)), "value": jsonable(value)}
