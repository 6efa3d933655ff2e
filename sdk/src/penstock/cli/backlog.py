"""Which spools on this machine still hold something that the server has not taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock import config
from penstock.errors import SpoolCorrupt
from penstock.spool.meta import RECEIPT_FILE, SpoolMeta, read_receipt, read_status

__all__ = ["WaitingSpool", "waiting_spools"]


@dataclass(frozen=True)
class WaitingSpool:
    """A spool that is not wholly on the server.

    Attributes:
        folder: Where it is.
        run: `projects/{project}/runs/{run}`; empty if the spool is damaged.
        bytes_on_disk: How much it holds, sent or not.
        message: What keeps it, as its sender told; empty if it told nothing.
    """

    folder: Path
    run: str
    bytes_on_disk: int
    message: str


def waiting_spools() -> Iterator[WaitingSpool]:
    """The spools without a receipt, in the order of their folders. Those being sent right now are among them."""
    for folder in sorted(config.spool_dir().glob("*/*")):
        if not folder.is_dir() or read_receipt(folder / RECEIPT_FILE) is not None:
            continue
        try:
            run = SpoolMeta.read(folder).run_name
        except SpoolCorrupt:
            run = ""
        status = read_status(folder)
        size = sum(_size(path) for path in folder.glob("*.log"))
        yield WaitingSpool(folder, run, size, status.message if status is not None else "")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # its sender removed it in this moment
