"""Orders of a spool: what a run says beside its stream of points, and what goes to other calls: alerts, files, artifacts.

An order is a file `orders/00000007.json`, counted from 1 by the writer without gaps. Its bytes lie beside it in
`orders/00000007.data`, a file or a folder, and are whole before the order has its name: a process that is killed leaves an
order or none. The sender appends the number of each order that was carried out to `orders/done` and removes order and bytes,
so that none is counted twice, whenever it is killed.

| kind | content beside `kind` | bytes |
| --- | --- | --- |
| `alert` | `alert_id`, `title`, `text`, `level`, `step`, `time_us` | none |
| `file` | `path`, `media_type`, `media` (`key`, `kind`, `step`, `time_us`, `caption`; null if it is none) | the file |
| `artifact` | `name`, `type`, `description`, `references`, `file` | a folder: the file `file` in it, or all of it |

Knows nothing of the network. The writer and the sender each use their own half.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.spool.files import make_private_folder, read_json, sync_folder, write_private

__all__ = ["ORDERS_FOLDER", "Order", "OrderBook", "OrderWriter"]

ORDERS_FOLDER: Final = "orders"
DONE_FILE: Final = "done"
_NUMBER: Final = struct.Struct("<Q")
_NAME: Final = re.compile(r"[0-9]{8,}\.json\Z")


class OrderWriter:
    """Writes the orders of one spool. Safe to use from any thread, and from a signal handler in the midst of a write.

    Args:
        spool: The folder of the spool; None keeps nothing.
    """

    def __init__(self, spool: Path | None) -> None:
        self._folder = None if spool is None else spool / ORDERS_FOLDER
        self._lock = threading.RLock()
        self._closed = False
        self._synced = 0
        self.count = 0

    def write(self, kind: str, content: Mapping[str, Any], fill: Callable[[Path], object] | None = None) -> bool:
        """Writes an order. When it returns, the order survives the death of this process.

        Args:
            kind: What is to be done.
            content: How, as JSON knows it.
            fill: Puts the bytes into a path that is not there yet, as a file or a folder. What it raises passes, and
                leaves no order.

        Returns False, and writes nothing, after `close`. Raises `OSError` when the disk does not take it.
        """
        folder = self._folder
        if folder is None:
            return not self._closed
        make_private_folder(folder)
        # Outside of the lock: bytes may take long, and others write orders meanwhile.
        beside = folder / f".{secrets.token_hex(8)}"
        try:
            if fill is not None:
                fill(beside)
            with self._lock:
                if self._closed:
                    return False
                number = self.count + 1
                # What a full disk may have left: the bytes of an order that then was none.
                _remove(_data_path(folder, number))
                if fill is not None:
                    beside.rename(_data_path(folder, number))
                write_private(_order_path(folder, number), {"kind": kind, **content})
                self.count = number
                return True
        finally:
            _remove(beside)

    def close(self) -> None:
        """Takes no more, also not what is being written."""
        with self._lock:
            self._closed = True

    def sync(self) -> None:
        """Flushes what was written to the medium. For spools that no sender reads. Raises `OSError`."""
        if self._folder is None or self._synced == self.count:
            return
        count = self.count
        _flush_orders(self._folder, range(self._synced + 1, count + 1))
        self._synced = count


@dataclass(frozen=True, slots=True)
class Order:
    """An order that was not carried out yet.

    Attributes:
        number: Its place among those of the writer.
        kind: What is to be done; empty if the order cannot be read.
        content: How.
        data: Where its bytes are, if it has any.
    """

    number: int
    kind: str
    content: Mapping[str, Any]
    data: Path


class OrderBook:
    """The orders of a spool, for the sender that holds its lock. Blocks; safe to use from any thread.

    Args:
        spool: The folder of the spool.
    """

    def __init__(self, spool: Path) -> None:
        self._folder = spool / ORDERS_FOLDER
        self._lock = threading.Lock()
        self._done = self._read_done()
        self._known: dict[int, Order] = {}

    @property
    def done_count(self) -> int:
        """How many were carried out."""
        return len(self._done)

    def pending(self) -> list[Order]:
        """Those that are left, in the order in which they were written."""
        with self._lock:
            found: dict[int, Order] = {}
            for name in self._names():
                number = int(name.removesuffix(".json"))
                if number in self._done:
                    # Killed between the note and the removal.
                    self._remove(number)
                    continue
                found[number] = self._known.get(number) or self._read(number)
            self._known = found
            return [found[number] for number in sorted(found)]

    def finish(self, orders: Sequence[Order]) -> None:
        """Takes note, durably, that orders were carried out, and removes them. Raises `OSError`."""
        with self._lock:
            self._note_done([order.number for order in orders])
            for order in orders:
                self._remove(order.number)

    def sync(self, orders: Sequence[Order]) -> None:
        """Flushes orders to the medium. Raises `OSError`."""
        if orders:
            _flush_orders(self._folder, [order.number for order in orders])

    def _note_done(self, numbers: Sequence[int]) -> None:
        descriptor = os.open(self._folder / DONE_FILE, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            # What a failed attempt left at the end is written over.
            os.lseek(descriptor, len(self._done) * _NUMBER.size, os.SEEK_SET)
            data = b"".join(_NUMBER.pack(number) for number in numbers)
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._done.update(numbers)

    def _names(self) -> list[str]:
        try:
            return [entry.name for entry in self._folder.iterdir() if _NAME.match(entry.name)]
        except FileNotFoundError:
            return []

    def _read(self, number: int) -> Order:
        content = read_json(_order_path(self._folder, number)) or {}
        return Order(number, str(content.get("kind", "")), content, _data_path(self._folder, number))

    def _remove(self, number: int) -> None:
        # First what makes it an order.
        _order_path(self._folder, number).unlink(missing_ok=True)
        _remove(_data_path(self._folder, number))

    def _read_done(self) -> set[int]:
        try:
            data = (self._folder / DONE_FILE).read_bytes()
        except FileNotFoundError:
            return set()
        # A torn number at the end was not told to anybody: its order is still there.
        return {number for (number,) in _NUMBER.iter_unpack(data[: len(data) - len(data) % _NUMBER.size])}


def _order_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.json"


def _data_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.data"


def _flush_orders(folder: Path, numbers: Iterable[int]) -> None:
    for number in numbers:
        data = _data_path(folder, number)
        files = [path for path in data.rglob("*") if path.is_file()] if data.is_dir() else [data]
        for path in (*files, _order_path(folder, number)):
            # What was sent meanwhile is gone, and some orders have no bytes.
            with contextlib.suppress(FileNotFoundError):
                _flush(path)
    sync_folder(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
