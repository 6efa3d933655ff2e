"""The composition root: which parts tracking is made of, over whatever stores it is given."""

import contextlib
from dataclasses import dataclass

from penstock.api.tracking.v1 import metric_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.application import Application, Job
from penstock_kit.clock import Clock
from penstock_kit.server import Codec, Mount
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.hot import HotStore
from penstock_kit.stores.metric_log import MetricLog
from penstock_kit.stores.open import open_blobs, open_documents, open_hot, open_metric_log
from penstock_tracking.alerts.service import AlertService
from penstock_tracking.alerts.store import AlertStore
from penstock_tracking.ingest.calls import CallWriters
from penstock_tracking.ingest.claims import WriterClaims
from penstock_tracking.ingest.codec import StreamRequest
from penstock_tracking.ingest.committer import GroupCommitter
from penstock_tracking.ingest.streams import WriterStreams
from penstock_tracking.jobs import crash_check, fence_check, keep_columns
from penstock_tracking.logged_models.service import LoggedModelService
from penstock_tracking.logged_models.store import LoggedModelStore
from penstock_tracking.search import RunIndex
from penstock_tracking.segments.compactor import Compactor
from penstock_tracking.segments.log import SegmentedLog
from penstock_tracking.series.latest import LatestReader
from penstock_tracking.series.reader import SeriesReader
from penstock_tracking.series.service import SeriesService
from penstock_tracking.service import TrackingService
from penstock_tracking.servicer import TrackingServicer
from penstock_tracking.settings import TrackingSettings
from penstock_tracking.store import COLLECTIONS, TrackingStore

__all__ = ["SERVICE", "TrackingStores", "build", "compaction", "open_stores"]

SERVICE = pb.DESCRIPTOR.services_by_name["TrackingService"]


@dataclass(frozen=True, slots=True)
class TrackingStores:
    """What tracking keeps things in."""

    documents: DocumentStore
    metric_log: MetricLog
    hot: HotStore
    blobs: BlobStore

    async def close(self) -> None:
        """Closes all of them. Harmless after the first time."""
        await self.metric_log.close()
        await self.documents.close()
        await self.hot.close()
        await self.blobs.close()


async def open_stores(settings: TrackingSettings, clock: Clock) -> TrackingStores:
    """Opens the stores that the settings name; those without a URL in `data_dir`, made if missing.

    Raises `StoreMisconfigured`, `StoreUnavailable`, `StoreFileError`.
    """
    folder = settings.data_dir
    async with contextlib.AsyncExitStack() as opened:
        documents = await open_documents(
            settings.documents_url or str(folder / "documents.sqlite"), COLLECTIONS, mongo_driver=settings.mongo_driver
        )
        opened.push_async_callback(documents.close)
        metric_log = await open_metric_log(
            settings.metric_log_url or str(folder / "metrics.sqlite"), mongo_driver=settings.mongo_driver
        )
        opened.push_async_callback(metric_log.close)
        hot = await open_hot(settings.hot_url, clock)
        opened.push_async_callback(hot.close)
        blobs = await open_blobs(settings.blobs_url or str(folder / "blobs"), public_url=settings.s3_public_url)
        opened.pop_all()
        return TrackingStores(documents, metric_log, hot, blobs)


def compaction(stores: TrackingStores, clock: Clock) -> Job:
    """The job that takes what runs logged into segments."""
    log = SegmentedLog(stores.metric_log, stores.documents, stores.blobs)
    return Job("compaction", Compactor(log, stores.blobs, stores.hot, clock).run)


def build(settings: TrackingSettings, stores: TrackingStores, clock: Clock) -> Application:
    """Makes the tracking service. Takes over the stores: closing the application closes them."""
    documents, metric_log, hot = stores.documents, stores.metric_log, stores.hot
    store = TrackingStore(documents)
    committer = GroupCommitter(metric_log, hot)
    log = SegmentedLog(metric_log, documents, stores.blobs)
    streams = WriterStreams(store, WriterClaims(documents, clock), log, committer, clock)
    latest = LatestReader(log, store)
    calls = CallWriters(metric_log, committer)
    models = LoggedModelService(LoggedModelStore(documents), store, clock)
    service = TrackingService(store, hot, streams, calls, models, clock)
    series = SeriesService(store, log, hot, latest, SeriesReader(log))
    index = RunIndex(documents, metric_log, latest, stores.blobs, clock)
    alerts = AlertService(AlertStore(documents), store, clock)
    servicer = TrackingServicer(service, series, streams, index, models, alerts, clock)

    jobs = [
        Job("group-commit", committer.run),
        Job("crash-check", crash_check(service, settings.crash_check_interval_s)),
        Job("fence-check", fence_check(streams, settings.fence_check_interval_s)),
        Job("keep-columns", keep_columns(index, settings.keep_columns_interval_s)),
    ]
    if settings.compaction:
        jobs.append(compaction(stores, clock))
    return Application(
        mounts=[
            Mount(
                SERVICE,
                servicer,
                codecs={
                    "StreamMetrics": Codec(
                        StreamRequest.FromString, metric_pb2.StreamMetricsResponse.SerializeToString
                    ),
                    # Points are answered as they are on the wire.
                    "GetMetricSeries": Codec(pb.GetMetricSeriesRequest.FromString, bytes),
                    "ReadMetricPoints": Codec(pb.ReadMetricPointsRequest.FromString, bytes),
                },
            )
        ],
        jobs=jobs,
        close=stores.close,
    )
