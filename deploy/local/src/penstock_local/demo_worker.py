"""One training run of the demo, in a process of its own: `python -m penstock_local.demo_worker PLAN`.

PLAN is a `WorkerPlan` as JSON. The process really trains, streams its metrics like any training script, and reports to the
process that started it in JSON lines on standard output, one `{"event": ...}` each:

- `epoch`: `epoch` (from 1), `validation_accuracy`, `validation_loss`. After each epoch.
- `finished`: `run`, `points_logged`, `points_durable`, `dropped`, `validation_correct`, `model` (a `LoggedModel`). Last, when
  metrics and model are on the server.
- `failed`: `message`. Last, instead.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TextIO

import penstock

__all__ = ["ARTIFACT", "MODEL_FILE", "Epoch", "LoggedModel", "WorkerPlan", "digits", "epochs_of", "main", "train"]

ARTIFACT = "digits-reader"  # every trained model is a version of it
MODEL_FILE = "model.skops"

NICENESS = 5  # the platform on the same machine, and the curves in the browser, go before the training
BATCH_SIZE = 64
NOISE = 0.15  # standard deviation of what is added to each pixel, which is from 0 to 1
VALIDATION_SHARE = 0.25
CLASSES = 10
SIDE = 8  # pixels of an image, in each direction

Report = Callable[..., None]


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What one worker trains.

    Attributes:
        project: The id of the project to log to.
        experiment: The name of the experiment.
        name: The name of the run.
        model: `mlp` (a multi-layer perceptron) or `linear` (logistic regression by stochastic gradient descent).
        hidden: Units of the hidden layers of an `mlp`.
        solver: Of an `mlp`.
        learning_rate: Of the solver, constant.
        seed: Of everything random.
        epochs: How often the metrics are logged.
        passes: How often an epoch goes through the training images, each time with other noise.
    """

    project: str
    experiment: str
    name: str
    model: Literal["mlp", "linear"]
    hidden: tuple[int, ...]
    solver: Literal["adam", "sgd"]
    learning_rate: float
    seed: int
    epochs: int
    passes: int

    def to_json(self) -> str:
        """Returns the plan for the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` returned."""
        fields: dict[str, Any] = json.loads(text)
        fields["hidden"] = tuple(fields["hidden"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A trained model as a run logged it.

    Attributes:
        artifact_version: The version of an artifact that has its file.
        manifest: The digest of that version's manifest.
        size_bytes: Of the file.
        options: What its loader needs to know: `file`, and the versions of `scikit-learn` and `skops` that wrote it.
    """

    artifact_version: str
    manifest: str
    size_bytes: int
    options: dict[str, str]


class Epoch(NamedTuple):
    """How an epoch ended.

    Attributes:
        metrics: Loss and accuracy.
        correct: Which of the validation images are told right.
        model: As it is trained so far.
    """

    metrics: dict[str, float]
    correct: list[bool]
    model: Any


def main() -> int:
    """Trains what the command line says. Returns the exit status."""
    plan = WorkerPlan.from_json(sys.argv[1])
    # Whatever a library prints must not get between the reports.
    reports, sys.stdout = sys.stdout, sys.stderr

    def report(event: str, **fields: Any) -> None:
        _write_line(reports, {"event": event, **fields})

    try:
        train(plan, report)
    except penstock.PenstockError as error:
        report("failed", message=str(error))
        return 1
    except BrokenPipeError:
        return 1  # the demo was killed: nobody waits for this run any more
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        report("failed", message=f"{type(error).__name__}: {error}")
        return 1
    return 0


def train(plan: WorkerPlan, report: Report) -> None:
    """Logs the training of a model as a run, and reports how it goes. Raises `penstock.PenstockError`."""
    run = penstock.init(
        project=plan.project,
        experiment=plan.experiment,
        name=plan.name,
        group=plan.name.rsplit("/", 1)[0],
        config=_config(plan),
        mode="online",  # whatever the environment says: what is not sent is not seen
    )
    run.define_metric("validation/accuracy", goal="maximize", summary="max")
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # after the sender was started, which must not wait for the training
    with run:
        last: Epoch | None = None
        for number, last in enumerate(epochs_of(plan), start=1):
            run.log(last.metrics, step=number)
            report(
                "epoch",
                epoch=number,
                validation_accuracy=last.metrics["validation/accuracy"],
                validation_loss=last.metrics["validation/loss"],
            )
        assert last is not None, "a plan has an epoch"
        logged = _log_model(run, last.model)
        receipt = run.finish()
    report(
        "finished",
        run=receipt.run,
        points_logged=receipt.points_logged,
        points_durable=receipt.points_durable,
        dropped=receipt.dropped,
        validation_correct=last.correct,
        model=asdict(logged),
    )


def _log_model(run: penstock.Run, model: Any) -> LoggedModel:
    """Logs a trained model as a file of skops, which holds no code and is loaded without running any."""
    # Here for the reason that `epochs_of` gives.
    import sklearn
    import skops
    import skops.io

    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        file = Path(folder, MODEL_FILE)
        skops.io.dump(model, file)
        version = run.log_artifact(file, name=ARTIFACT, type="model")
    options = {"file": MODEL_FILE, "scikit-learn": sklearn.__version__, "skops": skops.__version__}
    return LoggedModel(version.name, version.manifest, version.size_bytes, options)


def epochs_of(plan: WorkerPlan) -> Iterator[Epoch]:
    """Trains a model on the digits that come with scikit-learn. Yields how each epoch ended.

    The images are shifted and made noisy anew in each pass, so that there is something to learn for many epochs; loss and
    accuracy are those of the clean ones.
    """
    # Only here, because these imports take seconds: the process that starts the workers needs none of them, and a worker
    # opens its run first.
    import numpy as np
    from sklearn.metrics import log_loss

    train_x, validation_x, train_y, validation_y = digits()
    classes = np.arange(CLASSES)
    random = np.random.default_rng(plan.seed)
    model = _model(plan)
    for _ in range(plan.epochs):
        for _ in range(plan.passes):
            order = random.permutation(len(train_x))
            for start in range(0, len(order), BATCH_SIZE):
                batch = order[start : start + BATCH_SIZE]
                images = train_x[batch].reshape(-1, SIDE, SIDE)
                images = np.roll(images, random.integers(-1, 2, size=2), axis=(1, 2))
                images = images + random.normal(0, NOISE, images.shape)
                model.partial_fit(images.reshape(len(batch), -1), train_y[batch], classes=classes)
        metrics: dict[str, float] = {}
        right: Any = ()
        for part, x, y in (("train", train_x, train_y), ("validation", validation_x, validation_y)):
            probabilities = model.predict_proba(x)
            metrics[f"{part}/loss"] = float(log_loss(y, probabilities, labels=classes))
            right = probabilities.argmax(axis=1) == y
            metrics[f"{part}/accuracy"] = float(right.mean())
        yield Epoch(metrics, right.tolist(), model)


def digits() -> tuple[Any, Any, Any, Any]:
    """The images to train with and to validate with, pixels from 0 to 1, and then what each of them shows."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    whole: Any = load_digits()  # a Bunch, whose attributes are not typed
    train_x, validation_x, train_y, validation_y = train_test_split(
        whole.data / 16, whole.target, test_size=VALIDATION_SHARE, random_state=0, stratify=whole.target
    )
    return train_x, validation_x, train_y, validation_y


def _model(plan: WorkerPlan) -> Any:
    if plan.model == "linear":
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=plan.learning_rate, random_state=plan.seed)
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(plan.hidden, solver=plan.solver, learning_rate_init=plan.learning_rate, random_state=plan.seed)


def _config(plan: WorkerPlan) -> dict[str, Any]:
    return {
        "model": plan.model,
        "hidden": list(plan.hidden),
        "solver": plan.solver,
        "learning_rate": plan.learning_rate,
        "batch_size": BATCH_SIZE,
        "noise": NOISE,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "passes_per_epoch": plan.passes,
    }


def _write_line(stream: TextIO, fields: dict[str, Any]) -> None:
    stream.write(json.dumps(fields) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
