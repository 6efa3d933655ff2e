"""Lightning: a logger for `Trainer`."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    from lightning.pytorch.callbacks import Checkpoint
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
except ImportError:
    # The same library under its other name.
    from pytorch_lightning.callbacks import Checkpoint
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockLogger"]


class PenstockLogger(Logger):
    """Logs what a module logs with `self.log`, and its hyperparameters as params, in the process of rank 0.

    Metrics keep the names that the module gives them and have Lightning's step. The run goes on after `fit`, for `test` and
    what else comes, until `penstock.finish()` or the end of the process.

        Trainer(logger=PenstockLogger(project="reader"))

    Args:
        run: The run; without it, the one that is going on, or else one that is started.
        prefix: Goes before every name.
        model_artifact: The artifact whose next version the best checkpoint becomes when `fit` ends well.
            Without it, checkpoints stay where they are.
        **init: What `penstock.init` is called with, such as `project`, if no run is going on.
    """

    def __init__(
        self, *, run: Run | None = None, prefix: str = "", model_artifact: str | None = None, **init: Any
    ) -> None:
        super().__init__()
        self._target = Target(run, prefix, init)
        self._model_artifact = model_artifact
        self._checkpoints: Checkpoint | None = None
        self._published: str | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run, in the process of rank 0: `self.logger.experiment` in a module."""
        return self._target.run

    @property
    def name(self) -> str | None:
        """The project; None in other processes than that of rank 0."""
        run = self.experiment
        return run.project if isinstance(run, Run) else None

    @property
    def version(self) -> str | None:
        """The id of the run; None in other processes than that of rank 0."""
        run = self.experiment
        return run.id if isinstance(run, Run) else None

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Records params."""
        self._target.set_params(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs metrics; without a step, as the next one."""
        self._target.log(metrics, step)

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Remembers who knows of the checkpoints."""
        self._checkpoints = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Publishes the best checkpoint, or the last if none is said to be best."""
        if status != "success" or self._model_artifact is None or self._checkpoints is None:
            return
        paths = (getattr(self._checkpoints, name, "") for name in ("best_model_path", "last_model_path"))
        path = next(filter(None, paths), None)
        if path is not None and path != self._published:
            self._published = path
            self._target.log_model_file(self._model_artifact, Path(path))
