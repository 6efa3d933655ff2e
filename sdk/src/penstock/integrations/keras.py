"""Keras 3, on any of its backends: a callback for `fit` and `evaluate`."""

from collections.abc import Mapping
from typing import Any, Final

import keras

from penstock.errors import InvalidInput
from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockCallback"]

_VALIDATION: Final = "val_"


class PenstockCallback(keras.callbacks.Callback):
    """Logs a training of Keras.

    Params are those of `fit` and of the optimizer, below `optimizer/`. Metrics have the epoch as step: `train/loss`, what
    Keras calls `val_loss` as `val/loss`, and `train/learning_rate`. `evaluate` with this callback sets `test/loss` and so on
    in the summary.

        model.fit(x, y, validation_split=0.2, callbacks=[PenstockCallback()])

    Args:
        run: The run; without it, the one that is going on.
        prefix: Goes before every name, such as `fold-1/`.
        every_batches: How often `batch/loss` and so on are logged, with the number of batches as step: after every so many.
            None: not at all.
        model_artifact: The artifact whose next version the trained model becomes, as `model.keras`.
            Without it, the model is not kept.
    """

    async_safe: Final = True
    """Keras need not wait for the hooks of batches."""

    def __init__(
        self,
        *,
        run: Run | None = None,
        prefix: str = "",
        every_batches: int | None = None,
        model_artifact: str | None = None,
    ) -> None:
        super().__init__()
        if every_batches is not None and every_batches < 1:
            raise InvalidInput(f"every_batches must be at least 1, not {every_batches}.")
        self._target = Target(run, prefix)
        self._every_batches = every_batches
        self._model_artifact = model_artifact
        self._is_training = False
        self._batches_before = 0
        self._batches_of_epoch = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Records the params."""
        self._is_training = True
        self._batches_before = 0
        optimizer = self.model.optimizer
        self._target.set_params({key: value for key, value in self.params.items() if key != "verbose"})
        self._target.set_params({"model": self.model.name, "optimizer": optimizer.get_config()})

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Begins to count batches."""
        self._batches_before += self._batches_of_epoch
        self._batches_of_epoch = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs a batch, if it is its turn."""
        self._batches_of_epoch = max(self._batches_of_epoch, batch + 1)
        count = self._batches_before + batch + 1
        if self._every_batches is not None and count % self._every_batches == 0:
            self._target.log({f"batch/{key}": value for key, value in (logs or {}).items()}, count)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs an epoch."""
        row = {_key(name): value for name, value in (logs or {}).items()}
        row["train/learning_rate"] = self.model.optimizer.learning_rate
        self._target.log(row, epoch)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Records what `evaluate` found; validation within a training is logged by epoch."""
        if not self._is_training:
            self._target.set_summary({f"test/{key}": value for key, value in (logs or {}).items()})

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Publishes the model."""
        self._is_training = False
        if self._model_artifact is not None:
            self._target.log_model(self._model_artifact, "model.keras", self.model.save)


def _key(name: str) -> str:
    """`val/loss` for `val_loss`, `train/loss` for `loss`."""
    return f"val/{name[len(_VALIDATION) :]}" if name.startswith(_VALIDATION) else f"train/{name}"
