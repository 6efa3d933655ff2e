"""What MLflow's three kinds of stores have in common: a run's record, and what becomes of it here."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from penstock.importers.files import files_below
from penstock.importers.model import Part, Row, RunDraft, SourceFile, SourceRun, derived_id

__all__ = ["INFINITY_IN_DATABASES", "LoggedModel", "MlflowRun", "number_of", "places_of", "source_run"]

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


class LoggedModel(NamedTuple):
    """A model that a run logged, which MLflow keeps apart since version 3.

    Attributes:
        created_ms: Milliseconds since 1970 UTC.
        model_id: Its id.
        name: Its name.
        artifact_uri: Where its files are.
    """

    created_ms: int
    model_id: str
    name: str
    artifact_uri: str


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
        models: What models it logged.
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
    models: Sequence[LoggedModel] = ()


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
        files: Lists its files; without it, they are looked for where the run and its models say.
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
    return draft.finished(run_id, parts, files or partial(_files, _folders(run, draft)))


def places_of(models: Sequence[LoggedModel]) -> list[tuple[str, LoggedModel]]:
    """Where the files of models go among those of their run: below the model's name, as MLflow had them before version 3."""
    counts: Counter[str] = Counter()
    places: list[tuple[str, LoggedModel]] = []
    for model in sorted(models):
        counts[model.name] += 1
        # The first keeps its place when another of the same name is logged.
        number = "" if counts[model.name] == 1 else f"-{counts[model.name]}"
        places.append((f"{model.name}{number}", model))
    return places


def _files(folders: Sequence[tuple[str, Path]]) -> Iterator[SourceFile]:
    seen: set[str] = set()
    for prefix, folder in folders:
        for file in files_below(folder, prefix):
            if file.path not in seen:
                seen.add(file.path)
                yield file


def _folders(run: MlflowRun, draft: RunDraft) -> list[tuple[str, Path]]:
    """The folders of a run's files, each with what their paths begin with. Takes note of those that are elsewhere."""
    named = [(f"{place}/", model.artifact_uri, model.model_id) for place, model in places_of(run.models)]
    folders: list[tuple[str, Path]] = []
    for prefix, uri, owner in (("", run.artifact_uri, run.run_id), *named):
        folder = _artifact_folder(uri, owner)
        if folder is not None:
            folders.append((prefix, folder))
        elif uri:
            where = f"{uri[:200]!r}, which is not read directly"
            draft.leave_out(
                f"Files that it may have are at {where}: import from the tracking server to have them, too."
            )
    return folders


def _artifact_folder(uri: str, owner: str) -> Path | None:
    """The folder of files of a run or a model; None if it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    folder = Path(unquote(parts.path) if parts.scheme else uri)
    # As MLflow lays them out. A foreign database must not make us publish whatever folder it names.
    return folder if folder.parts[-2:] == (owner, "artifacts") and ".." not in folder.parts else None


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
