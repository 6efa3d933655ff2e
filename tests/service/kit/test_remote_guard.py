"""The guard of a service, against a small auth service over real gRPC."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.servers import OWNER, OpenGuard, serving, until
from support.small_services import SmallAuth, application

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_kit import tokens
from penstock_kit.access import Caller, KeyUnknown, PrincipalKind, ProjectNotFound, Role, TokenRevoked
from penstock_kit.clock import ManualClock
from penstock_kit.errors import PermissionDenied
from penstock_kit.server import ServerSettings, draining
from penstock_kit.tokens import AccessFeedStale, RemoteGuard

SECRET = "pvc_" + "0" * 32 + "_random"


class FeedingAuth(SmallAuth):
    """Hands out keys, and whatever pictures and beats a test puts into the feed."""

    def __init__(self, guard: OpenGuard) -> None:
        super().__init__()
        self.guard = guard
        self.beats = 0
        self.keys_asked = 0
        self.connections = 0
        self._bell = asyncio.Event()

    def ring(self, *, beat: bool = False) -> None:
        """Sends what the guard says now to all watchers, or only a beat."""
        self.beats += beat
        self._bell.set()
        self._bell = asyncio.Event()

    async def ExchangeToken(self, request: Any, context: Any) -> Any:
        assert request.secret == SECRET
        return pb.ExchangeTokenResponse(access_token=self.guard.issue("services/platform", kind=PrincipalKind.SERVICE))

    async def GetKeys(self, request: Any, context: Any) -> Any:
        self.keys_asked += 1
        return pb.GetKeysResponse(jwks_json=json.dumps(self.guard.jwks))

    async def WatchGrants(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        self.connections += 1
        stop, beats = draining(), 0
        while not stop.is_set():
            if self.beats > beats:
                beats = self.beats
                yield pb.WatchGrantsResponse()
            else:
                yield self._picture()
            bell, stopped = asyncio.ensure_future(self._bell.wait()), asyncio.ensure_future(stop.wait())
            await asyncio.wait({bell, stopped}, return_when=asyncio.FIRST_COMPLETED)
            bell.cancel()
            stopped.cancel()

    def _picture(self) -> Any:
        grants = self.guard.grants
        return pb.WatchGrantsResponse(
            snapshot=True,
            grants=[
                pb.Grant(name=f"projects/{project}/grants/{principal.split('/')[1]}", principal=principal, role=role)
                for (project, principal), role in grants.roles.items()
            ],
            owners=grants.owners,
            projects=[f"projects/{project}" for project in grants.projects],
            revoked_tokens=grants.revoked_tokens,
        )


@dataclass
class World:
    auth: FeedingAuth
    issuer: OpenGuard
    clock: ManualClock
    guard: RemoteGuard

    def caller(self, principal: str = OWNER, **options: Any) -> Caller:
        return self.guard.authenticate(self.issuer.issue(principal, **options))


@asynccontextmanager
async def following(address: str, credential_file: Path, clock: ManualClock) -> AsyncGenerator[RemoteGuard]:
    guard = RemoteGuard(address, credential_file, clock)
    await guard.start()
    await guard.start()  # twice is once
    try:
        yield guard
    finally:
        await guard.close()


@pytest.fixture
def credential_file(tmp_path: Path) -> Path:
    path = tmp_path / "service.credential"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture
async def world(credential_file: Path) -> AsyncGenerator[World]:
    clock = ManualClock()
    issuer = OpenGuard(projects=("default", "other"), clock=clock)
    auth = FeedingAuth(issuer)
    async with (
        serving(application(auth), issuer) as address,
        following(address, credential_file, clock) as guard,
    ):
        await until(lambda: guard.ready)
        yield World(auth, issuer, clock, guard)


async def test_decides_like_auth(world: World) -> None:
    world.issuer.grant("default", "users/ada", Role.EDITOR)
    world.auth.ring()
    ada = world.caller("users/ada")
    assert ada == Caller("users/ada", PrincipalKind.USER, ada.token, frozenset(), Role.ADMIN, owner=False)
    await world.guard.authorize(ada, "runs.write", "default")
    with pytest.raises(PermissionDenied):
        await world.guard.authorize(ada, "runs.delete", "default")
    await world.guard.authorize(world.caller(), "projects.create", None)
    with pytest.raises(PermissionDenied):
        await world.guard.authorize(ada, "projects.create", None)


async def test_new_project_may_arrive_a_moment_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "NEWER_SNAPSHOT_WAIT_S_MAX", 60)
    waiting = asyncio.create_task(world.guard.authorize(world.caller(), "runs.write", "new"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    world.auth.ring()  # a picture without it is not the end
    await asyncio.sleep(0.05)
    assert not waiting.done()
    world.issuer.add_project("new")
    world.auth.ring()
    await asyncio.wait_for(waiting, 10)


async def test_new_grant_may_arrive_a_moment_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "NEWER_SNAPSHOT_WAIT_S_MAX", 60)
    waiting = asyncio.create_task(world.guard.authorize(world.caller("users/ada"), "runs.read", "other"))
    await asyncio.sleep(0.05)
    world.issuer.grant("other", "users/ada", Role.VIEWER)
    world.auth.ring()
    await asyncio.wait_for(waiting, 10)


async def test_what_does_not_arrive_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "NEWER_SNAPSHOT_WAIT_S_MAX", 0.1)
    with pytest.raises(ProjectNotFound):
        await world.guard.authorize(world.caller(), "runs.read", "missing")
    for project in ("missing", "other"):
        with pytest.raises(PermissionDenied):
            await world.guard.authorize(world.caller("users/ada"), "runs.read", project)


async def test_what_cannot_change_is_refused_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "NEWER_SNAPSHOT_WAIT_S_MAX", 3_600)
    with pytest.raises(PermissionDenied):
        await world.guard.authorize(world.caller(projects=["other"]), "runs.read", "missing")
    with pytest.raises(PermissionDenied):
        await world.guard.authorize(world.caller(role=Role.VIEWER), "runs.write", "default")


async def test_revoked_token_is_refused(world: World) -> None:
    caller = world.caller(token="tokens/1")
    world.issuer.revoke("tokens/1")
    world.auth.ring()

    def refused() -> bool:
        try:
            world.caller(token="tokens/1")
        except TokenRevoked:
            return True
        return False

    await until(refused)
    with pytest.raises(TokenRevoked):
        await world.guard.authorize(caller, "runs.read", "default")


async def test_stale_grants_decide_nothing(world: World) -> None:
    caller = world.caller()
    world.clock.advance(30)
    assert world.guard.ready
    world.clock.advance(1)
    assert not world.guard.ready
    with pytest.raises(AccessFeedStale):
        world.caller()
    with pytest.raises(AccessFeedStale):
        await world.guard.authorize(caller, "runs.read", "default")
    world.auth.ring(beat=True)
    await until(lambda: world.guard.ready)
    await world.guard.authorize(caller, "runs.read", "default")


async def test_new_key_is_fetched_and_invented_ones_are_not(world: World) -> None:
    old_token = world.issuer.issue()
    world.guard.authenticate(old_token)
    rotated = OpenGuard(clock=world.clock)
    world.auth.guard = rotated
    for _ in range(3):
        with pytest.raises(KeyUnknown) as caught:
            world.guard.authenticate(rotated.issue())
        assert caught.value.refetch is not None
        assert not await caught.value.refetch(), "the keys are fresh enough"
    assert world.auth.keys_asked == 1
    world.clock.advance(6)
    assert await caught.value.refetch()
    assert world.auth.keys_asked == 2
    assert world.guard.authenticate(rotated.issue()).principal == OWNER
    with pytest.raises(KeyUnknown):
        world.guard.authenticate(old_token)  # verified before, but its key is gone


async def test_verified_token_is_remembered_until_it_ends(world: World) -> None:
    token = world.issuer.issue(lifetime_s=20)
    assert world.guard.authenticate(token) is world.guard.authenticate(token)
    world.clock.advance(20)
    for _ in range(2):
        with pytest.raises(tokens.TokenExpired):
            world.guard.authenticate(token)


async def test_token_from_the_future_is_refused_beyond_the_skew(world: World) -> None:
    now_s = world.clock.now_us() // 1_000_000
    world.guard.authenticate(world.issuer.issue(iat=now_s + 30))
    with pytest.raises(tokens.TokenInvalid):
        world.guard.authenticate(world.issuer.issue(iat=now_s + 31))


async def test_remembered_tokens_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_VERIFIED_TOKENS_MAX", 2)
    first, *others = [world.issuer.issue() for _ in range(3)]
    remembered = world.guard.authenticate(first)
    for token in others:
        world.guard.authenticate(token)
    again = world.guard.authenticate(first)
    assert again == remembered
    assert again is not remembered


async def test_follows_a_restarted_auth_and_a_late_credential(tmp_path: Path) -> None:
    clock = ManualClock()
    issuer = OpenGuard(clock=clock)
    credential_file = tmp_path / "service.credential"
    first = FeedingAuth(issuer)
    async with serving(application(first), issuer) as address:
        guard = RemoteGuard(address, credential_file, clock)
        await guard.start()
        await asyncio.sleep(0.05)
        assert not guard.ready
        with pytest.raises(AccessFeedStale):
            guard.authenticate(issuer.issue())
        credential_file.write_text(SECRET)
        await until(lambda: guard.ready)
    try:
        issuer.add_project("made-meanwhile")
        second = FeedingAuth(issuer)
        async with serving(application(second), issuer, ServerSettings(address=address, drain_s=2.0)):
            await until(lambda: second.connections == 1)
            await guard.authorize(guard.authenticate(issuer.issue()), "runs.read", "made-meanwhile")
    finally:
        await guard.close()


async def test_feed_that_begins_with_a_beat_confirms_nothing(credential_file: Path) -> None:
    clock = ManualClock()
    issuer = OpenGuard(clock=clock)
    auth = FeedingAuth(issuer)
    auth.beats = 1
    async with (
        serving(application(auth), issuer) as address,
        following(address, credential_file, clock) as guard,
    ):
        await until(lambda: auth.connections >= 2)
        assert not guard.ready
