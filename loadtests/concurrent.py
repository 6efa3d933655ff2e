"""Many writers at once: 200 of them, each with 1,000 series, each a row a second; everything is read back and compared."""

import asyncio
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.platforms import Processes, running_servers, running_sink
from loadtests.report import Figure, ServiceMemory, percentile
from loadtests.stream import Metadata, Stream, access, batch_message, content_of, key_names, new_runs, own_channel
from penstock.api.tracking.v1.tracking_service_pb2 import GetMetricSeriesRequest
from penstock.client import AsyncClient
from penstock.config import Connection

WRITERS = 200
KEYS = 1_000
SECONDS = int(os.environ.get("PENSTOCK_BENCH_LONG_S", "60"))
SINK_SECONDS = 10
IN_FLIGHT = 64  # rows of a writer: it never waits for acknowledgements here
READERS = 4
ACK_P99_MS_GOAL = 250.0


def _row(writer: int, second: int) -> Any:
    """The values of a writer at a second: no two rows are alike."""
    return np.arange(KEYS, dtype=np.float64)[None, :] / 1024 + writer * 1_000 + second


async def _write(channel: Any, metadata: Metadata, run: str, writer: int, begin_s: float, seconds: int) -> list[float]:
    stream = await Stream.open(channel, metadata, run, os.urandom(16).hex(), IN_FLIGHT)
    reading = asyncio.create_task(stream.read())
    phase_s = random.random()
    for second in range(seconds):
        message = batch_message(second + 1, content_of(KEYS, second, _row(writer, second), defined=second > 0))
        await asyncio.sleep(begin_s + phase_s + second - time.perf_counter())
        await stream.send(second + 1, message)
    await stream.close()
    await reading
    return stream.latencies_s


async def _load(address: str, metadata: Metadata, runs: list[str], seconds: int) -> list[float]:
    """Every writer writes for some seconds. Returns the latencies of all acknowledgements."""
    channels = [own_channel(address) for _ in runs]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        begin_s = time.perf_counter() + 2.0  # until all streams are open
        found = await asyncio.gather(
            *(
                _write(channel, metadata, run, writer, begin_s, seconds)
                for writer, (channel, run) in enumerate(zip(channels, runs, strict=True))
            )
        )
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return [latency_s for latencies_s in found for latency_s in latencies_s]


async def _wrong(client: AsyncClient, runs: list[str]) -> int:
    """How many points are missing, there twice, or not what was sent."""
    reading = asyncio.Semaphore(READERS)
    expected_steps = np.arange(SECONDS)

    async def wrong_of(writer: int, run: str) -> int:
        async with reading:
            request = GetMetricSeriesRequest(parent="projects/default", runs=[run], keys=key_names(KEYS))
            response = await client.tracking.GetMetricSeries(request)
        sent = np.concatenate([_row(writer, second) for second in range(SECONDS)])
        found = {series.key: series.points for series in response.series}
        wrong = 0
        for column, name in enumerate(key_names(KEYS)):
            points = found.get(name)
            steps = np.array(points.steps if points else [], np.int64)
            values = np.array(points.values if points else [], np.float64)
            if not np.array_equal(steps, expected_steps):
                wrong += max(abs(len(steps) - SECONDS), 1)
            else:
                wrong += int(np.count_nonzero(values != sent[:, column]))
        return wrong

    return sum(await asyncio.gather(*(wrong_of(writer, run) for writer, run in enumerate(runs))))


async def _measure(platform: Processes, sink: str) -> tuple[dict[str, list[float]], dict[str, int]]:
    latencies_s: dict[str, list[float]] = {}
    wrong: dict[str, int] = {}
    connection = Connection(platform.http, platform.grpc, platform.token, "benchmark")
    async with AsyncClient(connection) as client:
        latencies_s["sink"] = await _load(sink, (), [""] * WRITERS, SINK_SECONDS)
        for way, address in (("service", platform.address("tracking")), ("gateway", platform.grpc)):
            runs = await new_runs(client, WRITERS, "concurrent")
            latencies_s[way] = await _load(address, await access(client, platform.token), runs, SECONDS)
            wrong[way] = await _wrong(client, runs)
    return latencies_s, wrong


def run() -> list[Figure]:
    """Figures for acknowledgements, lost and doubled points, memory; straight to the service and through the gateway."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_servers(Path(folder)) as services,
        running_sink() as sink,
    ):
        memory = ServiceMemory(services.pid("tracking"))
        latencies_s, wrong = asyncio.run(_measure(services, sink))
        of_memory = memory.figure(f"{WRITERS} concurrent writers")
    figures: list[Figure] = []
    for way, said in (("service", "straight to the service"), ("gateway", "through the gateway")):
        acks_ms = [latency_s * 1000 for latency_s in latencies_s[way]]
        figures += [
            Figure(
                name=f"{WRITERS} writers × {KEYS:,} series at 1 Hz for {SECONDS} s, acknowledged, p99, {said}",
                value=percentile(acks_ms, 99),
                unit="ms",
                goal=ACK_P99_MS_GOAL,
                better="lower",
                beside_name="an empty gRPC sink with the same options and parse",
                beside=percentile([latency_s * 1000 for latency_s in latencies_s["sink"]], 99),
                details={"p50": percentile(acks_ms, 50), "max": max(acks_ms), "acknowledged": len(acks_ms)},
            ),
            Figure(
                name=f"of these, points lost, doubled or altered, {said}",
                value=wrong[way],
                unit="points",
                goal=0,
                better="lower",
                beside_name="points sent",
                beside=WRITERS * KEYS * SECONDS,
            ),
        ]
    return [*figures, of_memory]
