"""Sends spools that no sender reads: what dead senders left, and what was logged offline. Behind `penstock sync`."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.config import Connection, home
from penstock.errors import InvalidInput, PenstockError
from penstock.sender.outcome import Ending, Outcome
from penstock.sender.sending import Sending, SendingLimits
from penstock.sender.source import SpoolSource
from penstock.sender.targets import sync_connection
from penstock.spool.locks import SenderLock
from penstock.spool.meta import META_FILE, RECEIPT_FILE, ReceiptData, SpoolMeta, read_receipt
from penstock.spool.settle import settle

__all__ = ["SyncProgress", "SyncResult", "send_spool", "spools_in", "sync"]

UNREACHABLE_S: Final = 10.0
LOCK_WAIT_S: Final = 2.0
_LOCK_POLL_INTERVAL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far `sync` is.

    Attributes:
        folder: The spool at work.
        index: Its place among all, from 0.
        total: How many there are.
        points_durable: Points of it that are durable.
    """

    folder: Path
    index: int
    total: int
    points_durable: int


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What became of one spool.

    Attributes:
        folder: The spool.
        run: `projects/{project}/runs/{run}`; empty if the spool is damaged.
        ending: `done`, `caught_up` (its process still logs), `occupied` (another sender is at it), `refused` or
            `unreachable`.
        message: For people; empty if there is nothing to say.
        reason: The reason of an error, such as `RUN_DELETED`.
        points_durable: Points of it that are durable, as far as is known.
        receipt: What became of everything, when it is done.
    """

    folder: Path
    run: str
    ending: str
    message: str
    reason: str
    points_durable: int
    receipt: ReceiptData | None


def sync(
    paths: Sequence[Path] = (),
    on_progress: Callable[[SyncProgress], None] | None = None,
    *,
    connection: Connection | None = None,
) -> list[SyncResult]:
    """Sends spools, one after the other. Nothing is sent twice, however often it is called.

    Args:
        paths: Spools, or folders above them; none means all in `home()/spool`.
        on_progress: Told how far it is, now and then.
        connection: Where to send them. Without it, where they were begun to be sent, else where this machine is
            connected to.

    Returns:
        What became of each, in order. An error of one does not keep the others.

    Raises:
        InvalidInput: A path holds no spool.
    """
    folders: list[Path] = []
    for path in paths or [home() / "spool"]:
        found = list(spools_in(path))
        if not found and paths:
            raise InvalidInput(f"{path} holds no spool.")
        folders.extend(folder for folder in found if folder not in folders)
    results: list[SyncResult] = []
    for index, folder in enumerate(folders):

        def tell(points: int, folder: Path = folder, index: int = index) -> None:
            if on_progress is not None:
                on_progress(SyncProgress(folder, index, len(folders), points))

        tell(0)
        choose = (lambda: connection) if connection is not None else (lambda folder=folder: sync_connection(folder))
        outcome = asyncio.run(
            send_spool(folder, choose, SendingLimits(unreachable_s=UNREACHABLE_S, follow=False), tell)
        )
        results.append(_result(folder, outcome))
    return results


def spools_in(path: Path) -> Iterator[Path]:
    """The spools at or below a path, at most two levels down."""
    for pattern in (META_FILE, f"*/{META_FILE}", f"*/*/{META_FILE}"):
        yield from sorted(found.parent.absolute() for found in path.glob(pattern))


async def send_spool(
    folder: Path,
    connection: Callable[[], Connection],
    limits: SendingLimits,
    on_points: Callable[[int], None] | None = None,
) -> Outcome:
    """Sends one spool, unless another sender is at it."""
    try:
        lock = await _lock(folder)
    except OSError as error:
        return Outcome(Ending.REFUSED, f"The spool {folder} cannot be opened: {error.strerror or error}.", "SPOOL_GONE")
    if lock is None:
        return Outcome(Ending.OCCUPIED, f"Another sender is at work on {folder}.", "SPOOL_OCCUPIED")
    with lock:
        try:
            done = read_receipt(folder / RECEIPT_FILE)
            if done is not None:
                # A sender died between the receipt and the removal.
                await asyncio.to_thread(settle, folder, SpoolMeta.read(folder), done)
                return Outcome(Ending.DONE, "", "", done.points_durable, done)
            source = SpoolSource(folder)
        except PenstockError as error:
            return Outcome(Ending.REFUSED, error.message, error.reason)
        except OSError as error:
            return Outcome(
                Ending.REFUSED, f"The spool {folder} cannot be read: {error.strerror or error}.", "SPOOL_DISK"
            )
        try:
            return await Sending(source, connection, limits, on_points).run()
        finally:
            source.close()


async def _lock(folder: Path) -> SenderLock | None:
    # A sender that has just stopped, or somebody who only looked whether there is one, lets go in a moment.
    end_s = time.monotonic() + LOCK_WAIT_S
    while (lock := SenderLock.try_acquire(folder)) is None and time.monotonic() < end_s:  # noqa: ASYNC110 - a file lock tells nobody
        await asyncio.sleep(_LOCK_POLL_INTERVAL_S)
    return lock


def _result(folder: Path, outcome: Outcome) -> SyncResult:
    try:
        run = outcome.receipt.run if outcome.receipt is not None else SpoolMeta.read(folder).run_name
    except PenstockError:
        run = ""
    return SyncResult(
        folder, run, outcome.ending.value, outcome.message, outcome.reason, outcome.points_durable, outcome.receipt
    )
