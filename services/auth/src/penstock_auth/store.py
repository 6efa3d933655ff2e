"""Owns how the nouns of auth lie in the document store: which collections, under which ids, found by which indexes.

All records share one partition, so that what belongs together is written together: a project with its first grant, a
revocation with its entry in the feed, a session with the setup link that it uses up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock_auth.domain import (
    CredentialKind,
    Grant,
    Principal,
    PrincipalKind,
    Project,
    Role,
    Scope,
    SetupLink,
    SigningKey,
    Token,
)
from penstock_auth.errors import (
    GrantNotFound,
    PrincipalNotFound,
    ProjectExists,
    ProjectNotFound,
    SetupLinkInvalid,
    StartError,
    TokenNotFound,
)
from penstock_kit.stores.documents import (
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    Index,
    Insert,
    Operation,
    Replace,
    UniqueConflict,
    VersionConflict,
)

__all__ = ["COLLECTIONS", "SCHEMA_VERSION", "AuthStore", "FeedChanges", "FeedPosition"]

SCHEMA_VERSION = 1
"""Counts the incompatible changes of what is stored here. A service refuses a store of a later one."""

_PARTITION = "installation"
_INSTALLATION_ID = "installation"
_PAGE = 1_000

COLLECTIONS = (
    Collection("installation"),
    Collection("principals"),
    Collection("projects", (Index("creation", ("creation",), unique=True),)),
    Collection("grants", (Index("project", ("project", "principal")),)),
    Collection(
        "tokens",
        (
            Index("listed", ("principal", "revoked", "create_time_us")),
            Index("expired", ("expire_time_us",)),
            Index("revoked", ("revoke_time_us",)),
        ),
    ),
    Collection("revocations", (Index("time", ("revoke_time_us",)),)),
    Collection("setup_links", (Index("expired", ("expire_time_us",)),)),
    Collection("keys", (Index("ordinal", ("ordinal",), unique=True),)),
)


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far a reader of the feed has read; the default is the beginning."""

    principals: int = 0
    projects: int = 0
    grants: int = 0
    revocations: int = 0


@dataclass(frozen=True, slots=True)
class FeedChanges:
    """What changed since a position.

    Attributes:
        owners: Principal names, and whether each owns the installation now.
        projects: Project ids, and whether each exists now.
        roles: The role that (project id, principal) has now, None where there is none any more.
        revoked_tokens: Token names, and whether each is to be fed as revoked now.
        position: Where to go on.
    """

    owners: dict[str, bool]
    projects: dict[str, bool]
    roles: dict[tuple[str, str], Role | None]
    revoked_tokens: dict[str, bool]
    position: FeedPosition

    def __bool__(self) -> bool:
        return bool(self.owners or self.projects or self.roles or self.revoked_tokens)


class AuthStore:
    """The records of auth.

    Args:
        documents: A store opened with `COLLECTIONS`.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    # The installation

    async def installed(self) -> bool:
        """Whether the first start has happened. Raises `StartError` if a newer version of the service has it."""
        try:
            document = await self._documents.get("installation", _PARTITION, _INSTALLATION_ID)
        except DocumentMissing:
            return False
        schema = document.body["schema"]
        if schema > SCHEMA_VERSION:
            raise StartError(
                f"The data directory was written by a newer Penstock (auth data version {schema}; this one knows"
                f" {SCHEMA_VERSION}). Start that version, or choose another data directory."
            )
        return True

    async def install(
        self, key: SigningKey, principals: Sequence[Principal], project: Project, link: SetupLink, now_us: int
    ) -> bool:
        """Writes everything that the first start creates, or nothing. False if it is there already."""
        try:
            await self._documents.apply(
                _PARTITION,
                [
                    Insert("installation", _INSTALLATION_ID, {"schema": SCHEMA_VERSION, "create_time_us": now_us}),
                    Insert("keys", key.id, _key_body(key)),
                    *(Insert("principals", principal.name, _principal_body(principal)) for principal in principals),
                    Insert("projects", project.id, _project_body(project)),
                    Insert("setup_links", link.id, _link_body(link)),
                ],
            )
        except DocumentExists:
            return False
        return True

    # Principals

    async def insert_principal(self, principal: Principal) -> None:
        """Adds a principal. Raises `DocumentExists`."""
        await self._documents.insert("principals", _PARTITION, principal.name, _principal_body(principal))

    async def find_principal(self, name: str) -> Principal:
        """Returns a principal. Raises `PrincipalNotFound`."""
        try:
            return _principal(await self._documents.get("principals", _PARTITION, name))
        except DocumentMissing:
            raise PrincipalNotFound(f"There is no principal {name}.", principal=name) from None

    # Projects

    async def insert_project(self, project: Project, grant: Grant) -> Project:
        """Adds a project and its first grant.

        Returns the one that the same create made before, if there is one. Raises `ProjectExists`.
        """
        try:
            written = await self._documents.apply(
                _PARTITION,
                [
                    Insert("projects", project.id, _project_body(project)),
                    Insert("grants", _grant_id(grant.project_id, grant.principal), _grant_body(grant)),
                ],
            )
        except (DocumentExists, UniqueConflict):
            made = await self.find_created_project(project.creation)
            if made is not None:
                return made
            raise ProjectExists(
                f"There is a {project.name} already. Choose another id.", project=project.name
            ) from None
        assert written[0] is not None
        return _project(written[0])

    async def find_created_project(self, creation: str) -> Project | None:
        """Returns the project that a certain create made, if it did."""
        page = await self._documents.query("projects", _PARTITION, "creation", equal=(creation,), limit=1)
        return _project(page.documents[0]) if page.documents else None

    async def find_project(self, project_id: str) -> Project:
        """Returns a project. Raises `ProjectNotFound`."""
        try:
            return _project(await self._documents.get("projects", _PARTITION, project_id))
        except DocumentMissing:
            raise _project_not_found(project_id) from None

    async def find_projects(self, project_ids: Sequence[str]) -> dict[str, Project]:
        """Returns those of the projects that exist, by id."""
        found = await self._documents.get_many("projects", _PARTITION, project_ids)
        return {key: _project(document) for key, document in found.items()}

    async def change_project(self, project_id: str, change: Callable[[Project], Project]) -> Project:
        """Writes what `change` makes of a project, of the latest one if somebody writes meanwhile.

        Raises `ProjectNotFound`, and what `change` raises.
        """
        while True:
            project = await self.find_project(project_id)
            try:
                document = await self._documents.replace(
                    "projects", _PARTITION, project_id, _project_body(change(project)), expected=project.version
                )
            except VersionConflict:
                continue
            except DocumentMissing:
                raise _project_not_found(project_id) from None
            return _project(document)

    # Grants

    async def put_grant(self, grant: Grant) -> Grant:
        """Adds a grant, or replaces the one that the principal has in the project."""
        grant_id = _grant_id(grant.project_id, grant.principal)
        while True:
            try:
                document = await self._documents.get("grants", _PARTITION, grant_id)
            except DocumentMissing:
                try:
                    return _grant(await self._documents.insert("grants", _PARTITION, grant_id, _grant_body(grant)))
                except DocumentExists:
                    continue
            try:
                return _grant(
                    await self._documents.replace(
                        "grants", _PARTITION, grant_id, _grant_body(grant), expected=document.version
                    )
                )
            except (VersionConflict, DocumentMissing):
                continue

    async def list_grants(
        self, project_id: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Grant], bytes | None]:
        """Returns the grants of a project by principal."""
        page = await self._documents.query(
            "grants", _PARTITION, "project", equal=(project_id,), limit=limit, cursor=cursor
        )
        return [_grant(document) for document in page.documents], page.cursor

    async def delete_grant(self, project_id: str, principal: str) -> None:
        """Removes a grant. Raises `GrantNotFound`."""
        try:
            await self._documents.delete("grants", _PARTITION, _grant_id(project_id, principal))
        except DocumentMissing:
            raise GrantNotFound(
                f"{principal} has no role in projects/{project_id}.",
                project=f"projects/{project_id}",
                principal=principal,
            ) from None

    # Tokens and setup links

    async def insert_token(self, token: Token) -> Token:
        """Adds a token. Raises `DocumentExists`."""
        return _token(await self._documents.insert("tokens", _PARTITION, token.id, _token_body(token)))

    async def find_token(self, token_id: str) -> Token:
        """Returns a token, revoked or not. Raises `TokenNotFound`."""
        try:
            return _token(await self._documents.get("tokens", _PARTITION, token_id))
        except DocumentMissing:
            raise TokenNotFound(f"There is no tokens/{token_id}.", token=f"tokens/{token_id}") from None

    async def list_tokens(
        self, principal: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Token], bytes | None]:
        """Returns the tokens of a principal that are not revoked, newest first."""
        page = await self._documents.query(
            "tokens", _PARTITION, "listed", equal=(principal, False), descending=True, limit=limit, cursor=cursor
        )
        return [_token(document) for document in page.documents], page.cursor

    async def note_use(self, token: Token, now_us: int) -> None:
        """Writes down that a token was used, unless somebody else just changed it: then that matters more."""
        try:
            await self._documents.replace(
                "tokens",
                _PARTITION,
                token.id,
                _token_body(replace(token, last_use_time_us=now_us)),
                expected=token.version,
            )
        except (VersionConflict, DocumentMissing):
            return

    async def revoke_token(self, token_id: str, now_us: int) -> None:
        """Revokes a token and puts it into the feed. Does nothing if it is revoked. Raises `TokenNotFound`."""
        while True:
            token = await self.find_token(token_id)
            if token.revoke_time_us is not None:
                return
            try:
                await self._documents.apply(
                    _PARTITION,
                    [
                        Replace(
                            "tokens",
                            token_id,
                            _token_body(replace(token, revoke_time_us=now_us)),
                            expected=token.version,
                        ),
                        Insert("revocations", token_id, {"revoke_time_us": now_us}),
                    ],
                )
            except (VersionConflict, DocumentMissing):
                continue
            return

    async def insert_setup_link(self, link: SetupLink) -> None:
        """Adds a setup link. Raises `DocumentExists`."""
        await self._documents.insert("setup_links", _PARTITION, link.id, _link_body(link))

    async def find_setup_link(self, link_id: str) -> SetupLink:
        """Returns a setup link that is not used yet. Raises `SetupLinkInvalid`."""
        try:
            return _link(await self._documents.get("setup_links", _PARTITION, link_id))
        except DocumentMissing:
            raise SetupLinkInvalid() from None

    async def redeem_setup_link(self, link: SetupLink, session: Token) -> None:
        """Trades a link for a session in one step. Raises `SetupLinkInvalid` if somebody else was quicker."""
        try:
            await self._documents.apply(
                _PARTITION,
                [
                    Delete("setup_links", link.id, expected=link.version),
                    Insert("tokens", session.id, _token_body(session)),
                ],
            )
        except (DocumentMissing, VersionConflict):
            raise SetupLinkInvalid() from None

    # Keys

    async def insert_key(self, key: SigningKey) -> bool:
        """Adds a key. False if another process added one of the same ordinal."""
        try:
            await self._documents.insert("keys", _PARTITION, key.id, _key_body(key))
        except UniqueConflict:
            return False
        return True

    async def list_keys(self) -> list[SigningKey]:
        """Returns all keys, newest first. There are never more than a few."""
        page = await self._documents.query("keys", _PARTITION, "ordinal", descending=True, limit=_PAGE)
        return [_key(document) for document in page.documents]

    async def delete_key(self, key_id: str) -> None:
        """Removes a key, if it is there."""
        try:
            await self._documents.delete("keys", _PARTITION, key_id)
        except DocumentMissing:
            return

    # The feed and the purge

    async def read_feed(self, since: FeedPosition) -> FeedChanges:
        """Returns all that changed after a position."""
        principals, principals_at = await self._changes("principals", since.principals)
        projects, projects_at = await self._changes("projects", since.projects)
        grants, grants_at = await self._changes("grants", since.grants)
        revocations, revocations_at = await self._changes("revocations", since.revocations)
        return FeedChanges(
            owners={key: document is not None and _principal(document).owner for key, document in principals.items()},
            projects={key: document is not None for key, document in projects.items()},
            roles={
                _grant_key(key): None if document is None else _grant(document).role for key, document in grants.items()
            },
            revoked_tokens={f"tokens/{key}": document is not None for key, document in revocations.items()},
            position=FeedPosition(principals_at, projects_at, grants_at, revocations_at),
        )

    async def purge(
        self,
        *,
        tokens_expired_before_us: int,
        tokens_revoked_before_us: int,
        links_expired_before_us: int,
        fed_before_us: int,
    ) -> int:
        """Deletes what nobody can use any more. Returns how many records it deleted."""
        deleted = await self._purge("tokens", "expired", "expire_time_us", tokens_expired_before_us)
        deleted += await self._purge("tokens", "revoked", "revoke_time_us", tokens_revoked_before_us)
        deleted += await self._purge("setup_links", "expired", "expire_time_us", links_expired_before_us)
        deleted += await self._purge("revocations", "time", "revoke_time_us", fed_before_us)
        return deleted

    async def _purge(self, collection: str, index: str, field: str, before_us: int) -> int:
        deleted = 0
        while True:
            page = await self._documents.query(collection, _PARTITION, index, limit=OPERATIONS_PER_BATCH_MAX)
            old: list[Operation] = [
                Delete(collection, document.id) for document in page.documents if document.body[field] < before_us
            ]
            if not old:
                return deleted
            try:
                await self._documents.apply(_PARTITION, old)
            except DocumentMissing:
                return deleted  # another process purges at this moment: it will do the rest
            deleted += len(old)

    async def _changes(self, collection: str, since: int) -> tuple[dict[str, Document | None], int]:
        changes: dict[str, Document | None] = {}
        while True:
            page = await self._documents.changes(collection, _PARTITION, since=since, limit=_PAGE)
            changes.update((change.id, change.document) for change in page.changes)
            since = page.revision
            if not page.more:
                return changes, since


def _project_not_found(project_id: str) -> ProjectNotFound:
    return ProjectNotFound(f"There is no projects/{project_id}.", project=f"projects/{project_id}")


def _grant_id(project_id: str, principal: str) -> str:
    return f"{project_id}/{principal}"


def _grant_key(grant_id: str) -> tuple[str, str]:
    project_id, principal = grant_id.split("/", 1)
    return project_id, principal


def _principal_body(principal: Principal) -> dict[str, Any]:
    return {"kind": int(principal.kind), "owner": principal.owner}


def _principal(document: Document) -> Principal:
    return Principal(document.id, PrincipalKind(document.body["kind"]), document.body["owner"])


def _project_body(project: Project) -> dict[str, Any]:
    return {
        "title": project.title,
        "description": project.description,
        "creation": project.creation,
        "create_time_us": project.create_time_us,
        "update_time_us": project.update_time_us,
    }


def _project(document: Document) -> Project:
    return Project(id=document.id, version=document.version, **document.body)


def _grant_body(grant: Grant) -> dict[str, Any]:
    return {"project": grant.project_id, "principal": grant.principal, "role": int(grant.role)}


def _grant(document: Document) -> Grant:
    body = document.body
    return Grant(body["project"], body["principal"], Role(body["role"]), document.version)


def _scope_body(scope: Scope) -> dict[str, Any]:
    return {"projects": sorted(scope.project_ids), "role": int(scope.role)}


def _scope(body: dict[str, Any]) -> Scope:
    return Scope(frozenset(body["projects"]), Role(body["role"]))


def _token_body(token: Token) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": token.kind.value,
        "principal": token.principal,
        "title": token.title,
        "scope": _scope_body(token.scope),
        "secret_sha256": token.secret_sha256,
        "create_time_us": token.create_time_us,
        "heirs_expire_time_us": token.heirs_expire_time_us,
        "last_use_time_us": token.last_use_time_us,
        "revoked": token.revoke_time_us is not None,
    }
    # Absent rather than None: the indexes of the purge then hold only what it may have to delete.
    if token.expire_time_us is not None:
        body["expire_time_us"] = token.expire_time_us
    if token.revoke_time_us is not None:
        body["revoke_time_us"] = token.revoke_time_us
    return body


def _token(document: Document) -> Token:
    body = document.body
    return Token(
        id=document.id,
        kind=CredentialKind(body["kind"]),
        principal=body["principal"],
        title=body["title"],
        scope=_scope(body["scope"]),
        secret_sha256=body["secret_sha256"],
        create_time_us=body["create_time_us"],
        expire_time_us=body.get("expire_time_us"),
        heirs_expire_time_us=body["heirs_expire_time_us"],
        last_use_time_us=body["last_use_time_us"],
        revoke_time_us=body.get("revoke_time_us"),
        version=document.version,
    )


def _link_body(link: SetupLink) -> dict[str, Any]:
    return {
        "principal": link.principal,
        "scope": _scope_body(link.scope),
        "secret_sha256": link.secret_sha256,
        "minted_by": link.minted_by,
        "expire_time_us": link.expire_time_us,
        "heirs_expire_time_us": link.heirs_expire_time_us,
    }


def _link(document: Document) -> SetupLink:
    body = document.body
    return SetupLink(
        id=document.id,
        principal=body["principal"],
        scope=_scope(body["scope"]),
        secret_sha256=body["secret_sha256"],
        minted_by=body["minted_by"],
        expire_time_us=body["expire_time_us"],
        heirs_expire_time_us=body["heirs_expire_time_us"],
        version=document.version,
    )


def _key_body(key: SigningKey) -> dict[str, Any]:
    return {"ordinal": key.ordinal, "jwk": key.jwk, "create_time_us": key.create_time_us}


def _key(document: Document) -> SigningKey:
    body = document.body
    return SigningKey(document.id, body["ordinal"], dict(body["jwk"]), body["create_time_us"])
