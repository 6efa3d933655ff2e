"""Imports as people run them, and what came of them, to be compared point by point with what the tool logged."""

import json
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.platform import PENSTOCK, Platform

from penstock.api.artifact.v1 import artifact_service_pb2
from penstock.client import Client

__all__ = [
    "Imported",
    "Peer",
    "Points",
    "as_points",
    "ended_import",
    "imported_files",
    "imported_points",
    "run_import",
    "start_import",
]

TIMEOUT_S = 120

Points = dict[str, list[tuple[int, int, str]]]
"""Step, time in microseconds and value (as hexadecimal text, which tells every NaN apart) by metric, sorted."""


class Peer:
    """A script of `tests/compat/writers` in a process of the peers' environment.

    Args:
        python: The environment's Python.
        script: The script.
        log: Takes what it and the tool say.
    """

    def __init__(self, python: Path, script: Path, log: Path) -> None:
        self._command = [str(python), str(script)]
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ask(self, function: str, **arguments: Any) -> Any:
        """Calls a function of the script, and returns its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": function, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"{function} failed: {self._log.read_text()[-2000:]}"
        return json.loads(line)


@dataclass(frozen=True)
class Imported:
    """What `penstock import --json` said.

    Attributes:
        exit_code: Its exit code.
        runs: One document per run, by label.
        summary: The document for all; empty if there is none.
        error: What it wrote to stderr.
    """

    exit_code: int
    runs: dict[str, Any]
    summary: dict[str, int]
    error: str

    def outcomes(self) -> dict[str, str]:
        """How each run ended, by label."""
        return {label: run["outcome"] for label, run in self.runs.items()}


def start_import(platform: Platform, *arguments: str) -> subprocess.Popen[str]:
    """Starts `penstock import ... --json`."""
    return subprocess.Popen(
        [str(PENSTOCK), "import", *arguments, "--json"],
        env=platform.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_import(platform: Platform, *arguments: str) -> Imported:
    """Runs `penstock import ... --json`."""
    return ended_import(start_import(platform, *arguments))


def ended_import(process: subprocess.Popen[str]) -> Imported:
    """Waits for an import, and reads what it said."""
    out, error = process.communicate(timeout=TIMEOUT_S)
    documents: Sequence[Mapping[str, Any]] = [json.loads(line) for line in out.splitlines()]
    runs = {document["label"]: document for document in documents if "label" in document}
    summary = next((dict(document["summary"]) for document in documents if "summary" in document), {})
    return Imported(process.returncode, runs, summary, error)


def imported_points(client: Client, run: str) -> Points:
    """Every point of a run, as the server has it."""
    found: Points = {}
    for piece in client.history(run):
        points = piece.points
        values = [struct.pack(">d", value).hex() for value in points.values]
        found.setdefault(piece.key, []).extend(zip(points.steps, points.times_unix_us, values, strict=True))
    return {key: sorted(points) for key, points in found.items()}


def imported_files(client: Client, run: str) -> dict[str, str]:
    """The digest of every file of a run, by path, as the server has it."""
    request = artifact_service_pb2.ListFilesRequest(parent=run, recursive=True, page_size=1_000)
    response = client.artifact_service.ListFiles(request)
    assert not response.next_page_token, "more than a test should have"
    return {entry.file.path: entry.file.blob.sha256 for entry in response.entries}


def as_points(answer: Mapping[str, Sequence[Sequence[Any]]], *more: Mapping[str, Sequence[Sequence[Any]]]) -> Points:
    """What a script logged, in one or several turns, in the form of `imported_points`."""
    found: Points = {}
    for turn in (answer, *more):
        for key, points in turn.items():
            found.setdefault(key, []).extend((point[0], point[1], point[2]) for point in points)
    return {key: sorted(points) for key, points in found.items()}
