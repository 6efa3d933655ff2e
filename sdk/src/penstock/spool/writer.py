"""Writes a spool: the whole cost of `run.log()` in the training process.

A row costs one lookup, one `struct.pack`, one checksum and one `os.write`, under a lock that no network code ever holds.
"""

import errno
import json
import operator
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from penstock.errors import InvalidInput, InvalidType, LimitExceeded, RunFinished, SpoolFull
from penstock.spool.files import make_private_folder, write_private
from penstock.spool.locks import OwnerLock
from penstock.spool.meta import RESERVE_FILE, SpoolMeta
from penstock.spool.orders import OrderWriter
from penstock.spool.records import (
    MARKER,
    ROW_HEAD,
    SEGMENT_BYTES_TARGET,
    SEGMENT_HEADER_BYTES,
    RecordType,
    frame,
    record_at,
    segment_header,
)
from penstock.spool.segments import segment_path, spool_bytes
from penstock.spool.values import check_key, flat_items

__all__ = [
    "KEYS_PER_ROW_MAX",
    "KEYS_PER_WRITER_MAX",
    "SPOOL_BYTES_MAX",
    "DiscardingWriter",
    "SpoolWriter",
    "checked_step",
]

KEYS_PER_ROW_MAX: Final = 10_000
KEYS_PER_WRITER_MAX: Final = 1_000_000
SPOOL_BYTES_MAX: Final = 32 * 1024**3
"""How much one writer may leave unsent on the disk before it drops points."""
RESERVE_BYTES: Final = 64 * 1024
"""Disk space kept back, so that the end of a run can be written on a full disk."""
STEP_MIN: Final = -(2**63)
STEP_MAX: Final = 2**63 - 1
_PLANS_MAX: Final = 4096
"""Key sets remembered at a time; a program that makes up new keys all the time must not grow without bound."""

_ROW: Final = struct.Struct("<IBIqq")  # length, type, key set, step, time: what the checksum covers before the values
_PREFIX: Final = struct.Struct("<HI")  # marker, checksum
_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_O_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)


class _RowPlan:
    """How rows of one key set are packed."""

    __slots__ = ("defined_in", "keys", "length", "pack", "set_id", "width")

    def __init__(self, keys: tuple[str, ...], set_id: int) -> None:
        self.keys = keys
        self.set_id = set_id
        self.width = len(keys)
        self.pack = struct.Struct(f"<{self.width}d").pack
        self.length = ROW_HEAD.size + 8 * self.width
        self.defined_in = 0  # the segment that holds its definition


def checked_step(step: object) -> int:
    """A step as an int. Raises `InvalidType` if it is no whole number, `InvalidInput` if it does not fit into int64."""
    if isinstance(step, bool):
        raise InvalidType("step must be a whole number, not a truth value.")
    try:
        number = operator.index(step)  # type: ignore[arg-type]  # this is the question
    except TypeError:
        raise InvalidType(f"step must be a whole number, not {type(step).__name__}.") from None
    if not STEP_MIN <= number <= STEP_MAX:
        raise InvalidInput(f"step must be within int64 (-2^63 to 2^63-1), which {number} is not.")
    return number


class SpoolWriter:
    """Appends records to a spool. Safe to use from any thread, and from a signal handler in the midst of an append.

    Args:
        folder: The spool. `create` makes it.
        lock: The owner's lock.
        first_step: The step of the first row that names none.
        strict: Whether a row that finds no room raises `SpoolFull`. Otherwise it is counted as dropped.
        on_trouble: Told once, in one sentence, when the first row is dropped.
        segment_bytes: Roughly where a segment ends and the next begins.
        spool_bytes_max: How much may lie unsent.
    """

    def __init__(
        self,
        folder: Path,
        lock: OwnerLock | None,
        *,
        first_step: int = 0,
        strict: bool = False,
        on_trouble: Callable[[str], None] | None = None,
        segment_bytes: int = SEGMENT_BYTES_TARGET,
        spool_bytes_max: int = SPOOL_BYTES_MAX,
    ) -> None:
        self.folder = folder
        self.orders = OrderWriter(folder)
        self.dropped = 0
        self.max_step: int | None = None
        self._owner_lock = lock
        self._next_step = first_step
        self._strict = strict
        self._on_trouble = on_trouble
        self._segment_bytes = segment_bytes
        self._spool_bytes_max = spool_bytes_max
        # Re-entrant: a signal handler that ends the run may interrupt the append of the same thread.
        self._lock = threading.RLock()
        self._plans: dict[tuple[str, ...], _RowPlan] = {}
        self._key_ids: dict[str, int] = {}
        self._next_set_id = 0
        self._segment = 0
        self._descriptor = -1
        self._mark = (0, 0)  # bytes in the segment, points in the spool
        self._torn = False
        self._busy = False
        self._closed = False
        self._troubled = False

    @classmethod
    def create(cls, folder: Path, meta: SpoolMeta, **options: Any) -> Self:
        """Makes the folder, its lock, `meta.json` and the first segment.

        Raises `OSError` when the disk does not allow it. Nothing is left behind then that a sender would take for a spool.
        """
        make_private_folder(folder)
        lock = OwnerLock(folder)
        writer = cls(folder, lock, **options)
        try:
            write_private(folder / RESERVE_FILE, os.urandom(RESERVE_BYTES))
            writer._next_segment()
            # Last: what has a meta.json is a whole spool.
            meta.write(folder)
        except BaseException:
            writer.abandon()
            raise
        return writer

    @property
    def points(self) -> int:
        """How many points were written."""
        return self._mark[1]

    @property
    def next_step(self) -> int:
        """The step of the next row that names none."""
        return self._next_step

    @property
    def closed(self) -> bool:
        """Whether the end of the run was written."""
        return self._closed

    def write_row(self, row: Mapping[str, Any], step: int | None, *, counts_steps: bool = True) -> int | None:
        """Appends one row. When it returns, the row survives the death of the process, or is counted as dropped.

        Args:
            row: Values by key: anything with `__float__`; nested mappings are joined by `/`. Empty: nothing is written.
            step: The step, within int64; None means one more than the greatest so far, and after 2^63-1 one more than the
                last that was named.
            counts_steps: Whether the default step goes on from this row.

        Returns the step of the row; None if it was empty.

        Raises:
            InvalidType: A value or key is of the wrong kind. Nothing of the row is written.
            InvalidInput: A key or value is out of its limits, or no step is left. Nothing of the row is written.
            LimitExceeded: The writer would use more than `KEYS_PER_WRITER_MAX` keys.
            RunFinished: `finish` was called.
            SpoolFull: There is no room, and the writer is strict.
        """
        time_us = time.time_ns() // 1000
        plan: _RowPlan | None = None
        values: bytes | None = None
        try:
            plan = self._plans.get(tuple(row))
            if plan is not None:
                # Outside of the lock: reading a value may wait for an accelerator.
                values = plan.pack(*row.values())
        except Exception:  # noqa: S110 - whatever __float__ raised: what is wrong is found out below
            pass
        if values is None or plan is None:
            row = _checked_row(row)
            if not row:
                return None
            plan = self._plan(tuple(row))
            values = plan.pack(*row.values())
        with self._lock:
            if self._closed:
                raise RunFinished(
                    "The run is finished: it takes no more metrics. Start another one with penstock.init()."
                )
            if step is None:
                step = self._default_step()
            if self._busy:
                self._recover()
            self._busy = True
            if counts_steps:
                if step >= self._next_step or self._next_step > STEP_MAX:
                    self._next_step = step + 1
                if self.max_step is None or step > self.max_step:
                    self.max_step = step
            head = _ROW.pack(plan.length, RecordType.ROW, plan.set_id, step, time_us)
            record = _PREFIX.pack(MARKER, zlib.crc32(values, zlib.crc32(head))) + head + values
            try:
                self._append_row(plan, record)
            except OSError as error:
                self.dropped += plan.width
                self._busy = False
                self._trouble(error)
            # Not in a finally: an interrupt in the midst of this leaves the sign for the next append.
            self._busy = False
            return step

    def take_step(self, step: int | None) -> int:
        """Counts a step as a row does, and returns it. Raises `InvalidInput` as `write_row` does."""
        with self._lock:
            if step is None:
                step = self._default_step()
            if step >= self._next_step or self._next_step > STEP_MAX:
                self._next_step = step + 1
            if self.max_step is None or step > self.max_step:
                self.max_step = step
            return step

    def _default_step(self) -> int:
        if self._next_step > STEP_MAX:
            raise InvalidInput(
                f"The last step was {STEP_MAX} (2^63-1), and there is none after it: name one, as in "
                "log({...}, step=0). Counting goes on from there."
            )
        return self._next_step

    def write_record(self, record_type: RecordType, content: Mapping[str, Any]) -> None:
        """Appends a record that holds JSON. Raises `RunFinished`, and `SpoolFull` when there is no room, strict or not."""
        data = frame(record_type, json.dumps(content, ensure_ascii=False).encode())
        with self._lock:
            if self._closed:
                raise RunFinished("The run is finished: it takes no more. Start another one with penstock.init().")
            if self._busy:
                self._recover()
            self._busy = True
            try:
                self._append(data, 0)
                self._busy = False
            except OSError as error:
                self._busy = False
                raise SpoolFull(f"The spool {self.folder} cannot be written: {_said(error)}.") from error

    def write_order(self, kind: str, content: Mapping[str, Any], fill: Callable[[Path], object] | None = None) -> None:
        """Writes an order, as `OrderWriter.write` does. Rows are written meanwhile, however long it takes.

        Raises `RunFinished`, and `SpoolFull` when there is no room, strict or not. What `fill` raises passes, but for
        `OSError`.
        """
        try:
            written = self.orders.write(kind, content, fill)
        except OSError as error:
            raise SpoolFull(f"The spool {self.folder} cannot be written: {_said(error)}.") from error
        if not written:
            raise RunFinished("The run is finished: it takes no more. Start another one with penstock.init().")

    def finish(self, state: str, failure: str, *, closes_run: bool) -> bool:
        """Appends the end, once. Nothing can be written afterwards.

        Args:
            state: How the run ended, such as `FINISHED`.
            failure: The last lines of the error, for the state `FAILED`.
            closes_run: Whether the run ends with this writer.

        Returns:
            Whether the end is in the spool. Without it the sender takes the process for vanished.
        """
        with self._lock:
            if self._closed:
                return True
            if self._busy:
                self._recover()
            self._closed = True
            self.orders.close()
            content = {
                "state": state if closes_run else "",
                "end_time_us": time.time_ns() // 1000,
                "failure": failure,
                "points": self.points,
                "dropped": self.dropped,
                "max_step": self.max_step,
                "orders": self.orders.count,
            }
            data = frame(RecordType.FINISH, json.dumps(content, ensure_ascii=False).encode())
            written = True
            try:
                self._discard_reserve()
                self._append(data, 0)
            except OSError as error:
                written = False
                self._trouble(error, quiet=True)
            self.abandon()
            return written

    def abandon(self) -> None:
        """Closes the files and writes nothing more: also what a forked child does with the writer of its parent."""
        self._closed = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._owner_lock is not None:
            self._owner_lock.release()

    def sync(self) -> None:
        """Flushes the current segment and the orders to the medium. For spools that no sender reads."""
        self.orders.sync()
        path = segment_path(self.folder, self._segment)
        try:
            # Writable, since Windows flushes no other.
            descriptor = os.open(path, os.O_RDWR | _O_BINARY)
        except FileNotFoundError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _plan(self, keys: tuple[str, ...]) -> _RowPlan:
        with self._lock:
            plan = self._plans.get(keys)
            if plan is None:
                for key in keys:
                    if key not in self._key_ids:
                        check_key(key, "A metric's name")
                if len(keys) > KEYS_PER_ROW_MAX:
                    raise InvalidInput(
                        f"One log() takes at most {KEYS_PER_ROW_MAX:,} metrics, not {len(keys):,}: log the rest with the "
                        "same step."
                    )
                new = sum(1 for key in keys if key not in self._key_ids)
                if len(self._key_ids) + new > KEYS_PER_WRITER_MAX:
                    raise LimitExceeded(
                        f"A run takes at most {KEYS_PER_WRITER_MAX:,} different metrics from one process. "
                        "Are steps or ids part of the names?"
                    )
                if len(self._plans) >= _PLANS_MAX:
                    self._plans.clear()
                plan = _RowPlan(keys, self._next_set_id)
                self._next_set_id += 1
                self._plans[keys] = plan
            return plan

    def _definition(self, plan: _RowPlan, new_keys: list[str]) -> bytes:
        """The records that must precede the first row of a key set in a segment."""
        next_id = len(self._key_ids)
        new_ids = {key: next_id + index for index, key in enumerate(new_keys)}
        parts = [frame(RecordType.KEY, struct.pack("<I", key_id) + key.encode()) for key, key_id in new_ids.items()]
        ids = [new_ids[key] if key in new_ids else self._key_ids[key] for key in plan.keys]
        parts.append(frame(RecordType.KEY_SET, struct.pack(f"<I{len(ids)}I", plan.set_id, *ids)))
        return b"".join(parts)

    def _append_row(self, plan: _RowPlan, record: bytes) -> None:
        """Appends a row, behind the definitions that it needs. Raises `OSError`."""
        if self._mark[0] + len(record) > self._segment_bytes:
            self._next_segment()
        if plan.defined_in != self._segment:
            new_keys = [key for key in plan.keys if key not in self._key_ids]
            self._append(self._definition(plan, new_keys) + record, plan.width, new_keys)
            plan.defined_in = self._segment
        else:
            self._append(record, plan.width)

    def _append(self, data: bytes, points: int, new_keys: Sequence[str] = ()) -> None:
        """Writes data whole or not at all, and takes note of it. Raises `OSError`."""
        size, points_before = self._mark
        if self._torn:
            self._cut_off()
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                # A short write of a file means that the disk is about to be full: the next attempt says so.
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self._cut_off()
            if error.errno == errno.EFBIG:
                # The file system does not let this file grow. The next row goes into another one.
                self._next_segment()
            raise
        for key in new_keys:
            self._key_ids[key] = len(self._key_ids)
        # One assignment, so that an interrupt finds both or neither: `_recover` reads on from here.
        self._mark = (size + len(data), points_before + points)

    def _cut_off(self) -> None:
        """Takes back what a failed write left, so that no torn record lies between whole ones."""
        self._torn = True
        os.ftruncate(self._descriptor, self._mark[0])
        self._torn = False

    def _recover(self) -> None:
        """Learns from the files how far an append came that was interrupted, by Ctrl-C or a signal handler.

        A record that is whole in the file counts as written, since a sender may have read it. Raises `OSError`.
        """
        following = segment_path(self.folder, self._segment + 1)
        if following.exists():
            self._descriptor = os.open(following, os.O_WRONLY | os.O_APPEND | _O_BINARY | _O_CLOEXEC)
            self._segment += 1
            self._mark = (SEGMENT_HEADER_BYTES, self._mark[1])
        size, points = self._mark
        with segment_path(self.folder, self._segment).open("rb") as file:
            file.seek(size)
            unseen = memoryview(file.read())
        position = 0
        while (found := record_at(unseen, position)) is not None:
            payload = unseen[found.start : found.end]
            if found.type == RecordType.KEY:
                self._key_ids.setdefault(str(payload[4:], "utf-8"), int.from_bytes(payload[:4], "little"))
            elif found.type == RecordType.ROW:
                points += (len(payload) - ROW_HEAD.size) // 8
            position = found.end
        self._mark = (size + position, points)
        if position < len(unseen):
            self._cut_off()
        self._busy = False

    def _next_segment(self) -> None:
        """Goes on in a new segment. Raises `OSError`; then the old one is still in use."""
        if self._segment and spool_bytes(self.folder) >= self._spool_bytes_max:
            raise OSError(errno.ENOSPC, f"more than {self._spool_bytes_max:,} bytes wait to be sent")
        number = self._segment + 1
        path = segment_path(self.folder, number)
        # Complete before it has its name: the reader takes the name as the sign that the segment before is complete.
        beside = path.with_name(f".{path.name}")
        descriptor = os.open(
            beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _O_BINARY | _O_CLOEXEC, 0o600
        )
        try:
            if os.write(descriptor, segment_header(number)) != SEGMENT_HEADER_BYTES:
                raise OSError(errno.ENOSPC, "no space left for a new segment")
            if os.name == "nt":
                # Windows does not rename an open file.
                os.close(descriptor)
                beside.rename(path)
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _O_BINARY)
            else:
                beside.rename(path)
        except OSError:
            os.close(descriptor)
            beside.unlink(missing_ok=True)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._segment = number
        self._mark = (SEGMENT_HEADER_BYTES, self._mark[1])
        self._torn = False

    def _discard_reserve(self) -> None:
        (self.folder / RESERVE_FILE).unlink(missing_ok=True)

    def _trouble(self, error: OSError, *, quiet: bool = False) -> None:
        message = f"The spool {self.folder} cannot be written: {_said(error)}."
        if self._strict and not quiet:
            raise SpoolFull(message) from error
        if not self._troubled:
            self._troubled = True
            if self._on_trouble is not None:
                self._on_trouble(f"{message} Points are dropped until there is room; the receipt counts them.")


class DiscardingWriter(SpoolWriter):
    """Checks and counts as a spool does, and keeps nothing.

    Args:
        first_step: The step of the first row that names none.
        reason: Why every row counts as dropped; None when nothing is meant to be kept (`mode="disabled"`).
        on_trouble: As for `SpoolWriter`.
    """

    def __init__(
        self, *, first_step: int = 0, reason: OSError | None = None, on_trouble: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(Path(), None, first_step=first_step, on_trouble=on_trouble)
        self.orders = OrderWriter(None)
        self._reason = reason

    def sync(self) -> None:
        """There is nothing to flush."""

    def _append(self, data: bytes, points: int, new_keys: Sequence[str] = ()) -> None:  # noqa: ARG002 - as it is called
        if self._reason is not None:
            raise self._reason
        self._mark = (0, self._mark[1] + points)

    def _next_segment(self) -> None:
        pass

    def _recover(self) -> None:
        self._busy = False

    def _discard_reserve(self) -> None:
        pass


def _checked_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A flat row, every value of which can be packed. Raises as `SpoolWriter.write_row` does."""
    if not isinstance(row, Mapping):
        raise InvalidType(f"log() takes a mapping of names to numbers, not {type(row).__name__}.")
    flat: dict[str, Any] = {}
    for key, value in flat_items(row, "A metric's name"):
        if key in flat:
            raise InvalidInput(f"The metric {key!r} is twice in one log().")
        flat[key] = _as_float(key, value)
    return flat


def _as_float(key: str, value: Any) -> float:
    try:
        # Not float() of everything: that would read text as well.
        return struct.unpack("<d", struct.pack("<d", value))[0]
    except Exception:
        hint = ""
    try:
        if not isinstance(value, (str, bytes, bytearray)) and (hasattr(value, "__float__") or isinstance(value, int)):
            float(value)
    except OverflowError:
        raise InvalidInput(f"The metric {key!r} is too large for a 64-bit floating-point number.") from None
    except Exception as error:
        hint = f" ({error})"
    kind = "None" if value is None else type(value).__name__
    raise InvalidType(
        f"The metric {key!r} must be one number, not {kind}{hint}. Texts belong into run.config, run.summary or run.tags; "
        "arrays must be reduced first."
    )


def _said(error: OSError) -> str:
    return error.strerror or str(error)
