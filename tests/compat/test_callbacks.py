"""The callbacks of `penstock.integrations`, each in a real training of its library: what the library itself recorded is what
the server has, bit for bit.

Those for Lightning, Transformers and Accelerate are in `test_callbacks_torch.py`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.importing import Peer
from support.platform import Platform
from support.training import points_on_server

from penstock.client import Client
from penstock.client.records import run_record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).parent / "writers" / "train.py"

Train = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def trainer(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with Peer(peers, SCRIPT, tmp_path_factory.mktemp("trainer") / "log") as peer:
        yield peer


@pytest.fixture
def train(trainer: Peer, platform: Platform, client: Client) -> Train:
    """Trains with a library, checks that every point which the library tells of is there, and returns its answer."""

    def train(library: str) -> dict[str, Any]:
        project = f"callbacks-{library}"
        told = trainer.ask(library, home=str(platform.home), project=project)
        there = points_on_server(client, told["run"])
        for key, points in told["points"].items():
            assert sorted(there.get(key, [])) == sorted(map(tuple, points)), key
        record = run_record(client.run(told["run"]))
        return told | {
            "there": there,
            "params": record["params"],
            "summary": record["summary"],
            "state": record["state"],
        }

    return train


@pytest.fixture
def model(trainer: Peer, platform: Platform, tmp_path: Path) -> Callable[[str, str], str]:
    """The file of a model that a library published, downloaded."""
    return lambda library, artifact: trainer.ask(
        "artifact_file",
        home=str(platform.home),
        project=f"callbacks-{library}",
        name=artifact,
        folder=str(tmp_path / "model"),
    )


def check_params(told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {key: told["params"].get(key) for key in expected} == expected


def test_xgboost(train: Train, trainer: Peer, model: Callable[[str, str], str]) -> None:
    told = train("xgboost")
    assert told["there"].keys() == told["points"].keys()
    assert told["state"] == "FINISHED"
    check_params(told, {"eta": 0.3, "max_depth": 3, "cv/max_depth": 3})
    assert [told["summary"]["best_iteration"], told["summary"]["best_score"]] == told["best"]
    assert len(told["points"]["train/rmse"]) == told["best"][0] + 3, "it did not stop early"
    assert trainer.ask("predict_xgboost", model=model("xgboost", "trees")) == told["predictions"]


def test_lightgbm(train: Train, client: Client) -> None:
    told = train("lightgbm")
    assert told["there"].keys() == told["points"].keys()
    check_params(told, {"objective": "binary", "num_leaves": 7, "metric": ["binary_logloss", "auc"]})
    assert len(told["points"]["held-out/auc"]) < 60, "it did not stop early"
    goals = {definition.key: definition.goal for definition in client.run(told["run"]).metric_definitions}
    assert goals["held-out/auc"] != goals["held-out/binary_logloss"]


def test_keras(train: Train, trainer: Peer, model: Callable[[str, str], str]) -> None:
    told = train("keras")
    learning_rates = told["there"].pop("train/learning_rate")
    assert [step for step, _ in learning_rates] == [0, 1, 2]
    # 240 of 300 samples in batches of 32 are 8 batches an epoch.
    assert [step for step, _ in told["there"].pop("batch/loss")] == [4, 8, 12, 16, 20, 24]
    del told["there"]["batch/mae"]
    assert told["there"].keys() == told["points"].keys()
    assert told["params"]["optimizer/name"] == "adam"
    assert told["params"]["epochs"] == "mine", "what the run has already stays"
    assert {key: told["summary"][f"test/{key}"] for key in told["test"]} == told["test"]
    assert trainer.ask("predict_keras", model=model("keras", "net")) == pytest.approx(told["predictions"], rel=1e-5)


def test_optuna(train: Train) -> None:
    told = train("optuna")
    best = told["best"]
    found = told["summary"]
    assert (found["best/value"], found["best/trial"]) == (best["value"], best["trial"])
    assert {key: found[f"best/param/{key}"] for key in best["params"]} == best["params"]
    check_params(told, {"study": "one", "directions": ["minimize"], "sampler": "RandomSampler"})
    assert told["params"]["both/directions"] == ["minimize", "maximize"]
    assert len(told["there"]["trial/duration_s"]) == 12


def test_sklearn(train: Train) -> None:
    told = train("sklearn")
    assert told["points"]["train/neg_log_loss"]
    # Of the search the parallel fits are left out.
    assert [key for key in told["there"] if key.startswith("inner/")] == ["inner/refit-with-best-params/train/score"]
    assert len(told["there"]["pipe/fit-final-estimator/train/score"]) > 1
    check_params(told, {"C": 0.5, "estimator_class": "LogisticRegression", "grid/estimator_class": "GridSearchCV"})
    check_params(told, {"forest/estimator_class": "RandomForestClassifier", "forest/max_depth": 3})
    found = told["summary"]
    assert [found["grid/best/candidate"], found["grid/best/score"], found["grid/best/param/C"]] == told["best"]


def test_copies(train: Train) -> None:
    told = train("elsewhere")
    assert told["there"].keys() == {"valid/l2"}
    assert "penstock.init()" in told["failure"]
