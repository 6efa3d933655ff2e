"""Moves artifacts for a training process, in a process of its own: so that one imports no gRPC."""

import asyncio
import contextlib
from typing import Any, Final

from penstock.client import AsyncClient
from penstock.client.records import artifact_version_record
from penstock.config import Connection
from penstock.errors import NotFound
from penstock.jsonable import jsonable

__all__ = ["do"]

RUN_S_MAX: Final = 30.0
"""How long a run that has just begun may take to the server: its sender brings it there, and a new project with it."""
LOOK_INTERVAL_S: Final = 0.1


async def do(connection: Connection, order: dict[str, Any]) -> dict[str, Any]:
    """Logs or uses an artifact, as `penstock.run.artifacts` orders it. Returns the version. Raises `PenstockError`."""
    run = order["run"]
    async with AsyncClient(connection) as client:
        with contextlib.suppress(TimeoutError):  # then the server says what it lacks
            async with asyncio.timeout(RUN_S_MAX):
                await _until_there(client, run)
        if order["do"] == "log":
            version = await client.put_artifact(
                order["artifact"],
                order["path"],
                project=order["project"],
                type=order["type"],
                description=order["description"],
                references=order["references"],
                run=run,
            )
        else:
            version = await client.use_artifact(order["artifact"], run, project=order["project"])
            if order["folder"] is not None:
                await client.get_artifact(version.name, order["folder"])
    return jsonable(artifact_version_record(version))


async def _until_there(client: AsyncClient, run: str) -> None:
    while True:
        try:
            await client.run(run, fields=["state"])
        except NotFound:
            await asyncio.sleep(LOOK_INTERVAL_S)
        else:
            return
