"""Search on MongoDB and S3: the answers of replicas that go on from kept columns."""

from collections.abc import AsyncIterator

import pytest
from support.kept_columns import keep_soon, wander
from support.run_index import Platform

from penstock_kit.stores.open import open_blobs, open_documents, open_metric_log
from penstock_local.servers import S3Server
from penstock_tracking.store import COLLECTIONS, TrackingStore


@pytest.fixture
async def platform(mongodb_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    keep_soon(monkeypatch)
    s3_server.make_bucket("search")
    documents = await open_documents(mongodb_url, COLLECTIONS)
    log = await open_metric_log(mongodb_url)
    blobs = await open_blobs(s3_server.bucket_url("search"))
    yield Platform(documents, log, blobs, TrackingStore(documents))
    for store in (blobs, log, documents):
        await store.close()
    s3_server.clear_bucket("search")


async def test_answers_are_those_of_an_index_made_from_nothing(platform: Platform) -> None:
    await wander(platform, seed=0, rounds=3)
