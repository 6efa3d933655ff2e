"""CreateToken, ListTokens, RevokeToken, ExchangeToken, WhoAmI."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from joserfc import jwt
from joserfc.jwk import KeySet
from support.auth import AuthServer, Metadata, auth_server, refused
from support.servers import bearer

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth.jobs import EXPIRED_TOKEN_KEPT_S, REVOKED_TOKEN_KEPT_S, purge
from penstock_auth.store import AuthStore
from penstock_kit import paging
from penstock_kit.clock import ManualClock

Code = grpc.StatusCode


async def create(server: AuthServer, metadata: Metadata, title: str = "t", **fields: object) -> pb.CreateTokenResponse:
    return await server.stub.CreateToken(pb.CreateTokenRequest(title=title, **fields), metadata=metadata)


async def who(server: AuthServer, metadata: Metadata) -> pb.WhoAmIResponse:
    return await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)


async def test_a_token_of_the_owner_lends_all_by_default(server: AuthServer, clock: ManualClock) -> None:
    created = await create(server, await server.owner(), "laptop")
    assert created.secret.startswith(f"pst_{created.token.name.removeprefix('tokens/')}_")
    assert created.token.title == "laptop"
    assert list(created.token.projects) == []
    assert created.token.role == pb.ROLE_ADMIN
    assert created.token.create_time.ToMicroseconds() == clock.now_us()
    assert not created.token.HasField("expire_time")
    assert not created.token.HasField("last_use_time")
    answer = await who(server, await server.bearer(created.secret))
    assert answer == pb.WhoAmIResponse(
        principal="users/owner",
        kind=pb.PRINCIPAL_KIND_USER,
        token=created.token.name,
        owner=True,
        role=pb.ROLE_ADMIN,
    )


async def test_a_limited_token_says_so(server: AuthServer) -> None:
    await server.create_project("vision")
    created = await create(
        server, await server.owner(), projects=["projects/vision", "projects/default"], role=pb.ROLE_EDITOR
    )
    answer = await who(server, await server.bearer(created.secret))
    assert list(answer.projects) == ["projects/default", "projects/vision"]
    assert answer.role == pb.ROLE_EDITOR


async def test_who_am_i_of_a_service(server: AuthServer) -> None:
    answer = await who(server, await server.platform())
    assert (answer.principal, answer.kind, answer.owner) == ("services/platform", pb.PRINCIPAL_KIND_SERVICE, False)


async def test_the_access_token_is_what_the_services_expect(server: AuthServer, clock: ManualClock) -> None:
    await server.create_project("vision")
    created = await create(server, await server.owner(), projects=["projects/vision"], role=pb.ROLE_VIEWER)
    exchanged = await server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=created.secret))
    keys = KeySet.import_key_set(json.loads((await server.stub.GetKeys(pb.GetKeysRequest())).jwks_json))
    token = jwt.decode(exchanged.access_token, keys, algorithms=["ES256"])
    now_s = clock.now_us() // 1_000_000
    assert token.header["typ"] == "at+jwt"
    assert token.header["alg"] == "ES256"
    assert len(token.claims.pop("jti")) == 32
    assert token.claims == {
        "iss": "penstock",
        "aud": "penstock",
        "sub": "users/owner",
        "knd": 1,
        "tok": created.token.name,
        "prj": ["vision"],
        "rol": 1,
        "own": True,
        "iat": now_s,
        "exp": now_s + 300,
    }
    assert exchanged.expire_time.ToSeconds() == now_s + 300


async def test_an_access_token_never_outlives_its_token(server: AuthServer, clock: ManualClock) -> None:
    created = await create(server, await server.owner(), lifetime=Duration(seconds=60))
    exchanged = await server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=created.secret))
    assert exchanged.expire_time == created.token.expire_time
    metadata = bearer(exchanged.access_token)
    clock.advance(59)
    await who(server, metadata)
    clock.advance(1)
    refusal = await refused(who(server, metadata))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def test_an_expired_token_cannot_be_exchanged(server: AuthServer, clock: ManualClock) -> None:
    created = await create(server, await server.owner(), lifetime=Duration(seconds=60))
    clock.advance(60)
    refusal = await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=created.secret)))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "TOKEN_EXPIRED")


@pytest.mark.parametrize("change", ["", "last digit", "kind", "id", "padding"])
async def test_a_wrong_secret_is_refused_alike_whatever_is_wrong(server: AuthServer, change: str) -> None:
    secret = (await create(server, await server.owner())).secret
    wrong = {
        "": "nonsense",
        "last digit": secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        "kind": "pss" + secret[3:],
        "id": secret[:4] + "0" * 32 + secret[36:],
        "padding": secret + "=",
    }[change]
    refusal = await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=wrong)))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "TOKEN_INVALID")
    assert wrong not in refusal.message


@pytest.mark.parametrize(
    ("chars", "code"), [(0, Code.INVALID_ARGUMENT), (256, Code.UNAUTHENTICATED), (257, Code.INVALID_ARGUMENT)]
)
async def test_the_length_of_a_secret(server: AuthServer, chars: int, code: grpc.StatusCode) -> None:
    assert (await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret="x" * chars)))).code is code


async def test_a_setup_link_is_not_a_token(server: AuthServer) -> None:
    refusal = await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=server.setup_link)))
    assert refusal.reason == "TOKEN_INVALID"


async def test_secrets_are_stored_only_as_digests(server: AuthServer, tmp_path: Path) -> None:
    created = await create(server, await server.owner(), "laptop")
    session = await server.sign_in("users/owner")
    link = await server.stub.CreateSetupLink(pb.CreateSetupLinkRequest(), metadata=await server.owner())
    held = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
    assert created.token.name.removeprefix("tokens/").encode() in held
    for secret in (created.secret, session, link.secret, await server.auth.owner_credential()):
        assert secret.rsplit("_", 1)[1].encode() not in held
        assert bytes.fromhex(secret.rsplit("_", 1)[1]) not in held


async def test_the_files_are_for_their_owner_alone(server: AuthServer, tmp_path: Path) -> None:
    files = [
        *(tmp_path / "data").iterdir(),
        server.settings.owner_credential_file,
        server.settings.service_credential_file,
    ]
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {file.name: "0o600" for file in files}


# What a token may create


async def test_a_token_creates_none_with_a_stronger_role(server: AuthServer) -> None:
    editor = await server.bearer((await create(server, await server.owner(), role=pb.ROLE_EDITOR)).secret)
    refusal = await refused(create(server, editor, role=pb.ROLE_ADMIN))
    assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "SCOPE_EXCEEDED")
    assert (await create(server, editor)).token.role == pb.ROLE_EDITOR
    assert (await create(server, editor, role=pb.ROLE_VIEWER)).token.role == pb.ROLE_VIEWER


async def test_a_token_creates_none_for_other_projects(server: AuthServer) -> None:
    for project_id in ("a", "b", "c"):
        await server.create_project(project_id)
    limited = await server.bearer(
        (await create(server, await server.owner(), projects=["projects/a", "projects/b"])).secret
    )
    for projects in (["projects/c"], ["projects/a", "projects/c"], ["projects/default"]):
        refusal = await refused(create(server, limited, projects=projects))
        assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "SCOPE_EXCEEDED")
    assert list((await create(server, limited, projects=["projects/b"])).token.projects) == ["projects/b"]
    # Empty means all that the caller reaches, which is not all there is.
    assert list((await create(server, limited)).token.projects) == ["projects/a", "projects/b"]


async def test_an_expiring_token_creates_none_that_outlives_it(server: AuthServer, clock: ManualClock) -> None:
    expiring = await server.bearer((await create(server, await server.owner(), lifetime=Duration(seconds=600))).secret)
    clock.advance(100)
    for fields in ({}, {"lifetime": Duration(seconds=501)}):
        refusal = await refused(create(server, expiring, **fields))
        assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "SCOPE_EXCEEDED")
    await create(server, expiring, lifetime=Duration(seconds=500))


async def test_a_session_creates_tokens_that_outlive_it(server: AuthServer) -> None:
    session = await server.bearer(await server.sign_in("users/owner"))
    assert not (await create(server, session)).token.HasField("expire_time")


async def test_a_user_creates_tokens_for_own_projects_only(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    await server.create_project("vision")
    for project in ("projects/vision", "projects/nowhere"):
        refusal = await refused(create(server, ada, projects=[project]))
        assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "SCOPE_EXCEEDED")
    await server.grant("vision", "ada", pb.ROLE_VIEWER)
    await create(server, ada, projects=["projects/vision"])


async def test_the_owner_hears_of_a_project_that_does_not_exist(server: AuthServer) -> None:
    refusal = await refused(create(server, await server.owner(), projects=["projects/nowhere"]))
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "PROJECT_NOT_FOUND")


async def test_a_service_creates_no_tokens(server: AuthServer) -> None:
    platform = await server.platform()
    for call in (
        create(server, platform),
        server.stub.CreateSetupLink(pb.CreateSetupLinkRequest(), metadata=platform),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "USERS_ONLY")


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"title": "x" * 201},
        {"lifetime": Duration(seconds=59)},
        {"lifetime": Duration(seconds=315_360_001)},
        {"lifetime": Duration(seconds=-60)},
        {"role": 4},
        {"projects": ["default"]},
        {"projects": ["projects/default"] * 101},
    ],
)
async def test_a_token_beyond_the_limits(server: AuthServer, fields: dict[str, object]) -> None:
    request = pb.CreateTokenRequest(**({"title": "t"} | fields))
    refusal = await refused(server.stub.CreateToken(request, metadata=await server.owner()))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "REQUEST_INVALID")


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "x" * 200},
        {"lifetime": Duration(seconds=60)},
        {"lifetime": Duration(seconds=315_360_000)},
        {"projects": ["projects/default"] * 100},
    ],
)
async def test_a_token_at_the_limits(server: AuthServer, fields: dict[str, object]) -> None:
    await server.stub.CreateToken(pb.CreateTokenRequest(**({"title": "t"} | fields)), metadata=await server.owner())


async def test_the_number_of_tokens_is_limited(server: AuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_auth.service.TOKENS_PER_PRINCIPAL_MAX", 3)
    owner = await server.owner()  # the local credential is the first
    second = await create(server, owner)
    await create(server, owner)
    refusal = await refused(create(server, owner))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOKEN_LIMIT_REACHED")
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=second.token.name), metadata=owner)
    await create(server, owner)


# ListTokens


async def test_tokens_are_listed_newest_first_in_pages(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    for number in range(4):
        clock.advance(1)
        await create(server, owner, f"t{number}")
    titles: list[str] = []
    token = ""
    while True:
        page = await server.stub.ListTokens(pb.ListTokensRequest(page_size=2, page_token=token), metadata=owner)
        assert len(page.tokens) <= 2
        titles += [one.title for one in page.tokens]
        token = page.next_page_token
        if not token:
            break
    assert titles == ["t3", "t2", "t1", "t0", "Local credential"]


async def test_everyone_lists_their_own_tokens(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    await create(server, ada, "of ada")
    await create(server, await server.owner(), "of owner")
    listed = await server.stub.ListTokens(pb.ListTokensRequest(), metadata=ada)
    assert {token.title for token in listed.tokens} == {"of ada", "Browser session"}


async def test_a_page_token_of_somebody_else_leads_to_own_tokens(server: AuthServer) -> None:
    owner = await server.owner()
    await create(server, owner)
    page = await server.stub.ListTokens(pb.ListTokensRequest(page_size=1), metadata=owner)
    ada = await server.bearer(await server.add_user("ada"))
    rest = await server.stub.ListTokens(
        pb.ListTokensRequest(page_size=1, page_token=page.next_page_token), metadata=ada
    )
    assert all(token.title == "Browser session" for token in rest.tokens)


@pytest.mark.parametrize("state", ["text", 7, None, [b"x"]])
async def test_a_forged_page_token_is_refused(server: AuthServer, state: object) -> None:
    token = paging.seal(paging.fingerprint(pb.ListTokensRequest()), state)
    refusal = await refused(
        server.stub.ListTokens(pb.ListTokensRequest(page_token=token), metadata=await server.owner())
    )
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_the_last_use_is_kept_to_the_minute(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    created = await create(server, owner)
    clock.advance(90)
    used_us = clock.now_us() // 60_000_000 * 60_000_000

    async def last_use() -> int:
        listed = await server.stub.ListTokens(pb.ListTokensRequest(), metadata=owner)
        (token,) = (token for token in listed.tokens if token.name == created.token.name)
        return token.last_use_time.ToMicroseconds()

    await server.bearer(created.secret)
    assert await last_use() == used_us
    clock.advance(20)
    await server.bearer(created.secret)
    assert await last_use() == used_us
    clock.advance(60)
    await server.bearer(created.secret)
    assert await last_use() == used_us + 60_000_000


# RevokeToken


async def test_a_revoked_token_works_no_more(server: AuthServer) -> None:
    owner = await server.owner()
    created = await create(server, owner)
    metadata = await server.bearer(created.secret)
    await who(server, metadata)
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=owner)
    exchange = await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=created.secret)))
    assert (exchange.code, exchange.reason) == (Code.UNAUTHENTICATED, "TOKEN_REVOKED")
    access = await refused(who(server, metadata))
    assert (access.code, access.reason) == (Code.UNAUTHENTICATED, "TOKEN_REVOKED")
    listed = await server.stub.ListTokens(pb.ListTokensRequest(), metadata=owner)
    assert created.token.name not in {token.name for token in listed.tokens}
    # Repeats are safe.
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=owner)


async def test_a_token_and_a_session_can_end_themselves(server: AuthServer) -> None:
    token = await server.bearer((await create(server, await server.owner(), role=pb.ROLE_VIEWER)).secret)
    session = await server.bearer(await server.sign_in("users/owner"))
    for metadata in (token, session):
        name = (await who(server, metadata)).token
        await server.stub.RevokeToken(pb.RevokeTokenRequest(name=name), metadata=metadata)
        assert (await refused(who(server, metadata))).reason == "TOKEN_REVOKED"


async def test_the_tokens_of_others_are_not_found(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    name = (await create(server, await server.owner())).token.name
    for unknown in (name, "tokens/" + "0" * 32):
        refusal = await refused(server.stub.RevokeToken(pb.RevokeTokenRequest(name=unknown), metadata=ada))
        assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "TOKEN_NOT_FOUND")


async def test_a_limited_token_cannot_revoke_what_reaches_further(server: AuthServer) -> None:
    owner = await server.owner()
    strong = (await create(server, owner)).token.name
    weak = await server.bearer((await create(server, owner, role=pb.ROLE_VIEWER)).secret)
    weaker = (await create(server, weak, projects=["projects/default"])).token.name
    refusal = await refused(server.stub.RevokeToken(pb.RevokeTokenRequest(name=strong), metadata=weak))
    assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "SCOPE_EXCEEDED")
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=weaker), metadata=weak)


@pytest.mark.parametrize("name", ["", "tokens/", "tokens/xyz", "tokens/" + "A" * 32, "tokens/" + "0" * 33])
async def test_a_malformed_token_name_is_refused(server: AuthServer, name: str) -> None:
    refusal = await refused(server.stub.RevokeToken(pb.RevokeTokenRequest(name=name), metadata=await server.owner()))
    assert refusal.code is Code.INVALID_ARGUMENT


async def test_revocation_and_exchange_at_once_end_with_a_revoked_token(server: AuthServer) -> None:
    owner = await server.owner()
    created = await create(server, owner)
    await asyncio.gather(
        server.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=owner),
        *(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=created.secret)) for _ in range(5)),
        return_exceptions=True,
    )
    refusal = await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=created.secret)))
    assert refusal.reason == "TOKEN_REVOKED"


async def test_a_revocation_survives_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    async with auth_server(tmp_path, clock) as server:
        created = await create(server, await server.owner())
        metadata = await server.bearer(created.secret)
        await server.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=await server.owner())
    async with auth_server(tmp_path, clock) as server:
        assert (await refused(who(server, metadata))).reason == "TOKEN_REVOKED"


async def test_what_is_long_over_is_deleted(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    store = AuthStore(server.documents)
    expiring = await create(server, owner, lifetime=Duration(seconds=60))
    lasting = await create(server, owner)
    revoked = await create(server, owner)
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=revoked.token.name), metadata=owner)
    clock.advance(60 + EXPIRED_TOKEN_KEPT_S)
    await purge(store, clock)
    reason = (await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=expiring.secret)))).reason
    assert reason == "TOKEN_EXPIRED"
    clock.advance(1)
    await purge(store, clock)
    reason = (await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=expiring.secret)))).reason
    assert reason == "TOKEN_INVALID"
    reason = (await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=revoked.secret)))).reason
    assert reason == "TOKEN_REVOKED"
    clock.advance(REVOKED_TOKEN_KEPT_S)
    await purge(store, clock)
    reason = (await refused(server.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=revoked.secret)))).reason
    assert reason == "TOKEN_INVALID"
    await server.bearer(lasting.secret)
