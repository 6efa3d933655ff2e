"""Makes calls visible: a span, the figures, and a log line for those that failed or were slow."""

import asyncio
import logging
import re
from contextlib import ExitStack

import grpc

from penstock_kit import logs
from penstock_kit.clock import Clock
from penstock_kit.interceptors.call import Call, MethodKind, Proceed
from penstock_kit.traces import Tracer

__all__ = ["SLOW_CALL_S", "Trace"]

SLOW_CALL_S = 1.0
"""A unary call that takes longer is logged at INFO."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_log = logging.getLogger(__name__)


class Trace:
    """The stage.

    Args:
        clock: For how long calls take.
        tracer: Where spans go; None means that there are none. The trace id of the caller is logged all the same.
    """

    def __init__(self, clock: Clock, tracer: Tracer | None) -> None:
        self._clock = clock
        self._tracer = tracer

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        started_s = self._clock.monotonic_s()
        call.method.metrics.started()
        with ExitStack() as stack:
            span = None
            if self._tracer is not None:
                span = stack.enter_context(self._tracer.rpc(call.method.full_name, call.metadata))
                logs.bind(trace_id=span.trace_id)
            elif (found := _TRACEPARENT.match(call.header("traceparent") or "")) is not None:
                logs.bind(trace_id=found[1])
            try:
                await proceed(call)
            except asyncio.CancelledError:
                call.code = grpc.StatusCode.CANCELLED
                raise
            finally:
                code = call.code or grpc.StatusCode.UNKNOWN
                duration_s = self._clock.monotonic_s() - started_s
                call.method.metrics.ended(code, duration_s)
                if span is not None:
                    span.end(code)
                self._write(call, code, duration_s)

    @staticmethod
    def _write(call: Call, code: grpc.StatusCode, duration_s: float) -> None:
        slow = call.method.kind is MethodKind.UNARY and duration_s > SLOW_CALL_S
        # A stream that its reader leaves ends as cancelled: that is not an error.
        failed = code is not grpc.StatusCode.OK and code is not grpc.StatusCode.CANCELLED
        level = logging.INFO if failed or slow else logging.DEBUG
        if _log.isEnabledFor(level):
            _log.log(
                level,
                "%s %s",
                call.method.full_name,
                code.name,
                extra={"method": call.method.full_name, "code": code.name, "duration_ms": round(duration_s * 1000, 3)},
            )
