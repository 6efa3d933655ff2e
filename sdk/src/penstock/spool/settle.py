"""The end of a spool whose content is durable on the server."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from penstock.config import home
from penstock.spool.files import make_private_folder
from penstock.spool.meta import RECEIPT_FILE, RECEIPTS_FOLDER, ReceiptData, SpoolMeta, receipt_path, write_receipt

__all__ = ["RECEIPTS_MAX", "settle"]

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
    with contextlib.suppress(OSError):
        # Unless another writer of the run has its spool there.
        folder.parent.rmdir()
    _forget_oldest(receipts)


def _forget_oldest(receipts: Path) -> None:
    found = list(receipts.glob("*.json"))
    if len(found) <= RECEIPTS_MAX:
        return
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)[: len(found) - RECEIPTS_MAX]:
        path.unlink(missing_ok=True)
