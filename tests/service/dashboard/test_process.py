"""The dashboard as a process: how it starts and ends, and what every answer carries, without any service behind it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

READY_TIMEOUT_S = 30.0
NOWHERE = "127.0.0.1:9"  # the discard port: nothing answers there
SESSION = {"cookie": "penstock_session=pss_none"}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


def started(**environment: str) -> "subprocess.Popen[str]":
    settings = {"PENSTOCK_DASHBOARD_ADDRESS": "127.0.0.1:0", "PENSTOCK_DASHBOARD_GATEWAY_GRPC": NOWHERE, **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "penstock_dashboard"],
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and standard error."""
    _, errors = process.communicate(timeout=READY_TIMEOUT_S)
    return process.returncode, errors


@pytest.fixture(scope="module")
def http() -> Iterator[str]:
    process = started()
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["http"]
    finally:
        process.send_signal(signal.SIGTERM)
        code, errors = ended(process)
    assert (code, errors) == (0, "")


def ask(url: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Message, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_every_answer_carries_the_security_headers(http: str) -> None:
    for path in ("/", "/sign-in", "/static/base.css", "/static/none", "/healthz", "/_dash-layout", "/projects/default"):
        _, headers, _ = ask(http + path, **SESSION)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
        assert "unsafe-inline" not in scripts
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy
        assert headers["cache-control"]


def test_pages_need_a_session(http: str) -> None:
    status, headers, _ = ask(f"{http}/projects/default?filter=a%20b")
    assert (status, headers["location"]) == (303, "/sign-in?next=/projects/default%3Ffilter%3Da%2520b")
    assert ask(f"{http}/")[1]["location"] == "/sign-in"
    for cookie in (
        "penstock_session=",
        "penstock_session=" + "x" * 257,
        'penstock_session="a b"',
        "other=1",
        "\x01=;=;",
    ):
        assert ask(f"{http}/", cookie=cookie)[0] == 303


def test_every_page_is_the_same_document_and_names_no_other_host(http: str) -> None:
    status, headers, body = ask(f"{http}/projects/default/runs/{'0' * 32}", **SESSION)
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    text = body.decode()
    assert '<script src="/static/theme.js"></script>' in text
    assert "/assets/penstock.css" in text
    assert "https://" not in text.partition('<script id="_dash-config"')[0]


def test_large_scripts_are_compressed_and_cached(http: str) -> None:
    _, _, body = ask(f"{http}/", **SESSION)
    script = re.search(r'src="(/_dash-component-suites/dash_mantine_components/[^"]+)"', body.decode())
    assert script is not None
    _, headers, compressed = ask(http + script[1], accept_encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert "max-age" in headers["cache-control"]
    assert len(compressed) < 500_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"token": 7}', 400),
        (b'{"token": ""}', 400),
        (b'{"token": "a b"}', 400),
        (b'{"token": "a;b"}', 400),
        (b'{"setup": "' + b"x" * 257 + b'"}', 400),
        (b'{"token": "' + b"x" * 5000 + b'"}', 413),
    ],
)
def test_a_sign_in_that_is_none(http: str, body: bytes, status: int) -> None:
    answered, headers, content = ask(f"{http}/session", method="POST", body=body, content_type="application/json")
    assert answered == status
    assert json.loads(content)["message"]
    assert headers["set-cookie"] is None


def test_another_site_cannot_sign_a_visitor_in_or_out(http: str) -> None:
    for method in ("POST", "DELETE"):
        status, _, content = ask(
            f"{http}/session", method=method, body=b'{"token": "pst_x"}', origin="https://elsewhere.example"
        )
        assert (status, json.loads(content)["reason"]) == (403, "ORIGIN_REFUSED")


def test_a_sign_out_without_a_session_clears_the_cookie(http: str) -> None:
    status, headers, _ = ask(f"{http}/session", method="DELETE", origin=http)
    assert status == 200
    assert headers["set-cookie"].startswith('penstock_session="";')


def test_it_ends_with_its_parent() -> None:
    process = started(PENSTOCK_DASHBOARD_EXIT_WITH_PARENT="1")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline()
    process.stdin.close()
    process.stdin = None
    assert ended(process) == (0, "")


def test_a_wrong_setting_is_said_in_one_line() -> None:
    code, errors = ended(started(PENSTOCK_DASHBOARD_ADDRESS="everywhere"))
    assert code == 2
    assert errors.startswith("PENSTOCK_DASHBOARD_ADDRESS")
    assert errors.count("\n") == 1
