"""scikit-learn: a callback for the estimators that take callbacks (from 1.9 on), and a function for any."""

from collections.abc import Mapping
from typing import Any, Final

from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring

from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockCallback", "log_estimator"]

_COLUMNS: Final = ("mean_", "std_", "rank_")
"""How the columns of `cv_results_` begin that say something of a candidate, and not of one of its folds."""


class PenstockCallback:
    """Logs how an estimator is fitted.

    Whatever the estimator computes step by step, such as the iterations of `LogisticRegression`, is scored on the training
    data after each step: `train/score`, or `train/<name>` for the scores that `scoring` names. Within another estimator the
    name begins with what that one does, such as `fit-final-estimator/train/score` in a pipeline. When the outermost
    estimator is fitted, what `log_estimator` says of it is logged.

        LogisticRegression().set_callbacks(PenstockCallback(scoring="neg_log_loss")).fit(x, y)
        GridSearchCV(estimator, grid).set_callbacks(PenstockCallback()).fit(x, y)

    The steps of fits that go on in parallel, such as those of a search, are not logged, nor is anything in worker processes.
    The candidates of the search are.

    Args:
        run: The run; without it, the one that is going on.
        prefix: Goes before every name, such as `fold-1/`.
        scoring: As scikit-learn takes it: a name, a list of names, a callable, a mapping. None: the estimator's own score.
    """

    def __init__(self, *, run: Run | None = None, prefix: str = "", scoring: Any = None) -> None:
        self._target = Target(run, prefix)
        self._scoring = [scoring] if isinstance(scoring, str) else scoring

    def setup(self, estimator: BaseEstimator, context: Any) -> None:
        """Nothing to prepare."""

    def teardown(self, estimator: BaseEstimator, context: Any) -> None:
        """Nothing to clear away."""

    def on_fit_task_begin(self, estimator: BaseEstimator, context: Any) -> None:
        """Nothing is known yet."""

    def on_fit_task_end(
        self,
        estimator: BaseEstimator,
        context: Any,
        *,
        X: Any = None,
        y: Any = None,
        fitted_estimator: BaseEstimator | None = None,
    ) -> None:
        """Scores a step, or logs the estimator that is fitted."""
        if context.parent is None:
            _log(self._target, estimator)
            return
        # A task that was merged with one of another estimator is a whole fit, and its steps were logged.
        is_step = context.source_task_name is None and fitted_estimator is not None and X is not None
        place = _place(context) if is_step else None
        if place is not None:
            scores = check_scoring(estimator, self._scoring)(fitted_estimator, X, y)
            named = scores if isinstance(scores, Mapping) else {"score": scores}
            self._target.log({f"{place}train/{name}": score for name, score in named.items()}, context.task_id)


def log_estimator(estimator: BaseEstimator, *, run: Run | None = None, prefix: str = "") -> None:
    """Logs an estimator that is fitted: its class and params, and if it searched for params, what it found.

    The class is the param `estimator_class`. Each candidate of a search (`GridSearchCV` and its like) is a step:
    `search/mean_test_score` and what else `cv_results_` has of it, and `search/param/<name>` for params that are numbers. The
    summary has `best/score` and the best params.

    Args:
        estimator: Any estimator of scikit-learn, or of a library that follows its rules.
        run: The run; without it, the one that is going on.
        prefix: Goes before every name.
    """
    _log(Target(run, prefix), estimator)


def _log(target: Target, estimator: BaseEstimator) -> None:
    target.set_params({"estimator_class": type(estimator).__name__, **estimator.get_params()})
    results = getattr(estimator, "cv_results_", None)
    if results is None or "params" not in results:
        return
    columns = {name: column for name, column in results.items() if name.startswith(_COLUMNS)}
    for number, params in enumerate(results["params"]):
        row = {f"search/{name}": column[number] for name, column in columns.items()}
        target.log(row | {f"search/param/{name}": value for name, value in params.items()}, number)
    # There is no best one if several scores were asked for and none was named to decide.
    if hasattr(estimator, "best_params_"):
        best = {"best/candidate": estimator.best_index_}
        if hasattr(estimator, "best_score_"):
            best["best/score"] = estimator.best_score_
        target.set_summary(best | {f"best/param/{name}": value for name, value in estimator.best_params_.items()})


def _place(context: Any) -> str | None:
    """What tells steps of one number apart: the levels between the outermost fit and the step, as a prefix.

    None if there may be very many such levels, as in the parallel fits of a search.
    """
    place = ""
    level = context.parent
    while level.parent is not None:
        # Where one estimator is fitted within another, the outer one knows better what for.
        place = f"{level.source_task_name or f'{level.task_name}-{level.task_id}'}/{place}"
        level = level.parent
        if not level.sequential_subtasks:
            return None
    return place
