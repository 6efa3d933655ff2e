"""Lineage: from datasets to runs to versions of models and on to who used them, in both directions.

The registry knows runs and datasets of versions; what runs used is asked of tracking and of the artifact service. Without
their addresses it ends there.
"""

from dataclasses import dataclass
from typing import Final

from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.calling import Neighbour
from penstock_kit.errors import NotFound
from penstock_kit.names import ModelName, ModelVersionName, RunName
from penstock_registry.artifacts import Artifacts
from penstock_registry.domain import Dataset
from penstock_registry.search import ModelIndex, Query
from penstock_registry.service import RegistryService

__all__ = ["DATASET_RUNS_MAX", "Lineage", "Runs", "VersionLineage"]

VERSIONS_MAX: Final = 1_000
DATASET_RUNS_MAX: Final = 300
"""Their versions are searched for with a filter that names them all."""
CONTEXT_TAG: Final = "mlflow.data.context"
"""By which clients of MLflow, and ours, say what a dataset was used for."""
SOURCE_CHARS_MAX: Final = 2_000


class Runs:
    """The tracking service, as the registry sees it.

    Args:
        neighbour: How it is called.
    """

    def __init__(self, neighbour: Neighbour) -> None:
        self._neighbour = neighbour

    async def datasets(self, run: RunName) -> list[Dataset]:
        """The datasets that a run used; none if there is no such run. Raises `NeighbourUnavailable`."""
        try:
            found = (await self._neighbour.call("GetRun", pb.GetRunRequest(name=str(run)))).run
        except NotFound:
            return []
        return [
            Dataset(
                name=use.dataset.name,
                digest=use.dataset.digest,
                source_uri=use.dataset.source if len(use.dataset.source) <= SOURCE_CHARS_MAX else "",
                context=next((tag.value for tag in use.tags if tag.key == CONTEXT_TAG), "")[:250],
            )
            for use in found.datasets
        ]

    async def using(self, project: str, name: str, digest: str) -> list[str]:
        """The ids of runs that used a dataset, newest first, at most `DATASET_RUNS_MAX`. Raises `NeighbourUnavailable`."""
        request = pb.SearchRunsRequest(
            parent=f"projects/{project}",
            filter=f"datasets.* = {_quoted(name)} and dataset_digests.* = {_quoted(digest)}",
            page_size=DATASET_RUNS_MAX,
            columns=["datasets"],
        )
        found = (await self._neighbour.call("SearchRuns", request)).runs
        # Name and digest are sets of their own to a search: they may be of two datasets.
        same = (name, digest)
        return [
            RunName.parse(run.name).run_id
            for run in found
            if any((use.dataset.name, use.dataset.digest) == same for use in run.datasets)
        ]


@dataclass(frozen=True, slots=True)
class VersionLineage:
    """What a version was made from, and what came of it. Names are whole, but for that of the run, which is an id.

    Attributes:
        run_id: The run that made it; empty if none did.
        datasets: What the version says it was trained on.
        run_datasets: What the run used.
        used_artifacts: The versions of artifacts that the run used.
        runs_using: The runs that used its files.
        versions_of_run: Other versions that the run made.
        versions_of_manifest: Other versions with the same files.
    """

    run_id: str
    datasets: tuple[Dataset, ...]
    run_datasets: list[Dataset]
    used_artifacts: list[str]
    runs_using: list[str]
    versions_of_run: list[str]
    versions_of_manifest: list[str]


class Lineage:
    """Answers where things come from and where they went.

    Args:
        service: Versions.
        index: Searches over them.
        artifacts: The artifact service, None where it is not known.
        runs: The tracking service, None where it is not known.
    """

    def __init__(
        self, service: RegistryService, index: ModelIndex, artifacts: Artifacts | None, runs: Runs | None
    ) -> None:
        self._service = service
        self._index = index
        self._artifacts = artifacts
        self._runs = runs

    async def of_version(self, name: ModelVersionName) -> VersionLineage:
        """The lineage of a version. Raises `ModelNotFound`, `VersionNotFound`, `NeighbourUnavailable`."""
        _, stored = await self._service.get_version(name)
        version, project = stored.value, name.model.project
        run_datasets: list[Dataset] = []
        used: list[str] = []
        using: list[str] = []
        if version.run_id:
            run = RunName(project, version.run_id)
            if self._runs is not None:
                run_datasets = await self._runs.datasets(run)
            if self._artifacts is not None:
                used = await self._artifacts.used_by(project, str(run))
        if version.artifact_version and self._artifacts is not None:
            using = await self._artifacts.runs_using(project, version.artifact_version)
        return VersionLineage(
            version.run_id,
            version.datasets,
            run_datasets,
            used,
            using,
            await self._others(name, "run", version.run_id),
            await self._others(name, "artifact_manifest", version.artifact_manifest),
        )

    async def of_dataset(self, project: str, name: str, digest: str) -> tuple[list[str], list[str]]:
        """The ids of the runs that used a dataset, and the names of the versions that came of it.

        Raises `NeighbourUnavailable`.
        """
        runs = list[str]() if self._runs is None else await self._runs.using(project, name, digest)
        clauses = [f"datasets.{_quoted(name)} = {_quoted(digest)}"]
        if runs:
            clauses.append(f"run in ({', '.join(map(_quoted, runs))})")
        return runs, await self._versions(project, " or ".join(clauses))

    async def _others(self, name: ModelVersionName, attribute: str, value: str) -> list[str]:
        """The names of other versions of the project with the same value of an attribute; none if it is empty."""
        if not value:
            return []
        found = await self._versions(name.model.project, f"{attribute} = {_quoted(value)}")
        return [other for other in found if other != str(name)][:VERSIONS_MAX]

    async def _versions(self, project: str, which: str) -> list[str]:
        page = await self._index.versions(project, Query(which, "", VERSIONS_MAX + 1, "", ""))
        return [
            str(ModelVersionName(ModelName(project, model_id), int(version_id.rpartition("/")[2])))
            for version_id, model_id in zip(page.ids, page.model_ids, strict=True)
        ]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
