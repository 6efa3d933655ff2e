"""The gateway's own errors, and the one place where a failure becomes a `google.rpc.Status`, an HTTP code and JSON.

PenstockError (of the kit)
├── InvalidInput
│   ├── JsonInvalid              400
│   ├── QueryInvalid             400
│   ├── PathInvalid              400
│   ├── BodyTooSlow              408
│   ├── ContentTypeUnsupported   415
│   └── MethodNotAllowed         405
├── NotFound
│   └── RouteNotFound            404
├── PermissionDenied
│   ├── HostNotAllowed           421
│   └── MetricsForbidden         403
├── LimitExceeded
│   ├── BodyTooLarge             413
│   └── TooManyCalls             429
├── Unavailable
│   ├── DashboardUnavailable     503
│   └── Stopping                 503
└── RpcFailed                    as the service said
"""

import json
from typing import Any, ClassVar

import grpc
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

from penstock_kit.errors import InvalidInput, LimitExceeded, NotFound, PenstockError, PermissionDenied, Unavailable

__all__ = [
    "ERROR_DOMAIN",
    "STATUS_DETAILS_KEY",
    "BodyTooLarge",
    "BodyTooSlow",
    "ContentTypeUnsupported",
    "DashboardUnavailable",
    "HostNotAllowed",
    "JsonInvalid",
    "MethodNotAllowed",
    "MetricsForbidden",
    "PathInvalid",
    "QueryInvalid",
    "RouteNotFound",
    "RpcFailed",
    "Stopping",
    "TooManyCalls",
    "backend_status",
    "code_of",
    "error_bytes",
    "http_code",
    "internal_error",
    "reason_of",
    "status_of",
]

ERROR_DOMAIN = "penstock"
_WRITE_FAILED = "Internal error from Core"
STATUS_DETAILS_KEY = "grpc-status-details-bin"

# The stubs of grpc.aio know neither pairs in metadata nor the values of a status code.
RpcError = Any


def _number(code: Any) -> int:
    return code.value[0]


_HTTP_CODES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
"""As `google/rpc/code.proto` maps them."""

_CODES: dict[int, grpc.StatusCode] = {_number(code): code for code in grpc.StatusCode}


class JsonInvalid(InvalidInput):
    """The body is not JSON, or not JSON of the request message."""

    reason = "JSON_INVALID"


class QueryInvalid(InvalidInput):
    """A query parameter names no field of the request, or holds no value of it."""

    reason = "QUERY_INVALID"


class PathInvalid(InvalidInput):
    """The path is not well-formed, or says something else than the body does."""

    reason = "PATH_INVALID"


class BodyTooSlow(InvalidInput):
    """The body did not arrive in time."""

    reason = "BODY_TOO_SLOW"
    http_code: ClassVar[int] = 408


class ContentTypeUnsupported(InvalidInput):
    """The body is declared to be something else than JSON."""

    reason = "CONTENT_TYPE_UNSUPPORTED"
    http_code: ClassVar[int] = 415


class MethodNotAllowed(InvalidInput):
    """The path exists, but not with this HTTP method."""

    reason = "METHOD_NOT_ALLOWED"
    http_code: ClassVar[int] = 405


class RouteNotFound(NotFound):
    """No RPC has this path."""

    reason = "ROUTE_NOT_FOUND"


class HostNotAllowed(PermissionDenied):
    """The `Host` header is not a name of this gateway."""

    reason = "HOST_NOT_ALLOWED"
    http_code: ClassVar[int] = 421


class MetricsForbidden(PermissionDenied):
    """`/metrics` was asked for from another machine without the token for it."""

    reason = "METRICS_FORBIDDEN"


class BodyTooLarge(LimitExceeded):
    """The body of a request is larger than is accepted."""

    reason = "BODY_TOO_LARGE"
    http_code: ClassVar[int] = 413


class TooManyCalls(LimitExceeded):
    """The gateway carries as many calls as it may."""

    reason = "TOO_MANY_CALLS"


class Stopping(Unavailable):
    """The gateway is stopping and ends the streams it carries. They can be resumed."""

    reason = "STOPPING"


class DashboardUnavailable(Unavailable):
    """The dashboard does not answer."""

    reason = "DASHBOARD_UNAVAILABLE"


class RpcFailed(PenstockError):
    """A service refused or failed a call.

    Args:
        status: What it said.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def status_of(error: PenstockError) -> status_pb2.Status:
    """The status of an error, with its reason and metadata as `ErrorInfo`."""
    if isinstance(error, RpcFailed):
        return error.status
    return _status(error.code, error.message, error.reason, error.metadata)


def backend_status(error: RpcError, backend: str) -> status_pb2.Status:
    """The status with which a call to a service ended.

    A service that cannot be reached gets a text of our own: gRPC's names inner addresses.
    """
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            if status.code == _number(error.code()):
                return status
    if error.code() is grpc.StatusCode.UNAVAILABLE or _lost_in_a_write(error):
        return _status(
            grpc.StatusCode.UNAVAILABLE,
            f"The {backend} service does not answer. Try again in a moment.",
            "SERVICE_UNREACHABLE",
            {"service": backend},
        )
    return status_pb2.Status(code=_number(error.code()), message=error.details() or "")


def _lost_in_a_write(error: RpcError) -> bool:
    """Whether the connection broke under a message that was being sent: gRPC's asyncio calls that an error of its own."""
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _WRITE_FAILED


def internal_error(request_id: str) -> RpcFailed:
    """What a caller is told of an error that nobody foresaw: nothing but where to find it in the log."""
    message = f"Something went wrong inside the server. Its log tells more under request id {request_id}."
    return RpcFailed(_status(grpc.StatusCode.INTERNAL, message, "INTERNAL", {"request_id": request_id}))


def reason_of(error: PenstockError) -> str:
    """The reason of an error for programs, empty if it has none."""
    if not isinstance(error, RpcFailed):
        return error.reason
    for detail in error.status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return ""


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """The code of a status as gRPC's enum."""
    return _CODES[status.code]


def http_code(error: PenstockError) -> int:
    """The HTTP code of an error."""
    own: int | None = getattr(error, "http_code", None)
    return own if own is not None else _HTTP_CODES[code_of(status_of(error))]


def error_bytes(error: PenstockError) -> bytes:
    """The JSON of an error, one line: `{"error": {"code", "status", "message", "details"}}`."""
    status = status_of(error)
    value = {
        "error": {
            "code": http_code(error),
            "status": code_of(status).name,
            "message": status.message,
            "details": [detail for packed in status.details if (detail := _detail_json(packed)) is not None],
        }
    }
    return json.dumps(value, ensure_ascii=False).encode()


def _status(code: grpc.StatusCode, message: str, reason: str, metadata: dict[str, str]) -> status_pb2.Status:
    status = status_pb2.Status(code=_number(code), message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata))
    return status


def _detail_json(packed: any_pb2.Any) -> dict[str, Any] | None:
    """A detail as JSON with its `@type`; None when its type is not known here."""
    try:
        return json_format.MessageToDict(packed)
    except (TypeError, json_format.Error):
        return None
