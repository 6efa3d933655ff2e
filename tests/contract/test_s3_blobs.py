"""The blob store on S3 servers: the contract, and what is peculiar to them."""

import asyncio
import itertools
import random
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penstock_kit.stores.blobs import (
    KEY_PATTERN,
    BlobInfo,
    BlobStoreFull,
    KeyInvalid,
    PresignedLinks,
)
from penstock_kit.stores.contract.blobs import BlobStoreContract, in_chunks, whole
from penstock_kit.stores.embedded.blobs import FilesystemBlobStore
from penstock_kit.stores.errors import StoreClosed, StoreError, StoreMisconfigured, StoreUnavailable
from penstock_kit.stores.s3.blobs import PART_BYTES, S3BlobStore
from penstock_kit.stores.s3.bucket import S3Bucket, _parsed
from penstock_local.servers import MongoServer, RedisServer, S3Server


@pytest.fixture
def bucket_url(s3_server: S3Server) -> Iterator[str]:
    """The URL of an empty bucket. It is the same one each time: SeaweedFS gives each some volumes, and has not many."""
    s3_server.make_bucket("test")
    yield s3_server.bucket_url("test")
    s3_server.clear_bucket("test")


@pytest.fixture
async def store(bucket_url: str) -> AsyncIterator[S3BlobStore]:
    store = await S3BlobStore.open(bucket_url)
    yield store
    await store.close()


class TestS3BlobStore(BlobStoreContract):
    @pytest.fixture
    async def store(self, bucket_url: str) -> AsyncIterator[S3BlobStore]:
        store = await S3BlobStore.open(bucket_url)
        yield store
        await store.close()


def unfinished(store: S3BlobStore) -> list[Any]:
    """The uploads in parts that were begun and neither completed nor given up."""
    return store._bucket.client._list_multipart_uploads(store._bucket.name, prefix="big").uploads


@pytest.mark.parametrize("extra", [0, 1, PART_BYTES // 2])
async def test_a_blob_in_parts(store: S3BlobStore, extra: int) -> None:
    data = random.Random(extra).randbytes(2 * PART_BYTES + extra)
    assert await store.put("big", in_chunks(data, 3_000_000)) == BlobInfo("big", len(data))
    assert await whole(store.get("big")) == data
    middle = PART_BYTES - 5
    assert await whole(store.get("big", offset=middle, length=10)) == data[middle : middle + 10]
    assert unfinished(store) == []


async def test_a_chunk_larger_than_parts(store: S3BlobStore) -> None:
    data = random.Random(1).randbytes(3 * PART_BYTES + 7)
    await store.put("big", in_chunks(data, len(data)))
    assert await whole(store.get("big")) == data


async def test_a_source_that_fails_after_the_first_parts_leaves_no_parts(store: S3BlobStore) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(2 * PART_BYTES)
        raise ConnectionError("the uploader went away")

    with pytest.raises(ConnectionError):
        await store.put("big", failing())
    assert unfinished(store) == []
    assert (await store.list()).blobs == []


async def test_a_put_cancelled_after_the_first_parts_leaves_no_parts(store: S3BlobStore) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(2 * PART_BYTES)
        begun.set()
        await asyncio.Event().wait()

    putting = asyncio.ensure_future(store.put("big", endless()))
    await begun.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert unfinished(store) == []
    assert (await store.list()).blobs == []


async def test_random_keys_are_listed_as_files_are(store: S3BlobStore, tmp_path: Path) -> None:
    random_ = random.Random(7)
    keys: set[str] = set()
    while len(keys) < 80:
        key = "".join(random_.choices("-._/09AZaz", k=random_.randint(1, 6)))
        if re.fullmatch(KEY_PATTERN, key):
            keys.add(key)
    files = FilesystemBlobStore(tmp_path)
    for key in keys:
        await store.put(key, in_chunks(b"data"))
        await files.put(key, in_chunks(b"data"))
    for prefix in ("", "a", "-", "Z/", "0.", ".", "a//"):
        assert await store.list(prefix) == await files.list(prefix)
        for cursor in random_.sample(sorted(keys), 8):
            assert await store.list(prefix, limit=7, cursor=cursor) == await files.list(prefix, limit=7, cursor=cursor)


async def test_more_blobs_than_one_answer_of_a_server_lists(store: S3BlobStore) -> None:
    keys = [f"{n:04d}" for n in range(1_005)]
    for some in itertools.batched(keys, 100) if hasattr(itertools, "batched") else [keys]:
        await asyncio.gather(*(store.put(key, in_chunks(b"")) for key in some))
    page = await store.list()
    assert [blob.key for blob in page.blobs] == keys[:1_000]
    assert page.cursor == keys[999]
    assert [blob.key for blob in (await store.list(cursor=page.cursor)).blobs] == keys[1_000:]
    assert [blob.key for blob in (await store.list(limit=2_000)).blobs] == keys


async def test_what_is_no_blob_is_not_listed(s3_server: S3Server, store: S3BlobStore) -> None:
    await store.put("blob", in_chunks(b"data"))
    store._bucket.client._put_object(store._bucket.name, "somebody's note", b"")
    assert [blob.key for blob in (await store.list()).blobs] == ["blob"]


async def test_a_reader_that_leaves_early_holds_nothing_up(store: S3BlobStore) -> None:
    await store.put("blob", in_chunks(bytes(3_000_000)))
    for _ in range(40):
        reading = store.get("blob")
        assert await anext(reading)
        await reading.aclose()  # pyrefly: ignore[missing-attribute]  # the adapter's is a generator
    assert len(await whole(store.get("blob"))) == 3_000_000


# Links


async def test_links_move_a_blob_past_the_service(store: S3BlobStore) -> None:
    assert isinstance(store, PresignedLinks)
    data = random.Random(3).randbytes(300_000)
    async with httpx2.AsyncClient() as client:
        link = store.presigned_put("folder/a-b.bin", expires_s=60)
        assert (await client.put(link, content=data)).status_code == 200
        assert await whole(store.get("folder/a-b.bin")) == data
        link = store.presigned_get("folder/a-b.bin", expires_s=60)
        assert (await client.get(link)).content == data
        assert (await client.get(link, headers={"Range": "bytes=5-9"})).content == data[5:10]
        assert (await client.get(store.presigned_get("absent", expires_s=60))).status_code == 404
        # A link is for what it was made for.
        assert (await client.put(link, content=b"other")).status_code == 403
        assert (await client.get(link.replace("a%2Cb", "a%2Cc"))).status_code == 403
        assert (await client.get(link.replace("Expires=60", "Expires=600"))).status_code == 403
    assert await whole(store.get("folder/a-b.bin")) == data


async def test_links_to_parts(store: S3BlobStore) -> None:
    data = random.Random(4).randbytes(PART_BYTES + 1_000)
    upload = await store.begin_parts("folder/big", PART_BYTES)
    other = await store.begin_parts("folder/other", PART_BYTES)
    async with httpx2.AsyncClient() as client:
        links = [store.presigned_part(upload, number, expires_s=60) for number in (1, 2)]
        # Of another upload or another part it is not, whoever has it.
        assert (await client.put(links[0].replace(upload.id, other.id), content=b"x")).status_code == 403
        assert (await client.put(links[0].replace("partNumber=1", "partNumber=2"), content=b"x")).status_code == 403
        for link, part in zip(links, (data[:PART_BYTES], data[PART_BYTES:]), strict=True):
            assert (await client.put(link, content=part)).status_code == 200
        assert await store.parts(upload) == {1: PART_BYTES, 2: 1_000}
        assert await store.parts(other) == {}
        await store.finish_parts(upload, len(data))
        # Nobody changes what was verified.
        assert (await client.put(links[0], content=b"x")).status_code == 404
    assert await whole(store.get("folder/big")) == data
    for number in (0, 10_001):
        with pytest.raises(ValueError, match="between 1 and 10000"):
            store.presigned_part(upload, number, expires_s=60)
    await store.drop_parts(other)


async def test_links_lead_to_the_public_address(s3_server: S3Server, bucket_url: str) -> None:
    store = await S3BlobStore.open(bucket_url, public_url="https://s3.example.org")
    link = store.presigned_get("blob", expires_s=60)
    assert link.startswith(f"https://s3.example.org/{store._bucket.name}/blob%21?")
    await store.close()
    # Another name of the same server: the signature is made for it.
    store = await S3BlobStore.open(bucket_url, public_url=f"http://localhost:{s3_server.port}")
    await store.put("blob", in_chunks(b"data"))
    link = store.presigned_get("blob", expires_s=60)
    assert link.startswith("http://localhost:")
    async with httpx2.AsyncClient() as client:
        assert (await client.get(link)).content == b"data"
    await store.close()


async def test_limits_of_a_link(store: S3BlobStore) -> None:
    for expires_s in (1, 604_800):
        assert f"X-Amz-Expires={expires_s}&" in store.presigned_put("blob", expires_s=expires_s)
    for expires_s in (0, 604_801):
        with pytest.raises(ValueError, match="between 1 and 604800"):
            store.presigned_get("blob", expires_s=expires_s)
    with pytest.raises(KeyInvalid):
        store.presigned_get("../blob", expires_s=60)


# What cannot be used


async def refused(url: str, **options: str) -> StoreError:
    with pytest.raises(StoreError) as error:
        await S3BlobStore.open(url, **options)
    assert "penstock-secret" not in str(error.value)
    assert "geheim" not in str(error.value)
    return error.value


async def test_a_bucket_that_does_not_exist(s3_server: S3Server) -> None:
    error = await refused(s3_server.bucket_url("absent"))
    assert isinstance(error, StoreMisconfigured)
    assert str(error) == (
        f"s3://127.0.0.1:{s3_server.port}/absent is no bucket of this server. Create it, or correct its name."
    )


@pytest.mark.parametrize("keys", ["penstock:geheim", "nobody:geheim"])
async def test_wrong_credentials(s3_server: S3Server, bucket_url: str, keys: str) -> None:
    error = await refused(bucket_url.replace("penstock:penstock-secret", keys))
    assert isinstance(error, StoreMisconfigured)
    assert error.reason == "refuses the credentials"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://host:9000/bucket", "no access key"),
        ("s3://key@host:9000/bucket", "no access key"),
        ("s3://:geheim@host:9000/bucket", "no access key"),
        ("s3://key:geheim@/bucket", "names no host"),
        ("s3://key:geheim@host:9000", "must name a bucket"),
        ("s3://key:geheim@host:9000/bucket/folder", "must name a bucket"),
        ("s3://key:geheim@host:9000/bucket?secure=maybe", "options other than"),
        ("s3://key:geheim@host:9000/bucket?token=geheim", "options other than"),
        ("s3://key:ge/heim@host:9000/bucket", "percent-encode"),
        ("s3://key:geheim@host:port/bucket", "percent-encode"),
        ("s3://key:geheim@127.0.0.1:9/ab", "cannot be used"),
    ],
)
async def test_urls_that_cannot_be_used(url: str, reason: str) -> None:
    error = await refused(url)
    assert isinstance(error, StoreMisconfigured)
    assert reason in error.reason


@pytest.mark.parametrize(
    "public_url", ["s3.example.org", "ftp://host", "https://host/path", "https://a:geheim@host", "https://h:x"]
)
async def test_public_urls_that_cannot_be_used(public_url: str) -> None:
    error = await refused("s3://key:geheim@127.0.0.1:9/bucket", public_url=public_url)
    assert isinstance(error, StoreMisconfigured)
    assert "without a path" in error.remedy


async def test_nothing_listens(s3_server: S3Server) -> None:
    error = await refused("s3://key:geheim@127.0.0.1:9/bucket?secure=false")
    assert isinstance(error, StoreUnavailable)
    assert str(error) == "s3://127.0.0.1:9/bucket cannot be reached. Start the server there, or correct the address."


async def test_tls_on_one_side_only(bucket_url: str) -> None:
    error = await refused(bucket_url.replace("secure=false", "secure=true"))
    assert isinstance(error, StoreMisconfigured)
    assert "TLS" in error.reason


async def test_another_kind_of_server(mongo_server: MongoServer, redis_server: RedisServer) -> None:
    error = await refused(f"s3://key:geheim@127.0.0.1:{mongo_server.port}/bucket?secure=false")
    assert isinstance(error, StoreMisconfigured)
    assert "does not answer as an S3 server" in error.reason
    error = await refused(f"s3://key:geheim@127.0.0.1:{redis_server.port}/bucket?secure=false")
    assert "S3 server" in error.remedy


async def test_a_closed_store(bucket_url: str) -> None:
    store = await S3BlobStore.open(bucket_url)
    await store.close()
    await store.close()
    with pytest.raises(StoreClosed):
        await store.stat("blob")


async def test_a_bucket_that_was_removed(s3_server: S3Server) -> None:
    s3_server.make_bucket("removed")
    store = await S3BlobStore.open(s3_server.bucket_url("removed"))
    store._bucket.client.remove_bucket("removed")
    with pytest.raises(StoreMisconfigured, match="is no bucket of this server"):
        await store.list()  # SeaweedFS would make the bucket for a put
    await store.close()


# Answers that servers give on a bad day


class Answering(ThreadingHTTPServer):
    """Gives every request the same answer: a status, a content type and a body. Without one it never answers."""

    def __init__(self, answer: tuple[int, str, str] | None) -> None:
        super().__init__(("127.0.0.1", 0), AnsweringRequest)
        self.answer = answer
        self.requests = 0
        self.ended = threading.Event()


class AnsweringRequest(BaseHTTPRequestHandler):
    server: Answering

    def do_PUT(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.answer is None:
            self.server.ended.wait()
            return
        status, kind, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def answering(answer: tuple[int, str, str] | None) -> Iterator[tuple[S3BlobStore, Answering]]:
    with Answering(answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"s3://key:geheim@127.0.0.1:{server.server_port}/bucket?secure=false"
        yield S3BlobStore(S3Bucket(_parsed(url), "")), server
        server.ended.set()
        server.shutdown()
        thread.join()


def xml(status: int, code: str, message: str = "") -> tuple[int, str, str]:
    return status, "application/xml", f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"


@pytest.mark.parametrize(
    ("answer", "error", "said", "requests"),
    [
        (xml(507, "XMinioStorageFull"), BlobStoreFull, "XMinioStorageFull", 1),
        (xml(500, "InternalError", "an error: cause(no space left on device)"), BlobStoreFull, "InternalError", 2),
        (xml(500, "InternalError", "an error"), StoreUnavailable, "failed with status 500", 2),
        (xml(503, "SlowDown"), StoreUnavailable, "failed with status 503", 2),
        ((502, "text/html", "<html>a proxy"), StoreUnavailable, "failed with status 502", 2),
        ((404, "text/html", "<html>a web site"), StoreMisconfigured, "does not answer as an S3 server", 1),
        (xml(403, "RequestTimeTooSkewed"), StoreMisconfigured, "Set the clocks", 1),
        (xml(400, "AuthorizationHeaderMalformed"), StoreMisconfigured, "Add region=", 1),
        (xml(400, "MissingContentLength"), StoreError, r"refused a request \(MissingContentLength\)", 1),
    ],
)
async def test_answers_of_servers(
    answer: tuple[int, str, str], error: type[Exception], said: str, requests: int
) -> None:
    with answering(answer) as (store, server):
        with pytest.raises(error, match=said):
            await store.put("blob", in_chunks(b"data"))
        assert server.requests == requests
        await store.close()


async def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_kit.stores.s3.bucket.READ_TIMEOUT_S", 0.1)
    with answering(None) as (store, _):
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            await store.put("blob", in_chunks(b"data"))
        await store.close()
