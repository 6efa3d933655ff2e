"""Chooses adapters by URL: `mongodb://...`, `redis://...` and `s3://...` for servers, a path for files.

URLs hold passwords, so no message repeats one.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from penstock_kit.clock import Clock
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import Collection, DocumentStore
from penstock_kit.stores.embedded.blobs import FilesystemBlobStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.errors import StoreMisconfigured
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import MetricLog
from penstock_kit.stores.mongo import MongoDriver

__all__ = ["open_blobs", "open_documents", "open_hot", "open_metric_log"]

_MONGO: Final = ("mongodb", "mongodb+srv")
_REDIS: Final = ("redis", "rediss")
_S3: Final = "s3"
_IN_PROCESS: Final = ("", "memory:")


async def open_documents(
    url: str, collections: Sequence[Collection], *, mongo_driver: MongoDriver = "motor"
) -> DocumentStore:
    """Opens the document store that a URL names.

    Args:
        url: `mongodb://host:port/database?options`, `sqlite:///absolute/path`, or a path.
        collections: What the store is opened with.
        mongo_driver: What drives MongoDB.

    Raises:
        StoreMisconfigured: The URL is of no store that holds documents, or what is there will not do.
        StoreUnavailable: The server does not answer.
        StoreFileError: The file cannot be used.
    """
    if _scheme(url) in _MONGO:
        # Here, not above: who has files only needs no drivers.
        from penstock_kit.stores.mongo.documents import MongoDocumentStore

        return await MongoDocumentStore.open(url, collections, driver=mongo_driver)
    return await SqliteDocumentStore.open(_database_file(url), collections)


async def open_metric_log(url: str, *, mongo_driver: MongoDriver = "motor") -> MetricLog:
    """Opens the metric log that a URL names. Arguments and errors are those of `open_documents`."""
    if _scheme(url) in _MONGO:
        from penstock_kit.stores.mongo.metric_log import MongoMetricLog

        return await MongoMetricLog.open(url, driver=mongo_driver)
    return await SqliteMetricLog.open(_database_file(url))


async def open_hot(url: str, clock: Clock) -> HotStore:
    """Opens the hot store that a URL names.

    Args:
        url: `redis://user:password@host:port/number`, `rediss://` for TLS; `memory:` or nothing for this process alone.
        clock: Tells what counters forget.

    Raises:
        StoreMisconfigured: The URL is of no hot store, or what is there will not do.
        StoreUnavailable: The server does not answer.
    """
    if url in _IN_PROCESS:
        return InProcessHotStore(clock)
    if _scheme(url) in _REDIS:
        from penstock_kit.stores.redis.hot import RedisHotStore

        return await RedisHotStore.open(url, clock)
    raise _leads_nowhere("hot store", url, "Use redis://host:port/0, or memory: where one process is enough.")


async def open_blobs(url: str, *, public_url: str = "") -> BlobStore:
    """Opens the blob store that a URL names.

    Args:
        url: `s3://access-key:secret-key@host:port/bucket?secure=true|false&region=...`, `file:///absolute/path`, or a path.
        public_url: `http(s)://host:port` by which clients reach an S3 server, if that is not the address in the URL.

    Raises:
        StoreMisconfigured: A URL is of no blob store, or what is there will not do.
        StoreUnavailable: The server does not answer.
    """
    if _scheme(url) == _S3:
        from penstock_kit.stores.s3.blobs import S3BlobStore

        return await S3BlobStore.open(url, public_url=public_url)
    folder = _path(
        "blob store", url, "file", "Use s3://access-key:secret-key@host:port/bucket, file:///absolute/path, or a path."
    )
    if folder.exists() and not folder.is_dir():
        raise StoreMisconfigured(str(folder), "is no folder", "Choose another path for blobs.")
    remedy = "Choose another path for blobs, or let this user write there."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreMisconfigured(str(folder), f"cannot be made ({error.strerror})", remedy) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreMisconfigured(str(folder), "cannot be written", remedy)
    return FilesystemBlobStore(folder)


def _scheme(url: str) -> str | None:
    """Returns what is before `://`, None for a path."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else None


def _database_file(url: str) -> Path:
    return _path("store", url, "sqlite", "Use mongodb://host:port/database, sqlite:///absolute/path, or a path.")


def _path(kind: str, url: str, file_scheme: str, remedy: str) -> Path:
    scheme = _scheme(url)
    if scheme is None:
        return Path(url)
    parts = urlsplit(url)
    if scheme != file_scheme or parts.netloc or not parts.path.strip("/"):
        raise _leads_nowhere(kind, url, remedy)
    return Path(unquote(parts.path))


def _leads_nowhere(kind: str, url: str, remedy: str) -> StoreMisconfigured:
    scheme = _scheme(url)
    told = f"A {kind} URL" + (" without a scheme" if scheme is None else f" that begins with {scheme}://")
    return StoreMisconfigured(told, "leads nowhere", remedy)
