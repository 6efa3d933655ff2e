"""LightGBM: a callback for `lightgbm.train`, `lightgbm.cv` and its estimators."""

from typing import Any

from lightgbm.callback import CallbackEnv

from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockCallback"]


class PenstockCallback:
    """Logs a training of LightGBM.

    Params are those that the training was given. Metrics are called `<data>/<metric>`, such as `valid_0/l2`, with the round
    as step, and know whether greater is better; of a cross-validation they are the means, and `<data>/<metric>_std` says how
    far folds differ.

        lightgbm.train(params, data, valid_sets=[held_out], callbacks=[PenstockCallback()])

    LightGBM tells no callback of the end of a training. To keep the model: `booster.save_model("model.txt")` and
    `run.log_artifact("model.txt", name=..., type="model")`.

    Args:
        run: The run; without it, the one that is going on.
        prefix: Goes before every name, such as `fold-1/`.
    """

    def __init__(self, *, run: Run | None = None, prefix: str = "") -> None:
        self._target = Target(run, prefix)
        # LightGBM looks into the object itself. Early stopping is at 30, and whatever comes after it misses the last round.
        self.order = 20
        self.before_iteration = False

    def __call__(self, env: CallbackEnv) -> None:
        """Logs a round; the first one with the params."""
        if env.iteration == env.begin_iteration:
            self._target.set_params(env.params)
        row: dict[str, Any] = {}
        for data, metric, value, maximize, *deviation in env.evaluation_result_list or ():
            key = f"{data}/{metric}"
            row[key] = value
            if deviation:
                row[f"{key}_std"] = deviation[0]
            self._target.define_goal(key, "maximize" if maximize else "minimize")
        self._target.log(row, env.iteration)
