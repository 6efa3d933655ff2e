"""Durable ingest from the wire: straight to the service and through the gateway, beside an empty sink of the same options.

Four writers on one connection each send ready-made batches, with a bounded number unacknowledged, and count what is
acknowledged. All processes share the machine with the sender, as in a small installation.
"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is started as the tests start it

from support.platform import running_processes

from loadtests.report import Figure, median
from penstock.api.auth.v1.auth_service_pb2 import ExchangeTokenRequest
from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1.tracking_service_pb2 import CreateRunRequest
from penstock.client import AsyncClient
from penstock.config import Connection

WRITERS = 4
BATCHES_IN_FLIGHT = 16
ROUND_S = float(os.environ.get("PENSTOCK_BENCH_ROUND_S", "10"))
ROUNDS = 3
METHOD = "/penstock.api.tracking.v1.TrackingService/StreamMetrics"


@dataclass(frozen=True)
class Shape:
    """What one message holds."""

    name: str
    keys: int
    rows: int
    goal: float


SHAPES = (
    Shape("blocks of 100 keys × 100 rows", 100, 100, 5e6),
    Shape("one row of 100 keys per message", 100, 1, 0.8e6),
)


def _content(shape: Shape, *, defined: bool) -> bytes:
    rows, keys = shape.rows, shape.keys
    return metric_pb2.MetricBatchContent(
        new_keys=[] if defined else [metric_pb2.MetricKey(id=i, key=f"layer/{i}/loss") for i in range(keys)],
        blocks=[
            metric_pb2.MetricBlock(
                key_ids=range(keys),
                steps=range(rows),
                times_unix_us=range(1_700_000_000_000_000, 1_700_000_000_000_000 + rows),
                values=[((r * 7919 + k) % 1000) / 999.0 for r in range(rows) for k in range(keys)],
            )
        ],
    ).SerializeToString()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Messages:
    """Batch messages whose content is encoded once; only the sequence differs."""

    def __init__(self, shape: Shape) -> None:
        self._first = self._tail(_content(shape, defined=False))
        self._rest = self._tail(_content(shape, defined=True))

    @staticmethod
    def _tail(content: bytes) -> bytes:
        digest = hashlib.sha256(content).digest()
        return b"\x12\x20" + digest + b"\x1a" + _varint(len(content)) + content

    def batch(self, sequence: int) -> bytes:
        """A serialised StreamMetricsRequest."""
        inner = b"\x08" + _varint(sequence) + (self._first if sequence == 1 else self._rest)
        return b"\x12" + _varint(len(inner)) + inner


async def _write(
    channel: grpc.aio.Channel, metadata: list[tuple[str, str]], run: str, messages: _Messages, end_s: float
) -> int:
    """Streams until `end_s`, and returns how many batches were acknowledged."""
    call = channel.stream_stream(METHOD)(metadata=metadata)
    opening = metric_pb2.OpenWriter(run=run, writer_id=os.urandom(16).hex(), epoch=1)
    await call.write(metric_pb2.StreamMetricsRequest(open=opening).SerializeToString())
    room = asyncio.Semaphore(BATCHES_IN_FLIGHT)
    acked = 0

    async def read() -> None:
        nonlocal acked
        while (raw := await call.read()) is not grpc.aio.EOF:
            response = metric_pb2.StreamMetricsResponse.FromString(raw)
            for _ in range(response.acked_sequence - acked):
                room.release()
            acked = max(acked, response.acked_sequence)
            if response.closed:
                return

    reading = asyncio.create_task(read())
    sequence = 0
    while time.perf_counter() < end_s and not reading.done():
        await room.acquire()
        sequence += 1
        await call.write(messages.batch(sequence))
    await call.write(metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter()).SerializeToString())
    await reading
    return acked


async def _round(address: str, shape: Shape, runs: list[str], metadata: list[tuple[str, str]]) -> float:
    """Points per second, durable, of one round."""
    messages = _Messages(shape)
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(WRITERS)
    ]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        start = time.perf_counter()
        acked = await asyncio.gather(
            *(
                _write(channel, metadata, run, messages, start + ROUND_S)
                for channel, run in zip(channels, runs, strict=True)
            )
        )
        return sum(acked) * shape.keys * shape.rows / (time.perf_counter() - start)
    finally:
        for channel in channels:
            await channel.close()


async def _measure(http: str, token: str, targets: dict[str, str]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    async with AsyncClient(Connection(http, targets["gateway"], token, "benchmark")) as client:
        for shape in SHAPES:
            for _ in range(ROUNDS):
                for target, address in targets.items():
                    creating = CreateRunRequest(parent="projects/default", run=run_pb2.Run(display_name=shape.name))
                    runs = [(await client.tracking.CreateRun(creating)).run.name for _ in range(WRITERS)]
                    exchanged = await client.auth.ExchangeToken(ExchangeTokenRequest(secret=token))
                    metadata = [("authorization", f"Bearer {exchanged.access_token}")]
                    found.setdefault((shape.name, target), []).append(await _round(address, shape, runs, metadata))
    return found


def run() -> list[Figure]:
    """Figures for both shapes, straight and through the gateway."""
    with tempfile.TemporaryDirectory() as folder, running_processes(Path(folder)) as platform:
        sink = subprocess.Popen(
            [sys.executable, "-m", "loadtests.sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert sink.stdout is not None
            sink_address = json.loads(sink.stdout.readline())["grpc"]
            targets = {"sink": sink_address, "service": platform.address("tracking"), "gateway": platform.grpc}
            found = asyncio.run(_measure(platform.http, platform.token, targets))
            memory = psutil.Process(platform.pid("tracking")).memory_info().rss
        finally:
            sink.communicate("")
    return [
        Figure(
            name=f"durable ingest, {shape.name}, {way}",
            value=median(found[shape.name, target]),
            unit="points/s",
            goal=shape.goal,
            better="higher",
            beside_name="an empty gRPC sink with the same options and parse",
            beside=median(found[shape.name, "sink"]),
            details={
                "rounds": found[shape.name, target],
                "round_s": ROUND_S,
                "writers": WRITERS,
                "tracking_resident_bytes": memory,
            },
        )
        for shape in SHAPES
        for target, way in (("service", "straight to the service"), ("gateway", "through the gateway"))
    ]
