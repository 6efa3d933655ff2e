"""Auth as the other services see it: the kit's guard, fed over gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from support.auth import AuthServer
from support.servers import until

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_kit.errors import PermissionDenied, Unauthenticated
from penstock_kit.tokens import RemoteGuard

REVOKED_WITHIN_S = 5.0  # what the contract promises


@pytest.fixture
async def guard(server: AuthServer) -> AsyncIterator[RemoteGuard]:
    guard = RemoteGuard(server.address, server.settings.service_credential_file, server.clock)
    await guard.start()
    await until(lambda: guard.ready)
    yield guard
    await guard.close()


async def token_of(server: AuthServer, secret: str) -> str:
    return (await server.bearer(secret))[0][1].removeprefix("Bearer ")


async def test_a_revocation_reaches_a_service(server: AuthServer, guard: RemoteGuard) -> None:
    owner = await server.owner()
    created = await server.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=owner)
    token = await token_of(server, created.secret)
    assert guard.authenticate(token).principal == "users/owner"
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=owner)
    deadline_s = time.monotonic() + REVOKED_WITHIN_S
    reason = ""
    while not reason and time.monotonic() < deadline_s:
        try:
            guard.authenticate(token)
        except Unauthenticated as refusal:
            reason = refusal.reason
        await asyncio.sleep(0.01)
    assert reason == "TOKEN_REVOKED"


async def test_a_new_project_and_a_new_grant_reach_a_service(server: AuthServer, guard: RemoteGuard) -> None:
    ada = guard.authenticate(await token_of(server, await server.add_user("ada")))
    owner = guard.authenticate(await token_of(server, await server.auth.owner_credential()))
    await server.create_project("vision")
    await guard.authorize(owner, "runs.write", "vision")
    await server.grant("vision", "ada", pb.ROLE_VIEWER)
    await guard.authorize(ada, "runs.read", "vision")
    with pytest.raises(PermissionDenied):
        await guard.authorize(ada, "runs.write", "vision")
