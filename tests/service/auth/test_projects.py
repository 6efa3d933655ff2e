"""CreateProject, GetProject, ListProjects, UpdateProject."""

import asyncio

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.auth import AuthServer, refused

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.clock import ManualClock

Code = grpc.StatusCode


async def test_a_new_installation_has_the_default_project(server: AuthServer) -> None:
    response = await server.stub.ListProjects(pb.ListProjectsRequest(), metadata=await server.owner())
    assert [project.name for project in response.projects] == ["projects/default"]
    assert response.next_page_token == ""


async def test_a_project_is_created_and_read(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    created = (
        await server.stub.CreateProject(
            pb.CreateProjectRequest(
                project_id="vision",
                project=pb.Project(name="projects/ignored", title="Vision", description="*Eyes*", etag="ignored"),
            ),
            metadata=owner,
        )
    ).project
    assert (created.name, created.title, created.description) == ("projects/vision", "Vision", "*Eyes*")
    assert created.create_time == created.update_time
    assert created.create_time.ToMicroseconds() == clock.now_us()
    assert created.etag not in ("", "ignored")
    read = await server.stub.GetProject(pb.GetProjectRequest(name="projects/vision"), metadata=owner)
    assert read.project == created


async def test_the_creator_becomes_administrator(server: AuthServer) -> None:
    owner = await server.owner()
    await server.stub.CreateProject(pb.CreateProjectRequest(project_id="vision"), metadata=owner)
    grants = (await server.stub.ListGrants(pb.ListGrantsRequest(parent="projects/vision"), metadata=owner)).grants
    assert [(grant.principal, grant.role) for grant in grants] == [("users/owner", pb.ROLE_ADMIN)]


async def test_a_taken_id_is_refused(server: AuthServer) -> None:
    owner = await server.owner()
    refusal = await refused(
        server.stub.CreateProject(pb.CreateProjectRequest(project_id="default", request_id="r"), metadata=owner)
    )
    assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "PROJECT_EXISTS")


async def test_a_repeat_returns_the_project_made_first(server: AuthServer) -> None:
    owner = await server.owner()
    request = pb.CreateProjectRequest(project_id="vision", project=pb.Project(title="First"), request_id="r-1")
    first = await server.stub.CreateProject(request, metadata=owner)
    assert await server.stub.CreateProject(request, metadata=owner) == first
    request.project.title = "Second"
    assert await server.stub.CreateProject(request, metadata=owner) == first
    request.project_id = "other"
    assert await server.stub.CreateProject(request, metadata=owner) == first
    request.request_id = "r-2"
    assert (await server.stub.CreateProject(request, metadata=owner)).project.name == "projects/other"


async def test_of_two_creates_at_once_one_makes_the_project(server: AuthServer) -> None:
    owner = await server.owner()
    calls = [
        server.stub.CreateProject(
            pb.CreateProjectRequest(project_id="vision", project=pb.Project(title=title), request_id="same"),
            metadata=owner,
        )
        for title in ("a", "b", "c", "d")
    ]
    made = {response.project.title for response in await asyncio.gather(*calls)}
    assert len(made) == 1
    others = [
        refused(server.stub.CreateProject(pb.CreateProjectRequest(project_id="vision"), metadata=owner))
        for _ in range(3)
    ]
    assert {refusal.reason for refusal in await asyncio.gather(*others)} == {"PROJECT_EXISTS"}


@pytest.mark.parametrize("project_id", ["a", "a" * 63, "a-1", "v2"])
async def test_a_project_id_within_the_limits(server: AuthServer, project_id: str) -> None:
    response = await server.stub.CreateProject(
        pb.CreateProjectRequest(project_id=project_id), metadata=await server.owner()
    )
    assert response.project.name == f"projects/{project_id}"


@pytest.mark.parametrize("project_id", ["", "a" * 64, "A", "1a", "-a", "a-", "a_b", "a/b", "ä", "a\n", "../a"])
async def test_a_project_id_beyond_the_limits(server: AuthServer, project_id: str) -> None:
    refusal = await refused(
        server.stub.CreateProject(pb.CreateProjectRequest(project_id=project_id), metadata=await server.owner())
    )
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "REQUEST_INVALID")


@pytest.mark.parametrize(("field", "chars_max"), [("title", 200), ("description", 10_000), ("request_id", 64)])
async def test_texts_at_the_limit_and_one_more(server: AuthServer, field: str, chars_max: int) -> None:
    owner = await server.owner()

    def request(chars: int) -> pb.CreateProjectRequest:
        message = pb.CreateProjectRequest(project_id="vision")
        setattr(message if field == "request_id" else message.project, field, "ä" * chars)
        return message

    refusal = await refused(server.stub.CreateProject(request(chars_max + 1), metadata=owner))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "REQUEST_INVALID")
    await server.stub.CreateProject(request(chars_max), metadata=owner)


async def test_an_unknown_project_is_not_found(server: AuthServer) -> None:
    owner = await server.owner()
    for call in (
        server.stub.GetProject(pb.GetProjectRequest(name="projects/nowhere"), metadata=owner),
        server.stub.UpdateProject(pb.UpdateProjectRequest(project=pb.Project(name="projects/nowhere")), metadata=owner),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "PROJECT_NOT_FOUND")


@pytest.mark.parametrize("name", ["", "default", "projects/", "projects/UP", "projects/default/x", "projects/default "])
async def test_a_malformed_name_is_refused(server: AuthServer, name: str) -> None:
    refusal = await refused(server.stub.GetProject(pb.GetProjectRequest(name=name), metadata=await server.owner()))
    assert refusal.code is Code.INVALID_ARGUMENT


async def test_an_update_changes_what_its_mask_names(server: AuthServer, clock: ManualClock) -> None:
    owner = await server.owner()
    await server.create_project("vision")

    async def update(title: str, description: str, *paths: str) -> pb.Project:
        request = pb.UpdateProjectRequest(
            project=pb.Project(name="projects/vision", title=title, description=description),
            update_mask=FieldMask(paths=paths),
        )
        return (await server.stub.UpdateProject(request, metadata=owner)).project

    clock.advance(5)
    both = await update("T1", "D1")
    assert (both.title, both.description) == ("T1", "D1")
    assert both.update_time.ToMicroseconds() - both.create_time.ToMicroseconds() == 5_000_000
    title = await update("T2", "D2", "title")
    assert (title.title, title.description) == ("T2", "D1")
    description = await update("T3", "", "description")
    assert (description.title, description.description) == ("T2", "")
    assert len({both.etag, title.etag, description.etag}) == 3
    read = await server.stub.GetProject(pb.GetProjectRequest(name="projects/vision"), metadata=owner)
    assert read.project == description


async def test_an_update_with_an_old_etag_is_refused(server: AuthServer) -> None:
    owner = await server.owner()
    await server.create_project("vision")
    seen = (await server.stub.GetProject(pb.GetProjectRequest(name="projects/vision"), metadata=owner)).project
    seen.title = "mine"
    first = await server.stub.UpdateProject(pb.UpdateProjectRequest(project=seen), metadata=owner)
    refusal = await refused(server.stub.UpdateProject(pb.UpdateProjectRequest(project=seen), metadata=owner))
    assert (refusal.code, refusal.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    first.project.title = "again"
    assert (
        await server.stub.UpdateProject(pb.UpdateProjectRequest(project=first.project), metadata=owner)
    ).project.title == "again"


async def test_of_two_updates_with_one_etag_one_wins(server: AuthServer) -> None:
    owner = await server.owner()
    seen = (await server.stub.GetProject(pb.GetProjectRequest(name="projects/default"), metadata=owner)).project
    requests = [
        pb.UpdateProjectRequest(project=pb.Project(name=seen.name, title=title, etag=seen.etag)) for title in "abcd"
    ]
    results = await asyncio.gather(
        *(server.stub.UpdateProject(request, metadata=owner) for request in requests), return_exceptions=True
    )
    assert sum(isinstance(result, pb.UpdateProjectResponse) for result in results) == 1


async def test_updates_without_etag_at_once_all_succeed(server: AuthServer) -> None:
    owner = await server.owner()
    requests = [pb.UpdateProjectRequest(project=pb.Project(name="projects/default", title=title)) for title in "abcd"]
    responses = await asyncio.gather(*(server.stub.UpdateProject(request, metadata=owner) for request in requests))
    assert len({response.project.etag for response in responses}) == 4


async def test_an_unknown_path_in_a_mask_is_refused(server: AuthServer) -> None:
    request = pb.UpdateProjectRequest(
        project=pb.Project(name="projects/default"), update_mask=FieldMask(paths=["create_time"])
    )
    refusal = await refused(server.stub.UpdateProject(request, metadata=await server.owner()))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "FIELD_MASK_INVALID")


async def test_projects_are_listed_by_name_in_pages(server: AuthServer) -> None:
    owner = await server.owner()
    for project_id in ("e", "c", "a", "d", "b"):
        await server.create_project(project_id)
    names: list[str] = []
    sizes: list[int] = []
    token = ""
    while True:
        page = await server.stub.ListProjects(pb.ListProjectsRequest(page_size=2, page_token=token), metadata=owner)
        names += [project.name for project in page.projects]
        sizes.append(len(page.projects))
        token = page.next_page_token
        if not token:
            break
    assert names == [f"projects/{project}" for project in ("a", "b", "c", "d", "default", "e")]
    assert sizes == [2, 2, 2]


async def test_a_list_holds_what_the_caller_may_read(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    for project_id in ("a", "b", "c"):
        await server.create_project(project_id)
    assert not (await server.stub.ListProjects(pb.ListProjectsRequest(), metadata=ada)).projects
    await server.grant("a", "ada", pb.ROLE_VIEWER)
    await server.grant("c", "ada", pb.ROLE_ADMIN)
    page = await server.stub.ListProjects(pb.ListProjectsRequest(page_size=1), metadata=ada)
    assert [project.name for project in page.projects] == ["projects/a"]
    rest = await server.stub.ListProjects(
        pb.ListProjectsRequest(page_size=1, page_token=page.next_page_token), metadata=ada
    )
    assert [project.name for project in rest.projects] == ["projects/c"]
    assert rest.next_page_token == ""


@pytest.mark.parametrize("size", [-1, 1_001])
async def test_a_page_size_beyond_the_limits(server: AuthServer, size: int) -> None:
    refusal = await refused(
        server.stub.ListProjects(pb.ListProjectsRequest(page_size=size), metadata=await server.owner())
    )
    assert refusal.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "token",
    [
        "garbage!",
        "AAAA",
        paging.seal("another request", "a"),
        paging.seal(paging.fingerprint(pb.ListProjectsRequest()), 7),
        paging.seal(paging.fingerprint(pb.ListProjectsRequest()), {"a": b"\xff"}),
    ],
)
async def test_a_bad_page_token_is_refused(server: AuthServer, token: str) -> None:
    refusal = await refused(
        server.stub.ListProjects(pb.ListProjectsRequest(page_token=token), metadata=await server.owner())
    )
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_the_number_of_projects_is_limited(server: AuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_auth.service.PROJECTS_MAX", 2)
    owner = await server.owner()
    await server.create_project("second")
    refusal = await refused(server.stub.CreateProject(pb.CreateProjectRequest(project_id="third"), metadata=owner))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "PROJECT_LIMIT_REACHED")
