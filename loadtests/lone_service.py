"""A service by itself, over stores that a benchmark filled, whose callers need no auth service.

`python -m loadtests.lone_service NAME SETTINGS` takes settings of a service of the launcher's table as JSON, prints its
address and a token as a JSON line, and serves until its standard input ends. `running_service` starts it.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # tokens are made as the tests make them

from support.servers import OpenGuard, serving

from penstock_kit.clock import SystemClock
from penstock_kit.heaps import share_heaps
from penstock_kit.settings import load
from penstock_local.services import SERVICES

__all__ = ["LoneService", "running_service"]


@dataclass(frozen=True)
class LoneService:
    """A service that runs: how it is called, and its process."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...]
    pid: int


@contextmanager
def running_service(name: str, settings: Mapping[str, str]) -> Iterator[LoneService]:
    """Starts a service in a process of its own, and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtests.lone_service", name, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with grpc.insecure_channel(said["grpc"], [("grpc.max_receive_message_length", 1 << 28)]) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
            yield LoneService(channel, (("authorization", f"Bearer {said['token']}"),), process.pid)
    finally:
        process.communicate("")


async def main(name: str, said: str) -> None:
    """Serves until standard input ends."""
    share_heaps()
    (service,) = (one for one in SERVICES if one.name == name)
    parts = service.parts()
    given = {"auth_address": "nowhere", "service_credential_file": "none", **json.loads(said)}
    settings = load(parts.settings, service.prefix, {f"{service.prefix}_{k.upper()}": v for k, v in given.items()})
    clock = SystemClock()
    guard = OpenGuard()
    application = parts.build(settings, await parts.open_stores(settings, clock), clock)
    async with serving(application, guard) as address:
        print(json.dumps({"grpc": address, "token": guard.issue(lifetime_s=3_600)}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
