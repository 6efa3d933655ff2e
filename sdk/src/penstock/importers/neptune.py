"""Runs of Neptune, from the Parquet files that Neptune's exporter writes.

One row is one attribute of one run, or one point of a series, in the columns `project_id`, `run_id`, `attribute_path`,
`attribute_type`, `step` (decimal), `timestamp`, and one column per type of value: `int_value`, `float_value`, `string_value`,
`bool_value`, `datetime_value`, `string_set_value`, `file_value`. Rows of one run may lie in several files, those of one
series anywhere in them. What was attached to runs lies in a folder `files` beside the data, and `file_value` has the path
below that.

The exporter is not published as a package: this follows its documentation, and was never tried on a file of its own. Names of
types are those of the package `neptune-query`.

Each float series is a part. Single values are params, but for what Neptune says of a run itself (`sys/...`). A run is
recognised by project and id.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from penstock.artifact_paths import path_problem
from penstock.client.tables import require
from penstock.errors import NotFound
from penstock.importers.files import files_at
from penstock.importers.model import (
    Part,
    Row,
    RunDraft,
    SourceDamaged,
    SourceEntry,
    SourceFile,
    SourceRun,
    derived_id,
    time_us,
)

__all__ = ["NeptuneExportSource"]

ROWS_PER_READ: Final = 65_536
POINTS_HELD_MAX: Final = 1_000_000
"""Points of several series that are read in one pass over the files: some 50 MB. A longer series is held alone."""
_COLUMNS: Final = ("project_id", "run_id", "attribute_path", "attribute_type")
_SERIES: Final = "float_series"
_FILES: Final = ("file", "file_set", "file_series")
_FILES_FOLDER: Final = "files"
_FOLDERS_UP: Final = 2
"""How far above what is imported the folder of files is looked for: `data/project/run.parquet` lies two below."""
_SYSTEM: Final = "sys/"
_VALUES: Final = {
    "int": "int_value",
    "float": "float_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
    "string_set": "string_set_value",
}


class NeptuneExportSource:
    """A folder of Parquet files, or one of them.

    Args:
        path: The folder, at any level, or a file.

    Raises `MissingExtra` when pyarrow is not installed.
    """

    tool = "neptune-export"

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self.location = str(self._path)
        self._parquet = require("pyarrow.parquet", "import-neptune")
        self._compute = require("pyarrow.compute", "import-neptune")
        self._arrow = require("pyarrow", "import-neptune")

    def entries(self) -> Sequence[SourceEntry]:
        """See `Source`."""
        if not self._path.exists():
            raise NotFound(f"There is no {self._path}.", reason="SOURCE_NOT_FOUND")
        files = [self._path] if self._path.is_file() else sorted(self._path.rglob("*.parquet"))
        if not files:
            raise NotFound(f"{self._path} holds no Parquet files.", reason="SOURCE_EMPTY")
        found: list[SourceEntry] = []
        runs: dict[tuple[str, str], list[Path]] = {}
        for path in files:
            try:
                there: set[tuple[str, str]] = set()
                for table in self._tables(path, ("project_id", "run_id")):
                    pairs = table.group_by(["project_id", "run_id"]).aggregate([]).to_pylist()
                    there.update((pair["project_id"], pair["run_id"]) for pair in pairs)
            except (SourceDamaged, OSError) as damage:
                found.append(SourceEntry(path.name, partial(_raise, damage)))
                continue
            for run in sorted(there):
                runs.setdefault(run, []).append(path)
        for (project, run_id), paths in runs.items():
            found.append(SourceEntry(f"{project}/{run_id}", partial(self._read, project, run_id, paths)))
        return found

    def _read(self, project: str, run_id: str, files: Sequence[Path]) -> SourceRun:
        draft = RunDraft(experiment=project, start_time_us=0)
        system: dict[str, Any] = {}
        series: Counter[str] = Counter()
        last_us = 0
        attached: dict[str, set[str]] = {}
        columns = (*_COLUMNS, "step", "timestamp", *_VALUES.values(), "file_value")
        for path in files:
            for table in self._rows_of(path, project, run_id, columns):
                is_series = self._compute.equal(table["attribute_type"], _SERIES)
                points = table.filter(is_series)
                for pair in points.group_by("attribute_path").aggregate([("attribute_path", "count")]).to_pylist():
                    series[pair["attribute_path"]] += pair["attribute_path_count"]
                if points.num_rows:
                    newest = self._compute.max(points["timestamp"]).as_py()
                    last_us = max(last_us, 0 if newest is None else _moment_us(newest))
                    steps = points["step"]
                    if self._compute.any(self._compute.not_equal(steps, self._compute.floor(steps))).as_py():
                        draft.leave_out("Some steps are fractions: they were rounded down.")
                for row in table.filter(self._compute.invert(is_series)).to_pylist():
                    if row["attribute_type"] in _FILES:
                        place = (row.get("file_value") or {}).get("path")
                        attached.setdefault(row["attribute_path"], set()).update([place] if place else ())
                    else:
                        _note(draft, system, row)
        _describe(draft, system, last_us)
        held = _Held(self, (project, run_id), files, series)
        parts = [Part(key, partial(held.rows, key), metric=key) for key in sorted(series)]
        folder = self._folder_of_files() if attached else None
        if attached and folder is None:
            draft.leave_out(
                f"There is no folder {_FILES_FOLDER!r} beside the data: {len(attached):,} files were left out."
            )
        listed = partial(_files_of, folder, attached) if folder is not None else lambda: iter(())
        return draft.finished(derived_id("neptune", project, run_id), parts, listed)

    def _folder_of_files(self) -> Path | None:
        """Where the exporter put the files; None if that is nowhere near the data."""
        above = [self._path, *self._path.parents][: _FOLDERS_UP + 1]
        return next((folder / _FILES_FOLDER for folder in above if (folder / _FILES_FOLDER).is_dir()), None)

    def points_of(self, project: str, run_id: str, files: Sequence[Path], keys: Sequence[str]) -> Any:
        """The points of some series, in one pass: a table of path, step, time in microseconds and value."""
        compute, int64 = self._compute, self._arrow.int64()
        wanted = self._arrow.array(keys, self._arrow.string())
        found = []
        for path in files:
            for table in self._rows_of(path, project, run_id, (*_COLUMNS, "step", "timestamp", "float_value")):
                chosen = compute.and_(
                    compute.equal(table["attribute_type"], _SERIES),
                    compute.is_in(table["attribute_path"], value_set=wanted),
                )
                table = table.filter(compute.and_(chosen, compute.is_valid(table["float_value"])))
                times = compute.cast(table["timestamp"], self._arrow.timestamp("us", "UTC"))
                columns = {
                    "path": table["attribute_path"],
                    "step": compute.cast(compute.floor(table["step"]), int64),
                    "time_us": compute.cast(times, int64),
                    "value": compute.cast(table["float_value"], self._arrow.float64()),
                }
                found.append(self._arrow.table(columns))
        return self._arrow.concat_tables(found)

    def one_of(self, points: Any, key: str) -> Any:
        """The points of one series among those of several."""
        return points.filter(self._compute.equal(points["path"], key))

    def _rows_of(self, path: Path, project: str, run_id: str, columns: Sequence[str]) -> Iterator[Any]:
        for table in self._tables(path, columns):
            both = self._compute.and_(
                self._compute.equal(table["project_id"], project), self._compute.equal(table["run_id"], run_id)
            )
            yield table.filter(both)

    def _tables(self, path: Path, columns: Sequence[str]) -> Iterator[Any]:
        try:
            with self._parquet.ParquetFile(path) as file:
                missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
                if missing:
                    raise SourceDamaged(f"{path} is not from Neptune's exporter: it has no column {missing[0]!r}.")
                there = [name for name in columns if name in file.schema_arrow.names]
                for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=there):
                    yield self._arrow.Table.from_batches([batch])
        except (self._arrow.ArrowException, UnicodeDecodeError) as error:
            raise SourceDamaged(f"{path} cannot be read as Parquet: {str(error)[:200]}") from None


class _Held:
    """Reads the series of a run several at a time, so that a run of many series is not read once for each.

    Args:
        source: Reads.
        run: Project and id.
        files: Where the run is.
        series: How many points each series has.
    """

    def __init__(
        self, source: NeptuneExportSource, run: tuple[str, str], files: Sequence[Path], series: Mapping[str, int]
    ) -> None:
        self._source = source
        self._run = run
        self._files = files
        self._series = series
        self._keys: list[str] = []
        self._points: Any = None

    def rows(self, key: str) -> Iterator[Row]:
        """The points of one series. Cheap when the series are asked for in order of their names."""
        if key not in self._keys:
            self._points = None
            self._keys = self._from(key)
            self._points = self._source.points_of(*self._run, self._files, self._keys)
        points = self._source.one_of(self._points, key)
        for batch in points.to_batches(max_chunksize=ROWS_PER_READ):
            columns = (batch["step"].to_pylist(), batch["time_us"].to_pylist(), batch["value"].to_pylist())
            for step, moment_us, value in zip(*columns, strict=True):
                yield Row(step or 0, moment_us or 0, {key: value})

    def _from(self, key: str) -> list[str]:
        chosen: list[str] = []
        points = 0
        for other in sorted(self._series):
            if other >= key:
                points += self._series[other]
                if chosen and points > POINTS_HELD_MAX:
                    break
                chosen.append(other)
        return chosen


def _files_of(folder: Path, attached: Mapping[str, set[str]]) -> Iterator[SourceFile]:
    """The files of a run, each under the attribute's path.

    Args:
        folder: Where files are.
        attached: Paths below the folder by the attribute's path. A path may be that of a folder, of a set of files.
    """
    for attribute, places in sorted(attached.items()):
        for place in sorted(places):
            problem = path_problem(place)
            if problem is not None:
                yield SourceFile(attribute, BytesIO, left_out=f"has a place in the export that {problem}")
                continue
            found = folder.joinpath(*place.split("/"))
            if not found.resolve().is_relative_to(folder.resolve()):
                yield SourceFile(attribute, BytesIO, left_out="lies outside of the export")
                continue
            name = attribute if len(places) == 1 else f"{attribute}/{place.rpartition('/')[2]}"
            yield from files_at(found, name)


def _note(draft: RunDraft, system: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Takes what a single value says of the run."""
    path, kind = row["attribute_path"], row["attribute_type"]
    value = row.get(_VALUES.get(kind, ""))
    if kind not in _VALUES:
        draft.leave_out(f"Attributes of the type {kind!r} were left out.")
    elif value is not None and path.startswith(_SYSTEM):
        system[path.removeprefix(_SYSTEM)] = value
    elif value is not None:
        draft.add_param(path, value.isoformat() if isinstance(value, datetime) else value)


def _describe(draft: RunDraft, system: dict[str, Any], last_us: int) -> None:
    """Takes what Neptune says of the run itself."""
    draft.display_name = str(system.pop("name", ""))
    draft.notes = str(system.pop("description", ""))
    draft.experiment = str(system.pop("experiment/name", draft.experiment))
    for name in ("tags", "group_tags"):
        for tag in system.pop(name, None) or ():
            draft.add_tag(tag, "")
    if system.pop("failed", False):
        draft.state = "FAILED"
    moments = {key: _moment_us(value) for key, value in system.items() if isinstance(value, datetime)}
    draft.start_time_us = moments.get("creation_time", last_us)
    draft.end_time_us = moments.get("ping_time", moments.get("modification_time", last_us))
    for key, value in sorted(system.items()):
        if isinstance(value, (str, int)):
            draft.add_tag(f"neptune.{key}", str(value))


def _moment_us(moment: datetime) -> int:
    return time_us(moment.timestamp())


def _raise(error: Exception) -> SourceRun:
    raise error
