"""A real auth service on a free port, and callers of every kind."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from support.servers import bearer, error_info

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock.api.auth.v1 import auth_service_pb2_grpc as pb_grpc
from penstock_auth.app import AuthApplication, build, open_stores
from penstock_auth.domain import Principal, PrincipalKind
from penstock_auth.settings import AuthSettings
from penstock_auth.store import AuthStore
from penstock_kit.application import Running
from penstock_kit.clock import Clock, ManualClock
from penstock_kit.listening import ServerSettings
from penstock_kit.stores.documents import DocumentStore

Metadata = tuple[tuple[str, str], ...]


def settings_in(directory: Path) -> AuthSettings:
    """Settings with everything below a directory."""
    return AuthSettings(
        data_dir=directory / "data",
        service_credential_file=directory / "platform.secret",
        owner_credential_file=directory / "owner.token",
    )


@dataclass
class AuthServer:
    """A running auth service.

    Attributes:
        auth: The service; `bootstrap` was awaited.
        setup_link: What `bootstrap` returned.
        address: `host:port`.
        channel: To the address, without credentials.
        stub: On the channel.
    """

    auth: AuthApplication
    setup_link: str | None
    settings: AuthSettings
    documents: DocumentStore
    clock: Clock
    address: str
    channel: grpc.aio.Channel
    stub: Any

    async def bearer(self, secret: str) -> Metadata:
        """Metadata with an access token for a secret."""
        response = await self.stub.ExchangeToken(pb.ExchangeTokenRequest(secret=secret))
        return bearer(response.access_token)

    async def owner(self) -> Metadata:
        """Metadata of the owner."""
        return await self.bearer(await self.auth.owner_credential())

    async def platform(self) -> Metadata:
        """Metadata of the other services of the installation."""
        return await self.bearer(self.settings.service_credential_file.read_text().strip())

    async def add_user(self, user: str) -> str:
        """Adds a user without any role. Returns a secret of theirs."""
        await AuthStore(self.documents).insert_principal(Principal(f"users/{user}", PrincipalKind.USER, owner=False))
        return await self.sign_in(f"users/{user}")

    async def sign_in(self, principal: str) -> str:
        """Returns the secret of a new session of a user."""
        link = await self.auth.mint_setup_link(principal)
        return (await self.stub.RedeemSetupLink(pb.RedeemSetupLinkRequest(secret=link))).session_secret

    async def create_project(self, project_id: str) -> None:
        """Creates a project as the owner."""
        await self.stub.CreateProject(pb.CreateProjectRequest(project_id=project_id), metadata=await self.owner())

    async def grant(self, project_id: str, user: str, role: int) -> None:
        """Gives a user a role in a project, as the owner."""
        await self.stub.SetGrant(
            pb.SetGrantRequest(parent=f"projects/{project_id}", principal=f"users/{user}", role=role),
            metadata=await self.owner(),
        )


@contextlib.asynccontextmanager
async def auth_server(directory: Path, clock: Clock | None = None) -> AsyncIterator[AuthServer]:
    """Runs an auth service whose data lies below `directory`."""
    clock = clock or ManualClock()
    settings = settings_in(directory)
    stores = await open_stores(settings)
    auth = build(settings, stores, clock)
    setup_link = await auth.bootstrap()
    running = Running(auth.application, auth.guard, ServerSettings(drain_s=0.1), clock)
    await running.start()
    try:
        async with grpc.aio.insecure_channel(running.address) as channel:
            yield AuthServer(
                auth,
                setup_link,
                settings,
                stores.documents,
                clock,
                running.address,
                channel,
                pb_grpc.AuthServiceStub(channel),
            )
    finally:
        await running.stop()


@dataclass(frozen=True)
class Refusal:
    """How a call was refused; equal to (code, reason)."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads the status of a refused call, which must be whole: code, message, one `ErrorInfo` of our domain."""
    info = error_info(error)
    assert info.domain == "penstock"
    return Refusal(error.code(), info.reason, error.details() or "", dict(info.metadata))


async def refused(call: Awaitable[Any]) -> Refusal:
    """Awaits a call that must fail, and says how it did."""
    try:
        response = await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"was not refused: {response}")
