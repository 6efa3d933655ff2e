"""OpenTelemetry spans of RPCs, by the stable RPC conventions. Loaded only if an exporter is configured."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

__all__ = ["ENDPOINT_VARIABLES", "Tracer", "tracer_from_environment"]

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# Codes that mean a fault of the server, by the semantic conventions for RPC; the others are answers.
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class RpcSpan:
    """The span of one RPC."""

    def __init__(self, span: Any) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def end(self, code: grpc.StatusCode) -> None:
        """Notes how the RPC ended."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("rpc.response.status_code", code.name)
        if code.name in _SERVER_FAULTS:
            self._span.set_attribute("error.type", code.name)
            self._span.set_status(StatusCode.ERROR)


class Tracer:
    """Makes spans and exports them in the background.

    Args:
        provider: An `opentelemetry.sdk.trace.TracerProvider`, which this closes.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("penstock")

    @contextmanager
    def rpc(self, method: str, metadata: Sequence[tuple[str, Any]]) -> Generator[RpcSpan]:
        """Opens the span of an RPC, below the one in its metadata (W3C trace context), current while it is open.

        Args:
            method: `package.Service/Method`.
            metadata: The metadata that came with the call.
        """
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        with self._tracer.start_as_current_span(
            method,
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
            # The text of an exception belongs to the log: it may hold what a caller sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield RpcSpan(span)

    async def close(self) -> None:
        """Exports what is left."""
        await asyncio.to_thread(self._provider.shutdown)


def tracer_from_environment(environ: Mapping[str, str]) -> Tracer | None:
    """Returns a tracer if the environment names an OTLP endpoint, else None.

    The exporter itself reads the other `OTEL_` variables of the process, such as `OTEL_SERVICE_NAME`.
    """
    if not any(environ.get(variable) for variable in ENDPOINT_VARIABLES):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)
