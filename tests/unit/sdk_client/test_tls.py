"""An https address means TLS for HTTP and for gRPC, both trusting the same authorities."""

import http.server
import ssl
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.tls import certificate

from penstock.api.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from penstock.client import Client
from penstock.config import Connection
from penstock.errors import ServerUnavailable


class Auth(auth_service_pb2_grpc.AuthServiceServicer):
    """Lets everybody in."""

    def ExchangeToken(self, request: Any, context: Any) -> Any:
        return auth_service_pb2.ExchangeTokenResponse(access_token="a.e30.c")

    def WhoAmI(self, request: Any, context: Any) -> Any:
        return auth_service_pb2.WhoAmIResponse(principal="users/ada")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The certificate of the server, and its key."""
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def https(files: tuple[Path, Path]) -> Iterator[str]:
    """The address of a server that speaks TLS on both doors."""
    certificate_file, key_file = files
    door = grpc.server(ThreadPoolExecutor(2))
    auth_service_pb2_grpc.add_AuthServiceServicer_to_server(Auth(), door)
    credentials = grpc.ssl_server_credentials([(key_file.read_bytes(), certificate_file.read_bytes())])
    port = door.add_secure_port("127.0.0.1:0", credentials)
    door.start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'{{"grpc": "127.0.0.1:{port}", "version": "1"}}'.encode())

        def log_message(self, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            pass  # a client that does not trust us hangs up

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    door.stop(0).wait()


def test_both_doors_are_tls(https: str, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with warnings.catch_warnings(record=True) as warned, Client(Connection(https, None, "pst_x", "tests")) as client:
        warnings.simplefilter("always")
        assert client.whoami().principal == "users/ada"
    assert [str(warning.message) for warning in warned if issubclass(warning.category, UserWarning)] == []


def test_a_certificate_that_nobody_vouches_for_is_refused(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with (
        Client(Connection(https, None, "pst_x", "tests")) as client,
        pytest.raises(ServerUnavailable, match="No secure connection"),
    ):
        client.whoami()


def test_authorities_that_cannot_be_read_are_named(https: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with (
        Client(Connection(https, "127.0.0.1:1", "pst_x", "tests")) as client,
        pytest.raises(ServerUnavailable, match=r"gone\.pem"),
    ):
        client.whoami()
