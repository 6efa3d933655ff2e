"""Senders for benchmarks: ready-made batches on the metric stream, with a bounded number unacknowledged.

They cost as little as a sender in Python can, because they share the machine with what is measured.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from penstock.api.auth.v1.auth_service_pb2 import ExchangeTokenRequest
from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1.tracking_service_pb2 import CreateRunRequest
from penstock.client import AsyncClient
from penstock.sender.wire import metric_block, varint

__all__ = ["Messages", "Shape", "Stream", "access", "content_of", "new_runs", "own_channel", "stream_until"]

METHOD = "/penstock.api.tracking.v1.TrackingService/StreamMetrics"
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Shape:
    """What one message holds, and how many messages of a writer may be unacknowledged."""

    name: str
    keys: int
    rows: int
    in_flight: int

    @property
    def points(self) -> int:
        """Points of one message."""
        return self.keys * self.rows


def key_names(keys: int) -> list[str]:
    """Names as they are in trainings."""
    return [f"layer/{index}/loss" for index in range(keys)]


def content_of(keys: int, first_step: int, values: Any, *, defined: bool) -> bytes:
    """The content of a batch of one block.

    Args:
        keys: Keys of the block, all that the writer has.
        first_step: Its first step; the others follow.
        values: (rows, keys) float64.
        defined: Whether an earlier batch has defined the keys.
    """
    rows = len(values)
    names = [] if defined else [metric_pb2.MetricKey(id=i, key=name) for i, name in enumerate(key_names(keys))]
    head = metric_pb2.MetricBatchContent(new_keys=names).SerializeToString()
    steps = np.arange(first_step, first_step + rows, dtype="<i8")
    block = metric_block(
        tuple(range(keys)), steps.tobytes(), (steps + 1_700_000_000_000_000).tobytes(), values.astype("<f8").tobytes()
    )
    return head + b"\x12" + varint(len(block)) + block


class Messages:
    """Batch messages of one shape whose content is made once: only the sequence differs."""

    def __init__(self, shape: Shape) -> None:
        # Losses as they come out of a model: 32-bit numbers with noise, which no store compresses away.
        noise = np.random.default_rng(7).normal(1.0, 0.1, (shape.rows, shape.keys)).astype(np.float32)
        self.content = content_of(shape.keys, 0, noise, defined=True)
        self._first = _tail(content_of(shape.keys, 0, noise, defined=False))
        self._rest = _tail(self.content)

    def batch(self, sequence: int) -> bytes:
        """A serialised StreamMetricsRequest."""
        inner = b"\x08" + varint(sequence) + (self._first if sequence == 1 else self._rest)
        return b"\x12" + varint(len(inner)) + inner


def _tail(content: bytes) -> bytes:
    """Digest and content of a MetricBatch, which come behind its sequence."""
    return b"\x12\x20" + hashlib.sha256(content).digest() + b"\x1a" + varint(len(content)) + content


def batch_message(sequence: int, content: bytes) -> bytes:
    """A serialised StreamMetricsRequest."""
    inner = b"\x08" + varint(sequence) + _tail(content)
    return b"\x12" + varint(len(inner)) + inner


def own_channel(address: str) -> Any:
    """A channel with a connection of its own, as each sender has."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def access(client: AsyncClient, token: str) -> Metadata:
    """The metadata with an access token, which holds for five minutes."""
    exchanged = await client.auth.ExchangeToken(ExchangeTokenRequest(secret=token))
    return [("authorization", f"Bearer {exchanged.access_token}")]


async def new_runs(client: AsyncClient, count: int, display_name: str) -> list[str]:
    """Names of new runs."""
    run = run_pb2.Run(display_name=display_name)
    created = [
        await client.tracking.CreateRun(CreateRunRequest(parent="projects/default", run=run)) for _ in range(count)
    ]
    return [response.run.name for response in created]


@dataclass
class Stream:
    """One writer's stream.

    Attributes:
        acked: The last acknowledged sequence.
        latencies_s: From sending to acknowledgement, of each batch.
    """

    call: Any
    room: asyncio.Semaphore
    acked: int = 0
    latencies_s: list[float] = field(default_factory=list)
    _sent_s: dict[int, float] = field(default_factory=dict)

    @classmethod
    async def open(cls, channel: Any, metadata: Metadata, run: str, writer_id: str, in_flight: int) -> "Stream":
        """Opens the stream of a new writer, and returns when the server has taken it."""
        call = channel.stream_stream(METHOD)(metadata=metadata)
        opening = metric_pb2.OpenWriter(run=run, writer_id=writer_id, epoch=1)
        await call.write(metric_pb2.StreamMetricsRequest(open=opening).SerializeToString())
        await call.read()
        return cls(call, asyncio.Semaphore(in_flight))

    async def send(self, sequence: int, message: bytes) -> None:
        """Sends a batch, once there is room for it."""
        await self.room.acquire()
        self._sent_s[sequence] = time.perf_counter()
        await self.call.write(message)

    async def close(self) -> None:
        """Says that no batch follows. `read` ends when all is durable."""
        await self.call.write(metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter()).SerializeToString())

    async def read(self) -> None:
        """Takes acknowledgements until the stream is closed. Raises `RuntimeError` if it ends before."""
        while (raw := await self.call.read()) is not grpc.aio.EOF:
            response = metric_pb2.StreamMetricsResponse.FromString(raw)
            now_s = time.perf_counter()
            for sequence in range(self.acked + 1, response.acked_sequence + 1):
                self.latencies_s.append(now_s - self._sent_s.pop(sequence))
                self.room.release()
            self.acked = max(self.acked, response.acked_sequence)
            if response.closed:
                return
        raise RuntimeError(f"the stream ended before it was closed: {await self.call.details()}")


async def stream_until(
    stream: Stream, messages: Messages, end_s: float, *, batches_per_s: float | None = None
) -> list[float]:
    """Sends batches until a moment, as many as go or at a pace. Returns the latencies of those, all acknowledged."""
    reading = asyncio.create_task(stream.read())
    begin_s = time.perf_counter()
    sequence = 0
    while (now_s := time.perf_counter()) < end_s and not reading.done():
        if batches_per_s is not None and sequence >= (now_s - begin_s) * batches_per_s:
            await asyncio.sleep(1 / batches_per_s)
            continue
        sequence += 1
        await stream.send(sequence, messages.batch(sequence))
    await stream.close()
    await reading
    return stream.latencies_s
