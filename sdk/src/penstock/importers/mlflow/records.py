"""What MLflow's three kinds of stores have in common: a run's record, and what becomes of it here."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from penstock.importers.files import files_below
from penstock.importers.model import Part, Row, RunDraft, SourceFile, SourceRun, derived_id

__all__ = ["INFINITY_IN_DATABASES", "MlflowRun", "number_of", "source_run"]

INFINITY_IN_DATABASES: Final = 1.7976931348623157e308
"""What MLflow writes into a database for an infinite value: the greatest double there is."""
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_NAME_TAG: Final = "mlflow.runName"
_NOTE_TAG: Final = "mlflow.note.content"
_PARENT_TAG: Final = "mlflow.parentRunId"
_STATES: Final = {
    "RUNNING": "RUNNING",
    "SCHEDULED": "RUNNING",
    "FINISHED": "FINISHED",
    "FAILED": "FAILED",
    "KILLED": "KILLED",
}


@dataclass(frozen=True, slots=True)
class MlflowRun:
    """A run as MLflow has it.

    Attributes:
        run_id: Its id.
        experiment: The name of its experiment.
        name: Its name; empty in old stores, where a tag has it.
        status: Such as `FINISHED`.
        start_ms: Milliseconds since 1970 UTC.
        end_ms: The same; None while it runs.
        params: As text.
        tags: All of them.
        artifact_uri: Where its files are; empty if that is not known.
    """

    run_id: str
    experiment: str
    name: str
    status: str
    start_ms: int
    end_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    artifact_uri: str = ""


def source_run(
    run: MlflowRun,
    metrics: Sequence[str],
    rows: Callable[[str], Iterator[Row]],
    files: Callable[[], Iterator[SourceFile]] | None = None,
) -> SourceRun:
    """The run as it is imported.

    Args:
        run: The run.
        metrics: The keys of its metrics.
        rows: Reads the points of one metric.
        files: Lists its files; without it, they are looked for where `artifact_uri` says.
    """
    tags = dict(run.tags)
    draft = RunDraft(
        experiment=run.experiment,
        start_time_us=run.start_ms * 1000,
        state=_STATES.get(run.status, "FINISHED"),
        end_time_us=None if run.end_ms is None else run.end_ms * 1000,
        display_name=tags.pop(_NAME_TAG, "") if not run.name else run.name,
        notes=tags.pop(_NOTE_TAG, ""),
        group=tags.get(_PARENT_TAG, ""),
    )
    tags.pop(_NAME_TAG, None)
    for key, value in sorted(run.params.items()):
        draft.add_param(key, _typed(value))
    for key, value in sorted(tags.items()):
        draft.add_tag(key, value)
    run_id = run.run_id if _RUN_ID.match(run.run_id) else derived_id("mlflow", run.run_id)
    parts = [Part(metric, partial(rows, metric), metric=metric) for metric in sorted(metrics)]
    if files is None and run.artifact_uri:
        folder = _artifact_folder(run)
        if folder is not None:
            files = partial(files_below, folder)
        else:
            where = f"{run.artifact_uri[:200]!r}, which is not read directly"
            draft.leave_out(
                f"Files that it may have are at {where}: import from the tracking server to have them, too."
            )
    return draft.finished(run_id, parts, files or (lambda: iter(())))


def _artifact_folder(run: MlflowRun) -> Path | None:
    """The folder of a run's files; None if it is elsewhere."""
    parts = urlsplit(run.artifact_uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    folder = Path(unquote(parts.path) if parts.scheme else run.artifact_uri)
    # As MLflow lays them out. A foreign database must not make us publish whatever folder it names.
    return folder if folder.parts[-2:] == (run.run_id, "artifacts") and ".." not in folder.parts else None


def number_of(value: float, *, is_nan: bool = False) -> float:
    """A metric's value as it was logged, from one as databases hold it."""
    if is_nan:
        return float("nan")
    return float("inf") * (1 if value > 0 else -1) if abs(value) == INFINITY_IN_DATABASES else value


def _typed(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            if repr(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text
