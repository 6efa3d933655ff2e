"""Searches of MLflow's own server and of ours: every operator, every order, pages, and what is refused."""

import json
from typing import Any

import pytest
from support.differential import Pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START_MS = 1_700_000_000_000
NOT_A_NUMBER = "NaN"

# By run: params, tags, metrics, how it stands.
RUNS: dict[str, dict[str, Any]] = {
    "plain": {
        "params": {"lr": "0.1", "model": "resnet"},
        "tags": {"team": "vision"},
        "metrics": {"loss": 0.5, "acc": 1},
    },
    "other": {"params": {"lr": "0.01", "model": "ResNet"}, "tags": {"team": "speech"}, "metrics": {"loss": 0.25}},
    "ten": {
        "params": {"lr": "10", "model": "tree_a"},
        "tags": {"team": "10", "my key/a": "x"},
        "metrics": {"loss": -1},
    },
    "nine": {"params": {"lr": "9", "model": "treeXa"}, "tags": {"team": "9"}, "metrics": {"loss": NOT_A_NUMBER}},
    "empty": {"params": {"lr": ""}, "tags": {"team": "it's 100%"}, "metrics": {"loss": "Infinity"}},
    "bare": {},
    "back\\slash": {"params": {"model": "a\\b"}, "metrics": {"loss": "-Infinity", "a b/c": 2}},
}


@pytest.fixture
def runs(pair: Pair) -> Pair:
    """An experiment `<e>` with runs, of which each is named as in `RUNS`, without what no name may hold."""
    pair.post("experiments/create", {"name": f"search {pair.mark}"}, learn={"e": "experiment_id"})
    for number, (name, holds) in enumerate(RUNS.items()):
        run = "".join(character for character in name if character.isalnum())
        body = {"experiment_id": "<e>", "run_name": name, "start_time": START_MS + number // 2, "user_id": "ada"}
        pair.post("runs/create", body, learn={run: "run.info.run_id"})
        batch = {
            "run_id": f"<{run}>",
            "params": [{"key": key, "value": value} for key, value in holds.get("params", {}).items()],
            "tags": [{"key": key, "value": value} for key, value in holds.get("tags", {}).items()],
            "metrics": [
                {"key": key, "value": value, "timestamp": 1, "step": 0}
                for key, value in holds.get("metrics", {}).items()
            ],
        }
        pair.post("runs/log-batch", batch)
    pair.post("runs/update", {"run_id": "<plain>", "status": "FINISHED", "end_time": START_MS + 100})
    pair.post("runs/update", {"run_id": "<other>", "status": "FAILED", "end_time": START_MS + 50})
    pair.post("runs/delete", {"run_id": "<bare>"})
    return pair


def found(pair: Pair, **search: Any) -> list[str]:
    """The names of the runs found. Runs of equal sort keys go by ids, which differ: they are compared as sets."""
    answers = pair.both("POST", "2.0/mlflow/runs/search", {"experiment_ids": ["<e>"], **search})
    ours, theirs = ([run["info"]["run_name"] for run in answer.json.get("runs", [])] for answer in answers)
    assert answers[0].status == answers[1].status == 200, f"{search}: {answers}"
    starts = {run: START_MS + number // 2 for number, run in enumerate(RUNS)}
    assert [starts[run] for run in ours] == [starts[run] for run in theirs], f"{search}: {ours} {theirs}"
    assert set(ours) == set(theirs), f"{search}: {ours} {theirs}"
    return ours


FILTERS = [
    "",
    *(
        f"metrics.loss {operator} {value}"
        for operator in ("=", "!=", "<", "<=", ">", ">=")
        for value in ("0.5", "-1", "1e0")
    ),
    "metrics.loss > 1e308",
    "metric.acc = 1",
    "metrics.`a b/c` > 1.5",
    'metrics."a b/c" > 1.5',
    "metrics.absent != 3",
    *(f"params.lr {operator} '0.1'" for operator in ("=", "!=")),
    "params.lr = ''",
    "params.lr = '10'",
    'params.model = "resnet"',
    "parameters.model LIKE 'res%'",
    "param.model like '%e%'",
    "params.model LIKE 'tree_a'",
    "params.model ILIKE 'RESNET'",
    "params.model ilike '%NET'",
    "params.model LIKE 'a\\b'",
    "params.model LIKE '%'",
    "params.absent != 'x'",
    "params.model IS NULL",
    "params.model IS NOT NULL",
    "tags.team = 'vision'",
    "tag.team != 'vision'",
    "tags.`my key/a` = 'x'",
    'tags."my key/a" = "x"',
    "tags.team LIKE '%100%'",
    "tags.team is null",
    "tags.`mlflow.runName` = 'ten'",
    "tags.mlflow.runName LIKE '%e%'",
    "attributes.run_name = 'nine'",
    "run_name != 'nine'",
    "attributes.`run name` = 'ten'",
    "attr.run_name ILIKE 'NI%'",
    "attributes.status = 'FINISHED'",
    "status != 'RUNNING'",
    "run.status LIKE 'F%'",
    "status ILIKE 'running'",
    "attributes.run_id = '<ten>'",
    "run_id IN ('<ten>', '<nine>')",
    "run_id NOT IN ('<ten>', '<nine>')",
    "run_id in ('<ten>')",
    "attributes.user_id = 'ada'",
    *(f"start_time {operator} {START_MS + 1}" for operator in ("=", "!=", "<", "<=", ">", ">=")),
    f"attributes.created > {START_MS + 1}",
    f"start_time > {START_MS}.5",
    f"end_time >= {START_MS + 100}",
    f"attributes.end_time != {START_MS + 100}",
    "metrics.loss > 0 AND params.model LIKE '%es%' and tags.team != 'x'",
    "metrics.loss<1 AND metrics.loss>=0.25",
]


def test_every_operator_finds_the_same(runs: Pair) -> None:
    for text in FILTERS:
        found(runs, filter=text)
    assert found(runs, filter="metrics.loss > 0.3 and tags.team = 'vision'") == ["plain"]
    assert found(runs, filter="params.lr = '10'") == ["ten"]


def test_what_is_deleted(runs: Pair) -> None:
    assert found(runs, run_view_type="DELETED_ONLY") == ["bare"]
    assert len(found(runs, run_view_type="ALL")) == len(RUNS)
    assert len(found(runs, run_view_type="ACTIVE_ONLY")) == len(RUNS) - 1
    found(runs, run_view_type="NO_SUCH_VIEW")
    found(runs, run_view_type=3, filter="metrics.loss != 0")


ORDERS = [
    ["metrics.loss"],
    ["metrics.loss DESC"],
    ["metrics.loss asc", "params.lr"],
    ["params.lr"],
    ["params.lr DESC"],
    ["tags.team"],
    ["tags.team desc"],
    ["tags.`my key/a`"],
    ["attributes.start_time"],
    ["start_time ASC"],
    ["attributes.end_time"],
    ["end_time DESC"],
    ["attributes.status"],
    ["status DESC", "metrics.loss"],
    ["run_name"],
    ["attributes.run_name DESC"],
    ["metrics.absent"],
    ["attributes.created DESC"],
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: ", ".join(order))
def test_orders(runs: Pair, order: list[str]) -> None:
    body = {"experiment_ids": ["<e>"], "order_by": [*order, "tags.mlflow.runName"] if "name" not in order[0] else order}
    ours, theirs = runs.both("POST", "2.0/mlflow/runs/search", body)
    assert ours.status == theirs.status == 200, (ours, theirs)
    names = [[run["info"]["run_name"] for run in answer.json["runs"]] for answer in (ours, theirs)]
    assert names[0] == names[1]


def test_runs_that_are_found_are_whole(runs: Pair) -> None:
    runs.post("runs/search", {"experiment_ids": ["<e>"], "order_by": ["attributes.run_name"]})


def test_pages(runs: Pair) -> None:
    names: list[list[str]] = []
    for side in (runs.ours, runs.theirs):
        token = ""
        while True:
            body = {
                "experiment_ids": ["<e>"],
                "max_results": 4,
                "page_token": token,
                "order_by": ["metrics.loss", "run_name"],
            }
            page = side.call("POST", "2.0/mlflow/runs/search", body, {}).json
            names.append([run["info"]["run_name"] for run in page["runs"]])
            token = page.get("next_page_token", "")
            if not token:
                break
    assert names[: len(names) // 2] == names[len(names) // 2 :]
    assert [len(page) for page in names] == [4, 2, 4, 2]


def test_searches_that_are_refused(runs: Pair) -> None:
    for body in (
        {"filter": "metrics.loss"},
        {"filter": "metrics.loss >"},
        {"filter": "metrics.loss > 'a'"},
        {"filter": "params.lr = 0.1"},
        {"filter": "params.lr > '0.1'"},
        {"filter": "metrics.loss LIKE 'a'"},
        {"filter": "attributes.nothing = 'a'"},
        {"filter": "nothing = 'a'"},
        {"filter": "what.a = 'a'"},
        {"filter": "status > 'RUNNING'"},
        {"filter": "status IN ('RUNNING')"},
        {"filter": "start_time LIKE 'a'"},
        {"filter": "start_time = 'a'"},
        {"filter": "metrics.loss > 1 OR metrics.loss < 0"},
        {"filter": "metrics.loss IS NULL"},
        {"filter": "run_id IN ()"},
        {"filter": "(metrics.loss > 1)"},
        {"filter": "'a' = 'a'"},
        {"filter": 7},
        {"order_by": ["nothing"]},
        {"order_by": ["metrics.loss sideways"]},
        {"order_by": ["metrics.loss asc desc"]},
        {"order_by": ["what.a"]},
        {"order_by": "metrics.loss"},
        {"order_by": [7]},
        {"order_by": [""]},
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": 50_001},
        {"max_results": "many"},
        {"page_token": "no token"},
        {"experiment_ids": "<e>"},
        {"experiment_ids": ["x"]},
    ):
        ours, theirs = runs.both("POST", "2.0/mlflow/runs/search", {"experiment_ids": ["<e>"], **body})
        expected = 400 if theirs.status == 500 else theirs.status
        assert ours.status == expected == 400, (body, ours, theirs)
        if theirs.status == 400:
            assert ours.json["error_code"] == theirs.json["error_code"], (body, ours, theirs)
    # MLflow's own server answers these with 500.
    for body in ({"filter": "a" * 20_000}, {"order_by": ["start_time", "start_time"]}):
        ours = runs.ours.call("POST", "2.0/mlflow/runs/search", {"experiment_ids": ["<e>"], **body}, {})
        assert (ours.status, ours.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    runs.post("runs/search", {"experiment_ids": []})
    runs.post("runs/search", {})
    runs.post("runs/search", {"experiment_ids": ["9999999"]})


def test_experiments_are_searched(pair: Pair) -> None:
    stem = f"x{pair.mark}"
    for number, (name, tags) in enumerate(
        {"b": {"team": "vision"}, "a": {"team": "speech", "my key": "1"}, "C": {}, "gone": {}}.items()
    ):
        body = {"name": f"{stem} {name}", "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        pair.post("experiments/create", body, learn={f"e{number}": "experiment_id"})
    pair.post("experiments/delete", {"experiment_id": "<e3>"})
    mine = f"name LIKE '{stem}%'"
    for more in (
        {},
        {"order_by": ["name"]},
        {"order_by": ["name DESC"]},
        {"order_by": ["experiment_id"]},
        {"order_by": ["creation_time ASC", "experiment_id DESC"]},
        {"order_by": ["last_update_time desc"]},
        {"view_type": "DELETED_ONLY"},
        {"view_type": "ALL", "order_by": ["name"]},
        {"view_type": 2},
    ):
        body = {"filter": mine, "max_results": 10, **more}
        pair.post("experiments/search", body)
        pair.get("experiments/search", query=body)
    for text in (
        f"name = '{stem} a'",
        f"name != '{stem} a' AND {mine}",
        f"attribute.name ILIKE '{stem.upper()}%'",
        f"tags.team = 'vision' AND {mine}",
        f"tag.`my key` = '1' AND {mine}",
        f"tags.team IS NULL AND {mine}",
        f"tags.team IS NOT NULL AND {mine}",
        f"tags.team LIKE '%s%' AND {mine}",
        f"creation_time > 0 AND {mine}",
        f"last_update_time < 5 AND {mine}",
        "experiment_id = '<e1>'",
        "experiment_id IN ('<e1>', '<e2>')",
    ):
        pair.post("experiments/search", {"filter": text, "max_results": 10})
    for body in (
        {},
        {"max_results": 0},
        {"max_results": 50_001},
        {"max_results": 5, "filter": "nothing = 'a'"},
        {"max_results": 5, "filter": "name > 'a'"},
        {"max_results": 5, "filter": "metrics.a > 1"},
        {"max_results": 5, "filter": "creation_time = 'a'"},
        {"max_results": 5, "filter": "experiment_id > '1'"},
        {"max_results": 5, "order_by": ["tags.team"]},
        {"max_results": 5, "order_by": ["nothing"]},
        {"max_results": 5, "page_token": "no token"},
    ):
        ours, theirs = pair.both("POST", "2.0/mlflow/experiments/search", body)
        assert ours.status == (400 if theirs.status == 500 else theirs.status) == 400, (body, ours, theirs)
        if theirs.status == 400:
            assert ours.json["error_code"] == theirs.json["error_code"], (body, ours, theirs)
    names: list[str] = []
    for side in (pair.ours, pair.theirs):
        token = ""
        while True:
            page = side.call(
                "POST", "2.0/mlflow/experiments/search", {"filter": mine, "max_results": 2, "page_token": token}, {}
            )
            names.append(json.dumps([one["name"] for one in page.json["experiments"]]))
            token = page.json.get("next_page_token", "")
            if not token:
                break
    assert names[:2] == names[2:]
