"""Who may do what: callers, roles, the access rule of a method, and the decision, which every server makes alike."""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from penstock.api.common.v1 import access_pb2
from penstock_kit.errors import NotFound, PermissionDenied, Unauthenticated

__all__ = [
    "INSTALLATION_PERMISSIONS",
    "ROLE_PERMISSIONS",
    "SERVICE_PERMISSIONS",
    "SERVICE_PROJECT_PERMISSIONS",
    "AccessGuard",
    "AccessRule",
    "AccessRuleInvalid",
    "AccessScope",
    "Caller",
    "Grants",
    "KeyUnknown",
    "PrincipalKind",
    "ProjectNotFound",
    "Role",
    "TokenRevoked",
    "access_rule",
    "act_as",
    "current_caller",
]


class PrincipalKind(IntEnum):
    """What a principal is. The values are those of the contract."""

    USER = 1
    SERVICE = 2


class Role(IntEnum):
    """What a principal may do in a project, each role containing the ones before it. The values are those of the contract."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


_VIEWER = frozenset({"projects.read", "runs.read", "models.read", "artifacts.read"})
_EDITOR = _VIEWER | {"runs.write", "models.write", "artifacts.write"}
_ADMIN = _EDITOR | {
    "runs.delete",
    "projects.manage",
    "models.delete",
    "models.manage",
    "models.promote",
    "artifacts.delete",
    "artifacts.hold",
}

ROLE_PERMISSIONS: Mapping[Role, frozenset[str]] = MappingProxyType(
    {Role.VIEWER: _VIEWER, Role.EDITOR: _EDITOR, Role.ADMIN: _ADMIN}
)
"""The permissions that a role gives in its project."""

INSTALLATION_PERMISSIONS = frozenset({"projects.create"})
"""The permissions on the installation that its owners have."""

SERVICE_PERMISSIONS = frozenset({"grants.watch"})
"""The permissions on the installation that its services have."""

SERVICE_PROJECT_PERMISSIONS = _VIEWER | {"artifacts.hold"}
"""The permissions that services have in every project."""


class TokenRevoked(Unauthenticated):
    """The token behind the access token was revoked."""

    reason = "TOKEN_REVOKED"


class ProjectNotFound(NotFound):
    """There is no such project. Told only to those who may know all projects; others are denied."""

    reason = "PROJECT_NOT_FOUND"


class KeyUnknown(Unauthenticated):
    """The access token is signed with a key that the guard does not have.

    `refetch`, if there is one, asks for the keys anew and says whether it is worth to authenticate once more.
    """

    reason = "TOKEN_INVALID"

    def __init__(self, message: str, refetch: Callable[[], Awaitable[bool]] | None = None) -> None:
        super().__init__(message)
        self.refetch = refetch


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, as the access token says.

    Attributes:
        principal: `users/{user}` or `services/{service}`.
        kind: What the principal is.
        token: The name of the token behind the access token: `tokens/{token}`.
        projects: The ids of the projects that the token reaches; empty means all that the principal reaches.
        role: The strongest role that the token lends.
        owner: Whether the principal owns the installation.
    """

    principal: str
    kind: PrincipalKind
    token: str
    projects: frozenset[str]
    role: Role
    owner: bool


@dataclass(frozen=True, slots=True)
class Grants:
    """All that decides about permissions, at one moment.

    Attributes:
        roles: The role of a principal in a project, by (project id, principal).
        projects: The ids of all projects.
        owners: The principals that own the installation.
        revoked_tokens: Names of revoked tokens whose access tokens may still be alive.
    """

    roles: Mapping[tuple[str, str], Role] = field(default_factory=dict)
    projects: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    revoked_tokens: frozenset[str] = frozenset()

    def knows(self, caller: Caller, project: str | None) -> bool:
        """Whether there is anything here about this caller in this project: if not, it may be too new to be here."""
        if project is None or (caller.projects and project not in caller.projects):
            return True
        if project not in self.projects:
            return False
        return self.owns(caller) or caller.kind is PrincipalKind.SERVICE or (project, caller.principal) in self.roles

    def owns(self, caller: Caller) -> bool:
        """Whether the caller owns the installation: the token says so, and it still is so."""
        return caller.owner and caller.principal in self.owners

    def check_token(self, caller: Caller) -> None:
        """Raises `TokenRevoked` if the caller's token was revoked."""
        if caller.token in self.revoked_tokens:
            raise TokenRevoked("The token was revoked.")

    def check(self, caller: Caller, permission: str, project: str | None) -> None:
        """Lets a caller pass or says why not.

        Args:
            caller: Who asks.
            permission: `<noun>.<verb>`.
            project: The id of the project in which it is needed; None for the whole installation.

        Raises:
            TokenRevoked: The caller's token was revoked.
            PermissionDenied: The caller may not. Also for a project that does not exist.
            ProjectNotFound: The project does not exist, and the caller may know that.
        """
        self.check_token(caller)
        if project is None:
            if permission not in self._installation_permissions(caller):
                raise PermissionDenied(
                    f"This needs the permission {permission} on the installation.", permission=permission
                )
            return
        denied = PermissionDenied(
            f"This needs the permission {permission} in projects/{project}.",
            permission=permission,
            project=f"projects/{project}",
        )
        if caller.projects and project not in caller.projects:
            raise denied
        granted = self._role(caller, project)
        if granted is None:
            raise denied
        if project not in self.projects:
            if self.owns(caller) or caller.kind is PrincipalKind.SERVICE:
                raise ProjectNotFound(f"There is no project projects/{project}.", project=f"projects/{project}")
            raise denied
        service = caller.kind is PrincipalKind.SERVICE
        if permission not in (SERVICE_PROJECT_PERMISSIONS if service else ROLE_PERMISSIONS[min(granted, caller.role)]):
            raise denied

    def _role(self, caller: Caller, project: str) -> Role | None:
        if self.owns(caller):
            return Role.ADMIN
        if caller.kind is PrincipalKind.SERVICE:
            return Role.VIEWER
        return self.roles.get((project, caller.principal))

    def _installation_permissions(self, caller: Caller) -> frozenset[str]:
        if caller.kind is PrincipalKind.SERVICE:
            return SERVICE_PERMISSIONS
        # A token that is limited to projects or to a lesser role reaches nothing beyond them.
        if self.owns(caller) and not caller.projects and caller.role is Role.ADMIN:
            return INSTALLATION_PERMISSIONS
        return frozenset()


class AccessGuard(Protocol):
    """Decides about each call. One per server."""

    def authenticate(self, bearer: str) -> Caller:
        """Returns who holds an access token. Raises `Unauthenticated`; `Unavailable` if revocations are not known."""
        ...

    async def authorize(self, caller: Caller, permission: str, project: str | None) -> None:
        """Lets a caller pass. Called again every few seconds during a stream, with the same arguments.

        Args:
            caller: Who asks.
            permission: `<noun>.<verb>`.
            project: The id of the project in which it is needed; None for the whole installation.

        Raises `PermissionDenied`; `ProjectNotFound` for a project that does not exist, if the caller may know that;
        `TokenRevoked` if the token was revoked meanwhile; `Unavailable` if what the guard knows is too old.
        """
        ...


class AccessScope(IntEnum):
    """Where the permission of a method is looked up. The values are those of the contract."""

    PROJECT = 1
    INSTALLATION = 2
    AUTHENTICATED = 3
    PUBLIC = 4


@dataclass(frozen=True, slots=True)
class AccessRule:
    """The access rule of a method, as the contract annotates it."""

    scope: AccessScope
    permission: str
    resource_field: str


class AccessRuleInvalid(Exception):
    """A method of the contract has no access rule, or one that cannot work. A server with such a method does not start."""


_KNOWN_PERMISSIONS = {
    AccessScope.PROJECT: ROLE_PERMISSIONS[Role.ADMIN],
    AccessScope.INSTALLATION: INSTALLATION_PERMISSIONS | SERVICE_PERMISSIONS,
    AccessScope.AUTHENTICATED: frozenset({""}),
    AccessScope.PUBLIC: frozenset({""}),
}


def access_rule(method: MethodDescriptor) -> AccessRule:
    """Reads the access rule of a method. Raises `AccessRuleInvalid`."""
    options: Any = method.GetOptions()
    rule = options.Extensions[access_pb2.access]
    try:
        scope = AccessScope(rule.scope)
    except ValueError:
        raise AccessRuleInvalid(
            f"{method.full_name} has no access rule: add option (penstock.api.common.v1.access)."
        ) from None
    if rule.permission not in _KNOWN_PERMISSIONS[scope]:
        raise AccessRuleInvalid(
            f"{method.full_name}: no role gives the permission {rule.permission!r} in scope {scope.name}."
        )
    if (scope is AccessScope.PROJECT) != bool(rule.resource_field):
        raise AccessRuleInvalid(f"{method.full_name}: resource_field goes with scope PROJECT, and only with it.")
    if rule.resource_field and not _leads_to_string(method.input_type, rule.resource_field):
        raise AccessRuleInvalid(
            f"{method.full_name}: {rule.resource_field} is not a string in {method.input_type.name}."
        )
    return AccessRule(scope, rule.permission, rule.resource_field)


def _leads_to_string(message: Descriptor | None, path: str) -> bool:
    field: FieldDescriptor | None = None
    for name in path.split("."):
        field = message.fields_by_name.get(name) if message is not None else None
        if field is None:
            return False
        message = field.message_type
    return field is not None and field.type == FieldDescriptor.TYPE_STRING


_caller: ContextVar[Caller] = ContextVar("penstock_caller")


def act_as(caller: Caller) -> None:
    """Makes `caller` the current one, for the task that calls this and those that it starts."""
    _caller.set(caller)


def current_caller() -> Caller:
    """Returns who makes the call that is being handled. Raises `LookupError` in a method that asks for no token."""
    return _caller.get()
