"""GetKeys, and how keys are rotated."""

import asyncio
import json
from pathlib import Path

from joserfc import jws
from support.auth import AuthServer, auth_server, settings_in

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth.domain import ACCESS_TOKEN_LIFETIME_S, KEY_ANNOUNCEMENT_S, KEY_LIFETIME_S, REVOCATION_FEED_S
from penstock_auth.keys import KeyRing
from penstock_auth.store import AuthStore
from penstock_kit.clock import ManualClock


async def published(server: AuthServer) -> list[dict[str, str]]:
    return json.loads((await server.stub.GetKeys(pb.GetKeysRequest())).jwks_json)["keys"]


async def signed_by(server: AuthServer) -> str:
    response = await server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=await server.auth.owner_credential()))
    return jws.extract_compact(response.access_token.encode()).headers()["kid"]


async def rotate(server: AuthServer) -> None:
    """What the background job does each minute."""
    (job,) = (job for job in server.auth.application.jobs if job.name == "auth-rotate-keys")
    running = asyncio.create_task(job.run())
    await asyncio.sleep(0.2)
    running.cancel()


async def test_only_public_halves_are_published(server: AuthServer) -> None:
    (key,) = await published(server)
    assert set(key) == {"kid", "use", "alg", "kty", "crv", "x", "y"}
    assert (key["alg"], key["use"], key["kty"], key["crv"]) == ("ES256", "sig", "EC", "P-256")
    assert await signed_by(server) == key["kid"]


async def test_a_key_is_replaced_after_thirty_days_and_stays_published(server: AuthServer, clock: ManualClock) -> None:
    (first,) = await published(server)
    clock.advance(KEY_LIFETIME_S - 1)
    await rotate(server)
    assert await published(server) == [first]
    clock.advance(1)
    await rotate(server)
    second, still = await published(server)  # newest first
    assert still == first
    assert second["kid"] != first["kid"]

    # A new key is known everywhere before it signs.
    assert await signed_by(server) == first["kid"]
    clock.advance(KEY_ANNOUNCEMENT_S - 1)
    assert await signed_by(server) == first["kid"]
    late = await server.owner()
    clock.advance(1)
    assert await signed_by(server) == second["kid"]

    # What the old key signed last is good until its end.
    clock.advance(ACCESS_TOKEN_LIFETIME_S - 2)
    await rotate(server)
    assert first in await published(server)
    await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=late)
    clock.advance(REVOCATION_FEED_S - ACCESS_TOKEN_LIFETIME_S + 2)
    await rotate(server)
    assert await published(server) == [second]
    stored = await server.documents.query("keys", "installation", "id")
    assert [document.id for document in stored.documents] == [second["kid"]]


async def test_two_replicas_rotate_once(server: AuthServer, tmp_path: Path, clock: ManualClock) -> None:
    rings = [KeyRing(AuthStore(server.documents), clock) for _ in range(4)]
    clock.advance(KEY_LIFETIME_S)
    await asyncio.gather(*(ring.rotate() for ring in rings))
    assert [len(ring.public_jwks()["keys"]) for ring in rings] == [2] * 4


async def test_access_tokens_survive_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    async with auth_server(tmp_path, clock) as server:
        keys, metadata = await published(server), await server.owner()
    async with auth_server(tmp_path, clock) as server:
        assert await published(server) == keys
        await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)


async def test_an_access_token_of_one_replica_works_at_the_other(
    server: AuthServer, tmp_path: Path, clock: ManualClock
) -> None:
    async with auth_server(tmp_path, clock) as second:
        await second.stub.WhoAmI(pb.WhoAmIRequest(), metadata=await server.owner())


async def test_the_private_key_is_in_no_other_file(server: AuthServer, tmp_path: Path) -> None:
    (key,) = await AuthStore(server.documents).list_keys()
    secret = key.jwk["d"].encode()
    holding = {file.name for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_bytes()}
    assert holding <= {"auth.db", "auth.db-wal"}
    assert settings_in(tmp_path).data_dir.stat().st_mode & 0o777 == 0o700
