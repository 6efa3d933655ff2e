"""Takes what runs logged out of the metric log into segments, and keeps segments few.

One step of a run: read the manifest, read batches above its watermarks, make a segment of them, publish it by replacing
the manifest, trim the log. Killed anywhere, the next one begins anew with the manifest: a segment that was not published is
an orphan, batches that were published and not trimmed are trimmed. Of two that work on one run, one replaces the manifest
and the other's work is lost, nothing else.

An orphan is a blob that no manifest lists. Before one is removed its manifest is written anew as it is: whoever wrote the
blob and has not published it read the manifest before, and can no longer replace it.
"""

import asyncio
import logging
import os
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from penstock_kit.clock import Clock
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import BatchRecord, WriterHead
from penstock_tracking.segments.batches import decoded
from penstock_tracking.segments.build import SegmentImage, WriterTail, build
from penstock_tracking.segments.files import BLOB_PREFIX, INLINE_BYTES_MAX, ReadAhead, SegmentGone, new_segment_id
from penstock_tracking.segments.log import RunSegments, SegmentedLog
from penstock_tracking.segments.manifest import RETIRED_KEPT_S, Manifest, SegmentRef, Watermark
from penstock_tracking.segments.merge import SegmentMerge

__all__ = ["Compactor", "WorkThread", "merge_candidates"]

RUNS_AT_ONCE: Final = 2  # so that one is read or written while numbers of the other are packed
CONTENT_BYTES_MAX: Final = (
    8_000_000  # of batches made into a segment at once: bounds the memory, with what is made of them
)
BATCHES_MAX: Final = 20_000  # of them: small ones take more memory than their content
TAIL_POINTS_MIN: Final = 500_000  # above the watermark, of a run that goes on
TAIL_BATCHES_MIN: Final = 2_000
IDLE_S: Final = 10.0  # a run that gained nothing for so long is taken with less
IDLE_POINTS_MIN: Final = 10_000
IDLE_BATCHES_MIN: Final = 50
POLL_INTERVAL_S: Final = 0.5
LOOK_INTERVAL_S: Final = 2.0  # at one run that goes on
SWEEP_INTERVAL_S: Final = 3_600.0
RUNS_WAITING_MAX: Final = 50_000
RUNS_PER_ROUND_MAX: Final = 500  # then it is looked which others changed meanwhile
CLAIM_S: Final = 10.0  # how long others leave a run to the one that compacts it
PUT_OFF_S: Final = 60.0  # until a run of which nothing could be taken is looked at again
WRITERS_PER_MANIFEST_MAX: Final = 100_000  # more would not fit into its document: the rest stays in the log
MERGE_FANOUT: Final = 8
MERGE_LEVEL_BYTES: Final = 64_000  # segments below are of one level, each further level is `MERGE_FANOUT` times larger
MERGED_BYTES_MAX: Final = 256_000_000
NICENESS: Final = 10
BEHIND_POINTS: Final = 20_000_000  # of all runs, not in segments yet: from here on compaction yields to nobody

_log = logging.getLogger(__name__)


class WorkThread:
    """One thread for the heavy work of compaction: of low priority, unless that would leave it behind for good."""

    def __init__(self) -> None:
        self.urgent = False
        self._executors: dict[bool, ThreadPoolExecutor] = {}
        self._turn = asyncio.Lock()

    async def __call__(self, work: Callable[..., Any], *args: Any) -> Any:
        # A thread that gave up its priority may not take it back, so there are two, of which one works at a time.
        async with self._turn:
            executor = self._executors.get(self.urgent)
            if executor is None:
                executor = self._executors[self.urgent] = ThreadPoolExecutor(
                    1, thread_name_prefix="compaction", initializer=None if self.urgent else _lower_priority
                )
            return await asyncio.get_running_loop().run_in_executor(executor, work, *args)

    def close(self) -> None:
        """Ends the threads after what they do now."""
        while self._executors:
            self._executors.popitem()[1].shutdown(wait=False, cancel_futures=True)


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere it would be that of the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@dataclass(slots=True)
class _Waiting:
    """A run that gained something.

    Attributes:
        changed_s: When that was seen last.
        look_s: When it is worth to look at it.
        untrimmed: Whether its log may hold what is in segments already.
        points: Not in segments when it was looked at last.
        put_off_s: Not before this.
    """

    changed_s: float
    look_s: float
    untrimmed: bool
    points: int = 0
    put_off_s: float = 0.0


class Compactor:
    """Compacts the runs of one installation. Several may work at once.

    Args:
        log: The runs.
        blobs: Where large segments go: the store that `log` reads.
        hot: Through which compactors keep out of each other's way.
        clock: The time.
    """

    def __init__(self, log: SegmentedLog, blobs: BlobStore, hot: HotStore, clock: Clock) -> None:
        self._log = log
        self._blobs = blobs
        self._hot = hot
        self._id = secrets.token_bytes(8)
        self._clock = clock
        self._work = WorkThread()
        self._waiting: OrderedDict[bytes, _Waiting] = OrderedDict()
        self._cursor = b""

    async def run(self) -> None:
        """Compacts until it is cancelled."""
        swept_s = self._clock.monotonic_s()
        try:
            while True:
                busy = await self.round()
                now_s = self._clock.monotonic_s()
                if now_s - swept_s > SWEEP_INTERVAL_S:
                    swept_s = now_s
                    await self.sweep()
                if not busy:
                    await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            self.close()

    def close(self) -> None:
        """Lets its thread end. The next use starts another."""
        self._work.close()

    async def round(self) -> bool:
        """Looks once at every run that gained something, and compacts those that it is worth for. Returns whether it did."""
        await self._follow()
        now_s = self._clock.monotonic_s()
        # Those that changed last come first: after a start there may be many that only wait to be forgotten.
        due = [run for run in reversed(self._waiting.items()) if now_s >= run[1].look_s]
        looks = iter(due[:RUNS_PER_ROUND_MAX])

        async def attend_some() -> bool:
            return any([await self._attend_safely(*run) for run in looks])

        busy = await asyncio.gather(*(attend_some() for _ in range(RUNS_AT_ONCE)))
        self._work.urgent = sum(waiting.points for waiting in self._waiting.values()) > BEHIND_POINTS
        return any(busy) or len(due) > RUNS_PER_ROUND_MAX

    async def _attend_safely(self, run_key: bytes, waiting: _Waiting) -> bool:
        now_s = self._clock.monotonic_s()
        try:
            taken = await self._attend(run_key, waiting, idle=now_s - waiting.changed_s >= IDLE_S)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The others go on; this one is tried again later.
            waiting.look_s = now_s + IDLE_S
            _log.exception("A run was not compacted", extra={"run_key": run_key.hex()})
            return False
        waiting.look_s = now_s if taken else max(now_s + LOOK_INTERVAL_S, waiting.put_off_s)
        return taken

    async def _follow(self) -> None:
        more = True
        while more and len(self._waiting) < RUNS_WAITING_MAX:
            changes = await self._log.metric_log.changes(self._cursor)
            now_s = self._clock.monotonic_s()
            for change in changes.changes:
                known = self._waiting.get(change.run_key)
                if known is None:
                    self._waiting[change.run_key] = _Waiting(now_s, now_s, untrimmed=True)
                else:
                    known.changed_s = now_s
                    self._waiting.move_to_end(change.run_key)
            self._cursor, more = changes.cursor, changes.more

    async def _attend(self, run_key: bytes, waiting: _Waiting, *, idle: bool) -> bool:
        manifest = await self._log.manifests.get(run_key)
        heads = await self._log.heads(run_key)
        if waiting.untrimmed:
            # Of one that was killed between publishing and trimming, or what a replica that had been frozen sent late.
            for head in heads:
                if upto := manifest.sequence(head.writer_key):
                    await self._log.metric_log.trim(run_key, head.writer_key, upto)
            waiting.untrimmed = False
        points, batches = _tail(manifest, heads)
        waiting.points = points
        worth = points >= TAIL_POINTS_MIN or batches >= TAIL_BATCHES_MIN
        if idle and not worth:
            worth = points >= IDLE_POINTS_MIN or batches >= IDLE_BATCHES_MIN
        if not worth:
            if idle:
                del self._waiting[run_key]
            return False
        if not await self._claim(run_key):
            return False
        taken = await self.compact(run_key)
        await self.merge(run_key)
        if not taken:
            waiting.put_off_s = self._clock.monotonic_s() + PUT_OFF_S
        return taken

    async def _claim(self, run_key: bytes) -> bool:
        """Whether no other compactor is at a run just now. Two that err about it cost one's work and nothing else."""
        name = f"compaction:{run_key.hex()}"
        holder = await self._hot.get(name)
        if holder is not None and holder != self._id:
            return False
        await self._hot.put(name, self._id, ttl_s=CLAIM_S)
        return True

    async def compact(self, run_key: bytes) -> bool:
        """Takes some of what a run has above its watermarks into a segment. Returns whether it did."""
        segments = await self._log.open(run_key)
        manifest = segments.manifest
        behind = [head for head in await self._log.heads(run_key) if head.sequence > manifest.sequence(head.writer_key)]
        tails: list[WriterTail] = []
        watermarks: dict[bytes, Watermark] = {}
        size = batches = 0
        for head in behind:
            new = head.writer_key not in manifest.watermarks
            if new and len(manifest.watermarks) + len(watermarks) >= WRITERS_PER_MANIFEST_MAX:
                continue
            records = await self._following(
                head, manifest.sequence(head.writer_key), CONTENT_BYTES_MAX - size, BATCHES_MAX - batches
            )
            if not records:
                continue
            keys = segments.keys_of(head.writer_key)
            keys_before = len(keys)
            tails.append(WriterTail(keys_before, keys, await self._work(decoded, records, keys)))
            watermarks[head.writer_key] = Watermark(records[-1].sequence, records[-1].durable_points)
            size += sum(len(record.content) for record in records)
            batches += len(records)
            if size >= CONTENT_BYTES_MAX or batches >= BATCHES_MAX:
                break
        if not tails:
            return False
        image: SegmentImage = await self._work(build, tails)
        tails.clear()
        published = await self._publish_image(manifest, image, watermarks)
        if published:
            for writer_key, mark in watermarks.items():
                await self._log.metric_log.trim(run_key, writer_key, mark.sequence)
        return published

    async def _following(self, head: WriterHead, after: int, bytes_max: int, batches_max: int) -> list[BatchRecord]:
        """The batches of a writer that follow `after` without a gap, up to the head and within the bounds, or a first one."""
        found: list[BatchRecord] = []
        size = 0
        while size < bytes_max and len(found) < batches_max:
            last = after + len(found)
            records = await self._log.metric_log.scan(
                head.run_key, head.writer_key, after=last, bytes_max=min(bytes_max - size, CONTENT_BYTES_MAX // 4)
            )
            following = [
                record
                for place, record in enumerate(records, start=last + 1)
                if record.sequence == place and place <= head.sequence
            ][: batches_max - len(found)]
            found += following
            size += sum(len(record.content) for record in following)
            if not following or len(following) < len(records):
                break
        return found

    async def _publish_image(self, manifest: Manifest, image: SegmentImage, watermarks: dict[bytes, Watermark]) -> bool:
        inline = image.size <= INLINE_BYTES_MAX
        segment_id = new_segment_id()
        ref = SegmentRef(segment_id, image.size, image.directory_bytes, image.directory.points, inline)
        if not inline:
            await self._log.files.put(manifest.run_key, segment_id, image.pieces)
        grown = manifest.grown(ref, watermarks)
        return await self._publish(grown, ref, b"".join(image.pieces) if inline else None)

    async def _publish(self, manifest: Manifest, ref: SegmentRef, image: bytes | None) -> bool:
        written = await self._log.manifests.publish(manifest, None if image is None else (ref.segment_id, image))
        if written is not None:
            return True
        # Somebody else was quicker; or it was this one, and the answer was lost on the way.
        now = await self._log.manifests.get(manifest.run_key)
        if ref in now.segments:
            return True
        if not ref.inline:
            await self._log.files.remove(manifest.run_key, ref.segment_id, inline=False)
        return False

    async def merge(self, run_key: bytes) -> bool:
        """Merges the newest segments of a run where they became many, and removes what was merged long ago."""
        merged = False
        while True:
            segments = await self._log.open(run_key)
            chosen = merge_candidates(segments.manifest.segments)
            if not chosen:
                break
            try:
                if not await self._merge(segments, chosen):
                    return merged
            except SegmentGone:
                return merged  # another one merged them
            merged = True
        await self._remove_retired(segments.manifest)
        return merged

    async def _merge(self, segments: RunSegments, chosen: Sequence[SegmentRef]) -> bool:
        manifest = segments.manifest
        ahead = ReadAhead(self._log.files)
        sources = [replace(segment, files=ahead) for segment in segments.segments if segment.ref in chosen]
        merge = SegmentMerge(sources, self._work)
        segment_id = new_segment_id()
        image: bytes | None = None
        inline = sum(segment.size for segment in chosen) <= INLINE_BYTES_MAX
        if inline:
            image = b"".join([piece async for piece in merge.pieces()])
            size = len(image)
        else:
            size = await self._log.files.put(manifest.run_key, segment_id, merge.pieces())
        assert merge.directory is not None
        ref = SegmentRef(segment_id, size, merge.directory_bytes, merge.directory.points, inline)
        return await self._publish(manifest.merged(chosen, ref, self._clock.now_us()), ref, image)

    async def _remove_retired(self, manifest: Manifest) -> None:
        before_us = self._clock.now_us() - int(RETIRED_KEPT_S * 1_000_000)
        gone = [retired for retired in manifest.retired if retired.since_us < before_us]
        if not gone:
            return
        for retired in gone:
            await self._log.files.remove(manifest.run_key, retired.segment_id, inline=retired.inline)
        await self._log.manifests.publish(manifest.without(gone))

    async def sweep(self) -> int:
        """Removes what was merged long ago, and the blobs that no manifest lists. Returns how many of these."""
        async for manifest in self._log.manifests.all():
            await self._remove_retired(manifest)
        removed = 0
        cursor: str | None = None
        while True:
            page = await self._blobs.list(BLOB_PREFIX, cursor=cursor)
            by_run: dict[bytes, list[str]] = {}
            for blob in page.blobs:
                run_key, _, segment_id = blob.key.removeprefix(BLOB_PREFIX).partition("/")
                by_run.setdefault(bytes.fromhex(run_key), []).append(segment_id)
            for run_key, segment_ids in by_run.items():
                removed += await self._sweep_run(run_key, segment_ids)
            cursor = page.cursor
            if cursor is None:
                return removed

    async def _sweep_run(self, run_key: bytes, segment_ids: Sequence[str]) -> int:
        # The blobs were listed before the manifest is read: what was published since is in it.
        manifest = await self._log.manifests.get(run_key)
        listed = {segment.segment_id for segment in (*manifest.segments, *manifest.retired)}
        orphans = [segment_id for segment_id in segment_ids if segment_id not in listed]
        if not orphans or await self._log.manifests.publish(manifest) is None:
            return 0
        for segment_id in orphans:
            await self._log.files.remove(run_key, segment_id, inline=False)
        return len(orphans)


def _tail(manifest: Manifest, heads: Sequence[WriterHead]) -> tuple[int, int]:
    """How many points and batches of a run are above the watermarks."""
    points = batches = 0
    for head in heads:
        mark = manifest.watermarks.get(head.writer_key, Watermark(0, 0))
        points += max(0, head.durable_points - mark.points)
        batches += max(0, head.sequence - mark.sequence)
    return points, batches


def merge_candidates(segments: Sequence[SegmentRef]) -> Sequence[SegmentRef]:
    """The newest segments that should become one, none if they are few: `MERGE_FANOUT` or more of a level and below.

    Only neighbours are merged, since segments hold the batches of a writer in order.
    """
    levels = [_level(segment.size) for segment in segments]
    for level in sorted(set(levels)):
        start = len(segments)
        while start and levels[start - 1] <= level:
            start -= 1
        chosen = segments[start:]
        if len(chosen) >= MERGE_FANOUT and sum(segment.size for segment in chosen) <= MERGED_BYTES_MAX:
            return chosen
    return ()


def _level(size: int) -> int:
    level = 0
    while size >= MERGE_LEVEL_BYTES:
        size //= MERGE_FANOUT
        level += 1
    return level
