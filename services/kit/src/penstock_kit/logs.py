"""Logs: one JSON object a line, with the request id and the trace id of the call that wrote it, and without secrets."""

import json
import logging
import re
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from typing_extensions import override

__all__ = ["JsonFormatter", "bind", "configure", "fields", "redact"]

_fields: ContextVar[dict[str, str] | None] = ContextVar("penstock_log_fields", default=None)

_SECRETS = re.compile(
    r"\b(?:pst|pss|psl|pvc)_[A-Za-z0-9_-]+"  # tokens, sessions, setup links, credentials of services
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"  # access tokens
    r"|(?i:(?<=bearer )[A-Za-z0-9._~+/=-]+)"
)
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def bind(**values: str) -> None:
    """Adds fields to every log line of the current task and of those that it starts."""
    _fields.set({**(_fields.get() or {}), **values})


def fields() -> dict[str, str]:
    """Returns the fields bound so far."""
    return dict(_fields.get() or {})


def redact(text: str) -> str:
    """Blanks whatever looks like a secret of this platform."""
    return _SECRETS.sub("[secret]", text)


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, the bound fields, what was passed as `extra`.

    Secrets are blanked as a last line of defence; no code may count on it.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **fields(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _OWN_ATTRIBUTES)
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def configure(service: str, stream: TextIO, level: str = "INFO") -> None:
    """Sends the logs of this process to `stream`, from `level` up. Called once, by whoever owns the process.

    Args:
        service: What the lines are labelled with, such as `tracking`.
        stream: Usually standard error.
        level: DEBUG, INFO, WARNING or ERROR.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
