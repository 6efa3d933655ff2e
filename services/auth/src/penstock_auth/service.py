"""Owns the use cases of auth: what each call checks, changes and answers. Knows nothing of gRPC or of how records lie.

Whether the caller has the permission of a method was decided before by the guard. What is decided here is what no rule of
the contract can say: that nobody passes on more than the token in use reaches.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from penstock_auth.credentials import Secret, mint_secret, parse_secret
from penstock_auth.domain import (
    EVERYTHING,
    GRANTS_MAX,
    PROJECTS_MAX,
    SESSION_LIFETIME_S,
    SETUP_LINK_LIFETIME_S,
    TOKENS_PER_PRINCIPAL_MAX,
    CredentialKind,
    Grant,
    Project,
    Role,
    Scope,
    SetupLink,
    Token,
)
from penstock_auth.errors import (
    EtagMismatch,
    GrantLimitReached,
    ProjectLimitReached,
    ScopeExceeded,
    SetupLinkInvalid,
    TokenExpired,
    TokenInvalid,
    TokenLimitReached,
    TokenNotFound,
    TokenRevoked,
    UsersOnly,
)
from penstock_auth.feed import GrantFeed
from penstock_auth.keys import KeyRing
from penstock_auth.store import AuthStore
from penstock_kit.access import Caller, Grants, PrincipalKind
from penstock_kit.clock import Clock
from penstock_kit.errors import NotFound, PermissionDenied
from penstock_kit.ids import derived_id

__all__ = ["AuthService", "ProjectUpdate"]

SESSION_TITLE = "Browser session"

_US_PER_S = 1_000_000
_US_PER_MINUTE = 60 * _US_PER_S


@dataclass(frozen=True, slots=True)
class ProjectUpdate:
    """What changes in a project; None leaves a field as it is. With an `etag`, only if the project still has that one."""

    title: str | None
    description: str | None
    etag: str


class AuthService:
    """The use cases of auth.

    Args:
        store: The records.
        keys: Signs access tokens.
        feed: The picture of grants, kept up to date with every write here.
        clock: The time.
    """

    def __init__(self, store: AuthStore, keys: KeyRing, feed: GrantFeed, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._feed = feed
        self._clock = clock

    # Projects

    async def create_project(
        self, *, by: Caller, project_id: str, title: str, description: str, request_id: str
    ) -> Project:
        """Creates a project with the caller as its administrator; a repeat returns the one made first.

        Raises `ProjectExists`, `ProjectLimitReached`.
        """
        now_us = self._clock.now_us()
        creation = derived_id(by.principal, request_id, "project")
        made = await self._store.find_created_project(creation)
        if made is not None:
            return made
        if len(self._feed.grants.projects) >= PROJECTS_MAX:
            raise ProjectLimitReached(f"This installation has {PROJECTS_MAX} projects, which is the limit.")
        project = await self._store.insert_project(
            Project(
                id=project_id,
                title=title,
                description=description,
                creation=creation,
                create_time_us=now_us,
                update_time_us=now_us,
            ),
            Grant(project_id, by.principal, Role.ADMIN),
        )
        await self._feed.refresh()
        return project

    async def get_project(self, project_id: str) -> Project:
        """Returns a project. Raises `ProjectNotFound`."""
        return await self._store.find_project(project_id)

    async def list_projects(self, *, by: Caller, limit: int, after: str) -> tuple[list[Project], str]:
        """Returns the projects that the caller may read, by id, those after `after`.

        Also returns the id after which to go on, empty if there are no more.
        """
        await self._feed.refresh()
        grants = self._feed.grants
        readable = [one for one in sorted(grants.projects) if one > after and _may_read(grants, by, one)]
        page = readable[:limit]
        found = await self._store.find_projects(page)
        return [found[one] for one in page if one in found], page[-1] if len(readable) > limit else ""

    async def update_project(self, project_id: str, update: ProjectUpdate) -> Project:
        """Changes a project. Raises `ProjectNotFound`, `EtagMismatch`."""
        now_us = self._clock.now_us()

        def change(project: Project) -> Project:
            if update.etag and update.etag != project.etag:
                raise EtagMismatch(
                    f"{project.name} changed since you read it. Read it again and repeat the update.", etag=project.etag
                )
            return replace(
                project,
                title=project.title if update.title is None else update.title,
                description=project.description if update.description is None else update.description,
                update_time_us=now_us,
            )

        return await self._store.change_project(project_id, change)

    # Tokens

    async def create_token(
        self, *, by: Caller, title: str, project_ids: frozenset[str], role: Role | None, lifetime_us: int | None
    ) -> tuple[Token, Secret]:
        """Creates a personal access token that reaches no further than the one in use.

        Args:
            by: Who calls, and becomes its principal.
            title: A label for people.
            project_ids: The projects that it shall reach; empty means all that the caller reaches.
            role: The strongest role that it lends; None means that of the caller.
            lifetime_us: How long it works; None means until revoked.

        Raises `ScopeExceeded`, `ProjectNotFound`, `UsersOnly`, `TokenLimitReached`, `TokenRevoked`.
        """
        used = await self._token_in_use(by)
        scope = Scope(project_ids or used.scope.project_ids, used.scope.role if role is None else role)
        if not used.scope.covers(scope):
            raise ScopeExceeded(
                "A token can reach no further than the one that creates it: ask for fewer projects or a weaker role."
            )
        for project_id in sorted(project_ids):
            self._check_reach(by, project_id)
        now_us = self._clock.now_us()
        expire_time_us = None if lifetime_us is None else now_us + lifetime_us
        if used.heirs_expire_time_us is not None and (
            expire_time_us is None or expire_time_us > used.heirs_expire_time_us
        ):
            raise ScopeExceeded("An expiring token creates none that outlives it: ask for a shorter lifetime.")
        listed, _ = await self._store.list_tokens(by.principal, limit=TOKENS_PER_PRINCIPAL_MAX, cursor=None)
        if len(listed) >= TOKENS_PER_PRINCIPAL_MAX:
            raise TokenLimitReached(
                f"{by.principal} has {TOKENS_PER_PRINCIPAL_MAX} tokens, which is the limit. Revoke some."
            )
        secret = mint_secret(CredentialKind.PERSONAL)
        token = await self._store.insert_token(
            Token(
                id=secret.id,
                kind=CredentialKind.PERSONAL,
                principal=by.principal,
                title=title,
                scope=scope,
                secret_sha256=secret.sha256,
                create_time_us=now_us,
                expire_time_us=expire_time_us,
                heirs_expire_time_us=expire_time_us,
            )
        )
        return token, secret

    async def list_tokens(self, *, by: Caller, limit: int, cursor: bytes | None) -> tuple[list[Token], bytes | None]:
        """Returns the caller's tokens and sessions that are not revoked, newest first."""
        return await self._store.list_tokens(by.principal, limit=limit, cursor=cursor)

    async def revoke_token(self, *, by: Caller, token_id: str) -> None:
        """Revokes one of the caller's tokens, for good. Repeats are safe.

        Raises `TokenNotFound`; `ScopeExceeded` if it reaches further than the token in use, unless it is that one.
        """
        token = await self._store.find_token(token_id)
        if token.principal != by.principal:
            raise TokenNotFound(f"You have no {token.name}.", token=token.name)
        if token.name != by.token and not _scope_of(by).covers(token.scope):
            raise ScopeExceeded(f"{token.name} reaches further than the token in use, which cannot revoke it.")
        await self._store.revoke_token(token_id, self._clock.now_us())
        await self._feed.refresh()

    async def exchange(self, secret_text: str) -> tuple[str, int]:
        """Returns an access token for a secret, and when it stops working.

        Raises `TokenInvalid`, `TokenRevoked`, `TokenExpired`.
        """
        token = await self.check_secret(secret_text)
        now_us = self._clock.now_us()
        minute_us = now_us - now_us % _US_PER_MINUTE
        if token.last_use_time_us != minute_us:
            await self._store.note_use(token, minute_us)
        return self._keys.sign(await self._store.find_principal(token.principal), token)

    async def check_secret(self, secret_text: str) -> Token:
        """Returns the token that a secret proves. Raises `TokenInvalid`, `TokenRevoked`, `TokenExpired`."""
        secret = parse_secret(secret_text)
        if secret is None:
            raise TokenInvalid()
        try:
            token = await self._store.find_token(secret.id)
        except TokenNotFound:
            raise TokenInvalid() from None
        if token.kind is not secret.kind or not secret.proves(token.secret_sha256):
            raise TokenInvalid()
        if token.revoke_time_us is not None:
            raise TokenRevoked("This token was revoked. Create a new one, or run `penstock login`.")
        if token.expired(self._clock.now_us()):
            raise TokenExpired("This token has expired. Create a new one, or run `penstock login`.")
        return token

    # Setup links

    async def create_setup_link(self, *, by: Caller) -> tuple[Secret, int]:
        """Mints a one-time secret with the reach of the token in use. Also returns when it stops working.

        Raises `UsersOnly`, `TokenRevoked`.
        """
        used = await self._token_in_use(by)
        secret, link = self.new_setup_link(by.principal, used)
        await self._store.insert_setup_link(link)
        return secret, link.expire_time_us

    def new_setup_link(self, principal: str, used: Token | None) -> tuple[Secret, SetupLink]:
        """Returns a new link, not stored yet: with the reach of a token, or of all that the principal may do."""
        secret = mint_secret(CredentialKind.SETUP_LINK)
        return secret, SetupLink(
            id=secret.id,
            principal=principal,
            scope=EVERYTHING if used is None else used.scope,
            secret_sha256=secret.sha256,
            minted_by="" if used is None else used.name,
            expire_time_us=self._clock.now_us() + SETUP_LINK_LIFETIME_S * _US_PER_S,
            heirs_expire_time_us=None if used is None else used.heirs_expire_time_us,
        )

    async def mint_setup_link(self, principal: str) -> str:
        """Returns the secret of a link with which a browser signs in as a user. Raises `PrincipalNotFound`.

        Only the installation itself may ask: it proved by its file system who it is.
        """
        await self._store.find_principal(principal)
        secret, link = self.new_setup_link(principal, None)
        await self._store.insert_setup_link(link)
        return secret.text

    async def redeem_setup_link(self, secret_text: str) -> tuple[Secret, int]:
        """Trades a setup link for a session, exactly once. Returns its secret and when it ends.

        Raises `SetupLinkInvalid`, also when the token that minted the link was revoked meanwhile.
        """
        given = parse_secret(secret_text)
        if given is None or given.kind is not CredentialKind.SETUP_LINK:
            raise SetupLinkInvalid()
        link = await self._store.find_setup_link(given.id)
        now_us = self._clock.now_us()
        if not given.proves(link.secret_sha256) or now_us >= link.expire_time_us or not await self._minter_good(link):
            raise SetupLinkInvalid()
        secret = mint_secret(CredentialKind.SESSION)
        expire_time_us = now_us + SESSION_LIFETIME_S * _US_PER_S
        if link.heirs_expire_time_us is not None:
            expire_time_us = min(expire_time_us, link.heirs_expire_time_us)
        await self._store.redeem_setup_link(
            link,
            Token(
                id=secret.id,
                kind=CredentialKind.SESSION,
                principal=link.principal,
                title=SESSION_TITLE,
                scope=link.scope,
                secret_sha256=secret.sha256,
                create_time_us=now_us,
                expire_time_us=expire_time_us,
                heirs_expire_time_us=link.heirs_expire_time_us,
            ),
        )
        return secret, expire_time_us

    # Keys and grants

    def public_jwks(self) -> dict[str, Any]:
        """Returns the key set (RFC 7517), newest key first."""
        return self._keys.public_jwks()

    async def set_grant(self, grant: Grant) -> Grant:
        """Gives a principal a role in a project. Raises `ProjectNotFound`, `PrincipalNotFound`, `GrantLimitReached`."""
        await self._store.find_project(grant.project_id)
        await self._store.find_principal(grant.principal)
        roles = self._feed.grants.roles
        if len(roles) >= GRANTS_MAX and (grant.project_id, grant.principal) not in roles:
            raise GrantLimitReached(f"This installation has {GRANTS_MAX} grants, which is the limit.")
        written = await self._store.put_grant(grant)
        await self._feed.refresh()
        return written

    async def list_grants(
        self, project_id: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Grant], bytes | None]:
        """Returns the grants of a project by principal."""
        return await self._store.list_grants(project_id, limit=limit, cursor=cursor)

    async def delete_grant(self, project_id: str, principal: str) -> None:
        """Takes a role away. Raises `GrantNotFound`."""
        await self._store.delete_grant(project_id, principal)
        await self._feed.refresh()

    def watch_grants(self, stop: asyncio.Event) -> AsyncGenerator[Grants | None]:
        """Yields all grants at once and after each change, None as a beat between. Ends once `stop` is set."""
        return self._feed.watch(stop)

    async def _token_in_use(self, by: Caller) -> Token:
        """Returns the token behind the caller's access token, as it is in the store now."""
        if by.kind is not PrincipalKind.USER:
            raise UsersOnly("Only users create tokens and setup links.")
        try:
            token = await self._store.find_token(by.token.removeprefix("tokens/"))
        except TokenNotFound:
            raise TokenRevoked("The token in use is gone.") from None
        if token.principal != by.principal or not token.good(self._clock.now_us()):
            raise TokenRevoked("The token in use was revoked or has expired.")
        return token

    def _check_reach(self, by: Caller, project_id: str) -> None:
        try:
            self._feed.grants.check(by, "projects.read", project_id)
        except PermissionDenied:
            # Whether the project exists is not told to somebody who has no role in it.
            raise ScopeExceeded(
                f"You have no role in projects/{project_id}.", project=f"projects/{project_id}"
            ) from None

    async def _minter_good(self, link: SetupLink) -> bool:
        if not link.minted_by:
            return True
        try:
            minter = await self._store.find_token(link.minted_by.removeprefix("tokens/"))
        except TokenNotFound:
            return False
        return minter.good(self._clock.now_us())


def _may_read(grants: Grants, by: Caller, project_id: str) -> bool:
    try:
        grants.check(by, "projects.read", project_id)
    except (PermissionDenied, NotFound):
        return False
    return True


def _scope_of(by: Caller) -> Scope:
    return Scope(by.projects, Role(by.role))
