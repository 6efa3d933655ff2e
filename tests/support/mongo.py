"""A real `mongod` that fails on demand, through its own fail points, and is back quickly when it was killed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

__all__ = ["elect_quickly", "failing", "reported"]


@contextmanager
def failing(url: str, commands: Sequence[str], *, times: int | None = None, **how: Any) -> Iterator[None]:
    """Makes commands fail while the block lasts.

    Args:
        url: Of a server with test commands.
        commands: Which, by name: `insert`, `commitTransaction`.
        times: How often; always if None.
        how: The data of the fail point `failCommand`: `errorCode`, `closeConnection`, `errorLabels`, `blockTimeMS` ...
    """
    mode: str | Mapping[str, int] = "alwaysOn" if times is None else {"times": times}
    with MongoClient(url) as client:
        client.admin.command(
            "configureFailPoint", "failCommand", mode=mode, data={"failCommands": list(commands), **how}
        )
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


def elect_quickly(url: str) -> None:
    """Lets a replica set that starts again wait for other members for half a second, not for ten."""
    with MongoClient(url) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        config["settings"]["electionTimeoutMillis"] = 500
        config["version"] += 1
        client.admin.command("replSetReconfig", config)


@contextmanager
def reported(url: str) -> Iterator[list[dict[str, Any]]]:
    """Fills a list, after the block, with what the server's profiler told of the commands on one database in it."""
    with MongoClient(url) as client:
        database = client.get_default_database()
        database.command("profile", 2)
        commands: list[dict[str, Any]] = []
        yield commands
        database.command("profile", 0)
        commands += database["system.profile"].find({"ns": {"$ne": f"{database.name}.system.profile"}}).sort("ts")
