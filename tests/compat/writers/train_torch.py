"""Trains small models with Lightning, Transformers and Accelerate, as their users do, with the callbacks in place.

Each function returns the id of its run, and what the library itself says of the training.
"""

import csv
import os
from pathlib import Path
from typing import Any

import torch
from serving import bits, serve

import penstock

os.environ["PENSTOCK_CAPTURE"] = "0"
Series = dict[str, list[tuple[int, str]]]

torch.set_num_threads(1)
INIT = {"system_metrics": False}


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])


def lightning(home: str, project: str, folder: str) -> dict[str, Any]:
    """A module that is fitted, with a validation and a checkpoint, and then tested; its CSV logger is the witness."""
    import lightning as lit
    from lightning.pytorch.loggers import CSVLogger
    from torch.utils.data import DataLoader, TensorDataset

    from penstock.integrations.lightning import PenstockLogger

    class Line(lit.LightningModule):
        def __init__(self, lr: float, layers: dict[str, int]) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.line = torch.nn.Linear(4, 1)

        def loss(self, batch: list[torch.Tensor], name: str) -> torch.Tensor:
            loss = torch.nn.functional.mse_loss(self.line(batch[0]), batch[1])
            self.log(name, loss)
            return loss

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            return self.loss(batch, "train/loss")

        def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
            self.loss(batch, "val/loss")

        def test_step(self, batch: list[torch.Tensor], index: int) -> None:
            self.loss(batch, "test/loss")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    os.environ["PENSTOCK_HOME"] = home
    logger = PenstockLogger(project=project, model_artifact="line", **INIT)
    witness = CSVLogger(folder)
    best = lit.pytorch.callbacks.ModelCheckpoint(dirpath=f"{folder}/checkpoints", monitor="val/loss")
    trainer = lit.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=[logger, witness],
        callbacks=[best],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Line(lr=0.1, layers={"hidden": 0})
    loader = DataLoader(TensorDataset(*samples()), batch_size=16)
    trainer.fit(model, loader, loader)
    trainer.test(model, loader, verbose=False)
    assert logger.version == logger.experiment.id
    run = logger.experiment.resource_name
    penstock.finish()
    witness.save()
    points: Series = {}
    for row in csv.DictReader(Path(witness.log_dir, "metrics.csv").read_text().splitlines()):
        for key, text in row.items():
            if key != "step" and text:
                points.setdefault(key, []).append((int(row["step"]), bits(float(text))))
    return {"run": run, "points": points, "best": Path(best.best_model_path).read_bytes().hex()}


def transformers(home: str, project: str, folder: str) -> dict[str, Any]:
    """A tiny classifier that is trained with evaluations, evaluated once more, and kept."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    from penstock.integrations.transformers import PenstockCallback

    os.environ["PENSTOCK_HOME"] = home
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=2
    )
    model = BertForSequenceClassification(config)
    data = [{"input_ids": [n % 32, (n * 7) % 32], "attention_mask": [1, 1], "labels": n % 2} for n in range(32)]
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=2,
        per_device_train_batch_size=8,
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    callback = PenstockCallback(project=project, model_artifact="tiny", **INIT)
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, callbacks=[callback])
    trainer.train()
    trainer.evaluate()
    run = penstock.active_run()
    assert run is not None
    penstock.finish()
    points: Series = {}
    for row in trainer.state.log_history:
        for name, value in row.items():
            if name != "step":
                split, _, rest = name.partition("_")
                key = f"{split}/{rest}" if split in {"eval", "train"} else f"train/{name}"
                points.setdefault(key, []).append((row["step"], bits(value)))
    return {
        "run": run.resource_name,
        "points": points,
        "weights": model.classifier.weight.detach().ravel().tolist(),
    }


def weights_of_transformers(model: str) -> list[float]:
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(model).classifier.weight.detach().ravel().tolist()


def accelerate(home: str, project: str, folder: str) -> dict[str, Any]:
    """A script that logs by its accelerator."""
    from accelerate import Accelerator

    from penstock.integrations.accelerate import PenstockTracker

    os.environ["PENSTOCK_HOME"] = home
    accelerator = Accelerator(cpu=True, log_with=PenstockTracker(project=project, **INIT))
    accelerator.init_trackers("line", config={"lr": 0.1, "layers": {"hidden": 0}})
    x, y = samples()
    line = torch.nn.Linear(4, 1)
    line, optimizer = accelerator.prepare(line, torch.optim.SGD(line.parameters(), lr=0.1))
    losses = []
    for step in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(line(x), y)
        accelerator.backward(loss)
        optimizer.step()
        losses.append((step, bits(loss.item())))
        accelerator.log({"train/loss": loss, "note": "text is left out"}, step=step)
    run = accelerator.get_tracker("penstock", unwrap=True)
    accelerator.end_training()
    return {"run": run.resource_name, "points": {"train/loss": losses}}


def artifact(home: str, project: str, name: str, folder: str) -> str:
    """Downloads an artifact's newest version."""
    os.environ["PENSTOCK_HOME"] = home
    with penstock.Client() as client:
        client.get_artifact(name, folder, project=project)
    return folder


if __name__ == "__main__":
    serve(
        {
            function.__name__: function
            for function in (lightning, transformers, weights_of_transformers, accelerate, artifact)
        }
    )
