"""Accelerate: a tracker for `Accelerator(log_with=...)`."""

from collections.abc import Mapping
from typing import Any, Final

from accelerate.tracking import GeneralTracker, on_main_process

from penstock.integrations.target import Target
from penstock.run.run import Run

__all__ = ["PenstockTracker"]


class PenstockTracker(GeneralTracker):
    """Logs what a script gives to `accelerator.log`, in the main process.

        accelerator = Accelerator(log_with=PenstockTracker(project="reader"))
        accelerator.init_trackers("reader", config={"lr": 1e-3})
        accelerator.log({"train/loss": loss}, step=step)
        accelerator.end_training()

    `end_training` finishes the run if the tracker started it.

    Args:
        run: The run; without it, the one that is going on, or else one that is started.
        prefix: Goes before every name.
        **init: What `penstock.init` is called with, such as `project`, if no run is going on.
    """

    name: Final = "penstock"
    requires_logging_directory: Final = False
    main_process_only: Final = True

    def __init__(self, *, run: Run | None = None, prefix: str = "", **init: Any) -> None:
        super().__init__()
        self._target = Target(run, prefix, init)

    @property
    def tracker(self) -> Run:
        """The run: `accelerator.get_tracker("penstock", unwrap=True)`."""
        return self._target.run

    @on_main_process
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Records params."""
        self._target.set_params(values)

    @on_main_process
    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Logs those of the values that are numbers; without a step, as the next one."""
        self._target.log(values, step)

    @on_main_process
    def finish(self) -> None:
        """Finishes the run, if the tracker started it."""
        self._target.finish_own()
