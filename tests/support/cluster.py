"""Tracking as a cluster runs it, for tests that break it: processes on real store servers, killed and frozen at will."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from pymongo import MongoClient
from support.auth import AuthServer, auth_server
from support.faithful import Endpoint
from support.platform import logged
from support.proxy import Proxy
from support.store_servers import need, s3_kind

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2, tracking_service_pb2_grpc
from penstock_kit.clock import SystemClock
from penstock_local.servers import MongoServer, RedisServer, S3Server

__all__ = ["DATABASE", "Cluster", "ServiceProcess", "Tokens", "new_run", "running_cluster", "tracking_environment"]

DATABASE = "penstock_tracking"
BUCKET = "penstock"
READY_TIMEOUT_S = 30.0
RESTART_PAUSE_S = 0.3
TOKEN_KEPT_S = 120.0  # an access token lives five minutes


class ServiceProcess:
    """One process of a service. It keeps its port over every kill and start, and ends with the test.

    Args:
        module: What `python -m` runs.
        folder: Of its log.
        environment: Its settings, without the address.
        before: A command line in front of the interpreter's.
    """

    def __init__(
        self, module: str, folder: Path, environment: Mapping[str, str], *, before: tuple[str, ...] = ()
    ) -> None:
        self._command = [*before, sys.executable, "-m", module]
        self._log = folder / f"{module}.stderr"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    def start(self, *, serves: bool = True) -> None:
        """Starts it. If it `serves`, returns when it does."""
        begin = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment | {"PENSTOCK_TRACKING_ADDRESS": self.address},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        if serves:
            self.address = logged(self._process, self._log, begin, "Serving")["address"]

    async def keep_running(self) -> None:
        """Starts it whenever it has ended, as an orchestrator does, until this is cancelled."""
        while True:
            if self._process is None or self._process.poll() is not None:
                self.kill()
                self.start(serves=False)
            await asyncio.sleep(RESTART_PAUSE_S)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._started.pid

    def kill(self) -> None:
        """Ends it at once, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()

    def pause(self) -> None:
        """Freezes it."""
        self._started.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._started.send_signal(signal.SIGCONT)

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process


@dataclass
class Cluster:
    """What a test may break.

    Attributes:
        tracking: The service, without compaction.
        compactor: Compaction, as a process of its own, which is started again whenever it has ended.
        mongo: Documents and metric log.
        redis: The hot store.
        s3: Blobs.
        proxy: In front of tracking: senders go through it, readers past it.
    """

    tracking: ServiceProcess
    compactor: ServiceProcess
    mongo: MongoServer
    redis: RedisServer
    s3: S3Server
    proxy: Proxy
    tokens: "Tokens"

    async def by_proxy(self) -> Endpoint:
        """Where senders go."""
        return Endpoint(self.proxy.address, await self.tokens.metadata())

    async def directly(self) -> Endpoint:
        """Where readers go."""
        return Endpoint(self.tracking.address, await self.tokens.metadata())

    async def new_run(self) -> str:
        """Creates a run and returns its name."""
        return await new_run(await self.directly())

    def batches_in_log(self) -> int:
        """How many batches are in the metric log, and not only in segments."""
        with MongoClient[dict[str, Any]](self.mongo.database_url(DATABASE)) as client:
            return client[DATABASE]["metric_batches"].count_documents({})


class Tokens:
    """Access tokens of the owner, exchanged anew in time."""

    def __init__(self, auth: AuthServer) -> None:
        self._auth = auth
        self._token: tuple[tuple[str, str], ...] = ()
        self._exchanged_s = 0.0

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata with a token that is good for a while."""
        if not self._token or time.monotonic() - self._exchanged_s > TOKEN_KEPT_S:
            self._token = await self._auth.owner()
            self._exchanged_s = time.monotonic()
        return self._token


async def new_run(endpoint: Endpoint) -> str:
    """Creates a run and returns its name, as soon as the service knows who may."""
    request = tracking_service_pb2.CreateRunRequest(parent="projects/default", run=run_pb2.Run())
    async with asyncio.timeout(READY_TIMEOUT_S), grpc.aio.insecure_channel(endpoint.address) as channel:
        stub = tracking_service_pb2_grpc.TrackingServiceStub(channel)
        while True:
            try:
                return (await stub.CreateRun(request, metadata=endpoint.metadata)).run.name
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.1)


def tracking_environment(auth: AuthServer, data_dir: Path, **settings: str) -> dict[str, str]:
    """The settings of a tracking process."""
    settings = {
        "data_dir": str(data_dir),
        "auth_address": auth.address,
        "service_credential_file": str(auth.settings.service_credential_file),
        "exit_with_parent": "true",
        **settings,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return kept | {f"PENSTOCK_TRACKING_{name.upper()}": value for name, value in settings.items()}


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Starts a cluster with everything below a folder."""
    s3_server = s3_kind()
    for kind in (MongoServer, RedisServer, s3_server):
        need(kind)
    with ExitStack() as stack:
        mongo = MongoServer(folder / "mongo")
        redis = RedisServer(folder / "redis")
        s3 = s3_server(folder / "s3")
        for server in (mongo, redis, s3):
            stack.callback(server.kill)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in (mongo, redis, s3)))
        await asyncio.to_thread(s3.make_bucket, BUCKET)
        async with auth_server(folder / "auth", SystemClock()) as auth:
            environment = tracking_environment(
                auth,
                folder / "tracking",
                compaction="false",
                documents_url=mongo.database_url(DATABASE),
                metric_log_url=mongo.database_url(DATABASE),
                hot_url=redis.url,
                blobs_url=s3.bucket_url(BUCKET),
            )
            tracking = ServiceProcess("penstock_tracking", folder, environment)
            compactor = ServiceProcess("penstock_tracking.compactor", folder, environment)
            stack.callback(tracking.kill)
            stack.callback(compactor.kill)
            await asyncio.to_thread(tracking.start)
            kept_running = asyncio.create_task(compactor.keep_running())
            async with Proxy(tracking.address) as proxy:
                yield Cluster(tracking, compactor, mongo, redis, s3, proxy, Tokens(auth))
            kept_running.cancel()
