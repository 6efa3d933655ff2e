"""Optuna: a callback for `Study.optimize`, in one thread or many."""

from collections.abc import Sequence
from typing import Any, Final

import optuna
from optuna.trial import TrialState

from penstock.errors import InvalidInput, InvalidType
from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockCallback"]

_STATES: Final = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class PenstockCallback:
    """Logs a study into one run: each trial is a step, and its number is the step's.

    Metrics are `value` (or what `metric_names` says), for trials that are complete; `best/value`, if the study has one
    objective; `param/<name>` for params that are numbers; `trial/duration_s`; and `trial/complete`, `trial/pruned`,
    `trial/failed`, of which one is 1. The summary says which trial is best, and its params. Params of the run are the
    study's name, directions, sampler and pruner.

        study.optimize(objective, n_trials=100, callbacks=[PenstockCallback()])

    A run per trial needs no callback: start it in the objective, with the trial's params and the study's name as group.

        def objective(trial):
            lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
            with penstock.init(group=trial.study.study_name, config={"lr": lr}) as run: ...

    Args:
        run: The run; without it, the one that is going on.
        prefix: Goes before every name, such as `search/`.
        metric_names: What the values of the objective are called; `value`, or `value_0` and so on, without it.
    """

    def __init__(self, *, run: Run | None = None, prefix: str = "", metric_names: Sequence[str] | None = None) -> None:
        if isinstance(metric_names, str):
            raise InvalidType("metric_names must be a list of names, one for each value of the objective.")
        self._target = Target(run, prefix)
        self._metric_names = metric_names

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Logs a trial that ended. Raises `InvalidInput` if the objective has not as many values as `metric_names`."""
        names = self._names(study)
        self._target.set_params(
            {
                "study": study.study_name,
                "directions": [direction.name.lower() for direction in study.directions],
                "sampler": type(study.sampler).__name__,
                "pruner": type(study.pruner).__name__,
            }
        )
        for name, direction in zip(names, study.directions, strict=True):
            self._target.define_goal(name, direction.name.lower())
        row: dict[str, Any] = {f"param/{key}": value for key, value in trial.params.items()}
        row |= {f"trial/{word}": trial.state == state for state, word in _STATES.items()}
        if trial.duration is not None:
            row["trial/duration_s"] = trial.duration.total_seconds()
        if trial.state == TrialState.COMPLETE:
            # A pruned trial has a value, too: the last that it reported.
            row |= dict(zip(names, trial.values, strict=True))
            if len(names) == 1:
                best = study.best_trial
                row[f"best/{names[0]}"] = best.value
                self._target.set_summary(
                    {f"best/{names[0]}": best.value, "best/trial": best.number}
                    | {f"best/param/{key}": value for key, value in best.params.items()}
                )
        self._target.log(row, trial.number)

    def _names(self, study: optuna.Study) -> Sequence[str]:
        count = len(study.directions)
        if self._metric_names is None:
            return ["value"] if count == 1 else [f"value_{number}" for number in range(count)]
        if len(self._metric_names) != count:
            raise InvalidInput(f"The objective has {count} values, and metric_names {len(self._metric_names)}.")
        return self._metric_names
