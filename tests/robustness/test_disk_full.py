"""A disk that fills up under the service, or under its database: nothing acknowledged is lost, and room is all it needs."""

import asyncio
import contextlib
import errno
import resource
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.auth import auth_server
from support.cluster import DATABASE, ServiceProcess, Tokens, new_run, tracking_environment
from support.faithful import Endpoint, ended, progress, read_all, reading, sending
from support.history import History
from support.store_servers import need
from typing_extensions import override

from penstock_kit.clock import SystemClock
from penstock_local.servers import MongoServer

pytestmark = pytest.mark.slow

WRITERS = 2
DISK_BYTES = 16_000_000
BALLAST_BYTES = 8_000_000
MONGO_DISK_BYTES = 400_000_000  # its journal alone is laid out in files of 100 MB
PIECE_BYTES = 65_536
FULL_TIMEOUT_S = 60.0

_ON_SMALL_DISK = (
    'mount -t tmpfs -o "size=$1" tmpfs "$0" && head -c "$2" /dev/zero > "$0/ballast" && shift 2 && exec "$@"'
)


@dataclass(frozen=True)
class SmallDisk:
    """A small file system that only one process sees, by a mount namespace: also without being root."""

    folder: Path
    reason = "STORAGE_FULL"

    @property
    def before(self) -> tuple[str, ...]:
        """What starts a process on it."""
        sizes = (str(DISK_BYTES), str(BALLAST_BYTES))
        return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _ON_SMALL_DISK, str(self.folder), *sizes)

    def works(self) -> bool:
        """Whether this system lets it."""
        tried = shutil.which("unshare") and subprocess.run([*self.before, "true"], capture_output=True)
        return bool(tried) and tried.returncode == 0

    def make_room(self, pid: int) -> None:
        """Removes half of what is on it."""
        Path("/proc", str(pid), "root", *self.folder.parts[1:], "ballast").unlink()


@dataclass(frozen=True)
class SmallFiles:
    """Files that cannot grow: where the system has no namespaces. The error is another one than that of a full disk."""

    reason = "UNAVAILABLE"
    before = ("sh", "-c", f'ulimit -S -f {(DISK_BYTES - BALLAST_BYTES) // 512}; exec "$@"', "sh")

    def make_room(self, pid: int) -> None:
        """Lets the files grow."""
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


async def test_a_full_disk(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    disk = SmallDisk(data) if SmallDisk(data).works() else SmallFiles()
    history = History(seed=1)
    with contextlib.ExitStack() as stack:
        async with auth_server(tmp_path / "auth", SystemClock()) as auth:
            service = ServiceProcess(
                "penstock_tracking", tmp_path, tracking_environment(auth, data), before=disk.before
            )
            stack.callback(service.kill)
            await asyncio.to_thread(service.start)
            tokens = Tokens(auth)

            async def connect() -> Endpoint:
                return Endpoint(service.address, await tokens.metadata())

            run = await new_run(await connect())
            tasks = [asyncio.create_task(sending(history, writer, run, connect)) for writer in range(WRITERS)]
            tasks.append(asyncio.create_task(reading(history, run, WRITERS, connect, seed=1)))
            async with asyncio.timeout(FULL_TIMEOUT_S):
                while disk.reason not in history.outages:  # noqa: ASYNC110 - nothing rings
                    await asyncio.sleep(0.05)
            await read_all(history, run, WRITERS, connect)
            assert history.violations == []
            disk.make_room(service.pid)
            await progress(history, WRITERS, batches=20)
            await ended(tasks)
            await read_all(history, run, WRITERS, connect)
    assert history.violations == []


class MongoOnSmallDisk(MongoServer):
    """A `mongod` whose data is on a small file system. That outlives the process: another one holds its namespaces."""

    holder: "subprocess.Popen[bytes]"

    @contextlib.contextmanager
    def disk(self) -> Iterator[None]:
        """Makes the file system, and takes it away."""
        data = self.folder / "data"
        data.mkdir(parents=True)
        mount = f'mount -t tmpfs -o size={MONGO_DISK_BYTES} tmpfs "$0" && echo mounted && exec sleep 600'
        alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(data)]
        with subprocess.Popen(alone, stdout=subprocess.PIPE) as self.holder:
            try:
                assert self.holder.stdout is not None
                assert self.holder.stdout.readline() == b"mounted\n"
                yield
            finally:
                self.holder.kill()

    @property
    def ballast(self) -> Path:
        """A file on it."""
        return Path("/proc", str(self.holder.pid), "root", *self.folder.parts[1:], "data", "ballast")

    def fill(self) -> None:
        """Leaves no room at all."""
        try:
            with self.ballast.open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(PIECE_BYTES))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    @override
    def _command(self, program: Path) -> list[str]:
        within = ["nsenter", "--target", str(self.holder.pid), "--user", "--mount", "--preserve-credentials"]
        return [*within, *super()._command(program)]


async def test_a_full_disk_under_mongod(tmp_path: Path) -> None:
    """It ends where it cannot write its journal. With room, it comes back with all that was acknowledged."""
    need(MongoServer)
    (tmp_path / "probe").mkdir()
    if not SmallDisk(tmp_path / "probe").works():
        pytest.skip("this system lets nobody make a small file system of his own")
    history = History(seed=2)
    mongo = MongoOnSmallDisk(tmp_path / "mongo")
    with mongo.disk(), contextlib.ExitStack() as stack:
        stack.callback(mongo.kill)
        await asyncio.to_thread(mongo.start)
        async with auth_server(tmp_path / "auth", SystemClock()) as auth:
            urls = dict.fromkeys(("documents_url", "metric_log_url"), mongo.database_url(DATABASE))
            service = ServiceProcess(
                "penstock_tracking", tmp_path, tracking_environment(auth, tmp_path / "tracking", **urls)
            )
            stack.callback(service.kill)
            await asyncio.to_thread(service.start)
            tokens = Tokens(auth)

            async def connect() -> Endpoint:
                return Endpoint(service.address, await tokens.metadata())

            run = await new_run(await connect())
            tasks = [asyncio.create_task(sending(history, writer, run, connect)) for writer in range(WRITERS)]
            tasks.append(asyncio.create_task(reading(history, run, WRITERS, connect, seed=2)))
            await progress(history, WRITERS, batches=20)
            await asyncio.to_thread(mongo.fill)
            async with asyncio.timeout(FULL_TIMEOUT_S):
                while mongo.running:  # noqa: ASYNC110 - nothing rings
                    await asyncio.sleep(0.05)
            mongo.ballast.unlink()
            await asyncio.to_thread(mongo.start)
            await progress(history, WRITERS, batches=20)
            await ended(tasks)
            await read_all(history, run, WRITERS, connect)
    assert history.violations == []
