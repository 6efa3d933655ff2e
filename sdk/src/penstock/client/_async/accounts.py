"""What a client asks of the auth service: who the caller is, projects, tokens."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import duration_pb2

from penstock.api.auth.v1 import auth_service_pb2
from penstock.client import records
from penstock.client._async.paging import AsyncPages
from penstock.client.names import project_name, token_name
from penstock.errors import InvalidInput

__all__ = ["AsyncAccounts"]

TITLE_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 10_000
LIFETIME_S_MIN = 60
LIFETIME_S_MAX = 315_360_000
"""Ten years of 365 days."""


class AsyncAccounts:
    """The part of a client that speaks with the auth service.

    Attributes:
        auth: The generated stub of the auth service, on the client's authenticated channel.
    """

    auth: Any

    async def whoami(self) -> auth_service_pb2.WhoAmIResponse:
        """Who the token's owner is, and what the token allows."""
        return await self.auth.WhoAmI(auth_service_pb2.WhoAmIRequest())

    def projects(self) -> AsyncPages[auth_service_pb2.Project]:
        """The projects that the caller may read, by name."""

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[auth_service_pb2.Project], str]:
            response = await self.auth.ListProjects(
                auth_service_pb2.ListProjectsRequest(page_size=page_size, page_token=page_token)
            )
            return response.projects, response.next_page_token

        return AsyncPages(fetch, records.project_record, ["name", "title"])

    async def create_project(
        self, project_id: str, *, title: str = "", description: str = ""
    ) -> auth_service_pb2.Project:
        """Creates a project.

        Args:
            project_id: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter, not ending with `-`.
            title: A name for people, at most 200 characters.
            description: Markdown, at most 10,000 characters.

        Raises:
            AlreadyExists: There is one of this name.
            InvalidInput: The id or a text is out of its limits.
        """
        _check_length("title", title, chars_max=TITLE_CHARS_MAX)
        _check_length("description", description, chars_max=DESCRIPTION_CHARS_MAX)
        project = auth_service_pb2.Project(title=title, description=description)
        response = await self.auth.CreateProject(
            auth_service_pb2.CreateProjectRequest(
                project_id=project_name(project_id).removeprefix("projects/"), project=project
            )
        )
        return response.project

    def tokens(self) -> AsyncPages[auth_service_pb2.Token]:
        """The caller's tokens, newest first, without their secrets."""

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[auth_service_pb2.Token], str]:
            response = await self.auth.ListTokens(
                auth_service_pb2.ListTokensRequest(page_size=page_size, page_token=page_token)
            )
            return response.tokens, response.next_page_token

        return AsyncPages(fetch, records.token_record, ["name", "title"])

    async def create_token(
        self,
        title: str,
        *,
        projects: Iterable[str] = (),
        role: str | None = None,
        lifetime_s: float | None = None,
    ) -> auth_service_pb2.CreateTokenResponse:
        """Creates a personal access token for the caller. The response holds its `secret`, which is never shown again.

        Args:
            title: A label for people, 1 to 200 characters.
            projects: The projects that it shall reach, at most 100; none means all that the caller reaches.
            role: The strongest role that it lends: `viewer`, `editor` or `admin`; None means the caller's own.
            lifetime_s: How long it works, 60 seconds to ten years; None means until revoked.

        Raises:
            PermissionDenied: It would reach further than the caller's own token.
            InvalidInput: An argument is out of its limits.
        """
        _check_length("title", title, chars_min=1, chars_max=TITLE_CHARS_MAX)
        if lifetime_s is not None and not LIFETIME_S_MIN <= lifetime_s <= LIFETIME_S_MAX:
            raise InvalidInput("A token works for 60 seconds at least and ten years at most.")
        request = auth_service_pb2.CreateTokenRequest(
            title=title, projects=[project_name(project) for project in projects], role=_role(role)
        )
        if lifetime_s is not None:
            request.lifetime.CopyFrom(duration_pb2.Duration(seconds=round(lifetime_s)))
        return await self.auth.CreateToken(request)

    async def revoke_token(self, name: str) -> None:
        """Revokes one of the caller's tokens, `tokens/{token}`. Every service refuses it within five seconds.

        Raises:
            NotFound: The caller has no such token.
        """
        await self.auth.RevokeToken(auth_service_pb2.RevokeTokenRequest(name=token_name(name)))

    async def create_setup_link(self) -> auth_service_pb2.CreateSetupLinkResponse:
        """Mints a one-time secret with which a browser signs in as the caller, at `{http}/setup#<secret>`."""
        return await self.auth.CreateSetupLink(auth_service_pb2.CreateSetupLinkRequest())


def _check_length(what: str, text: str, *, chars_min: int = 0, chars_max: int) -> None:
    """Raises `InvalidInput`, in words for people: the server says the same in those of its contract."""
    if len(text) < chars_min:
        raise InvalidInput(f"The {what} must not be empty.")
    if len(text) > chars_max:
        raise InvalidInput(f"The {what} has {len(text):,} characters, at most {chars_max:,} are allowed.")


def _role(role: str | None) -> auth_service_pb2.Role:
    if role is None:
        return auth_service_pb2.ROLE_UNSPECIFIED
    known = {
        "viewer": auth_service_pb2.ROLE_VIEWER,
        "editor": auth_service_pb2.ROLE_EDITOR,
        "admin": auth_service_pb2.ROLE_ADMIN,
    }
    if role.lower() not in known:
        raise InvalidInput(f"{role!r} is not a role: choose viewer, editor or admin.")
    return known[role.lower()]
