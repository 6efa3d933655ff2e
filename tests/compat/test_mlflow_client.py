"""MLflow's unmodified client against ours: one line of a script is other, its tracking URI."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.importing import Peer
from support.platform import Platform
from support.receiver import receiving_beside

from penstock.client import Client
from penstock.client.records import run_record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).parent / "writers" / "use_mlflow.py"


@pytest.fixture(scope="module")
def script(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with Peer(peers, SCRIPT, tmp_path_factory.mktemp("mlflow-client") / "log") as peer:
        yield peer


@pytest.fixture(scope="module")
def older(older_peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The same script with a client of MLflow 2.22."""
    with Peer(older_peers, SCRIPT, tmp_path_factory.mktemp("older-client") / "log") as peer:
        yield peer


@pytest.fixture(scope="module")
def skinny(skinny_peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The same script with the client that brings few libraries."""
    with Peer(skinny_peers, SCRIPT, tmp_path_factory.mktemp("skinny-client") / "log") as peer:
        yield peer


@pytest.fixture(params=["script", "older"])
def whole_script(request: pytest.FixtureRequest) -> Peer:
    """The script with a client that brings pandas and scikit-learn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["script", "older", "skinny"])
def any_script(request: pytest.FixtureRequest) -> Peer:
    return request.getfixturevalue(request.param)


@pytest.fixture
def uri(platform: Platform, client: Client, request: pytest.FixtureRequest) -> str:
    """The tracking URI of a project of the test's own, with the token in it as `penstock up` prints it."""
    project = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60].rstrip("-")
    client.create_project(project)
    return f"{platform.http}/projects/{project}".replace("http://", f"http://token:{platform.token}@")


def project_of(uri: str) -> str:
    return uri.rpartition("/")[2]


def test_the_other_clients_are_others(older: Peer, skinny: Peer) -> None:
    assert older.ask("version")["version"].startswith("2.22.")
    assert skinny.ask("version") == {"version": "3.17.2", "pandas": False}


def test_the_fluent_api(whole_script: Peer, uri: str, client: Client) -> None:
    done = whole_script.ask("fluent", uri=uri)
    assert (done["status"], done["name"]) == ("FINISHED", "parent")
    assert done["params"] == {"lr": "0.01", "depth": "3", "model": "tree"}
    assert done["metrics"] == {"loss": 0.05, "acc": 0.5, "f1": 0.25, "late": 1.0}
    assert done["tags"] == {
        "team": "vision",
        "a": "1",
        "b": "True",
        "mlflow.note.content": "what it is about",
        "mlflow.runName": "parent",
    }
    assert done["losses"] == [1 / (step + 1) for step in range(20)]
    assert done["found"] == [done["children"][1]]
    assert done["nested"] == sorted(done["children"])
    # The same run, seen through our own client.
    run = run_record(client.run(f"projects/{project_of(uri)}/runs/{done['parent']}"))
    assert (run["display_name"], run["state"], run["params"]["lr"]) == ("parent", "FINISHED", "0.01")
    assert run["tags"]["team"] == "vision"


def test_a_script_that_fails(any_script: Peer, uri: str) -> None:
    assert any_script.ask("failing", uri=uri) == {"status": "FAILED"}


def test_the_client_api(any_script: Peer, uri: str) -> None:
    done = any_script.ask("client_api", uri=uri)
    assert done["experiment"] == [True, {"team": "a", "stage": "1"}, "active"]
    assert done["experiments"] == ["renamed"]
    assert done["errors"] == {
        "param": "INVALID_PARAMETER_VALUE",
        "missing run": "RESOURCE_DOES_NOT_EXIST",
        "missing experiment": "RESOURCE_DOES_NOT_EXIST",
        "name": "RESOURCE_ALREADY_EXISTS",
    }
    assert done["deleted"] == ["deleted", True]
    assert done["history"] == [1000, 0.0, 999]
    assert done["pages"] == [10, 10, 6]
    assert done["run"] == ["renamed run", "ada"]
    assert done["tags"] == ["mlflow.runName", "mlflow.user"]


def test_autologging_of_scikit_learn(whole_script: Peer, uri: str) -> None:
    done = whole_script.ask("autolog_sklearn", uri=uri)
    assert (done["C"], done["class"], done["status"]) == ("0.5", "LogisticRegression", "FINISHED")
    assert [["mlflow.data.context", "train"]] in [tags for _, tags in done["datasets"]]
    assert (done["score"], done["predicts"]) == (True, True)
    assert {"estimator.html", "training_confusion_matrix.png"} <= set(done["files"])


def test_autologging_of_xgboost(script: Peer, uri: str) -> None:
    done = script.ask("autolog_xgboost", uri=uri)
    assert (done["status"], done["same"], done["datasets"]) == ("FINISHED", {"train-logloss": True}, ["train", "eval"])
    assert (done["params"]["max_depth"], done["params"]["num_boost_round"]) == ("2", "8")
    assert done["predicts"]
    assert "feature_importance_weight.png" in done["files"]


def test_autologging_of_lightgbm(script: Peer, uri: str) -> None:
    done = script.ask("autolog_lightgbm", uri=uri)
    assert (done["status"], done["same"]) == ("FINISHED", {"train-binary_logloss": True})
    assert (done["params"]["num_leaves"], done["params"]["objective"]) == ("4", "binary")
    assert done["predicts"]
    assert "feature_importance_gain.png" in done["files"]
    assert done["datasets"] == ["train", "eval"]


def test_the_callback_of_optuna(script: Peer, uri: str) -> None:
    done = script.ask("optuna_callback", uri=uri)
    assert len(done["trials"]) == 4
    assert done["trials"] == done["told"]
    assert (done["twice"], done["status"]) == (True, ["FINISHED"])
    assert done["tags"]["direction"] == "MINIMIZE"


def test_datasets_and_logged_models(script: Peer, uri: str) -> None:
    done = script.ask("datasets_and_models", uri=uri)
    assert done["found"] == [True]
    assert done["model"] == ["net", "READY", {"lr": "1"}, {"b": "2"}, True]
    assert done["metrics"] == [["acc", 0.9, 1, "zeros", True]]
    assert done["dataset"] == ["zeros", "training"]
    assert done["outputs"] == [[True, 1]]


def test_the_registry(any_script: Peer, uri: str) -> None:
    assert any_script.ask("registry", uri=uri) == {
        "model": ["digits", "reads digits", {"team": "vision"}, {"champion": "2"}],
        "champion": "2",
        "source": "s3://bucket/1",
        "versions": ["2", "3"],
        "staging": ["3"],
        "models": ["digits"],
        "missing": "INVALID_PARAMETER_VALUE",
    }


def test_prompts(script: Peer, uri: str) -> None:
    assert script.ask("prompts", uri=uri) == {
        "version": 1,
        "said": "Hello Ada.",
        "latest": "Good morning {{name}}.",
        "models": [],
    }


def test_webhooks(script: Peer, uri: str) -> None:
    with receiving_beside() as receiver:
        assert script.ask("webhooks", uri=uri, url=receiver.url) == {
            "tried": [True, 204],
            "events": ["model_version_alias.created", "registered_model.created"],
            "changed": ["for the team", "DISABLED"],
            "listed": [["team-hook", True, "DISABLED"]],
            "left": 0,
        }
        tried = json.loads(receiver.received[0].body)
        assert (tried["entity"], tried["action"], tried["data"]["name"]) == (
            "registered_model",
            "created",
            "example_model",
        )
        assert receiver.received[0].headers["x-mlflow-signature"].startswith("v1,")


def test_asynchronous_logging(any_script: Peer, uri: str) -> None:
    assert any_script.ask("asynchronous", uri=uri)["steps"] == list(range(50))


def test_runs_of_our_sdk_are_runs_of_mlflow(script: Peer, uri: str, platform: Platform) -> None:
    training = f"""
import penstock

with penstock.init(project="{project_of(uri)}", experiment="ours", name="mine", config={{"lr": 0.1, "on": True}}) as run:
    for step in range(10):
        run.log({{"loss": step / 4}}, step=step)
print(run.id)
"""
    ran = subprocess.run(
        [sys.executable, "-c", training], env=platform.env, capture_output=True, text=True, timeout=120, check=True
    )
    seen = script.ask("look", uri=uri, experiment="ours")
    assert seen == {
        "run": ran.stdout.strip(),
        "name": "mine",
        "status": "FINISHED",
        "params": {"lr": "0.1", "on": "true"},
        "metrics": {"loss": 2.25},
        "losses": [step / 4 for step in range(10)],
        "uri": f"mlflow-artifacts:/1/{ran.stdout.strip()}/artifacts",
    }
