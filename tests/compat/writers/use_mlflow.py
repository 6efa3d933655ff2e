"""What scripts do with MLflow's own client, against whatever tracking URI they are given."""

import os
from importlib.util import find_spec
from typing import Any

import mlflow
from autologs import autolog_lightgbm, autolog_xgboost, optuna_callback
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from serving import serve

os.environ["GIT_PYTHON_REFRESH"] = "quiet"
# It would import everything again in a process of its own, to say what a model needs.
os.environ["MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT"] = "1"
START_MS = 1_700_000_000_000


def fluent(uri: str) -> dict[str, Any]:
    """The fluent API: experiments by name, a run with nested ones, params, metrics, tags; found again as a table."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="parent", description="what it is about") as parent:
        mlflow.log_param("lr", 0.01)
        mlflow.log_params({"depth": 3, "model": "tree"})
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"acc": 0.5, "f1": 0.25}, step=7)
        mlflow.set_tag("team", "vision")
        mlflow.set_tags({"a": 1, "b": True})
        children = []
        for number in range(2):
            with mlflow.start_run(nested=True, run_name=f"child {number}") as child:
                mlflow.log_metric("score", number)
                children.append(child.info.run_id)
    with mlflow.start_run(run_id=parent.info.run_id):
        mlflow.log_metric("late", 1.0)
    table = mlflow.search_runs(experiment_names=["fluent"], filter_string="metrics.score > 0.5")
    nested = mlflow.search_runs(
        experiment_names=["fluent"], filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    run = mlflow.get_run(parent.info.run_id)
    return {
        "parent": parent.info.run_id,
        "children": children,
        "found": table["run_id"].tolist(),
        "nested": sorted(nested["run_id"]),
        "status": run.info.status,
        "name": run.info.run_name,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": {key: run.data.tags[key] for key in ("team", "a", "b", "mlflow.note.content", "mlflow.runName")},
        "losses": [point.value for point in MlflowClient().get_metric_history(parent.info.run_id, "loss")],
    }


def failing(uri: str) -> dict[str, Any]:
    """A run whose script ends with an error."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("failing")
    try:
        with mlflow.start_run() as run:
            raise ValueError("no data")
    except ValueError:
        pass
    return {"status": mlflow.get_run(run.info.run_id).info.status}


def client_api(uri: str) -> dict[str, Any]:
    """The client API: all that experiments and runs can do, and errors as its exceptions."""
    client = MlflowClient(uri)
    experiment = client.create_experiment("client", tags={"team": "a"})
    client.set_experiment_tag(experiment, "stage", "1")
    client.rename_experiment(experiment, "renamed")
    run = client.create_run(experiment, start_time=START_MS, tags={"mlflow.user": "ada"}, run_name="r")
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric("m", i / 7, START_MS + i, i) for i in range(1000)],
        params=[Param("p", "1")],
        tags=[RunTag("t", "x")],
    )
    errors = {}
    for name, call in {
        "param": lambda: client.log_param(run_id, "p", "2"),
        "missing run": lambda: client.get_run("0" * 32),
        "missing experiment": lambda: client.get_experiment("9999"),
        "name": lambda: client.create_experiment("renamed"),
    }.items():
        try:
            call()
        except MlflowException as error:
            errors[name] = error.error_code
    client.set_terminated(run_id, "FINISHED", end_time=START_MS + 99)
    client.update_run(run_id, name="renamed run")
    client.delete_run(run_id)
    deleted = client.get_run(run_id).info.lifecycle_stage
    found_deleted = [r.info.run_id for r in client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)]
    client.restore_run(run_id)
    history = client.get_metric_history(run_id, "m")
    for number in range(25):
        client.create_run(experiment, start_time=START_MS + number)
    pages, token = [], None
    while True:
        page = client.search_runs([experiment], max_results=10, page_token=token)
        pages.append(len(page))
        token = page.token
        if not token:
            break
    client.delete_tag(run_id, "t")
    by_name = client.get_experiment_by_name("renamed")
    return {
        "experiment": [by_name.experiment_id == experiment, by_name.tags, by_name.lifecycle_stage],
        "experiments": sorted(e.name for e in client.search_experiments(filter_string="name = 'renamed'")),
        "errors": errors,
        "deleted": [deleted, found_deleted == [run_id]],
        "history": [len(history), history[0].value, history[-1].step],
        "pages": pages,
        "run": [client.get_run(run_id).info.run_name, client.get_run(run_id).info.user_id],
        "tags": sorted(client.get_run(run_id).data.tags),
    }


def autolog_sklearn(uri: str) -> dict[str, Any]:
    """Autologging of a model that is really trained, with its pictures and metrics, loaded back."""
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog(log_datasets=True)
    features, labels = make_classification(n_samples=60, n_features=5, random_state=1)
    with mlflow.start_run() as run:
        model = LogisticRegression(C=0.5).fit(features, labels)
    mlflow.sklearn.autolog(disable=True)
    logged = mlflow.get_run(run.info.run_id)
    back = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    return {
        "run": run.info.run_id,
        "C": logged.data.params["C"],
        "class": logged.data.tags["estimator_name"],
        "datasets": [[d.dataset.name, [(t.key, t.value) for t in d.tags]] for d in logged.inputs.dataset_inputs],
        "status": logged.info.status,
        "score": logged.data.metrics["training_score"] == model.score(features, labels),
        "files": [file.path for file in MlflowClient().list_artifacts(run.info.run_id)],
        "predicts": back.predict(features).tolist() == model.predict(features).tolist(),
    }


def datasets_and_models(uri: str) -> dict[str, Any]:
    """Datasets of runs; logged models with params, tags, and metrics on datasets."""
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.set_experiment("models").experiment_id
    client = MlflowClient()
    import numpy as np

    dataset = mlflow.data.from_numpy(np.zeros((4, 2)), name="zeros")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="training")
        model = client.create_logged_model(
            experiment, name="net", source_run_id=run.info.run_id, params={"lr": "1"}, tags={"a": "1"}
        )
        mlflow.log_metric("acc", 0.9, step=1, model_id=model.model_id, dataset=dataset)
        client.log_outputs(run.info.run_id, [mlflow.entities.LoggedModelOutput(model.model_id, 1)])
    client.finalize_logged_model(model.model_id, "READY")
    client.set_logged_model_tags(model.model_id, {"b": "2"})
    client.delete_logged_model_tag(model.model_id, "a")
    found = client.search_logged_models([experiment], filter_string="metrics.acc > 0.5 AND params.lr = '1'")
    got = client.get_logged_model(model.model_id)
    logged = client.get_run(run.info.run_id)
    return {
        "found": [one.model_id == model.model_id for one in found],
        "model": [got.name, str(got.status), got.params, got.tags, got.source_run_id == run.info.run_id],
        "metrics": [[m.key, m.value, m.step, m.dataset_name, m.run_id == run.info.run_id] for m in got.metrics],
        "dataset": [logged.inputs.dataset_inputs[0].dataset.name, logged.inputs.dataset_inputs[0].tags[0].value],
        "outputs": [[output.model_id == model.model_id, output.step] for output in logged.outputs.model_outputs],
    }


def registry(uri: str) -> dict[str, Any]:
    """Registered models: versions, aliases, stages, tags, searches."""
    client = MlflowClient(uri)
    client.create_registered_model("digits", tags={"team": "vision"}, description="reads digits")
    for number in range(3):
        client.create_model_version("digits", f"s3://bucket/{number}", tags={"n": str(number)})
    client.set_registered_model_alias("digits", "champion", "2")
    client.set_model_version_tag("digits", "1", "checked", "yes")
    client.update_model_version("digits", "1", description="the first")
    client.transition_model_version_stage("digits", "3", "Staging")
    client.delete_model_version("digits", "1")
    missing = ""
    try:
        client.get_model_version_by_alias("digits", "nobody")
    except MlflowException as error:
        missing = error.error_code
    model = client.get_registered_model("digits")
    return {
        "model": [model.name, model.description, model.tags, model.aliases],
        "champion": client.get_model_version_by_alias("digits", "champion").version,
        "source": client.get_model_version_download_uri("digits", "2"),
        "versions": [v.version for v in client.search_model_versions("name = 'digits'", order_by=["version_number"])],
        "staging": [v.version for v in client.get_latest_versions("digits", ["Staging"])],
        "models": [m.name for m in client.search_registered_models("tags.team = 'vision'")],
        "missing": missing,
    }


def prompts(uri: str) -> dict[str, Any]:
    """Prompts, which are registered models with tags."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    first = mlflow.genai.register_prompt("greeting", "Hello {{name}}.", commit_message="first")
    mlflow.genai.register_prompt("greeting", "Good morning {{name}}.")
    mlflow.genai.set_prompt_alias("greeting", alias="calm", version=1)
    loaded = mlflow.genai.load_prompt("prompts:/greeting@calm")
    return {
        "version": first.version,
        "said": loaded.format(name="Ada"),
        "latest": mlflow.genai.load_prompt("prompts:/greeting/2").template,
        "models": [model.name for model in MlflowClient().search_registered_models()],
    }


def look(uri: str, experiment: str) -> dict[str, Any]:
    """What is seen of the only run of an experiment."""
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return {
        "run": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "losses": [point.value for point in client.get_metric_history(run.info.run_id, "loss")],
        "uri": run.info.artifact_uri,
    }


def asynchronous(uri: str) -> dict[str, Any]:
    """Logging that does not wait."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("async")
    with mlflow.start_run() as run:
        for step in range(50):
            mlflow.log_metric("loss", step, step=step, synchronous=False)
        mlflow.log_params({"a": 1}, synchronous=False).wait()
        mlflow.set_tag("t", "1", synchronous=False).wait()
    mlflow.flush_async_logging()
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    return {"steps": sorted(point.step for point in history), "run": run.info.run_id}


def webhooks(uri: str, url: str) -> dict[str, Any]:
    """Webhooks: made, listed, tried, fired by a model of the registry, changed, deleted."""
    client = MlflowClient(uri)
    hook = client.create_webhook(
        "team-hook", url, ["registered_model.created", "model_version_alias.created"], secret="s3cret"
    )
    tried = client.test_webhook(hook.webhook_id)
    client.create_registered_model("hooked", tags={"team": "vision"})
    changed = client.update_webhook(hook.webhook_id, description="for the team", status="DISABLED")
    listed = [(one.name, one.url == url, str(one.status)) for one in client.list_webhooks()]
    client.delete_webhook(hook.webhook_id)
    return {
        "tried": [tried.success, tried.response_status],
        "events": sorted(str(event) for event in hook.events),
        "changed": [changed.description, str(changed.status)],
        "listed": listed,
        "left": len(client.list_webhooks()),
    }


serve(
    {
        "fluent": fluent,
        "failing": failing,
        "client_api": client_api,
        "autolog_sklearn": autolog_sklearn,
        "datasets_and_models": datasets_and_models,
        "registry": registry,
        "prompts": prompts,
        "look": look,
        "asynchronous": asynchronous,
        "webhooks": webhooks,
        "version": lambda: {"version": mlflow.__version__, "pandas": find_spec("pandas") is not None},
        "autolog_xgboost": autolog_xgboost,
        "autolog_lightgbm": autolog_lightgbm,
        "optuna_callback": optuna_callback,
    }
)
