"""Owns what the registry is about: models, their versions and aliases, and when each of them may change.

Knows nothing of gRPC or storage. Times are microseconds since 1970 UTC.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, TypeVar

__all__ = [
    "ALIASES_PER_MODEL_MAX",
    "BASELINE_COUNTS_MAX",
    "EVENT_TAG_BYTES_MAX",
    "LATEST",
    "PROMPT_TAG",
    "SAMPLES_PER_VERSION_MAX",
    "SAMPLE_BYTES",
    "TAGS_MAX",
    "VERSIONS_PER_MODEL_MAX",
    "AliasMove",
    "AliasTarget",
    "Baseline",
    "Dataset",
    "Event",
    "EventType",
    "FeatureBaseline",
    "Field",
    "Flavor",
    "Metric",
    "Model",
    "ModelVersion",
    "Protection",
    "Signature",
    "Stage",
    "alias_reserved",
    "baseline_problem",
    "is_prompt",
    "metrics_problem",
    "retagged",
    "tags_told",
    "twice",
    "version_problem",
]

ALIASES_PER_MODEL_MAX = 100
TAGS_MAX = 1_000
EVENT_TAG_BYTES_MAX = 131_072
"""Of keys and values that one event tells: it is copied into each delivery, and read with 200 others."""

PROMPT_TAG = "mlflow.prompt.is_prompt"
"""By which MLflow tells prompts from models."""

VERSIONS_PER_MODEL_MAX = 100_000
SAMPLES_PER_VERSION_MAX = 100_000
BASELINE_COUNTS_MAX = 100_000
SAMPLE_BYTES = 8

LATEST = "latest"
"""Reads as an alias that always points to the version with the highest number."""

T = TypeVar("T")

_VERSION_ALIAS = re.compile(r"v[0-9]+", re.IGNORECASE)


class Stage(IntEnum):
    """MLflow's stages. The values are those of the contract, the labels those of MLflow."""

    NONE = 1
    STAGING = 2
    PRODUCTION = 3
    ARCHIVED = 4

    @property
    def label(self) -> str:
        """`None`, `Staging`, `Production`, `Archived`."""
        return self.name.capitalize()


class EventType(IntEnum):
    """What happened. The values are those of the contract."""

    MODEL_CREATED = 1
    MODEL_UPDATED = 2
    MODEL_RENAMED = 3
    MODEL_DELETED = 4
    VERSION_CREATED = 5
    VERSION_UPDATED = 6
    VERSION_DELETED = 7
    STAGE_CHANGED = 8
    ALIAS_MOVED = 9
    ALIAS_DELETED = 10
    POLICY_CHANGED = 11
    VERDICT_GIVEN = 12
    APPROVAL_GIVEN = 13


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a model. `version` and `former_version` are numbers, 0 where there is none.

    `verdict` is an id, empty where there is none; `chain_length` counts the events that led to this one. `set_tags` and
    `removed_tags` are changes of tags, as many as `tags_told` lets through; `description`, `source_uri` and `run_id` are
    of what was created. `prompt` says that it is about a prompt of MLflow.
    """

    id: str
    type: EventType
    time_us: int
    principal: str
    model_id: str
    version: int = 0
    alias: str = ""
    former_version: int = 0
    former_model_id: str = ""
    reason: str = ""
    former_stage: str = ""
    stage: str = ""
    verdict: str = ""
    passed: bool = False
    chain_length: int = 0
    set_tags: Mapping[str, str] = field(default_factory=dict)
    removed_tags: tuple[str, ...] = ()
    description: str = ""
    source_uri: str = ""
    run_id: str = ""
    prompt: bool = False


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """Where an alias points, and since when."""

    number: int
    move_us: int


@dataclass(frozen=True, slots=True)
class Protection:
    """What a promotion needs before it moves an alias."""

    gate_required: bool
    approvals_required: int


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model.

    Attributes:
        uid: Stays when it is renamed; its versions and its history are kept under it.
        creation: Identifies the intended create, so that its repeat finds this model; empty if it may not be repeated.
        latest_number: The highest number that a version ever had.
        moves: How many times an alias of it was moved.
        protections: By alias, as its gate policy says.
        policy_revision: Of its gate policy, 0 if it has none.
    """

    project: str
    model_id: str
    uid: str
    description: str
    tags: Mapping[str, str]
    creator: str
    create_us: int
    update_us: int
    creation: str = ""
    latest_number: int = 0
    moves: int = 0
    aliases: Mapping[str, AliasTarget] = field(default_factory=dict)
    protections: Mapping[str, Protection] = field(default_factory=dict)
    policy_revision: int = 0

    def number_of(self, alias: str) -> int:
        """The number that an alias points to, 0 if it does not exist."""
        target = self.aliases.get(alias)
        return 0 if target is None else target.number

    def aliases_of(self, number: int) -> list[str]:
        """The aliases that point to a version, in order."""
        return sorted(alias for alias, target in self.aliases.items() if target.number == number)

    def with_alias(self, alias: str, number: int, now_us: int) -> "Model":
        """The model with an alias moved; to 0 deletes it."""
        aliases = {name: target for name, target in self.aliases.items() if name != alias}
        if number:
            aliases[alias] = AliasTarget(number, now_us)
        return replace(self, aliases=aliases, moves=self.moves + 1, update_us=now_us)


@dataclass(frozen=True, slots=True)
class Field:
    """An input, output or parameter of a model. A dimension of -1 may have any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes into a model and what comes out."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    params: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Flavor:
    """A form in which a model is stored."""

    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured value of a slice, which is empty for all data. `samples` are little-endian doubles."""

    key: str
    slice: str
    value: float
    samples: bytes = b""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a version was trained or measured on."""

    name: str
    digest: str
    source_uri: str
    context: str


@dataclass(frozen=True, slots=True)
class FeatureBaseline:
    """The distribution of a feature: counts per bucket between edges, or per category."""

    name: str
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the training data of a version looked."""

    features: tuple[FeatureBaseline, ...]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a model. Only description, tags, stage and `deleted` ever change.

    Attributes:
        uid: That of its model.
        run_id: The run that made it, in the same project; empty if none did.
        signature: None if none was given.
        metrics: In order of key and slice. Their samples are kept apart: they are empty unless they were asked for.
        creation: Identifies the intended create; empty if it may not be repeated.
        has_details: Whether there are samples or a baseline.
        artifact_version: The resource name of the version of an artifact that has the files; empty if there is none.
    """

    project: str
    uid: str
    number: int
    description: str
    tags: Mapping[str, str]
    artifact_manifest: str
    source_uri: str
    run_id: str
    run_link: str
    logged_model: str
    signature: Signature | None
    flavors: tuple[Flavor, ...]
    metrics: tuple[Metric, ...]
    datasets: tuple[Dataset, ...]
    size_bytes: int
    creator: str
    create_us: int
    update_us: int
    stage: Stage = Stage.NONE
    deleted: bool = False
    creation: str = ""
    has_details: bool = False
    artifact_version: str = ""


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of an alias. A number of 0 means no version. `verdict` is an id, empty where none was needed."""

    alias: str
    from_number: int
    to_number: int
    principal: str
    reason: str
    move_us: int
    model_id: str
    verdict: str = ""
    approvers: tuple[str, ...] = ()


def alias_reserved(alias: str) -> bool:
    """Whether an alias means something of its own: `latest`, or `v` with a number, in any case."""
    return alias.lower() == LATEST or _VERSION_ALIAS.fullmatch(alias) is not None


def retagged(tags: Mapping[str, str], put: Mapping[str, str], remove: Iterable[str]) -> dict[str, str]:
    """Tags with some set and some removed. What is both set and removed is set."""
    gone = set(remove) - put.keys()
    return {key: value for key, value in tags.items() if key not in gone} | dict(put)


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Whether a model or a version with these tags is a prompt of MLflow."""
    return tags.get(PROMPT_TAG, "").lower() == "true"


def tags_told(put: Mapping[str, str], removed: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of an event that tell of tags: those set by key, those removed, until `EVENT_TAG_BYTES_MAX` are reached."""
    left = EVENT_TAG_BYTES_MAX
    told: list[tuple[str, str | None]] = []
    for key, value in [*sorted(put.items()), *((key, None) for key in removed)]:
        left -= len(key.encode()) + len((value or "").encode())
        if left < 0:
            break
        told.append((key, value))
    return {
        "set_tags": {key: value for key, value in told if value is not None},
        "removed_tags": tuple(key for key, value in told if value is None),
    }


def metrics_problem(metrics: Sequence[Metric]) -> str:
    """What is wrong with metrics that are to be recorded, in a sentence; empty if nothing is."""
    if (repeated := twice((metric.key, metric.slice) for metric in metrics)) is not None:
        key, slice_ = repeated
        where = f" of the slice {slice_!r}" if slice_ else ""
        return f"The metric {key!r}{where} is given twice."
    if sum(len(metric.samples) for metric in metrics) > SAMPLES_PER_VERSION_MAX * SAMPLE_BYTES:
        return f"The metrics have more than {SAMPLES_PER_VERSION_MAX:,} samples in all."
    return ""


def version_problem(version: ModelVersion) -> str:
    """What is wrong with a version that is to be registered, in a sentence; empty if nothing is."""
    if problem := metrics_problem(version.metrics):
        return problem
    if (name := twice(flavor.name for flavor in version.flavors)) is not None:
        return f"The flavor {name!r} is given twice."
    if version.signature is not None:
        for kind in ("inputs", "outputs", "params"):
            if (name := twice(item.name for item in getattr(version.signature, kind))) is not None:
                return f"The name {name!r} is given to two {kind} of the signature."
    return ""


def baseline_problem(baseline: Baseline) -> str:
    """What is wrong with a baseline, in a sentence; empty if nothing is."""
    if (name := twice(feature.name for feature in baseline.features)) is not None:
        return f"The feature {name!r} is given twice."
    if sum(len(feature.counts) for feature in baseline.features) > BASELINE_COUNTS_MAX:
        return f"The baseline has more than {BASELINE_COUNTS_MAX:,} counts in all."
    for feature in baseline.features:
        if bool(feature.edges) == bool(feature.categories):
            return f"The feature {feature.name!r} needs either edges or categories."
        if feature.categories and len(feature.categories) != len(feature.counts):
            return f"The feature {feature.name!r} has not as many counts as categories."
        if feature.edges and len(feature.edges) != len(feature.counts) + 1:
            return f"The feature {feature.name!r} needs one edge more than it has counts."
        if not all(low < high for low, high in zip(feature.edges, feature.edges[1:], strict=False)):
            return f"The edges of the feature {feature.name!r} do not ascend."
    return ""


def twice(items: Iterable[T]) -> T | None:
    """The first item that comes a second time, None if none does."""
    seen: set[T] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None
