"""MLflow's folder `mlruns`: experiments, in them runs, in them a file per param, tag and metric.

The records of experiments and runs are YAML, read by PyYAML's safe loader, which makes nothing but plain values.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from penstock.client.tables import require
from penstock.errors import NotFound
from penstock.importers.mlflow.records import LoggedModel, MlflowRun, source_run
from penstock.importers.model import Row, SourceDamaged, SourceEntry, SourceRun

__all__ = ["MlflowFolder"]

_META: Final = "meta.yaml"
_BIN: Final = ".trash"
_STATUSES: Final = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


class MlflowFolder:
    """A folder `mlruns`.

    Args:
        folder: The folder.

    Raises `MissingExtra` when PyYAML is not installed.
    """

    tool = "mlflow"

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.location = str(self._folder)
        self._yaml = require("yaml", "import-mlflow")
        self._models_of: dict[Path, dict[str, list[LoggedModel]]] = {}

    def entries(self) -> Sequence[SourceEntry]:
        """See `Source`."""
        found: list[SourceEntry] = []
        for path in sorted(self._folder.glob(f"*/*/{_META}")):
            folder = path.parent
            # Beside runs there are models and traces, which have no folder of metrics.
            if folder.parent.name != _BIN and (folder / "metrics").is_dir():
                found.append(SourceEntry(folder.name, partial(self._run, folder)))
        if not found:
            raise NotFound(f"{self._folder} holds no run of MLflow.", reason="SOURCE_EMPTY")
        return [entry for entry in found if not self._is_deleted(entry.label)]

    def _is_deleted(self, run_id: str) -> bool:
        # One that cannot be read is told of when its turn comes.
        try:
            [path] = self._folder.glob(f"*/{run_id}/{_META}")
            return self._meta(path).get("lifecycle_stage") == "deleted"
        except (SourceDamaged, OSError, ValueError):
            return False

    def _run(self, folder: Path) -> SourceRun:
        meta = self._meta(folder / _META)
        experiment = self._meta(folder.parent / _META)
        try:
            run = MlflowRun(
                str(meta.get("run_id") or meta["run_uuid"]),
                str(experiment["name"]),
                str(meta.get("run_name") or ""),
                _STATUSES.get(meta.get("status", 0), ""),
                int(meta["start_time"]),
                None if meta.get("end_time") is None else int(meta["end_time"]),
                _texts(folder / "params"),
                _texts(folder / "tags"),
                # Beside the record, wherever the folder was moved to; or elsewhere, if MLflow was told so.
                str(beside) if (beside := folder / "artifacts").is_dir() else str(meta.get("artifact_uri") or ""),
                self._models(folder.parent).get(folder.name, ()),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SourceDamaged(f"{folder / _META} is not the record of a run: {error}.") from None
        metrics = {path.relative_to(folder / "metrics").as_posix(): path for path in _files(folder / "metrics")}
        return source_run(run, list(metrics), lambda key: _rows(key, metrics[key]))

    def _models(self, experiment: Path) -> dict[str, list[LoggedModel]]:
        """The logged models of an experiment by the run that logged them."""
        if experiment not in self._models_of:
            found: dict[str, list[LoggedModel]] = {}
            for path in sorted(experiment.glob(f"models/*/{_META}")):
                meta = self._meta(path)
                if meta.get("lifecycle_stage") != "deleted" and meta.get("source_run_id"):
                    created_ms = int(meta.get("creation_timestamp") or 0)
                    model = LoggedModel(created_ms, path.parent.name, str(meta["name"]), str(path.parent / "artifacts"))
                    found.setdefault(str(meta["source_run_id"]), []).append(model)
            self._models_of[experiment] = found
        return self._models_of[experiment]

    def _meta(self, path: Path) -> dict[str, Any]:
        try:
            content = self._yaml.safe_load(path.read_bytes())
        except (self._yaml.YAMLError, UnicodeDecodeError) as error:
            raise SourceDamaged(f"{path} is damaged: {' '.join(str(error).split())[:200]}.") from None
        if not isinstance(content, dict):
            raise SourceDamaged(f"{path} is damaged: it holds no record.")
        return content


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace") for path in _files(folder)}


def _rows(key: str, path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                # Half-written, now or for ever.
                return
            try:
                time_ms, value, *rest = line.split()
                row = Row(int(rest[0]) if rest else 0, int(time_ms) * 1000, {key: float(value)})
            except ValueError:
                raise SourceDamaged(f"{path} is damaged in line {number:,}: what follows was not read.") from None
            yield row
