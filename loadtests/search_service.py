"""A tracking service by itself, over stores that a benchmark filled, whose callers need no auth service.

`python -m loadtests.search_service SETTINGS` takes settings of tracking as JSON, prints its address and a token as a JSON
line, and serves until its standard input ends.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # tokens are made as the tests make them

from support.servers import OpenGuard, serving

from penstock_kit.clock import SystemClock
from penstock_tracking.app import build, open_stores
from penstock_tracking.settings import TrackingSettings


async def main(said: str) -> None:
    fields = json.loads(said)
    settings = TrackingSettings(Path(fields.pop("data_dir")), "", Path(), **fields)
    clock = SystemClock()
    guard = OpenGuard()
    application = build(settings, await open_stores(settings, clock), clock)
    async with serving(application, guard) as address:
        print(json.dumps({"grpc": address, "token": guard.issue(lifetime_s=3_600)}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
