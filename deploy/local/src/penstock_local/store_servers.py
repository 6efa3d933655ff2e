"""Owns the servers that the services keep things in: started before them, started again if they die, stopped after them."""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from penstock_local.servers import (
    MinioServer,
    MongoServer,
    ProgramMissing,
    RedisServer,
    SeaweedServer,
    ServerFailed,
    ServerProcess,
)
from penstock_local.stores import StoreUrls

__all__ = ["StoreServers", "s3_server_here"]

BUCKET = "penstock-tracking"
ARTIFACT_BUCKET = "penstock-artifact"
REGISTRY_BUCKET = "penstock-registry"

CHECK_INTERVAL_S = 1.0
"""How often it is looked whether the servers are there."""

RESTART_PAUSE_S_MAX = 15.0
FETCH_HINT = "`python -m penstock_local.servers` fetches what can be fetched, and says what else has to be installed."

S3_SERVERS: dict[str, type[MinioServer] | type[SeaweedServer]] = {"minio": MinioServer, "seaweedfs": SeaweedServer}

_LOG = logging.getLogger(__name__)


def s3_server_here() -> str:
    """Which S3 server a new data directory gets: one that is here. Else SeaweedFS, which is fetched in seconds."""
    return next((name for name, server in S3_SERVERS.items() if server.available() is not None), "seaweedfs")


class StoreServers:
    """`mongod`, `redis-server` and an S3 server on free loopback ports.

    Args:
        folder: Where their data is.
        s3: Which S3 server, a name of `S3_SERVERS`.
        password: Of all three.
    """

    def __init__(self, folder: Path, s3: str, password: str) -> None:
        self._folder = folder
        self._s3 = s3
        self._password = password
        self._servers: Sequence[ServerProcess] = ()
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> StoreUrls:
        """Starts them, after fetching what is not on this machine, and returns when they answer.

        Raises:
            ProgramMissing: A program cannot be had here. The message says what to do.
            ServerFailed: One of them does not start.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        mongo = MongoServer(self._folder / "mongo", password=self._password)
        redis = RedisServer(self._folder / "redis", password=self._password)
        s3 = S3_SERVERS[self._s3](self._folder / "s3", secret_key=self._password)
        self._servers = (mongo, redis, s3)
        try:
            # Waits for all, whatever becomes of one: none may start behind our back.
            starts = [asyncio.to_thread(server.start) for server in self._servers]
            for outcome in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(outcome, ProgramMissing):
                    raise ProgramMissing(f"{outcome.message}\n{FETCH_HINT}") from outcome
                if isinstance(outcome, BaseException):
                    raise outcome
            for bucket in (BUCKET, ARTIFACT_BUCKET, REGISTRY_BUCKET):
                await asyncio.to_thread(s3.make_bucket, bucket)
        except BaseException:
            await self.stop()
            raise
        self._keeping = asyncio.create_task(self._keep(), name="store servers")
        return StoreUrls(
            auth_documents=mongo.database_url("penstock_auth"),
            documents=mongo.database_url("penstock_tracking"),
            metric_log=mongo.database_url("penstock_metrics"),
            hot=redis.url,
            blobs=s3.bucket_url(BUCKET),
            registry_documents=mongo.database_url("penstock_registry"),
            registry_blobs=s3.bucket_url(REGISTRY_BUCKET),
            artifact_documents=mongo.database_url("penstock_artifact"),
            artifact_blobs=s3.bucket_url(ARTIFACT_BUCKET),
            # Clients elsewhere do not reach it, and send through the gateway.
            artifact_s3_public=os.environ.get("PENSTOCK_ARTIFACT_S3_PUBLIC_URL", f"http://127.0.0.1:{s3.port}"),
        )

    async def stop(self) -> None:
        """Stops them, as an administrator would."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self._servers))

    async def _keep(self) -> None:
        """Starts again, where it was, what ended by itself."""
        pause_s = CHECK_INTERVAL_S
        while True:
            await asyncio.sleep(pause_s)
            for server in self._servers:
                if server.running:
                    continue
                _LOG.error("%s ended, and is started again", type(server).__name__)
                starting = asyncio.create_task(asyncio.to_thread(server.start))
                try:
                    await asyncio.shield(starting)
                    pause_s = CHECK_INTERVAL_S
                except (ServerFailed, OSError):
                    _LOG.exception("%s cannot be started", type(server).__name__)
                    pause_s = min(2 * pause_s, RESTART_PAUSE_S_MAX)
                finally:
                    # The thread goes on when this is cancelled, and a stop must not come in its way.
                    await asyncio.wait({starting})
