"""Owns the end of a process whose parent is gone: a launcher that is killed leaves no services behind."""

import contextlib
import os
import signal
import threading
import time

__all__ = ["end_with_parent"]

END_S_MAX = 15.0
"""How long an orderly end may take; then the process ends all the same."""

_STANDARD_INPUT = 0


def end_with_parent() -> None:
    """Ends this process, as SIGTERM does, when its standard input ends. Returns at once.

    Standard input has to be a pipe that the parent alone writes to: it ends when the parent does, however that ends.
    """
    threading.Thread(target=_wait, name="end-with-parent", daemon=True).start()


def _wait() -> None:
    # A thread, because the loop of this process may not run yet, or may be stuck.
    with contextlib.suppress(OSError):
        while os.read(_STANDARD_INPUT, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_S_MAX)
    os._exit(1)
