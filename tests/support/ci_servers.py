"""GitHub, GitLab and Jenkins on loopback, as strict as the real ones about what starts a job. They really run it.

Sources: GitHub REST API 2022-11-28, "Create a workflow dispatch event"; GitLab API v4, "Trigger a pipeline with a token";
Jenkins Remote Access API, `buildWithParameters`.
"""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl

__all__ = ["INPUTS", "REF", "TOKEN", "USER", "CiServer", "ci_server"]

TOKEN: Final = "ci-token-of-the-test"
USER: Final = "ada"
REF: Final = "main"
INPUTS: Final = (
    "penstock_event",
    "penstock_model",
    "penstock_version",
    "penstock_alias",
    "penstock_chain_length",
    "penstock_concurrency_key",
)
"""What the workflow and the job declare: whatever else is sent is refused, or dropped, as on the real servers."""

JOB_TIMEOUT_S: Final = 60


@dataclass
class CiServer:
    """A running server.

    Attributes:
        port: Of 127.0.0.1.
        script: What a job does: Python, run with what it was given in its environment.
        given: What each job was given, by the names of environment variables.
        refused: Status and path of what was refused.
        problems: What jobs that failed said.
    """

    port: int = 0
    script: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    given: list[dict[str, str]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    jobs: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_job(self, variables: dict[str, str]) -> None:
        """Runs the job beside, as the real ones do: the answer does not wait for it."""
        self.given.append(variables)
        job = threading.Thread(target=self._run, args=(variables,))
        self.jobs.append(job)
        job.start()

    def _run(self, variables: Mapping[str, str]) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", self.script],
            env={**os.environ, **self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
        )
        if ended.returncode:
            self.problems.append(ended.stderr)


def _github(server: CiServer, path: str, headers: Mapping[str, str], body: bytes) -> int:
    if headers.get("authorization") != f"Bearer {TOKEN}" or not headers.get("user-agent"):
        return 401
    if path != "/repos/acme/models/actions/workflows/deploy.yml/dispatches":
        return 404
    if headers.get("x-github-api-version") != "2022-11-28" or "json" not in headers.get("content-type", ""):
        return 400
    asked: dict[str, Any] = json.loads(body)
    inputs: dict[str, str] = asked.get("inputs", {})
    known = all(name in INPUTS and isinstance(text, str) for name, text in inputs.items())
    if asked.keys() - {"ref", "inputs"} or asked["ref"] != REF or not known or len(json.dumps(inputs)) > 65_535:
        return 422
    # The workflow puts inputs into the environment: `env: PENSTOCK_CHAIN_LENGTH: ${{ inputs.penstock_chain_length }}`.
    server.start_job({name.upper(): text for name, text in inputs.items()})
    return 204


def _gitlab(server: CiServer, path: str, headers: Mapping[str, str], body: bytes) -> int:
    if path != "/api/v4/projects/acme%2Fmodels/trigger/pipeline":
        return 404
    if headers.get("content-type") != "application/x-www-form-urlencoded":
        return 400
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    if form.pop("token", "") != TOKEN:
        return 404  # as GitLab: who may not start it is told that there is nothing
    if form.pop("ref", "") != REF or not all(name.startswith("variables[") for name in form):
        return 400
    server.start_job({name.removeprefix("variables[").removesuffix("]"): text for name, text in form.items()})
    return 201


def _jenkins(server: CiServer, path: str, headers: Mapping[str, str], body: bytes) -> int:
    if headers.get("authorization") != "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode():
        return 401
    if path != "/job/deploy/buildWithParameters":
        return 404
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    server.start_job({name: text for name, text in form.items() if name.lower() in INPUTS})
    return 201


_KINDS = {"github": _github, "gitlab": _gitlab, "jenkins": _jenkins}


@contextmanager
def ci_server(kind: str) -> Iterator[CiServer]:
    """Runs a server: `github`, `gitlab` or `jenkins`. At the end it waits for its jobs."""
    server = CiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                status = _KINDS[kind](server, self.path, headers, body)
            except (ValueError, KeyError):
                status = 400
            if status >= 400:
                server.refused.append((status, self.path))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
        for job in server.jobs:
            job.join()
