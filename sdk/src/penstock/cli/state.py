"""Commands that say how things stand: `status`, `doctor`."""

import importlib.metadata
import os
import platform
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from penstock import config
from penstock.cli.failures import ExitStatus
from penstock.cli.output import JsonOption, duration, pairs, print_json
from penstock.errors import NotConnected, PenstockError

__all__ = ["app"]

app = typer.Typer()

DISCOVERY_TIMEOUT_S = 5.0
"""How long the server may take to say where its gRPC door is."""
CLOCK_SKEW_S_MAX = 5.0
"""From this difference between our clock and the server's on, `doctor` warns: start times and durations would mislead."""
EXTRAS = {
    "arrow": "pyarrow",
    "pandas": "pandas",
    "polars": "polars",
    "gpu": "nvidia-ml-py",
    "import-mlflow": "pyyaml",
    "import-neptune": "pyarrow",
}
PYTHON_MIN = (3, 11)
MEBIBYTE = 1024 * 1024


@app.command()
def status(json: JsonOption = False) -> None:
    """Say which server is in use, what it holds, and what waits here to be sent to it.

    \b
    Example:
      penstock status
    """
    from penstock.cli.backlog import told, waiting_spools
    from penstock.client import Client
    from penstock.client.discovery import discover

    connection = config.resolve()
    server = discover(connection.http, DISCOVERY_TIMEOUT_S)
    with Client(connection) as client:
        who = client.whoami()
        projects = [project.name.removeprefix("projects/") for project in client.projects()]
    waiting = list(waiting_spools())
    if json:
        print_json(
            {
                "http": connection.http,
                "grpc": connection.grpc or server.grpc,
                "source": connection.source,
                "version": server.version,
                "principal": who.principal,
                "projects": projects,
                "spools_waiting": len(waiting),
                "spools_refused": sum(spool.refused for spool in waiting),
            }
        )
        return
    pairs(
        {
            "server": f"{connection.http} (from {connection.source})",
            "grpc": connection.grpc or server.grpc,
            "version": server.version or "not told",
            "signed in": who.principal,
            "projects": ", ".join(projects) or "none yet: `penstock project create ID`",
            "spools waiting": told(waiting) or "none",
        }
    )


@dataclass(frozen=True)
class Check:
    """What `doctor` found of one thing.

    Attributes:
        name: What was looked at.
        result: `ok`, `warning` or `failure`.
        message: What was found.
        remedy: What to do about it; empty if nothing.
    """

    name: str
    result: str
    message: str
    remedy: str = ""


@app.command()
def doctor(json: JsonOption = False) -> None:
    """Look for what could keep Penstock from working here, and say how to mend it. Exits with 1 if something fails.

    Looks at Python, the packages, the home folder, the server, the token, the clocks, unsent data and the extras. With
    --json, one document per check.

    \b
    Example:
      penstock doctor
    """
    failed = False
    for check in _checks():
        failed = failed or check.result == "failure"
        if json:
            print_json(vars(check))
        else:
            _show(check)
    if failed:
        raise typer.Exit(ExitStatus.FAILED)


def _show(check: Check) -> None:
    from rich.text import Text

    from penstock.cli.output import console

    mark, style = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failure": ("✗", "red")}[check.result]
    line = Text(f"{mark} ", style=style).append(f"{check.name}: ", style="default bold")
    console().print(line.append(check.message, style="default not bold"))
    if check.remedy:
        console().print(Text(f"  {check.remedy}", style="dim"))


def _checks() -> Iterator[Check]:
    yield _python()
    yield _packages()
    yield _home()
    yield from _server()
    yield _backlog()
    yield _extras()


def _python() -> Check:
    message = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < PYTHON_MIN:
        return Check("python", "failure", message, f"Penstock needs Python {'.'.join(map(str, PYTHON_MIN))} or newer.")
    return Check("python", "ok", message)


def _packages() -> Check:
    found = {}
    for name in ("penstock", "grpcio", "protobuf"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return Check("packages", "failure", f"{name} is not installed.", "pip install --force-reinstall penstock")
    message = ", ".join(f"{name} {version}" for name, version in found.items())
    try:
        import penstock.client  # noqa: F401 - that it can be imported is what is checked
    except Exception as error:
        return Check("packages", "failure", f"{message}: {error}", "pip install --upgrade penstock grpcio protobuf")
    return Check("packages", "ok", message)


def _home() -> Check:
    folder = config.home()
    remedy = "Make it writable, or set PENSTOCK_HOME to a folder that is."
    probe = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"penstock")
        probe.unlink()
    except OSError as error:
        return Check("home", "failure", f"{folder} cannot be written: {error.strerror}.", remedy)
    open_files = [path.name for path in (folder / "config.json", folder / "local.json") if _others_can_read(path)]
    if open_files:
        message = f"{folder}: others can read {', '.join(open_files)}, which hold tokens."
        return Check("home", "warning", message, f"chmod 600 {' '.join(str(folder / name) for name in open_files)}")
    return Check("home", "ok", str(folder))


def _others_can_read(path: Path) -> bool:
    try:
        return os.name == "posix" and path.stat().st_mode & 0o077 != 0
    except OSError:
        return False


def _server() -> Iterator[Check]:
    try:
        connection = config.resolve()
    except NotConnected as error:
        yield Check("server", "failure", error.message)
        return
    except PenstockError as error:
        yield Check("server", "failure", error.message, "Correct the address, or the file that holds it.")
        return
    try:
        from penstock.client import Client
        from penstock.client.discovery import discover

        server = discover(connection.http, DISCOVERY_TIMEOUT_S)
    except PenstockError as error:
        remedy = "Start it, or correct PENSTOCK_URL or the profile; look at proxies and firewalls in between."
        yield Check("server", "failure", f"{error.message} (from {connection.source})", remedy)
        return
    version = f" {server.version}" if server.version else ""
    yield Check(
        "server", "ok", f"Penstock{version} at {connection.http}, gRPC at {server.grpc} (from {connection.source})"
    )
    try:
        with Client(connection, timeout_s=DISCOVERY_TIMEOUT_S) as client:
            who = client.whoami()
    except PenstockError as error:
        remedy = f"`penstock login {connection.http}` with a fresh token, or look whether the gRPC port is reachable."
        yield Check("token", "failure", error.message, remedy)
    else:
        yield Check("token", "ok", f"{who.principal}{', owner' if who.owner else ''}")
    yield _clock(server.clock_ahead_s)


def _clock(ahead_s: float | None) -> Check:
    if ahead_s is None:
        return Check("clock", "warning", "The server does not tell its time.")
    if abs(ahead_s) > CLOCK_SKEW_S_MAX:
        message = f"The server's clock is {duration(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} ours."
        return Check("clock", "warning", message, "Let both set their clocks by NTP: times of runs would mislead.")
    return Check("clock", "ok", "agrees with the server's")


def _backlog() -> Check:
    from penstock.cli.backlog import waiting_spools

    waiting = list(waiting_spools())
    if not waiting:
        return Check("spool", "ok", "nothing waits to be sent")
    size = sum(spool.bytes_on_disk for spool in waiting) / MEBIBYTE
    message = f"{len(waiting)} spools wait to be sent or are being sent, {size:.1f} MiB, in {config.spool_dir()}."
    why = next((spool.message for spool in waiting if spool.message), "")
    remedy = "Send them with `penstock sync`."
    refused = next((spool for spool in waiting if spool.refused), None)
    if refused is not None:
        remedy += f" What the server refuses is given up with `penstock sync --discard {refused.folder}`."
    return Check("spool", "warning", f"{message}{f' {why}' if why else ''}", remedy)


def _extras() -> Check:
    found: dict[str, Any] = {}
    for extra, distribution in EXTRAS.items():
        try:
            found[extra] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[extra] = None
    message = ", ".join(f"{extra}: {version or 'not installed'}" for extra, version in found.items())
    return Check("extras", "ok", message)
