"""Where a callback logs: which run, under which names, and what is left out.

Knows nothing of any library. What is wrong with a value never ends a training: it is left out, and that is said once.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import penstock
from penstock.errors import InvalidInput, InvalidType, PenstockError
from penstock.run.active import active_run, needed_run
from penstock.run.messages import say
from penstock.run.run import Run
from penstock.spool.values import flat_items

__all__ = ["Target"]


class Target:
    """The run of a callback. Usable from any thread.

    A run stays in its process: a copy that was pickled into another process logs nothing there, unless it has yet to start
    its run. A copy within the process is the same target, so that libraries may copy their callbacks.

    Args:
        run: The run; without it, the one that is going on when something is logged.
        prefix: Goes before every name, such as `fold-1/`.
        init: What `penstock.init` is called with if no run is going on. None: then that is an error.
    """

    def __init__(self, run: Run | None, prefix: str = "", init: Mapping[str, Any] | None = None) -> None:
        if run is not None and not isinstance(run, Run):
            raise InvalidType(f"run must be a penstock.Run, not {type(run).__name__}.")
        if run is not None and init:
            raise InvalidInput(f"The run is given: {', '.join(init)} would start another.")
        self._run = run
        self._prefix = prefix
        self._init = init
        self._started: Run | None = None
        self._elsewhere = False
        self._said: set[str] = set()
        self._goals: set[tuple[str, str]] = set()

    @property
    def run(self) -> Run:
        """The run. Raises `InvalidInput` or `RunFinished` if there is none."""
        if self._run is not None:
            return self._run
        if self._init is not None and active_run() is None:
            self._started = penstock.init(**self._init)
            return self._started
        return needed_run()

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        """Logs those of the values that are numbers; without a step, as `Run.log` does."""
        row = {
            f"{self._prefix}{key}": number for key, value in values.items() if (number := _number(value)) is not None
        }
        if row:
            self._record("A row of metrics", lambda run: run.log(row, step))

    def set_params(self, values: Mapping[Any, Any], prefix: str = "") -> None:
        """Records params, nested ones with `/` between their names. What the run has already stays as it is."""
        for key, value in values.items():
            self._record(
                f"The param {prefix}{key}", partial(_set_param, name=f"{self._prefix}{prefix}{key}", value=value)
            )

    def set_summary(self, values: Mapping[str, Any]) -> None:
        """Records what came out."""
        for key, value in values.items():
            self._record(f"The summary entry {key}", partial(_set_summary, name=f"{self._prefix}{key}", value=value))

    def define_goal(self, key: str, goal: str) -> None:
        """Says, once for each run, that a metric is to be minimized or maximized. Its best value stands for it."""
        name = f"{self._prefix}{key}"
        self._record(f"The goal of {name}", partial(self._define_goal, name=name, goal=goal))

    def log_model(self, artifact: str, file_name: str, save: Callable[[Path], object]) -> None:
        """Publishes a model as the next version of an artifact, of type `model`. Returns when the spool has it.

        Args:
            artifact: The name of the artifact.
            file_name: What the file, or folder, is called.
            save: Writes it to a path.
        """
        if not self._elsewhere:
            with tempfile.TemporaryDirectory(prefix="penstock-model-") as folder:
                path = Path(folder) / file_name
                save(path)
                self.log_model_file(artifact, path)

    def log_model_file(self, artifact: str, path: Path) -> None:
        """`log_model` for a file, or a folder, that is there."""
        # Through the spool: the training waits for no network, and a run without a server keeps its model, too.
        self._record("The model", lambda run: run.log_artifact(path, name=artifact, type="model", wait=False))

    def finish_own(self) -> None:
        """Finishes the run, if this started it."""
        if self._started is not None:
            self._started.finish()

    def _define_goal(self, run: Run, *, name: str, goal: str) -> None:
        if (run.id, name) not in self._goals:
            self._goals.add((run.id, name))
            run.define_metric(name, goal=goal, summary="max" if goal == "maximize" else "min")

    def _record(self, what: str, record: Callable[[Run], object]) -> None:
        """Writes something into the run. What cannot be written ends no training: it is said, once."""
        if self._elsewhere:
            return
        run = self.run
        try:
            record(run)
        except PenstockError as error:
            if what not in self._said:
                self._said.add(what)
                say(f"{what} was not recorded: {error}")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Where no run was started yet, the process that gets the copy may be the one that is to start it.
        if self._init is not None and self._run is None and self._started is None:
            return self.__dict__
        return self.__dict__ | {"_run": None, "_started": None, "_init": None, "_elsewhere": True}


def _set_param(run: Run, *, name: str, value: Any) -> None:
    leaves = flat_items({name: value}, "A param's name")
    run.config.update({key: leaf for key, leaf in leaves if key not in run.config})


def _set_summary(run: Run, *, name: str, value: Any) -> None:
    run.summary[name] = value


def _number(value: Any) -> float | None:
    """A scalar as a number; None if it is something else."""
    # Arrays of one element would pass for numbers, with a warning.
    if isinstance(value, (str, bytes)) or getattr(value, "ndim", 0):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
