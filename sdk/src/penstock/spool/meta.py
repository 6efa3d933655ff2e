"""What a spool says of itself: `meta.json`, and the files by which writer and sender talk."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from penstock.errors import SpoolCorrupt
from penstock.spool.files import read_json, write_private

__all__ = [
    "ReceiptData",
    "SpoolMeta",
    "Status",
    "read_receipt",
    "read_status",
    "receipt_path",
    "write_receipt",
    "write_status",
]

META_FILE = "meta.json"
CONNECTION_FILE = "connection.json"
STATUS_FILE = "status.json"
RECEIPT_FILE = "receipt.json"
RECEIPTS_FOLDER = "receipts"
EPOCH_FILE = "epoch"
HEARTBEAT_FILE = "heartbeat"
RESERVE_FILE = "reserve"
SENDER_LOG_FILE = "sender.log"


def _known(kind: type[Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that a dataclass has; those of a newer version are left out."""
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in content.items() if name in names}


@dataclass(frozen=True, slots=True)
class SpoolMeta:
    """`meta.json`: all that a sender must know to create the run. Written once.

    Attributes:
        run_id: 32 hex digits.
        writer_id: 32 hex digits: this spool.
        project: The id of the project, without `projects/`.
        start_time_us: When the run started, microseconds since 1970 UTC.
        mode: `online` or `offline`.
        primary: Whether this writer creates and finishes the run. False for ranks above 0 that join a run, and for forked
            children.
        rank: The rank of the process in its job.
        resume: `allow`, `must` or `never`: what to do when the run exists.
        experiment: The display name of the experiment; empty means the default one.
        display_name: The run's name for people; empty means that the server fills it in.
        notes: For people, Markdown.
        group: Binds runs that belong together.
        forked_from: `projects/{project}/runs/{run}`, the run from which this one was forked; empty if it was not.
        fork_step: The step at which it was forked.
        process_id: The process that writes.
        format: The version of this file.
    """

    run_id: str
    writer_id: str
    project: str
    start_time_us: int
    mode: str = "online"
    primary: bool = True
    rank: int = 0
    resume: str = "allow"
    experiment: str = ""
    display_name: str = ""
    notes: str = ""
    group: str = ""
    forked_from: str = ""
    fork_step: int = 0
    process_id: int = 0
    format: int = 1

    @property
    def run_name(self) -> str:
        """`projects/{project}/runs/{run}`."""
        return f"projects/{self.project}/runs/{self.run_id}"

    def write(self, folder: Path) -> None:
        """Writes `meta.json`."""
        write_private(folder / META_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `meta.json`. Raises `SpoolCorrupt` when it is missing or damaged."""
        content = read_json(folder / META_FILE)
        try:
            return cls(**_known(cls, content or {}))
        except TypeError:
            raise SpoolCorrupt(f"{folder / META_FILE} is missing or damaged: this is not a spool.") from None


@dataclass(frozen=True, slots=True)
class Status:
    """`status.json`: what the sender is doing.

    Attributes:
        state: `connecting`, `streaming`, `refused` (the server will not take it: a person must act) or `left` (stopped, the
            rest is for `penstock sync`).
        message: For people: what keeps it from streaming; empty if nothing does.
        reason: The server's reason, such as `RUN_DELETED`.
        acked_points: Points that are durable on the server.
        warnings: What the server did not apply, and what was found damaged in the spool, oldest first.
        notices: What was done beside sending, such as the project that was created, oldest first.
        sender_process_id: The sender.
    """

    state: str
    message: str = ""
    reason: str = ""
    acked_points: int = 0
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    sender_process_id: int = 0


@dataclass(frozen=True, slots=True)
class ReceiptData:
    """`receipt.json`, kept as `home()/receipts/<run id>.<writer id>.json`: what became of everything that was logged.

    Attributes:
        run: `projects/{project}/runs/{run}`.
        state: How the run ended, such as `FINISHED`.
        points_logged: Points that were written to the spool.
        points_durable: Points that the server made durable.
        dropped: Points that found no room on the disk.
        digest: The chain over all batches as the sender computed it, 64 hex digits.
        verified: Whether the server computed the same chain.
        max_step: The greatest step; None without points.
        orders: What was logged beside points: alerts, media and artifacts.
        orders_durable: Those of them that the server has.
        notices: Those of the sender's `Status`, and its warnings: it may be done before anybody looked at that.
    """

    run: str
    state: str
    points_logged: int
    points_durable: int
    dropped: int
    digest: str
    verified: bool
    max_step: int | None = None
    orders: int = 0
    orders_durable: int = 0
    notices: list[str] = field(default_factory=list)


def write_status(folder: Path, status: Status) -> None:
    """Replaces `status.json`."""
    write_private(folder / STATUS_FILE, asdict(status))


def read_status(folder: Path) -> Status | None:
    """Reads `status.json`; None if no sender wrote one."""
    content = read_json(folder / STATUS_FILE)
    return Status(**_known(Status, content)) if content and "state" in content else None


def write_receipt(path: Path, receipt: ReceiptData) -> None:
    """Replaces a receipt, durably."""
    write_private(path, asdict(receipt), durable=True)


def receipt_path(home: Path, run_id: str, writer_id: str) -> Path:
    """Where the receipt of a writer is kept once its spool is gone."""
    return home / RECEIPTS_FOLDER / f"{run_id}.{writer_id}.json"


def read_receipt(path: Path) -> ReceiptData | None:
    """Reads a receipt; None if there is none."""
    content = read_json(path)
    try:
        return ReceiptData(**_known(ReceiptData, content)) if content else None
    except TypeError:
        return None
