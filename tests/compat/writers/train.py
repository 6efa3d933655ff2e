"""Trains small models with the libraries that Penstock has callbacks for, as their users do, with the callbacks in place.

Each function returns the id of its run, and what the library itself says of the training.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from serving import bits, serve

import penstock

os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PENSTOCK_CAPTURE": "0"}
Series = dict[str, list[tuple[int, str]]]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5, 0.0]) + RNG.normal(scale=0.1, size=300)).astype(np.float32)
LABELS = (Y > 0).astype(int)


def start(home: str, project: str, **options: Any) -> penstock.Run:
    os.environ["PENSTOCK_HOME"] = home
    return penstock.init(project=project, system_metrics=False, **options)


def series(values: Any, first_step: int = 0) -> list[tuple[int, str]]:
    return [(first_step + number, bits(float(value))) for number, value in enumerate(values)]


def xgboost(home: str, project: str) -> dict[str, Any]:
    """A training that stops early and keeps its model, and a cross-validation in the same run."""
    import xgboost
    from sklearn.base import clone

    from penstock.integrations.xgboost import PenstockCallback

    data, held_out = xgboost.DMatrix(X[:200], Y[:200]), xgboost.DMatrix(X[200:], Y[200:])
    params = {"eta": 0.3, "max_depth": 3, "objective": "reg:squarederror", "eval_metric": ["rmse", "mae"], "nthread": 1}
    told: dict[str, dict[str, list[float]]] = {}
    with start(home, project) as run:
        booster = xgboost.train(
            params,
            data,
            num_boost_round=200,
            evals=[(data, "train"), (held_out, "validation")],
            early_stopping_rounds=2,
            evals_result=told,
            verbose_eval=False,
            callbacks=[PenstockCallback(model_artifact="trees")],
        )
        folds = xgboost.cv(params, data, num_boost_round=5, nfold=3, callbacks=[PenstockCallback(prefix="cv/")])
        # Estimators are cloned with their callbacks.
        estimator = xgboost.XGBRegressor(n_estimators=3, n_jobs=1, callbacks=[PenstockCallback(run=run, prefix="est/")])
        estimator = clone(estimator).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    points: Series = {f"{data}/{metric}": series(values) for data, of in told.items() for metric, values in of.items()}
    for data_name in ("train", "test"):
        for metric in ("rmse", "mae"):
            points[f"cv/{data_name}/{metric}"] = series(folds[f"{data_name}-{metric}-mean"])
            points[f"cv/{data_name}/{metric}_std"] = series(folds[f"{data_name}-{metric}-std"])
    points["est/validation_0/rmse"] = series(estimator.evals_result()["validation_0"]["rmse"])
    return {
        "run": run.resource_name,
        "points": points,
        "best": [booster.best_iteration, booster.best_score],
        "predictions": booster.predict(held_out).tolist(),
    }


def predict_xgboost(model: str) -> list[float]:
    import xgboost

    return xgboost.Booster(model_file=model).predict(xgboost.DMatrix(X[200:])).tolist()


def lightgbm(home: str, project: str) -> dict[str, Any]:
    """A training that stops early, and a cross-validation in the same run."""
    import lightgbm

    from penstock.integrations.lightgbm import PenstockCallback

    options = {
        "objective": "binary",
        "metric": ["binary_logloss", "auc"],
        "num_leaves": 7,
        "learning_rate": 0.9,
        "verbose": -1,
        "num_threads": 1,
    }
    told: dict[str, dict[str, list[float]]] = {}
    with start(home, project) as run:
        data = lightgbm.Dataset(X[:200], LABELS[:200])
        lightgbm.train(
            options,
            data,
            num_boost_round=60,
            valid_sets=[lightgbm.Dataset(X[200:], LABELS[200:], reference=data)],
            valid_names=["held-out"],
            callbacks=[lightgbm.early_stopping(2, verbose=False), lightgbm.record_evaluation(told), PenstockCallback()],
        )
        folds = lightgbm.cv(
            options,
            lightgbm.Dataset(X, LABELS),
            num_boost_round=5,
            nfold=3,
            callbacks=[PenstockCallback(prefix="cv/")],
        )
    points: Series = {f"{data}/{metric}": series(values) for data, of in told.items() for metric, values in of.items()}
    for metric in ("binary_logloss", "auc"):
        points[f"cv/valid/{metric}"] = series(folds[f"valid {metric}-mean"])
        points[f"cv/valid/{metric}_std"] = series(folds[f"valid {metric}-stdv"])
    return {"run": run.resource_name, "points": points}


def keras(home: str, project: str) -> dict[str, Any]:
    """A training by epochs and batches that keeps its model, and an evaluation after it."""
    import keras

    from penstock.integrations.keras import PenstockCallback

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)], name="net"
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    with start(home, project, config={"epochs": "mine"}) as run:
        callback = PenstockCallback(every_batches=4, model_artifact="net")
        history = model.fit(X, Y, batch_size=32, epochs=3, validation_split=0.2, verbose=0, callbacks=[callback])
        found = model.evaluate(X, Y, verbose=0, callbacks=[callback], return_dict=True)
    points: Series = {
        (f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"): series(values)
        for name, values in history.history.items()
    }
    return {
        "run": run.resource_name,
        "points": points,
        "test": found,
        "predictions": model.predict(X, verbose=0).ravel().tolist(),
    }


def predict_keras(model: str) -> list[float]:
    import keras

    return keras.saving.load_model(model).predict(X, verbose=0).ravel().tolist()


def optuna(home: str, project: str) -> dict[str, Any]:
    """A study of one objective in two threads, with trials that fail and are pruned; and one of two objectives."""
    import optuna

    from penstock.integrations.optuna import PenstockCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        if trial.number == 3:
            raise ValueError("no luck")
        if trial.number == 4:
            trial.report(9.0, 0)
            raise optuna.TrialPruned
        return x * x + (kind == "b")

    with start(home, project) as run:
        study = optuna.create_study(study_name="one", sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=12, n_jobs=2, catch=(ValueError,), callbacks=[PenstockCallback()])
        both = optuna.create_study(directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler(seed=0))
        both.optimize(
            lambda trial: (trial.suggest_int("n", 1, 9), 2.0 * trial.number),
            n_trials=3,
            callbacks=[PenstockCallback(prefix="both/", metric_names=["cost", "gain"])],
        )
    return {
        "run": run.resource_name,
        "points": {
            "value": [(t.number, bits(t.value)) for t in study.trials if t.state.name == "COMPLETE"],
            "param/x": [(t.number, bits(t.params["x"])) for t in study.trials],
            "trial/failed": [(t.number, bits(float(t.state.name == "FAIL"))) for t in study.trials],
            "trial/pruned": [(t.number, bits(float(t.state.name == "PRUNED"))) for t in study.trials],
            "both/cost": [(t.number, bits(t.values[0])) for t in both.trials],
            "both/gain": [(t.number, bits(t.values[1])) for t in both.trials],
        },
        "best": {"value": study.best_value, "trial": study.best_trial.number, "params": study.best_params},
    }


def sklearn(home: str, project: str) -> dict[str, Any]:
    """Iterations of an estimator, a search, a pipeline, and an estimator that takes no callbacks."""
    import sklearn.callback
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from penstock.integrations.sklearn import PenstockCallback, log_estimator

    with start(home, project) as run:
        monitor = sklearn.callback.ScoringMonitor(scoring="neg_log_loss")
        estimator = LogisticRegression(C=0.5, max_iter=20)
        estimator.set_callbacks(monitor, PenstockCallback(scoring="neg_log_loss")).fit(X, LABELS)
        search = GridSearchCV(
            LogisticRegression().set_callbacks(PenstockCallback(run=run, prefix="inner/")), {"C": [0.1, 1.0, 10.0]}
        )
        search.set_callbacks(PenstockCallback(prefix="grid/")).fit(X, LABELS)
        steps = LogisticRegression(max_iter=20).set_callbacks(PenstockCallback(prefix="pipe/"))
        make_pipeline(StandardScaler(), steps).fit(X, LABELS)
        log_estimator(RandomForestClassifier(n_estimators=2, max_depth=3).fit(X, LABELS), prefix="forest/")
    rows = [row for row in monitor.get_logs().data if "neg_log_loss" in row and len(row["task_id_path"]) > 1]
    return {
        "run": run.resource_name,
        "points": {
            "train/neg_log_loss": [(row["task_id"], bits(row["neg_log_loss"])) for row in rows],
            "grid/search/mean_test_score": series(search.cv_results_["mean_test_score"]),
            "grid/search/param/C": series([0.1, 1.0, 10.0]),
        },
        "best": [int(search.best_index_), float(search.best_score_), search.best_params_["C"]],
    }


def elsewhere(home: str, project: str) -> dict[str, Any]:
    """A callback's copies: one within the process logs, one that was pickled does not. And none without a run."""
    import copy

    from lightgbm.callback import CallbackEnv

    from penstock.integrations.lightgbm import PenstockCallback

    def env(value: float) -> CallbackEnv:
        return CallbackEnv(None, {}, 0, 0, 1, [("valid", "l2", value, False)])

    failure = ""
    try:
        PenstockCallback()(env(0.0))
    except penstock.PenstockError as error:
        failure = str(error)
    with start(home, project) as run:
        callback = PenstockCallback(run=run)
        pickle.loads(pickle.dumps(callback))(env(1.0))
        copy.deepcopy(callback)(env(2.0))
    return {"run": run.resource_name, "points": {"valid/l2": [(0, bits(2.0))]}, "failure": failure}


def artifact_file(home: str, project: str, name: str, folder: str) -> str:
    """Downloads the only file of an artifact's newest version."""
    os.environ["PENSTOCK_HOME"] = home
    with penstock.Client() as client:
        client.get_artifact(name, folder, project=project)
    [path] = Path(folder).iterdir()
    return str(path)


if __name__ == "__main__":
    serve(
        {
            function.__name__: function
            for function in (
                xgboost,
                predict_xgboost,
                lightgbm,
                keras,
                predict_keras,
                optuna,
                sklearn,
                elsewhere,
                artifact_file,
            )
        }
    )
