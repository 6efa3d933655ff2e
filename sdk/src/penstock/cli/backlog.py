"""Which spools on this machine hold something that is not on its way to the server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from penstock import config
from penstock.errors import SpoolCorrupt
from penstock.spool.meta import SpoolMeta, Status, read_status

__all__ = ["WaitingSpool", "told", "waiting_spools"]


@dataclass(frozen=True)
class WaitingSpool:
    """A spool that waits.

    Attributes:
        folder: Where it is.
        run: `projects/{project}/runs/{run}`; empty if the spool is damaged.
        bytes_on_disk: How much it holds, sent or not.
        message: What keeps it, as its sender told; empty if it told nothing.
        refused: Whether the server would not take it, so that a person must act.
    """

    folder: Path
    run: str
    bytes_on_disk: int
    message: str
    refused: bool


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
        refused = status is not None and status.state == "refused"
        yield WaitingSpool(folder, run, size, status.message if status is not None else "", refused)


def told(spools: Sequence[WaitingSpool]) -> str:
    """How many wait and how many were refused, with a remedy each; empty if there is none."""
    waiting = sum(not spool.refused for spool in spools)
    refused = [spool for spool in spools if spool.refused]
    parts = [f"{waiting}: send them with `penstock sync`"] if waiting else []
    if refused:
        first = refused[0]
        parts.append(
            f"{len(refused)} refused by the server ({first.message.rstrip('.')}): `penstock sync` tries again, "
            f"`penstock sync --discard {first.folder}` gives it up"
        )
    return "; ".join(parts)


def _is_streaming(status: Status) -> bool:
    return status.state == "streaming" and psutil.pid_exists(status.sender_process_id)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # its sender removed it in this moment
