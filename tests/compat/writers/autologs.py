"""What training libraries log by themselves through MLflow's client: what they recorded, and what the server has of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow import MlflowClient

ROUNDS = 8
TRIALS = 4


def data() -> tuple[Any, Any]:
    """Features and labels that can be learned."""
    import numpy as np

    features = np.random.default_rng(1).normal(size=(120, 4)).astype("float32")
    return features, (features[:, 0] + features[:, 1] > 0).astype("int32")


def logged(run_id: str, recorded: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The state and params of a run, and whether each metric came as it was recorded."""
    client = MlflowClient()
    run = client.get_run(run_id)
    same = {}
    for key, values in recorded.items():
        history = sorted(client.get_metric_history(run_id, key), key=lambda point: point.step)
        same[key] = [(point.step, point.value) for point in history] == list(enumerate(values))
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": sorted(run.data.metrics),
        "same": same,
        "datasets": [used.tags[0].value for used in run.inputs.dataset_inputs],
        "files": [file.path for file in client.list_artifacts(run_id)],
    }


def autolog_xgboost(uri: str) -> dict[str, Any]:
    """XGBoost, with an evaluation after each round."""
    import xgboost

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("xgboost")
    features, labels = data()
    matrix = xgboost.DMatrix(features, labels)
    told: dict[str, dict[str, list[float]]] = {}
    mlflow.xgboost.autolog()
    with mlflow.start_run() as run:
        model = xgboost.train(
            {"max_depth": 2, "objective": "binary:logistic", "eval_metric": "logloss"},
            matrix,
            num_boost_round=ROUNDS,
            evals=[(matrix, "train")],
            evals_result=told,
            verbose_eval=False,
        )
    mlflow.xgboost.autolog(disable=True)
    back = mlflow.xgboost.load_model(f"runs:/{run.info.run_id}/model")
    return logged(run.info.run_id, {"train-logloss": told["train"]["logloss"]}) | {
        "predicts": back.predict(matrix).tolist() == model.predict(matrix).tolist()
    }


def autolog_lightgbm(uri: str) -> dict[str, Any]:
    """LightGBM, with an evaluation after each round."""
    import lightgbm

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("lightgbm")
    features, labels = data()
    told: dict[str, dict[str, list[float]]] = {}
    mlflow.lightgbm.autolog()
    with mlflow.start_run() as run:
        train = lightgbm.Dataset(features, labels)
        model = lightgbm.train(
            {"objective": "binary", "metric": "binary_logloss", "num_leaves": 4, "verbose": -1, "num_threads": 1},
            train,
            num_boost_round=ROUNDS,
            valid_sets=[train],
            valid_names=["train"],
            callbacks=[lightgbm.record_evaluation(told)],
        )
    mlflow.lightgbm.autolog(disable=True)
    back = mlflow.lightgbm.load_model(f"runs:/{run.info.run_id}/model")
    return logged(run.info.run_id, {"train-binary_logloss": told["train"]["binary_logloss"]}) | {
        "predicts": back.predict(features).tolist() == model.predict(features).tolist()
    }


def optuna_callback(uri: str) -> dict[str, Any]:
    """Optuna's own callback: a run for each trial, nested in one of the study."""
    import optuna
    from optuna_integration.mlflow import MLflowCallback

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(uri)
    callback = MLflowCallback(tracking_uri=uri, metric_name="loss", mlflow_kwargs={"nested": True})

    @callback.track_in_mlflow()
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        mlflow.log_metric("twice", 2 * x)
        return x * x

    study = optuna.create_study(study_name="parabola", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=TRIALS, callbacks=[callback])
    client = MlflowClient()
    experiment = client.get_experiment_by_name("parabola")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.loss ASC"])
    return {
        "trials": [[run.info.run_name, run.data.params["x"], run.data.metrics["loss"]] for run in runs],
        "told": sorted(
            ([str(trial.number), str(trial.params["x"]), trial.value] for trial in study.trials), key=lambda one: one[2]
        ),
        "twice": all(run.data.metrics["twice"] == 2 * float(run.data.params["x"]) for run in runs),
        "status": sorted({run.info.status for run in runs}),
        "tags": {key: runs[0].data.tags.get(key) for key in ("direction", "mlflow.runName")},
    }
