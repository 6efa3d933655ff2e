"""Errors in MLflow's shape, `{"error_code", "message"}`, and which one each error of the platform becomes."""

import json
from typing import Final

import grpc

from penstock_gateway.errors import code_of, http_code, reason_of, status_of
from penstock_kit.errors import PenstockError

__all__ = ["MlflowError", "from_platform", "invalid", "missing"]

MESSAGE_CHARS_MAX: Final = 10_000
"""Of a message, which may quote what was sent."""

INTERNAL: Final = "INTERNAL_ERROR"
INVALID: Final = "INVALID_PARAMETER_VALUE"
MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
EXISTS: Final = "RESOURCE_ALREADY_EXISTS"

_HTTP_CODES: Final = {
    INVALID: 400,
    EXISTS: 400,
    MISSING: 404,
    "ENDPOINT_NOT_FOUND": 404,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "ABORTED": 409,
    "REQUEST_LIMIT_EXCEEDED": 429,
    INTERNAL: 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_BY_STATUS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: INVALID,
    grpc.StatusCode.FAILED_PRECONDITION: INVALID,
    grpc.StatusCode.OUT_OF_RANGE: INVALID,
    grpc.StatusCode.NOT_FOUND: MISSING,
    grpc.StatusCode.ALREADY_EXISTS: EXISTS,
    grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
    grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
    grpc.StatusCode.ABORTED: "ABORTED",
    # Of a run that is full: MLflow's clients would send again what is answered 429.
    grpc.StatusCode.RESOURCE_EXHAUSTED: INVALID,
    grpc.StatusCode.UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
}
_BY_REASON: Final = {
    "OVERLOADED": "REQUEST_LIMIT_EXCEEDED",
    "TOO_MANY_CALLS": "REQUEST_LIMIT_EXCEEDED",
    "STORAGE_FULL": "TEMPORARILY_UNAVAILABLE",
}


class MlflowError(Exception):
    """What a client of MLflow is told.

    Args:
        error_code: As MLflow names it.
        message: For people; programs that compare texts find those of MLflow.
        http_code: Where it is not the usual one of the error code.
    """

    def __init__(self, error_code: str, message: str, http_code: int | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message
        self.http_code = _HTTP_CODES[error_code] if http_code is None else http_code

    def body(self) -> bytes:
        """The JSON of it."""
        message = self.message if len(self.message) <= MESSAGE_CHARS_MAX else self.message[:MESSAGE_CHARS_MAX] + "..."
        return json.dumps({"error_code": self.error_code, "message": message}).encode()


def invalid(message: str) -> MlflowError:
    """The request is wrong in itself."""
    return MlflowError(INVALID, message)


def missing(message: str) -> MlflowError:
    """What the request names is not there."""
    return MlflowError(MISSING, message)


def from_platform(error: PenstockError) -> MlflowError:
    """An error of the gateway or of a service, as MLflow would name it."""
    code = _BY_REASON.get(reason_of(error)) or _BY_STATUS.get(code_of(status_of(error)), INTERNAL)
    own = getattr(error, "http_code", None)
    return MlflowError(code, status_of(error).message, http_code(error) if own is not None else None)
