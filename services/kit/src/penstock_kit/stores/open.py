"""Chooses adapters by URL: `mongodb://...` for a server; a path or `sqlite:///...` for a file."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from penstock_kit.stores.documents import Collection, DocumentStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.errors import StoreMisconfigured
from penstock_kit.stores.metric_log import MetricLog
from penstock_kit.stores.mongo import MongoDriver

__all__ = ["open_documents", "open_metric_log"]

_MONGO = ("mongodb", "mongodb+srv")


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
    return await SqliteDocumentStore.open(_file(url), collections)


async def open_metric_log(url: str, *, mongo_driver: MongoDriver = "motor") -> MetricLog:
    """Opens the metric log that a URL names. Arguments and errors are those of `open_documents`."""
    if _scheme(url) in _MONGO:
        from penstock_kit.stores.mongo.metric_log import MongoMetricLog

        return await MongoMetricLog.open(url, driver=mongo_driver)
    return await SqliteMetricLog.open(_file(url))


def _scheme(url: str) -> str | None:
    """Returns what is before `://`, None for a path."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else None


def _file(url: str) -> Path:
    scheme = _scheme(url)
    if scheme is None:
        return Path(url)
    parts = urlsplit(url)
    if scheme != "sqlite" or parts.netloc or not parts.path.strip("/"):
        raise StoreMisconfigured(
            f"A store URL that begins with {scheme}://",
            "leads nowhere",
            "Use mongodb://host:port/database, sqlite:///absolute/path, or a path.",
        )
    return Path(unquote(parts.path))
