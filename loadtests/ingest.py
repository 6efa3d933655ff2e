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

from loadtests.platforms import Processes, running_embedded, running_mongo, running_servers, running_sink
from loadtests.report import Figure, ServiceMemory, median, percentile
from loadtests.stream import Messages, Metadata, Shape, Stream, access, new_runs, own_channel, stream_until
from penstock.client import AsyncClient
from penstock.config import Connection

WRITERS: Final = 4
BLOCKS: Final = Shape("blocks of 100 keys × 100 rows", 100, 100, in_flight=24)
ROWS: Final = Shape("one row of 100 keys per message", 100, 1, in_flight=256)
ROUNDS: Final = 3
WARM_S: Final = 3.0
"""Before the rounds on MongoDB: its first seconds are those of a database that takes its memory and makes its files."""
ROUND_S: Final = float(os.environ.get("PENSTOCK_BENCH_ROUND_S", "10"))
SUSTAINED_S: Final = float(os.environ.get("PENSTOCK_BENCH_LONG_S", "60"))
SUSTAINED_OFFERED: Final = 5.25e6  # points a second: just above the goal, so that what is missed shows

EMBEDDED_GOAL: Final = 5e6
SUSTAINED_GOAL: Final = 5e6
BURST_GOAL: Final = 10e6
BURST_RATIO_GOAL: Final = 0.4
ROWS_GOAL: Final = 0.8e6
ROWS_RATIO_GOAL: Final = 0.5
BACKLOG_LOOKS: Final = 12
BACKLOG_GOAL: Final = 10 * SUSTAINED_GOAL  # what compaction may leave behind: points of ten seconds

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
    await asyncio.to_thread(os.sync)  # what others have written is not written meanwhile
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
    await asyncio.to_thread(os.sync)
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


Rounds = dict[tuple[str, str], list[float]]
"""Points a second by shape and way."""


class _Caller:
    """Sends rounds to one platform, each to new runs.

    Args:
        client: Of the platform.
        services: The platform.
    """

    def __init__(self, client: AsyncClient, services: Processes) -> None:
        self._client = client
        self._services = services

    async def round(
        self, way: str, shape: Shape, seconds: float, offered: float | None = None
    ) -> tuple[float, list[float]]:
        """See `_round`."""
        services = self._services
        runs = await new_runs(self._client, WRITERS, shape.name)
        address = services.address("tracking") if way == "service" else services.grpc
        return await _round(address, shape, runs, await access(self._client, services.token), seconds, offered)


async def _bursts(services: Processes, sink: str, mongo_url: str) -> Rounds:
    rounds: Rounds = {}
    async with AsyncClient(Connection(services.http, services.grpc, services.token, "benchmark")) as client:
        caller = _Caller(client, services)
        for way in WAYS:
            await caller.round(way, BLOCKS, WARM_S)
        for _ in range(ROUNDS):
            rounds.setdefault((BLOCKS.name, "bare"), []).append(await _bare(mongo_url))
            rate, _latencies = await _round(sink, ROWS, [""] * WRITERS, (), ROUND_S)
            rounds.setdefault((ROWS.name, "sink"), []).append(rate)
            for way in WAYS:
                for shape in (BLOCKS, ROWS):
                    rate, _latencies = await caller.round(way, shape, ROUND_S)
                    rounds.setdefault((shape.name, way), []).append(rate)
    return rounds


async def _embedded(services: Processes, sink: str) -> Rounds:
    rounds: Rounds = {}
    async with AsyncClient(Connection(services.http, services.grpc, services.token, "benchmark")) as client:
        caller = _Caller(client, services)
        for _ in range(ROUNDS):
            rate, _latencies = await _round(sink, BLOCKS, [""] * WRITERS, (), ROUND_S)
            rounds.setdefault((BLOCKS.name, "sink"), []).append(rate)
            for way in WAYS:
                rate, _latencies = await caller.round(way, BLOCKS, ROUND_S)
                rounds.setdefault((BLOCKS.name, way), []).append(rate)
    return rounds


async def _sustained(services: Processes) -> list[Figure]:
    """Figures for a load of a steady pace while compaction runs: what was acknowledged, and what compaction has left."""
    figures: list[Figure] = []
    log: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(services.mongo.database_url("metrics"))
    async with AsyncClient(Connection(services.http, services.grpc, services.token, "benchmark")) as client, log:
        batches = log.get_default_database()["metric_batches"]
        for way, said in WAYS.items():
            before = await batches.estimated_document_count()
            backlog: list[float] = []

            async def watch(backlog: list[float] = backlog, before: int = before) -> None:
                while True:
                    await asyncio.sleep(SUSTAINED_S / BACKLOG_LOOKS)
                    backlog.append((await batches.estimated_document_count() - before) * BLOCKS.points)

            watching = asyncio.create_task(watch())
            try:
                rate, latencies_s = await _Caller(client, services).round(way, BLOCKS, SUSTAINED_S, SUSTAINED_OFFERED)
            finally:
                watching.cancel()
            figures += [
                Figure(
                    name=f"durable ingest for {SUSTAINED_S:g} s, compaction running, {BLOCKS.name}, {said}",
                    value=rate,
                    unit="points/s",
                    goal=SUSTAINED_GOAL,
                    better="higher",
                    beside_name="offered",
                    beside=SUSTAINED_OFFERED,
                    details={f"ack_p{percent}_ms": percentile(latencies_s, percent) * 1000 for percent in (50, 99)},
                ),
                Figure(
                    name=f"of these, not yet in segments at the end, {said}",
                    value=backlog[-1],
                    unit="points",
                    goal=BACKLOG_GOAL,
                    better="lower",
                    beside_name="half-way",
                    beside=backlog[len(backlog) // 2 - 1],
                    details={"looks": backlog, "logged": len(latencies_s) * BLOCKS.points},
                ),
            ]
    return figures


def run() -> list[Figure]:
    """Figures for both shapes, straight and through the gateway."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_embedded(Path(folder)) as services,
        running_sink() as sink,
    ):
        memory = ServiceMemory(services.pid("tracking"))
        rounds = asyncio.run(_embedded(services, sink))
        figures = [
            *(
                Figure(
                    name=f"durable ingest on the embedded stores, {BLOCKS.name}, {said}",
                    value=median(rounds[BLOCKS.name, way]),
                    unit="points/s",
                    goal=EMBEDDED_GOAL,
                    better="higher",
                    beside_name="an empty gRPC sink with the same options and parse",
                    beside=median(rounds[BLOCKS.name, "sink"]),
                    details={"rounds": rounds[BLOCKS.name, way], "rounds_beside": rounds[BLOCKS.name, "sink"]},
                )
                for way, said in WAYS.items()
            ),
            memory.figure("ingest on the embedded stores"),
        ]
    with (
        tempfile.TemporaryDirectory() as folder,
        running_servers(Path(folder), compaction=False) as services,
        running_sink() as sink,
        running_mongo(Path(folder) / "bare") as mongo_url,
    ):
        memory = ServiceMemory(services.pid("tracking"))
        rounds = asyncio.run(_bursts(services, sink, mongo_url))
        figures.append(memory.figure("bursts of ingest"))
    with tempfile.TemporaryDirectory() as folder, running_servers(Path(folder)) as services:
        memories = {name: ServiceMemory(services.pid(name)) for name in ("tracking", "compactor")}
        figures += asyncio.run(_sustained(services))
        figures += [memory.figure("ingest and compaction", name) for name, memory in memories.items()]
    for way, said in WAYS.items():
        figures += [
            Figure(
                name=f"durable ingest, bursts of {ROUND_S:g} s, {BLOCKS.name}, {said}",
                value=median(rounds[BLOCKS.name, way]),
                unit="points/s",
                goal=BURST_GOAL,
                better="higher",
                beside_name="the bare driver inserts the same bytes, majority and journal",
                beside=median(rounds[BLOCKS.name, "bare"]),
                ratio_goal=BURST_RATIO_GOAL,
                details={"rounds": rounds[BLOCKS.name, way], "rounds_beside": rounds[BLOCKS.name, "bare"]},
            ),
            Figure(
                name=f"durable ingest, {ROWS.name}, {said}",
                value=median(rounds[ROWS.name, way]),
                unit="points/s",
                goal=ROWS_GOAL,
                better="higher",
                beside_name="an empty gRPC sink with the same options and parse",
                beside=median(rounds[ROWS.name, "sink"]),
                ratio_goal=ROWS_RATIO_GOAL,
                details={"rounds": rounds[ROWS.name, way], "rounds_beside": rounds[ROWS.name, "sink"]},
            ),
        ]
    return figures
