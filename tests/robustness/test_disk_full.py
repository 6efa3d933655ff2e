"""A disk that fills up under the service: nothing acknowledged is lost, senders are told why, and room is all it needs."""

import asyncio
import contextlib
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.auth import auth_server
from support.cluster import ServiceProcess, Tokens, new_run, tracking_environment
from support.faithful import Endpoint, ended, progress, read_all, reading, sending
from support.history import History

from penstock_kit.clock import SystemClock

pytestmark = pytest.mark.slow

WRITERS = 2
DISK_BYTES = 16_000_000
BALLAST_BYTES = 8_000_000
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
