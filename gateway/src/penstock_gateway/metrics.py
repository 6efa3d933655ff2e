"""What the gateway measures of itself: HTTP requests by route, and RPCs carried by method."""

from prometheus_client import Counter, Gauge, Histogram

from penstock_kit.metrics import REGISTRY

__all__ = ["HTTP_DURATION", "HTTP_REQUESTS", "RPCS", "RPCS_IN_FLIGHT"]

HTTP_REQUESTS = Counter(
    "penstock_gateway_http_requests",
    "HTTP requests answered, by route, method and status.",
    ("route", "method", "status"),
    registry=REGISTRY,
)
HTTP_DURATION = Histogram(
    "penstock_gateway_http_request_duration_seconds",
    "How long HTTP requests took, streams from open to end.",
    ("route",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
    registry=REGISTRY,
)
RPCS = Counter(
    "penstock_gateway_rpcs",
    "RPCs carried to their end, by method and status code.",
    ("method", "code"),
    registry=REGISTRY,
)
RPCS_IN_FLIGHT = Gauge("penstock_gateway_rpcs_in_flight", "RPCs being carried.", ("method",), registry=REGISTRY)
