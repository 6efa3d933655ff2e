"""Carries out the orders of a spool, beside the stream of its points: see `penstock.spool.orders`.

Each may be carried out again after a kill at any moment: an alert has an id of its own, a version of an artifact is published
under the number of its order.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from google.protobuf import timestamp_pb2

from penstock.api.artifact.v1 import artifact_service_pb2, file_pb2, media_pb2
from penstock.api.tracking.v1 import alert_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock.client._async.transfers import AsyncTransfers
from penstock.config import Connection
from penstock.errors import LimitExceeded, PenstockError, PermissionDenied, ServerUnavailable
from penstock.sender.outcome import is_final
from penstock.spool.console import STRETCH_BYTES_MAX, ConsoleSource
from penstock.spool.files import write_private
from penstock.spool.meta import SpoolMeta
from penstock.spool.orders import Order, OrderBook

__all__ = ["OrderDelivery"]

LOOK_INTERVAL_S: Final = 0.25
CONSOLE_DIRECTORY: Final = "console"
CONSOLE_INTERVAL_S: Final = 5.0
"""How often what was printed is put at first. The interval doubles each time, so that a long run has not ever more files."""
CONSOLE_INTERVAL_S_MAX: Final = 300.0
CONSOLE_NUMBER: Final = 0
"""Of what was printed, among orders, which are counted from 1."""
TOGETHER_MAX: Final = 100
"""Files that are put in one call."""
PUT_TIMEOUT_S: Final = 120.0
_RETRY_DELAY_S: Final = 0.5
_RETRY_DELAY_S_MAX: Final = 5.0
_DENIALS_MAX: Final = 4
"""A project or grant that was just made may not be known everywhere yet."""
_PASSING_LIMITS: Final = frozenset({"OVERLOADED", "STORE_FULL"})
_SLOW_KINDS: Final = frozenset({"artifact"})
"""What may take hours, and has a worker of its own, so that nothing else waits for it."""

_log = logging.getLogger("penstock.sender")


class OrderDelivery:
    """Carries out the orders of one spool, as they come, until it is cancelled. The sender's lock must be held.

    An order that the server refuses is set aside, and tried again by the next sender: its bytes stay in the spool.

    Args:
        folder: The spool.
        meta: Its `meta.json`.
        connection: Says where the server is, asked before each attempt.
        warn: Told of each order that was refused or cannot be read.
    """

    def __init__(
        self, folder: Path, meta: SpoolMeta, connection: Callable[[], Connection], warn: Callable[[str], None]
    ) -> None:
        self._book = OrderBook(folder)
        self._meta = meta
        self._connection = connection
        self._warn = warn
        self._refused: dict[int, PenstockError] = {}
        self._lost = 0
        self._left: list[Order] = []
        self._console = ConsoleSource(folder)
        self._stretch_file = folder / "console.put"
        self._console_due_s = time.monotonic() + CONSOLE_INTERVAL_S
        self._console_interval_s = CONSOLE_INTERVAL_S
        self._draining = False
        self._looked = asyncio.Event()
        self._served_s = time.monotonic()
        self._trouble: PenstockError | None = None
        self._looks = 0

    @property
    def done_count(self) -> int:
        """How many orders were carried out, by this sender and those before."""
        return self._book.done_count - self._lost

    @property
    def refusal(self) -> PenstockError | None:
        """Why the server refused the first of those that it refused; None if it took all."""
        return next(iter(self._refused.values()), None)

    async def run(self) -> None:
        """Carries out orders until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work(slow=False))
            group.create_task(self._work(slow=True))

    async def drained(self, unreachable_s: float) -> None:
        """Waits until every order that is there now was carried out or refused.

        Args:
            unreachable_s: How long to go on while the server does not answer.

        Raises `ServerUnavailable` after that.
        """
        looks = self._looks
        self._draining = True
        while self._looks < looks + 2 or self._unfinished():
            self._looked.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._looked.wait(), LOOK_INTERVAL_S)
            if self._trouble is not None and time.monotonic() - self._served_s >= unreachable_s:
                raise ServerUnavailable(self._trouble.message, reason=self._trouble.reason)

    async def _work(self, *, slow: bool) -> None:
        delay_s = _RETRY_DELAY_S
        denials = 0
        most = TOGETHER_MAX
        while True:
            error: PenstockError
            orders: Sequence[Order] = ()
            try:
                async with AsyncClient(self._connection()) as client:
                    while True:
                        orders = await self._due(most, slow=slow)
                        if not orders:
                            await asyncio.sleep(LOOK_INTERVAL_S)
                            continue
                        await self._carry_out(client, orders)
                        await asyncio.to_thread(self._note_done, orders)
                        self._trouble = None
                        self._served_s = time.monotonic()
                        delay_s, denials = _RETRY_DELAY_S, 0
                        most = min(2 * most, TOGETHER_MAX)
            except PenstockError as failed:
                error = failed
                denials += isinstance(failed, PermissionDenied)
                if orders and _refuses(failed) and not 0 < denials < _DENIALS_MAX:
                    denials = 0
                    if len(orders) == 1:
                        self._refuse(orders[0], failed)
                    # Which of several it was is found out one by one.
                    most = 1
                    continue
            except OSError as failed:
                # A full disk, for one: it may pass.
                error = ServerUnavailable(f"The spool's disk fails: {failed.strerror or failed}.", reason="SPOOL_DISK")
            _log.warning("%s (%s)", error.message, error.reason)
            self._trouble = error
            with contextlib.suppress(OSError):
                # It may lie there for long.
                await asyncio.to_thread(self._book.sync, [order for order in orders if order.number])
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, keeps no secret
            delay_s = min(delay_s * 2, _RETRY_DELAY_S_MAX)

    async def _due(self, most: int, *, slow: bool) -> Sequence[Order]:
        """What to do next in one go: orders that go together, at most so many."""
        found = await asyncio.to_thread(self._book.pending)
        unreadable = [order for order in found if not order.kind]
        if unreadable:
            # What a power failure left of it.
            await asyncio.to_thread(self._book.finish, unreadable)
            self._lost += len(unreadable)
            self._warn(f"{len(unreadable)} alerts, files or artifacts of the spool cannot be read and are lost.")
        self._left = [order for order in found if order.kind]
        if self._trouble is None:
            self._served_s = time.monotonic()
        self._looks += 1
        self._looked.set()
        due = [order for order in self._left if order.number not in self._refused]
        due = [order for order in due if (order.kind in _SLOW_KINDS) is slow]
        if not due and not slow:
            return await self._due_console()
        if not due or due[0].kind != "file":
            return due[:1]
        return list(takewhile(lambda order: order.kind == "file", due[:most]))

    async def _due_console(self) -> Sequence[Order]:
        """What was printed, as an order of its own: now and then, or when it is much, and in the end all of it."""
        waits = time.monotonic() < self._console_due_s and self._console.left < STRETCH_BYTES_MAX and not self._draining
        stretch = None if waits or CONSOLE_NUMBER in self._refused else await asyncio.to_thread(self._console.next)
        if stretch is None:
            return []
        await asyncio.to_thread(write_private, self._stretch_file, stretch.data)
        meta = self._meta
        path = f"{CONSOLE_DIRECTORY}/{meta.rank}-{meta.writer_id[:8]}/{stretch.start:012}.log"
        content = {"path": path, "media_type": "text/plain", "media": None, "stretch": stretch}
        return [Order(CONSOLE_NUMBER, "file", content, self._stretch_file)]

    def _unfinished(self) -> bool:
        console = self._console.left > 0 and CONSOLE_NUMBER not in self._refused
        return console or any(order.number not in self._refused for order in self._left)

    def _note_done(self, orders: Sequence[Order]) -> None:
        if orders[0].number != CONSOLE_NUMBER:
            self._book.finish(orders)
            return
        self._console.put(orders[0].content["stretch"])
        self._console_due_s = time.monotonic() + self._console_interval_s
        self._console_interval_s = min(2 * self._console_interval_s, CONSOLE_INTERVAL_S_MAX)

    async def _carry_out(self, client: AsyncClient, orders: Sequence[Order]) -> None:
        order = orders[0]
        if order.kind == "alert":
            await self._raise_alert(client, order)
        elif order.kind == "file":
            await self._put_files(client, orders)
        elif order.kind == "artifact":
            await asyncio.to_thread(self._book.sync, orders)
            await self._publish(client, order)
        else:
            raise PenstockError(f"This version of penstock knows nothing of {order.kind!r}.", reason="UNKNOWN_ORDER")

    async def _raise_alert(self, client: AsyncClient, order: Order) -> None:
        content = order.content
        await client.tracking.CreateAlert(
            tracking_service_pb2.CreateAlertRequest(
                parent=self._meta.run_name,
                alert_id=content["alert_id"],
                alert=alert_pb2.Alert(
                    title=content["title"],
                    text=content["text"],
                    level=f"ALERT_LEVEL_{content['level'].upper()}",
                    step=content["step"],
                    alert_time=_timestamp(content["time_us"]),
                ),
            )
        )

    async def _put_files(self, client: AsyncClient, orders: Sequence[Order]) -> None:
        transfers = AsyncTransfers(client.artifact_service, None)
        blobs = await transfers.digests([order.data for order in orders])
        files = [
            file_pb2.File(
                path=order.content["path"],
                blob=blob,
                media_type=order.content["media_type"],
                media=self._media(order.content["media"]),
            )
            for order, blob in zip(orders, blobs, strict=True)
        ]
        request = artifact_service_pb2.PutFilesRequest(parent=self._meta.run_name, files=files)
        by_digest = {blob.sha256: order.data for order, blob in zip(orders, blobs, strict=True)}
        await transfers.upload(
            f"projects/{self._meta.project}",
            blobs,
            by_digest,
            lambda: client.artifact_service.PutFiles(request, timeout=PUT_TIMEOUT_S),
        )

    def _media(self, content: Mapping[str, Any] | None) -> media_pb2.Media | None:
        if content is None:
            return None
        return media_pb2.Media(
            key=content["key"],
            kind=f"MEDIA_KIND_{content['kind'].upper()}",
            step=content["step"],
            log_time=_timestamp(content["time_us"]),
            rank=self._meta.rank,
            caption=content["caption"],
        )

    async def _publish(self, client: AsyncClient, order: Order) -> None:
        content = order.content
        path = (order.data / content["file"] if content["file"] else order.data) if order.data.exists() else None
        await client.put_artifact(
            content["name"],
            path,
            project=self._meta.project,
            type=content["type"],
            description=content["description"],
            references=content["references"],
            run=self._meta.run_name,
            request_id=f"{self._meta.writer_id}-{order.number}",
        )

    def _refuse(self, order: Order, error: PenstockError) -> None:
        self._refused[order.number] = error
        what = order.content.get("name") or order.content.get("title") or order.content.get("path")
        self._warn(f"The {order.kind} {what!r} was not taken: {error.message} It is kept in the spool.")


def _timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


def _refuses(error: PenstockError) -> bool:
    """Whether the server will not take it, however often it is asked."""
    if isinstance(error, LimitExceeded):
        return error.reason not in _PASSING_LIMITS
    return is_final(error) or error.reason == "UNKNOWN_ORDER"
