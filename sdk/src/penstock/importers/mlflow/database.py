"""MLflow's SQLite database, opened for reading alone, in short transactions: training may go on beside."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from penstock.errors import NotFound
from penstock.importers.mlflow.records import LoggedModel, MlflowRun, number_of, source_run
from penstock.importers.model import Row, SourceDamaged, SourceEntry, SourceRun

__all__ = ["MlflowDatabase", "is_database"]

BUSY_TIMEOUT_S: Final = 30.0
"""How long a writer may hold the database."""
ROWS_PER_READ: Final = 50_000
_MAGIC: Final = b"SQLite format 3\0"
_STEP_BEFORE_ALL: Final = -(2**63)


def is_database(path: Path) -> bool:
    """Whether a file is a database of SQLite."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


class MlflowDatabase:
    """A database, as in `sqlite:///mlflow.db`.

    Args:
        path: The file.
    """

    tool = "mlflow"

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self.location = str(self._path)

    def entries(self) -> Sequence[SourceEntry]:
        """See `Source`."""
        if not self._path.is_file():
            raise NotFound(f"There is no database {self._path}.", reason="SOURCE_NOT_FOUND")
        found = self._read(
            "SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id) WHERE runs.lifecycle_stage = 'active' "
            "AND experiments.lifecycle_stage = 'active' ORDER BY runs.start_time, runs.run_uuid"
        )
        if not found:
            raise NotFound(f"{self._path} holds no run of MLflow that is in use.", reason="SOURCE_EMPTY")
        return [SourceEntry(run_id, partial(self._run, run_id)) for (run_id,) in found]

    def _run(self, run_id: str) -> SourceRun:
        found = self._read(
            "SELECT experiments.name, runs.name, status, start_time, end_time, artifact_uri FROM runs JOIN experiments USING "
            "(experiment_id) WHERE run_uuid = ?",
            run_id,
        )
        if not found:
            raise SourceDamaged(f"The run {run_id} was removed from {self._path} meanwhile.")
        experiment, name, status, start_ms, end_ms, artifact_uri = found[0]
        run = MlflowRun(
            run_id,
            experiment,
            name or "",
            status or "",
            start_ms or 0,
            end_ms,
            dict(self._read("SELECT key, value FROM params WHERE run_uuid = ?", run_id)),
            {key: value or "" for key, value in self._read("SELECT key, value FROM tags WHERE run_uuid = ?", run_id)},
            artifact_uri or "",
            self._models(run_id),
        )
        metrics = [key for (key,) in self._read("SELECT DISTINCT key FROM metrics WHERE run_uuid = ?", run_id)]
        return source_run(run, metrics, partial(self._rows, run_id))

    def _models(self, run_id: str) -> list[LoggedModel]:
        if not self._read("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'logged_models'"):
            return []  # of a version before 3
        found = self._read(
            "SELECT creation_timestamp_ms, model_id, name, artifact_location FROM logged_models WHERE source_run_id = ? AND "
            "lifecycle_stage = 'active'",
            run_id,
        )
        return [LoggedModel(*row) for row in found]

    def _rows(self, run_id: str, key: str) -> Iterator[Row]:
        # In pieces: while a statement is being read nobody can write to the database.
        step, row_id = _STEP_BEFORE_ALL, 0
        while True:
            found = self._read(
                "SELECT step, rowid, timestamp, value, is_nan FROM metrics WHERE run_uuid = ? AND key = ? AND (step, rowid) "
                "> (?, ?) ORDER BY step, rowid LIMIT ?",
                run_id,
                key,
                step,
                row_id,
                ROWS_PER_READ,
            )
            for row_step, _, time_ms, value, is_nan in found:
                yield Row(row_step, time_ms * 1000, {key: number_of(value, is_nan=bool(is_nan))})
            if len(found) < ROWS_PER_READ:
                return
            step, row_id = found[-1][:2]

    def _read(self, statement: str, *values: str | int) -> list[tuple]:
        try:
            with closing(
                sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
            ) as connection:
                # Views and triggers of a foreign database call no functions.
                connection.execute("PRAGMA trusted_schema = OFF")
                return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise SourceDamaged(f"{self._path} cannot be read as a database of MLflow: {error}.") from None
        except sqlite3.DatabaseError as error:
            raise SourceDamaged(f"{self._path} is damaged: {error}.") from None
