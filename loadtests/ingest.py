"""Durable ingest from the wire: straight to the service and through the gateway.

Four writers, each on a connection of its own, send ready-made batches, with a bounded number unacknowledged, and count what
is acknowledged. Blocks stand beside the bare driver, which inserts the same bytes with the same durability and does nothing
else; single rows beside an empty sink with the options and the parse of the service. All processes share the machine with
the sender, as in a small installation.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient, WriteConcern

from loadtests.platforms import Running, running_mongo, running_sink, running_stores
from loadtests.report import Figure, ServiceMemory, median, percentile
from loadtests.stream import Messages, Metadata, Shape, Stream, access, new_runs, own_channel, stream_until
from penstock.client import AsyncClient
from penstock.config import Connection

WRITERS: Final = 4
BLOCKS: Final = Shape("blocks of 100 keys × 100 rows", 100, 100, in_flight=24)
ROWS: Final = Shape("one row of 100 keys per message", 100, 1, in_flight=256)
ROUNDS: Final = 3
ROUND_S: Final = float(os.environ.get("PENSTOCK_BENCH_ROUND_S", "10"))
SUSTAINED_S: Final = float(os.environ.get("PENSTOCK_BENCH_LONG_S", "60"))
SUSTAINED_OFFERED: Final = 6e6  # points a second: a fifth above the goal, so that what is missed shows

SUSTAINED_GOAL: Final = 5e6
BURST_GOAL: Final = 10e6
BURST_RATIO_GOAL: Final = 0.4
ROWS_GOAL: Final = 0.8e6
ROWS_RATIO_GOAL: Final = 0.5

BARE_INSERTS_AT_ONCE: Final = 4
BARE_BATCHES_PER_INSERT: Final = 8  # what was quickest of 1, 8, 16 and 48
WAYS: Final = {"service": "straight to the service", "gateway": "through the gateway"}


async def _round(
    address: str, shape: Shape, runs: list[str], metadata: Metadata, seconds: float, offered: float | None = None
) -> tuple[float, list[float]]:
    """Durable points a second of one round, and the latencies of the acknowledgements.

    Args:
        offered: Points a second that are sent; None means as many as go.
    """
    messages = Messages(shape)
    channels = [own_channel(address) for _ in runs]
    try:
        streams = [
            await Stream.open(channel, metadata, run, os.urandom(16).hex(), shape.in_flight)
            for channel, run in zip(channels, runs, strict=True)
        ]
        start_s = time.perf_counter()
        pace = None if offered is None else offered / shape.points / len(runs)
        latencies_s = await asyncio.gather(
            *(stream_until(stream, messages, start_s + seconds, batches_per_s=pace) for stream in streams)
        )
        acked = sum(map(len, latencies_s))
        return acked * shape.points / (time.perf_counter() - start_s), [each for found in latencies_s for each in found]
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


async def _bare(url: str) -> float:
    """Points a second that the driver inserts as the content of blocks, majority and journal, and nothing else."""
    content = Messages(BLOCKS).content
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url)
    concern = WriteConcern("majority", j=True)
    inserted = 0
    start_s = time.perf_counter()

    async def insert(collection: Any) -> None:
        nonlocal inserted
        while time.perf_counter() < start_s + ROUND_S:
            await collection.insert_many(
                [{"_id": os.urandom(16), "c": content} for _ in range(BARE_BATCHES_PER_INSERT)], ordered=False
            )
            inserted += BARE_BATCHES_PER_INSERT

    async with client:
        database = client.get_database("bare", write_concern=concern)
        await asyncio.gather(*(insert(database["batches"]) for _ in range(BARE_INSERTS_AT_ONCE)))
        rate = inserted * BLOCKS.points / (time.perf_counter() - start_s)
        await client.drop_database("bare")
    return rate


class _Measured:
    """What was measured: points a second by shape and way, all rounds; of the sustained load, also its latencies."""

    def __init__(self) -> None:
        self.rounds: dict[tuple[str, str], list[float]] = {}
        self.sustained: dict[str, tuple[float, list[float]]] = {}

    def add(self, what: str, way: str, rate: float) -> None:
        self.rounds.setdefault((what, way), []).append(rate)

    def median(self, what: str, way: str) -> float:
        return median(self.rounds[what, way])


async def _measure(platform: Running, sink: str, mongo_url: str) -> _Measured:
    measured = _Measured()
    ways = {"service": platform.address("tracking"), "gateway": platform.grpc}
    async with AsyncClient(Connection(platform.http, platform.grpc, platform.token, "benchmark")) as client:

        async def against(way: str, shape: Shape, seconds: float, offered: float | None = None) -> Any:
            runs = await new_runs(client, WRITERS, shape.name)
            return await _round(ways[way], shape, runs, await access(client, platform.token), seconds, offered)

        for _ in range(ROUNDS):
            measured.add(BLOCKS.name, "bare", await _bare(mongo_url))
            measured.add(ROWS.name, "sink", (await _round(sink, ROWS, [""] * WRITERS, (), ROUND_S))[0])
            for way in WAYS:
                for shape in (BLOCKS, ROWS):
                    measured.add(shape.name, way, (await against(way, shape, ROUND_S))[0])
        for way in WAYS:
            measured.sustained[way] = await against(way, BLOCKS, SUSTAINED_S, SUSTAINED_OFFERED)
    return measured


def run() -> list[Figure]:
    """Figures for both shapes, straight and through the gateway."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stores(Path(folder)) as platform,
        running_sink() as sink,
        running_mongo(Path(folder) / "bare") as mongo_url,
    ):
        memory = ServiceMemory(platform.pid("tracking"))
        measured = asyncio.run(_measure(platform, sink, mongo_url))
        of_memory = memory.figure("ingest")
    figures: list[Figure] = []
    for way, said in WAYS.items():
        rate, latencies_s = measured.sustained[way]
        figures += [
            Figure(
                name=f"durable ingest for {SUSTAINED_S:g} s, {BLOCKS.name}, {said}",
                value=rate,
                unit="points/s",
                goal=SUSTAINED_GOAL,
                better="higher",
                beside_name="offered",
                beside=SUSTAINED_OFFERED,
                details={f"ack_p{percent}_ms": percentile(latencies_s, percent) * 1000 for percent in (50, 99)},
            ),
            Figure(
                name=f"durable ingest, bursts of {ROUND_S:g} s, {BLOCKS.name}, {said}",
                value=measured.median(BLOCKS.name, way),
                unit="points/s",
                goal=BURST_GOAL,
                better="higher",
                beside_name="the bare driver inserts the same bytes, majority and journal",
                beside=measured.median(BLOCKS.name, "bare"),
                ratio_goal=BURST_RATIO_GOAL,
                details={
                    "rounds": measured.rounds[BLOCKS.name, way],
                    "rounds_beside": measured.rounds[BLOCKS.name, "bare"],
                },
            ),
            Figure(
                name=f"durable ingest, {ROWS.name}, {said}",
                value=measured.median(ROWS.name, way),
                unit="points/s",
                goal=ROWS_GOAL,
                better="higher",
                beside_name="an empty gRPC sink with the same options and parse",
                beside=measured.median(ROWS.name, "sink"),
                ratio_goal=ROWS_RATIO_GOAL,
                details={
                    "rounds": measured.rounds[ROWS.name, way],
                    "rounds_beside": measured.rounds[ROWS.name, "sink"],
                },
            ),
        ]
    return [*figures, of_memory]
