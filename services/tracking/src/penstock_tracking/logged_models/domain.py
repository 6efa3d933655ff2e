"""Logged models: their states and how they change. Knows nothing of gRPC or of storage.

All values are frozen: a change returns a new one. Times are microseconds since 1970 UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from penstock_tracking.domain import LifecycleStage

__all__ = [
    "METRICS_PER_MODEL_MAX",
    "PARAMS_PER_MODEL_MAX",
    "TAGS_PER_MODEL_MAX",
    "LoggedModel",
    "LoggedModelState",
    "ModelMetric",
]

PARAMS_PER_MODEL_MAX = 1_000
TAGS_PER_MODEL_MAX = 1_000
METRICS_PER_MODEL_MAX = 2_000


class LoggedModelState(IntEnum):
    """How far a model is. The numbers are those of the contract."""

    PENDING = 1
    READY = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """The latest value of a metric of a model in one run on one dataset."""

    key: str
    value: float
    step: int
    time_us: int
    run_id: str
    dataset_name: str = ""
    dataset_digest: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What it is the latest value of."""
        return self.key, self.run_id, self.dataset_name, self.dataset_digest

    @property
    def rank(self) -> tuple[int, int, float]:
        """Of two with the same identity the greater rank is the later one, as for runs."""
        return self.step, self.time_us, 0.0 if self.value != self.value else self.value


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model. `artifact_location` is that of its experiment when it was created."""

    project: str
    model_id: str
    display_name: str
    experiment_id: str
    creator: str
    create_us: int
    update_us: int
    state: LoggedModelState = LoggedModelState.PENDING
    lifecycle_stage: LifecycleStage = LifecycleStage.ACTIVE
    model_type: str = ""
    source_run_id: str = ""
    artifact_location: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[ModelMetric] = ()

    @property
    def active(self) -> bool:
        """Whether it is not in the bin."""
        return self.lifecycle_stage is LifecycleStage.ACTIVE

    def finished(self, state: LoggedModelState, now_us: int) -> "LoggedModel":
        """The model, as far as `state`."""
        return self if self.state is state else replace(self, state=state, update_us=now_us)

    def deleted(self, now_us: int) -> "LoggedModel":
        """The model in the bin. Deleting twice changes nothing."""
        return replace(self, lifecycle_stage=LifecycleStage.DELETED, update_us=now_us) if self.active else self

    def annotated(
        self, params: Mapping[str, str], tags: Mapping[str, str], removed_tags: Iterable[str]
    ) -> "LoggedModel":
        """The model with more params, other tags. `params` hold nothing that contradicts those that are there."""
        kept = {key: value for key, value in self.tags.items() if key not in set(removed_tags)}
        changed = replace(self, params={**self.params, **params}, tags={**kept, **tags})
        return self if changed == self else changed

    def measured(self, metrics: Iterable[ModelMetric]) -> "LoggedModel":
        """The model with metrics taken over, of each the latest. Those for which there is no room are left out."""
        latest = {metric.identity: metric for metric in self.metrics}
        for metric in metrics:
            before = latest.get(metric.identity)
            if before is None and len(latest) >= METRICS_PER_MODEL_MAX:
                continue
            if before is None or metric.rank > before.rank:
                latest[metric.identity] = metric
        taken = tuple(latest.values())
        return self if taken == tuple(self.metrics) else replace(self, metrics=taken)
