"""Which spools on this machine hold something that is not on its way to the server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from penstock import config
from penstock.errors import SpoolCorrupt
from penstock.spool.meta import SpoolMeta, Status, read_status

__all__ = ["WaitingSpool", "waiting_spools"]


@dataclass(frozen=True)
class WaitingSpool:
    """A spool that waits.

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
    """The spools that no sender is streaming, in the order of their folders. A spool that was sent whole is gone."""
    # Locks are left alone: to try the sender's, even for a moment, could turn away a sender that starts just now.
    for folder in sorted(config.spool_dir().glob("*/*")):
        status = read_status(folder)
        if not folder.is_dir() or (status is not None and _is_streaming(status)):
            continue
        try:
            run = SpoolMeta.read(folder).run_name
        except SpoolCorrupt:
            run = ""
        size = sum(_size(path) for path in folder.glob("*.log"))
        yield WaitingSpool(folder, run, size, status.message if status is not None else "")


def _is_streaming(status: Status) -> bool:
    return status.state == "streaming" and psutil.pid_exists(status.sender_process_id)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # its sender removed it in this moment
