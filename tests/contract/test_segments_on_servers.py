"""Segments on MongoDB and S3: what is true of them on embedded stores is true there."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
from support.segments import Block, LoggedRun, race

import penstock_tracking.segments.compactor as compactor_module
from penstock_kit.stores.open import open_blobs, open_documents, open_metric_log
from penstock_local.servers import S3Server
from penstock_tracking.store import COLLECTIONS


@pytest.fixture
async def run(mongodb_url: str, s3_server: S3Server) -> AsyncIterator[LoggedRun]:
    s3_server.make_bucket("test")
    run = LoggedRun(
        await open_documents(mongodb_url, COLLECTIONS),
        await open_metric_log(mongodb_url),
        await open_blobs(s3_server.bucket_url("test")),
    )
    yield run
    for compactor in run.compactors:
        compactor.close()
    for store in (run.blobs, run.log, run.documents):
        await store.close()
    s3_server.clear_bucket("test")


async def test_everything_reads_the_same(run: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactor_module, "MERGE_FANOUT", 3)
    rng = np.random.default_rng(5)
    for number in range(4):
        steps = range(number * 9_000, (number + 1) * 9_000)
        await run.write("w1", Block([f"k{n}" for n in range(5)], steps, rng.normal(0, 1, (9_000, 5))))
        await run.write("w2", Block(["a"], [number], [[np.nan]]), rank=1)
        before = await run.fingerprint()
        await run.compact()
        assert await run.fingerprint() == before
    assert await run.logged() == 0
    manifest = await run.segmented.manifests.get(run.run.log_key)
    assert manifest.retired
    assert not all(segment.inline for segment in manifest.segments)
    await run.segmented.files.put(run.run.log_key, "ab" * 16, [b"an orphan"])
    run.clock.advance(601)
    assert await run.compactor.sweep() == 1
    assert await run.fingerprint() == before
    assert len((await run.blobs.list()).blobs) == sum(not segment.inline for segment in manifest.segments)


async def test_readers_see_every_batch_once_while_others_compact(
    run: LoggedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor_module, "BATCHES_MAX", 5)
    monkeypatch.setattr(compactor_module, "MERGE_FANOUT", 3)
    monkeypatch.setattr(compactor_module, "INLINE_BYTES_MAX", 2_000)
    await race(run, batches=40, readers=1)
