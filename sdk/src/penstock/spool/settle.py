"""The end of a spool: its content is durable on the server, or a person gives it up."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from penstock.config import home
from penstock.errors import Conflict
from penstock.spool.files import make_private_folder
from penstock.spool.locks import SenderLock, owner_is_alive
from penstock.spool.meta import (
    META_FILE,
    RECEIPT_FILE,
    RECEIPTS_FOLDER,
    ReceiptData,
    SpoolMeta,
    receipt_path,
    write_receipt,
)

__all__ = ["RECEIPTS_MAX", "discard", "settle"]

RECEIPTS_MAX: Final = 1000
"""Receipts that are kept; the oldest go first."""


def settle(folder: Path, meta: SpoolMeta, receipt: ReceiptData) -> None:
    """Writes the receipt and removes the spool. Safe to repeat after a crash at any moment. Raises `OSError`.

    Args:
        folder: The spool. The sender's lock must be held.
        meta: Its `meta.json`.
        receipt: What became of its content.
    """
    # First beside the data: from here on nobody sends it again.
    write_receipt(folder / RECEIPT_FILE, receipt)
    receipts = home() / RECEIPTS_FOLDER
    make_private_folder(receipts)
    write_receipt(receipt_path(home(), meta.run_id, meta.writer_id), receipt)
    # What is open on Windows stays, and the receipt in it tells that it may go.
    shutil.rmtree(folder, ignore_errors=True)
    _remove_parent(folder)
    _forget_oldest(receipts)


def discard(folder: Path) -> None:
    """Removes a spool with all that was not sent.

    Raises:
        Conflict: Its process still logs, or a sender is at work on it.
        OSError: It cannot be removed.
    """
    if owner_is_alive(folder):
        raise Conflict(f"The process that logs into {folder} still lives: end it first.", reason="SPOOL_IN_USE")
    lock = SenderLock.try_acquire(folder)
    if lock is None:
        raise Conflict(
            f"A sender is at work on {folder}: it can be given up when that has ended.", reason="SPOOL_IN_USE"
        )
    with lock:
        # First what makes it a spool: nobody takes what an interrupt leaves for a whole one.
        (folder / META_FILE).unlink()
        shutil.rmtree(folder)
    _remove_parent(folder)


def _remove_parent(folder: Path) -> None:
    with contextlib.suppress(OSError):
        # Unless another writer of the run has its spool there.
        folder.parent.rmdir()


def _forget_oldest(receipts: Path) -> None:
    found = list(receipts.glob("*.json"))
    if len(found) <= RECEIPTS_MAX:
        return
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)[: len(found) - RECEIPTS_MAX]:
        path.unlink(missing_ok=True)
