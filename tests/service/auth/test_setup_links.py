"""CreateSetupLink and RedeemSetupLink."""

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from support.auth import AuthServer, Metadata, auth_server, refused

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth.domain import SESSION_LIFETIME_S
from penstock_auth.errors import PrincipalNotFound
from penstock_auth.jobs import purge
from penstock_auth.store import AuthStore
from penstock_kit.clock import ManualClock

Code = grpc.StatusCode


async def mint(server: AuthServer, metadata: Metadata) -> str:
    return (await server.stub.CreateSetupLink(pb.CreateSetupLinkRequest(), metadata=metadata)).secret


async def redeem(server: AuthServer, secret: str | None) -> pb.RedeemSetupLinkResponse:
    return await server.stub.RedeemSetupLink(pb.RedeemSetupLinkRequest(secret=secret))


async def assert_invalid(server: AuthServer, secret: str | None) -> None:
    refusal = await refused(redeem(server, secret))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "SETUP_LINK_INVALID")


async def test_the_first_start_gives_a_link_that_signs_the_owner_in(server: AuthServer, clock: ManualClock) -> None:
    response = await redeem(server, server.setup_link)
    assert response.session_secret.startswith("pss_")
    assert response.expire_time.ToMicroseconds() == clock.now_us() + SESSION_LIFETIME_S * 1_000_000
    session = await server.bearer(response.session_secret)
    who = await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=session)
    assert (who.principal, who.owner, who.role) == ("users/owner", True, pb.ROLE_ADMIN)


async def test_a_link_works_once(server: AuthServer) -> None:
    secret = await mint(server, await server.owner())
    assert secret.startswith("psl_")
    await redeem(server, secret)
    await assert_invalid(server, secret)


async def test_of_many_callers_at_once_one_succeeds(server: AuthServer) -> None:
    secret = await mint(server, await server.owner())
    results = await asyncio.gather(*(redeem(server, secret) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, pb.RedeemSetupLinkResponse) for result in results) == 1
    refusals = [result for result in results if isinstance(result, grpc.RpcError)]
    assert {refusal.code() for refusal in refusals} == {Code.UNAUTHENTICATED}
    listed = await server.stub.ListTokens(pb.ListTokensRequest(), metadata=await server.owner())
    assert sum(token.title == "Browser session" for token in listed.tokens) == 1


async def test_of_callers_at_two_replicas_one_succeeds(server: AuthServer, tmp_path: Path, clock: ManualClock) -> None:
    async with auth_server(tmp_path, clock) as second:
        secret = await mint(server, await server.owner())
        results = await asyncio.gather(
            *(redeem(replica, secret) for replica in (server, second) * 4), return_exceptions=True
        )
    assert sum(isinstance(result, pb.RedeemSetupLinkResponse) for result in results) == 1


async def test_a_link_lives_ten_minutes(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    minted_us = clock.now_us()
    response = await server.stub.CreateSetupLink(pb.CreateSetupLinkRequest(), metadata=owner)
    other = await mint(server, owner)
    assert response.expire_time.ToMicroseconds() == minted_us + 600_000_000
    clock.advance(599.999)
    await redeem(server, response.secret)
    clock.advance(0.001)
    await assert_invalid(server, other)


@pytest.mark.parametrize("change", ["unknown", "malformed", "last digit", "a token"])
async def test_a_wrong_secret_is_refused_and_leaves_the_link_usable(server: AuthServer, change: str) -> None:
    secret = await mint(server, await server.owner())
    wrong = {
        "unknown": secret[:4] + "0" * 32 + secret[36:],
        "malformed": "psl_x",
        "last digit": secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        "a token": await server.auth.owner_credential(),
    }[change]
    await assert_invalid(server, wrong)
    await redeem(server, secret)


async def test_a_session_reaches_no_further_than_the_token_that_minted_its_link(
    server: AuthServer, clock: ManualClock
) -> None:
    owner = await server.owner()
    limited = await server.stub.CreateToken(
        pb.CreateTokenRequest(
            title="t", projects=["projects/default"], role=pb.ROLE_VIEWER, lifetime=Duration(seconds=3_600)
        ),
        metadata=owner,
    )
    response = await redeem(server, await mint(server, await server.bearer(limited.secret)))
    assert response.expire_time == limited.token.expire_time
    session = await server.bearer(response.session_secret)
    who = await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=session)
    assert (list(who.projects), who.role) == (["projects/default"], pb.ROLE_VIEWER)
    for fields in (
        {},
        {"lifetime": Duration(seconds=3_601)},
        {"lifetime": Duration(seconds=60), "role": pb.ROLE_EDITOR},
    ):
        refusal = await refused(server.stub.CreateToken(pb.CreateTokenRequest(title="t", **fields), metadata=session))
        assert refusal.reason == "SCOPE_EXCEEDED"
    again = await redeem(server, await mint(server, session))
    assert again.expire_time == limited.token.expire_time


async def test_a_link_dies_with_the_token_that_minted_it(server: AuthServer) -> None:
    owner = await server.owner()
    created = await server.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=owner)
    secret = await mint(server, await server.bearer(created.secret))
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=owner)
    await assert_invalid(server, secret)


async def test_the_installation_mints_links_for_its_users(server: AuthServer) -> None:
    await server.add_user("ada")
    session = await server.bearer((await redeem(server, await server.auth.mint_setup_link("users/ada"))).session_secret)
    who = await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=session)
    assert (who.principal, who.owner) == ("users/ada", False)
    with pytest.raises(PrincipalNotFound):
        await server.auth.mint_setup_link("users/nobody")


async def test_expired_links_are_deleted(server: AuthServer, clock: ManualClock) -> None:
    await mint(server, await server.owner())
    clock.advance(601)
    fresh = await mint(server, await server.owner())
    await purge(AuthStore(server.documents), clock)
    page = await server.documents.query("setup_links", "installation", "id")
    assert [document.id for document in page.documents] == [fresh.split("_")[1]]
