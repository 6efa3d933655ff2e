"""The sender process.

    python -m penstock.sender SPOOL       sends one spool until its run has ended
    python -m penstock.sender --adopt     sends what dead senders left; the connection comes as JSON on standard input
    python -m penstock.sender --artifact  logs or uses an artifact, as JSON on standard input says; the answer is JSON too
    python -m penstock.sender --ask RUN   looks a run up; the same, and the answer is JSON on standard output

Started by the SDK; nothing secret is in its arguments.
"""

import argparse
import asyncio
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from penstock.api.tracking.v1 import tracking_service_pb2
from penstock.client import AsyncClient
from penstock.config import Connection, home
from penstock.errors import NotConnected, NotFound, PenstockError, ServerUnavailable
from penstock.run.sender_process import EXIT_DONE, EXIT_LEFT, EXIT_OCCUPIED, EXIT_REFUSED
from penstock.sender import artifacts
from penstock.sender.outcome import Ending
from penstock.sender.sending import SendingLimits
from penstock.sender.sync import send_spool, spools_in
from penstock.sender.targets import connection_from, current_connection
from penstock.spool.locks import SenderLock, owner_is_alive
from penstock.spool.meta import SpoolMeta

ADOPTION_UNREACHABLE_S: Final = 60.0
_EXIT_CODES: Final = {
    Ending.DONE: EXIT_DONE,
    Ending.CAUGHT_UP: EXIT_DONE,
    Ending.OCCUPIED: EXIT_OCCUPIED,
    Ending.REFUSED: EXIT_REFUSED,
    Ending.UNREACHABLE: EXIT_LEFT,
}

_log = logging.getLogger("penstock.sender")


def main() -> int:
    """Runs the command and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m penstock.sender", description="Sends what a run logged.")
    parser.add_argument("spool", type=Path, nargs="?")
    parser.add_argument("--adopt", action="store_true")
    parser.add_argument("--ask", metavar="RUN")
    parser.add_argument("--artifact", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if arguments.adopt:
        return asyncio.run(_adopt())
    if arguments.ask is not None:
        return asyncio.run(_ask(arguments.ask))
    if arguments.artifact:
        return asyncio.run(_artifact())
    if arguments.spool is None:
        parser.error("a spool is needed")
    return asyncio.run(_send(arguments.spool))


async def _send(folder: Path) -> int:
    outcome = await send_spool(folder, lambda: current_connection(folder), SendingLimits())
    _log.info("Ended: %s. %s", outcome.ending.value, outcome.message)
    return _EXIT_CODES[outcome.ending]


async def _adopt() -> int:
    given = _connection_from_input()
    root = home() / "spool"
    lock = SenderLock.try_acquire(root)
    if lock is None:
        # One at a time: it looks at all spools.
        return EXIT_OCCUPIED
    with lock:
        for folder in spools_in(root):
            try:
                wanted = SpoolMeta.read(folder).mode == "online" and not owner_is_alive(folder)
            except PenstockError:
                continue
            if wanted:

                def choose(folder: Path = folder) -> Connection:
                    try:
                        found = current_connection(folder)
                    except NotConnected:
                        return given
                    # Same server: the token that came by the pipe works for sure.
                    return replace(found, token=given.token) if found.http == given.http else found

                await send_spool(folder, choose, SendingLimits(unreachable_s=ADOPTION_UNREACHABLE_S, follow=False))
    return EXIT_DONE


async def _ask(run: str) -> int:
    answer: dict[str, Any]
    try:
        async with AsyncClient(_connection_from_input()) as client:
            request = tracking_service_pb2.GetRunRequest(name=run)
            request.read_mask.paths.extend(["name", "state", "display_name"])
            found = (await client.tracking.GetRun(request)).run
            latest = await client.tracking.GetLatestMetrics(tracking_service_pb2.GetLatestMetricsRequest(run=run))
            # System metrics count seconds, not steps of training.
            steps = [metric.step for metric in latest.metrics if not metric.key.startswith("system/")]
            answer = {"display_name": found.display_name, "max_step": max(steps, default=None)}
    except PenstockError as error:
        kind = "not_found" if isinstance(error, NotFound) else "other"
        kind = "unavailable" if isinstance(error, ServerUnavailable) else kind
        answer = {"error": kind, "message": error.message, "reason": error.reason}
    json.dump(answer, sys.stdout)
    return EXIT_DONE


async def _artifact() -> int:
    given = json.loads(sys.stdin.buffer.read())
    answer: dict[str, Any]
    try:
        answer = {"version": await artifacts.do(_connection(given["connection"]), given["order"])}
    except PenstockError as error:
        answer = {
            "error": type(error).__name__,
            "message": error.message,
            "reason": error.reason,
            "metadata": error.metadata,
        }
    json.dump(answer, sys.stdout)
    return EXIT_DONE


def _connection_from_input() -> Connection:
    return _connection(json.loads(sys.stdin.buffer.read()))


def _connection(given: Any) -> Connection:
    connection = connection_from(given)
    if connection is None:
        raise SystemExit("The connection is expected as JSON on standard input.")
    return connection


if __name__ == "__main__":
    sys.exit(main())
