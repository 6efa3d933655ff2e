"""The composition root: which parts tracking is made of, over whatever stores it is given."""

from pathlib import Path

from penstock.api.tracking.v1 import metric_pb2, tracking_service_pb2
from penstock_kit.application import Application, Job
from penstock_kit.clock import Clock
from penstock_kit.server import Codec, Mount
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.embedded.blobs import FilesystemBlobStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import MetricLog
from penstock_tracking.ingest.codec import StreamRequest
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.streams import WriterStreams
from penstock_tracking.jobs import crash_check, keep_columns
from penstock_tracking.search import RunIndex
from penstock_tracking.series.columns import ColumnReader
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.service import TrackingService
from penstock_tracking.servicer import TrackingServicer
from penstock_tracking.settings import TrackingSettings
from penstock_tracking.store import COLLECTIONS, TrackingStore

__all__ = ["SERVICE", "build", "open_stores"]

SERVICE = tracking_service_pb2.DESCRIPTOR.services_by_name["TrackingService"]


async def open_stores(data_dir: Path) -> tuple[SqliteDocumentStore, SqliteMetricLog]:
    """Opens the embedded documents and metric log in a folder, made if missing. Raises `StoreFileError`."""
    documents = await SqliteDocumentStore.open(data_dir / "documents.sqlite", COLLECTIONS)
    try:
        return documents, await SqliteMetricLog.open(data_dir / "metrics.sqlite")
    except BaseException:
        await documents.close()
        raise


def build(
    settings: TrackingSettings, *, documents: DocumentStore, metric_log: MetricLog, hot: HotStore, clock: Clock
) -> Application:
    """Makes the tracking service. Takes over the stores: closing the application closes them."""
    store = TrackingStore(documents)
    committer = GroupCommitter(metric_log, hot)
    streams = WriterStreams(store, metric_log, committer, clock)
    latest = LatestReader(metric_log, store)
    columns = ColumnReader(metric_log)
    service = TrackingService(store, metric_log, hot, streams, latest, columns, clock)
    index = RunIndex(documents, metric_log, latest, FilesystemBlobStore(settings.data_dir / "blobs"), clock)
    servicer = TrackingServicer(service, streams, index, clock)

    async def close() -> None:
        await metric_log.close()
        await documents.close()
        await hot.close()

    return Application(
        mounts=[
            Mount(
                SERVICE,
                servicer,
                codecs={
                    "StreamMetrics": Codec(StreamRequest.FromString, metric_pb2.StreamMetricsResponse.SerializeToString)
                },
            )
        ],
        jobs=[
            Job("group-commit", committer.run),
            Job("crash-check", crash_check(service, settings.crash_check_interval_s)),
            Job("keep-columns", keep_columns(index, settings.keep_columns_interval_s)),
        ],
        close=close,
    )
