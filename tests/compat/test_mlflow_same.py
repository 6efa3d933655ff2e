"""The same requests to a real tracking server of MLflow and to ours, through MLflow's REST API: answers are equal.

Experiments, runs, params, tags, metrics and batches. What is deliberately otherwise is in the gateway's README.
"""

from typing import Any

import pytest
from support.differential import Pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START_MS = 1_700_000_000_000


def new_experiment(pair: Pair, name: str = "e", **fields: Any) -> str:
    """Makes an experiment with a name that is new on both sides, and which the test calls `name`."""
    pair.post(
        "experiments/create",
        {"name": f"{name} {pair.mark} {len(pair.ours.names)}", **fields},
        learn={name: "experiment_id"},
    )
    return f"<{name}>"


def new_run(pair: Pair, name: str = "r", **fields: Any) -> str:
    """Makes a run that the test calls `name`."""
    body = {"run_name": f"run {name}", "start_time": START_MS, **fields}
    pair.post("runs/create", body, learn={name: "run.info.run_id"})
    return f"<{name}>"


def test_experiments_are_made_found_and_renamed(pair: Pair) -> None:
    name = f"vision {pair.mark}"
    pair.post(
        "experiments/create",
        {"name": name, "tags": [{"key": "team", "value": "a"}, {"key": "empty", "value": ""}]},
        learn={"e": "experiment_id"},
    )
    pair.get("experiments/get", query={"experiment_id": "<e>"})
    pair.get("experiments/get-by-name", query={"experiment_name": name})
    pair.post(
        "experiments/create",
        {"name": f"own store {pair.mark}", "artifact_location": "s3://bucket/path?x=y"},
        learn={"s": "experiment_id"},
    )
    pair.get("experiments/get", query={"experiment_id": "<s>"})
    new_run(pair, "in_store", experiment_id="<s>")
    pair.post("experiments/update", {"experiment_id": "<e>", "new_name": f"{name} 2"})
    pair.get("experiments/get", query={"experiment_id": "<e>"})
    pair.get("experiments/get-by-name", query={"experiment_name": name}, status=404)
    pair.get("experiments/get", query={"experiment_id": "0"})
    pair.post("experiments/set-experiment-tag", {"experiment_id": "<e>", "key": "team", "value": "b"})
    pair.post("experiments/set-experiment-tag", {"experiment_id": "<e>", "key": "note"})
    pair.get("experiments/get", query={"experiment_id": "<e>"})
    pair.post("experiments/delete-experiment-tag", {"experiment_id": "<e>", "key": "team"})
    pair.post("experiments/delete-experiment-tag", {"experiment_id": "<e>", "key": "team"}, status=404)
    pair.get("experiments/get", query={"experiment_id": "<e>"})


def test_experiments_that_are_refused(pair: Pair) -> None:
    e = new_experiment(pair)
    for body in (
        {},
        {"name": ""},
        {"name": None},
        {"name": 7},
        {"name": ["a"]},
        {"name": "n" * 501},
        {"name": "a", "tags": "x"},
        {"name": "a", "artifact_location": 7},
        {"name": "a", "tags": [{"key": "a b/../c", "value": "1"}]},
        {"name": "a", "tags": [{"key": "k" * 251, "value": "1"}]},
        {"name": "a", "tags": [{"key": "k", "value": "v" * 20_001}]},
        {"name": "a", "tags": [{"key": "what?", "value": "1"}]},
    ):
        pair.post("experiments/create", body, status=400)
    for experiment_id in ("99999", "x1", "1.5", ""):
        query = {"experiment_id": experiment_id}
        ours, theirs = pair.both("GET", "2.0/mlflow/experiments/get", query=query)
        assert (ours.status, ours.json) == (theirs.status, theirs.json)
    pair.get("experiments/get", status=400)
    pair.get("experiments/get-by-name", status=400)
    pair.get("experiments/get-by-name", query={"experiment_name": "nobody made this"}, status=404)
    pair.post("experiments/update", {"experiment_id": e}, status=400)
    pair.post("experiments/update", {"experiment_id": e, "new_name": "n" * 501}, status=400)
    pair.post("experiments/set-experiment-tag", {"experiment_id": e}, status=400)
    pair.post("experiments/set-experiment-tag", {"experiment_id": e, "key": "../x", "value": "1"}, status=400)
    pair.post("experiments/set-experiment-tag", {"experiment_id": "99999", "key": "x", "value": "1"}, status=404)
    for operation in ("delete", "restore"):
        pair.post(f"experiments/{operation}", {}, status=400)
        pair.post(f"experiments/{operation}", {"experiment_id": "99999"}, status=404)


def test_a_name_is_taken_once_also_by_what_is_deleted(pair: Pair) -> None:
    name = f"taken {pair.mark}"
    pair.post("experiments/create", {"name": name}, learn={"e": "experiment_id"})
    for _ in range(2):
        ours, theirs = pair.both("POST", "2.0/mlflow/experiments/create", {"name": name})
        assert ours.status == theirs.status == 400
        assert ours.json["error_code"] == theirs.json["error_code"] == "RESOURCE_ALREADY_EXISTS"
        assert theirs.json["message"].startswith(ours.json["message"])
        pair.both("POST", "2.0/mlflow/experiments/delete", {"experiment_id": "<e>"})


def test_deleting_and_restoring(pair: Pair) -> None:
    e = new_experiment(pair)
    first, second = new_run(pair, "first", experiment_id=e), new_run(pair, "second", experiment_id=e)
    pair.post("runs/delete", {"run_id": second})
    pair.get("runs/get", query={"run_id": second})
    pair.post("runs/delete", {"run_id": second})
    pair.post("experiments/delete", {"experiment_id": e})
    pair.get("experiments/get", query={"experiment_id": e})
    pair.get("runs/get", query={"run_id": first})
    pair.post("experiments/delete", {"experiment_id": e}, status=404)
    pair.post("runs/create", {"experiment_id": e, "start_time": 1}, status=400)
    pair.post("experiments/set-experiment-tag", {"experiment_id": e, "key": "a", "value": "b"}, status=400)
    pair.post("experiments/restore", {"experiment_id": e})
    pair.post("experiments/restore", {"experiment_id": e}, status=404)
    for run in (first, second):
        pair.get("runs/get", query={"run_id": run})
    pair.post("runs/delete", {"run_id": first})
    for path, body in (
        ("runs/update", {"status": "FINISHED", "end_time": START_MS}),
        ("runs/log-metric", {"key": "a", "value": 1.0, "timestamp": 1}),
        ("runs/log-parameter", {"key": "a", "value": "1"}),
        ("runs/set-tag", {"key": "a", "value": "1"}),
        ("runs/log-batch", {"params": [{"key": "a", "value": "1"}]}),
    ):
        pair.post(path, {"run_id": first, **body}, status=400)
    pair.post("runs/restore", {"run_id": first})
    pair.get("runs/get", query={"run_id": first})


def test_runs_are_made(pair: Pair) -> None:
    e = new_experiment(pair)
    pair.post("runs/create", {"experiment_id": e}, learn={"bare": "run.info.run_id", "its_name": "run.info.run_name"})
    pair.get("runs/get", query={"run_id": "<bare>"})
    pair.get("runs/get", query={"run_uuid": "<bare>"})
    new_run(
        pair,
        "full",
        experiment_id=e,
        user_id="ada",
        start_time=str(START_MS),
        tags=[{"key": "mlflow.user", "value": "ada"}, {"key": "mlflow.source.name", "value": "train.py"}],
    )
    pair.get("runs/get", query={"run_id": "<full>"})
    pair.post(
        "runs/create",
        {"experiment_id": e, "start_time": 5, "tags": [{"key": "mlflow.runName", "value": "by tag"}]},
        learn={"tagged": "run.info.run_id"},
    )
    pair.post(
        "runs/create",
        {"experiment_id": e, "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
        status=400,
    )
    pair.post("runs/create", {"experiment_id": "99999"}, status=404)
    pair.post("runs/create", {"experiment_id": "x"}, status=400)
    pair.post("runs/create", {"experiment_id": 7}, status=400)
    pair.post("runs/create", {"experiment_id": e, "start_time": "soon"}, status=400)
    pair.post("runs/create", {"experiment_id": e, "run_name": 7}, status=400)
    pair.post(
        "runs/create",
        {"experiment_id": "0", "run_name": "in the default experiment", "start_time": 1},
        learn={"d": "run.info.run_id"},
    )
    pair.get("runs/get", query={"run_id": "0" * 32}, status=404)
    pair.get("runs/get", query={"run_id": "no-id"}, status=404)
    pair.get("runs/get", status=400)


def test_runs_change_and_end(pair: Pair) -> None:
    e = new_experiment(pair)
    r = new_run(pair, experiment_id=e)
    for change in (
        {"status": "SCHEDULED"},
        {"status": "RUNNING"},
        {"status": "FINISHED", "end_time": START_MS + 10},
        {"status": "RUNNING"},
        {"status": 4, "end_time": str(START_MS + 20)},
        {"status": "KILLED"},
        {"run_name": "other"},
        {"run_name": ""},
        {"end_time": START_MS + 30},
        {"status": "NO_SUCH_STATUS"},
        {"run_uuid": "ignored"},
    ):
        pair.post("runs/update", {"run_id": r, **change})
        pair.get("runs/get", query={"run_id": r})
    pair.post("runs/update", {}, status=400)
    pair.post("runs/update", {"run_id": r, "end_time": "late"}, status=400)
    pair.post("runs/update", {"run_id": "0" * 32, "status": "FINISHED"}, status=404)


def test_name_and_tag_of_a_run_move_together(pair: Pair) -> None:
    r = new_run(pair, experiment_id=new_experiment(pair))
    pair.post("runs/set-tag", {"run_id": r, "key": "mlflow.runName", "value": "by tag"})
    pair.get("runs/get", query={"run_id": r})
    pair.post("runs/log-batch", {"run_id": r, "tags": [{"key": "mlflow.runName", "value": "by batch"}]})
    pair.get("runs/get", query={"run_id": r})
    pair.post("runs/update", {"run_id": r, "run_name": "by update"})
    pair.get("runs/get", query={"run_id": r})


def test_params_are_written_once(pair: Pair) -> None:
    r = new_run(pair, experiment_id=new_experiment(pair))
    log = "runs/log-parameter"
    pair.post(log, {"run_id": r, "key": "lr", "value": "0.1"})
    pair.post(log, {"run_id": r, "key": "lr", "value": "0.1"})
    pair.post(log, {"run_id": r, "key": "lr", "value": "0.2"}, status=400)
    pair.post(log, {"run_id": r, "key": "empty", "value": ""})
    pair.post(log, {"run_id": r, "key": "none"})
    pair.post(log, {"run_id": r, "key": "long", "value": "v" * 6_001})
    pair.post(log, {"run_id": r, "key": "søster/a b.c-d:e", "value": "høy"})
    for key in ("", "../x", "a//b", ".", "/a", "a\nb", "what?", "k" * 251):
        pair.post(log, {"run_id": r, "key": key, "value": "1"}, status=400)
    pair.post(log, {"run_id": r, "key": "number", "value": 7}, status=400)
    pair.post(log, {"run_id": "0" * 32, "key": "a", "value": "1"}, status=404)
    pair.post(log, {"key": "a", "value": "1"}, status=400)
    pair.get("runs/get", query={"run_id": r})


def test_tags_are_set_and_removed(pair: Pair) -> None:
    r = new_run(pair, experiment_id=new_experiment(pair))
    for value in ("a", "b", ""):
        pair.post("runs/set-tag", {"run_id": r, "key": "team", "value": value})
        pair.get("runs/get", query={"run_id": r})
    pair.post("runs/set-tag", {"run_id": r, "key": "long", "value": "v" * 8_001})
    pair.get("runs/get", query={"run_id": r})
    pair.post("runs/delete-tag", {"run_id": r, "key": "team"})
    pair.post("runs/delete-tag", {"run_id": r, "key": "team"}, status=404)
    pair.post("runs/delete-tag", {"run_id": "0" * 32, "key": "team"}, status=404)
    pair.post("runs/set-tag", {"run_id": r, "key": "../x", "value": "1"}, status=400)
    pair.post("runs/set-tag", {"run_id": r, "key": "k" * 251, "value": "1"}, status=400)
    pair.post("runs/set-tag", {"run_id": r}, status=400)
    pair.get("runs/get", query={"run_id": r})


def test_metrics_and_which_of_them_is_the_latest(pair: Pair) -> None:
    r = new_run(pair, experiment_id=new_experiment(pair))
    log = "runs/log-metric"
    for point in (
        {"key": "loss", "value": 0.5, "timestamp": 10, "step": 1},
        {"key": "loss", "value": 0.4, "timestamp": 9, "step": 1},
        {"key": "loss", "value": 0.6, "timestamp": 10, "step": 1},
        {"key": "loss", "value": 0.6, "timestamp": 10, "step": 1},
        {"key": "loss", "value": 0.1, "timestamp": 11, "step": 0},
        {"key": "nan", "value": "NaN", "timestamp": 10},
        {"key": "nan", "value": -1.0, "timestamp": 10},
        {"key": "low nan", "value": "NaN", "timestamp": 10},
        {"key": "low nan", "value": 1.0, "timestamp": 10},
        {"key": "inf", "value": "Infinity", "timestamp": 10},
        {"key": "inf", "value": "-Infinity", "timestamp": 11},
        {"key": "text", "value": "1.5", "timestamp": "12", "step": "3"},
        {"key": "zero", "value": 0, "timestamp": 0, "step": 0},
        {"key": "minus", "value": -0.0, "timestamp": 1, "step": -5},
        {"key": "huge", "value": 1e308, "timestamp": 2**43, "step": 2**62},
        {"key": "a/b c.d-e_f:g", "value": 1e-300, "timestamp": 1},
    ):
        pair.post(log, {"run_id": r, **point})
    pair.get("runs/get", query={"run_id": r})
    for key in ("loss", "nan", "low nan", "inf", "text", "zero", "minus", "huge", "a/b c.d-e_f:g", "absent"):
        pair.get("metrics/get-history", query={"run_id": r, "metric_key": key})
    for point in (
        {},
        {"key": "a"},
        {"key": "a", "value": 1.0},
        {"value": 1.0, "timestamp": 1},
        {"key": "a", "value": None, "timestamp": 1},
        {"key": "a", "value": "high", "timestamp": 1},
        {"key": "a", "value": 1.0, "timestamp": "then"},
        {"key": "a", "value": 1.0, "timestamp": -1},
        {"key": "a", "value": 1.0, "timestamp": 1, "step": "x"},
        {"key": "../a", "value": 1.0, "timestamp": 1},
        {"key": "what?", "value": 1.0, "timestamp": 1},
        {"key": "k" * 251, "value": 1.0, "timestamp": 1},
        {"key": 7, "value": 1.0, "timestamp": 1},
    ):
        pair.post(log, {"run_id": r, **point}, status=400)
    pair.post(log, {"run_id": "0" * 32, "key": "a", "value": 1.0, "timestamp": 1}, status=404)
    pair.get("runs/get", query={"run_id": r})


def test_batches(pair: Pair) -> None:
    r = new_run(pair, experiment_id=new_experiment(pair))
    batch = {
        "run_id": r,
        "metrics": [{"key": f"m{i % 3}", "value": i / 7, "timestamp": i, "step": i // 3} for i in range(30)]
        + [{"key": "twice", "value": 1.0, "timestamp": 1, "step": 1}] * 2
        + [{"key": "nan", "value": "NaN", "timestamp": 1, "step": 1}] * 2
        + [{"key": "no step", "value": 2, "timestamp": "7"}],
        "params": [{"key": "lr", "value": "0.1"}, {"key": "none"}],
        "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b"}],
    }
    for _ in range(2):
        pair.post("runs/log-batch", batch)
        pair.get("runs/get", query={"run_id": r})
        for key in ("m0", "twice", "nan", "no step"):
            pair.get("metrics/get-history", query={"run_id": r, "metric_key": key})
    pair.post("runs/log-batch", {"run_id": r})
    point = {"key": "a", "value": 1.0, "timestamp": 1, "step": 0}
    for body in (
        {"metrics": [{**point, "key": ""}]},
        {"metrics": [point, {"key": "a", "timestamp": 1}]},
        {"metrics": [point, {"key": "a", "value": 1.0}]},
        {"metrics": [{**point, "key": "../x"}, point]},
        {"metrics": [point, {**point, "timestamp": -1}]},
        {"metrics": "none"},
        {"params": [{"value": "1"}]},
        {"params": [{"key": "a?", "value": "1"}]},
        {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
        {"params": [{"key": "lr", "value": "0.2"}, {"key": "none", "value": "x"}]},
        {"tags": [{"value": "1"}]},
        {"tags": [{"key": "a?", "value": "1"}]},
        {"metrics": [point] * 1_001},
        {"params": [{"key": f"p{i}", "value": "1"} for i in range(101)]},
        {"tags": [{"key": f"t{i}", "value": "1"} for i in range(101)]},
        {"metrics": [point] * 950, "tags": [{"key": f"t{i}", "value": "1"} for i in range(51)]},
    ):
        pair.post("runs/log-batch", {"run_id": r, **body}, status=400)
    pair.post("runs/log-batch", {"run_id": "0" * 32}, status=404)
    pair.post("runs/log-batch", {"run_id": "no/id"}, status=400)
    pair.post("runs/log-batch", {}, status=400)
    pair.get("runs/get", query={"run_id": r})


def test_a_refused_batch_writes_nothing_here(pair: Pair) -> None:
    """MLflow writes params before it looks at the rest; ours writes all of a batch or nothing."""
    r = new_run(pair, experiment_id=new_experiment(pair))
    pair.post("runs/log-parameter", {"run_id": r, "key": "lr", "value": "0.1"})
    before = pair.ours.call("GET", "2.0/mlflow/runs/get", None, {"run_id": r})
    pair.post(
        "runs/log-batch",
        {
            "run_id": r,
            "metrics": [{"key": "m", "value": 1.0, "timestamp": 1, "step": 0}],
            "params": [{"key": "new", "value": "1"}, {"key": "lr", "value": "0.2"}],
            "tags": [{"key": "t", "value": "1"}],
        },
        status=400,
    )
    assert pair.ours.call("GET", "2.0/mlflow/runs/get", None, {"run_id": r}).json == before.json


def test_history_in_pages_and_in_bulk(pair: Pair) -> None:
    e = new_experiment(pair)
    first, second = new_run(pair, "first", experiment_id=e), new_run(pair, "second", experiment_id=e)
    for run, count in ((first, 57), (second, 5)):
        metrics = [{"key": "m", "value": i * 0.25, "timestamp": 1_000 - i, "step": i // 2} for i in range(count)]
        metrics += [{"key": "m", "value": "NaN", "timestamp": 1_000, "step": 2}]
        pair.post("runs/log-batch", {"run_id": run, "metrics": metrics})
    query: dict[str, Any] = {"run_id": first, "metric_key": "m"}
    pair.get("metrics/get-history", query=query)
    token = ""
    for _ in range(6):
        page = pair.get("metrics/get-history", query={**query, "max_results": 10, "page_token": token})
        token = page.get("next_page_token", "")
    assert not token
    pair.get("metrics/get-history", query={**query, "max_results": 0}, status=400)
    pair.get("metrics/get-history", query={**query, "max_results": -1}, status=400)
    pair.get("metrics/get-history", query={"run_id": first}, status=400)
    pair.get("metrics/get-history", query={"metric_key": "m"}, status=400)
    pair.get("metrics/get-history", query={"run_id": "0" * 32, "metric_key": "m"})
    bulk: dict[str, Any] = {"run_ids": [first, second], "metric_key": "m"}
    for wanted in (1, 2, 7, 57, 58, 59, 2_500):
        pair.get("metrics/get-history-bulk-interval", query={**bulk, "max_results": wanted})
    pair.get("metrics/get-history-bulk-interval", query={**bulk, "start_step": 3, "end_step": 9, "max_results": 4})
    pair.get("metrics/get-history-bulk-interval", query={**bulk, "start_step": 900, "end_step": 901})
    pair.get("metrics/get-history-bulk-interval", query={**bulk, "metric_key": "absent"})
    pair.get("metrics/get-history-bulk-interval", query={"run_ids": [first], "metric_key": "m", "max_results": 3})
    for wrong in (
        {"max_results": 0},
        {"max_results": 2_501},
        {"start_step": 3},
        {"end_step": 3},
        {"start_step": 4, "end_step": 3},
        {"run_ids": [first] * 101},
        {"run_ids": None},
        {"metric_key": None},
    ):
        query = {key: value for key, value in {**bulk, **wrong}.items() if value is not None}
        pair.get("metrics/get-history-bulk-interval", query=query, status=400)


def test_a_logged_model_of_old_clients(pair: Pair) -> None:
    r = new_run(pair, experiment_id=new_experiment(pair))
    model = '{"artifact_path": "m", "flavors": {}, "utc_time_created": "2026-01-01", "run_id": "x"}'
    ours, theirs = pair.both("POST", "2.0/mlflow/runs/log-model", {"run_id": r, "model_json": model})
    assert (ours.status, ours.json) == (theirs.status, theirs.json) == (200, {})
    pair.post("runs/log-model", {"run_id": r}, status=400)
    pair.post("runs/log-model", {"run_id": r, "model_json": "{"}, status=400)
    pair.post(
        "runs/log-model", {"run_id": r, "model_json": '{"artifact_path": 1, "flavors": {}, "run_id": "x"}'}, status=400
    )


def test_bodies_that_are_not_what_they_should_be(pair: Pair) -> None:
    e = new_experiment(pair)
    get = "2.0/mlflow/runs/create"
    pair.same(
        "POST",
        get,
        b'"{\\"experiment_id\\": \\"0\\", \\"run_name\\": \\"twice\\", \\"start_time\\": 1}"',
        learn={"t": "run.info.run_id"},
    )
    pair.same("POST", get, b'{"experimentId": "0", "runName": "camel", "startTime": 3}', learn={"c": "run.info.run_id"})
    pair.same("POST", get, b'{"experimentId": "0", "experiment_id": "0"}', status=400)
    pair.same(
        "POST",
        get,
        b'{"unknown": [1, {"a": null}], "experiment_id": "0", "run_name": "u", "start_time": 1}',
        learn={"u": "run.info.run_id"},
    )
    pair.same("POST", "2.0/mlflow/experiments/create", b"{", status=400)
    pair.same("POST", "2.0/mlflow/experiments/create", b"", status=400)
    pair.same("POST", "2.0/mlflow/experiments/create", b"null", status=400)
    assert e
