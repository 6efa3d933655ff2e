"""Turns errors into gRPC statuses, the only place that does: `google.rpc.Status` with `ErrorInfo`, nothing internal in it."""

import asyncio
import errno
import logging
import sqlite3
from typing import Any, cast

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from penstock_kit.errors import LimitExceeded, PenstockError, Unavailable
from penstock_kit.interceptors.call import Call, Proceed
from penstock_kit.interceptors.request_id import REQUEST_ID_HEADER
from penstock_kit.interceptors.validate import RequestInvalid
from penstock_kit.stores.blobs import BlobStoreFull
from penstock_kit.stores.errors import StoreUnavailable
from penstock_kit.stores.metric_log import LogFull

__all__ = ["ERROR_DOMAIN", "STATUS_DETAILS_HEADER", "ErrorMap", "StorageFull", "error_status"]

ERROR_DOMAIN = "penstock"
STATUS_DETAILS_HEADER = "grpc-status-details-bin"

# Clients take 8 KiB of metadata by default, and the message travels twice: in the status and beside it.
_MESSAGE_CHARS_MAX = 1_000
_METADATA_VALUE_CHARS_MAX = 200
_VIOLATION_CHARS_MAX = 100

_log = logging.getLogger(__name__)


class StorageFull(LimitExceeded):
    """The medium of a store has no room. Nothing was written."""

    reason = "STORAGE_FULL"


class StorageUnavailable(Unavailable):
    """The server of a store does not answer. What was asked for may have happened."""

    reason = "STORAGE_UNAVAILABLE"


class Internal(PenstockError):
    """A fault of the server. What happened is in its log, under the request id."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"


class ErrorMap:
    """The stage. It stands before the ones whose errors it maps, and acts on the way out."""

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        try:
            await proceed(call)
            call.code = grpc.StatusCode.OK
        except asyncio.CancelledError:
            raise
        except grpc.aio.AbortError:
            call.code = call.context.code()
            raise
        except PenstockError as error:
            await self._abort(call, error)
        except StoreUnavailable as error:
            _log.error("A store does not answer: %s", error)
            await self._abort(call, StorageUnavailable("The server's storage does not answer now. Try again."))
        except Exception as error:
            if _is_storage_full(error):
                _log.exception("A store has no room")
                await self._abort(call, StorageFull("The server's storage is full. Nothing was written."))
            _log.exception("%s failed", call.method.full_name)
            await self._abort(
                call, Internal(f"Internal error. Request id: {call.request_id}.", request_id=call.request_id)
            )

    @staticmethod
    async def _abort(call: Call, error: PenstockError) -> None:
        call.code = error.code
        status = error_status(error)
        trailing = ((STATUS_DETAILS_HEADER, status.SerializeToString()), (REQUEST_ID_HEADER, call.request_id))
        await call.context.abort(error.code, status.message, trailing)


def error_status(error: PenstockError) -> Any:
    """Returns the `google.rpc.Status` of an error: code, message, `ErrorInfo`, and `BadRequest` for a broken contract."""
    details: list[Any] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=ERROR_DOMAIN,
            metadata={key: _cut(value, _METADATA_VALUE_CHARS_MAX) for key, value in error.metadata.items()},
        )
    ]
    if isinstance(error, RequestInvalid):
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=_cut(violation.field, _VIOLATION_CHARS_MAX),
                        description=_cut(violation.message, _VIOLATION_CHARS_MAX),
                        reason=_cut(violation.rule, _VIOLATION_CHARS_MAX),
                    )
                    for violation in error.violations
                ]
            )
        )
    code_number, _ = cast("tuple[int, str]", error.code.value)
    status = status_pb2.Status(code=code_number, message=_cut(error.message, _MESSAGE_CHARS_MAX))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _is_storage_full(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LogFull | BlobStoreFull):
            return True
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        cause = cause.__cause__
    return False
