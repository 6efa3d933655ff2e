"""The callbacks for Lightning, Transformers and Accelerate, in real trainings on the CPU: as in `test_callbacks.py`.

They need PyTorch, whose wheel for Linux brings 3 GB of CUDA, so the peers' environment does without. PENSTOCK_TORCH_PYTHON
names the Python of an environment that has `torch lightning transformers accelerate` and, in place, `sdk`.
"""

import os
import subprocess
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

SCRIPT = Path(__file__).parent / "writers" / "train_torch.py"
NEEDED = ("torch", "lightning", "transformers", "accelerate", "penstock")

Train = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    python = os.environ.get("PENSTOCK_TORCH_PYTHON")
    if python is None:
        pytest.skip(f"PENSTOCK_TORCH_PYTHON names no environment with {', '.join(NEEDED)}")
    look = f"import importlib.util as of; print([name for name in {NEEDED} if of.find_spec(name) is None])"
    found = subprocess.run([python, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]", f"missing from the environment of PENSTOCK_TORCH_PYTHON: {found.stdout}"
    with Peer(Path(python), SCRIPT, tmp_path_factory.mktemp("trainer") / "log") as peer:
        yield peer


@pytest.fixture
def train(trainer: Peer, platform: Platform, client: Client, tmp_path: Path) -> Train:
    """Trains with a library, checks that exactly the points which it tells of are there, and returns its answer."""

    def train(library: str) -> dict[str, Any]:
        project = f"callbacks-{library}"
        told = trainer.ask(library, home=str(platform.home), project=project, folder=str(tmp_path))
        expected = {key: sorted(map(tuple, points)) for key, points in told["points"].items()}
        assert {key: sorted(points) for key, points in points_on_server(client, told["run"]).items()} == expected
        record = run_record(client.run(told["run"]))
        assert record["state"] == "FINISHED"
        return told | {"params": record["params"]}

    return train


@pytest.fixture
def download(trainer: Peer, platform: Platform, tmp_path: Path) -> Callable[[str, str], Path]:
    """The folder of a model that a library published."""
    return lambda library, name: Path(
        trainer.ask(
            "artifact",
            home=str(platform.home),
            project=f"callbacks-{library}",
            name=name,
            folder=str(tmp_path / "downloaded"),
        )
    )


def test_lightning(train: Train, download: Callable[[str, str], Path]) -> None:
    told = train("lightning")
    assert told["points"].keys() == {"epoch", "train/loss", "val/loss", "test/loss"}
    assert told["params"] == {"lr": 0.1, "layers/hidden": 0}
    [checkpoint] = download("lightning", "line").iterdir()
    assert checkpoint.read_bytes().hex() == told["best"]


def test_transformers(train: Train, trainer: Peer, download: Callable[[str, str], Path]) -> None:
    told = train("transformers")
    assert {"train/loss", "eval/loss", "train/learning_rate"} <= told["points"].keys()
    assert (told["params"]["num_train_epochs"], told["params"]["model/hidden_size"]) == (2, 8)
    folder = download("transformers", "tiny")
    assert trainer.ask("weights_of_transformers", model=str(folder)) == told["weights"]


def test_accelerate(train: Train) -> None:
    assert train("accelerate")["params"] == {"lr": 0.1, "layers/hidden": 0}
