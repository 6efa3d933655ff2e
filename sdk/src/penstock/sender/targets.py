"""Where a spool goes: the server that it was begun for, with the freshest token."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from penstock.config import Connection, resolve
from penstock.errors import NotConnected, PenstockError
from penstock.spool.cuts import read_cuts
from penstock.spool.files import read_json
from penstock.spool.meta import CONNECTION_FILE

__all__ = ["connection_from", "current_connection", "sync_connection"]

_LOCAL = "local server"


def connection_from(content: dict[str, Any] | None) -> Connection | None:
    """A connection as it lies in `connection.json`; None if it is none."""
    if content is None:
        return None
    try:
        return Connection(**{field.name: content[field.name] for field in fields(Connection)})
    except KeyError:
        return None


def current_connection(folder: Path) -> Connection:
    """Where to send a spool whose training process chose the server. Raises `NotConnected`."""
    stored = connection_from(read_json(folder / CONNECTION_FILE))
    try:
        fresh = resolve()
    except PenstockError:
        if stored is None:
            raise
        return stored
    if stored is None:
        return fresh
    # The token may have been renewed, and a server on this machine may come back on another port.
    same = fresh.http == stored.http or fresh.source == stored.source == _LOCAL
    return fresh if same and fresh.token is not None else stored


def sync_connection(folder: Path) -> Connection:
    """Where to send a spool now that a person asks for it. Raises `NotConnected`.

    Once it was begun to be sent, it goes where it began. Else where this machine is connected to now.
    """
    if read_cuts(folder):
        return current_connection(folder)
    try:
        return resolve()
    except NotConnected:
        return current_connection(folder)
