"""Runs of W&B that were logged offline: `wandb/offline-run-<time>-<id>/run-<id>.wandb`.

A run is recognised by entity, project and id, as W&B's server does it: folders with the same ones are one run that was
resumed. A file is a part. Nested names are joined by dots, as W&B shows them. Its system metrics become `system/...`, by
seconds since the start. A file without an exit record is of a run that was killed, or that still goes on: it counts as
crashed, until it says otherwise. Beside it, in `files/`, lie the files of the run: media, its output, what W&B noted. Its
artifacts are in the records, with their bytes elsewhere: see `penstock.importers.wandb.artifacts`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from penstock.errors import NotFound
from penstock.importers.files import files_below
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
from penstock.importers.wandb.artifacts import ArtifactFolders, artifacts_of
from penstock.importers.wandb.records import records_of

__all__ = ["WandbOfflineSource"]

_NO_EXIT: Final = "The offline file ends without saying how the run ended."
_NESTING_MAX: Final = 32
_MICROS: Final = 1_000_000


class WandbOfflineSource:
    """Offline runs of W&B.

    Args:
        path: A folder `wandb` or one above it, one `offline-run-*`, or one `.wandb` file.
        artifact_files: Folders where files of artifacts may be read, beside W&B's own and the run's.
    """

    tool = "wandb-offline"

    def __init__(self, path: Path, artifact_files: Sequence[Path] = ()) -> None:
        self._path = path.absolute()
        self._folders = ArtifactFolders(artifact_files)
        self.location = str(self._path)

    def entries(self) -> Sequence[SourceEntry]:
        """See `Source`."""
        if not self._path.exists():
            raise NotFound(f"There is no {self._path}.", reason="SOURCE_NOT_FOUND")
        # `wandb/latest-run` is a link to one of the others.
        found_files = {path.resolve() for path in self._path.rglob("run-*.wandb")}
        files = [self._path] if self._path.is_file() else sorted(found_files)
        if not files:
            raise NotFound(f"{self._path} holds no run-*.wandb of an offline run.", reason="SOURCE_EMPTY")
        found: list[SourceEntry] = []
        runs: dict[tuple[str, str, str], list[Path]] = {}
        for path in files:
            try:
                run = next((record.run for record in records_of(path) if record.HasField("run")), None)
            except (SourceDamaged, OSError):
                run = None
            if run is None:
                # Read once more when its turn comes, to say what is wrong.
                found.append(SourceEntry(path.parent.name, partial(_nameless, path)))
            else:
                runs.setdefault((run.entity, run.project, run.run_id), []).append(path)
        found.extend(
            SourceEntry(files[0].parent.name, partial(_read, key, files, self._folders)) for key, files in runs.items()
        )
        return sorted(found, key=lambda entry: entry.label)


def _nameless(path: Path) -> SourceRun:
    for _ in records_of(path):
        pass
    raise SourceDamaged(f"{path} does not say what run it is of: it ends too early.")


def _read(identity: tuple[str, str, str], files: list[Path], folders: ArtifactFolders) -> SourceRun:
    entity, project, wandb_id = identity
    draft = RunDraft(experiment="/".join(filter(None, (entity, project))), start_time_us=0, state="CRASHED")
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    begins: Counter[int] = Counter()
    parts: list[Part] = []
    latest: dict[str, float] = {}
    last_us = 0
    for path in files:
        began_us = 0
        try:
            for record in records_of(path):
                if record.HasField("history"):
                    row = _history_row(record.history, draft)
                    latest.update(row.values)
                    last_us = max(last_us, row.time_us)
                elif record.HasField("stats"):
                    last_us = max(last_us, _moment_us(record.stats.timestamp))
                elif record.HasField("summary"):
                    _apply(summary, record.summary)
                elif record.HasField("config"):
                    _apply(config, record.config)
                elif record.HasField("run"):
                    began_us = began_us or _moment_us(record.run.start_time)
                    _describe(draft, record.run, wandb_id)
                    _apply(config, record.run.config)
                    _apply(summary, record.run.summary)
                    last_us = max(last_us, draft.start_time_us)
                    # Also each time that it was resumed.
                    draft.state, draft.failure = "CRASHED", _NO_EXIT
                elif record.HasField("use_artifact"):
                    draft.leave_out(
                        "It used artifacts of W&B's server, which no file tells more of than their names: see its tags "
                        "`wandb.used.*`."
                    )
                    draft.add_tag(f"wandb.used.{record.use_artifact.name}", record.use_artifact.type)
                elif record.HasField("exit"):
                    draft.state = "FAILED" if record.exit.exit_code else "FINISHED"
                    draft.failure = f"Exit code {record.exit.exit_code}." if record.exit.exit_code else ""
        except SourceDamaged:
            # Found again, and told, when the points are read.
            pass
        # A file may be moved: it is recognised by when it was begun.
        parts.append(Part(f"{began_us}.{begins[began_us]}", partial(_rows, path)))
        begins[began_us] += 1
    draft.end_time_us = last_us
    for key, value in _flat(config):
        draft.add_param(key, value)
    for key, value in _flat(summary):
        # W&B repeats the last value of each metric there. What the user set beside is what counts.
        if _number(value) is None or repr(latest.get(key)) != repr(_number(value)):
            draft.add_summary(key, value)
    return draft.finished(
        derived_id("wandb", *identity), parts, partial(_files, files), partial(artifacts_of, files, folders)
    )


def _files(records: list[Path]) -> Iterator[SourceFile]:
    """The files that W&B keeps beside a record of a run: of several folders the newest that has one."""
    seen: set[str] = set()
    for path in sorted(records, key=lambda path: path.parent.name, reverse=True):
        for file in files_below(path.parent / "files"):
            if file.path not in seen:
                seen.add(file.path)
                yield file


def _describe(draft: RunDraft, run: Any, wandb_id: str) -> None:
    started_us = _moment_us(run.start_time)
    draft.start_time_us = min(draft.start_time_us, started_us) if draft.start_time_us else started_us
    draft.display_name = run.display_name or draft.display_name
    draft.notes = run.notes or draft.notes
    draft.group = run.run_group or draft.group
    for tag in run.tags:
        draft.add_tag(tag, "")
    told = {
        "id": wandb_id,
        "job_type": run.job_type,
        "sweep": run.sweep_id,
        "host": run.host,
        "git.remote": run.git.remote_url,
        "git.commit": run.git.commit,
    }
    for key, value in told.items():
        if value:
            draft.add_tag(f"wandb.{key}", value)


def _rows(path: Path) -> Iterator[Row]:
    start_us = 0
    draft = RunDraft("", 0)
    for record in records_of(path):
        if record.HasField("history"):
            row = _history_row(record.history, draft)
            if row.values:
                yield row
        elif record.HasField("stats"):
            moment_us = _moment_us(record.stats.timestamp)
            values = {f"system/{_name(item)}": _number(_parsed(item.value_json)) for item in record.stats.item}
            numbers = {key: value for key, value in sorted(values.items()) if value is not None}
            if numbers:
                yield Row((moment_us - start_us) // _MICROS, moment_us, numbers)
        elif record.HasField("run"):
            start_us = start_us or _moment_us(record.run.start_time)


def _history_row(history: Any, draft: RunDraft) -> Row:
    """The numbers of one `wandb.log`. What is no number is noted as left out."""
    step = history.step.num
    moment_us = 0
    values: dict[str, float] = {}
    # A histogram or an image is a mapping with its kind in it, and may come in pieces.
    media: set[str] = set()
    nested: dict[str, Any] = {}
    for item in history.item:
        name = _name(item)
        value = _value(item)
        if name == "_timestamp":
            moment_us = time_us(_number(value) or 0.0)
        elif name == "_step":
            step = value if isinstance(value, int) else step
        elif name.endswith("._type"):
            media.add(name.removesuffix("._type"))
        elif not name.startswith("_"):
            nested[name] = value
    for name, value in _flat(nested, media):
        if any(name == kind or name.startswith(f"{kind}.") for kind in media):
            draft.leave_out(
                "Of images, tables and other media the files were kept, but not their steps; histograms were left out."
            )
            continue
        number = _number(value)
        if number is None:
            draft.leave_out(f"Values of {name[:60]!r} that are no numbers were left out.")
        else:
            values[name] = number
    # In the file the order is by chance; rows of the same metrics shall look the same.
    return Row(step, moment_us, dict(sorted(values.items())))


def _flat(
    nested: dict[str, Any], media: set[str] | None = None, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings but those that W&B keeps for itself. Collects the names of media."""
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if name.startswith("_"):
            continue
        if isinstance(value, dict) and "_type" in value:
            if media is not None:
                media.add(name)
                yield name, None
        elif isinstance(value, dict) and value and depth < _NESTING_MAX:
            yield from _flat(value, media, f"{name}.", depth + 1)
        else:
            yield name, value


def _apply(into: dict[str, Any], update: Any) -> None:
    """Applies the changes of a config or summary record."""
    for item in update.remove:
        parent, last = _place(into, item)
        parent.pop(last, None)
    for item in update.update:
        parent, last = _place(into, item)
        parent[last] = _parsed(item.value_json)


def _place(into: dict[str, Any], item: Any) -> tuple[dict[str, Any], str]:
    path = list(item.nested_key) or [item.key]
    for key in path[:-1]:
        inner = into.get(key)
        if not isinstance(inner, dict):
            inner = into[key] = {}
        into = inner
    return into, path[-1]


def _name(item: Any) -> str:
    return ".".join(item.nested_key) or item.key


def _value(item: Any) -> Any:
    for typed in ("boolean", "integer", "number"):
        if item.HasField(typed):
            return getattr(item, typed)
    return _parsed(item.value_json)


def _parsed(text: str) -> Any:
    try:
        # NaN, Infinity and -Infinity as well, which W&B writes as they are.
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> float | None:
    if not isinstance(value, (bool, int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _moment_us(moment: Any) -> int:
    return moment.seconds * _MICROS + moment.nanos // 1000
