"""Sends one spool to its end: connects, streams, connects again, ends the run, writes the receipt.

The order of things, each safe to repeat after a crash at any moment:

1. The run is created under the id that the training process made up.
2. The stream is opened; the server says which batch it has last.
3. Batches that were cut before and that it has not are sent again, from the bytes of the spool, under their sequence.
4. What is new is cut, the cut is made durable, the batch is sent. Acknowledged segments are deleted.
5. Once the spool has ended, the stream is closed; the chain that the server computed is compared with ours.
6. The run is finished, and what it ordered beside its points is carried out, as all the time since step 1. The receipt is
   written, the spool removed.
"""

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from penstock.client._async.channel import AsyncChannel
from penstock.config import Connection
from penstock.errors import NotFound, PenstockError, PermissionDenied, ServerUnavailable, SpoolCorrupt
from penstock.sender.exchange import HEARTBEAT_INTERVAL_S, CaughtUp, Exchange, Progress
from penstock.sender.link import CALL_TIMEOUT_S, Link
from penstock.sender.orders import OrderDelivery
from penstock.sender.outcome import Ending, Outcome, is_final
from penstock.sender.source import SpoolSource
from penstock.spool.meta import ReceiptData, Status, write_status
from penstock.spool.settle import settle

__all__ = ["AFTER_OWNER_S", "Sending", "SendingLimits"]

AFTER_OWNER_S: Final = 3600.0
"""How long a sender looks for a server once its training process has ended. Then `penstock sync` or the next init goes on."""
SYNC_INTERVAL_S: Final = 1.0
"""How much a power failure may cost."""
_RECONNECT_DELAY_S: Final = 0.2
_RECONNECT_DELAY_S_MAX: Final = 5.0
_STATUS_INTERVAL_S: Final = 0.25
_WARNINGS_MAX: Final = 100
_DENIALS_MAX: Final = 4
"""A project or grant that was just made may not be known everywhere yet."""
_GAPS_MAX: Final = 3
_ALIVE_ELSEWHERE_S: Final = 2 * HEARTBEAT_INTERVAL_S
_VANISHED: Final = "The training process disappeared without ending the run."

_log = logging.getLogger("penstock.sender")


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """How long a sender goes on.

    Attributes:
        unreachable_s: How long it looks for a server once nobody writes to the spool any more.
        follow: Whether it waits for more while the training process lives. Otherwise it stops when it has caught up.
    """

    unreachable_s: float = AFTER_OWNER_S
    follow: bool = True


class Sending:
    """The sending of one spool. The sender's lock must be held.

    Args:
        source: The spool.
        connection: Says where to send it, asked before each attempt.
        limits: How long to go on.
        on_points: Told how many points are durable, now and then.
    """

    def __init__(
        self,
        source: SpoolSource,
        connection: Callable[[], Connection],
        limits: SendingLimits,
        on_points: Callable[[int], None] | None = None,
    ) -> None:
        self._source = source
        self._connection = connection
        self._limits = limits
        self._on_points = on_points
        self._epoch = 0
        self._status = Status("connecting")
        self._status_written: Status | None = None
        self._warnings: list[str] = []
        self._notices: list[str] = []
        self._began_ended = False
        self._progress = Progress()
        self._orders = OrderDelivery(source.folder, source.meta, connection, self._warn_of_order)
        self._delivering: asyncio.Task[None] | None = None

    async def run(self) -> Outcome:
        """Sends until the end, and says how it ended. Raises nothing but cancellation."""
        flushing = asyncio.create_task(self._flush())
        try:
            return await self._run()
        finally:
            for task in (flushing, self._delivering):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    async def _run(self) -> Outcome:
        self._tell("connecting")
        self._epoch = await asyncio.to_thread(self._source.next_epoch)
        self._began_ended = not self._source.owner_alive()
        delay_s = _RECONNECT_DELAY_S
        unreachable_since_s = time.monotonic()
        denials = gaps = 0
        while True:
            before = self._progress
            error: PenstockError
            try:
                return await self._attempt()
            except CaughtUp:
                return await self._caught_up()
            except PermissionDenied as denied:
                error = denied
                denials += 1
                if denials >= _DENIALS_MAX:
                    return self._stopped(Ending.REFUSED, denied.message, denied.reason)
            except PenstockError as failed:
                error = failed
                if failed.reason == "WRITER_FENCED":
                    return self._stopped(Ending.OCCUPIED, failed.message, failed.reason)
                if failed.reason == "SEQUENCE_GAP":
                    gaps += 1
                if is_final(failed) or gaps >= _GAPS_MAX:
                    return self._stopped(Ending.REFUSED, failed.message, failed.reason)
            except OSError as failed:
                if not self._source.folder.exists():
                    return Outcome(Ending.REFUSED, "The spool was removed while it was being sent.", "SPOOL_GONE")
                # A full disk, for one: sending is what may empty it.
                error = PenstockError(f"The spool's disk fails: {failed.strerror or failed}.", reason="SPOOL_DISK")
            if self._progress is not before:
                # It answered.
                delay_s = _RECONNECT_DELAY_S
                unreachable_since_s = time.monotonic()
            if self._progress.sequence > before.sequence:
                denials = gaps = 0
            _log.warning("%s (%s)", error.message, error.reason)
            self._tell("connecting", error.message, error.reason)
            waited_s = time.monotonic() - unreachable_since_s
            if waited_s >= self._limits.unreachable_s and (not self._limits.follow or not self._source.owner_alive()):
                return self._stopped(Ending.UNREACHABLE, error.message, error.reason)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, keeps no secret
            delay_s = min(delay_s * 2, _RECONNECT_DELAY_S_MAX)

    async def _attempt(self) -> Outcome:
        """One connection, from its making to its end."""
        channel = AsyncChannel(self._connection(), CALL_TIMEOUT_S)
        link = Link(channel, self._source.meta)
        try:
            try:
                await link.prepare(owner_alive=self._source.owner_alive())
            finally:
                # Also if the run could not be created yet: the next attempt will find the project there.
                self._note_project(link.created_project)
            if self._delivering is None:
                # The project and the run are there now.
                self._delivering = asyncio.create_task(self._orders.run())
            await Exchange(self._source, self._epoch, self._take, follow=self._limits.follow).run(link)
            return await self._finished(link)
        finally:
            await channel.close()

    def _take(self, progress: Progress) -> None:
        """Takes note of what is durable."""
        self._progress = progress
        for text in progress.warnings:
            self._warn(f"The server did not apply something: {text}")
        self._tell("streaming")
        if self._on_points is not None:
            self._on_points(progress.points)

    async def _finished(self, link: Link) -> Outcome:
        """Ends the run and writes the receipt, once everything is durable."""
        source = self._source
        last = source.last_cut
        end = source.finish or {}
        logged = int(end.get("points", last.points_total))
        if self._progress.points != logged and not source.damage_messages():
            # Never seen, and never to be passed over: a spool is deleted on the strength of what comes below.
            raise SpoolCorrupt(
                f"{logged:,} points were logged and {self._progress.points:,} are durable, though the spool is whole. "
                f"It is kept in {source.folder}; please report this."
            )
        vanished = source.finish is None
        state = "CRASHED" if vanished else str(end["state"])
        failure = _VANISHED if vanished else str(end["failure"])
        end_time_us = int(end.get("end_time_us") or source.last_write_us)
        if source.meta.primary and state and not await self._lives_elsewhere(link, end_time_us):
            await link.finish_run(state, end_time_us, failure)
        try:
            await self._orders.drained(self._limits.unreachable_s)
        except ServerUnavailable as error:
            return self._stopped(Ending.UNREACHABLE, error.message, error.reason)
        if self._orders.refusal is not None:
            return self._stopped(Ending.REFUSED, self._orders.refusal.message, self._orders.refusal.reason)
        for message in source.damage_messages():
            self._warn(message)
        receipt = ReceiptData(
            run=source.meta.run_name,
            state=state,
            points_logged=logged,
            points_durable=self._progress.points,
            dropped=int(end.get("dropped", 0)),
            digest=last.chain.hex(),
            verified=self._progress.chain == last.chain and self._progress.points == last.points_total,
            max_step=end.get("max_step"),
            orders=int(end.get("orders", self._orders.done_count)),
            orders_durable=self._orders.done_count,
            notices=[*self._notices, *self._warnings],
        )
        self._tell("streaming", now=True)
        await asyncio.to_thread(settle, source.folder, source.meta, receipt)
        return Outcome(Ending.DONE, "; ".join(receipt.notices), "", self._progress.points, receipt)

    async def _caught_up(self) -> Outcome:
        try:
            await self._orders.drained(self._limits.unreachable_s)
        except ServerUnavailable as error:
            return self._stopped(Ending.UNREACHABLE, error.message, error.reason)
        return self._stopped(Ending.CAUGHT_UP, "", "")

    async def _lives_elsewhere(self, link: Link, end_time_us: int) -> bool:
        """Whether the run was resumed after this spool ended, so that its end is not ours to tell."""
        if not self._began_ended:
            return False
        try:
            run = await link.run()
        except NotFound:
            return False
        # The server hears of this spool's own process, too, while it lives and logs nothing.
        ours_us = max(end_time_us, self._source.last_heartbeat_us)
        return run.heartbeat_time.ToMicroseconds() > ours_us + _ALIVE_ELSEWHERE_S * 1_000_000

    async def _flush(self) -> None:
        """Makes durable what was written, also while there is no server, and tells what could not be told at once."""
        next_sync_s = time.monotonic() + SYNC_INTERVAL_S
        while True:
            await asyncio.sleep(_STATUS_INTERVAL_S)
            self._write_status()
            if time.monotonic() >= next_sync_s:
                next_sync_s = time.monotonic() + SYNC_INTERVAL_S
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self._source.sync_to_medium)

    def _warn(self, text: str) -> None:
        if text not in self._warnings and len(self._warnings) < _WARNINGS_MAX:
            self._warnings.append(text)

    def _warn_of_order(self, text: str) -> None:
        self._warn(text)
        self._tell(self._status.state, self._status.message, self._status.reason)

    def _note_project(self, project: str) -> None:
        notice = f"created project {project}"
        if project and notice not in self._notices:
            self._notices.append(notice)

    def _stopped(self, ending: Ending, message: str, reason: str) -> Outcome:
        states = {Ending.REFUSED: "refused", Ending.UNREACHABLE: "left"}
        if ending in states:
            self._tell(states[ending], message, reason, now=True)
        return Outcome(ending, message, reason, self._progress.points)

    def _tell(self, state: str, message: str = "", reason: str = "", *, now: bool = False) -> None:
        """Says how it is going: in `status.json` at once, but points only now and then."""
        for text in self._source.damage_messages():
            self._warn(text)
        former = self._status
        self._status = Status(
            state, message, reason, self._progress.points, list(self._warnings), list(self._notices), os.getpid()
        )
        changed = (former.state, former.message, former.warnings) != (state, message, self._warnings)
        if now or changed or self._status_written is None:
            self._write_status()

    def _write_status(self) -> None:
        if self._status == self._status_written:
            return
        # A full disk must not keep the sender from emptying the spool.
        with contextlib.suppress(OSError):
            write_status(self._source.folder, self._status)
            self._status_written = self._status
