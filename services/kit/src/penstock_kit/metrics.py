"""Prometheus figures of the RPCs of this process: how many, how long, how many at the moment.

There is one registry per process because Prometheus scrapes processes: the servers of a launcher share it.
"""

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE", "REGISTRY", "RpcMetrics", "exposition"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_calls = Counter("penstock_rpc", "RPCs that ended, by method and status code.", ("method", "code"), registry=REGISTRY)
_duration = Histogram(
    "penstock_rpc_duration_seconds",
    "How long RPCs took, streams from open to end.",
    ("method",),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
_in_flight = Gauge("penstock_rpc_in_flight", "RPCs that are being handled.", ("method",), registry=REGISTRY)


class RpcMetrics:
    """The figures of one method, their labels looked up once.

    Args:
        method: `package.Service/Method`.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._duration = _duration.labels(method)
        self._in_flight = _in_flight.labels(method)
        self._calls: dict[grpc.StatusCode, Counter] = {}

    def started(self) -> None:
        """Counts an RPC as in flight."""
        self._in_flight.inc()

    def ended(self, code: grpc.StatusCode, duration_s: float) -> None:
        """Counts an RPC that was started as ended."""
        self._in_flight.dec()
        self._duration.observe(duration_s)
        calls = self._calls.get(code)
        if calls is None:
            calls = self._calls[code] = _calls.labels(self._method, code.name)
        calls.inc()


def exposition() -> bytes:
    """Returns all figures of this process in the text format of Prometheus, of type `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)
