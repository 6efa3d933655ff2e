"""Writes the points of a run to a file, in bounded memory: pieces come from the server and go to the file.

The file appears under its name only when it is whole. CSV and JSON need no package; Parquet and Arrow need pyarrow.
"""

import csv
import json
import os
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from penstock.api.tracking.v1 import metric_pb2
from penstock.cli.output import jsonable
from penstock.client.records import time_of_us
from penstock.client.tables import arrow_points, arrow_points_schema, require
from penstock.errors import InvalidInput

__all__ = ["FORMATS", "STDOUT", "format_of", "write_points"]

STDOUT = Path("-")
"""Stands for standard output."""
ROWS_PER_GROUP = 262_144
"""Points that are gathered into one row group or record batch, so that a file of many short series stays compact."""


def format_of(path: Path, chosen: str | None) -> str:
    """The format to write. Raises `InvalidInput` when neither the choice nor the file's ending says one."""
    name = chosen or path.suffix.removeprefix(".").lower()
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise InvalidInput(
            f"{name or str(path)!r} is no known format. Choose one by the file's ending or --format: {known}."
        )
    return name


def write_points(pieces: Iterable[metric_pb2.MetricSeries], path: Path, format_: str, *, by_rank: bool) -> int:
    """Writes pieces of series to a file, or to standard output for `STDOUT`. Returns the number of points.

    Columns: key, rank if ranks come apart, step, time, value. An existing file is replaced once the new one is whole.

    Raises:
        MissingExtra: The format needs pyarrow, which is not installed.
        OSError: The file cannot be written. What was begun is removed.
    """
    if path == STDOUT:
        return _write(FORMATS[format_](sys.stdout.buffer, by_rank), pieces)
    with _replacing(path) as file:
        return _write(FORMATS[format_](file, by_rank), pieces)


class _Writer(ABC):
    """Writes pieces in one format."""

    @abstractmethod
    def add(self, piece: metric_pb2.MetricSeries) -> None:
        """Writes the points of one piece."""

    @abstractmethod
    def close(self) -> None:
        """Writes what belongs at the end. Leaves the file open."""


class _CsvWriter(_Writer):
    """CSV with a header. Times in ISO 8601, values with as many digits as tell them apart, NaN and infinities by name."""

    def __init__(self, file: IO[bytes], by_rank: bool) -> None:
        self._text = _text(file)
        self._by_rank = by_rank
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(["key", *(["rank"] if by_rank else []), "step", "time", "value"])

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        self._rows.writerows(row.values() for row in _rows(piece, self._by_rank))

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _JsonWriter(_Writer):
    """JSON: with `lines`, an object per line; else one array of objects, an object per line in it."""

    def __init__(self, file: IO[bytes], by_rank: bool, *, lines: bool) -> None:
        self._text = _text(file)
        self._by_rank = by_rank
        self._lines = lines
        self._started = False

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        for row in _rows(piece, self._by_rank):
            before = "" if self._lines else ",\n" if self._started else "[\n"
            after = "\n" if self._lines else ""
            self._started = True
            self._text.write(f"{before}{json.dumps(row, ensure_ascii=False, allow_nan=False)}{after}")

    def close(self) -> None:
        if not self._lines:
            self._text.write("\n]\n" if self._started else "[]\n")
        self._text.flush()
        self._text.detach()


class _ArrowWriter(_Writer):
    """Parquet, or the Arrow IPC file format. Values stay bit-exact."""

    def __init__(self, file: IO[bytes], by_rank: bool, *, parquet: bool) -> None:
        self._pa = require("pyarrow", "arrow")
        schema = arrow_points_schema(by_rank)
        if parquet:
            self._file: Any = require("pyarrow.parquet", "arrow").ParquetWriter(file, schema)
        else:
            self._file = self._pa.ipc.new_file(file, schema)
        self._by_rank = by_rank
        self._waiting: list[Any] = []
        self._rows_waiting = 0

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        table = arrow_points(piece, self._by_rank)
        self._waiting.append(table)
        self._rows_waiting += table.num_rows
        if self._rows_waiting >= ROWS_PER_GROUP:
            self._write_waiting()

    def close(self) -> None:
        self._write_waiting()
        self._file.close()

    def _write_waiting(self) -> None:
        if self._waiting:
            self._file.write_table(self._pa.concat_tables(self._waiting).combine_chunks())
        self._waiting = []
        self._rows_waiting = 0


FORMATS: dict[str, Callable[[IO[bytes], bool], _Writer]] = {
    "parquet": lambda file, by_rank: _ArrowWriter(file, by_rank, parquet=True),
    "arrow": lambda file, by_rank: _ArrowWriter(file, by_rank, parquet=False),
    "csv": _CsvWriter,
    "json": lambda file, by_rank: _JsonWriter(file, by_rank, lines=False),
    "jsonl": lambda file, by_rank: _JsonWriter(file, by_rank, lines=True),
}


def _write(writer: _Writer, pieces: Iterable[metric_pb2.MetricSeries]) -> int:
    count = 0
    for piece in pieces:
        writer.add(piece)
        count += len(piece.points.steps)
    writer.close()
    return count


def _rows(piece: metric_pb2.MetricSeries, by_rank: bool) -> Iterator[dict[str, Any]]:
    head: dict[str, Any] = {"key": piece.key, "rank": piece.rank} if by_rank else {"key": piece.key}
    points = piece.points
    for step, time_us, value in zip(points.steps, points.times_unix_us, points.values, strict=True):
        yield {**head, "step": step, "time": jsonable(time_of_us(time_us)), "value": jsonable(value)}


def _text(file: IO[bytes]) -> Any:
    import io

    return io.TextIOWrapper(file, "utf-8", newline="")


@contextmanager
def _replacing(path: Path) -> Generator[IO[bytes], None, None]:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
