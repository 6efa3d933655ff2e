"""Moves artifacts for a training process, in a process of its own: so that one imports no gRPC."""

from typing import Any

from penstock.client import AsyncClient
from penstock.client.records import artifact_version_record
from penstock.config import Connection
from penstock.jsonable import jsonable

__all__ = ["do"]


async def do(connection: Connection, order: dict[str, Any]) -> dict[str, Any]:
    """Logs or uses an artifact, as `penstock.run.artifacts` orders it. Returns the version. Raises `PenstockError`."""
    run = order["run"]
    async with AsyncClient(connection) as client:
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
