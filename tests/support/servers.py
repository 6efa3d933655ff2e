"""Real servers for tests: an application on a free port, and a guard with real tokens, issued and verified without auth."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from joserfc import jwt
from joserfc.jwk import ECKey

from penstock_kit.access import AccessGuard, Caller, Grants, PrincipalKind, Role
from penstock_kit.application import Application, Running
from penstock_kit.clock import Clock, SystemClock
from penstock_kit.ids import random_id
from penstock_kit.interceptors.error_map import STATUS_DETAILS_HEADER
from penstock_kit.server import ServerSettings
from penstock_kit.tokens import TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER, TOKEN_TYPE, TokenVerifier

OWNER = "users/owner"


class OpenGuard:
    """A guard whose keys, grants and projects are in memory. Tokens are verified and calls decided by the code of services.

    Args:
        projects: Ids of the projects that exist.
        owners: The principals that own the installation.
        clock: The time.
    """

    def __init__(
        self, projects: Iterable[str] = ("default",), owners: Iterable[str] = (OWNER,), clock: Clock | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._key_id = random_id()
        self._key = ECKey.generate_key("P-256", private=True)
        self._verifier = TokenVerifier(self._clock)
        self._verifier.set_keys(self.jwks)
        self.grants = Grants(projects=frozenset(projects), owners=frozenset(owners))

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys as a key set (RFC 7517)."""
        return {"keys": [self._key.as_dict(private=False) | {"kid": self._key_id}]}

    def issue(
        self,
        principal: str = OWNER,
        *,
        kind: PrincipalKind = PrincipalKind.USER,
        projects: Iterable[str] = (),
        role: Role = Role.ADMIN,
        token: str | None = None,
        lifetime_s: int = 300,
        **claims: Any,
    ) -> str:
        """Returns an access token. `claims` replace its claims, to make wrong ones."""
        now_s = self._clock.now_us() // 1_000_000
        content = {
            "iss": TOKEN_ISSUER,
            "aud": TOKEN_AUDIENCE,
            "sub": principal,
            "knd": int(kind),
            "tok": token or f"tokens/{random_id()}",
            "prj": sorted(projects),
            "rol": int(role),
            "own": principal in self.grants.owners,
            "iat": now_s,
            "exp": now_s + lifetime_s,
            "jti": random_id(),
        } | claims
        header = {"alg": TOKEN_ALGORITHM, "typ": TOKEN_TYPE, "kid": self._key_id}
        return jwt.encode(header, content, self._key, algorithms=[TOKEN_ALGORITHM])

    def grant(self, project: str, principal: str, role: Role) -> None:
        """Gives a role."""
        self._replace(roles={**self.grants.roles, (project, principal): role})

    def withdraw(self, project: str, principal: str) -> None:
        """Takes a role away."""
        self._replace(roles={key: role for key, role in self.grants.roles.items() if key != (project, principal)})

    def add_project(self, project: str) -> None:
        """Makes a project exist."""
        self._replace(projects=self.grants.projects | {project})

    def revoke(self, token: str) -> None:
        """Revokes a token by its name, `tokens/{token}`."""
        self._replace(revoked_tokens=self.grants.revoked_tokens | {token})

    def authenticate(self, bearer: str) -> Caller:
        caller = self._verifier.verify(bearer)
        self.grants.check_token(caller)
        return caller

    async def authorize(self, caller: Caller, permission: str, project: str | None) -> None:
        self.grants.check(caller, permission, project)

    def _replace(self, **changes: Any) -> None:
        values = {name: getattr(self.grants, name) for name in ("roles", "projects", "owners", "revoked_tokens")}
        self.grants = Grants(**(values | changes))


@asynccontextmanager
async def serving(
    application: Application,
    guard: AccessGuard | None = None,
    settings: ServerSettings = ServerSettings(drain_s=2.0),  # noqa: B008 - frozen
) -> AsyncGenerator[str]:
    """Runs an application on a free port, and closes it. Yields `host:port`. Without a guard only public methods answer."""
    running = Running(application, guard or OpenGuard(), settings)
    await running.start()
    try:
        yield running.address
    finally:
        await running.stop()


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that carries an access token."""
    return (("authorization", f"Bearer {token}"),)


def status_details(error: grpc.aio.AioRpcError) -> list[Any]:
    """Returns the details of the `google.rpc.Status` that came with an error, unpacked."""
    encoded = dict(error.trailing_metadata() or ())[STATUS_DETAILS_HEADER]
    assert isinstance(encoded, bytes)
    status: Any = status_pb2.Status.FromString(encoded)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    details = []
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
            detail = kind()
            if packed.Unpack(detail):
                details.append(detail)
    assert len(details) == len(status.details)
    return details


def error_info(error: grpc.aio.AioRpcError) -> Any:
    """Returns the `google.rpc.ErrorInfo` of an error: `reason`, `domain`, `metadata`."""
    found = [detail for detail in status_details(error) if detail.DESCRIPTOR.name == "ErrorInfo"]
    assert len(found) == 1
    return found[0]


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Waits until a condition holds. Fails with TimeoutError if it never does."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nothing rings when a condition comes to hold
            await asyncio.sleep(0.01)
