"""Parts of files on their way to an object store: the bytes that arrive, in the clear and over TLS, and what goes wrong."""

import http.server
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tls import certificate

from penstock.client import direct
from penstock.client.direct import Receiving, Sending, StoreFailed
from penstock.errors import InvalidInput

CONTENT = os.urandom(9_000_000)


class Store(http.server.ThreadingHTTPServer):
    """Keeps what is PUT, by path, and gives it back by ranges. Refuses `/refused` before it reads, sends `/moved` on."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *args: object) -> None:
        """Clients that hang up are no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        if self.path.startswith("/refused"):
            self._answer(403)
            return
        assert self.headers["Content-Type"] == "application/octet-stream"
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(size)
        if len(body) == size:
            self.server.kept[self.path] = body
            self._answer(200)

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        self._answer(206, self.server.kept[self.path][int(first) : int(last) + 1])

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(params=["http", "https"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, str]]:
    """An object store, and its address."""
    with Store() as store:
        if request.param == "https":
            certificate_file, key_file = certificate(tmp_path)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate_file, key_file)
            store.socket = context.wrap_socket(store.socket, server_side=True)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate_file))
            direct._opener.cache_clear()
        thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield store, f"{request.param}://127.0.0.1:{store.server_port}"
        store.shutdown()
        thread.join()
    direct._opener.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def test_parts_arrive_as_they_are(store: tuple[Store, str], file: Path) -> None:
    kept, address = store[0].kept, store[1]
    sending = Sending(file)
    parts = {"/1": (0, 4_000_000), "/2": (4_000_000, 4_999_999), "/3": (8_999_999, 1)}
    for path, (offset, size) in parts.items():
        sending.add(address + path, offset, size)
    assert sorted(sending.next() for _ in parts) == [1, 4_000_000, 4_999_999]
    sending.close()
    assert {
        path: kept[path] == CONTENT[offset : offset + size] for path, (offset, size) in parts.items()
    } == dict.fromkeys(parts, True)


def test_a_file_that_became_shorter(store: tuple[Store, str], file: Path) -> None:
    sending = Sending(file)
    sending.add(f"{store[1]}/1", 8_000_000, 1_000_001)
    with pytest.raises(InvalidInput, match="became shorter"):
        sending.next()
    file.unlink()
    sending.add(f"{store[1]}/1", 0, 1)
    with pytest.raises(InvalidInput, match="cannot be read"):
        sending.next()
    sending.close()
    assert store[0].kept == {}


def test_a_part_that_is_refused(store: tuple[Store, str], file: Path) -> None:
    sending = Sending(file)
    sending.add(f"{store[1]}/refused?signature=secret", 0, 9_000_000)
    with pytest.raises(StoreFailed) as failed:
        sending.next()
    sending.close()
    assert "secret" not in str(failed.value)


def test_ranges_come_in_order(store: tuple[Store, str]) -> None:
    store[0].kept["/file"] = CONTENT
    receiving = Receiving(f"{store[1]}/file", 17, len(CONTENT))
    received = bytearray()
    while piece := receiving.next():
        received += piece
    receiving.close()
    assert received == CONTENT[17:]


@pytest.mark.parametrize(
    ("quick_s", "slow_s", "lengths"),
    [(60.0, 60.0, [1_000_000, 2_000_000, 4_000_000, 2_000_000]), (0.0, 0.0, [1_000_000] * 9)],
)
def test_ranges_are_as_long_as_the_line_is_quick(
    store: tuple[Store, str], monkeypatch: pytest.MonkeyPatch, quick_s: float, slow_s: float, lengths: list[int]
) -> None:
    limits = {
        "RANGES_AT_ONCE_MAX": 1,
        "RANGE_BYTES_MIN": 1_000_000,
        "RANGE_BYTES_MAX": 4_000_000,
        "RANGE_QUICK_S": quick_s,
        "RANGE_SLOW_S": slow_s,
    }
    for name, limit in limits.items():
        monkeypatch.setattr(direct, name, limit)
    store[0].kept["/file"] = CONTENT
    receiving = Receiving(f"{store[1]}/file", 0, len(CONTENT))
    received = [len(piece) for piece in iter(receiving.next, b"")]
    receiving.close()
    assert received == lengths


def test_no_redirect_is_followed(store: tuple[Store, str]) -> None:
    store[0].kept["/file"] = CONTENT
    receiving = Receiving(f"{store[1]}/moved", 0, len(CONTENT))
    with pytest.raises(StoreFailed, match="302"):
        receiving.next()
    receiving.close()


@pytest.mark.parametrize("store", ["http"], indirect=True)
def test_a_store_behind_a_proxy(store: tuple[Store, str], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", store[1])
    direct._opener.cache_clear()
    sending = Sending(file)
    sending.add("http://store.example/1", 0, 1_000)
    assert sending.next() == 1_000
    sending.close()
    assert store[0].kept == {"http://store.example/1": CONTENT[:1_000]}
