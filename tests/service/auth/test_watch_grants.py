"""WatchGrants: what the other services decide by."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.auth import AuthServer, auth_server

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth.domain import GRANTS_MAX, PROJECTS_MAX, REVOCATION_FEED_S
from penstock_auth.feed import BEAT_INTERVAL_S, GrantFeed
from penstock_auth.jobs import purge
from penstock_auth.store import AuthStore
from penstock_kit.clock import ManualClock

NOTICED_WITHIN_S = 5.0  # what the contract promises


@pytest.fixture
async def feed(server: AuthServer) -> AsyncIterator[Any]:
    call = server.stub.WatchGrants(pb.WatchGrantsRequest(), metadata=await server.platform())
    yield call
    call.cancel()


async def snapshot(feed: Any) -> pb.WatchGrantsResponse:
    """The next snapshot, beats skipped."""
    async with asyncio.timeout(NOTICED_WITHIN_S):
        while True:
            message = await feed.read()
            if message.snapshot:
                return message


async def test_it_begins_with_everything(feed: Any) -> None:
    assert await snapshot(feed) == pb.WatchGrantsResponse(
        snapshot=True, owners=["users/owner"], projects=["projects/default"]
    )


async def test_each_change_brings_a_snapshot(server: AuthServer, feed: Any) -> None:
    await server.add_user("ada")
    await snapshot(feed)
    owner = await server.owner()
    await server.create_project("vision")
    message = await snapshot(feed)
    assert list(message.projects) == ["projects/default", "projects/vision"]
    assert [(grant.name, grant.role) for grant in message.grants] == [("projects/vision/grants/owner", pb.ROLE_ADMIN)]
    await server.grant("vision", "ada", pb.ROLE_VIEWER)
    message = await snapshot(feed)
    assert {grant.principal: grant.role for grant in message.grants} == {
        "users/ada": pb.ROLE_VIEWER,
        "users/owner": pb.ROLE_ADMIN,
    }
    await server.stub.DeleteGrant(pb.DeleteGrantRequest(name="projects/vision/grants/ada"), metadata=owner)
    assert [grant.principal for grant in (await snapshot(feed)).grants] == ["users/owner"]


async def test_a_revocation_is_fed_as_long_as_access_tokens_live(
    server: AuthServer, feed: Any, clock: ManualClock
) -> None:
    await snapshot(feed)
    owner = await server.owner()
    name = (await server.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=owner)).token.name
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=name), metadata=owner)
    assert list((await snapshot(feed)).revoked_tokens) == [name]
    store = AuthStore(server.documents)
    clock.advance(REVOCATION_FEED_S)
    await purge(store, clock)
    page = await server.documents.query("revocations", "installation", "id")
    assert len(page.documents) == 1
    clock.advance(1)
    await purge(store, clock)
    assert list((await snapshot(feed)).revoked_tokens) == []


async def test_a_change_at_another_replica_arrives(
    server: AuthServer, feed: Any, tmp_path: Path, clock: ManualClock
) -> None:
    await snapshot(feed)
    async with auth_server(tmp_path, clock) as second:
        assert second.setup_link is None
        owner = await second.owner()
        name = (await second.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=owner)).token.name
        await second.stub.RevokeToken(pb.RevokeTokenRequest(name=name), metadata=owner)
        assert list((await snapshot(feed)).revoked_tokens) == [name]


async def test_a_project_of_another_replica_can_be_used_at_once(
    server: AuthServer, tmp_path: Path, clock: ManualClock
) -> None:
    async with auth_server(tmp_path, clock) as second:
        await second.create_project("vision")
        await server.stub.GetProject(pb.GetProjectRequest(name="projects/vision"), metadata=await server.owner())


async def test_what_changes_nothing_brings_no_snapshot(server: AuthServer, clock: ManualClock) -> None:
    store = AuthStore(server.documents)
    feed = GrantFeed(store, clock, beat_interval_s=0.02)
    stop = asyncio.Event()
    watching = feed.watch(stop)
    assert await anext(watching) is not None
    owner = await server.owner()
    await server.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=owner)
    await server.stub.UpdateProject(
        pb.UpdateProjectRequest(project=pb.Project(name="projects/default", title="new")), metadata=owner
    )
    for _ in range(3):
        assert await anext(watching) is None
    await server.create_project("vision")
    while (grants := await anext(watching)) is None:
        pass
    assert "vision" in grants.projects
    stop.set()
    assert [grants async for grants in watching] == []


def test_beats_come_often_enough() -> None:
    assert BEAT_INTERVAL_S <= 10 / 2


def test_the_largest_snapshot_fits_into_a_message() -> None:
    project = "projects/" + "p" * 63
    user = "u" * 63
    grant = pb.Grant(name=f"{project}/grants/{user}", principal=f"users/{user}", role=pb.ROLE_ADMIN)
    message = pb.WatchGrantsResponse(
        snapshot=True,
        grants=[grant] * GRANTS_MAX,
        projects=[project] * PROJECTS_MAX,
        revoked_tokens=["tokens/" + "0" * 32] * 10_000,
    )
    assert message.ByteSize() < 4 * 1024 * 1024


async def test_a_stream_ends_when_the_server_stops(tmp_path: Path, clock: ManualClock) -> None:
    async with auth_server(tmp_path, clock) as server:
        feed = server.stub.WatchGrants(pb.WatchGrantsRequest(), metadata=await server.platform())
        await snapshot(feed)
        reading = asyncio.create_task(feed.read())
        await asyncio.sleep(0)
    await asyncio.wait({reading}, timeout=NOTICED_WITHIN_S)
    assert reading.done()
