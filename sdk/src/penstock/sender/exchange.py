"""One stream with the server: what is sent, what was acknowledged, when it is over. A new one is made for each connection."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from penstock.errors import PenstockError, ServerUnavailable
from penstock.sender.link import CLOSE, HEARTBEAT, Link, open_message
from penstock.sender.source import Outgoing
from penstock.spool.cuts import Cut
from penstock.spool.meta import SpoolMeta

__all__ = [
    "ACK_TIMEOUT_S",
    "HEARTBEAT_INTERVAL_S",
    "IN_FLIGHT_BYTES_MAX",
    "LINGER_S",
    "BatchSource",
    "CaughtUp",
    "Exchange",
    "Progress",
]

HEARTBEAT_INTERVAL_S: Final = 10.0
LINGER_S: Final = 0.1
"""How long a row may wait for others. Curves are live, and a batch is not one row."""
LINGER_S_MAX: Final = 1.0
"""The same on a slow disk."""
IN_FLIGHT_BYTES_MAX = 16_000_000
"""How much may be sent and not yet acknowledged."""
ACK_TIMEOUT_S: Final = 60.0
"""A server that acknowledges nothing for so long, while batches are in flight, counts as gone."""
_LINGER_PER_SYNC: Final = 5
"""A disk that takes long to flush is asked less often."""


class CaughtUp(Exception):
    """All that is there is durable, and nobody is to be waited for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is durable on the server.

    Attributes:
        sequence: The last durable batch.
        chain: SHA-256 chained over the digests of all batches, as the server computed it.
        points: Durable points.
        warnings: What the server says it did not apply, since the progress before.
    """

    sequence: int = 0
    chain: bytes = b""
    points: int = 0
    warnings: tuple[str, ...] = ()


class BatchSource(Protocol):
    """What an exchange streams: the batches of one writer, in order. A spool is one, and what is imported is another.

    Its methods may block, but for `resume`: the exchange calls them in threads.
    """

    meta: SpoolMeta
    """The run and the writer."""

    @property
    def last_cut(self) -> Cut:
        """The last batch that was cut."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no batch will follow: `last_cut`, looked at afterwards, is the last one."""
        ...

    def owner_alive(self) -> bool:
        """Whether the process that logs lives: then the run counts as crashed when the signs of life stop."""
        ...

    def note_heartbeat(self) -> None:
        """Notes that a sign of life is given now."""
        ...

    def resume(self, acked: int, chain: bytes, points: int) -> None:
        """Goes on behind the last batch that is durable on the server.

        Args:
            acked: Its sequence; 0 if there is none.
            chain: SHA-256 chained over the digests of all batches up to it.
            points: Points in them.

        Raises `SpoolCorrupt` when the server has what this source does not hold.
        """
        ...

    def again(self, sequence: int) -> Outgoing:
        """A batch that was cut before and is not durable."""
        ...

    def cut_more(self, bytes_max: int) -> list[Outgoing]:
        """The next batches; no further one is begun once this many bytes are reached."""
        ...

    def acknowledged(self, sequence: int) -> None:
        """Takes note that all up to a batch is durable."""
        ...


class Exchange:
    """One stream of one writer.

    Args:
        source: Its batches.
        epoch: The lease of this sender.
        on_progress: Told of each answer of the server.
        follow: Whether to wait for more while the training process lives.
    """

    def __init__(
        self, source: BatchSource, epoch: int, on_progress: Callable[[Progress], None], *, follow: bool
    ) -> None:
        self._source = source
        self._epoch = epoch
        self._on_progress = on_progress
        self._follow = follow
        self._opened = asyncio.Event()
        self._acked = asyncio.Event()
        self._over = False
        self._sent_sequence = 0
        self._acked_sequence = 0
        self._in_flight: dict[int, int] = {}
        self._heard_s = time.monotonic()
        self._linger_s = LINGER_S
        self._trouble: Exception | None = None

    async def run(self, link: Link) -> None:
        """Streams until the spool has ended, everything is durable and the writer is closed.

        Raises:
            CaughtUp: Everything is durable, the spool has not ended, and this does not follow it.
            PenstockError: What the server said, or what is wrong with the spool.
            OSError: The disk under the spool failed.
        """
        answers = link.stream(self._messages())
        try:
            while True:
                answer = await self._answer(answers)
                if answer is None:
                    raise self._trouble or ServerUnavailable("The server ended the stream.")
                self._take(answer)
                if answer.closed:
                    return
        except PenstockError as error:
            # What went wrong on our side ended the stream: that is the cause to tell.
            if self._trouble is not None and error is not self._trouble:
                raise self._trouble from error
            raise
        finally:
            # gRPC may leave `_messages` waiting: it must wake up and see that its stream is gone.
            self._over = True
            self._opened.set()
            self._acked.set()
            await answers.aclose()

    async def _answer(self, answers: AsyncIterator[Any]) -> Any:
        """The next answer, None at the end. Raises `ServerUnavailable` when one is due for too long."""
        waiting = asyncio.ensure_future(anext(answers, None))
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT_INTERVAL_S)
                if done:
                    return waiting.result()
                due = bool(self._in_flight) or not self._opened.is_set()
                if due and time.monotonic() - self._heard_s >= ACK_TIMEOUT_S:
                    raise ServerUnavailable(f"The server acknowledged nothing for {ACK_TIMEOUT_S:.0f} s.")
        finally:
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError, PenstockError):
                    await waiting

    async def _messages(self) -> AsyncIterator[bytes]:
        """What is sent. gRPC asks for the next message when there is room for it."""
        try:
            meta = self._source.meta
            # A lease says: while this process lives. Whoever sends for a dead one must not renew it.
            lease = meta.primary and self._source.owner_alive()
            yield open_message(meta, self._epoch, lease=lease)
            await self._opened.wait()
            if lease:
                self._source.note_heartbeat()
            heartbeat_s = time.monotonic() + HEARTBEAT_INTERVAL_S
            while not self._over:
                room = IN_FLIGHT_BYTES_MAX - sum(self._in_flight.values())
                outgoing = await asyncio.to_thread(self._next, room) if room > 0 else []
                for batch in outgoing:
                    if self._over:
                        return
                    if not self._in_flight:
                        self._heard_s = time.monotonic()
                    self._in_flight[batch.cut.sequence] = len(batch.message)
                    self._sent_sequence = batch.cut.sequence
                    yield batch.message
                if time.monotonic() >= heartbeat_s:
                    heartbeat_s = time.monotonic() + HEARTBEAT_INTERVAL_S
                    if lease:
                        self._source.note_heartbeat()
                    yield HEARTBEAT
                if outgoing:
                    continue
                if room <= 0:
                    await self._next_ack(HEARTBEAT_INTERVAL_S)
                elif self._source.ended and self._sent_sequence == self._source.last_cut.sequence:
                    yield CLOSE
                    return
                elif self._follow:
                    await asyncio.sleep(self._linger_s)
                elif self._in_flight:
                    await self._next_ack(HEARTBEAT_INTERVAL_S)
                else:
                    raise CaughtUp
        except (PenstockError, OSError, CaughtUp) as error:
            # gRPC would turn it into a cancelled call without a cause. Ending the messages ends the stream in good order.
            self._trouble = error

    async def _next_ack(self, timeout_s: float) -> None:
        self._acked.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._acked.wait(), timeout_s)

    def _next(self, room: int) -> list[Outgoing]:
        """The next batches to send, at most about `room` bytes. In a thread: it reads and flushes files."""
        source = self._source
        source.acknowledged(self._acked_sequence)
        found: list[Outgoing] = []
        while self._sent_sequence + len(found) < source.last_cut.sequence and room > 0:
            found.append(source.again(self._sent_sequence + len(found) + 1))
            room -= len(found[-1].message)
        if found or room <= 0 or self._over:
            return found
        began_s = time.monotonic()
        made = source.cut_more(room)
        if made:
            spent_s = time.monotonic() - began_s
            self._linger_s = min(max(LINGER_S, _LINGER_PER_SYNC * spent_s / len(made)), LINGER_S_MAX)
        return made

    def _take(self, answer: Any) -> None:
        self._heard_s = time.monotonic()
        if not self._opened.is_set():
            self._source.resume(answer.acked_sequence, answer.chain, answer.durable_points)
            self._sent_sequence = answer.acked_sequence
        self._acked_sequence = answer.acked_sequence
        for sequence in [number for number in self._in_flight if number <= answer.acked_sequence]:
            del self._in_flight[sequence]
        if answer.closed and answer.acked_sequence != self._source.last_cut.sequence:
            raise ServerUnavailable(
                f"The server closed the writer at batch {answer.acked_sequence} of {self._source.last_cut.sequence}.",
                reason="SEQUENCE_GAP",
            )
        warnings = tuple(f"{warning.message} ({warning.reason})" for warning in answer.warnings)
        self._on_progress(Progress(answer.acked_sequence, answer.chain, answer.durable_points, warnings))
        self._opened.set()
        self._acked.set()
