"""Real processes killed, frozen and cut off from each other at random moments, while senders send and compaction runs.

After each fault the service comes back by itself, and at every moment what `support.history` says of a log that keeps its
promises holds. The order of faults, their moments and their length come from a seed: PENSTOCK_FAULT_SEED=7 repeats one.
PENSTOCK_SOAK=1 makes it long.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from support.cluster import Cluster, running_cluster
from support.faithful import ended, progress, read_all, reading, sending
from support.history import History

pytestmark = pytest.mark.slow

SOAK = os.environ.get("PENSTOCK_SOAK") == "1"
ROUNDS = 3 if SOAK else 1  # of all faults
SEEDS = [int(seed)] if (seed := os.environ.get("PENSTOCK_FAULT_SEED")) else [*range(1, 11 if SOAK else 2)]
WRITERS = 3
PAUSE_S = (0.1, 0.8)  # between faults
HOLD_S = (0.1, 1.0)  # of a fault
COMPACTION_TIMEOUT_S = 60.0


async def kill_tracking(cluster: Cluster, hold_s: float) -> None:
    await asyncio.to_thread(cluster.tracking.kill)
    await asyncio.to_thread(cluster.tracking.start)


async def freeze_tracking(cluster: Cluster, hold_s: float) -> None:
    cluster.tracking.pause()
    await asyncio.sleep(hold_s)
    cluster.tracking.resume()


async def kill_compactor(cluster: Cluster, hold_s: float) -> None:
    cluster.compactor.kill()


async def freeze_compactor(cluster: Cluster, hold_s: float) -> None:
    cluster.compactor.pause()
    await asyncio.sleep(hold_s)
    cluster.compactor.resume()


async def kill_mongod(cluster: Cluster, hold_s: float) -> None:
    await asyncio.to_thread(cluster.mongo.kill)
    await asyncio.sleep(hold_s)
    await asyncio.to_thread(cluster.mongo.start)


async def freeze_mongod(cluster: Cluster, hold_s: float) -> None:
    cluster.mongo.pause()
    await asyncio.sleep(hold_s)
    cluster.mongo.resume()


async def kill_mongod_and_tracking(cluster: Cluster, hold_s: float) -> None:
    await asyncio.to_thread(cluster.mongo.kill)
    await asyncio.to_thread(cluster.tracking.kill)
    await asyncio.to_thread(cluster.mongo.start)
    await asyncio.to_thread(cluster.tracking.start)


async def kill_redis(cluster: Cluster, hold_s: float) -> None:
    await asyncio.to_thread(cluster.redis.kill)
    await asyncio.sleep(hold_s)
    await asyncio.to_thread(cluster.redis.start)


async def freeze_redis(cluster: Cluster, hold_s: float) -> None:
    cluster.redis.pause()
    await asyncio.sleep(hold_s)
    cluster.redis.resume()


async def flush_redis(cluster: Cluster, hold_s: float) -> None:
    def flush() -> None:
        with Redis.from_url(cluster.redis.url) as client:
            client.flushall()

    await asyncio.to_thread(flush)


async def kill_s3(cluster: Cluster, hold_s: float) -> None:
    await asyncio.to_thread(cluster.s3.kill)
    await asyncio.sleep(hold_s)
    await asyncio.to_thread(cluster.s3.start)


async def lose_replies(cluster: Cluster, hold_s: float) -> None:
    """What senders send is committed, and they do not hear of it."""
    cluster.proxy.replies_lost = True
    await asyncio.sleep(hold_s)
    cluster.proxy.cut()
    cluster.proxy.replies_lost = False


async def delay(cluster: Cluster, hold_s: float) -> None:
    cluster.proxy.delay_s = hold_s / 4
    await asyncio.sleep(hold_s)
    cluster.proxy.delay_s = 0.0


async def cut(cluster: Cluster, hold_s: float) -> None:
    cluster.proxy.cut()


FAULTS: list[Callable[[Cluster, float], Awaitable[None]]] = [
    kill_tracking,
    freeze_tracking,
    kill_compactor,
    freeze_compactor,
    kill_mongod,
    freeze_mongod,
    kill_mongod_and_tracking,
    kill_redis,
    freeze_redis,
    flush_redis,
    kill_s3,
    lose_replies,
    delay,
    cut,
]


@dataclass(frozen=True)
class Fault:
    """What happens, when after the last one was got over, and for how long."""

    happens: Callable[[Cluster, float], Awaitable[None]]
    pause_s: float
    hold_s: float


def schedule(seed: int) -> list[Fault]:
    """All faults, each as often, in an order and at moments of the seed."""
    chosen = random.Random(seed)
    faults = [fault for _ in range(ROUNDS) for fault in chosen.sample(FAULTS, len(FAULTS))]
    return [Fault(fault, chosen.uniform(*PAUSE_S), chosen.uniform(*HOLD_S)) for fault in faults]


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_killed_frozen_or_cut(tmp_path: Path, seed: int) -> None:
    history = History(seed)
    async with running_cluster(tmp_path) as cluster:
        run = await cluster.new_run()
        tasks = [asyncio.create_task(sending(history, writer, run, cluster.by_proxy)) for writer in range(WRITERS)]
        tasks.append(asyncio.create_task(reading(history, run, WRITERS, cluster.directly, seed)))
        await progress(history, WRITERS)
        for fault in schedule(seed):
            await asyncio.sleep(fault.pause_s)
            await fault.happens(cluster, fault.hold_s)
            await progress(history, WRITERS, batches=3)
            assert history.violations == [], f"after {fault}, seed {seed}"
            assert not any(task.done() for task in tasks)
        await ended(tasks)
        # The log is emptied into segments; then a service that remembers nothing reads all of it.
        async with asyncio.timeout(COMPACTION_TIMEOUT_S):
            while await asyncio.to_thread(cluster.batches_in_log) > sum(history.acked.values()) // 2:  # noqa: ASYNC110 - nothing rings
                await asyncio.sleep(0.5)
        await kill_tracking(cluster, 0.0)
        await read_all(history, run, WRITERS, cluster.directly)
    assert history.violations == [], f"seed {seed}"


def test_a_seed_is_a_schedule() -> None:
    assert schedule(7) == schedule(7)
    assert schedule(7) != schedule(8)
    assert {fault.happens for fault in schedule(7)} == set(FAULTS)
