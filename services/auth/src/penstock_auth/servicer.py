"""The RPCs of `AuthService`: unpack, call, pack."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth import convert
from penstock_auth.domain import Grant, Role
from penstock_auth.service import AuthService
from penstock_kit import paging
from penstock_kit.access import current_caller
from penstock_kit.names import ProjectName
from penstock_kit.server import draining

__all__ = ["AuthServicer"]


class AuthServicer:
    """Serves `penstock.api.auth.v1.AuthService`; each method does what its comment in the contract says."""

    def __init__(self, service: AuthService) -> None:
        self._service = service

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Any) -> pb.CreateProjectResponse:
        project = await self._service.create_project(
            by=current_caller(),
            project_id=request.project_id,
            title=request.project.title,
            description=request.project.description,
            request_id=request.request_id,
        )
        return pb.CreateProjectResponse(project=convert.project_message(project))

    async def GetProject(self, request: pb.GetProjectRequest, context: Any) -> pb.GetProjectResponse:
        project = await self._service.get_project(ProjectName.parse(request.name).project)
        return pb.GetProjectResponse(project=convert.project_message(project))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Any) -> pb.ListProjectsResponse:
        digest = paging.fingerprint(request)
        after = paging.place(request.page_token, digest, str) or ""
        projects, last = await self._service.list_projects(
            by=current_caller(), limit=paging.page_size(request.page_size), after=after
        )
        return pb.ListProjectsResponse(
            projects=[convert.project_message(project) for project in projects],
            next_page_token=paging.seal(digest, last) if last else "",
        )

    async def UpdateProject(self, request: pb.UpdateProjectRequest, context: Any) -> pb.UpdateProjectResponse:
        project = await self._service.update_project(
            ProjectName.parse(request.project.name).project, convert.project_update(request)
        )
        return pb.UpdateProjectResponse(project=convert.project_message(project))

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.CreateTokenResponse:
        token, secret = await self._service.create_token(
            by=current_caller(),
            title=request.title,
            project_ids=convert.project_ids(request.projects),
            role=convert.role_or_none(request.role),
            lifetime_us=convert.duration_us(request.lifetime) if request.HasField("lifetime") else None,
        )
        return pb.CreateTokenResponse(token=convert.token_message(token), secret=secret.text)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        digest = paging.fingerprint(request)
        cursor = paging.place(request.page_token, digest, bytes)
        tokens, cursor = await self._service.list_tokens(
            by=current_caller(), limit=paging.page_size(request.page_size), cursor=cursor
        )
        return pb.ListTokensResponse(
            tokens=[convert.token_message(token) for token in tokens],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        await self._service.revoke_token(by=current_caller(), token_id=request.name.removeprefix("tokens/"))
        return pb.RevokeTokenResponse()

    async def ExchangeToken(self, request: pb.ExchangeTokenRequest, context: Any) -> pb.ExchangeTokenResponse:
        access_token, expire_time_us = await self._service.exchange(request.secret)
        return pb.ExchangeTokenResponse(access_token=access_token, expire_time=convert.timestamp(expire_time_us))

    async def CreateSetupLink(self, request: pb.CreateSetupLinkRequest, context: Any) -> pb.CreateSetupLinkResponse:
        secret, expire_time_us = await self._service.create_setup_link(by=current_caller())
        return pb.CreateSetupLinkResponse(secret=secret.text, expire_time=convert.timestamp(expire_time_us))

    async def RedeemSetupLink(self, request: pb.RedeemSetupLinkRequest, context: Any) -> pb.RedeemSetupLinkResponse:
        secret, expire_time_us = await self._service.redeem_setup_link(request.secret)
        return pb.RedeemSetupLinkResponse(session_secret=secret.text, expire_time=convert.timestamp(expire_time_us))

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Any) -> pb.WhoAmIResponse:
        return convert.who_message(current_caller())

    async def GetKeys(self, request: pb.GetKeysRequest, context: Any) -> pb.GetKeysResponse:
        return pb.GetKeysResponse(jwks_json=json.dumps(self._service.public_jwks()))

    async def SetGrant(self, request: pb.SetGrantRequest, context: Any) -> pb.SetGrantResponse:
        grant = await self._service.set_grant(
            Grant(ProjectName.parse(request.parent).project, request.principal, Role(request.role))
        )
        return pb.SetGrantResponse(grant=convert.grant_message(grant))

    async def ListGrants(self, request: pb.ListGrantsRequest, context: Any) -> pb.ListGrantsResponse:
        digest = paging.fingerprint(request)
        cursor = paging.place(request.page_token, digest, bytes)
        grants, cursor = await self._service.list_grants(
            ProjectName.parse(request.parent).project, limit=paging.page_size(request.page_size), cursor=cursor
        )
        return pb.ListGrantsResponse(
            grants=[convert.grant_message(grant) for grant in grants],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def DeleteGrant(self, request: pb.DeleteGrantRequest, context: Any) -> pb.DeleteGrantResponse:
        await self._service.delete_grant(*convert.parse_grant_name(request.name))
        return pb.DeleteGrantResponse()

    async def WatchGrants(self, request: pb.WatchGrantsRequest, context: Any) -> AsyncGenerator[pb.WatchGrantsResponse]:
        async with aclosing(self._service.watch_grants(draining())) as pictures:
            async for grants in pictures:
                yield convert.picture_message(grants)
