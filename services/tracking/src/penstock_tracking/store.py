"""Experiments and runs as documents. Owns the layout of their bodies; raises the nouns of `errors`.

Partition = project id. Collections: `experiments` (id = decimal experiment id), `runs` (id = run id), `counters`, and what
other rooms keep. A document's version is its etag.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from penstock_kit.search.kept import KEPT_COLUMNS
from penstock_kit.stores.documents import (
    BODY_BYTES_MAX,
    Collection,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    DocumentTooLarge,
    Index,
    Insert,
    Operation,
    Replace,
    UniqueConflict,
    VersionConflict,
)
from penstock_kit.threads import in_thread
from penstock_tracking.alerts.store import ALERT_COLLECTIONS
from penstock_tracking.domain import (
    Dataset,
    DatasetUse,
    Experiment,
    JsonText,
    LifecycleStage,
    MetricDefinition,
    ModelOutput,
    ParamChange,
    Run,
    RunState,
    Value,
)
from penstock_tracking.errors import EtagMismatch, ExperimentExists, ExperimentNotFound, RunNotFound, RunTooLarge
from penstock_tracking.logged_models.store import LOGGED_MODEL_COLLECTIONS
from penstock_tracking.segments.manifest import SEGMENT_COLLECTIONS

__all__ = [
    "COLLECTIONS",
    "DEFAULT_EXPERIMENT_ID",
    "EXPERIMENTS",
    "RUNS",
    "WRITERS",
    "WRITE_ATTEMPTS_MAX",
    "Stored",
    "TrackingStore",
    "run_from_document",
]

EXPERIMENTS: Final = "experiments"
RUNS: Final = "runs"
COUNTERS: Final = "counters"
LATEST: Final = "latest"
DATASETS: Final = "datasets"
WRITERS: Final = "writers"
DEFAULT_EXPERIMENT_ID: Final = "0"
DATASET_FIELDS: Final = ("name", "digest", "source_type", "source", "schema", "profile")
WRITE_ATTEMPTS_MAX = 20  # concurrent writers of one document make progress one at a time

COLLECTIONS: Final = (
    Collection(
        EXPERIMENTS,
        (
            # Only active experiments carry `active_name`, so a deleted one does not hold its name.
            Index("active_name", ("active_name",), unique=True),
            Index("created", ("create_us",)),
            Index("named", ("display_name",)),
        ),
    ),
    Collection(
        RUNS,
        (
            Index("experiment", ("experiment",)),
            # Only runs with a heartbeat lease carry `leased`.
            Index("leased", ("leased",)),
        ),
    ),
    Collection(COUNTERS),
    Collection(LATEST),
    Collection(DATASETS),
    Collection(KEPT_COLUMNS),
    *SEGMENT_COLLECTIONS,
    *LOGGED_MODEL_COLLECTIONS,
    *ALERT_COLLECTIONS,
    # Only writers that renew the lease of their run carry `leased`.
    Collection(WRITERS, (Index("leased", ("leased",)),)),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value as it was read, with the version to replace it by."""

    value: T
    version: int

    @property
    def etag(self) -> str:
        """The version as text for the wire."""
        return str(self.version)


class TrackingStore:
    """Domain nouns over the document store."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents
        self._turns: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    async def experiment(self, project: str, experiment_id: str) -> Stored[Experiment]:
        """Returns an experiment. Raises `ExperimentNotFound`. The default one of a project always exists."""
        try:
            document = await self._documents.get(EXPERIMENTS, project, experiment_id)
        except DocumentMissing:
            if experiment_id == DEFAULT_EXPERIMENT_ID:
                return await self._default_experiment(project)
            raise ExperimentNotFound(f"There is no experiment {experiment_id} in the project {project}.") from None
        return _stored_experiment(document)

    async def _default_experiment(self, project: str) -> Stored[Experiment]:
        default = Experiment(project, DEFAULT_EXPERIMENT_ID, "Default", create_us=0, update_us=0)
        try:
            return _stored_experiment(
                await self._documents.insert(
                    EXPERIMENTS, project, DEFAULT_EXPERIMENT_ID, _experiment_body(default, request_id="")
                )
            )
        except DocumentExists:
            return _stored_experiment(await self._documents.get(EXPERIMENTS, project, DEFAULT_EXPERIMENT_ID))

    async def active_experiment_named(self, project: str, display_name: str) -> Stored[Experiment] | None:
        """Returns the active experiment with a display name, or None."""
        await self.experiment(project, DEFAULT_EXPERIMENT_ID)
        page = await self._documents.query(EXPERIMENTS, project, "active_name", equal=(display_name,), limit=1)
        return _stored_experiment(page.documents[0]) if page.documents else None

    async def experiments_named(self, project: str, display_name: str) -> list[Stored[Experiment]]:
        """Returns the experiments with a display name, deleted ones too, by id."""
        await self.experiment(project, DEFAULT_EXPERIMENT_ID)
        page = await self._documents.query(EXPERIMENTS, project, "named", equal=(display_name,), limit=1_000)
        return [_stored_experiment(document) for document in page.documents]

    async def require_free_name(self, experiment: Experiment) -> None:
        """Raises `ExperimentExists` if an active experiment has the display name."""
        if await self.active_experiment_named(experiment.project, experiment.display_name) is not None:
            raise _name_taken(experiment)

    async def experiments(
        self, project: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Stored[Experiment]], bytes | None]:
        """Returns experiments, newest first, deleted ones too, and where to go on."""
        await self.experiment(project, DEFAULT_EXPERIMENT_ID)
        page = await self._documents.query(EXPERIMENTS, project, "created", descending=True, limit=limit, cursor=cursor)
        return [_stored_experiment(document) for document in page.documents], page.cursor

    async def add_experiment(
        self, make: Callable[[str], Experiment], project: str, request_key: str
    ) -> Stored[Experiment]:
        """Adds an experiment under the next id of its project. Raises `ExperimentExists`.

        Args:
            make: Makes the experiment from its id.
            request_key: A former create with the same key is returned instead. Empty means never.
        """
        await self.experiment(project, DEFAULT_EXPERIMENT_ID)
        async with self._turn(COUNTERS, project, EXPERIMENTS):
            for _ in range(WRITE_ATTEMPTS_MAX):
                if request_key:
                    try:
                        made = await self._documents.get(COUNTERS, project, f"request-{request_key}")
                        return await self.experiment(project, str(made.body["experiment"]))
                    except DocumentMissing:
                        pass
                operations: list[Operation] = []
                try:
                    counter = await self._documents.get(COUNTERS, project, EXPERIMENTS)
                    number = int(counter.body["last"]) + 1
                    operations.append(Replace(COUNTERS, EXPERIMENTS, {"last": number}, counter.version))
                except DocumentMissing:
                    number = 1
                    operations.append(Insert(COUNTERS, EXPERIMENTS, {"last": number}))
                experiment = make(str(number))
                operations.append(
                    Insert(EXPERIMENTS, experiment.experiment_id, _experiment_body(experiment, request_id=request_key))
                )
                if request_key:
                    operations.append(
                        Insert(COUNTERS, f"request-{request_key}", {"experiment": experiment.experiment_id})
                    )
                try:
                    written = await self._documents.apply(project, operations)
                except UniqueConflict:
                    raise _name_taken(experiment) from None
                except (VersionConflict, DocumentExists):
                    continue
                document = written[1]
                assert document is not None
                return _stored_experiment(document)
        raise EtagMismatch(f"Too many experiments are being created in {project} at once; try again.")

    async def change_experiment(
        self, project: str, experiment_id: str, change: Callable[[Experiment], Experiment], *, etag: str = ""
    ) -> Stored[Experiment]:
        """Replaces an experiment as `change_run` does a run.

        Raises `EtagMismatch`, `ExperimentExists`, `ExperimentNotFound`.
        """
        async with self._turn(EXPERIMENTS, project, experiment_id):
            for _ in range(WRITE_ATTEMPTS_MAX):
                stored = await self.experiment(project, experiment_id)
                if etag and etag != stored.etag:
                    raise EtagMismatch("The experiment changed since it was read: read it again and decide anew.")
                changed = change(stored.value)
                if changed is stored.value:
                    return stored
                body = _experiment_body(changed, request_id="")
                try:
                    document = await self._documents.replace(
                        EXPERIMENTS, project, experiment_id, body, expected=stored.version
                    )
                except VersionConflict:
                    continue
                except UniqueConflict:
                    raise _name_taken(changed) from None
                except DocumentMissing:
                    raise ExperimentNotFound(f"There is no experiment {experiment_id}.") from None
                return _stored_experiment(document)
        raise EtagMismatch("The experiment is being changed by too many callers at once; try again.")

    async def run(self, project: str, run_id: str) -> Stored[Run]:
        """Returns a run. Raises `RunNotFound`."""
        try:
            return stored_run(await self._documents.get(RUNS, project, run_id))
        except DocumentMissing:
            raise RunNotFound(f"There is no run {run_id} in the project {project}.") from None

    async def runs(self, project: str, run_ids: Sequence[str]) -> dict[str, Stored[Run]]:
        """Returns those of the runs that exist, by id."""
        documents = await self._documents.get_many(RUNS, project, run_ids)
        return await in_thread(lambda: {run_id: stored_run(document) for run_id, document in documents.items()})

    async def add_run(self, run: Run) -> tuple[Stored[Run], bool]:
        """Adds a run, unless there is one with its id: returns what is there then, and whether it was added.

        Raises `RunTooLarge`.
        """
        try:
            document = await self._documents.insert(RUNS, run.project, run.run_id, run_body(run))
        except DocumentExists:
            return await self.run(run.project, run.run_id), False
        except DocumentTooLarge:
            raise _too_large(run) from None
        return stored_run(document), True

    async def change_run(
        self,
        project: str,
        run_id: str,
        change: Callable[[Run], Run],
        *,
        etag: str = "",
        before_write: Callable[[], Awaitable[None]] | None = None,
        beside: Sequence[Operation] = (),
    ) -> Stored[Run]:
        """Replaces a run by what `change` makes of it, repeating when somebody else is quicker.

        Args:
            change: May be called several times. Returning the same object writes nothing. What it raises passes.
            etag: If not empty, the run must still be as it was then: raises `EtagMismatch` otherwise.
            before_write: Awaited each time after the run was read and before it is written. What it raises passes.
            beside: What else is written in the same step, all or nothing. `DocumentExists` of it passes.

        Raises:
            RunNotFound: There is none.
            RunTooLarge: It would exceed what the store takes.
        """
        async with self._turn(RUNS, project, run_id):
            for _ in range(WRITE_ATTEMPTS_MAX):
                stored = await self.run(project, run_id)
                if etag and etag != stored.etag:
                    raise EtagMismatch("The run changed since it was read: read it again and decide anew.")
                changed = change(stored.value)
                if changed is stored.value:
                    return stored
                if before_write is not None:
                    await before_write()
                body = run_body(changed)
                try:
                    if not beside:
                        return stored_run(
                            await self._documents.replace(RUNS, project, run_id, body, expected=stored.version)
                        )
                    written = await self._documents.apply(
                        project, [Replace(RUNS, run_id, body, stored.version), *beside]
                    )
                    assert written[0] is not None
                    return stored_run(written[0])
                except VersionConflict:
                    continue
                except DocumentMissing:
                    raise RunNotFound(f"There is no run {run_id} in the project {project}.") from None
                except DocumentTooLarge:
                    raise _too_large(changed) from None
        raise EtagMismatch("The run is being changed by too many writers at once; try again.")

    def _turn(self, collection: str, project: str, document_id: str) -> asyncio.Lock:
        """Held by whoever changes a record: the many ranks of a run would else take each other's attempts away."""
        return self._turns.setdefault((collection, project, document_id), asyncio.Lock())

    async def runs_of_experiment(self, project: str, experiment_id: str) -> list[Run]:
        """Returns every run of an experiment, deleted ones too."""
        return await self._all_runs(project, "experiment", (experiment_id,))

    async def leased_runs(self) -> list[Run]:
        """Returns every run, of all projects, that counts as crashed when its heartbeats stop."""
        found: list[Run] = []
        for project in await self._documents.partitions(RUNS):
            found.extend(await self._all_runs(project, "leased", (True,)))
        return found

    async def _all_runs(self, project: str, index: str, equal: tuple[str | bool, ...]) -> list[Run]:
        runs: list[Run] = []
        cursor: bytes | None = None
        while True:
            page = await self._documents.query(RUNS, project, index, equal=equal, limit=1000, cursor=cursor)
            runs.extend(run_from_document(document) for document in page.documents)
            if page.cursor is None:
                return runs
            cursor = page.cursor

    async def keep_datasets(self, project: str, datasets: Mapping[str, Dataset]) -> None:
        """Keeps datasets by id. What is kept of one already stays."""
        there = await self._documents.get_many(DATASETS, project, list(datasets))
        for dataset_id, dataset in datasets.items():
            if dataset_id in there:
                continue
            body = {name: getattr(dataset, name) for name in DATASET_FIELDS}
            try:
                await self._documents.insert(DATASETS, project, dataset_id, body)
            except DocumentExists:
                continue  # somebody else was quicker

    async def datasets(self, project: str, dataset_ids: Sequence[str]) -> dict[str, Dataset]:
        """Returns those of the datasets that are kept, by id."""
        documents = await self._documents.get_many(DATASETS, project, list(dict.fromkeys(dataset_ids)))
        return {
            dataset_id: Dataset(**{name: document.body[name] for name in DATASET_FIELDS})
            for dataset_id, document in documents.items()
        }

    async def latest_snapshot(self, project: str, run_id: str) -> Document | None:
        """Returns the kept latest values of a run, or None. They may be lost: they are rebuilt from the log."""
        found = await self._documents.get_many(LATEST, project, [run_id])
        return found.get(run_id)

    async def keep_latest_snapshot(self, project: str, run_id: str, body: Mapping[str, Any], version: int) -> None:
        """Keeps latest values, unless they are too large. Losing a race against another replica is fine: either is right."""
        try:
            if version:
                await self._documents.replace(LATEST, project, run_id, body, expected=version)
            else:
                await self._documents.insert(LATEST, project, run_id, body)
        except (VersionConflict, DocumentExists, DocumentMissing, DocumentTooLarge):
            return


def _too_large(run: Run) -> RunTooLarge:
    return RunTooLarge(
        f"The record of the run {run.run_id} would be larger than {BODY_BYTES_MAX:,} bytes: its params, tags, "
        "summary and the history of its params are too long together.",
        limit="BODY_BYTES_MAX",
    )


def _name_taken(experiment: Experiment) -> ExperimentExists:
    return ExperimentExists(
        f"The project {experiment.project} has an active experiment named {experiment.display_name!r}.",
        display_name=experiment.display_name,
    )


def _experiment_body(experiment: Experiment, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "display_name": experiment.display_name,
        "description": experiment.description,
        "tags": [[key, text] for key, text in experiment.tags.items()],
        "lifecycle": int(experiment.lifecycle_stage),
        "deleted_us": experiment.deleted_us,
        "create_us": experiment.create_us,
        "update_us": experiment.update_us,
        "request": request_id,
    }
    if experiment.active:
        body["active_name"] = experiment.display_name
    if experiment.artifact_location:
        body["artifact_location"] = experiment.artifact_location
    return body


def _stored_experiment(document: Document) -> Stored[Experiment]:
    body = document.body
    return Stored(
        Experiment(
            project=document.partition,
            experiment_id=document.id,
            display_name=body["display_name"],
            description=body["description"],
            tags=dict(body["tags"]),
            artifact_location=body.get("artifact_location", ""),
            lifecycle_stage=LifecycleStage(body["lifecycle"]),
            deleted_us=body["deleted_us"],
            create_us=body["create_us"],
            update_us=body["update_us"],
        ),
        document.version,
    )


def _packed(value: Value) -> Any:
    return {"json": value.text} if isinstance(value, JsonText) else value


def _unpacked(value: Any) -> Value:
    return JsonText(value["json"]) if isinstance(value, dict) else value


def run_body(run: Run) -> dict[str, Any]:
    """A run as the body of a document. User keys are values, never field names: they may hold dots and dollars."""
    body: dict[str, Any] = {
        "experiment": run.experiment_id,
        "display_name": run.display_name,
        "state": int(run.state),
        "lifecycle": int(run.lifecycle_stage),
        "start_us": run.start_us,
        "end_us": run.end_us,
        "heartbeat_us": run.heartbeat_us,
        "create_us": run.create_us,
        "update_us": run.update_us,
        "deleted_us": run.deleted_us,
        "creator": run.creator,
        "notes": run.notes,
        "group": run.group,
        "forked_from": run.forked_from,
        "fork_step": run.fork_step,
        "failure": run.failure,
        "ranks": list(run.ranks),
        "log_key": run.log_key,
        "params": [[key, _packed(value)] for key, value in run.params.items()],
        "tags": [[key, text] for key, text in run.tags.items()],
        "summary": [[key, _packed(value)] for key, value in run.summary.items()],
        "definitions": [[d.key, d.x_key, d.goal, d.summary] for d in run.metric_definitions.values()],
        "param_history": [[c.key, _packed(c.value), c.replace_us, c.principal] for c in run.param_history],
    }
    if run.leased:
        body["leased"] = True
    # Few runs have these.
    if run.user:
        body["user"] = run.user
    if run.artifact_location:
        body["artifact_location"] = run.artifact_location
    if run.datasets:
        body["datasets"] = [
            [use.dataset_id, use.name, use.digest, [list(tag) for tag in use.tags]] for use in run.datasets
        ]
    if run.input_models:
        body["input_models"] = list(run.input_models)
    if run.output_models:
        body["output_models"] = [[output.model_id, output.step] for output in run.output_models]
    if run.alert_count:
        body["alert_count"] = run.alert_count
    return body


def run_from_document(document: Document) -> Run:
    """The run in a document."""
    body = document.body
    return Run(
        project=document.partition,
        run_id=document.id,
        log_key=body["log_key"],
        experiment_id=body["experiment"],
        display_name=body["display_name"],
        creator=body["creator"],
        create_us=body["create_us"],
        update_us=body["update_us"],
        start_us=body["start_us"],
        end_us=body["end_us"],
        heartbeat_us=body["heartbeat_us"],
        state=RunState(body["state"]),
        lifecycle_stage=LifecycleStage(body["lifecycle"]),
        deleted_us=body["deleted_us"],
        leased=bool(body.get("leased", False)),
        notes=body["notes"],
        group=body["group"],
        forked_from=body["forked_from"],
        fork_step=body["fork_step"],
        failure=body["failure"],
        user=body.get("user", ""),
        artifact_location=body.get("artifact_location", ""),
        ranks=tuple(body["ranks"]),
        params={key: _unpacked(value) for key, value in body["params"]},
        tags=dict(body["tags"]),
        summary={key: _unpacked(value) for key, value in body["summary"]},
        metric_definitions={d[0]: MetricDefinition(*d) for d in body["definitions"]},
        param_history=tuple(ParamChange(c[0], _unpacked(c[1]), c[2], c[3]) for c in body["param_history"]),
        datasets=tuple(
            DatasetUse(dataset_id, name, digest, tuple((key, text) for key, text in tags))
            for dataset_id, name, digest, tags in body.get("datasets", ())
        ),
        input_models=tuple(body.get("input_models", ())),
        output_models=tuple(ModelOutput(model_id, step) for model_id, step in body.get("output_models", ())),
        alert_count=body.get("alert_count", 0),
    )


def stored_run(document: Document) -> Stored[Run]:
    """The run in a document, with its version."""
    return Stored(run_from_document(document), document.version)
