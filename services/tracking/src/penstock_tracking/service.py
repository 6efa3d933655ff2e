"""The use cases of tracking: what may happen to experiments and runs. Knows nothing of gRPC."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from penstock_kit.clock import Clock
from penstock_kit.ids import derived_id
from penstock_kit.names import ExperimentName, ProjectName, RunName
from penstock_kit.stores.hot import HotStore
from penstock_kit.threads import in_thread
from penstock_tracking.domain import (
    DATASETS_PER_RUN_MAX,
    MODELS_PER_RUN_MAX,
    Dataset,
    DatasetUse,
    Experiment,
    LifecycleStage,
    ModelOutput,
    Run,
    RunChange,
    RunEdit,
    RunState,
    RunUpdates,
    UpdateConflict,
    Value,
    apply_updates,
    updates_problem,
)
from penstock_tracking.errors import (
    BatchInvalid,
    DefaultExperiment,
    ExperimentDeleted,
    ExperimentExists,
    ExperimentNotFound,
    FieldInvalid,
    ParamConflict,
    ParamNotFound,
    RunDeleted,
    RunExists,
    TooManyEntries,
)
from penstock_tracking.ingest.calls import CALL_ID_BYTES, CallWriters
from penstock_tracking.ingest.codec import checked_content
from penstock_tracking.ingest.committer import ring_run
from penstock_tracking.ingest.streams import WriterStreams
from penstock_tracking.logged_models.domain import ModelMetric
from penstock_tracking.logged_models.service import LoggedModelService
from penstock_tracking.naming import run_display_name
from penstock_tracking.search.experiments import ExperimentPage, ExperimentQuery
from penstock_tracking.store import DEFAULT_EXPERIMENT_ID, Stored, TrackingStore

__all__ = ["NewRun", "TrackingService"]

EXPERIMENTS_READ_AT_ONCE: Final = 1_000
NO_CHANGE: Final = RunChange()
NO_METRICS: Final[Mapping[str, Sequence[ModelMetric]]] = {}


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a client says of a run it creates. An empty experiment id means the default one."""

    run_id: str
    experiment_id: str
    experiment_display_name: str
    display_name: str
    start_us: int | None
    notes: str
    group: str
    forked_from: str
    fork_step: int
    user: str
    updates: RunUpdates
    request_id: str


class TrackingService:
    """Experiments and runs.

    The way in for streams is `streams`; reading metrics is the `series` package's, searching the `search` package's.
    """

    def __init__(
        self,
        store: TrackingStore,
        hot: HotStore,
        streams: WriterStreams,
        calls: CallWriters,
        models: LoggedModelService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._hot = hot
        self._streams = streams
        self._calls = calls
        self._models = models
        self._clock = clock

    # Experiments

    async def create_experiment(
        self,
        parent: ProjectName,
        display_name: str,
        description: str,
        tags: Mapping[str, str],
        *,
        artifact_location: str = "",
        request_id: str,
        refuse_deleted_name: bool = False,
        by: str,
    ) -> Stored[Experiment]:
        """Creates an experiment. Raises `ExperimentExists`, `FieldInvalid`."""
        _require_display_name(display_name)
        now_us = self._clock.now_us()
        if refuse_deleted_name:
            for stored in await self._store.experiments_named(parent.project, display_name):
                if not stored.value.active:
                    raise ExperimentExists(
                        f"The project {parent.project} has an experiment named {display_name!r} in the bin.",
                        display_name=display_name,
                    )
        return await self._store.add_experiment(
            lambda experiment_id: Experiment(
                parent.project,
                experiment_id,
                display_name,
                create_us=now_us,
                update_us=now_us,
                description=description,
                tags=dict(tags),
                artifact_location=artifact_location,
            ),
            parent.project,
            derived_id(by, request_id, "experiment") if request_id else "",
        )

    async def get_experiment(self, name: ExperimentName) -> Stored[Experiment]:
        """Returns an experiment. Raises `ExperimentNotFound`."""
        return await self._store.experiment(name.project, name.experiment_id)

    async def list_experiments(
        self, parent: ProjectName, *, limit: int, cursor: bytes | None, show_deleted: bool, display_name: str
    ) -> tuple[list[Stored[Experiment]], bytes | None]:
        """Returns a page of experiments, newest first, and where to go on. Those of one display name come on one page."""
        if display_name:
            named = await self._store.experiments_named(parent.project, display_name)
            newest = sorted(named, key=lambda stored: -stored.value.create_us)
            return [stored for stored in newest if show_deleted or stored.value.active], None
        kept: list[Stored[Experiment]] = []
        while True:
            page, cursor = await self._store.experiments(parent.project, limit=limit - len(kept), cursor=cursor)
            kept.extend(stored for stored in page if show_deleted or stored.value.active)
            if cursor is None or len(kept) >= limit:
                return kept, cursor

    async def search_experiments(self, query: ExperimentQuery) -> ExperimentPage:
        """Returns a page of the experiments that match. Raises `FilterInvalid`, `OrderInvalid`, `PageTokenInvalid`."""
        found: list[Stored[Experiment]] = []
        cursor: bytes | None = None
        while True:
            page, cursor = await self._store.experiments(query.project, limit=EXPERIMENTS_READ_AT_ONCE, cursor=cursor)
            found.extend(page)
            if cursor is None:
                return await in_thread(query.answer, found)

    async def update_experiment(
        self, name: ExperimentName, etag: str, change: Callable[[Experiment], Experiment]
    ) -> Stored[Experiment]:
        """Replaces fields of an experiment. Raises `EtagMismatch`, `ExperimentExists`, `FieldInvalid`."""

        def changed(experiment: Experiment) -> Experiment:
            result = replace(change(experiment), update_us=self._clock.now_us())
            _require_display_name(result.display_name)
            return result

        return await self._store.change_experiment(name.project, name.experiment_id, changed, etag=etag)

    async def delete_experiment(self, name: ExperimentName) -> Stored[Experiment]:
        """Moves an experiment and its active runs to the bin. Safe to repeat. Raises `DefaultExperiment`."""
        if name.experiment_id == DEFAULT_EXPERIMENT_ID:
            raise DefaultExperiment("The default experiment of a project cannot be deleted.")
        now_us = self._clock.now_us()
        stored = await self._store.change_experiment(
            name.project, name.experiment_id, lambda experiment: experiment.deleted(now_us)
        )
        deleted_us = stored.value.deleted_us or 0

        def change(run: Run) -> Run:
            return run.deleted(deleted_us)

        for run in await self._store.runs_of_experiment(name.project, name.experiment_id):
            if run.active:
                changed = await self._store.change_run(run.project, run.run_id, change)
                self._streams.close_run(changed.value)
        return stored

    async def restore_experiment(self, name: ExperimentName, *, all_runs: bool = False) -> Stored[Experiment]:
        """Takes an experiment, and the runs that went with it or all of them, out of the bin. Raises `ExperimentExists`."""
        stored = await self._store.experiment(name.project, name.experiment_id)
        deleted_us = stored.value.deleted_us
        if stored.value.active:
            return stored
        await self._store.require_free_name(stored.value)
        now_us = self._clock.now_us()
        # The runs first: a crash in between leaves the experiment in the bin, and a repeat finds the rest.
        for run in await self._store.runs_of_experiment(name.project, name.experiment_id):
            if not run.active and (all_runs or run.deleted_us == deleted_us):
                await self._store.change_run(run.project, run.run_id, lambda run: run.restored(now_us))
        return await self._store.change_experiment(
            name.project, name.experiment_id, lambda experiment: experiment.restored(now_us)
        )

    # Runs

    async def create_run(self, parent: ProjectName, new: NewRun, *, by: str) -> tuple[Stored[Run], bool]:
        """Creates a run, or returns the one that the same principal made with the same id.

        Raises:
            ExperimentNotFound: There is no such experiment.
            ExperimentDeleted: It is in the bin.
            RunExists: Somebody else made a run with the id.
            FieldInvalid: A param, tag or summary entry breaks a rule.
            TooManyEntries: There are more of them than a run holds.
            RunTooLarge: They are too long together.
        """
        if problem := updates_problem(new.updates):
            raise FieldInvalid(f"The run cannot be created: {problem}.")
        run_id = new.run_id or derived_id(by, new.request_id, "run")
        experiment = await self._experiment_for(parent, new, by)
        now_us = self._clock.now_us()
        blank = Run(
            project=parent.project,
            run_id=run_id,
            log_key=secrets.token_bytes(16),
            experiment_id=experiment.experiment_id,
            display_name=new.display_name or run_display_name(run_id),
            creator=by,
            create_us=now_us,
            update_us=now_us,
            start_us=now_us if new.start_us is None else new.start_us,
            notes=new.notes,
            group=new.group,
            forked_from=new.forked_from,
            fork_step=new.fork_step,
            user=new.user,
            artifact_location=experiment.artifact_location,
        )
        applied = apply_updates(blank, new.updates, now_us)
        _raise_conflicts(applied.conflicts)
        stored, created = await self._store.add_run(applied.run)
        if not created and stored.value.creator != by:
            raise RunExists(f"There is a run {run_id} in the project {parent.project}, made by somebody else.")
        return stored, created

    async def _experiment_for(self, parent: ProjectName, new: NewRun, by: str) -> Experiment:
        name = new.experiment_display_name
        if name:
            stored = await self._store.active_experiment_named(parent.project, name)
            if stored is None:
                try:
                    stored = await self.create_experiment(parent, name, "", {}, request_id="", by=by)
                except ExperimentExists:
                    # Ranks of one job create it at the same moment: another was quicker.
                    stored = await self._store.active_experiment_named(parent.project, name)
            if stored is None:
                raise ExperimentNotFound(f"The experiment {name!r} was deleted or renamed just now: try again.")
        else:
            stored = await self._store.experiment(parent.project, new.experiment_id or DEFAULT_EXPERIMENT_ID)
        experiment = stored.value
        _require_active_experiment(experiment)
        return experiment

    async def get_run(self, name: RunName) -> Stored[Run]:
        """Returns a run, deleted or not. Raises `RunNotFound`."""
        return await self._store.run(name.project, name.run_id)

    async def get_runs(self, parent: ProjectName, run_ids: Sequence[str]) -> dict[str, Stored[Run]]:
        """Returns those of the runs that exist, by id."""
        return await self._store.runs(parent.project, run_ids)

    async def update_run(self, name: RunName, etag: str, edit: RunEdit) -> Stored[Run]:
        """Replaces display name, experiment id, notes or group.

        Raises:
            EtagMismatch: The run changed since it was read.
            RunDeleted: It is in the bin.
            ExperimentNotFound: The new experiment does not exist.
            ExperimentDeleted: The new experiment is in the bin.
        """
        if edit.experiment_id is not None:
            experiment = await self._store.experiment(name.project, edit.experiment_id)
            _require_active_experiment(experiment.value)
        now_us = self._clock.now_us()

        def change(run: Run) -> Run:
            _require_active(run)
            return edit.applied(run, now_us)

        return await self._store.change_run(name.project, name.run_id, change, etag=etag)

    async def finish_run(self, name: RunName, state: RunState, end_us: int | None, failure: str) -> Stored[Run]:
        """Ends a run. Safe to repeat. Raises `RunDeleted`."""
        now_us = self._clock.now_us()

        def change(run: Run) -> Run:
            _require_active(run)
            return run.finished(state, now_us if end_us is None else end_us, failure, now_us)

        stored = await self._store.change_run(name.project, name.run_id, change)
        await ring_run(self._hot, stored.value.log_key)
        return stored

    async def resume_run(self, name: RunName) -> Stored[Run]:
        """Sets a run that ended to running again. Safe to repeat. Raises `RunDeleted`."""

        def change(run: Run) -> Run:
            _require_active(run)
            return run.resumed(self._clock.now_us())

        return await self._store.change_run(name.project, name.run_id, change)

    async def delete_run(self, name: RunName) -> Stored[Run]:
        """Moves a run to the bin and ends its streams. Safe to repeat."""
        stored = await self._store.change_run(name.project, name.run_id, lambda run: run.deleted(self._clock.now_us()))
        self._streams.close_run(stored.value)
        await ring_run(self._hot, stored.value.log_key)
        return stored

    async def restore_run(self, name: RunName) -> Stored[Run]:
        """Takes a run out of the bin. Safe to repeat. Raises `ExperimentDeleted`."""
        stored = await self._store.run(name.project, name.run_id)
        experiment = await self._store.experiment(name.project, stored.value.experiment_id)
        _require_active_experiment(experiment.value)
        return await self._store.change_run(name.project, name.run_id, lambda run: run.restored(self._clock.now_us()))

    async def log_inputs(
        self, name: RunName, datasets: Sequence[tuple[Dataset, tuple[tuple[str, str], ...]]], models: Sequence[str]
    ) -> None:
        """Adds datasets, each with the tags of its use, and logged models to what a run used. Safe to repeat.

        Raises `RunNotFound`, `RunDeleted`, `TooManyEntries`, `RunTooLarge`.
        """
        run = (await self._store.run(name.project, name.run_id)).value
        _require_active(run)
        kept: dict[str, Dataset] = {}
        uses: list[DatasetUse] = []
        for dataset, tags in datasets:
            dataset_id = derived_id(run.experiment_id, f"{len(dataset.name)}:{dataset.name}{dataset.digest}", "dataset")
            kept.setdefault(dataset_id, dataset)
            uses.append(DatasetUse(dataset_id, dataset.name, dataset.digest, tags))
        # Before the run names them: a crash in between leaves datasets that no run names, and a repeat finds them.
        await self._store.keep_datasets(name.project, kept)

        def change(run: Run) -> Run:
            _require_active(run)
            changed = run.used(uses, models, self._clock.now_us())
            _require_room("datasets", len(changed.datasets), DATASETS_PER_RUN_MAX)
            _require_room("logged models that it used", len(changed.input_models), MODELS_PER_RUN_MAX)
            return changed

        await self._store.change_run(name.project, name.run_id, change)

    async def log_outputs(self, name: RunName, models: Sequence[ModelOutput]) -> None:
        """Adds logged models to what a run made. Safe to repeat.

        Raises `RunNotFound`, `RunDeleted`, `TooManyEntries`, `RunTooLarge`.
        """

        def change(run: Run) -> Run:
            _require_active(run)
            changed = run.made(models, self._clock.now_us())
            _require_room("logged models that it made", len(changed.output_models), MODELS_PER_RUN_MAX)
            return changed

        await self._store.change_run(name.project, name.run_id, change)

    async def datasets_of(self, project: str, runs: Iterable[Run]) -> dict[str, Dataset]:
        """Returns the datasets that runs of a project used, by id."""
        return await self._store.datasets(project, [use.dataset_id for run in runs for use in run.datasets])

    async def change_param(self, name: RunName, key: str, value: Value, *, by: str) -> Stored[Run]:
        """Changes a param that was written before. Raises `ParamNotFound`, `RunDeleted`."""

        def change(run: Run) -> Run:
            _require_active(run)
            if key not in run.params:
                raise ParamNotFound(f"The run has no param {key!r} to change: log it first.", key=key)
            return run.param_changed(key, value, by, self._clock.now_us())

        return await self._store.change_run(name.project, name.run_id, change)

    async def crash_silent_runs(self) -> int:
        """Gives up the runs whose heartbeats stopped for longer than their lease. Returns how many."""
        crashed = 0
        now_us = self._clock.now_us()

        def change(run: Run) -> Run:
            return run.crashed(now_us) if run.lapsed(now_us) else run

        for candidate in await self._store.leased_runs():
            if not candidate.lapsed(now_us):
                continue
            stored = await self._store.change_run(candidate.project, candidate.run_id, change)
            if stored.value.state is RunState.CRASHED:
                crashed += 1
                await ring_run(self._hot, stored.value.log_key)
        return crashed

    # Points

    async def log_batch(
        self,
        name: RunName,
        content: bytes,
        updates: RunUpdates,
        identity: bytes,
        run_change: RunChange = NO_CHANGE,
        model_metrics: Mapping[str, Sequence[ModelMetric]] = NO_METRICS,
    ) -> bool:
        """Logs a batch without a stream. Returns whether the same one had been logged before.

        Checked whole before anything is written. The record changes first, then the points are appended, unless the log
        remembers `identity`: a repeat after a crash in between finds the record as it left it and appends them.

        Args:
            content: A serialised MetricBatchContent with the points alone; empty if there are none.
            identity: 32 bytes, the same for a repeat.
            run_change: What becomes of the run itself.
            model_metrics: Which of the points are of logged models too, by the ids of these.

        Raises:
            BatchInvalid: The content or the updates break a rule.
            ParamConflict: A param was written before with another value.
            TooManyEntries: The run has no room for a param, tag or summary entry.
            RunTooLarge: The run has no room for texts that long.
            RunDeleted: The run is in the bin.
            StorageFull: The disk is full.
        """
        if problem := updates_problem(updates):
            raise BatchInvalid(f"The batch is not allowed: {problem}.")
        checked = await in_thread(checked_content, content, 0, set()) if content else None

        def change(run: Run) -> Run:
            _require_active(run)
            applied = apply_updates(run, updates, self._clock.now_us())
            _raise_conflicts(applied.conflicts)
            return run_change.applied(applied.run, self._clock.now_us())

        stored = await self._store.change_run(name.project, name.run_id, change)
        if model_metrics:
            await self._models.measure(name.project, model_metrics)
        if checked is None:
            await ring_run(self._hot, stored.value.log_key)
            return False
        appended = await self._calls.append(stored.value.log_key, identity[:CALL_ID_BYTES], checked)
        await ring_run(self._hot, stored.value.log_key)
        return not appended


def _require_active(run: Run) -> None:
    if not run.active:
        raise RunDeleted(f"The run {run.run_id} is in the bin. Restore it to change it.")


def _require_active_experiment(experiment: Experiment) -> None:
    if experiment.lifecycle_stage is not LifecycleStage.ACTIVE:
        raise ExperimentDeleted(f"The experiment {experiment.display_name!r} is in the bin. Restore it first.")


def _require_display_name(display_name: str) -> None:
    if not display_name.strip():
        raise FieldInvalid("An experiment needs a display name.", field="display_name")


def _require_room(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise TooManyEntries(f"A run has at most {limit:,} {what}.", limit=what)


def _raise_conflicts(conflicts: Sequence[UpdateConflict]) -> None:
    if not conflicts:
        return
    first = conflicts[0]
    if first.reason == ParamConflict.reason:
        raise ParamConflict(first.message)
    raise TooManyEntries(first.message, limit=first.reason)
