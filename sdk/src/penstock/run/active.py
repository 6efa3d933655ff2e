"""The run that is going on in this process, and how it ends when the process does.

Clean exit: FINISHED. Uncaught exception: FAILED, with its last lines. Ctrl-C or SIGTERM: KILLED. A process that vanishes says
nothing: its sender sees that, and reports CRASHED. `sys.exit(1)` looks like a clean exit from here: Python passes its code
neither to `sys.excepthook` nor to `atexit`.
"""

import atexit
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Final

from penstock.errors import InvalidInput, PenstockError, RunFinished
from penstock.run.run import INTERRUPTED_WAIT_S, Run, failure_text
from penstock.run.sender_process import leave_outliving

__all__ = ["activate", "active_run", "install_hooks", "needed_run"]

_SIGNAL_EXIT_OFFSET: Final = 128


class _Process:
    """What belongs to the process and not to a run: the run that is going on, the last that ended, and the hooks."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.finished_run_name: str | None = None
        self.hooks_installed = False
        self.failure: BaseException | None = None


_process = _Process()


def active_run() -> Run | None:
    """The run that is going on in this process; None if there is none."""
    return _process.run


def needed_run() -> Run:
    """The run that is going on. Raises `RunFinished` if it ended, `InvalidInput` if none was started."""
    if _process.run is not None:
        return _process.run
    if _process.finished_run_name is not None:
        raise RunFinished(
            f"The run {_process.finished_run_name} is finished: it takes no more. Start another one with penstock.init()."
        )
    raise InvalidInput("No run is going on in this process: start one with penstock.init().")


def activate(run: Run) -> None:
    """Makes a run the one that `penstock.log` means."""
    _process.run = run
    run.when_finished(_deactivate)


def install_hooks() -> None:
    """Makes the end of the process end the run. Safe to repeat."""
    if _process.hooks_installed:
        return
    _process.hooks_installed = True
    atexit.register(_at_exit)
    former_hook = sys.excepthook

    def note_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        _process.failure = error
        former_hook(kind, error, traceback)

    sys.excepthook = note_exception
    in_main_thread = threading.current_thread() is threading.main_thread()
    # Somebody else's handler stays: it knows better how its program ends.
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_terminate)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _deactivate(run: Run) -> None:
    if _process.run is run:
        _process.run = None
        _process.finished_run_name = run.name


def _at_exit() -> None:
    _end_run()
    leave_outliving()


def _end_run() -> None:
    run = _process.run
    if run is None:
        return
    failure = _process.failure
    try:
        if failure is None:
            run.end("FINISHED")
        elif isinstance(failure, KeyboardInterrupt):
            # That was the first Ctrl-C; one more leaves at once.
            run.end("KILLED", timeout_s=INTERRUPTED_WAIT_S)
        else:
            run.end("FAILED", failure_text(failure))
    except (PenstockError, OSError) as error:
        sys.stderr.write(f"penstock: the run could not be ended properly: {error}\n")


def _on_terminate(number: int, frame: FrameType | None) -> Any:  # noqa: ARG001 - what signal handlers are given
    run = _process.run
    if run is not None:
        # No waiting: whoever sends SIGTERM sends SIGKILL soon. The sender sends the rest.
        run.end("KILLED", wait=False)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _after_fork_in_child() -> None:
    _process.failure = None
    # A child does not end the run, so it need not hear of SIGTERM. And one that waits for a lock between processes, as the
    # workers of a pool do, may never come to hear of it: Python runs handlers only when such a wait is over.
    if signal.getsignal(signal.SIGTERM) is _on_terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _process.run is not None:
        _process.run.after_fork_in_child()
