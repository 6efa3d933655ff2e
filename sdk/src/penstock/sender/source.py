"""The sender's side of a spool: cutting it into batches, sending them anew after a restart, deleting what is durable.

Owns `cuts`, `epoch` and the deletion of segments. Blocks: the sender calls it in threads, and a thread whose stream broke may
still be at work when the next one begins, so each step is under a lock.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from penstock.errors import SpoolCorrupt
from penstock.sender.batches import BATCH_BYTES_TARGET, ENCODER_VERSION, encode_batch, encode_cut
from penstock.sender.wire import stream_batch
from penstock.spool.cuts import Cut, CutFile
from penstock.spool.files import write_private
from penstock.spool.locks import owner_is_alive
from penstock.spool.meta import EPOCH_FILE, HEARTBEAT_FILE, RESERVE_FILE, SpoolMeta
from penstock.spool.reader import Damage, Position, SpoolReader
from penstock.spool.segments import segment_numbers, segment_path

__all__ = ["Outgoing", "SpoolSource"]

RECUT_BYTES: Final = 16_000_000
"""How much is cut at a time where the server is ahead of the cuts."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A batch that may be sent: its cut is durable.

    Attributes:
        cut: The cut.
        message: The serialised `StreamMetricsRequest`.
    """

    cut: Cut
    message: bytes


class SpoolSource:
    """A spool that is being sent. The sender's lock must be held.

    Args:
        folder: The spool.
        batch_bytes: Where a batch ends.

    Raises `SpoolCorrupt` when it is no spool, or `cuts` is damaged.
    """

    def __init__(self, folder: Path, batch_bytes: int = BATCH_BYTES_TARGET) -> None:
        self.folder = folder
        self._batch_bytes = batch_bytes
        self.meta = SpoolMeta.read(folder)
        self.finish: dict[str, Any] | None = None
        self.owner_died = False
        self.damage: dict[Position, Damage] = {}
        self.points_lost = 0
        self._reader = SpoolReader(folder)
        self._cuts = CutFile(folder)
        self._synced = Position(0, 0)
        self._lock = threading.RLock()
        self._closed = False
        self._scanned: tuple[Position, bool] | None = None
        self._drained = False

    @property
    def last_cut(self) -> Cut:
        """The last batch that was cut."""
        return self._cuts.last

    @property
    def ended(self) -> bool:
        """Whether nobody writes to it any more, and all of it is cut: `last_cut`, looked at afterwards, is the last one."""
        return self._drained

    @property
    def last_write_us(self) -> int:
        """When it was last written to, microseconds since 1970 UTC."""
        numbers = segment_numbers(self.folder)
        # The last segment is never deleted before the whole spool is.
        return self._path(numbers[-1]).stat().st_mtime_ns // 1000 if numbers else self.meta.start_time_us

    def owner_alive(self) -> bool:
        """Whether the training process lives and has not ended the run."""
        return not self._drained and not self.owner_died and owner_is_alive(self.folder)

    @property
    def last_heartbeat_us(self) -> int:
        """When a sender of this spool last gave a sign of life for its process, microseconds since 1970 UTC; 0 if never."""
        return _number_in(self.folder / HEARTBEAT_FILE)

    def note_heartbeat(self) -> None:
        """Notes that a sign of life is given now."""
        with contextlib.suppress(OSError):
            write_private(self.folder / HEARTBEAT_FILE, str(time.time_ns() // 1000).encode())

    def next_epoch(self) -> int:
        """Counts one more sender of this spool, durably."""
        path = self.folder / EPOCH_FILE
        epoch = _number_in(path) + 1
        write_private(path, str(epoch).encode(), durable=True)
        return epoch

    def resume(self, acked: int, chain: bytes, points: int) -> None:  # noqa: ARG002 - the chain tells more than a count
        """Finds where to go on, from the batch that the server has last. Raises `SpoolCorrupt`."""
        # This spool was sent from a copy, or its cuts are lost. Cutting is a function of the spool: if it had ended before
        # the copy was sent, the same cuts come out.
        while self.last_cut.sequence < acked and self.cut_more(RECUT_BYTES, acked):
            pass
        cut = self._cuts.get(acked)
        if cut is None or (acked and cut.chain != chain):
            raise SpoolCorrupt(
                f"The server has {acked:,} batches of this spool that are not what this spool holds: it was sent from a copy "
                "while it was still being written, or was altered. Nothing was sent.",
                reason="DIGEST_CONFLICT",
            )

    def again(self, sequence: int) -> Outgoing:
        """A batch that was cut before. Raises `SpoolCorrupt` when it is not what it was."""
        with self._lock:
            return self._again(sequence)

    def _again(self, sequence: int) -> Outgoing:
        cut = self._cuts.get(sequence)
        before = self._cuts.get(sequence - 1)
        if cut is None or before is None:
            raise SpoolCorrupt(
                f"The server asks for batch {sequence}, which was durable there and is deleted here: it has lost data, or "
                "was restored from an older backup."
            )
        encoded = encode_cut(self._reader, cut, before.keys_total)
        if sha256(encoded.content).digest() != cut.digest:
            version = "" if cut.encoder_version == ENCODER_VERSION else ", or was cut by another version of penstock"
            raise SpoolCorrupt(
                f"Batch {sequence} is not what it was when it was cut: the spool {self.folder} was altered{version}."
            )
        return Outgoing(cut, stream_batch(cut.sequence, cut.digest, encoded.content))

    def cut_more(self, bytes_max: int, sequence_max: int | None = None) -> list[Outgoing]:
        """Cuts what is there into batches, and makes the cuts durable before it returns them.

        Args:
            bytes_max: No further batch is begun once this many bytes are reached.
            sequence_max: No batch above this sequence is cut.

        Raises:
            SpoolCorrupt: It cannot be read.
            OSError: The disk does not take the cuts.
        """
        with self._lock:
            return self._cut_more(bytes_max, sequence_max)

    def _cut_more(self, bytes_max: int, sequence_max: int | None) -> list[Outgoing]:
        if self._closed:
            # A thread that was left behind: the spool may be another sender's by now.
            return []
        made: list[Outgoing] = []
        total = 0
        for cut, content in self._new_batches(sequence_max):
            made.append(Outgoing(cut, stream_batch(cut.sequence, cut.digest, content)))
            total += len(content)
            if total >= bytes_max:
                break
        if made:
            # First the records, then the cuts: a cut must not outlive what it points at.
            try:
                self.sync_to_medium()
                self._append_cuts([outgoing.cut for outgoing in made])
            except OSError:
                # They will be cut anew.
                self._scanned = None
                raise
        # Only now: whoever sees the end must see the last cut, too.
        self._drained = self._scanned is not None and (self.owner_died or self.finish is not None)
        return made

    def sync_to_medium(self) -> None:
        """Flushes what was written since the last time. Raises `OSError`."""
        end = self._reader.end()
        if end == self._synced:
            return
        for number in segment_numbers(self.folder):
            if number < self._synced.segment:
                continue
            try:
                descriptor = os.open(self._path(number), os.O_RDWR | getattr(os, "O_BINARY", 0))
            except FileNotFoundError:
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._synced = end

    def acknowledged(self, sequence: int) -> None:
        """Deletes what is durable on the server. Raises `OSError`."""
        with self._lock:
            cut = self._cuts.get(sequence)
            if cut is None or self._closed:
                return
            for number in segment_numbers(self.folder):
                if number < cut.end.segment:
                    self._path(number).unlink(missing_ok=True)
            self._cuts.trim(sequence)

    def damage_messages(self) -> list[str]:
        """What was lost in the spool, for people."""
        messages = [str(damage) for damage in list(self.damage.values())]
        if self.points_lost:
            messages.append(f"{self.points_lost:,} points are lost with the damaged names of their metrics.")
        return messages

    def close(self) -> None:
        """Closes the files, once no thread is at work on them."""
        with self._lock:
            self._closed = True
            self._cuts.close()

    def _append_cuts(self, cuts: Sequence[Cut]) -> None:
        try:
            self._cuts.append(cuts)
        except OSError:
            # On a full disk nothing could be sent, and so nothing be deleted. This is what the reserve is for.
            (self.folder / RESERVE_FILE).unlink(missing_ok=True)
            self._cuts.append(cuts)

    def _new_batches(self, sequence_max: int | None) -> Iterator[tuple[Cut, bytes]]:
        last = self._cuts.last
        while sequence_max is None or last.sequence < sequence_max:
            # Asked before reading: what a dead owner wrote is then all there.
            self.owner_died = self.owner_died or not owner_is_alive(self.folder)
            state = (self._reader.end(), self.owner_died)
            if state == self._scanned:
                return
            encoded = encode_batch(
                self._reader, last.end, last.keys_total, ended=self.owner_died, bytes_max=self._batch_bytes
            )
            for damage in encoded.damage:
                self.damage.setdefault(damage.position, damage)
            self.points_lost += encoded.points_lost
            if not encoded.full:
                self._scanned = state
                self.finish = encoded.finish
            if not encoded.content:
                return
            digest = sha256(encoded.content).digest()
            last = Cut(
                sequence=last.sequence + 1,
                start=last.end,
                end=encoded.end,
                points_total=last.points_total + encoded.points,
                keys_total=encoded.keys_total,
                encoder_version=ENCODER_VERSION,
                digest=digest,
                chain=sha256(last.chain + digest).digest(),
            )
            yield last, encoded.content
            if not encoded.full:
                return

    def _path(self, number: int) -> Path:
        return segment_path(self.folder, number)


def _number_in(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0
