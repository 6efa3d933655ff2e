"""Translates between the messages of the contract and the records of the domain."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth.domain import Grant, Project, Role, Token
from penstock_auth.errors import FieldMaskInvalid
from penstock_auth.service import ProjectUpdate
from penstock_kit.access import Caller, Grants
from penstock_kit.names import NameInvalid, ProjectName

__all__ = [
    "duration_us",
    "grant_message",
    "parse_grant_name",
    "picture_message",
    "project_ids",
    "project_message",
    "project_update",
    "role_or_none",
    "timestamp",
    "token_message",
    "who_message",
]

_UPDATABLE = ("title", "description")


def timestamp(time_us: int) -> Timestamp:
    """Microseconds since 1970 as a message."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1_000)


def duration_us(duration: Duration) -> int:
    """A duration in microseconds."""
    return duration.seconds * 1_000_000 + duration.nanos // 1_000


def project_ids(names: Any) -> frozenset[str]:
    """The ids of some `projects/{project}`. Raises `NameInvalid`."""
    return frozenset(ProjectName.parse(name).project for name in names)


def role_or_none(role: int) -> Role | None:
    """A role; None if unspecified."""
    return None if role == pb.ROLE_UNSPECIFIED else Role(role)


def parse_grant_name(name: str) -> tuple[str, str]:
    """The project id and the principal of a `projects/{project}/grants/{grant}`. Raises `NameInvalid`."""
    project, separator, user = name.partition("/grants/")
    if not separator or not user or "/" in user:
        raise NameInvalid(f"{name!r} is not a grant name: it should look like projects/my-project/grants/ada.")
    return ProjectName.parse(project).project, f"users/{user}"


def project_update(request: pb.UpdateProjectRequest) -> ProjectUpdate:
    """What an update asks for: the fields of its mask, all that can change if there is none. Raises `FieldMaskInvalid`."""
    paths = list(request.update_mask.paths) or _UPDATABLE
    for path in paths:
        if path not in _UPDATABLE:
            raise FieldMaskInvalid(
                f"update_mask names {path!r}; only {' and '.join(_UPDATABLE)} can change.",
                field="update_mask",
                path=path,
            )
    project = request.project
    return ProjectUpdate(
        title=project.title if "title" in paths else None,
        description=project.description if "description" in paths else None,
        etag=project.etag,
    )


def project_message(project: Project) -> pb.Project:
    """A project as a message."""
    return pb.Project(
        name=project.name,
        title=project.title,
        description=project.description,
        create_time=timestamp(project.create_time_us),
        update_time=timestamp(project.update_time_us),
        etag=project.etag,
    )


def grant_message(grant: Grant) -> pb.Grant:
    """A grant as a message."""
    return pb.Grant(name=grant.name, principal=grant.principal, role=pb.Role.Name(grant.role))


def token_message(token: Token) -> pb.Token:
    """A token as a message, without anything of its secret."""
    return pb.Token(
        name=token.name,
        title=token.title,
        projects=[f"projects/{project}" for project in sorted(token.scope.project_ids)],
        role=pb.Role.Name(token.scope.role),
        create_time=timestamp(token.create_time_us),
        expire_time=None if token.expire_time_us is None else timestamp(token.expire_time_us),
        last_use_time=None if token.last_use_time_us is None else timestamp(token.last_use_time_us),
    )


def who_message(caller: Caller) -> pb.WhoAmIResponse:
    """A caller as a message."""
    return pb.WhoAmIResponse(
        principal=caller.principal,
        kind=pb.PrincipalKind.Name(caller.kind),
        token=caller.token,
        owner=caller.owner,
        projects=[f"projects/{project}" for project in sorted(caller.projects)],
        role=pb.Role.Name(caller.role),
    )


def picture_message(grants: Grants | None) -> pb.WatchGrantsResponse:
    """A picture of all grants as a message; a beat if there is none."""
    if grants is None:
        return pb.WatchGrantsResponse(snapshot=False)
    return pb.WatchGrantsResponse(
        snapshot=True,
        grants=[
            grant_message(Grant(project_id, principal, Role(role)))
            for (project_id, principal), role in sorted(grants.roles.items())
        ],
        revoked_tokens=sorted(grants.revoked_tokens),
        owners=sorted(grants.owners),
        projects=[f"projects/{project}" for project in sorted(grants.projects)],
    )
