"""What runs used and made, on MLflow's own server and on ours: datasets and logged models."""

from typing import Any

import pytest
from support.differential import Pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START_MS = 1_700_000_000_000


def new_run(pair: Pair, name: str = "r") -> str:
    """A run that the test calls `name`, in an experiment that it calls `e`."""
    if "e" not in pair.ours.names:
        pair.post("experiments/create", {"name": f"models {pair.mark}"}, learn={"e": "experiment_id"})
    body = {"experiment_id": "<e>", "run_name": name, "start_time": START_MS}
    pair.post("runs/create", body, learn={name: "run.info.run_id"})
    return f"<{name}>"


def dataset(name: str = "mnist", digest: str = "d1", tags: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": name, "digest": digest, "source_type": "local", "source": "{}", **more},
        "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()],
    }


def new_model(pair: Pair, name: str = "net", **fields: Any) -> str:
    if "r" not in pair.ours.names:
        new_run(pair)
    body = {"experiment_id": "<e>", "name": name, **fields}
    pair.post("logged-models", body, learn={name: "model.info.model_id"})
    return f"<{name}>"


def test_datasets_of_runs(pair: Pair) -> None:
    first, second = new_run(pair, "first"), new_run(pair, "second")
    inputs = [
        dataset(tags={"mlflow.data.context": "train", "x": "1"}, schema='{"a": 1}', profile='{"rows": 3}'),
        dataset(digest="d2", schema="s", profile="p"),
    ]
    for _ in range(2):
        pair.post("runs/log-inputs", {"run_id": first, "datasets": inputs[:1]})
    pair.post("runs/log-inputs", {"run_id": second, "datasets": [dataset(source="other", schema="other", profile="")]})
    pair.post("runs/log-inputs", {"run_id": second})
    for run in (first, second):
        pair.get("runs/get", query={"run_id": run})
    pair.post("runs/log-inputs", {"run_id": first, "datasets": inputs})
    pair.post("runs/search", {"experiment_ids": ["<e>"], "filter": "run_name = 'second'"})
    for text in (
        "dataset.name = 'mnist'",
        "dataset.name != 'mnist'",
        "datasets.name LIKE 'mn%'",
        "dataset.name ILIKE 'MNIST'",
        "dataset.name IN ('mnist', 'other')",
        "dataset.digest = 'd2'",
        "dataset.digest NOT IN ('d2')",
        "dataset.context = 'train'",
        "dataset.context != 'train'",
        "dataset.context LIKE 't%' AND dataset.digest = 'd1'",
        "dataset.name = 'absent'",
    ):
        body = {"experiment_ids": ["<e>"], "filter": text, "order_by": ["attributes.run_name"]}
        pair.post("runs/search", body)
    for wrong in (
        {"datasets": "x"},
        {"datasets": [dataset(name="n" * 501)]},
        {"datasets": [dataset(digest="d" * 37)]},
        {"datasets": [dataset(source="s" * 65_536)]},
        {"datasets": [dataset(tags={"k" * 256: "1"})]},
        {"datasets": [dataset(tags={"k": "v" * 501})]},
        {"models": "x"},
    ):
        pair.post("runs/log-inputs", {"run_id": first, **wrong}, status=400)
    pair.post("runs/log-inputs", {}, status=400)
    pair.post("runs/log-inputs", {"run_id": "0" * 32, "datasets": inputs}, status=404)


def test_logged_models_that_runs_used_and_made(pair: Pair) -> None:
    model = new_model(pair)
    pair.post("runs/log-inputs", {"run_id": "<r>", "models": [{"model_id": model}]})
    pair.post("runs/outputs", {"run_id": "<r>", "models": [{"model_id": model, "step": "3"}]})
    pair.get("runs/get", query={"run_id": "<r>"})
    pair.post("runs/search", {"experiment_ids": ["<e>"]})
    pair.post("runs/outputs", {"run_id": "<r>"}, status=400)
    pair.post("runs/outputs", {"run_id": "<r>", "models": "x"}, status=400)
    pair.post("runs/outputs", {"run_id": "0" * 32, "models": [{"model_id": model}]}, status=404)


def test_logged_models_are_made_annotated_and_deleted(pair: Pair) -> None:
    params = [{"key": "lr", "value": "1"}, {"key": "b", "value": ""}]
    tags = [{"key": "a", "value": "1"}]
    model = new_model(pair, model_type="resnet", source_run_id="<r>", params=params, tags=tags)
    at = f"logged-models/{model}"
    pair.get(at)
    pair.same("PATCH", f"2.0/mlflow/{at}/tags", {"tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "3"}]})
    pair.get(at)
    pair.same("DELETE", f"2.0/mlflow/{at}/tags/a")
    pair.same("DELETE", f"2.0/mlflow/{at}/tags/a", status=404)
    pair.post(f"{at}/params", {"model_id": model, "params": [{"key": "depth", "value": "3"}]})
    pair.post(f"{at}/params", {"params": [{"key": "depth", "value": "3"}]}, status=400)
    pair.same("PATCH", f"2.0/mlflow/{at}", {"model_id": model, "status": "LOGGED_MODEL_READY"})
    pair.same("PATCH", f"2.0/mlflow/{at}", {"model_id": model, "status": 3})
    pair.get(at)
    pair.same("DELETE", f"2.0/mlflow/{at}")
    pair.get(at, status=404)
    pair.get(at, query={"allow_deleted": "true"})
    missing = "logged-models/m-" + "0" * 32
    pair.get(missing, status=404)
    pair.get("logged-models/nothing", status=404)
    pair.same("DELETE", f"2.0/mlflow/{missing}", status=404)
    pair.same("PATCH", f"2.0/mlflow/{missing}/tags", {"tags": tags}, status=404)
    pair.post(f"{missing}/params", {"model_id": "x", "params": params}, status=404)
    for body in (
        {},
        {"experiment_id": "<e>", "name": "a/b"},
        {"experiment_id": "<e>", "name": 7},
        {"experiment_id": "x"},
    ):
        pair.post("logged-models", body, status=400)
    pair.post("logged-models", {"experiment_id": "999999", "name": "n"}, status=404)


def test_metrics_of_logged_models(pair: Pair) -> None:
    model = new_model(pair)
    metric = {"key": "acc", "value": 0.5, "timestamp": 10, "step": 1, "model_id": model}
    on_test = {"dataset_name": "test", "dataset_digest": "d1"}
    pair.post("runs/log-metric", {"run_id": "<r>", **metric})
    pair.post("runs/log-batch", {"run_id": "<r>", "metrics": [{**metric, "key": "f1", **on_test}]})
    pair.get(f"logged-models/{model}")
    pair.get("runs/get", query={"run_id": "<r>"})
    pair.get("metrics/get-history", query={"run_id": "<r>", "metric_key": "acc"})


def test_logged_models_are_searched(pair: Pair) -> None:
    for number, name in enumerate(("b", "a", "c")):
        model = new_model(
            pair,
            name,
            model_type="tree" if number else "net",
            params=[{"key": "lr", "value": str(number)}],
            tags=[{"key": "team", "value": name}],
        )
        metric = {"key": "acc", "value": number / 4, "timestamp": 1, "model_id": model, "dataset_name": f"d{number}"}
        metric["dataset_digest"] = "x"
        pair.post("runs/log-metric", {"run_id": "<r>", **metric})
    for more in (
        {},
        {"order_by": [{"field_name": "name"}]},
        {"order_by": [{"field_name": "name", "ascending": False}]},
        {"order_by": [{"field_name": "metrics.acc", "ascending": False}]},
        {"order_by": [{"field_name": "creation_time"}]},
        {"filter": "name = 'a'"},
        {"filter": "name != 'a'"},
        {"filter": "attributes.name LIKE 'a%'"},
        {"filter": "model_type = 'tree'"},
        {"filter": "metrics.acc >= 0.25"},
        {"filter": "metrics.acc > 0.25 AND params.lr = '2'"},
        {"filter": "params.lr IN ('0', '2')"},
        {"filter": "tags.team = 'b'"},
        {"filter": "creation_timestamp > 0"},
        {"datasets": [{"dataset_name": "d1", "dataset_digest": "x"}]},  # its server finds nothing without a digest
        {"max_results": 0},
    ):
        pair.post("logged-models/search", {"experiment_ids": ["<e>"], **more})
    for wrong in (
        {"experiment_ids": "<e>"},
        {"filter": "what.a = '1'"},
        {"filter": "metrics.acc LIKE 'a'"},
        {"filter": "params.lr > '1'"},
        {"order_by": [{"field_name": "params.lr"}]},
        {"datasets": [{"dataset_digest": "d1"}]},
    ):
        ours, theirs = pair.both("POST", "2.0/mlflow/logged-models/search", {"experiment_ids": ["<e>"], **wrong})
        assert ours.status == theirs.status == 400, (wrong, ours, theirs)
        assert ours.json["error_code"] == theirs.json["error_code"]
    pair.post("logged-models/search", {}, status=400)
    names = []
    for side in (pair.ours, pair.theirs):
        body = {"experiment_ids": ["<e>"], "max_results": 2, "order_by": [{"field_name": "name"}]}
        while True:
            page = side.call("POST", "2.0/mlflow/logged-models/search", body, {}).json
            names.append([model["info"]["name"] for model in page["models"]])
            body["page_token"] = page.get("next_page_token", "")
            if not body["page_token"]:
                break
    assert names == [["a", "b"], ["c"]] * 2
