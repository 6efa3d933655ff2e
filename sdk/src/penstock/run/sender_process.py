"""Starts senders. A sender is a process of its own, `python -m penstock.sender`, and outlives the one that started it.

Secrets reach it by a file that only its user can read, or by a pipe: never as arguments and never in the environment.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import penstock
from penstock.config import Connection, home
from penstock.errors import ERRORS_BY_NAME, NotFound, PenstockError, ServerUnavailable
from penstock.spool.files import write_private
from penstock.spool.meta import CONNECTION_FILE, SENDER_LOG_FILE

__all__ = [
    "EXIT_LEFT",
    "EXIT_OCCUPIED",
    "EXIT_REFUSED",
    "SenderProcess",
    "ask_about_run",
    "leave_outliving",
    "order_artifact",
    "start_adoption",
]

EXIT_DONE: Final = 0
EXIT_OCCUPIED: Final = 3
"""Another sender reads the spool."""
EXIT_REFUSED: Final = 4
"""The server will not take the spool: a person must act."""
EXIT_LEFT: Final = 5
"""The sender gave up waiting; `penstock sync` sends the rest."""

CHECK_TIMEOUT_S: Final = 60.0
_RESTART_DELAY_S: Final = 1.0
_RESTART_DELAY_S_MAX: Final = 5.0
_HEALTHY_AFTER_S: Final = 60.0
_SECRET_NAME: Final = re.compile(r"(?i)(token|secret|passw|credential|api_?key|access_?key|private_?key)")


_outliving: list[subprocess.Popen[bytes]] = []
"""Processes that may outlive this one. They are kept so that those that end before are waited for, and are no zombies."""


class SenderProcess:
    """The sender of one spool, started anew when it dies.

    Args:
        folder: The spool.
        connection: Where to send it.
    """

    def __init__(self, folder: Path, connection: Connection) -> None:
        self._folder = folder
        self._connection = connection
        self._process: subprocess.Popen[bytes] | None = None
        self._restart_delay_s = _RESTART_DELAY_S
        self._next_start_s = 0.0

    def start(self) -> None:
        """Starts it. Raises `OSError` when there can be no such process."""
        # The token may have changed since the last start.
        write_private(self._folder / CONNECTION_FILE, asdict(self._connection))
        log = os.open(self._folder / SENDER_LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = _spawn([str(self._folder)], output=log)
        finally:
            os.close(log)
        now_s = time.monotonic()
        if now_s - self._next_start_s > _HEALTHY_AFTER_S:
            self._restart_delay_s = _RESTART_DELAY_S
        self._next_start_s = now_s + self._restart_delay_s
        self._restart_delay_s = min(self._restart_delay_s * 2, _RESTART_DELAY_S_MAX)

    def keep_alive(self) -> bool:
        """Starts it anew if it died of something that may pass. Returns whether somebody sends, or will."""
        if self._process is not None and self._process.poll() is None:
            return True
        if self._process is not None and self._process.returncode in {EXIT_DONE, EXIT_REFUSED, EXIT_LEFT}:
            return False
        if time.monotonic() >= self._next_start_s:
            if not self._folder.exists():
                return False
            try:
                self.start()
            except OSError:
                return False
        return True

    def let_go(self) -> None:
        """Leaves it to itself."""
        if self._process is not None and self._process.poll() is None:
            _outliving.append(self._process)


def leave_outliving() -> None:
    """At the end of this process: keeps Popen from warning that senders go on. They do so on purpose."""
    for process in _outliving:
        if process.poll() is None:
            process.returncode = 0
    _outliving.clear()


def start_adoption(connection: Connection) -> None:
    """Starts a process that sends what dead senders left in the spool folder. It ends when there is no more.

    Raises `OSError` when there can be no such process.
    """
    process = _spawn(["--adopt"], stdin=subprocess.PIPE)
    with _input_of(process) as pipe:
        pipe.write(json.dumps(asdict(connection)).encode())
    _outliving.append(process)


def ask_about_run(connection: Connection, project: str, run_id: str) -> dict[str, Any]:
    """Asks the server about a run, in another process, so that this one imports no gRPC.

    Returns:
        `{"display_name", "max_step"}`; `max_step` is None if the run has no points.

    Raises:
        NotFound: There is no such run.
        ServerUnavailable: The server does not answer.
        PenstockError: Anything else that the server says.
    """
    process = _spawn(["--ask", f"projects/{project}/runs/{run_id}"], stdin=subprocess.PIPE, output=subprocess.PIPE)
    try:
        answered, _ = process.communicate(json.dumps(asdict(connection)).encode(), timeout=CHECK_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise ServerUnavailable(f"The server at {connection.http} did not answer in {CHECK_TIMEOUT_S:.0f} s.") from None
    try:
        answer = json.loads(answered)
    except ValueError:
        raise ServerUnavailable(
            f"The run cannot be looked up: the process that asks {connection.http} failed."
        ) from None
    if "error" in answer:
        kinds: dict[str, type[PenstockError]] = {"not_found": NotFound, "unavailable": ServerUnavailable}
        raise kinds.get(answer["error"], PenstockError)(answer["message"], reason=answer["reason"])
    return answer


def order_artifact(connection: Connection, order: dict[str, Any]) -> dict[str, Any]:
    """Has an artifact logged or used by another process, so that this one imports no gRPC. Waits for it.

    If this process is killed meanwhile, the other one goes on and finishes what it was told.

    Returns the version. Raises the `PenstockError` that the other process met.
    """
    process = _spawn(["--artifact"], stdin=subprocess.PIPE, output=subprocess.PIPE)
    try:
        answered, _ = process.communicate(json.dumps({"connection": asdict(connection), "order": order}).encode())
    except BaseException:
        # Ctrl-C: the caller does not want it any more.
        process.kill()
        process.communicate()
        raise
    try:
        answer = json.loads(answered)
    except ValueError:
        raise PenstockError(
            f"The process that was to move the artifact {order['artifact']!r} failed: try it again."
        ) from None
    if "error" in answer:
        kind = ERRORS_BY_NAME.get(answer["error"], PenstockError)
        raise kind(answer["message"], reason=answer["reason"], metadata=answer["metadata"])
    return answer["version"]


def _spawn(arguments: Sequence[str], *, stdin: int = subprocess.DEVNULL, output: int = subprocess.DEVNULL) -> Any:
    _outliving[:] = [process for process in _outliving if process.poll() is None]
    if not sys.executable:
        raise OSError("this Python does not know where its interpreter is, so no sender can be started")
    # -P and a folder of our own: a file of the user's called random.py must not become a module of the sender.
    arguments = [sys.executable, "-P", "-m", "penstock.sender", *arguments]
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}  # type: ignore[attr-defined]  # Windows only
        if sys.platform == "win32"
        else {"start_new_session": True}  # Ctrl-C in the terminal is not for the sender
    )
    # Errors go where the messages go, except when the output is an answer to us.
    errors = subprocess.DEVNULL if output == subprocess.PIPE else output
    return subprocess.Popen(
        arguments, stdin=stdin, stdout=output, stderr=errors, cwd=folder, env=_environment(), **options
    )


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not _SECRET_NAME.search(name)}
    environment["PENSTOCK_HOME"] = str(home())
    # Where this very package lies, in case that it was found through a changed sys.path.
    package = str(Path(penstock.__file__).parent.parent)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([package, path] if path else [package])
    return environment


def _input_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin
