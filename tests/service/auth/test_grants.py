"""SetGrant, ListGrants, DeleteGrant."""

import asyncio

import grpc
import pytest
from support.auth import AuthServer, Metadata, refused

from penstock.api.auth.v1 import auth_service_pb2 as pb

Code = grpc.StatusCode


async def grants(server: AuthServer, metadata: Metadata, project: str = "vision") -> dict[str, int]:
    response = await server.stub.ListGrants(pb.ListGrantsRequest(parent=f"projects/{project}"), metadata=metadata)
    return {grant.principal: grant.role for grant in response.grants}


async def test_a_grant_is_set_replaced_and_taken_away(server: AuthServer) -> None:
    await server.add_user("ada")
    await server.create_project("vision")
    owner = await server.owner()
    for role in (pb.ROLE_VIEWER, pb.ROLE_ADMIN):
        response = await server.stub.SetGrant(
            pb.SetGrantRequest(parent="projects/vision", principal="users/ada", role=role), metadata=owner
        )
        assert response.grant == pb.Grant(name="projects/vision/grants/ada", principal="users/ada", role=role)
        assert await grants(server, owner) == {"users/ada": role, "users/owner": pb.ROLE_ADMIN}
    await server.stub.DeleteGrant(pb.DeleteGrantRequest(name="projects/vision/grants/ada"), metadata=owner)
    assert await grants(server, owner) == {"users/owner": pb.ROLE_ADMIN}
    refusal = await refused(
        server.stub.DeleteGrant(pb.DeleteGrantRequest(name="projects/vision/grants/ada"), metadata=owner)
    )
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "GRANT_NOT_FOUND")


async def test_a_grant_works_at_once_and_so_does_its_end(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    await server.create_project("vision")
    read = pb.GetProjectRequest(name="projects/vision")
    assert (await refused(server.stub.GetProject(read, metadata=ada))).code is Code.PERMISSION_DENIED
    await server.grant("vision", "ada", pb.ROLE_VIEWER)
    await server.stub.GetProject(read, metadata=ada)
    await server.stub.DeleteGrant(
        pb.DeleteGrantRequest(name="projects/vision/grants/ada"), metadata=await server.owner()
    )
    assert (await refused(server.stub.GetProject(read, metadata=ada))).code is Code.PERMISSION_DENIED


async def test_an_unknown_principal_is_not_found(server: AuthServer) -> None:
    request = pb.SetGrantRequest(parent="projects/default", principal="users/nobody", role=pb.ROLE_VIEWER)
    refusal = await refused(server.stub.SetGrant(request, metadata=await server.owner()))
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "PRINCIPAL_NOT_FOUND")


async def test_an_unknown_project_is_not_found(server: AuthServer) -> None:
    owner = await server.owner()
    for call in (
        server.stub.SetGrant(
            pb.SetGrantRequest(parent="projects/nowhere", principal="users/owner", role=pb.ROLE_VIEWER),
            metadata=owner,
        ),
        server.stub.ListGrants(pb.ListGrantsRequest(parent="projects/nowhere"), metadata=owner),
        server.stub.DeleteGrant(pb.DeleteGrantRequest(name="projects/nowhere/grants/ada"), metadata=owner),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "PROJECT_NOT_FOUND")


@pytest.mark.parametrize(
    "fields",
    [
        {"role": pb.ROLE_UNSPECIFIED},
        {"role": 4},
        {"principal": "services/platform"},
        {"principal": "users/"},
        {"principal": "users/Ada"},
        {"principal": "users/" + "a" * 64},
        {"principal": "users/a/b"},
    ],
)
async def test_a_malformed_grant_is_refused(server: AuthServer, fields: dict[str, object]) -> None:
    values = {"parent": "projects/default", "principal": "users/owner", "role": pb.ROLE_VIEWER} | fields
    refusal = await refused(server.stub.SetGrant(pb.SetGrantRequest(**values), metadata=await server.owner()))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "REQUEST_INVALID")


async def test_grants_are_listed_by_principal_in_pages(server: AuthServer) -> None:
    users = ["e", "a", "d", "b", "c"]
    for user in users:
        await server.add_user(user)
        await server.grant("default", user, pb.ROLE_VIEWER)
    owner = await server.owner()
    found: list[str] = []
    token = ""
    while True:
        page = await server.stub.ListGrants(
            pb.ListGrantsRequest(parent="projects/default", page_size=2, page_token=token), metadata=owner
        )
        assert len(page.grants) <= 2
        found += [grant.principal for grant in page.grants]
        token = page.next_page_token
        if not token:
            break
    assert found == [f"users/{user}" for user in sorted(users)]


async def test_a_page_token_belongs_to_its_project(server: AuthServer) -> None:
    for user in ("a", "b"):
        await server.add_user(user)
        await server.grant("default", user, pb.ROLE_VIEWER)
    await server.create_project("vision")
    owner = await server.owner()
    page = await server.stub.ListGrants(pb.ListGrantsRequest(parent="projects/default", page_size=1), metadata=owner)
    refusal = await refused(
        server.stub.ListGrants(
            pb.ListGrantsRequest(parent="projects/vision", page_size=1, page_token=page.next_page_token), metadata=owner
        )
    )
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_grants_set_at_once_end_with_one_of_them(server: AuthServer) -> None:
    await server.add_user("ada")
    await asyncio.gather(*(server.grant("default", "ada", role) for role in (1, 2, 3, 1, 2, 3)))
    assert set(await grants(server, await server.owner(), "default")) == {"users/ada"}


async def test_an_administrator_manages_the_project(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    await server.add_user("bob")
    await server.create_project("vision")
    await server.grant("vision", "ada", pb.ROLE_ADMIN)
    await server.stub.SetGrant(
        pb.SetGrantRequest(parent="projects/vision", principal="users/bob", role=pb.ROLE_EDITOR), metadata=ada
    )
    assert (await grants(server, ada))["users/bob"] == pb.ROLE_EDITOR


async def test_the_number_of_grants_is_limited(server: AuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_auth.service.GRANTS_MAX", 1)
    await server.add_user("ada")
    await server.add_user("bob")
    await server.grant("default", "ada", pb.ROLE_VIEWER)
    request = pb.SetGrantRequest(parent="projects/default", principal="users/bob", role=pb.ROLE_VIEWER)
    refusal = await refused(server.stub.SetGrant(request, metadata=await server.owner()))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "GRANT_LIMIT_REACHED")
    await server.grant("default", "ada", pb.ROLE_EDITOR)  # replacing needs no room
