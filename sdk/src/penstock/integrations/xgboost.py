"""XGBoost: a callback for `xgboost.train`, `xgboost.cv` and its estimators."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xgboost

from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockCallback"]

_PARAM_SECTION = "_param"
"""How the sections of a booster's configuration are called that hold params."""


class PenstockCallback(xgboost.callback.TrainingCallback):
    """Logs a training of XGBoost.

    Params are those of the booster, as it uses them. Metrics are called `<data>/<metric>`, such as `validation/rmse`, with
    the round as step; of a cross-validation they are the means, and `<data>/<metric>_std` says how far folds differ. If
    training stopped early, the summary has `best_iteration` and `best_score`.

        xgboost.train(params, data, evals=[(held_out, "validation")], callbacks=[PenstockCallback()])

    Args:
        run: The run; without it, the one that is going on.
        prefix: Goes before every name, such as `fold-1/`.
        model_artifact: The artifact whose next version the trained model becomes, as `model.ubj`.
            Without it, the model is not kept.
    """

    def __init__(self, *, run: Run | None = None, prefix: str = "", model_artifact: str | None = None) -> None:
        super().__init__()
        self._target = Target(run, prefix)
        self._model_artifact = model_artifact

    def before_training(self, model: Any) -> Any:
        """Records the params."""
        booster = model.cvfolds[0].bst if hasattr(model, "cvfolds") else model
        self._target.set_params(dict(_params(json.loads(booster.save_config()))))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]) -> bool:
        """Logs the last value of each metric. Never stops the training."""
        row: dict[str, float] = {}
        for data, metrics in evals_log.items():
            for metric, history in metrics.items():
                # Of a cross-validation: mean and standard deviation over the folds.
                if isinstance(history[-1], tuple):
                    row[f"{data}/{metric}"], row[f"{data}/{metric}_std"] = history[-1]
                else:
                    row[f"{data}/{metric}"] = history[-1]
        self._target.log(row, epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Records the best round, and publishes the model."""
        if not hasattr(model, "cvfolds"):
            if model.attr("best_iteration") is not None:
                best = {
                    "best_iteration": int(model.attr("best_iteration")),
                    "best_score": float(model.attr("best_score")),
                }
                self._target.set_summary(best)
            if self._model_artifact is not None:
                self._target.log_model(self._model_artifact, "model.ubj", model.save_model)
        return model


def _params(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The params in a booster's configuration: those of its sections that are called so, wherever they are."""
    for key, value in section.items():
        if isinstance(value, dict):
            if key.endswith(_PARAM_SECTION):
                yield from ((name, _value(text)) for name, text in value.items() if isinstance(text, str))
            else:
                yield from _params(value)


def _value(text: str) -> int | float | str:
    """A param as it was meant: XGBoost writes texts, and of 0.3 all digits that a float of 32 bits has."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(str(np.float32(text)))
    except ValueError:
        return text
