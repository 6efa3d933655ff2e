"""Turns what gRPC raises into the errors of `penstock.errors`. The only place that does.

The server sends `google.rpc.Status` with one `ErrorInfo{reason, domain, metadata}` in the trailing metadata; a failure of the
network carries none.
"""

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from penstock.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PenstockError,
    PermissionDenied,
    ServerUnavailable,
)

__all__ = ["cause_to_show", "is_code", "translated"]

_ERRORS: dict[grpc.StatusCode, type[PenstockError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationFailed,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    grpc.StatusCode.UNAVAILABLE: ServerUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: ServerUnavailable,
}
_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"
_WRITE_FAILED = "Internal error from Core"


def is_code(error: grpc.RpcError, code: grpc.StatusCode) -> bool:
    """Whether a call ended with this status."""
    return _code(error) is code


def translated(error: grpc.RpcError, server: str) -> PenstockError:
    """The error to raise instead of a gRPC one.

    Args:
        error: As raised by a call, synchronous or asynchronous.
        server: The address, for messages.

    Returns:
        An error of the kind that the status stands for. Its `reason` is the server's, or the name of the status when the
        server sent none.
    """
    code = _code(error)
    reason, metadata = _error_info(error)
    details = getattr(error, "details", lambda: "")() or ""
    kind = _ERRORS.get(code, PenstockError)
    if not reason:
        # Not said by a Penstock server: the network, a proxy, or an older server.
        metadata = {"details": details} if details else {}
        details = _transport_message(code, details, server)
    if kind is PenstockError:
        # Nobody expected this: the id leads to it in the server's log.
        request_id = _request_id(error)
        details = f"{details} (request id {request_id})" if request_id else details
    return kind(details, reason=reason or code.name, metadata=metadata)


def cause_to_show(error: grpc.RpcError) -> grpc.RpcError | None:
    """What a translated error is raised `from`: None where it says all, so that a notebook shows it alone.

    That is so where the server gave its reason, and where it did not answer. Anything else nobody expected.
    """
    reason, _ = _error_info(error)
    return None if reason or _ERRORS.get(_code(error)) is ServerUnavailable else error


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    code = getattr(error, "code", None)
    found = code() if callable(code) else None
    if found is grpc.StatusCode.INTERNAL and getattr(error, "details", str)() == _WRITE_FAILED:
        # The connection broke under a message that was being sent: gRPC's asyncio calls that an error of its own.
        return grpc.StatusCode.UNAVAILABLE
    return found if isinstance(found, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _error_info(error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    trailing: Any = getattr(error, "trailing_metadata", None)
    for key, value in (trailing() if callable(trailing) else None) or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        status: Any = status_pb2.Status()
        info: Any = error_details_pb2.ErrorInfo()
        try:
            status.MergeFromString(value)
            for detail in status.details:
                if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
                    return info.reason, dict(info.metadata)
        except Exception:  # noqa: S112 - a proxy may send anything; the status code still tells what to raise
            continue
    return "", {}


def _request_id(error: grpc.RpcError) -> str:
    trailing: Any = getattr(error, "trailing_metadata", None)
    found = dict((trailing() if callable(trailing) else None) or ()).get(_REQUEST_ID_KEY, "")
    return found if isinstance(found, str) else ""


def _transport_message(code: grpc.StatusCode, details: str, server: str) -> str:
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"The Penstock server at {server} does not answer. Is it running, and is the address right?"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"The Penstock server at {server} did not answer in time. The same call may succeed later."
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            f"The server at {server} does not know this call: it is older than this client, or not a Penstock server."
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return f"A message to or from {server} was too large, or the server is overloaded: {details}"
    return details or f"The server at {server} failed ({code.name}) and did not say why."
