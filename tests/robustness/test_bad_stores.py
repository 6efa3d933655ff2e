"""Stores that cannot be used: the real service processes end at once and say in one line which store, why, and what to do."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.store_servers import need, s3_kind

from penstock_local.servers import MinioServer, MongoServer, RedisServer, SeaweedServer

pytestmark = pytest.mark.slow

SECRET = "geheim"
END_TIMEOUT_S = 30.0  # an interpreter on two busy cores, and five seconds of waiting for a store that is silent
NOWHERE = "127.0.0.1:9"


@dataclass(frozen=True)
class Servers:
    """Servers that want a password, and two that nobody can use."""

    mongo: MongoServer
    standalone: MongoServer
    redis: RedisServer
    s3: MinioServer | SeaweedServer

    @property
    def addresses(self) -> dict[str, str]:
        servers = {"mongo": self.mongo, "standalone": self.standalone, "redis": self.redis, "s3": self.s3}
        return {name: f"127.0.0.1:{server.port}" for name, server in servers.items()}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    s3_server = s3_kind()
    for kind in (MongoServer, RedisServer, s3_server):
        need(kind)
    with ExitStack() as started:
        yield Servers(
            started.enter_context(MongoServer(folder / "mongo", password="right")),
            started.enter_context(MongoServer(folder / "standalone", standalone=True)),
            started.enter_context(RedisServer(folder / "redis", password="right")),
            started.enter_context(s3_server(folder / "s3")),
        )


def start(service: str, folder: Path, **settings: str) -> tuple[int, str]:
    """Runs a service that must not start. Returns its exit status, and all that it said."""
    prefix = f"PENSTOCK_{service.upper()}_"
    settings = {
        "address": "127.0.0.1:0",
        "data_dir": str(folder / "data"),
        "auth_address": NOWHERE,
        "service_credential_file": str(folder / "platform.credential"),
        "owner_credential_file": str(folder / "owner.credential"),
        **settings,
    }
    ended = subprocess.run(
        [sys.executable, "-m", f"penstock_{service}"],
        env={name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        | {prefix + name.upper(): value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=END_TIMEOUT_S,
    )
    return ended.returncode, ended.stdout


CASES: dict[str, tuple[str, str, str]] = {
    # What it is: the setting, its value, what is said. {mongo} and so on are the addresses of servers.
    "documents: nothing listens": (
        "documents_url", "mongodb://ada:geheim@127.0.0.1:9/d",
        "mongodb://127.0.0.1:9/d cannot be reached. Start mongod there"),
    "documents: another kind of URL": (
        "documents_url", "redis://ada:geheim@{redis}/0",
        "begins with redis:// leads nowhere. Use mongodb://host:port/database"),
    "documents: another kind of server": (
        "documents_url", "mongodb://ada:geheim@{redis}/d",
        "is no MongoDB server, or TLS is wanted on one side only. Correct"),
    "documents: no replica set": (
        "documents_url", "mongodb://ada:geheim@{standalone}/d",
        "is a standalone mongod, which has no transactions. Start it with"),
    "documents: no database": (
        "documents_url", "mongodb://penstock:right@{mongo}/?authSource=admin",
        "names no database. Give each service one of its own"),
    "documents: wrong password": (
        "documents_url", "mongodb://penstock:geheim@{mongo}/d?authSource=admin",
        "refuses the credentials. Check user, password"),
    "documents: characters that were not encoded": (
        "documents_url", "mongodb://ada:ge@heim:geheim@{mongo}/d",
        "cannot be used: Username and password must be escaped"),
    "documents: a file that is no database": (
        "documents_url", "{folder}",
        "{folder} is not a file. Choose another path"),
    "documents: a folder that cannot be": (
        "documents_url", "{folder}/file/x/documents.sqlite",
        "{folder}/file/x/documents.sqlite cannot be opened: Not a directory. Let this user"),
    "metric log: nothing listens": (
        "metric_log_url", "mongodb://ada:geheim@127.0.0.1:9/d",
        "mongodb://127.0.0.1:9/d cannot be reached. Start mongod there"),
    "metric log: another kind of URL": (
        "metric_log_url", "s3://ada:geheim@{s3}/bucket",
        "begins with s3:// leads nowhere. Use mongodb://host:port/database"),
    "hot: nothing listens": (
        "hot_url", "redis://:geheim@127.0.0.1:9/0",
        "redis://127.0.0.1:9/0 cannot be reached. Start Redis there"),
    "hot: another kind of URL": (
        "hot_url", "mongodb://ada:geheim@{mongo}/d",
        "begins with mongodb:// leads nowhere. Use redis://host:port/0"),
    "hot: another kind of server": (
        "hot_url", "redis://:geheim@{s3}/0",
        "is no Redis server. Correct the address"),
    "hot: wrong password": (
        "hot_url", "redis://:geheim@{redis}/0",
        "refuses the credentials. Check user and password"),
    "hot: characters that were not encoded": (
        "hot_url", "redis://:geheim/x@{redis}/0",
        "cannot be read: percent-encode special characters in the password"),
    "blobs: nothing listens": (
        "blobs_url", "s3://ada:geheim@127.0.0.1:9/bucket?secure=false",
        "s3://127.0.0.1:9/bucket cannot be reached. Start the server"),
    "blobs: another kind of URL": (
        "blobs_url", "http://ada:geheim@{s3}/bucket",
        "begins with http:// leads nowhere. Use s3://access-key:secret-key@"),
    "blobs: another kind of server": (
        "blobs_url", "s3://ada:geheim@{mongo}/bucket?secure=false",
        "does not answer as an S3 server. Correct the address"),
    "blobs: no TLS there": (
        "blobs_url", "s3://ada:geheim@{s3}/bucket",
        "cannot be reached with TLS. Put secure=false into the URL"),
    "blobs: no such bucket": (
        "blobs_url", "s3://penstock:penstock-secret@{s3}/absent?secure=false",
        "/absent is no bucket of this server. Create it"),
    "blobs: wrong keys": (
        "blobs_url", "s3://penstock:geheim@{s3}/bucket?secure=false",
        "refuses the credentials. Check the keys in the URL"),
    "blobs: a file": (
        "blobs_url", "{folder}/file",
        "/file is no folder. Choose another path"),
    "blobs: a folder that cannot be": (
        "blobs_url", "{folder}/file/blobs",
        "/file/blobs cannot be made (Not a directory). Choose another path"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_tracking_does_not_start(servers: Servers, tmp_path: Path, case: str) -> None:
    setting, url, said = CASES[case]
    (tmp_path / "file").write_text("")
    status, output = start("tracking", tmp_path, **{setting: url.format(folder=tmp_path, **servers.addresses)})
    assert status == 1
    [line] = output.splitlines()
    assert line.startswith("penstock-tracking: ")
    assert said.format(folder=tmp_path) in line
    assert SECRET not in line
    assert "right" not in line


@pytest.mark.parametrize(
    "case", ["documents: nothing listens", "documents: no replica set", "documents: wrong password"]
)
def test_auth_does_not_start(servers: Servers, tmp_path: Path, case: str) -> None:
    setting, url, said = CASES[case]
    status, output = start("auth", tmp_path, **{setting: url.format(folder=tmp_path, **servers.addresses)})
    assert status == 1
    [line] = output.splitlines()
    assert line.startswith("penstock-auth: ")
    assert said.format(folder=tmp_path) in line
    assert SECRET not in line
    assert "right" not in line


FREEZE: dict[str, Callable[[Servers], tuple[MongoServer | RedisServer | MinioServer | SeaweedServer, str]]] = {
    "documents_url": lambda servers: (servers.standalone, f"mongodb://127.0.0.1:{servers.standalone.port}/d"),
    "hot_url": lambda servers: (servers.redis, f"redis://:geheim@127.0.0.1:{servers.redis.port}/0"),
    "blobs_url": lambda servers: (servers.s3, f"s3://ada:geheim@127.0.0.1:{servers.s3.port}/bucket?secure=false"),
}


@pytest.mark.parametrize("setting", FREEZE)
def test_a_server_that_is_silent(servers: Servers, tmp_path: Path, setting: str) -> None:
    server, url = FREEZE[setting](servers)
    server.pause()
    try:
        status, output = start("tracking", tmp_path, **{setting: url})
    finally:
        server.resume()
    assert status == 1
    [line] = output.splitlines()
    assert line.startswith(f"penstock-tracking: {url.partition('://')[0]}://127.0.0.1:{server.port}/")
    assert SECRET not in line


def test_right_passwords_let_it_start(servers: Servers, tmp_path: Path) -> None:
    """What the cases above change is what keeps them from starting: here only the address to listen at is wrong."""
    servers.s3.make_bucket("bucket")
    mongo = servers.mongo.database_url("right")
    status, output = start(
        "tracking",
        tmp_path,
        address="0.0.0.0:0",
        documents_url=mongo,
        metric_log_url=mongo,
        hot_url=servers.redis.url,
        blobs_url=servers.s3.bucket_url("bucket"),
    )
    assert status == 1
    assert "tokens would travel in the clear" in output
