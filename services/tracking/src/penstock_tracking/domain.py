"""Experiments and runs: their states, their invariants and how they change. Knows nothing of gRPC or of storage.

All values are frozen: a change returns a new one. Times are microseconds since 1970 UTC.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

__all__ = [
    "DATASETS_PER_RUN_MAX",
    "FAILURE_CHARS_MAX",
    "HEARTBEAT_LEASE_S",
    "KEY_CHARS_MAX",
    "METRIC_DEFINITIONS_PER_RUN_MAX",
    "MODELS_PER_RUN_MAX",
    "PARAMS_PER_RUN_MAX",
    "SUMMARY_ENTRIES_PER_RUN_MAX",
    "TAGS_PER_RUN_MAX",
    "TAG_VALUE_CHARS_MAX",
    "TEXT_CHARS_MAX",
    "Dataset",
    "DatasetUse",
    "Experiment",
    "JsonText",
    "LifecycleStage",
    "MetricDefinition",
    "ModelOutput",
    "ParamChange",
    "Run",
    "RunChange",
    "RunEdit",
    "RunState",
    "RunUpdates",
    "UpdateConflict",
    "UpdateResult",
    "Value",
    "apply_updates",
    "key_problem",
    "value_problem",
]

KEY_CHARS_MAX = 250
TEXT_CHARS_MAX = 8_000  # of a string value
TAG_VALUE_CHARS_MAX = 8_000
JSON_CHARS_MAX = 32_000
FAILURE_CHARS_MAX = 8_000
DATASETS_PER_RUN_MAX = 1_000
MODELS_PER_RUN_MAX = 1_000  # that it used, and as many that it made
PARAMS_PER_RUN_MAX = 5_000
TAGS_PER_RUN_MAX = 1_000
SUMMARY_ENTRIES_PER_RUN_MAX = 1_000
METRIC_DEFINITIONS_PER_RUN_MAX = 1_000
METRIC_GOALS = range(3)  # the numbers of the contract: unset, minimize, maximize
METRIC_SUMMARIES = range(4)  # unset, latest, min, max
HEARTBEAT_LEASE_S = 60  # six heartbeats of a sender may go missing before its run counts as crashed


class RunState(IntEnum):
    """What a run is doing, or how it ended. The numbers are those of the contract."""

    RUNNING = 1
    FINISHED = 2
    FAILED = 3
    KILLED = 4
    CRASHED = 5
    SCHEDULED = 6


class LifecycleStage(IntEnum):
    """Whether something is in use or in the bin. The numbers are those of the contract."""

    ACTIVE = 1
    DELETED = 2


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value that is neither text, number nor bool, as JSON."""

    text: str


Value = str | int | float | bool | JsonText


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """How a metric is shown and judged. `goal` and `summary` are numbers of the contract, 0 being unset."""

    key: str
    x_key: str = ""
    goal: int = 0
    summary: int = 0


@dataclass(frozen=True, slots=True)
class ParamChange:
    """A former value of a param."""

    key: str
    value: Value
    replace_us: int
    principal: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """A group of runs. `deleted_us` is when it went to the bin: the runs that went with it carry the same time.

    `artifact_location` is where clients keep artifacts by themselves, empty if the platform keeps them. Never opened here.
    """

    project: str
    experiment_id: str
    display_name: str
    create_us: int
    update_us: int
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    artifact_location: str = ""
    lifecycle_stage: LifecycleStage = LifecycleStage.ACTIVE
    deleted_us: int | None = None

    @property
    def active(self) -> bool:
        """Whether it is in use."""
        return self.lifecycle_stage is LifecycleStage.ACTIVE

    def deleted(self, now_us: int) -> "Experiment":
        """The experiment in the bin. Deleting twice changes nothing."""
        if not self.active:
            return self
        return replace(self, lifecycle_stage=LifecycleStage.DELETED, deleted_us=now_us, update_us=now_us)

    def restored(self, now_us: int) -> "Experiment":
        """The experiment in use again."""
        if self.active:
            return self
        return replace(self, lifecycle_stage=LifecycleStage.ACTIVE, deleted_us=None, update_us=now_us)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that runs used. An experiment has one of a name and digest. `source` is never opened here."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """That a run used a dataset of its experiment, `dataset_id` being where it is kept."""

    dataset_id: str
    name: str
    digest: str
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """That a run made a logged model at a step."""

    model_id: str
    step: int


@dataclass(frozen=True, slots=True)
class Run:
    """One execution that logs.

    Attributes:
        log_key: 16 random bytes under which the metric log keeps its batches, so that a run id chosen by a client can never
            reach the points of another project.
        leased: Whether it counts as crashed when heartbeats stop.
        deleted_us: When it went to the bin, or None.
        user: Who ran it, as the client told: a login name, not a principal.
        artifact_location: That of its experiment when it was created.
    """

    project: str
    run_id: str
    log_key: bytes
    experiment_id: str
    display_name: str
    creator: str
    create_us: int
    update_us: int
    start_us: int
    end_us: int | None = None
    heartbeat_us: int | None = None
    state: RunState = RunState.RUNNING
    lifecycle_stage: LifecycleStage = LifecycleStage.ACTIVE
    deleted_us: int | None = None
    leased: bool = False
    notes: str = ""
    group: str = ""
    forked_from: str = ""
    fork_step: int = 0
    failure: str = ""
    user: str = ""
    artifact_location: str = ""
    ranks: tuple[int, ...] = ()
    params: Mapping[str, Value] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Value] = field(default_factory=dict)
    metric_definitions: Mapping[str, MetricDefinition] = field(default_factory=dict)
    param_history: tuple[ParamChange, ...] = ()
    datasets: tuple[DatasetUse, ...] = ()
    input_models: tuple[str, ...] = ()
    output_models: tuple[ModelOutput, ...] = ()
    alert_count: int = 0

    @property
    def active(self) -> bool:
        """Whether it is not in the bin."""
        return self.lifecycle_stage is LifecycleStage.ACTIVE

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self.state not in (RunState.RUNNING, RunState.SCHEDULED)

    def finished(self, state: RunState, end_us: int, failure: str, now_us: int) -> "Run":
        """The run ended as `state`. Ending it anew replaces the former end; an equal end changes nothing."""
        if self.state is state and self.end_us is not None and self.failure == failure:
            return self
        return replace(self, state=state, end_us=end_us, failure=failure, leased=False, update_us=now_us)

    def resumed(self, now_us: int) -> "Run":
        """The run going on again."""
        if not self.over:
            return self
        return replace(self, state=RunState.RUNNING, end_us=None, failure="", update_us=now_us)

    def deleted(self, now_us: int) -> "Run":
        """The run in the bin. Deleting twice changes nothing."""
        if not self.active:
            return self
        return replace(self, lifecycle_stage=LifecycleStage.DELETED, deleted_us=now_us, leased=False, update_us=now_us)

    def restored(self, now_us: int) -> "Run":
        """The run out of the bin."""
        if self.active:
            return self
        return replace(self, lifecycle_stage=LifecycleStage.ACTIVE, deleted_us=None, update_us=now_us)

    def writer_opened(self, rank: int, lease: bool, now_us: int) -> "Run":
        """A writer of a rank opened its stream. With a lease, a crashed run lives again."""
        ranks = self.ranks if rank in self.ranks else tuple(sorted((*self.ranks, rank)))
        run = replace(self, ranks=ranks)
        return run.heard(now_us) if lease else run

    def heard(self, now_us: int) -> "Run":
        """A writer with a lease gave a sign of life. A run that was taken for crashed was not."""
        if self.over and self.state is not RunState.CRASHED:
            return self
        revived = self.state is RunState.CRASHED
        return replace(
            self,
            state=RunState.RUNNING,
            end_us=None if revived else self.end_us,
            failure="" if revived else self.failure,
            heartbeat_us=now_us,
            leased=True,
            update_us=now_us if revived else self.update_us,
        )

    def unleased(self) -> "Run":
        """The run whose silence is no crash any more."""
        return replace(self, leased=False) if self.leased else self

    def lapsed(self, now_us: int) -> bool:
        """Whether its heartbeats stopped for longer than the lease."""
        silent_us = now_us - (self.heartbeat_us or self.create_us)
        return self.leased and not self.over and self.active and silent_us > HEARTBEAT_LEASE_S * 1_000_000

    def crashed(self, now_us: int) -> "Run":
        """The run given up for crashed: it ended when it was last heard."""
        return replace(
            self,
            state=RunState.CRASHED,
            end_us=self.heartbeat_us or now_us,
            failure=f"No sign of life for more than {HEARTBEAT_LEASE_S} s.",
            leased=False,
            update_us=now_us,
        )

    def used(self, datasets: Iterable[DatasetUse], models: Iterable[str], now_us: int) -> "Run":
        """The run with more datasets and logged models that it used. Those that it has are left as they are."""
        uses = {use.dataset_id: use for use in self.datasets}
        for use in datasets:
            uses.setdefault(use.dataset_id, use)
        used_models = tuple(dict.fromkeys((*self.input_models, *models)))
        if len(uses) == len(self.datasets) and len(used_models) == len(self.input_models):
            return self
        return replace(self, datasets=tuple(uses.values()), input_models=used_models, update_us=now_us)

    def made(self, models: Iterable[ModelOutput], now_us: int) -> "Run":
        """The run with more logged models that it made, each once."""
        made = {output.model_id: output for output in self.output_models}
        for output in models:
            made.setdefault(output.model_id, output)
        if len(made) == len(self.output_models):
            return self
        return replace(self, output_models=tuple(made.values()), update_us=now_us)

    def alerted(self, now_us: int) -> "Run":
        """The run with one more alert."""
        return replace(self, alert_count=self.alert_count + 1, update_us=now_us)

    def param_changed(self, key: str, value: Value, principal: str, now_us: int) -> "Run":
        """The run with another value of a param it has, the former one in its history."""
        change = ParamChange(key, self.params[key], now_us, principal)
        return replace(
            self,
            params={**self.params, key: value},
            param_history=(*self.param_history, change),
            update_us=now_us,
        )


@dataclass(frozen=True, slots=True)
class RunEdit:
    """What a person changes of a run. None leaves a field as it is."""

    display_name: str | None = None
    experiment_id: str | None = None
    notes: str | None = None
    group: str | None = None

    def applied(self, run: Run, now_us: int) -> Run:
        """The run with the changes."""
        return replace(
            run,
            display_name=run.display_name if self.display_name is None else self.display_name,
            experiment_id=run.experiment_id if self.experiment_id is None else self.experiment_id,
            notes=run.notes if self.notes is None else self.notes,
            group=run.group if self.group is None else self.group,
            update_us=now_us,
        )


@dataclass(frozen=True, slots=True)
class RunChange:
    """What a batch makes of the run itself. An empty name and None leave what is there."""

    display_name: str = ""
    state: RunState | None = None
    end_us: int | None = None

    def applied(self, run: Run, now_us: int) -> Run:
        """The run with the changes, the same object if there are none."""
        changed = replace(
            run,
            display_name=self.display_name or run.display_name,
            state=run.state if self.state is None else self.state,
            end_us=run.end_us if self.end_us is None else self.end_us,
        )
        if changed.state is not run.state:
            changed = replace(changed, failure="", leased=run.leased and not changed.over)
        return run if changed == run else replace(changed, update_us=now_us)


@dataclass(frozen=True, slots=True)
class RunUpdates:
    """What a batch says of a run beside its points."""

    params: Sequence[tuple[str, Value]] = ()
    tags: Sequence[tuple[str, str]] = ()
    removed_tags: Sequence[str] = ()
    summary: Sequence[tuple[str, Value]] = ()
    metric_definitions: Sequence[MetricDefinition] = ()

    def __bool__(self) -> bool:
        return bool(self.params or self.tags or self.removed_tags or self.summary or self.metric_definitions)


@dataclass(frozen=True, slots=True)
class UpdateConflict:
    """One thing of an update that cannot be applied: a reason for programs, a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """The run after an update, and what of it was left out."""

    run: Run
    conflicts: Sequence[UpdateConflict]


def same_value(a: Value, b: Value) -> bool:
    """Whether two values are the same, type included: 1 is not 1.0 nor True; NaN is NaN."""
    if type(a) is not type(b):
        return False
    return a == b or (a != a and b != b)


def apply_updates(run: Run, updates: RunUpdates, now_us: int) -> UpdateResult:
    """Applies updates one by one; what conflicts or has no room is left out and told."""
    conflicts: list[UpdateConflict] = []
    params = dict(run.params)
    for key, value in updates.params:
        if key in params:
            if not same_value(params[key], value):
                conflicts.append(
                    UpdateConflict(
                        "PARAM_CONFLICT",
                        f"The param {key!r} is already {shown(params[key])} and stays so: params are write-once "
                        f"(the new value was {shown(value)}). ChangeParam changes it on purpose.",
                    )
                )
        elif len(params) >= PARAMS_PER_RUN_MAX:
            conflicts.append(_full("TOO_MANY_PARAMS", "param", key, PARAMS_PER_RUN_MAX))
        else:
            params[key] = value
    tags = dict(run.tags)
    for key in updates.removed_tags:
        tags.pop(key, None)
    for key, text in updates.tags:
        if key not in tags and len(tags) >= TAGS_PER_RUN_MAX:
            conflicts.append(_full("TOO_MANY_TAGS", "tag", key, TAGS_PER_RUN_MAX))
        else:
            tags[key] = text
    summary = dict(run.summary)
    for key, value in updates.summary:
        if key not in summary and len(summary) >= SUMMARY_ENTRIES_PER_RUN_MAX:
            conflicts.append(_full("TOO_MANY_SUMMARY_ENTRIES", "summary entry", key, SUMMARY_ENTRIES_PER_RUN_MAX))
        else:
            summary[key] = value
    definitions = dict(run.metric_definitions)
    for definition in updates.metric_definitions:
        if definition.key not in definitions and len(definitions) >= METRIC_DEFINITIONS_PER_RUN_MAX:
            conflicts.append(
                _full(
                    "TOO_MANY_METRIC_DEFINITIONS", "metric definition", definition.key, METRIC_DEFINITIONS_PER_RUN_MAX
                )
            )
        else:
            definitions[definition.key] = definition
    unchanged = (
        params.keys() == run.params.keys()
        and tags == run.tags
        and summary == run.summary
        and definitions == run.metric_definitions
    )
    if unchanged:
        return UpdateResult(run, conflicts)
    changed = replace(run, params=params, tags=tags, summary=summary, metric_definitions=definitions, update_us=now_us)
    return UpdateResult(changed, conflicts)


def _full(reason: str, noun: str, key: str, limit: int) -> UpdateConflict:
    return UpdateConflict(reason, f"The {noun} {key!r} was left out: the run has its {limit:,} {noun}s.")


def shown(value: Value) -> str:
    """A value for a message, cut to a length that fits in one."""
    text = value.text if isinstance(value, JsonText) else repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def key_problem(key: str) -> str | None:
    """Says what is wrong with the key of a metric, param, tag or summary entry, or None.

    A key has 1 to `KEY_CHARS_MAX` characters, none of them a control character.
    """
    if not key:
        return "a key must not be empty"
    if len(key) > KEY_CHARS_MAX:
        return f"the key {key[:40]!r}... has {len(key):,} characters, at most {KEY_CHARS_MAX} are allowed"
    if not key.isprintable() and any(unicodedata.category(character) == "Cc" for character in key):
        return f"the key {key!r} holds a control character"
    return None


def value_problem(value: Value) -> str | None:
    """Says what is wrong with a value, or None."""
    if isinstance(value, JsonText):
        if len(value.text) > JSON_CHARS_MAX:
            return f"a JSON value has {len(value.text):,} characters, at most {JSON_CHARS_MAX:,} are allowed"
        try:
            json.loads(value.text, parse_int=str)  # Python refuses ints of many digits, JSON does not
        except (ValueError, RecursionError):
            return f"{shown(value)} is not JSON"
    elif isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return f"a string value has {len(value):,} characters, at most {TEXT_CHARS_MAX:,} are allowed"
    return None


def updates_problem(updates: RunUpdates) -> str | None:
    """Says what is wrong with updates in themselves, or None."""
    keyed: Iterable[tuple[str, Value]] = (*updates.params, *updates.summary)
    for key, value in keyed:
        if problem := key_problem(key) or value_problem(value):
            return problem
    for key, text in updates.tags:
        if problem := key_problem(key):
            return problem
        if len(text) > TAG_VALUE_CHARS_MAX:
            return f"the tag {key!r} has {len(text):,} characters, at most {TAG_VALUE_CHARS_MAX:,} are allowed"
    for definition in updates.metric_definitions:
        if problem := key_problem(definition.key):
            return problem
        if definition.goal not in METRIC_GOALS or definition.summary not in METRIC_SUMMARIES:
            return f"the definition of {definition.key!r} has a goal or summary that this server does not know"
        if len(definition.x_key) > KEY_CHARS_MAX:
            return f"the x key of {definition.key!r} is longer than {KEY_CHARS_MAX} characters"
    return None
