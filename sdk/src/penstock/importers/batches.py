"""Turns the rows of a part into the batches of its writer, from where the server stands.

Rows of the same metrics become one block. A metric's number is its place in the order in which metrics first appear in the
part, so the numbers that earlier batches defined are found again by reading the rows of those batches. A batch is a function
of what is durable and of the part: whoever makes it of the same makes the same bytes, and of two that differ the server takes
one.
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from penstock.errors import Conflict, InvalidInput, PenstockError, ServerUnavailable
from penstock.importers.model import Part, Row, SourceDamaged
from penstock.sender.batches import BATCH_BYTES_TARGET, ENCODER_VERSION
from penstock.sender.source import Outgoing
from penstock.sender.wire import bytes_field, metric_block, metric_key, stream_batch
from penstock.spool.cuts import CHAIN_START, Cut
from penstock.spool.meta import SpoolMeta
from penstock.spool.reader import START
from penstock.spool.values import check_key

__all__ = ["POINT", "PartReader", "PartSource"]

KEYS_PER_ROW_MAX: Final = 1_000
"""A wider row is taken as several, so that a batch with the names of new metrics stays within its limit."""
_BLOCK_BYTES: Final = 64  # tags and lengths of a block, at most
_KEY_BYTES: Final = 16  # tags, lengths and numbers of a key that is defined, at most
_KEY_ID_BYTES: Final = 5
POINT: Final = struct.Struct("<qqd")
"""Step, time and value of a point, as what it is recognised by."""
_INT64: Final = struct.Struct("<q")
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


class PartReader:
    """Reads the rows of a part, with what the contract allows, none of them wider than `KEYS_PER_ROW_MAX`.

    Args:
        part: The part.

    Attributes:
        damage: Why it could not be read to its end; None if it could, or was not yet.
        left_out: Metrics whose names the contract does not allow.
    """

    def __init__(self, part: Part) -> None:
        self.damage: SourceDamaged | None = None
        self.left_out: set[str] = set()
        self._part = part
        self._allowed: dict[str, bool] = {}

    def rows(self) -> Iterator[Row]:
        """The rows from the beginning up to the end or the first that cannot be read."""
        try:
            for row in self._part.rows():
                yield from self._within_limits(row)
        except SourceDamaged as error:
            self.damage = error
        except PenstockError:
            raise
        except Exception as error:
            # Whatever a file makes its reader raise: what was read before is kept.
            self.damage = SourceDamaged.because(error, f"The part {self._part.id!r}")

    def _within_limits(self, row: Row) -> Iterator[Row]:
        allowed = self._allowed
        values = row.values
        for key in values:
            if key not in allowed:
                allowed[key] = self._is_allowed(key)
        if not all(allowed[key] for key in values):
            values = {key: value for key, value in values.items() if allowed[key]}
        if not values:
            return
        if not _INT64_MIN <= row.step <= _INT64_MAX or not _INT64_MIN <= row.time_us <= _INT64_MAX:
            raise SourceDamaged(f"The part {self._part.id!r} has a step or time that 64 bits do not hold.")
        if len(values) <= KEYS_PER_ROW_MAX:
            yield Row(row.step, row.time_us, values)
            return
        items = list(values.items())
        for first in range(0, len(items), KEYS_PER_ROW_MAX):
            yield Row(row.step, row.time_us, dict(items[first : first + KEYS_PER_ROW_MAX]))

    def _is_allowed(self, key: str) -> bool:
        try:
            check_key(key, "A metric's name")
        except InvalidInput:
            self.left_out.add(key)
            return False
        return True


class _Content(NamedTuple):
    data: bytes
    points: int


class PartSource:
    """The batches of one part, as an `Exchange` streams them. Blocks.

    Args:
        meta: The run, and the writer of this part.
        part: The part.
        durable: Reads the points of the part's metric that are durable, each as `POINT` packs it. Blocks.
        batch_bytes: Where a batch ends.

    Attributes:
        points_before: Points that were durable when the stream was opened.
        reader: Reads the part, and knows what of it could not be read.
    """

    def __init__(
        self, meta: SpoolMeta, part: Part, durable: Callable[[], Counter[bytes]], batch_bytes: int = BATCH_BYTES_TARGET
    ) -> None:
        self.meta = meta
        self.points_before = 0
        self.reader = PartReader(part)
        self._part = part
        self._durable = durable
        self._batch_bytes = batch_bytes
        self._keys: dict[str, int] = {}
        self._last = self._cut(0, 0, bytes(32), CHAIN_START)
        self._contents: Iterator[_Content] | None = None
        self._ended = False

    @property
    def last_cut(self) -> Cut:
        """The last batch that was made."""
        return self._last

    @property
    def ended(self) -> bool:
        """Whether the part is at its end."""
        return self._ended

    def owner_alive(self) -> bool:
        """Never: the run is not going on here, so it cannot crash here."""
        return False

    def note_heartbeat(self) -> None:
        """There is nothing to note."""

    def resume(self, acked: int, chain: bytes, points: int) -> None:
        """Goes on behind the batches that are durable."""
        self.points_before = points
        self._last = self._cut(acked, points, bytes(32), chain if acked else CHAIN_START)

    def again(self, sequence: int) -> Outgoing:
        """Cannot be asked for: each stream has a source of its own, which begins behind what is durable."""
        raise AssertionError(f"batch {sequence} is asked for again")

    def acknowledged(self, sequence: int) -> None:
        """There is nothing to give up."""

    def cut_more(self, bytes_max: int) -> list[Outgoing]:  # noqa: ARG002 - one batch at a time: while it is sent, the next is read
        """The next batch, if there is one. Raises `Conflict` when the part holds less than what is durable of it."""
        if self._contents is None:
            self._contents = self._encoded(self._new_rows())
        content = next(self._contents, None)
        if content is None:
            self._ended = True
            return []
        before = self._last
        digest = sha256(content.data).digest()
        self._last = self._cut(
            before.sequence + 1, before.points_total + content.points, digest, sha256(before.chain + digest).digest()
        )
        return [Outgoing(self._last, stream_batch(self._last.sequence, digest, content.data))]

    @staticmethod
    def _cut(sequence: int, points_total: int, digest: bytes, chain: bytes) -> Cut:
        # Neither places nor keys: nobody asks for those of a batch that was sent.
        return Cut(sequence, START, START, points_total, 0, ENCODER_VERSION, digest, chain)

    def _new_rows(self) -> Iterator[Row]:
        """The rows that are not durable. Takes note of the names in those that are."""
        if not self.points_before:
            return self.reader.rows()
        if self._part.metric is not None:
            return self._not_durable(self._part.metric)
        rows = self.reader.rows()
        left = self.points_before
        while left > 0:
            row = next(rows, None)
            if row is None or len(row.values) > left:
                self._check_altered()
                return iter(())
            for key in row.values:
                self._keys.setdefault(key, len(self._keys))
            left -= len(row.values)
        return rows

    def _not_durable(self, metric: str) -> Iterator[Row]:
        self._keys[metric] = 0
        points = sum(1 for _ in self.reader.rows())
        if points <= self.points_before:
            if points < self.points_before:
                self._check_altered()
            return iter(())
        durable = self._durable()
        if durable.total() < self.points_before:
            raise ServerUnavailable(f"The server does not show all points of {metric!r} that it acknowledged.")
        return self._without(durable)

    def _without(self, durable: Counter[bytes]) -> Iterator[Row]:
        for row in self.reader.rows():
            [value] = row.values.values()
            point = POINT.pack(row.step, row.time_us, value)
            if durable[point]:
                durable[point] -= 1
            else:
                yield row

    def _check_altered(self) -> None:
        """Raises `Conflict`, unless the source is damaged: then it held the rest before it was."""
        if self.reader.damage is None:
            raise Conflict(
                f"{self.points_before:,} points were imported before that the source does not hold as it did then: it was "
                "altered since. Nothing was added.",
                reason="SOURCE_ALTERED",
            )

    def _encoded(self, rows: Iterator[Row]) -> Iterator[_Content]:
        new_keys: list[bytes] = []
        blocks: dict[tuple[str, ...], _Block] = {}
        size = points = 0
        for row in rows:
            keys = tuple(row.values)
            added = self._bytes_of(keys, blocks)
            if size and size + added > self._batch_bytes:
                yield _Content(_content(new_keys, blocks.values()), points)
                new_keys, blocks = [], {}
                size = points = 0
                # What the batch before had of it, this one has not.
                added = self._bytes_of(keys, blocks)
            block = blocks.get(keys)
            if block is None:
                for key in keys:
                    if key not in self._keys:
                        self._keys[key] = len(self._keys)
                        new_keys.append(bytes_field(1, metric_key(self._keys[key], key.encode())))
                block = blocks[keys] = _Block(tuple(self._keys[key] for key in keys))
            block.add(row)
            size += added
            points += len(keys)
        if points:
            yield _Content(_content(new_keys, blocks.values()), points)

    def _bytes_of(self, keys: tuple[str, ...], blocks: Mapping[tuple[str, ...], "_Block"]) -> int:
        """How much a row adds to a batch, at most."""
        size = 16 + 8 * len(keys)
        if keys not in blocks:
            size += _BLOCK_BYTES
            size += sum(_KEY_ID_BYTES if key in self._keys else _KEY_BYTES + 4 * len(key) for key in keys)
        return size


class _Block:
    """Rows of the same metrics."""

    __slots__ = ("_pack", "key_ids", "steps", "times", "values")

    def __init__(self, key_ids: tuple[int, ...]) -> None:
        self.key_ids = key_ids
        self.steps = bytearray()
        self.times = bytearray()
        self.values = bytearray()
        self._pack = struct.Struct(f"<{len(key_ids)}d").pack

    def add(self, row: Row) -> None:
        self.steps += _INT64.pack(row.step)
        self.times += _INT64.pack(row.time_us)
        self.values += self._pack(*row.values.values())


def _content(new_keys: Iterable[bytes], blocks: Iterable[_Block]) -> bytes:
    """A `MetricBatchContent`."""
    parts = list(new_keys)
    parts.extend(
        bytes_field(2, metric_block(block.key_ids, bytes(block.steps), bytes(block.times), bytes(block.values)))
        for block in blocks
    )
    return b"".join(parts)
