"""The whole platform for tests, started as people start it, and as a cluster does.

`running_platform(tmp_path)` is `penstock up`, with the options that pytest was given for all of them;
`running_processes(tmp_path)` is the services, the gateway and the dashboard as processes that the test starts and ends one by
one.
Both store below `tmp_path`, listen on free ports, and are context managers:

    with running_platform(tmp_path) as platform:
        subprocess.run(["penstock", "status"], env=platform.env)

A restart, also after `kill()`, keeps the data and the ports, so that clients find the platform again.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal, Self, TypeVar

from penstock_local.servers import MinioServer, MongoServer, RedisServer, SeaweedServer
from penstock_local.servers.mongo import CACHE_GB

__all__ = ["PENSTOCK", "Platform", "Processes", "logged", "running_platform", "running_processes"]

PENSTOCK = Path(sys.executable).with_name("penstock")
"""The command under test."""

START_TIMEOUT_S = 60.0
up_options: list[str] = []
"""What every `penstock up` is started with: which shape and stores the end-to-end tests are run on."""

STOP_TIMEOUT_S = 20.0

BUCKET = "tracking"
ARTIFACT_BUCKET = "artifact"
REGISTRY_BUCKET = "registry"

Stores = Literal["embedded", "servers"]
T = TypeVar("T", "Platform", "Processes")

_FOREIGN_VARIABLES = ("PENSTOCK_URL", "PENSTOCK_TOKEN", "PENSTOCK_PROFILE", "RANK", "SLURM_PROCID")


class Platform:
    """A running `penstock up`.

    Attributes:
        http: The HTTP address, `http://127.0.0.1:port`.
        grpc: The gRPC address, `127.0.0.1:port`.
        setup_link: The link that it printed; each start prints a new one.
        token: The secret of the local owner's token.
        env: The environment in which clients find it.
        pid: The process.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self.home = directory / "home"
        self.env = _environment(self.home)
        self._options = options
        self._log = directory / "up.stderr"
        self._process: subprocess.Popen[str] | None = None
        self.http = self.grpc = self.setup_link = self.token = ""
        self._ports = ["--http-port", "0", "--grpc-port", "0"]

    def start(self) -> Self:
        """Starts it and returns when it is ready."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [str(PENSTOCK), "up", "--json", *self._ports, *up_options, *self._options],
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = _first_line(self._process, lambda: self._log.read_text())
        said = json.loads(line)
        self.http, self.grpc, self.setup_link = said["http"], said["grpc"], said["setup_link"]
        self.token = json.loads((self.home / "local.json").read_text())["token"]
        self._ports = ["--http-port", _port(self.http), "--grpc-port", _port(self.grpc)]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code. Does nothing if it is not running."""
        return _end(self._process, signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL and returns when the process is gone."""
        _end(self._process, signal.SIGKILL)

    def restart(self) -> None:
        """Stops it, if it runs, and starts it on the same data and ports."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Processes:
    """The platform as processes: `auth`, `tracking` or `tracking-1` and so on, `registry`, `artifact`, `gateway`,
    `dashboard`.

    With store servers compaction is a process of its own, `compactor`, or does not happen.

    Attributes: as of `Platform`, but for `pid`.
        names: The processes, in the order of their start.
        mongo, redis, s3: The servers, with the stores `servers`.
    """

    def __init__(
        self,
        directory: Path,
        stores: Stores = "embedded",
        tracking_replicas: int = 1,
        *,
        compaction: bool = True,
        mongo_cache_gb: float = CACHE_GB,
    ) -> None:
        self.home = directory / "home"
        self._directory = directory
        self._trackings = (
            ["tracking"] if tracking_replicas == 1 else [f"tracking-{n + 1}" for n in range(tracking_replicas)]
        )
        self._with_servers = stores == "servers"
        compactor = ["compactor"] if self._with_servers and compaction else []
        self.names = ("auth", *self._trackings, *compactor, "artifact", "registry", "gateway", "dashboard")
        self.mongo = MongoServer(directory / "mongo", cache_gb=mongo_cache_gb)
        self.redis = RedisServer(directory / "redis")
        s3 = MinioServer if MinioServer.available() is not None else SeaweedServer
        self.s3 = s3(directory / "s3")
        self._processes: dict[str, subprocess.Popen[str]] = {}
        # The gateway and the dashboard each need the other's address, so one of the ports is chosen beforehand.
        self._addresses = dict.fromkeys(self.names, "127.0.0.1:0") | {"dashboard": f"127.0.0.1:{_free_port()}"}
        self._grpc_address = "127.0.0.1:0"
        self.env = _environment(self.home)
        self.http = self.grpc = self.setup_link = self.token = ""

    def start(self) -> Self:
        """Starts all and returns when they are ready."""
        if self._with_servers:
            for server in (self.mongo, self.redis, self.s3):
                server.start()
            for bucket in (BUCKET, ARTIFACT_BUCKET, REGISTRY_BUCKET):
                self.s3.make_bucket(bucket)
        for name in self.names:
            self.start_one(name)
        self.wait_ready()
        self.token = self._owner_credential.read_text().strip()
        self.env = {**self.env, "PENSTOCK_URL": self.http, "PENSTOCK_TOKEN": self.token}
        link = _post(f"{self.http}/api/v1/setupLinks", self.token)
        self.setup_link = f"{self.http}/setup#{link['secret']}"
        return self

    def start_one(self, name: str) -> None:
        """Starts one of them on its address. Returns when it listens; the others may have to find it again yet."""
        log = self._directory / f"{name}.stderr"
        begin = log.stat().st_size if log.exists() else 0
        with log.open("a") as stderr:
            self._processes[name] = process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "penstock_tracking.compactor" if name == "compactor" else f"penstock_{_part(name)}",
                ],
                env=self._settings(name),
                stdout=subprocess.PIPE if name == "dashboard" else subprocess.DEVNULL,
                stderr=stderr,
                text=True,
            )
        if name == "dashboard":
            _first_line(process, lambda: log.read_text()[begin:])
            return
        if name == "compactor":
            return
        serving = logged(process, log, begin, "Serving")
        if name == "gateway":
            self._addresses[name], self._grpc_address = serving["http_address"], serving["grpc_address"]
            self.http, self.grpc = f"http://{serving['http_address']}", serving["grpc_address"]
        else:
            self._addresses[name] = serving["address"]

    def address(self, name: str) -> str:
        """`host:port` where one of them listens."""
        return self._addresses[name]

    def pid(self, name: str) -> int:
        """The process of one of them."""
        return self._processes[name].pid

    def stop_one(self, name: str) -> int:
        """Sends SIGTERM to one of them and returns its exit code."""
        return _end(self._processes.get(name), signal.SIGTERM)

    def kill_one(self, name: str) -> None:
        """Sends SIGKILL to one of them and returns when it is gone."""
        _end(self._processes.get(name), signal.SIGKILL)

    def restart_one(self, name: str) -> None:
        """Stops one of them, if it runs, starts it again, and returns when the platform is ready."""
        self.stop_one(name)
        self.start_one(name)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Returns when the gateway says that all services are ready."""
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.http}/healthz", timeout=5):
                return
            time.sleep(0.05)
        raise AssertionError(f"not ready after {START_TIMEOUT_S} s: see {self._directory}/*.stderr")

    def stop(self) -> None:
        """Stops all of them, the front door first."""
        for name in reversed(self.names):
            self.stop_one(name)
        for server in (self.s3, self.redis, self.mongo):
            server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _owner_credential(self) -> Path:
        return self._directory / "data" / "owner.credential"

    def _settings(self, name: str) -> dict[str, str]:
        data = self._directory / "data"
        for path in (data / "auth", data / "tracking", data / "registry", data / "artifact"):
            path.mkdir(parents=True, exist_ok=True)
        service_credential = str(data / "platform.credential")
        part = "tracking" if name == "compactor" else _part(name)
        settings = {
            "auth": {
                "ADDRESS": self._addresses["auth"],
                "DATA_DIR": str(data / "auth"),
                "DOCUMENTS_URL": self.mongo.database_url("auth") if self._with_servers else "",
                "SERVICE_CREDENTIAL_FILE": service_credential,
                "OWNER_CREDENTIAL_FILE": str(self._owner_credential),
            },
            "tracking": {
                "ADDRESS": self._addresses[name],
                "DATA_DIR": str(data / "tracking"),
                **self._tracking_urls(),
                "AUTH_ADDRESS": self._addresses["auth"],
                "SERVICE_CREDENTIAL_FILE": service_credential,
            },
            "registry": {
                "ADDRESS": self._addresses[name],
                "DATA_DIR": str(data / "registry"),
                "DOCUMENTS_URL": self.mongo.database_url("registry") if self._with_servers else "",
                "BLOBS_URL": self.s3.bucket_url(REGISTRY_BUCKET) if self._with_servers else "",
                "TRACKING_ADDRESS": ",".join(self._addresses[tracking] for tracking in self._trackings),
                "ARTIFACT_ADDRESS": self._addresses["artifact"],
                "AUTH_ADDRESS": self._addresses["auth"],
                "SERVICE_CREDENTIAL_FILE": service_credential,
            },
            "artifact": {
                "ADDRESS": self._addresses[name],
                "DATA_DIR": str(data / "artifact"),
                "DOCUMENTS_URL": self.mongo.database_url("artifact") if self._with_servers else "",
                "BLOBS_URL": self.s3.bucket_url(ARTIFACT_BUCKET) if self._with_servers else "",
                "S3_PUBLIC_URL": f"http://127.0.0.1:{self.s3.port}" if self._with_servers else "",
                "AUTH_ADDRESS": self._addresses["auth"],
                "SERVICE_CREDENTIAL_FILE": service_credential,
            },
            "gateway": {
                "HTTP_ADDRESS": self._addresses["gateway"],
                "GRPC_ADDRESS": self._grpc_address,
                "AUTH_ADDRESS": self._addresses["auth"],
                "TRACKING_ADDRESS": ",".join(self._addresses[tracking] for tracking in self._trackings),
                "REGISTRY_ADDRESS": self._addresses["registry"],
                "ARTIFACT_ADDRESS": self._addresses["artifact"],
                "DASHBOARD_URL": f"http://{self._addresses['dashboard']}",
            },
            "dashboard": {
                "ADDRESS": self._addresses["dashboard"],
                "GATEWAY_HTTP": self.http,
                "GATEWAY_GRPC": self.grpc,
            },
        }[part]
        return self.env | {f"PENSTOCK_{part.upper()}_{key}": value for key, value in settings.items()}

    def _tracking_urls(self) -> dict[str, str]:
        if not self._with_servers:
            return {}
        return {
            "DOCUMENTS_URL": self.mongo.database_url("tracking"),
            "METRIC_LOG_URL": self.mongo.database_url("metrics"),
            "HOT_URL": self.redis.url,
            "BLOBS_URL": self.s3.bucket_url(BUCKET),
            "COMPACTION": "false",
        }


def running_platform(directory: Path, *options: str, **variables: str) -> Platform:
    """Starts `penstock up` with its home below a directory, further options and environment. To be used with `with`."""
    platform = Platform(directory, *options)
    platform.env |= variables
    return _started(platform)


def running_processes(
    directory: Path,
    stores: Stores = "embedded",
    tracking_replicas: int = 1,
    *,
    compaction: bool = True,
    mongo_cache_gb: float = CACHE_GB,
) -> Processes:
    """Starts the processes, and servers for stores if they are to be, with their data below a directory.

    To be used with `with`. Several tracking services need the stores `servers`.
    """
    return _started(
        Processes(directory, stores, tracking_replicas, compaction=compaction, mongo_cache_gb=mongo_cache_gb)
    )


def _part(name: str) -> str:
    return name.partition("-")[0]


def _started(platform: T) -> T:
    try:
        platform.start()
    except BaseException:
        platform.stop()
        raise
    return platform


def _environment(home: Path) -> dict[str, str]:
    """This process's environment, without what would lead a client to another server."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
    return kept | {"PENSTOCK_HOME": str(home)}


def _first_line(process: subprocess.Popen[str], log: Any) -> str:
    """The first line on a process's standard output; the pipe is read on in the background, so that it never fills."""
    assert process.stdout is not None
    timer = threading.Timer(START_TIMEOUT_S, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    if not line:
        process.wait()
        raise AssertionError(f"{process.args} ended with {process.returncode}: {log()}")
    threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
    return line


def _drain(pipe: IO[str]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for _ in pipe:
            pass


def logged(process: subprocess.Popen[str], log: Path, begin: int, message: str) -> Mapping[str, Any]:
    """Waits for a JSON log line with a message."""
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s:
        for line in log.read_bytes()[begin:].decode().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("message") == message:
                    return entry
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"{process.args} did not start: {log.read_text()}")


def _end(process: subprocess.Popen[str] | None, number: signal.Signals) -> int:
    if process is None:
        return 0
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args} did not end within {STOP_TIMEOUT_S} s of {number.name}") from None
    if process.stdout is not None:
        process.stdout.close()
    return process.returncode


def _post(url: str, token: str) -> dict[str, Any]:
    request = urllib.request.Request(
        url, b"{}", {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _port(address: str) -> str:
    return address.rpartition(":")[2]
