"""What a store on MongoDB says when it cannot be used: at the start, and in the middle of its work."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from support.mongo import elect_quickly, failing

from penstock_kit.stores.errors import StoreClosed, StoreError, StoreMisconfigured, StoreUnavailable
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.connection import MongoConnection, _check_kind
from penstock_local.servers import MongoServer, RedisServer

SECRET = "correct-horse"

Opened = Callable[[str, MongoDriver], Awaitable[MongoConnection]]


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> MongoDriver:
    return request.param


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens connections, and closes them after the test."""
    connections: list[MongoConnection] = []

    async def open_connection(url: str, driver: MongoDriver) -> MongoConnection:
        connections.append(await MongoConnection.open(url, driver))
        return connections[-1]

    yield open_connection
    for connection in connections:
        await connection.close()


async def refusal(url: str, driver: MongoDriver) -> StoreError:
    with pytest.raises(StoreError) as error:
        await MongoConnection.open(url, driver)
    assert SECRET not in str(error.value)
    return error.value


async def test_nobody_listens(driver: MongoDriver, unused_tcp_port: int) -> None:
    url = f"mongodb://ada:{SECRET}@127.0.0.1:{unused_tcp_port}/tracking?replicaSet=rs0"
    error = await refusal(url, driver)
    assert isinstance(error, StoreUnavailable)
    assert str(error) == (
        f"mongodb://127.0.0.1:{unused_tcp_port}/tracking cannot be reached. Start mongod there, or correct the address."
    )


async def test_an_unknown_host(driver: MongoDriver) -> None:
    assert isinstance(await refusal("mongodb://nowhere.invalid/tracking", driver), StoreUnavailable)


async def test_another_kind_of_server(driver: MongoDriver, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        error = await refusal(f"mongodb://127.0.0.1:{server.port}/tracking", driver)
    assert isinstance(error, StoreMisconfigured)
    assert "is no MongoDB server" in error.reason


async def test_a_server_that_is_frozen(driver: MongoDriver, tmp_path: Path) -> None:
    with MongoServer(tmp_path) as server:
        server.pause()
        error = await refusal(server.database_url("tracking"), driver)
        server.resume()
    assert isinstance(error, StoreUnavailable)
    assert error.reason == "takes connections, but says nothing for 2 s"


async def test_a_server_without_replica_set(driver: MongoDriver, tmp_path: Path) -> None:
    with MongoServer(tmp_path, standalone=True) as server:
        error = await refusal(server.database_url("tracking"), driver)
        assert isinstance(error, StoreMisconfigured)
        assert "standalone" in error.reason
        assert "--replSet" in error.remedy
        assert "standalone" in (await refusal(server.database_url("tracking") + "?replicaSet=rs0", driver)).reason


async def test_a_replica_set_of_another_name(driver: MongoDriver, mongo_server: MongoServer) -> None:
    url = f"mongodb://127.0.0.1:{mongo_server.port}/tracking?replicaSet=other&serverSelectionTimeoutMS=500"
    error = await refusal(url, driver)
    assert isinstance(error, StoreMisconfigured)
    assert error.reason == "is of the replica set 'rs0', not 'other'"


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        ({"maxWireVersion": 12, "setName": "rs0"}, "older"),
        ({"maxWireVersion": 17, "isreplicaset": True}, "not initiated"),
        ({"maxWireVersion": 17}, "standalone"),
    ],
)
def test_kinds_that_will_not_do(hello: dict[str, object], reason: str) -> None:
    with pytest.raises(StoreMisconfigured, match=reason):
        _check_kind(hello, {}, "mongodb://host:27017/tracking")


def test_a_sharded_cluster_will_do() -> None:
    _check_kind({"maxWireVersion": 17, "msg": "isdbgrid"}, {"replicaset": "rs0"}, "mongodb://host:27017/tracking")


async def test_credentials(opened: Opened, driver: MongoDriver, tmp_path: Path) -> None:
    with MongoServer(tmp_path, password=SECRET) as server:
        url = server.database_url("tracking")
        connection = await opened(url, driver)
        await connection.close()
        for wrong in (url.replace(SECRET, "wrong"), f"mongodb://127.0.0.1:{server.port}/tracking"):
            error = await refusal(wrong, driver)
            assert isinstance(error, StoreMisconfigured)
            assert error.reason == "refuses the credentials"
            assert "readWrite" in error.remedy


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mongodb://", "cannot be used"),
        (f"mongodb://ada:{SECRET}@host:port/tracking", "cannot be used"),
        (f"mongodb://ada:{SECRET}@[::1/tracking", "cannot be used"),
        (f"mongodb://ada:{SECRET}@@host/tracking", "cannot be used"),
        ("mongodb://127.0.0.1:27017", "names no database"),
        ("mongodb://127.0.0.1:27017/?replicaSet=rs0", "names no database"),
        ("mongodb://127.0.0.1:27017/a%20b", "cannot be used"),
        ("mongodb://127.0.0.1:27017/tracking?timeoutMS=soon", "cannot be used"),
        ("mongodb://127.0.0.1:27017/tracking?nonsense=1", "cannot be used"),
        ("mongodb://127.0.0.1:27017/tracking?tls=true&tlsCAFile=/nowhere", "cannot be used"),
    ],
)
async def test_urls_that_lead_nowhere(url: str, reason: str) -> None:
    error = await refusal(url, "motor")
    assert isinstance(error, StoreMisconfigured)
    assert reason in error.reason


async def test_durability_is_not_for_the_url_to_weaken(opened: Opened, mongodb_url: str, driver: MongoDriver) -> None:
    connection = await opened(
        mongodb_url + "&w=1&journal=false&readPreference=secondaryPreferred&readConcernLevel=local", driver
    )
    database = connection.database
    assert database.write_concern.document == {"w": "majority", "j": True}
    assert database.read_concern.document == {"level": "majority"}
    assert database.read_preference.mongos_mode == "primary"


async def test_a_transaction_is_repeated_until_it_is_through(
    opened: Opened, mongodb_url: str, driver: MongoDriver
) -> None:
    connection = await opened(mongodb_url, driver)
    attempts = 0

    async def work(session: object) -> str:
        nonlocal attempts
        attempts += 1
        await connection.database.things.insert_one({"_id": 1}, session=session)
        return "done"

    with failing(mongodb_url, ["insert"], times=3, errorCode=112, errorLabels=["TransientTransactionError"]):
        assert await connection.transaction(work) == "done"
    assert attempts == 4
    assert await connection.database.things.count_documents({}) == 1


@pytest.mark.parametrize("how", [{"closeConnection": True}, {"errorCode": 11602}, {"errorCode": 64}], ids=repr)
async def test_a_commit_whose_answer_is_lost_is_repeated(
    opened: Opened, mongodb_url: str, driver: MongoDriver, how: dict[str, object]
) -> None:
    connection = await opened(mongodb_url, driver)
    await connection.database.things.insert_one({"_id": 1, "n": 0})

    async def work(session: object) -> None:
        await connection.database.things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)

    with failing(mongodb_url, ["commitTransaction"], times=3, errorLabels=["UnknownTransactionCommitResult"], **how):
        await connection.transaction(work)
    assert (await connection.database.things.find_one({"_id": 1}))["n"] == 1


async def test_a_server_that_hangs_is_given_up(opened: Opened, mongodb_url: str, driver: MongoDriver) -> None:
    connection = await opened(mongodb_url + "&timeoutMS=300", driver)
    hangs = failing(mongodb_url, ["find"], blockConnection=True, blockTimeMS=2_000)
    with hangs, pytest.raises(StoreUnavailable, match="in time"), connection.translated():
        await connection.database.things.find_one({})


async def test_a_server_that_died_and_came_again(opened: Opened, driver: MongoDriver, tmp_path: Path) -> None:
    with MongoServer(tmp_path) as server:
        elect_quickly(server.url)
        url = server.database_url("tracking") + "&serverSelectionTimeoutMS=300&timeoutMS=1000"
        connection = await opened(url, driver)
        await connection.database.things.insert_one({"_id": 1})
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreUnavailable), connection.translated():
            await connection.database.things.find_one({})
        await asyncio.to_thread(server.start)
        found = None
        for _ in range(50):
            try:
                with connection.translated():
                    found = await connection.database.things.find_one({})
            except StoreUnavailable:
                continue
            break
        assert found == {"_id": 1}


async def test_a_transaction_of_a_client_that_died_holds_nobody_up(
    opened: Opened, mongodb_url: str, driver: MongoDriver
) -> None:
    connection, other = await opened(mongodb_url, driver), await opened(mongodb_url, driver)
    await connection.database.things.insert_one({"_id": 1, "n": 0})
    died = asyncio.Event()
    reached = asyncio.Event()

    async def add(session: object, database: Any) -> None:
        await database.things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)

    async def die(session: object) -> None:
        await add(session, other.database)
        reached.set()
        await died.wait()

    dying = asyncio.ensure_future(other.transaction(die))
    await reached.wait()
    await connection.transaction(lambda session: add(session, connection.database))
    assert await connection.database.things.find_one({"_id": 1}) == {"_id": 1, "n": 1}
    # It only was slow: then it starts again.
    died.set()
    await dying
    assert await connection.database.things.find_one({"_id": 1}) == {"_id": 1, "n": 2}


async def test_a_server_that_is_away_does_not_hold_the_event_loop_up(
    opened: Opened, driver: MongoDriver, tmp_path: Path
) -> None:
    with MongoServer(tmp_path) as server:
        connection = await opened(server.database_url("tracking") + "&timeoutMS=1000", driver)

        async def work(session: object) -> None:
            await connection.database.things.insert_one({}, session=session)
            server.pause()
            await asyncio.sleep(0.1)  # until each of its threads stands still
            await connection.database.things.insert_one({}, session=session)

        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = asyncio.get_running_loop().time()
                await asyncio.sleep(0.01)
                longest = max(longest, asyncio.get_running_loop().time() - before)

        watching = asyncio.ensure_future(watch())
        writing = asyncio.ensure_future(connection.transaction(work))
        await asyncio.sleep(2.5)
        assert not writing.done()
        watching.cancel()
        server.resume()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await connection.close()
    assert longest < 0.7  # each wait for the server would take a whole second


@pytest.mark.parametrize("code", [14031, 12501])
async def test_no_room_is_named(opened: Opened, mongodb_url: str, driver: MongoDriver, code: int) -> None:
    connection = await opened(mongodb_url, driver)

    async def work(session: object) -> None:
        await connection.database.things.insert_one({}, session=session)

    with failing(mongodb_url, ["insert"], errorCode=code), pytest.raises(OSError, match="No space") as error:
        await connection.transaction(work)
    assert error.value.errno == errno.ENOSPC


async def test_a_refused_command_carries_no_text_of_the_driver(
    opened: Opened, mongodb_url: str, driver: MongoDriver
) -> None:
    connection = await opened(mongodb_url, driver)
    with pytest.raises(StoreError, match="refused a command") as error, connection.translated():
        await connection.database.command("nonsense")
    assert "nonsense" not in str(error.value)
    await connection.close()
    await connection.close()
    with pytest.raises(StoreClosed), connection.translated():
        pass


async def test_connections_are_gone_after_closing(
    opened: Opened, mongo_server: MongoServer, driver: MongoDriver
) -> None:
    url = mongo_server.database_url("tracking") + "&appName=closing"
    connection = await opened(url, driver)
    assert urlsplit(url).port == mongo_server.port
    with MongoClient(mongo_server.url) as client:

        def count() -> int:
            return len(
                list(
                    client.admin.aggregate(
                        [{"$currentOp": {"idleConnections": True}}, {"$match": {"appName": "closing"}}]
                    )
                )
            )

        assert count() > 0
        await connection.close()
        for _ in range(100):
            if not count():
                break
            await asyncio.sleep(0.02)
        assert count() == 0
