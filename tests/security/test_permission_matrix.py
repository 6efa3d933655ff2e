"""Who may call what: every RPC of every service, by every kind of caller, against real servers.

The table below is written by hand and not read from the contract: an annotation that gets weaker by mistake fails here.
"""

import asyncio
import base64
import hashlib
import hmac
import importlib
import json
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from joserfc import jwt
from joserfc.jwk import ECKey
from support.auth import AuthServer, Metadata, auth_server, refusal_of
from support.servers import bearer, until

import penstock.api
from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_artifact.app import build as build_artifact
from penstock_artifact.app import open_stores as open_artifact_stores
from penstock_artifact.settings import ArtifactSettings
from penstock_auth.store import AuthStore
from penstock_kit.access import access_rule
from penstock_kit.application import Running
from penstock_kit.clock import ManualClock
from penstock_kit.errors import Unauthenticated
from penstock_kit.ids import random_id
from penstock_kit.listening import ServerSettings
from penstock_kit.tokens import RemoteGuard
from penstock_registry.app import build as build_registry
from penstock_registry.app import open_stores as open_registry_stores
from penstock_registry.settings import RegistrySettings
from penstock_tracking.app import build as build_tracking
from penstock_tracking.app import open_stores as open_tracking_stores
from penstock_tracking.settings import TrackingSettings

Code = grpc.StatusCode
STATUS_LOST = "Internal error from Core"
"""What gRPC's own client says of a call that ended while it sent a message: the status is gone, so it is asked again."""
CALL_TIMEOUT_S = 20.0
PROJECT = "projects/alpha"


class Need(Enum):
    """What a call needs."""

    NOTHING = auto()
    TOKEN = auto()
    TOKEN_OF_USER = auto()
    VIEWER = auto()
    EDITOR = auto()
    ADMIN = auto()
    OWNER = auto()
    SERVICE = auto()
    ADMIN_OR_SERVICE = auto()


AUTH = "penstock.api.auth.v1.AuthService"
TRACKING = "penstock.api.tracking.v1.TrackingService"
ARTIFACT = "penstock.api.artifact.v1.ArtifactService"
REGISTRY = "penstock.api.registry.v1.RegistryService"

MATRIX = {
    f"{AUTH}/CreateProject": Need.OWNER,
    f"{AUTH}/GetProject": Need.VIEWER,
    f"{AUTH}/ListProjects": Need.TOKEN,
    f"{AUTH}/UpdateProject": Need.ADMIN,
    f"{AUTH}/CreateToken": Need.TOKEN_OF_USER,
    f"{AUTH}/ListTokens": Need.TOKEN,
    f"{AUTH}/RevokeToken": Need.TOKEN,
    f"{AUTH}/ExchangeToken": Need.NOTHING,
    f"{AUTH}/CreateSetupLink": Need.TOKEN_OF_USER,
    f"{AUTH}/RedeemSetupLink": Need.NOTHING,
    f"{AUTH}/WhoAmI": Need.TOKEN,
    f"{AUTH}/GetKeys": Need.NOTHING,
    f"{AUTH}/SetGrant": Need.ADMIN,
    f"{AUTH}/ListGrants": Need.ADMIN,
    f"{AUTH}/DeleteGrant": Need.ADMIN,
    f"{AUTH}/WatchGrants": Need.SERVICE,
    f"{TRACKING}/CreateExperiment": Need.EDITOR,
    f"{TRACKING}/GetExperiment": Need.VIEWER,
    f"{TRACKING}/ListExperiments": Need.VIEWER,
    f"{TRACKING}/UpdateExperiment": Need.EDITOR,
    f"{TRACKING}/DeleteExperiment": Need.ADMIN,
    f"{TRACKING}/RestoreExperiment": Need.ADMIN,
    f"{TRACKING}/CreateRun": Need.EDITOR,
    f"{TRACKING}/GetRun": Need.VIEWER,
    f"{TRACKING}/SearchRuns": Need.VIEWER,
    f"{TRACKING}/GroupRuns": Need.VIEWER,
    f"{TRACKING}/UpdateRun": Need.EDITOR,
    f"{TRACKING}/FinishRun": Need.EDITOR,
    f"{TRACKING}/ResumeRun": Need.EDITOR,
    f"{TRACKING}/DeleteRun": Need.ADMIN,
    f"{TRACKING}/RestoreRun": Need.ADMIN,
    f"{TRACKING}/LogBatch": Need.EDITOR,
    f"{TRACKING}/LogInputs": Need.EDITOR,
    f"{TRACKING}/LogOutputs": Need.EDITOR,
    f"{TRACKING}/CreateAlert": Need.EDITOR,
    f"{TRACKING}/ListAlerts": Need.VIEWER,
    f"{TRACKING}/CreateLoggedModel": Need.EDITOR,
    f"{TRACKING}/GetLoggedModel": Need.VIEWER,
    f"{TRACKING}/SearchLoggedModels": Need.VIEWER,
    f"{TRACKING}/AnnotateLoggedModel": Need.EDITOR,
    f"{TRACKING}/FinishLoggedModel": Need.EDITOR,
    f"{TRACKING}/DeleteLoggedModel": Need.ADMIN,
    f"{TRACKING}/ChangeParam": Need.EDITOR,
    f"{TRACKING}/ListMetricKeys": Need.VIEWER,
    f"{TRACKING}/GetLatestMetrics": Need.VIEWER,
    f"{TRACKING}/GetMetricSeries": Need.VIEWER,
    f"{TRACKING}/ReadMetricPoints": Need.VIEWER,
    f"{TRACKING}/StreamMetrics": Need.EDITOR,
    f"{TRACKING}/WatchRun": Need.VIEWER,
    f"{REGISTRY}/GetModel": Need.VIEWER,
    f"{REGISTRY}/SearchModels": Need.VIEWER,
    f"{REGISTRY}/GetModelVersion": Need.VIEWER,
    f"{REGISTRY}/GetModelBaseline": Need.VIEWER,
    f"{REGISTRY}/SearchModelVersions": Need.VIEWER,
    f"{REGISTRY}/ListLatestModelVersions": Need.VIEWER,
    f"{REGISTRY}/GetModelAlias": Need.VIEWER,
    f"{REGISTRY}/ListAliasMoves": Need.VIEWER,
    f"{REGISTRY}/CreateModel": Need.EDITOR,
    f"{REGISTRY}/UpdateModel": Need.EDITOR,
    f"{REGISTRY}/UpdateModelTags": Need.EDITOR,
    f"{REGISTRY}/RenameModel": Need.EDITOR,
    f"{REGISTRY}/CreateModelVersion": Need.EDITOR,
    f"{REGISTRY}/UpdateModelVersion": Need.EDITOR,
    f"{REGISTRY}/UpdateModelVersionTags": Need.EDITOR,
    f"{REGISTRY}/SetModelVersionStage": Need.EDITOR,
    f"{REGISTRY}/SetModelAlias": Need.EDITOR,
    f"{REGISTRY}/DeleteModelAlias": Need.EDITOR,
    f"{REGISTRY}/DeleteModel": Need.ADMIN,
    f"{REGISTRY}/DeleteModelVersion": Need.ADMIN,
    f"{REGISTRY}/GetGatePolicy": Need.VIEWER,
    f"{REGISTRY}/ListGates": Need.VIEWER,
    f"{REGISTRY}/ListEvaluations": Need.VIEWER,
    f"{REGISTRY}/GetVerdict": Need.VIEWER,
    f"{REGISTRY}/ListVerdicts": Need.VIEWER,
    f"{REGISTRY}/ListApprovals": Need.VIEWER,
    f"{REGISTRY}/RecordEvaluation": Need.EDITOR,
    f"{REGISTRY}/CheckGate": Need.EDITOR,
    f"{REGISTRY}/GetLineage": Need.VIEWER,
    f"{REGISTRY}/GetDatasetLineage": Need.VIEWER,
    f"{REGISTRY}/WatchEvents": Need.VIEWER,
    f"{REGISTRY}/CreateWebhook": Need.ADMIN,
    f"{REGISTRY}/GetWebhook": Need.ADMIN,
    f"{REGISTRY}/ListWebhooks": Need.ADMIN,
    f"{REGISTRY}/UpdateWebhook": Need.ADMIN,
    f"{REGISTRY}/DeleteWebhook": Need.ADMIN,
    f"{REGISTRY}/RotateWebhookSecret": Need.ADMIN,
    f"{REGISTRY}/TestWebhook": Need.ADMIN,
    f"{REGISTRY}/ListDeliveries": Need.ADMIN,
    f"{REGISTRY}/ReplayDelivery": Need.ADMIN,
    f"{REGISTRY}/SetGatePolicy": Need.ADMIN,
    f"{REGISTRY}/ApprovePromotion": Need.ADMIN,
    f"{REGISTRY}/PromoteModelVersion": Need.ADMIN,
    f"{ARTIFACT}/GetArtifact": Need.VIEWER,
    f"{ARTIFACT}/ListArtifacts": Need.VIEWER,
    f"{ARTIFACT}/GetArtifactVersion": Need.VIEWER,
    f"{ARTIFACT}/ListArtifactVersions": Need.VIEWER,
    f"{ARTIFACT}/ListArtifactEntries": Need.VIEWER,
    f"{ARTIFACT}/DownloadFile": Need.VIEWER,
    f"{ARTIFACT}/DownloadFiles": Need.VIEWER,
    f"{ARTIFACT}/SignFileDownload": Need.VIEWER,
    f"{ARTIFACT}/PreviewFile": Need.VIEWER,
    f"{ARTIFACT}/ListArtifactLinks": Need.VIEWER,
    f"{ARTIFACT}/GetArtifactStorage": Need.VIEWER,
    f"{ARTIFACT}/FindMissingBlobs": Need.EDITOR,
    f"{ARTIFACT}/UploadBlobs": Need.EDITOR,
    f"{ARTIFACT}/BeginBlobUpload": Need.EDITOR,
    f"{ARTIFACT}/SignUploadParts": Need.EDITOR,
    f"{ARTIFACT}/UploadParts": Need.EDITOR,
    f"{ARTIFACT}/FinishBlobUpload": Need.EDITOR,
    f"{ARTIFACT}/FinishFileUpload": Need.EDITOR,
    f"{ARTIFACT}/AbortBlobUpload": Need.EDITOR,
    f"{ARTIFACT}/PublishArtifactVersion": Need.EDITOR,
    f"{ARTIFACT}/UseArtifactVersion": Need.EDITOR,
    f"{ARTIFACT}/GetFile": Need.VIEWER,
    f"{ARTIFACT}/ListFiles": Need.VIEWER,
    f"{ARTIFACT}/ListMedia": Need.VIEWER,
    f"{ARTIFACT}/ListMediaKeys": Need.VIEWER,
    f"{ARTIFACT}/UploadFile": Need.EDITOR,
    f"{ARTIFACT}/PutFiles": Need.EDITOR,
    f"{ARTIFACT}/DeleteFiles": Need.EDITOR,
    f"{ARTIFACT}/PublishFiles": Need.EDITOR,
    f"{ARTIFACT}/DeleteArtifact": Need.ADMIN,
    f"{ARTIFACT}/DeleteArtifactVersion": Need.ADMIN,
    f"{ARTIFACT}/HoldArtifactVersion": Need.ADMIN_OR_SERVICE,
    f"{ARTIFACT}/ReleaseArtifactVersions": Need.ADMIN_OR_SERVICE,
    f"{ARTIFACT}/SetArtifactRetention": Need.ADMIN,
    f"{ARTIFACT}/SetArtifactQuota": Need.ADMIN,
}


def every_method() -> dict[str, MethodDescriptor]:
    """Every RPC in the generated code, by its name."""
    methods: dict[str, MethodDescriptor] = {}
    for module in pkgutil.walk_packages(penstock.api.__path__, "penstock.api."):
        if module.name.endswith("_pb2"):
            for service in importlib.import_module(module.name).DESCRIPTOR.services_by_name.values():
                methods |= {f"{service.full_name}/{method.name}": method for method in service.methods}
    return methods


METHODS = every_method()


def test_the_matrix_has_every_rpc_and_no_other() -> None:
    assert set(MATRIX) == set(METHODS)


def test_every_rpc_is_served_by_a_server_of_this_test() -> None:
    assert {name.split("/")[0] for name in METHODS} == {AUTH, TRACKING, REGISTRY, ARTIFACT}


@dataclass
class Platform:
    """Auth, guarded by itself, and the other services, guarded by what auth feeds them."""

    auth: AuthServer
    guard: RemoteGuard
    channels: dict[str, grpc.aio.Channel]

    async def call(self, name: str, metadata: Metadata) -> tuple[Code, str]:
        """Calls an RPC about the project alpha. Returns code and reason; OK with the first response of a stream.

        A call that gets past the guard mostly fails later, as nothing but the project is filled in.
        """
        method = METHODS[name]
        request_class: Any = message_factory.GetMessageClass(method.input_type)
        response_class: Any = message_factory.GetMessageClass(method.output_type)
        request = request_class()
        if name == f"{AUTH}/CreateToken":
            request.title = "t"  # its handler decides who may, which comes after the request is checked
        path = access_rule(method).resource_field
        if path:
            *parents, field = path.split(".")
            message = request
            for parent in parents:
                message = getattr(message, parent)
            if method.input_type.full_name.endswith("DeleteGrantRequest"):
                message.name = f"{PROJECT}/grants/nobody"
            elif message.DESCRIPTOR.fields_by_name[field].is_repeated:
                getattr(message, field).append(PROJECT)
            else:
                setattr(message, field, PROJECT)
        channel = self.channels[method.containing_service.full_name]
        codec = {
            "request_serializer": request_class.SerializeToString,
            "response_deserializer": response_class.FromString,
        }
        try:
            if method.client_streaming:
                stream = channel.stream_stream(f"/{name}", **codec)(metadata=metadata, timeout=CALL_TIMEOUT_S)
                await stream.write(request)
                await stream.done_writing()
                await stream.read()
                stream.cancel()
            elif method.server_streaming:
                stream = channel.unary_stream(f"/{name}", **codec)(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
                await stream.read()
                stream.cancel()
            else:
                await channel.unary_unary(f"/{name}", **codec)(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.details() == STATUS_LOST:
                return await self.call(name, metadata)
            refusal = refusal_of(error)
            return refusal.code, refusal.reason
        return Code.OK, ""

    async def call_all(self, metadata: Metadata) -> dict[str, tuple[Code, str]]:
        """Calls every RPC, all at once."""
        results = await asyncio.gather(*(self.call(name, metadata) for name in MATRIX))
        return dict(zip(MATRIX, results, strict=True))

    async def settled(self, metadata: Metadata, project: str) -> None:
        """Returns once the other services know the grant of a caller."""
        caller = self.guard.authenticate(metadata[0][1].removeprefix("Bearer "))
        await self.guard.authorize(caller, "runs.read", project)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(auth_server(tmp_path / "auth", clock))
        credential = auth.settings.service_credential_file
        guard = RemoteGuard(auth.address, credential, clock)
        await guard.start()
        stack.push_async_callback(guard.close)
        settings = TrackingSettings(
            data_dir=tmp_path / "tracking", auth_address=auth.address, service_credential_file=credential
        )
        registry_settings = RegistrySettings(
            data_dir=tmp_path / "registry", auth_address=auth.address, service_credential_file=credential
        )
        artifact_settings = ArtifactSettings(
            data_dir=tmp_path / "artifact", auth_address=auth.address, service_credential_file=credential
        )
        channels = {AUTH: auth.channel}
        for service, application in (
            (TRACKING, build_tracking(settings, await open_tracking_stores(settings, clock), clock)),
            (REGISTRY, build_registry(registry_settings, await open_registry_stores(registry_settings, clock), clock)),
            (ARTIFACT, build_artifact(artifact_settings, await open_artifact_stores(artifact_settings, clock), clock)),
        ):
            running = Running(application, guard, ServerSettings(drain_s=0.1), clock)
            await running.start()
            stack.push_async_callback(running.stop)
            channels[service] = await stack.enter_async_context(grpc.aio.insecure_channel(running.address))
        await until(lambda: guard.ready)
        for project_id in ("alpha", "beta"):
            await auth.create_project(project_id)
        yield Platform(auth, guard, channels)


# Callers without a good access token

Forge = Callable[[Platform], Awaitable[str]]


async def _signed(
    platform: Platform, *, header: dict[str, Any] | None = None, without: str = "", key: Any = None, **claims: Any
) -> str:
    """An access token of the owner, signed with the real key or another, with some things changed."""
    (stored,) = await AuthStore(platform.auth.documents).list_keys()
    real = ECKey.import_key({**stored.jwk})
    local_token = (await platform.auth.auth.owner_credential()).split("_")[1]
    now_s = platform.auth.clock.now_us() // 1_000_000
    content = {
        "iss": "penstock",
        "aud": "penstock",
        "sub": "users/owner",
        "knd": 1,
        "tok": f"tokens/{local_token}",
        "prj": [],
        "rol": 3,
        "own": True,
        "iat": now_s,
        "exp": now_s + 300,
        "jti": random_id(),
    } | claims
    content.pop(without, None)
    return jwt.encode(
        {"alg": "ES256", "typ": "at+jwt", "kid": stored.id} | (header or {}), content, key or real, algorithms=["ES256"]
    )


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def _parts(platform: Platform) -> tuple[dict[str, Any], str]:
    header, payload, _ = (await _signed(platform)).split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), payload


async def _without_algorithm(platform: Platform) -> str:
    header, payload = await _parts(platform)
    return f"{_b64(json.dumps(header | {'alg': 'none'}).encode())}.{payload}."


async def _hs256_with_the_public_key(platform: Platform) -> str:
    header, payload = await _parts(platform)
    (stored,) = await AuthStore(platform.auth.documents).list_keys()
    public: Any = ECKey.import_key({name: stored.jwk[name] for name in ("kty", "crv", "x", "y")}).public_key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_b64(json.dumps(header | {'alg': 'HS256'}).encode())}.{payload}"
    return f"{signed}.{_b64(hmac.digest(pem, signed.encode(), hashlib.sha256))}"


async def _changed_payload(platform: Platform) -> str:
    header, payload, signature = (await _signed(platform, sub="users/ada", own=False)).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"sub": "users/owner", "own": True}
    return f"{header}.{_b64(json.dumps(claims).encode())}.{signature}"


async def _key_in_the_header(platform: Platform) -> str:
    own: Any = ECKey.generate_key("P-256", private=True)
    return await _signed(platform, header={"jwk": own.as_dict(private=False)}, key=own)


async def _revoked(platform: Platform) -> str:
    owner = await platform.auth.owner()
    created = await platform.auth.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=owner)
    metadata = await platform.auth.bearer(created.secret)
    await platform.auth.stub.RevokeToken(pb.RevokeTokenRequest(name=created.token.name), metadata=owner)
    token = metadata[0][1].removeprefix("Bearer ")

    def refused() -> bool:
        try:
            platform.guard.authenticate(token)
        except Unauthenticated:
            return True
        return False

    await until(refused, timeout_s=5.0)  # what the contract promises
    return token


def _another_key(platform: Platform) -> Awaitable[str]:
    return _signed(platform, key=ECKey.generate_key("P-256", private=True))


FORGED: dict[str, tuple[Forge, str]] = {
    "expired": (lambda p: _signed(p, iat=1_700_000_000, exp=1_700_000_300), "TOKEN_EXPIRED"),
    "revoked": (_revoked, "TOKEN_REVOKED"),
    "signed with another key": (_another_key, "TOKEN_INVALID"),
    "signed with a key of its own": (_key_in_the_header, "TOKEN_INVALID"),
    "of an unknown key": (lambda p: _signed(p, header={"kid": "0" * 32}), "TOKEN_INVALID"),
    "of no key": (lambda p: _signed(p, header={"kid": ""}), "TOKEN_INVALID"),
    "without algorithm": (_without_algorithm, "TOKEN_INVALID"),
    "HS256 with the public key": (_hs256_with_the_public_key, "TOKEN_INVALID"),
    "with another payload": (_changed_payload, "TOKEN_INVALID"),
    "of another type": (lambda p: _signed(p, header={"typ": "JWT"}), "TOKEN_INVALID"),
    "for another audience": (lambda p: _signed(p, aud="elsewhere"), "TOKEN_INVALID"),
    "for several audiences": (lambda p: _signed(p, aud=["penstock", "elsewhere"]), "TOKEN_INVALID"),
    "of another issuer": (lambda p: _signed(p, iss="elsewhere"), "TOKEN_INVALID"),
    "issued tomorrow": (lambda p: _signed(p, iat=2_000_000_000, exp=2_000_000_300), "TOKEN_INVALID"),
    "without end": (lambda p: _signed(p, without="exp"), "TOKEN_INVALID"),
    "with a text for an end": (lambda p: _signed(p, exp="never"), "TOKEN_INVALID"),
    "without projects": (lambda p: _signed(p, without="prj"), "TOKEN_INVALID"),
    "of a stronger role than there is": (lambda p: _signed(p, rol=4), "TOKEN_INVALID"),
    "a personal access token itself": (lambda p: p.auth.auth.owner_credential(), "TOKEN_INVALID"),
    "garbage": (lambda p: asyncio.sleep(0, "a.b.c"), "TOKEN_INVALID"),
    "very long": (lambda p: asyncio.sleep(0, "a" * 9_000), "TOKEN_INVALID"),
}


async def assert_unauthenticated(platform: Platform, metadata: Metadata, reason: str) -> None:
    results = await platform.call_all(metadata)
    expected = {name: (Code.UNAUTHENTICATED, reason) for name, need in MATRIX.items() if need is not Need.NOTHING}
    assert {name: results[name] for name in expected} == expected
    for name, need in MATRIX.items():
        if need is Need.NOTHING:  # refused for what is in the request, if at all
            assert results[name][1] in ("", "REQUEST_INVALID")


@pytest.mark.parametrize("forged", FORGED)
async def test_a_token_that_is_not_good(platform: Platform, forged: str) -> None:
    forge, reason = FORGED[forged]
    await assert_unauthenticated(platform, bearer(await forge(platform)), reason)


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Basic dXNlcnMvb3duZXI6"),),
        (("x-authorization", "Bearer x"),),
    ],
)
async def test_no_token(platform: Platform, metadata: Metadata) -> None:
    await assert_unauthenticated(platform, metadata, "TOKEN_MISSING")


async def test_of_two_tokens_none_counts(platform: Platform) -> None:
    await assert_unauthenticated(platform, bearer("x") + await platform.auth.owner(), "TOKEN_MISSING")


async def test_a_forged_token_with_nothing_wrong_is_good(platform: Platform) -> None:
    """That the ones above are refused for what is wrong with them, and for nothing else."""
    await assert_allowed(platform, bearer(await _signed(platform)), OWNERS)


# Callers with one

MEMBERS = {Need.NOTHING, Need.TOKEN, Need.TOKEN_OF_USER}
VIEWERS = MEMBERS | {Need.VIEWER}
EDITORS = VIEWERS | {Need.EDITOR}
ADMINS = EDITORS | {Need.ADMIN, Need.ADMIN_OR_SERVICE}
OWNERS = ADMINS | {Need.OWNER}
SERVICES = {Need.NOTHING, Need.TOKEN, Need.VIEWER, Need.SERVICE, Need.ADMIN_OR_SERVICE}


async def assert_allowed(platform: Platform, metadata: Metadata, allowed: set[Need]) -> None:
    results = await platform.call_all(metadata)
    denied = {name for name, (code, _) in results.items() if code is Code.PERMISSION_DENIED}
    assert denied == {name for name, need in MATRIX.items() if need not in allowed}
    # Nobody is let in or kept out by accident.
    strange = {Code.UNAUTHENTICATED, Code.UNAVAILABLE, Code.UNIMPLEMENTED, Code.INTERNAL, Code.DEADLINE_EXCEEDED}
    assert {name: result for name, result in results.items() if result[0] in strange} == {}


async def member(platform: Platform, project_id: str, role: int) -> Metadata:
    """A user with a role in a project."""
    secret = await platform.auth.add_user("ada")
    await platform.auth.grant(project_id, "ada", role)
    metadata = await platform.auth.bearer(secret)
    await platform.settled(metadata, project_id)
    return metadata


async def limited(platform: Platform, metadata: Metadata, **limits: Any) -> Metadata:
    """A token of a caller that reaches less far."""
    created = await platform.auth.stub.CreateToken(pb.CreateTokenRequest(title="t", **limits), metadata=metadata)
    return await platform.auth.bearer(created.secret)


@pytest.mark.parametrize(
    ("role", "allowed"), [(pb.ROLE_VIEWER, VIEWERS), (pb.ROLE_EDITOR, EDITORS), (pb.ROLE_ADMIN, ADMINS)]
)
async def test_a_member_of_the_project(platform: Platform, role: int, allowed: set[Need]) -> None:
    await assert_allowed(platform, await member(platform, "alpha", role), allowed)


async def test_an_administrator_of_another_project(platform: Platform) -> None:
    await assert_allowed(platform, await member(platform, "beta", pb.ROLE_ADMIN), MEMBERS)


async def test_a_former_member(platform: Platform) -> None:
    metadata = await member(platform, "alpha", pb.ROLE_ADMIN)
    await platform.auth.stub.DeleteGrant(
        pb.DeleteGrantRequest(name=f"{PROJECT}/grants/ada"), metadata=await platform.auth.owner()
    )
    caller = platform.guard.authenticate(metadata[0][1].removeprefix("Bearer "))
    await until(lambda: not platform.guard._grants.knows(caller, "alpha"))
    await assert_allowed(platform, metadata, MEMBERS)


@pytest.mark.parametrize(
    ("role", "allowed"), [(pb.ROLE_VIEWER, VIEWERS), (pb.ROLE_EDITOR, EDITORS), (pb.ROLE_ADMIN, ADMINS)]
)
async def test_an_administrator_with_a_weaker_token(platform: Platform, role: int, allowed: set[Need]) -> None:
    admin = await member(platform, "alpha", pb.ROLE_ADMIN)
    await assert_allowed(platform, await limited(platform, admin, role=role), allowed)


async def test_a_viewer_with_a_token_for_more(platform: Platform) -> None:
    viewer = await member(platform, "alpha", pb.ROLE_VIEWER)
    await assert_allowed(platform, await limited(platform, viewer, role=pb.ROLE_ADMIN, projects=[PROJECT]), VIEWERS)


async def test_an_administrator_with_a_token_for_another_project(platform: Platform) -> None:
    await platform.auth.add_user("bob")
    admin = await member(platform, "alpha", pb.ROLE_ADMIN)
    await platform.auth.grant("beta", "ada", pb.ROLE_ADMIN)
    await assert_allowed(platform, await limited(platform, admin, projects=["projects/beta"]), MEMBERS)


async def test_the_owner(platform: Platform) -> None:
    await assert_allowed(platform, await platform.auth.owner(), OWNERS)


@pytest.mark.parametrize(
    ("role", "allowed"), [(pb.ROLE_VIEWER, VIEWERS), (pb.ROLE_EDITOR, EDITORS), (pb.ROLE_ADMIN, ADMINS)]
)
async def test_the_owner_with_a_token_for_the_project(platform: Platform, role: int, allowed: set[Need]) -> None:
    token = await limited(platform, await platform.auth.owner(), projects=[PROJECT], role=role)
    await assert_allowed(platform, token, allowed)


async def test_the_owner_with_a_weaker_token(platform: Platform) -> None:
    await assert_allowed(platform, await limited(platform, await platform.auth.owner(), role=pb.ROLE_EDITOR), EDITORS)


async def test_the_owner_with_a_token_for_another_project(platform: Platform) -> None:
    token = await limited(platform, await platform.auth.owner(), projects=["projects/beta"])
    await assert_allowed(platform, token, MEMBERS)


async def test_a_service(platform: Platform) -> None:
    await assert_allowed(platform, await platform.auth.platform(), SERVICES)


async def test_a_claim_to_own_the_installation_is_checked(platform: Platform) -> None:
    """A token that says so, of a principal that does not own it any more."""
    session = (await platform.auth.add_user("ada")).split("_")[1]
    token = await _signed(platform, sub="users/ada", tok=f"tokens/{session}")
    await assert_allowed(platform, bearer(token), MEMBERS)
