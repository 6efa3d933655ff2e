"""How auth guards itself when its store cannot be read."""

from support.auth import AuthServer, refused

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_kit.clock import ManualClock
from penstock_kit.tokens import ACCESS_FEED_AGE_S_MAX


async def test_grants_that_are_too_old_let_nobody_in(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    request = pb.WatchGrantsRequest()
    platform = await server.platform()
    assert server.auth.guard.ready
    await server.documents.close()

    async def first(metadata: tuple[tuple[str, str], ...]) -> None:
        async for _ in server.stub.WatchGrants(request, metadata=metadata):
            pass

    clock.advance(ACCESS_FEED_AGE_S_MAX - 1)
    refusal = await refused(first(owner))
    assert refusal.reason == "PERMISSION_DENIED"  # still decided by what was known
    clock.advance(2)
    assert not server.auth.guard.ready
    for metadata in (owner, platform):
        refusal = await refused(first(metadata))
        assert (refusal.code.name, refusal.reason) == ("UNAVAILABLE", "ACCESS_FEED_STALE")


async def test_a_fault_of_the_store_stays_in_the_log(server: AuthServer) -> None:
    secret = await server.auth.owner_credential()
    await server.documents.close()
    refusal = await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=secret)))
    assert (refusal.code.name, refusal.reason) == ("INTERNAL", "INTERNAL")
    assert "auth.db" not in refusal.message
    assert secret not in refusal.message
