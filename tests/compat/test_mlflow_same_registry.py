"""Registered models, versions, aliases, stages and prompts, on MLflow's own server and on ours."""

from typing import Any

import pytest
from support.differential import Pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START_MS = 1_700_000_000_000
MODELS = "2.0/mlflow/registered-models"
VERSIONS = "2.0/mlflow/model-versions"


def named(pair: Pair, name: str = "net") -> str:
    """A name that is new on both sides."""
    return f"{name} {pair.mark}"


def new_model(pair: Pair, name: str = "net", **fields: Any) -> str:
    pair.same("POST", f"{MODELS}/create", {"name": named(pair, name), **fields})
    return named(pair, name)


def new_version(pair: Pair, name: str, source: str = "s3://bucket/model", **fields: Any) -> None:
    pair.same("POST", f"{VERSIONS}/create", {"name": name, "source": source, **fields})


def shown(pair: Pair, name: str) -> None:
    pair.same("GET", f"{MODELS}/get", query={"name": name})


def refused(pair: Pair, method: str, path: str, body: Any = None, query: Any = None) -> None:
    """Both refuse, with the same error code; what MLflow answers with 500 is 400 here."""
    ours, theirs = pair.both(method, path, body, query=query)
    assert ours.status == (400 if theirs.status == 500 else theirs.status) >= 400, (path, body, query, ours, theirs)
    if theirs.status != 500:
        assert ours.json["error_code"] == theirs.json["error_code"], (path, body, query, ours, theirs)


def test_models_are_made_described_renamed_and_deleted(pair: Pair) -> None:
    name = new_model(pair, tags=[{"key": "team", "value": "a"}, {"key": "empty", "value": ""}], description="first")
    shown(pair, name)
    pair.same("PATCH", f"{MODELS}/update", {"name": name, "description": "second"})
    pair.same("POST", f"{MODELS}/set-tag", {"name": name, "key": "team", "value": "b"})
    pair.same("POST", f"{MODELS}/set-tag", {"name": name, "key": "new", "value": "1"})
    for _ in range(2):
        pair.same("DELETE", f"{MODELS}/delete-tag", {"name": name, "key": "empty"})
    shown(pair, name)
    other = named(pair, "renamed")
    pair.same("POST", f"{MODELS}/rename", {"name": name, "new_name": other})
    pair.same("GET", f"{MODELS}/get", query={"name": name}, status=404)
    shown(pair, other)
    again = new_model(pair)
    pair.same("POST", f"{MODELS}/create", {"name": again}, status=400)
    refused(pair, "POST", f"{MODELS}/rename", {"name": again, "new_name": other})
    pair.same("DELETE", f"{MODELS}/delete", {"name": again})
    pair.same("DELETE", f"{MODELS}/delete", {"name": again}, status=404)
    bare = new_model(pair, "bare")
    pair.same("PATCH", f"{MODELS}/update", {"name": bare})


def test_models_that_are_refused(pair: Pair) -> None:
    name = new_model(pair)
    for body in (
        {},
        {"name": ""},
        {"name": "  "},
        {"name": 7},
        {"name": "a/b"},
        {"name": "a:b"},
        {"name": ".."},
        {"name": "."},
        {"name": "a", "tags": "x"},
        {"name": "a", "tags": [{"key": "../x", "value": "1"}]},
        {"name": "a", "tags": [{"key": "k" * 251, "value": "1"}]},
        {"name": "a", "tags": [{"key": "k", "value": "v" * 100_001}]},
        {"name": "a", "description": 7},
    ):
        pair.same("POST", f"{MODELS}/create", body, status=400)
    missing = {"name": "nobody made this"}
    pair.same("GET", f"{MODELS}/get", query=missing, status=404)
    pair.same("PATCH", f"{MODELS}/update", {**missing, "description": "x"}, status=404)
    pair.same("POST", f"{MODELS}/rename", {**missing, "new_name": "x"}, status=404)
    pair.same("POST", f"{MODELS}/set-tag", {**missing, "key": "k", "value": "v"}, status=404)
    pair.same("DELETE", f"{MODELS}/delete-tag", {**missing, "key": "k"}, status=404)
    pair.same("GET", f"{MODELS}/get-latest-versions", query=missing, status=404)
    pair.same("POST", f"{MODELS}/rename", {"name": name}, status=400)
    pair.same("POST", f"{MODELS}/rename", {"name": name, "new_name": "a/b"}, status=400)
    pair.same("POST", f"{MODELS}/set-tag", {"name": name}, status=400)
    pair.same("POST", f"{MODELS}/set-tag", {"name": name, "key": "a?", "value": "1"}, status=400)


def test_versions_are_counted_and_never_again(pair: Pair) -> None:
    name = new_model(pair)
    new_version(pair, name, run_link="https://host/run", description="one", tags=[{"key": "a", "value": "1"}])
    new_version(pair, name)
    shown(pair, name)
    pair.same("GET", f"{VERSIONS}/get", query={"name": name, "version": "1"})
    pair.same("GET", f"{VERSIONS}/get-download-uri", query={"name": name, "version": "1"})
    pair.same("PATCH", f"{VERSIONS}/update", {"name": name, "version": "1", "description": "two"})
    pair.same("POST", f"{VERSIONS}/set-tag", {"name": name, "version": "1", "key": "b", "value": "2"})
    for _ in range(2):
        pair.same("DELETE", f"{VERSIONS}/delete-tag", {"name": name, "version": "1", "key": "a"})
    pair.same("GET", f"{VERSIONS}/get", query={"name": name, "version": "1"})
    pair.same("DELETE", f"{VERSIONS}/delete", {"name": name, "version": "2"})
    pair.same("DELETE", f"{VERSIONS}/delete", {"name": name, "version": "2"}, status=404)
    new_version(pair, name)
    pair.same("GET", f"{VERSIONS}/get", query={"name": name, "version": "3"})
    for version in ("2", "9"):
        query = {"name": name, "version": version}
        pair.same("GET", f"{VERSIONS}/get", query=query, status=404)
        pair.same("PATCH", f"{VERSIONS}/update", {**query, "description": "x"}, status=404)
        pair.same("POST", f"{VERSIONS}/set-tag", {**query, "key": "a", "value": "1"}, status=404)
        pair.same("GET", f"{VERSIONS}/get-download-uri", query=query, status=404)
    pair.same("GET", f"{VERSIONS}/get", query={"name": name, "version": "x"}, status=400)
    pair.same("GET", f"{VERSIONS}/get", query={"name": name}, status=400)
    pair.same("POST", f"{VERSIONS}/create", {"name": "nobody made this", "source": "s3://a/b"}, status=404)
    pair.same("POST", f"{VERSIONS}/create", {"name": name}, status=400)
    pair.same("POST", f"{VERSIONS}/create", {"source": "s3://a/b"}, status=400)


def test_sources(pair: Pair) -> None:
    name = new_model(pair)
    pair.post("experiments/create", {"name": named(pair)}, learn={"e": "experiment_id"})
    run = {"experiment_id": "<e>", "run_name": "r", "start_time": START_MS}
    pair.post("runs/create", run, learn={"r": "run.info.run_id"})
    pair.post(
        "logged-models",
        {"experiment_id": "<e>", "name": "m", "source_run_id": "<r>"},
        learn={"m": "model.info.model_id"},
    )
    artifacts = "mlflow-artifacts:/<e>/<r>/artifacts"
    for source, more in (
        (artifacts, {"run_id": "<r>"}),
        (f"{artifacts}/model", {"run_id": "<r>"}),
        ("runs:/<r>/model", {"run_id": "<r>"}),
        ("s3://bucket/model", {"run_id": "<r>"}),
        ("mlflow-artifacts:/<e>/models/<m>/artifacts", {"model_id": "<m>"}),
        ("models:/<m>", {"model_id": "<m>"}),
        (f"models:/{name}/1", {}),
    ):
        new_version(pair, name, source, **more)
    for version in range(1, 8):
        query = {"name": name, "version": str(version)}
        pair.same("GET", f"{VERSIONS}/get", query=query)
        if version != 3:  # MLflow hands a `runs:` source back, as it was given
            pair.same("GET", f"{VERSIONS}/get-download-uri", query=query)
    pair.same("GET", "2.0/mlflow/logged-models/<m>")
    for source, more in (
        ("/etc/passwd", {}),
        ("/etc/passwd", {"run_id": "<r>"}),
        ("relative/path", {}),
        ("https://host/model", {}),
        ("file:///etc/passwd", {"run_id": "<r>"}),
        ("s3://b/../x", {}),
        ("s3://b/%2e%2e/x", {}),
        ("mlflow-artifacts:/<e>/<r>/artifacts/../x", {"run_id": "<r>"}),
        (artifacts, {}),
        ("mlflow-artifacts:/0/other/artifacts", {"run_id": "<r>"}),
        ("runs:/<r>/model", {}),
        ("runs:/" + "0" * 32 + "/model", {"run_id": "<r>"}),
        ("models:/<m>", {}),
        ("models:/m-" + "0" * 32, {"model_id": "<m>"}),
        (f"models:/{name}/99", {}),
        (f"models:/{name}/1", {"run_id": "0" * 32}),
    ):
        refused(pair, "POST", f"{VERSIONS}/create", {"name": name, "source": source, **more})


def test_aliases(pair: Pair) -> None:
    name = new_model(pair)
    for _ in range(2):
        new_version(pair, name)
    for version in ("1", "2", "2"):
        pair.same("POST", f"{MODELS}/alias", {"name": name, "alias": "best", "version": version})
        pair.same("GET", f"{MODELS}/alias", query={"name": name, "alias": "best"})
    pair.same("POST", f"{MODELS}/alias", {"name": name, "alias": "other_1-x", "version": "2"})
    shown(pair, name)
    pair.same("GET", f"{VERSIONS}/get", query={"name": name, "version": "2"})
    pair.same("GET", f"{MODELS}/alias", query={"name": name, "alias": "latest"})
    for _ in range(2):
        pair.same("DELETE", f"{MODELS}/alias", {"name": name, "alias": "best"})
    pair.same("GET", f"{MODELS}/alias", query={"name": name, "alias": "best"}, status=400)
    pair.same("DELETE", f"{VERSIONS}/delete", {"name": name, "version": "2"})
    pair.same("GET", f"{MODELS}/alias", query={"name": name, "alias": "other_1-x"}, status=400)
    shown(pair, name)
    for alias in ("latest", "LATEST", "v1", "V12", "a b", "a/b", "", "a" * 256):
        body = {"name": name, "alias": alias, "version": "1"}
        pair.same("POST", f"{MODELS}/alias", body, status=400)
    pair.same("POST", f"{MODELS}/alias", {"name": name, "alias": "x", "version": "9"}, status=404)
    pair.same("POST", f"{MODELS}/alias", {"name": name, "alias": "x", "version": "y"}, status=400)
    pair.same("POST", f"{MODELS}/alias", {"name": "nobody", "alias": "x", "version": "1"}, status=404)
    pair.same("GET", f"{MODELS}/alias", query={"name": "nobody", "alias": "x"}, status=404)
    empty = new_model(pair, "empty")
    pair.same("GET", f"{MODELS}/alias", query={"name": empty, "alias": "latest"}, status=404)


def test_stages(pair: Pair) -> None:
    name = new_model(pair)
    for _ in range(3):
        new_version(pair, name)
    move = f"{VERSIONS}/transition-stage"
    pair.same("POST", move, {"name": name, "version": "1", "stage": "Production"})
    pair.same("POST", move, {"name": name, "version": "2", "stage": "production", "archive_existing_versions": True})
    pair.same("GET", f"{VERSIONS}/get", query={"name": name, "version": "1"})
    pair.same("POST", move, {"name": name, "version": "3", "stage": "Staging", "archive_existing_versions": False})
    shown(pair, name)
    for query in ({}, {"stages": ["Production"]}, {"stages": ["staging", "Archived"]}, {"stages": ["None"]}):
        pair.same("GET", f"{MODELS}/get-latest-versions", query={"name": name, **query})
        pair.same("POST", f"{MODELS}/get-latest-versions", {"name": name, **query})
    for body in (
        {"version": "1", "stage": "nowhere"},
        {"version": "1"},
        {"version": "1", "stage": "Archived", "archive_existing_versions": True},
        {"version": "9", "stage": "Staging"},
        {"version": "1", "stage": "Staging", "archive_existing_versions": "perhaps"},
    ):
        refused(pair, "POST", move, {"name": name, **body})
    refused(pair, "GET", f"{MODELS}/get-latest-versions", query={"name": name, "stages": ["nowhere"]})


def test_models_are_searched(pair: Pair) -> None:
    mark = [{"key": "mark", "value": pair.mark}]
    for name, team in (("b", "vision"), ("a", "speech"), ("C", "")):
        new_model(pair, name, tags=[*mark, {"key": "team", "value": team}])
    new_version(pair, named(pair, "a"))
    prompt = [*mark, {"key": "mlflow.prompt.is_prompt", "value": "true"}]
    new_model(pair, "prompt", tags=prompt)
    mine = f"tags.mark = '{pair.mark}'"
    for query in (
        {},
        {"order_by": ["name DESC"]},
        {"order_by": ["name ASC"]},
        {"order_by": ["last_updated_timestamp DESC"]},
        {"order_by": ["timestamp asc", "name"]},
    ):
        pair.same("GET", f"{MODELS}/search", query={"filter": mine, **query})
    for text in (
        f"name = '{named(pair, 'a')}'",
        f"name LIKE '{named(pair, 'a')[:8]}%' AND {mine}",
        f"name ILIKE 'c %' AND {mine}",
        f"name != '{named(pair, 'a')}' AND {mine}",
        f"name IN ('{named(pair, 'a')}', '{named(pair, 'b')}')",
        f"tags.team = 'vision' AND {mine}",
        f"tag.team != 'vision' AND {mine}",
        f"tags.`team` LIKE 's%' AND {mine}",
        f"{mine} AND tags.`mlflow.prompt.is_prompt` = 'true'",
        f"{mine} AND tags.`mlflow.prompt.is_prompt` != 'true'",
    ):
        pair.same("GET", f"{MODELS}/search", query={"filter": text})
    for query in (
        {"filter": "team = 'a'"},
        {"filter": "metrics.a > 1"},
        {"filter": "name > 'a'"},
        {"filter": "name = a"},
        {"max_results": 1_001},
        {"max_results": "many"},
        {"order_by": ["team"]},
        {"page_token": "no token"},
    ):
        refused(pair, "GET", f"{MODELS}/search", query=query)
    names: list[list[str]] = []
    for side in (pair.ours, pair.theirs):
        token = ""
        while True:
            query = {"filter": mine, "max_results": 2, "page_token": token}
            page = side.call("GET", f"{MODELS}/search", None, query).json
            names.append([model["name"] for model in page["registered_models"]])
            token = page.get("next_page_token", "")
            if not token:
                break
    assert names[: len(names) // 2] == names[len(names) // 2 :]


def test_versions_are_searched(pair: Pair) -> None:
    pair.post("experiments/create", {"name": named(pair)}, learn={"e": "experiment_id"})
    pair.post("runs/create", {"experiment_id": "<e>", "run_name": "r", "start_time": 1}, learn={"r": "run.info.run_id"})
    first, second = new_model(pair, "first"), new_model(pair, "second")
    for number, name in enumerate((first, second, first)):
        tags = [{"key": "mark", "value": pair.mark}, {"key": "n", "value": str(number)}]
        new_version(pair, name, f"s3://bucket/{number}", tags=tags, run_id="<r>" if number else "")
    mine = f"tags.mark = '{pair.mark}'"
    for query in (
        {"order_by": ["name", "version_number"]},
        {"order_by": ["name DESC", "version_number ASC"]},
        {"order_by": ["version_number DESC"]},
        {"order_by": ["creation_timestamp"]},
    ):
        pair.same("GET", f"{VERSIONS}/search", query={"filter": mine, **query})
    for text in (
        f"name = '{first}'",
        f"name LIKE '%{pair.mark}' AND {mine}",
        f"name IN ('{first}', '{second}')",
        f"version_number = 1 AND {mine}",
        f"version_number > 1 AND {mine}",
        f"run_id = '<r>' AND {mine}",
        "run_id IN ('<r>')",
        f"source_path = 's3://bucket/1' AND {mine}",
        f"source_path LIKE 's3://%' AND {mine}",
        f"tags.n != '0' AND {mine}",
    ):
        pair.same("GET", f"{VERSIONS}/search", query={"filter": text, "order_by": ["name", "version_number"]})
    for query in (
        {"filter": "team = 'a'"},
        {"filter": "name > 'a'"},
        {"filter": "source_path IN ('a')"},
        {"filter": "version_number LIKE '1'"},
        {"max_results": 200_001},
        {"max_results": 0},
        {"order_by": ["team"]},
    ):
        refused(pair, "GET", f"{VERSIONS}/search", query=query)
