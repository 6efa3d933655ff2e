"""Which adapter a URL leads to."""

from pathlib import Path
from urllib.parse import quote

import pytest

from penstock_kit.clock import SystemClock
from penstock_kit.stores.embedded.blobs import FilesystemBlobStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.hot import InProcessHotStore
from penstock_kit.stores.embedded.metric_log import SqliteMetricLog
from penstock_kit.stores.errors import StoreMisconfigured
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.documents import MongoDocumentStore
from penstock_kit.stores.mongo.metric_log import MongoMetricLog
from penstock_kit.stores.open import open_blobs, open_documents, open_hot, open_metric_log
from penstock_kit.stores.redis.hot import RedisHotStore
from penstock_kit.stores.s3.blobs import S3BlobStore
from penstock_local.servers import RedisServer, S3Server


@pytest.mark.parametrize("name", ["documents.sqlite", "with space%.sqlite"])
async def test_files(tmp_path: Path, name: str) -> None:
    for url in (str(tmp_path / name), f"sqlite://{quote(str(tmp_path / name))}"):
        documents = await open_documents(url, [])
        assert isinstance(documents, SqliteDocumentStore)
        await documents.close()
        log = await open_metric_log(f"{url}-log")
        assert isinstance(log, SqliteMetricLog)
        await log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}-log"]


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_mongodb(mongodb_url: str, driver: MongoDriver) -> None:
    documents = await open_documents(mongodb_url, [], mongo_driver=driver)
    assert isinstance(documents, MongoDocumentStore)
    log = await open_metric_log(mongodb_url, mongo_driver=driver)
    assert isinstance(log, MongoMetricLog)
    for store in (documents, log):
        assert type(store._connection._client).__module__.startswith(driver)
        await store.close()


@pytest.mark.parametrize("url", ["", "memory:"])
async def test_a_hot_store_in_the_process(url: str) -> None:
    hot = await open_hot(url, SystemClock())
    assert isinstance(hot, InProcessHotStore)
    await hot.close()


async def test_redis(redis_server: RedisServer) -> None:
    hot = await open_hot(redis_server.url, SystemClock())
    assert isinstance(hot, RedisHotStore)
    await hot.close()


async def test_blobs_in_a_folder(tmp_path: Path) -> None:
    for url in (str(tmp_path / "with space%"), f"file://{quote(str(tmp_path / 'with space%'))}"):
        blobs = await open_blobs(url)
        assert isinstance(blobs, FilesystemBlobStore)
        assert blobs._root == tmp_path / "with space%"
        await blobs.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreMisconfigured, match=r"/file is no folder\. Choose another path"):
        await open_blobs(str(tmp_path / "file"))


async def test_s3(s3_server: S3Server) -> None:
    s3_server.make_bucket("test")
    blobs = await open_blobs(s3_server.bucket_url("test"), public_url="https://s3.example.org")
    assert isinstance(blobs, S3BlobStore)
    assert blobs.presigned_get("blob", expires_s=60).startswith("https://s3.example.org/test/")
    await blobs.close()


@pytest.mark.parametrize("url", ["mongodb://ada:secret@host/db", "localhost:6379", "secret", "/tmp/hot", "://secret"])
async def test_urls_of_no_hot_store(url: str) -> None:
    with pytest.raises(StoreMisconfigured, match="redis://host:port/0, or memory:") as error:
        await open_hot(url, SystemClock())
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["mongodb://ada:geheim@host/db", "file://host/folder", "file:///", "sqlite:///x", "://"]
)
async def test_urls_of_no_blob_store(url: str) -> None:
    with pytest.raises(StoreMisconfigured, match="file:///absolute/path, or a path") as error:
        await open_blobs(url)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["postgres://ada:secret@host/db", "sqlite://host/file", "sqlite:///", "redis://127.0.0.1:6379/0", "://"]
)
async def test_urls_of_nothing(url: str) -> None:
    for opening in (open_documents(url, []), open_metric_log(url)):
        with pytest.raises(StoreMisconfigured, match="mongodb://host:port/database") as error:
            await opening
        assert "secret" not in str(error.value)
