"""The gateway's part of a trace: a span for each RPC it carries, which the service's own span is then below."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

import grpc

from penstock_kit.traces import Tracer

__all__ = ["Metadata", "carried"]

Metadata = tuple[tuple[str, str | bytes], ...]

_TRACE_KEYS = frozenset({"traceparent", "tracestate"})


@contextmanager
def carried(
    tracer: Tracer | None, method: str, metadata: Iterable[tuple[str, str | bytes]]
) -> Generator[tuple[Metadata, Callable[[grpc.StatusCode], None]]]:
    """Opens the span of an RPC. Without a tracer the caller's trace context is passed on as it is.

    Args:
        tracer: Where spans go.
        method: `package.Service/Method`.
        metadata: The metadata for the service.

    Yields: the metadata with the trace context of the span, and what is to be told the code with which the RPC ended.
    """
    whole = tuple(metadata)
    if tracer is None:
        yield whole, lambda _: None
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    with tracer.rpc(method, whole) as span:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        kept = tuple(pair for pair in whole if pair[0] not in _TRACE_KEYS)
        yield (*kept, *carrier.items()), span.end
