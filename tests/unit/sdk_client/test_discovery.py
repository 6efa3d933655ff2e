"""Finding the gRPC door over real HTTP."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock.client.discovery import discover
from penstock.errors import ServerUnavailable


@contextmanager
def answering(status: int, body: bytes, date: str | None = None) -> Iterator[str]:
    """An HTTP server that always gives the same answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            if date is not None:
                self.send_header("Date", date)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_answer_is_taken_as_it_is() -> None:
    with answering(200, b'{"grpc": "10.0.0.7:7071", "version": "1.2"}', "Thu, 01 Jan 1970 00:00:00 GMT") as url:
        info = discover(url, 5)
    assert (info.grpc, info.version) == ("10.0.0.7:7071", "1.2")
    assert info.clock_ahead_s is not None
    assert info.clock_ahead_s < -1e9


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", ""])
def test_a_server_on_every_address_is_reached_where_its_http_half_is(host: str) -> None:
    with answering(200, f'{{"grpc": "{host}:7071"}}'.encode()) as url:
        info = discover(url, 5)
    assert (info.grpc, info.version, info.clock_ahead_s) == ("127.0.0.1:7071", "", None)


@pytest.mark.parametrize(("status", "body"), [(404, b""), (500, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b"{}")])
def test_what_is_not_penstock_is_said(status: int, body: bytes) -> None:
    with answering(status, body) as url, pytest.raises(ServerUnavailable, match="not a Penstock server") as raised:
        discover(url, 5)
    assert raised.value.reason == "NOT_PENSTOCK"


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"grpc": "127.0.0.1:7071"}') as url:
        assert discover(url, 5).grpc == "127.0.0.1:7071"


def test_nobody_there_and_nobody_answering_are_unavailable() -> None:
    with pytest.raises(ServerUnavailable, match="does not answer") as raised:
        discover("http://127.0.0.1:1", 5)
    assert "refused" in raised.value.metadata["details"]
    assert raised.value.__suppress_context__
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ServerUnavailable, match="does not answer"):
        discover(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2)
