"""Transformers: a callback for `Trainer`."""

from collections.abc import Mapping
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockCallback"]

_SPLITS: Final = ("eval", "test", "predict")


class PenstockCallback(TrainerCallback):
    """Logs what `Trainer` logs, in the process of rank 0.

    Params are those of the training arguments, and of the model's configuration below `model/`. Metrics have the global step:
    `train/loss`, and what Transformers calls `eval_loss` as `eval/loss`. `trainer.evaluate()` after the training is logged as
    well, so the run goes on until `penstock.finish()` or the end of the process.

        Trainer(..., callbacks=[PenstockCallback(project="reader")])

    Args:
        run: The run; without it, the one that is going on, or else one that is started.
        prefix: Goes before every name.
        model_artifact: The artifact whose next version the trained model becomes, as `save_pretrained` writes
            it. Without it, the model is not kept.
        **init: What `penstock.init` is called with, such as `project`, if no run is going on.
    """

    def __init__(
        self, *, run: Run | None = None, prefix: str = "", model_artifact: str | None = None, **init: Any
    ) -> None:
        self._target = Target(run, prefix, init)
        self._model_artifact = model_artifact

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Records the params."""
        if state.is_world_process_zero:
            self._target.set_params(args.to_dict())
            configuration = getattr(kwargs.get("model"), "config", None)
            if configuration is not None:
                self._target.set_params(configuration.to_dict(), "model/")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Logs what the trainer logs."""
        if state.is_world_process_zero:
            self._target.log({_key(name): value for name, value in (logs or {}).items()}, state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Publishes the model, with its tokenizer or processor."""
        if self._model_artifact is None or not state.is_world_process_zero:
            return
        parts = [part for part in (kwargs.get("model"), kwargs.get("processing_class")) if part is not None]
        self._target.log_model(
            self._model_artifact, "model", lambda folder: [part.save_pretrained(folder) for part in parts]
        )


def _key(name: str) -> str:
    """`eval/loss` for `eval_loss`, `train/loss` for `loss` and for `train_loss`."""
    split, _, rest = name.partition("_")
    if split in _SPLITS or split == "train":
        return f"{split}/{rest}"
    return f"train/{name}"
