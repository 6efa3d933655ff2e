"""What a log line holds, and what it never holds; what a span says."""

import json
import logging
from contextvars import copy_context
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock_kit import logs
from penstock_kit.traces import Tracer, tracer_from_environment

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VycyJ9.c2lnbmF0dXJl"


def line(message: str, *args: object, **extra: Any) -> dict[str, Any]:
    record = logging.getLogger("test").makeRecord("test", logging.INFO, "f", 1, message, args, None, extra=extra)
    text = logs.JsonFormatter("auth").format(record)
    assert "\n" not in text
    return json.loads(text)


def test_line_holds_message_labels_and_extras() -> None:
    def write() -> dict[str, Any]:
        logs.bind(request_id="r-1")
        return line("hello %s\nworld", "é", duration_ms=1.5)

    written = copy_context().run(write)
    assert written.pop("time").endswith("+00:00")
    assert written == {
        "level": "INFO",
        "service": "auth",
        "logger": "test",
        "message": "hello é\nworld",
        "request_id": "r-1",
        "duration_ms": 1.5,
    }


@pytest.mark.parametrize(
    "secret",
    [*(f"{kind}_0123abcd_xYz-_9" for kind in ("pst", "pss", "psl", "pvc")), JWT, "bearer abc.def", "Bearer xyz"],
)
def test_secrets_are_blanked(secret: str) -> None:
    written = line("token=%s;", secret, extra=f"in {secret} extra")
    assert secret.split(" ")[-1] not in json.dumps(written)
    assert written["message"].endswith("[secret];")


def test_ordinary_text_stays() -> None:
    assert logs.redact("postgres psst_x eyJ bearer") == "postgres psst_x eyJ bearer"


def test_bound_fields_are_of_their_context() -> None:
    def bind(**values: str) -> dict[str, str]:
        logs.bind(**values)
        return logs.fields()

    context = copy_context()
    assert context.run(bind, a="1") == {"a": "1"}
    assert context.run(bind, b="2") == {"a": "1", "b": "2"}
    assert copy_context().run(bind, c="3") == {"c": "3"}


async def test_span_of_a_call() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = Tracer(provider)
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL):
        with tracer.rpc("pkg.Service/Method", (("traceparent", parent), ("x-bin", b"1"))) as span:
            assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
            span.end(code)
    answered, failed = exporter.get_finished_spans()
    assert answered.name == "pkg.Service/Method"
    assert answered.kind.name == "SERVER"
    assert answered.parent is not None
    assert answered.parent.span_id == 0x00F067AA0BA902B7
    assert dict(answered.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": "pkg.Service/Method",
        "rpc.response.status_code": "NOT_FOUND",
    }
    assert answered.status.is_unset
    assert (failed.attributes or {})["error.type"] == "INTERNAL"
    assert not failed.status.is_ok
    await tracer.close()


def test_no_endpoint_no_tracer() -> None:
    assert tracer_from_environment({"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
