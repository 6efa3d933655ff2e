"""What a data directory keeps things in: files of its own, or servers that belong to it.

Decided when the directory is first used, and kept in `stores.json` there, with the password of the servers.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.errors import PenstockError
from penstock_local.datadir import DataDirectory, DataDirectoryUnusable

if TYPE_CHECKING:
    from penstock_local.store_servers import StoreServers

__all__ = ["StoreKind", "StoreUrls", "StoresDiffer", "store_servers"]

KEPT_FILE = "stores.json"


class StoreKind(StrEnum):
    """What the services of a data directory keep things in."""

    EMBEDDED = "embedded"
    SERVERS = "servers"


class StoresDiffer(PenstockError):
    """The data directory was made with stores of the other kind."""

    default_reason = "STORES_DIFFER"


@dataclass(frozen=True)
class StoreUrls:
    """Where the services keep things, by URL; empty means a file below the data directory.

    Attributes:
        auth_documents: Of auth.
        documents: Of tracking: experiments and runs.
        metric_log: Of tracking: metrics.
        hot: What wakes readers.
        blobs: Of tracking: what is too large for a document.
        registry_documents: Of the registry.
        registry_blobs: Of the registry: search columns.
        artifact_documents: Of the artifact service: manifests.
        artifact_blobs: Of the artifact service: files.
        artifact_s3_public: The address by which clients reach those, if they are on a server.
    """

    auth_documents: str = field(default="", repr=False)
    documents: str = field(default="", repr=False)
    metric_log: str = field(default="", repr=False)
    hot: str = field(default="", repr=False)
    blobs: str = field(default="", repr=False)
    registry_documents: str = field(default="", repr=False)
    registry_blobs: str = field(default="", repr=False)
    artifact_documents: str = field(default="", repr=False)
    artifact_blobs: str = field(default="", repr=False)
    artifact_s3_public: str = ""


@dataclass(frozen=True)
class _Kept:
    kind: str
    s3: str = ""
    password: str = field(default="", repr=False)


def store_servers(data: DataDirectory, kind: StoreKind) -> "StoreServers | None":
    """Returns the servers of a data directory, not started; None if its stores are embedded. Decided now if it is new.

    Raises:
        StoresDiffer: The data is in stores of the other kind: it would seem to be gone.
        DataDirectoryUnusable: What is known of its stores cannot be read or written.
    """
    kept = _read(data)
    if kept is None:
        kept = _new(kind)
        _write(data, kept)
    if kept.kind != kind:
        raise StoresDiffer(
            f"The data in {data.path} is in stores of the kind '{kept.kind}', not '{kind}'. Start with --stores "
            f"{kept.kind}, or choose another directory with --data-dir.",
            metadata={"stores": kept.kind},
        )
    if kind is StoreKind.EMBEDDED:
        return None
    from penstock_local.store_servers import StoreServers

    return StoreServers(data.path / "servers", kept.s3, kept.password)


def _new(kind: StoreKind) -> _Kept:
    if kind is StoreKind.EMBEDDED:
        return _Kept(kind)
    from penstock_local.store_servers import s3_server_here

    return _Kept(kind, s3_server_here(), secrets.token_hex(16))


def _read(data: DataDirectory) -> _Kept | None:
    try:
        return _Kept(**json.loads((data.path / KEPT_FILE).read_text()))
    except FileNotFoundError:
        # Directories of before there was a choice have no such file.
        return _Kept(StoreKind.EMBEDDED) if (data.auth / "auth.db").exists() else None
    except (OSError, ValueError, TypeError) as error:
        raise DataDirectoryUnusable(f"{data.path / KEPT_FILE} cannot be read: {error}.") from error


def _write(data: DataDirectory, kept: _Kept) -> None:
    # Written beside and moved: without the password nobody could open the data any more.
    beside = data.path / f".{KEPT_FILE}"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(kept), file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(data.path / KEPT_FILE)
    except OSError as error:
        raise DataDirectoryUnusable(f"{data.path / KEPT_FILE} cannot be written: {error.strerror}.") from error
