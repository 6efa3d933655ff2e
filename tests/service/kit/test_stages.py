"""What happens to a call before and after its handler, over real gRPC."""

import asyncio
import errno
import io
import json
import logging
import sqlite3
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from support.servers import OpenGuard, bearer, error_info, serving, status_details
from support.small_services import SmallAuth, application, forever

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock.api.auth.v1 import auth_service_pb2_grpc
from penstock_kit import logs, metrics
from penstock_kit.access import PrincipalKind, Role
from penstock_kit.errors import Aborted, PreconditionFailed
from penstock_kit.interceptors.error_map import ERROR_DOMAIN
from penstock_kit.server import ServerSettings
from penstock_kit.stores.errors import StoreUnavailable
from penstock_kit.stores.metric_log import LogFull

SETTINGS = ServerSettings(drain_s=2.0, unary_calls_max=2)
HASTY = ServerSettings(drain_s=2.0, unary_deadline_s=0.3)


@dataclass
class World:
    guard: OpenGuard
    servicer: SmallAuth
    channel: grpc.aio.Channel
    stub: Any


@pytest.fixture
def settings() -> ServerSettings:
    return SETTINGS


@pytest.fixture
async def world(settings: ServerSettings) -> AsyncGenerator[World]:
    guard = OpenGuard(projects=("default", "other"))
    servicer = SmallAuth()
    async with (
        serving(application(servicer), guard, settings) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield World(guard, servicer, channel, auth_service_pb2_grpc.AuthServiceStub(channel))


@pytest.fixture
def log_lines() -> Any:
    """Everything logged during the test, as a server writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter("test"))
    logger = logging.getLogger("penstock_kit")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.setLevel(before)
    logger.removeHandler(handler)


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_handler_knows_its_caller(world: World) -> None:
    answer = await world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue("users/ada")))
    assert answer.principal == "users/ada"


@pytest.mark.parametrize("given", ["abc-1.2_X", "x" * 64])
async def test_sane_request_id_comes_back(world: World, given: str) -> None:
    call = world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=(*bearer(world.guard.issue()), ("x-request-id", given)))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b'])
async def test_odd_request_id_is_replaced(world: World, given: str) -> None:
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=(("x-request-id", given),)))
    minted = dict(error.trailing_metadata())["x-request-id"]
    assert minted != given
    assert len(minted) == 32


async def test_call_without_token_is_refused(world: World) -> None:
    for metadata in ((), (("authorization", "Basic YTpi"),), bearer("a") + bearer("b")):
        error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error_info(error).reason == "TOKEN_MISSING"
        assert error_info(error).domain == ERROR_DOMAIN


async def test_public_method_needs_no_token_and_ignores_one(world: World) -> None:
    for metadata in ((), bearer("nonsense")):
        answer = await world.stub.ExchangeToken(pb.ExchangeTokenRequest(secret="abc"), metadata=metadata)
        assert answer.access_token == "ABC"


async def test_forged_tokens_are_refused(world: World) -> None:
    good = world.guard.issue()
    header, body, signature = good.split(".")
    other_key = OpenGuard().issue()
    public = world.guard.jwks["keys"][0]
    claims = jwt.decode(good, ECKey.import_key(public), algorithms=["ES256"]).claims
    confused = jwt.encode(
        {"alg": "HS256", "typ": "at+jwt", "kid": public["kid"]},
        claims,
        OctKey.import_key(json.dumps(public).encode()),
        algorithms=["HS256"],
    )
    for forged in (
        "nonsense",
        "pst_" + "0" * 32 + "_secret",
        "é",
        f"{header}.{body}.",
        f"{header}.{body}.{signature[:-4]}AAAA",
        f"{header}.{other_key.split('.')[1]}.{signature}",
        other_key,
        confused,
        "x" * 9_000,
    ):
        token = forged.encode("ascii", "ignore").decode()
        error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(token)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error_info(error).reason in ("TOKEN_INVALID", "TOKEN_MISSING")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"aud": "another"},
        {"aud": ["penstock"]},
        {"sub": ""},
        {"tok": 7},
        {"prj": "default"},
        {"prj": ["default", 7]},
        {"rol": 4},
        {"rol": True},
        {"knd": 0},
        {"own": 1},
        {"exp": "tomorrow"},
        {"iat": 2**40},
    ],
)
async def test_token_with_wrong_claims_is_refused(world: World, claims: dict[str, Any]) -> None:
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue(**claims))))
    assert error_info(error).reason == "TOKEN_INVALID"


async def test_token_ends(world: World) -> None:
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue(lifetime_s=0))))
    assert error_info(error).reason == "TOKEN_EXPIRED"


async def test_revoked_token_is_refused(world: World) -> None:
    metadata = bearer(world.guard.issue(token="tokens/1"))
    await world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)
    world.guard.revoke("tokens/1")
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata))
    assert error_info(error).reason == "TOKEN_REVOKED"


async def test_roles_decide(world: World) -> None:
    world.guard.grant("default", "users/ada", Role.VIEWER)
    ada = bearer(world.guard.issue("users/ada"))
    await world.stub.GetProject(pb.GetProjectRequest(name="projects/default"), metadata=ada)
    update = pb.UpdateProjectRequest(project=pb.Project(name="projects/default"))
    error = await refusal(world.stub.UpdateProject(update, metadata=ada))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert dict(error_info(error).metadata) == {"permission": "projects.manage", "project": "projects/default"}
    for project in ("projects/other", "projects/missing"):  # what exists is not told to strangers
        error = await refusal(world.stub.GetProject(pb.GetProjectRequest(name=project), metadata=ada))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_token_reaches_no_further_than_its_scope(world: World) -> None:
    limited = bearer(world.guard.issue(projects=["other"]))
    await world.stub.GetProject(pb.GetProjectRequest(name="projects/other"), metadata=limited)
    error = await refusal(world.stub.GetProject(pb.GetProjectRequest(name="projects/default"), metadata=limited))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    error = await refusal(world.stub.CreateProject(pb.CreateProjectRequest(project_id="new"), metadata=limited))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    reading = bearer(world.guard.issue(role=Role.VIEWER))
    update = pb.UpdateProjectRequest(project=pb.Project(name="projects/other"))
    assert (
        await refusal(world.stub.UpdateProject(update, metadata=reading))
    ).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_owner_is_told_that_a_project_is_missing(world: World) -> None:
    error = await refusal(
        world.stub.GetProject(pb.GetProjectRequest(name="projects/missing"), metadata=bearer(world.guard.issue()))
    )
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "PROJECT_NOT_FOUND"


async def test_former_owner_owns_nothing(world: World) -> None:
    metadata = bearer(world.guard.issue("users/former", own=True))
    error = await refusal(world.stub.GetProject(pb.GetProjectRequest(name="projects/default"), metadata=metadata))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_service_reads_everywhere_and_writes_nowhere(world: World) -> None:
    metadata = bearer(world.guard.issue("services/platform", kind=PrincipalKind.SERVICE))
    await world.stub.GetProject(pb.GetProjectRequest(name="projects/other"), metadata=metadata)
    update = pb.UpdateProjectRequest(project=pb.Project(name="projects/other"))
    for call in (
        world.stub.UpdateProject(update, metadata=metadata),
        world.stub.CreateProject(pb.CreateProjectRequest(project_id="new"), metadata=metadata),
    ):
        assert (await refusal(call)).code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("name", ["", "default", "projects/", "projects/UP", "projects/a b", "x" * 100_000])
async def test_malformed_name_is_refused(world: World, name: str) -> None:
    error = await refusal(world.stub.GetProject(pb.GetProjectRequest(name=name), metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "NAME_INVALID"


async def test_broken_rules_of_the_contract_are_named(world: World) -> None:
    request = pb.CreateProjectRequest(project_id="Not OK", project=pb.Project(title="x" * 201))
    error = await refusal(world.stub.CreateProject(request, metadata=bearer(world.guard.issue())))
    info, bad = status_details(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (info.reason, dict(info.metadata)) == (
        "REQUEST_INVALID",
        {"field": "project_id", "rule": "string.pattern"},
    )
    assert [(found.field, found.reason) for found in bad.field_violations] == [
        ("project_id", "string.pattern"),
        ("project.title", "string.max_len"),
    ]
    await world.stub.CreateProject(
        pb.CreateProjectRequest(project_id="ok", project=pb.Project(title="x" * 200)),
        metadata=bearer(world.guard.issue()),
    )


async def test_malformed_bytes_are_refused(world: World) -> None:
    call = world.channel.unary_unary("/penstock.api.auth.v1.AuthService/WhoAmI")
    error = await refusal(call(b"\xff\xff\xff", metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "REQUEST_MALFORMED"
    error = await refusal(call(b"\xff\xff\xff"))  # nobody may even try without a token
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_unknown_method_is_unimplemented(world: World) -> None:
    call = world.channel.unary_unary("/penstock.api.auth.v1.AuthService/Nothing")
    assert (await refusal(call(b"", metadata=bearer(world.guard.issue())))).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_meaning_becomes_a_status(world: World) -> None:
    async def fail() -> None:
        raise PreconditionFailed("It is over. " + "x" * 5_000, expected="7", long="y" * 5_000)

    world.servicer.behaviour = fail
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details().startswith("It is over.")
    assert len(error.details()) == 1_000
    assert error_info(error).metadata["expected"] == "7"
    assert len(error_info(error).metadata["long"]) == 200


async def test_fault_stays_in_the_log(world: World, log_lines: Any) -> None:
    async def fail() -> None:
        raise RuntimeError("the driver said: user=ada secret pst_0123_abc")

    world.servicer.behaviour = fail
    error = await refusal(
        world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=(*bearer(world.guard.issue()), ("x-request-id", "request-7")))
    )
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "Internal error. Request id: request-7."
    assert (error_info(error).reason, error_info(error).metadata["request_id"]) == ("INTERNAL", "request-7")
    assert "driver" not in str(error.trailing_metadata())
    (line,) = [line for line in log_lines() if line["level"] == "ERROR"]
    assert "RuntimeError: the driver said: user=ada secret [secret]" in line["exception"]
    assert (line["request_id"], line["principal"]) == ("request-7", "users/owner")


def _sqlite_full() -> sqlite3.OperationalError:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 1")
    try:
        connection.execute("CREATE TABLE t (x)")
    except sqlite3.OperationalError as error:
        return error
    finally:
        connection.close()
    raise AssertionError("a full database took a table")


@pytest.mark.parametrize("fault", [LogFull(), OSError(errno.ENOSPC, "No space left"), _sqlite_full()], ids=repr)
async def test_full_disk_is_said(world: World, fault: Exception) -> None:
    async def fail() -> None:
        try:
            raise fault
        except type(fault) as error:
            raise RuntimeError("while writing") from error

    world.servicer.behaviour = fail
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(error).reason == "STORAGE_FULL"


async def test_store_that_does_not_answer_is_said(world: World) -> None:
    async def fail() -> None:
        raise StoreUnavailable("mongodb://inside:27017/tracking", "does not answer", "Try again.")

    world.servicer.behaviour = fail
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "STORAGE_UNAVAILABLE"
    assert "inside" not in str(error.details())


@pytest.mark.parametrize("settings", [HASTY])
async def test_call_without_deadline_gets_one(world: World) -> None:
    world.servicer.behaviour = forever
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error_info(error).reason == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("settings", [HASTY])
async def test_own_deadline_counts(world: World) -> None:
    async def last_longer_than_the_default() -> None:
        await asyncio.sleep(0.5)

    world.servicer.behaviour = last_longer_than_the_default
    await world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue()), timeout=20)


async def test_timeout_of_the_handler_is_a_fault(world: World) -> None:
    async def fail() -> None:
        raise TimeoutError

    world.servicer.behaviour = fail
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue())))
    assert error.code() is grpc.StatusCode.INTERNAL


async def test_cancelled_call_cancels_its_handler(world: World) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await forever()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    world.servicer.behaviour = wait
    call = world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue()), timeout=20)
    asking = asyncio.ensure_future(call)
    await asyncio.wait_for(begun.wait(), 10)
    call.cancel()
    await asyncio.wait_for(cancelled.wait(), 10)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_calls_beyond_the_limit_are_shed(world: World) -> None:
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait() -> None:
        begun.release()
        await go_on.wait()

    world.servicer.behaviour = wait
    metadata = bearer(world.guard.issue())
    held = [
        asyncio.ensure_future(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata, timeout=20)) for _ in range(2)
    ]
    for _ in held:
        await asyncio.wait_for(begun.acquire(), 10)
    error = await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error_info(error).reason, error_info(error).metadata["limit"]) == ("OVERLOADED", "2")
    go_on.set()
    await asyncio.gather(*held)
    await world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)


async def test_figures_count_calls(world: World) -> None:
    method = "penstock.api.auth.v1.AuthService/WhoAmI"

    def count(code: str) -> float:
        return metrics.REGISTRY.get_sample_value("penstock_rpc_total", {"method": method, "code": code}) or 0.0

    before = count("OK"), count("ABORTED")
    await world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue()))

    async def fail() -> None:
        raise Aborted("Again.")

    world.servicer.behaviour = fail
    await refusal(world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(world.guard.issue())))
    assert (count("OK"), count("ABORTED")) == (before[0] + 1, before[1] + 1)
    assert metrics.REGISTRY.get_sample_value("penstock_rpc_in_flight", {"method": method}) == 0
    text = metrics.exposition().decode()
    assert f'penstock_rpc_total{{code="OK",method="{method}"}}' in text
    assert f'penstock_rpc_duration_seconds_bucket{{le="0.001",method="{method}"}}' in text


async def test_access_log_names_failures_and_hides_tokens(world: World, log_lines: Any) -> None:
    token = world.guard.issue()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    metadata = (*bearer(token), ("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"))
    await world.stub.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)
    await refusal(world.stub.GetProject(pb.GetProjectRequest(name="projects/missing"), metadata=metadata))
    good, bad = [line for line in log_lines() if line["logger"].endswith(".trace")]
    assert (good["level"], good["code"], good["trace_id"]) == ("DEBUG", "OK", trace_id)
    assert (bad["level"], bad["code"], bad["method"]) == (
        "INFO",
        "NOT_FOUND",
        "penstock.api.auth.v1.AuthService/GetProject",
    )
    assert len(good["request_id"]) == 32
    assert token not in json.dumps(log_lines())
