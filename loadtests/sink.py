"""An empty sink: a gRPC server with the options and the parse of the tracking service, that keeps nothing.

`python -m loadtests.sink` prints its address as a JSON line, serves until its standard input ends.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from penstock.api.tracking.v1 import metric_pb2
from penstock_kit.listening import ServerSettings, transport_options
from penstock_tracking.ingest.codec import StreamRequest, parse_content


async def _swallow(requests: AsyncIterator[Any], context: Any) -> None:
    sequence = 0
    async for request in requests:
        kind = request.WhichOneof("message")
        if kind == "batch":
            parse_content(request.batch.content)
            sequence = request.batch.sequence
        await context.write(metric_pb2.StreamMetricsResponse(acked_sequence=sequence, closed=kind == "close"))
        if kind == "close":
            return


async def main() -> None:
    server = grpc.aio.server(options=transport_options(ServerSettings()))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "penstock.api.tracking.v1.TrackingService",
                {
                    "StreamMetrics": grpc.stream_stream_rpc_method_handler(
                        _swallow, StreamRequest.FromString, metric_pb2.StreamMetricsResponse.SerializeToString
                    )
                },
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"grpc": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
