"""Owns the programs of servers: where they are, and how they get here.

What is fetched is pinned by version, and by hash where the registry serves files, and lies in
`$XDG_CACHE_HOME/penstock/servers`, one folder per program and version. A folder appears there only whole, so two processes
may fetch at once.
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import PenstockError

__all__ = ["DebianPackage", "GoModule", "ProgramMissing", "Wheel", "on_path"]

FETCH_TIMEOUT_S = 600
BUILD_TIMEOUT_S = 3_600
OUTPUT_LINES_SHOWN = 15  # of a tool that failed


class ProgramMissing(PenstockError):
    """A server's program is not here and cannot be had here. The message says what somebody could do."""

    default_reason = "PROGRAM_MISSING"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A program inside a wheel of the Python package index.

    Attributes:
        distribution: The name of the distribution.
        version: Its version.
        sha256: Of every file that will do: one per platform.
        program: Where the program lies once installed, relative to the target folder.
    """

    distribution: str
    version: str
    sha256: tuple[str, ...]
    program: str

    def cached(self) -> Path | None:
        """Returns the program if it was fetched before."""
        return _existing(_cache() / self._name / self.program)

    def fetch(self, otherwise: str) -> Path:
        """Returns the program, fetched now if it is not in the cache.

        Args:
            otherwise: What somebody could do if it cannot be fetched: a sentence.

        Raises:
            ProgramMissing: It cannot be fetched.
        """
        _make_once(self._name, lambda folder: self._install(folder, otherwise))
        return _cache() / self._name / self.program

    @property
    def _name(self) -> str:
        return f"{self.distribution}-{self.version}"

    def _install(self, folder: Path, otherwise: str) -> None:
        _say(f"Fetching {self.distribution} {self.version} ...")
        requirements = folder / "requirements.txt"
        hashes = "".join(f" --hash=sha256:{digest}" for digest in self.sha256)
        requirements.write_text(f"{self.distribution}=={self.version}{hashes}\n")
        options = ["-q", "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(requirements)]
        _run([*_installer(otherwise), *options], FETCH_TIMEOUT_S, otherwise)
        program = folder / self.program
        if not program.is_file():
            raise ProgramMissing(f"{self.distribution} {self.version} carries no {self.program}. {otherwise}")
        program.chmod(0o755)
        # A program that was made for another system must not stay in the cache.
        _run([str(program), "--version" if program.name == "mongod" else "version"], FETCH_TIMEOUT_S, otherwise)


@dataclass(frozen=True, slots=True)
class GoModule:
    """A program that is built from a Go module: minutes, once.

    Attributes:
        path: The path of the main package.
        version: The version of its module. Go's checksum database vouches for the content.
    """

    path: str
    version: str

    def cached(self) -> Path | None:
        """Returns the program if it was built before."""
        return _existing(_cache() / self._name / self._program)

    def fetch(self, otherwise: str) -> Path:
        """Returns the program, built now if it is not in the cache. Raises `ProgramMissing`; see `Wheel.fetch`."""
        _make_once(self._name, lambda folder: self._build(folder, otherwise))
        return _cache() / self._name / self._program

    @property
    def _program(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def _name(self) -> str:
        return f"{self._program}-{self.version}"

    def _build(self, folder: Path, otherwise: str) -> None:
        go = on_path("go")
        if go is None:
            raise ProgramMissing(f"{self._program} is not on PATH, and there is no Go to build it. {otherwise}")
        _say(f"Building {self._program} {self.version} with Go: some minutes, once ...")
        command = ["nice", str(go), "install", "-trimpath", "-ldflags=-s -w", f"{self.path}@{self.version}"]
        _run(command, BUILD_TIMEOUT_S, otherwise, {"GOBIN": str(folder), "GOOS": "", "GOARCH": ""})


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A program of a Debian package, which root may install.

    Attributes:
        package: The name of the package.
        program: The name of the program on PATH afterwards.
    """

    package: str
    program: str

    def fetch(self, otherwise: str) -> Path:
        """Returns the program, installed now if it is not on PATH. Raises `ProgramMissing`; see `Wheel.fetch`."""
        with _lock(self.package):
            if (found := on_path(self.program)) is not None:
                return found
            if os.geteuid() != 0 or on_path("apt-get") is None:
                raise ProgramMissing(f"{self.program} is not on PATH. {otherwise}")
            _say(f"Installing {self.package} ...")
            environment = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # runlevel 1: its service stays off
            for command in (["update"], ["install", "-y", "--no-install-recommends", self.package]):
                _run(["apt-get", "-qq", *command], FETCH_TIMEOUT_S, otherwise, environment)
        if (found := on_path(self.program)) is None:
            raise ProgramMissing(f"The package {self.package} carries no {self.program}. {otherwise}")
        return found


def on_path(program: str) -> Path | None:
    """Returns where a program is, if it is on PATH."""
    found = shutil.which(program)
    return None if found is None else Path(found)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "penstock" / "servers"


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _make_once(name: str, make: Callable[[Path], None]) -> None:
    """Makes the folder `name` of the cache unless it is there. `make` fills an empty folder."""
    final = _cache() / name
    if final.is_dir():
        return
    with _lock(name):
        if final.is_dir():
            return
        incoming = _cache() / f".{name}.incoming"
        shutil.rmtree(incoming, ignore_errors=True)  # of a process that died
        incoming.mkdir()
        try:
            make(incoming)
            incoming.rename(final)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)


@contextmanager
def _lock(name: str) -> Generator[None]:
    """Holds a lock among processes. It ends with this one, however that ends."""
    folder = _cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f".{name}.lock").open("w")
    except OSError as error:
        raise ProgramMissing(
            f"Cannot write in the cache folder {folder}: {error.strerror}. Set XDG_CACHE_HOME to one that can be written."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Waiting for another process that fetches {name} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _installer(otherwise: str) -> list[str]:
    """The command that installs wheels. An environment that uv made has no pip."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    if (uv := on_path("uv")) is not None:
        return [str(uv), "pip", "install", "--python", sys.executable, "--link-mode=copy"]
    if (pip := on_path("pip3")) is not None:
        return [str(pip), "--disable-pip-version-check", "install"]
    raise ProgramMissing(f"There is neither pip nor uv to fetch it with. {otherwise}")


def _run(
    command: Sequence[str], timeout_s: float, otherwise: str, environment: Mapping[str, str] | None = None
) -> None:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramMissing(f"{command[0]} failed: {error}. {otherwise}") from error
    if done.returncode != 0:
        told = "\n".join(done.stdout.strip().splitlines()[-OUTPUT_LINES_SHOWN:])
        raise ProgramMissing(f"{' '.join(command[:4])} ... failed. {otherwise}\n{told}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
