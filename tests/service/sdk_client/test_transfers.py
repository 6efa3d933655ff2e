"""Large and many files through the client: in parts, straight to the object store or through the service, on after breaks."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.installation import Installation, installation
from support.store_servers import need, s3_kind

from penstock.api.artifact.v1 import transfer_pb2
from penstock.client import AsyncClient, Client, digests, direct
from penstock.client._sync import transfers
from penstock.client._sync.transfers import Transfers
from penstock.client.artifact_files import Transfer
from penstock.client.digests import Digesting
from penstock.client.direct import StoreFailed
from penstock.errors import InvalidInput, PenstockError, ServerUnavailable
from penstock_artifact import signing
from penstock_kit.interceptors import authorize
from penstock_kit.server import ServerSettings
from penstock_local.servers import S3Server

pytestmark = pytest.mark.usefixtures("home")

SIZE = 20_000_000
PART = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    kind = s3_kind()
    need(kind)
    with kind(tmp_path_factory.mktemp("transfer-s3")) as server:
        yield server


@pytest.fixture(scope="module")
def direct_server(object_store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose clients reach the object store."""
    object_store.make_bucket("artifacts")
    settings = {
        "blobs_url": object_store.bucket_url("artifacts"),
        "s3_public_url": f"http://127.0.0.1:{object_store.port}",
    }
    with installation(tmp_path_factory.mktemp("direct"), artifact_settings=settings) as running:
        yield running


@pytest.fixture
def client(server: Installation) -> Iterator[Client]:
    with Client(server.connection) as one:
        yield one


@pytest.fixture
def direct_client(direct_server: Installation) -> Iterator[Client]:
    with Client(direct_server.connection) as one:
        yield one


@pytest.fixture
def large(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file of three parts, which no other test has."""
    file = tmp_path / "large.bin"
    file.write_bytes(random.Random(request.node.name).randbytes(SIZE))
    return file


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("not this way")


def counted(monkeypatch: pytest.MonkeyPatch, name: str, fails_at: int = 0) -> list[tuple[Any, ...]]:
    """The calls of a function of `direct` that are made from now on. One of them fails as a broken connection does."""
    calls: list[tuple[Any, ...]] = []
    real = getattr(direct, name)

    def call(*arguments: Any) -> Any:
        calls.append(arguments[1:])
        if len(calls) == fails_at:
            raise StoreFailed("The object store broke off.")
        return real(*arguments)

    monkeypatch.setattr(direct, name, call)
    return calls


def test_a_large_file_straight_to_the_store_and_back(
    direct_client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transfers, "_send_parts", never)
    monkeypatch.setattr(Transfers, "_receive", never)
    told: list[Transfer] = []
    version = direct_client.put_artifact("net", large, on_progress=told.append)
    assert version.size_bytes == SIZE
    assert told[-1] == Transfer("uploading", SIZE, SIZE, 1, 1)
    # A step for each part.
    assert len({one.bytes for one in told if one.phase == "uploading"}) >= 4
    (back,) = direct_client.get_artifact(version.name, tmp_path / "back", on_progress=told.append)
    assert back.read_bytes() == large.read_bytes()
    assert told[-1] == Transfer("downloading", SIZE, SIZE, 1, 1)


def test_a_large_file_through_the_service_and_back(
    client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transfers, "_send_parts_direct", never)
    told: list[Transfer] = []
    version = client.put_artifact("net", large, on_progress=told.append)
    assert told[-1] == Transfer("uploading", SIZE, SIZE, 1, 1)
    (back,) = client.get_artifact(version.name, tmp_path / "back")
    assert back.read_bytes() == large.read_bytes()


@pytest.mark.parametrize("way", ["direct_server", "server"])
async def test_the_asynchronous_client(way: str, large: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with AsyncClient(request.getfixturevalue(way).connection) as client:
        version = await client.put_artifact("net", large)
        (back,) = await client.get_artifact(version.name, tmp_path / "back")
    assert back.read_bytes() == large.read_bytes()


def one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limit in ((direct, "AT_ONCE_MAX"), (direct, "RANGES_AT_ONCE_MAX"), (transfers, "AT_ONCE_MAX")):
        monkeypatch.setattr(module, limit, 1)


def test_a_break_costs_the_parts_that_were_on_their_way(
    direct_client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_once(monkeypatch)
    puts = counted(monkeypatch, "_put", fails_at=2)
    version = direct_client.put_artifact("net", large)
    assert [offset for _, offset, _ in puts] == [0, PART, PART, 2 * PART]
    for limit in ("RANGE_BYTES_MIN", "RANGE_BYTES_MAX"):
        monkeypatch.setattr(direct, limit, PART)
    gets = counted(monkeypatch, "_get", fails_at=2)
    (back,) = direct_client.get_artifact(version.name, tmp_path / "back")
    assert [start for start, _ in gets] == [0, PART, PART, 2 * PART]
    assert back.read_bytes() == large.read_bytes()


def test_a_client_that_died_is_gone_on_for_by_another(
    direct_client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(Exception):
        """As a kill: nothing is done about it."""

    def dies(told: Transfer) -> None:
        if told.phase != "reading" and told.bytes >= PART:
            raise Died

    one_at_once(monkeypatch)
    with pytest.raises(Died):
        direct_client.put_artifact("net", large, on_progress=dies)
    puts = counted(monkeypatch, "_put")
    version = direct_client.put_artifact("net", large)
    assert 0 not in [offset for _, offset, _ in puts]
    with pytest.raises(Died):
        direct_client.get_artifact(version.name, tmp_path / "back", on_progress=dies)
    assert [file.name for file in (tmp_path / "back").iterdir() if not file.name.startswith(".")] == []
    gets = counted(monkeypatch, "_get")
    (back,) = direct_client.get_artifact(version.name, tmp_path / "back")
    assert 0 not in [start for start, _ in gets]
    assert back.read_bytes() == large.read_bytes()


@pytest.mark.parametrize("way", ["straight", "through the service"])
def test_the_object_store_is_killed_in_mid_transfer(
    direct_client: Client,
    object_store: S3Server,
    large: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    if way != "straight":
        monkeypatch.setattr(Transfers, "_send_parts_direct", Transfers._send_parts)
        monkeypatch.setattr(Transfers, "_receive_direct", Transfers._receive)
    killed: set[str] = set()

    def kill(told: Transfer) -> None:
        if told.phase not in killed | {"reading"} and told.bytes >= 4 * 1024 * 1024:
            killed.add(told.phase)
            object_store.kill()
            object_store.start()

    version = direct_client.put_artifact("net", large, on_progress=kill)
    (back,) = direct_client.get_artifact(version.name, tmp_path / "back", on_progress=kill)
    assert killed == {"uploading", "downloading"}
    assert back.read_bytes() == large.read_bytes()
    assert [file.name for file in (tmp_path / "back").iterdir()] == ["large.bin"]


def test_urls_that_expire_cost_nothing_but_time(
    direct_client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "LIFETIME_S", 1)
    one_at_once(monkeypatch)
    slept: set[str] = set()

    def sleep(told: Transfer) -> None:
        if told.phase not in slept | {"reading"} and told.bytes >= PART:
            slept.add(told.phase)
            time.sleep(2)

    version = direct_client.put_artifact("net", large, on_progress=sleep)
    (back,) = direct_client.get_artifact(version.name, tmp_path / "back", on_progress=sleep)
    assert slept == {"uploading", "downloading"}
    assert back.read_bytes() == large.read_bytes()


def test_a_file_that_takes_longer_than_a_stream_may(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorize, "STREAM_AGE_S_MAX", 1.5)
    streams: list[int] = []
    real = transfers._part_requests

    def slow(upload: transfer_pb2.BlobUpload, *arguments: Any) -> Iterator[transfer_pb2.UploadPartsRequest]:
        streams.append(len(upload.missing_parts))
        for request in real(upload, *arguments):
            time.sleep(0.1)
            yield request

    monkeypatch.setattr(transfers, "_part_requests", slow)
    with (
        installation(
            tmp_path / "server", services_settings=ServerSettings(drain_s=0.5, stream_recheck_s=0.1)
        ) as server,
        Client(server.connection) as client,
    ):
        version = client.put_artifact("net", large)
        assert version.size_bytes == SIZE
    assert len(streams) > 1
    assert streams == sorted(streams, reverse=True)


def test_where_the_store_cannot_be_reached_the_bytes_pass_through_the_service(
    direct_client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any) -> None:
        raise StoreFailed("The object store cannot be reached.")

    monkeypatch.setattr(direct, "_put", unreachable)
    monkeypatch.setattr(direct, "_get", unreachable)
    version = direct_client.put_artifact("net", large)
    (back,) = direct_client.get_artifact(version.name, tmp_path / "back")
    assert back.read_bytes() == large.read_bytes()


def test_a_server_that_stays_away_is_given_up(
    direct_client: Client, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "RETRY_S", 0.2)
    monkeypatch.setattr(transfers, "RETRY_PAUSE_S", 0.1)

    def away(*_: Any) -> None:
        raise ServerUnavailable("It is away.")

    monkeypatch.setattr(Transfers, "_send_in_parts", away)
    with pytest.raises(ServerUnavailable, match="away"):
        direct_client.put_artifact("net", large)


@pytest.mark.parametrize("way", ["direct_client", "client"])
def test_a_file_that_changes_while_it_is_sent(way: str, large: Path, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(way)

    def changes(told: Transfer) -> None:
        if told.phase == "uploading":
            with large.open("r+b") as opened:
                opened.write(content)
                opened.truncate()

    content = b"x" * SIZE
    with pytest.raises(InvalidInput, match="was the file changed meanwhile") as changed:
        client.put_artifact("net", large, on_progress=changes)
    assert changed.value.reason == "BLOB_MISMATCH"
    large.write_bytes(random.Random(2).randbytes(SIZE))
    content = b"short"
    with pytest.raises(InvalidInput, match="became shorter"):
        client.put_artifact("net", large, on_progress=changes)


def test_other_bytes_from_the_store_are_not_kept(
    direct_client: Client, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = direct_client.put_artifact("net", large)
    monkeypatch.setattr(direct, "_get", lambda _, __, into: 0.0)
    with pytest.raises(PenstockError) as wrong:
        direct_client.get_artifact(version.name, tmp_path / "back")
    assert wrong.value.reason == "BLOB_MISMATCH"
    assert list((tmp_path / "back").iterdir()) == []


def test_many_small_files_there_and_back(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for number in range(1_200):
        file = folder / f"{number % 7}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"file {number} " * (number % 60))
    (folder / "larger").write_bytes(bytes(3_000_000))
    told: list[Transfer] = []
    version = client.put_artifact("many", folder)
    files = client.get_artifact(version.name, tmp_path / "back", on_progress=told.append)
    assert told[-1].files == told[-1].files_total == len(files) == 1_201
    assert {str(f.relative_to(tmp_path / "back")): f.read_bytes() for f in files} == {
        str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()
    }
    # What is there is not loaded again.
    files[5].write_text("something else")
    client.get_artifact(version.name, tmp_path / "back", on_progress=told.append)
    assert files[5].read_text() != "something else"
    assert told[-1].bytes == version.size_bytes


def test_a_file_that_did_not_change_is_not_read_again(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SETTLED_S", 0.0)
    read: list[str] = []
    real = Digesting._read

    def reading(self: Digesting, file: Path) -> None:
        read.append(file.name)
        real(self, file)

    monkeypatch.setattr(Digesting, "_read", reading)
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    first = client.put_artifact("kept", folder)
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    assert client.put_artifact("kept", folder) == first
    assert read == []
    # As long, and with the time of before, as some tools write.
    times = (folder / "b").stat()
    (folder / "b").write_text("x")
    os.utime(folder / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / "c").unlink()
    (folder / "c").write_text("c")
    assert client.put_artifact("kept", folder).name != first.name
    assert sorted(read) == ["b", "c"]


def test_what_is_remembered_may_be_lost_or_damaged(
    client: Client, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SETTLED_S", 0.0)
    file = tmp_path / "file"
    file.write_text("content")
    first = client.put_artifact("damaged", file)
    kept = home / "digests.sqlite"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(b"no database")
    assert client.put_artifact("damaged", file) == first
    # It was made anew by the way.
    assert kept.read_bytes().startswith(b"SQLite")
    kept.unlink()
    kept.mkdir()
    assert client.put_artifact("damaged", file) == first


def test_what_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    for _ in range(2):
        digesting = Digesting([file])
        digesting.start()
        while digesting.step():
            pass
        digesting.close()
        assert digesting._new == {}
