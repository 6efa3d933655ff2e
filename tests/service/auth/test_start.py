"""The first start, the starts after it, and starts that cannot be."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from support.auth import AuthServer, auth_server, refused, settings_in
from support.servers import bearer

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock.api.auth.v1 import auth_service_pb2_grpc as pb_grpc
from penstock_auth.app import AuthStores, build, open_stores
from penstock_auth.errors import StartError
from penstock_auth.settings import AuthSettings
from penstock_auth.store import SCHEMA_VERSION
from penstock_kit.clock import ManualClock
from penstock_kit.stores.documents import DocumentStore

START_WITHIN_S = 20.0


async def records(documents: DocumentStore, collection: str) -> list[str]:
    return [document.id for document in (await documents.query(collection, "installation", "id")).documents]


async def start(settings: AuthSettings, clock: ManualClock) -> str | None:
    """What a process does before it serves."""
    stores = await open_stores(settings)
    try:
        return await build(settings, stores, clock).bootstrap()
    finally:
        await stores.close()


async def test_the_first_start_makes_the_installation(server: AuthServer) -> None:
    assert server.setup_link is not None
    assert server.setup_link.startswith("psl_")
    assert await records(server.documents, "principals") == ["services/platform", "users/owner"]
    assert await records(server.documents, "projects") == ["default"]
    assert len(await records(server.documents, "keys")) == 1
    assert len(await records(server.documents, "tokens")) == 2
    for file, prefix in (
        (server.settings.owner_credential_file, "pst_"),
        (server.settings.service_credential_file, "pvc_"),
    ):
        assert file.read_text().startswith(prefix)
        assert file.stat().st_mode & 0o777 == 0o600


async def test_a_later_start_changes_nothing(tmp_path: Path, clock: ManualClock) -> None:
    settings = settings_in(tmp_path)
    assert await start(settings, clock) is not None
    files = [settings.owner_credential_file, settings.service_credential_file]
    before = [(file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino) for file in files]
    clock.advance(86_400 * 365)
    assert await start(settings, clock) is None
    assert [(file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino) for file in files] == before
    stores = await open_stores(settings)
    assert len(await records(stores.documents, "tokens")) == 2
    await stores.close()


async def test_many_starts_at_once_make_one_installation(tmp_path: Path, clock: ManualClock) -> None:
    settings = settings_in(tmp_path)
    links = await asyncio.gather(*(start(settings, clock) for _ in range(6)))
    assert sum(link is not None for link in links) == 1
    async with auth_server(tmp_path, clock) as server:
        assert len(await records(server.documents, "keys")) == 1
        assert len(await records(server.documents, "tokens")) == 2
        assert len(await records(server.documents, "setup_links")) == 1
        await server.owner()
        await server.platform()


@pytest.mark.parametrize("loss", ["missing", "empty", "damaged", "unknown", "of another kind"])
async def test_a_lost_credential_is_replaced(tmp_path: Path, clock: ManualClock, loss: str) -> None:
    settings = settings_in(tmp_path)
    await start(settings, clock)
    owner, platform = (file.read_text() for file in (settings.owner_credential_file, settings.service_credential_file))
    content = {
        "empty": "",
        "damaged": owner[:50],
        "unknown": owner[:4] + "0" * 32 + owner[36:],
        "of another kind": platform,
    }
    if loss == "missing":
        settings.owner_credential_file.unlink()
    else:
        settings.owner_credential_file.write_text(content[loss])
    async with auth_server(tmp_path, clock) as server:
        replaced = settings.owner_credential_file.read_text().strip()
        assert replaced not in {text.strip() for text in content.values()}
        assert settings.owner_credential_file.stat().st_mode & 0o777 == 0o600
        assert await server.auth.owner_credential() == replaced
        assert settings.service_credential_file.read_text() == platform
        who = await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=await server.owner())
        assert (who.principal, who.owner, who.role) == ("users/owner", True, pb.ROLE_ADMIN)


async def test_a_credential_that_was_revoked_while_running_is_replaced_when_asked_for(server: AuthServer) -> None:
    before = await server.auth.owner_credential()
    owner = await server.owner()
    who = await server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=owner)
    await server.stub.RevokeToken(pb.RevokeTokenRequest(name=who.token), metadata=owner)
    after = await server.auth.owner_credential()
    assert after != before
    assert server.settings.owner_credential_file.read_text().strip() == after
    await server.bearer(after)
    assert (await refused(server.stub.WhoAmI(pb.WhoAmIRequest(), metadata=owner))).reason == "TOKEN_REVOKED"


async def test_a_credential_of_a_user_who_is_not_the_owner_is_replaced(server: AuthServer) -> None:
    ada = await server.bearer(await server.add_user("ada"))
    secret = (await server.stub.CreateToken(pb.CreateTokenRequest(title="t"), metadata=ada)).secret
    server.settings.owner_credential_file.write_text(secret)
    assert await server.auth.owner_credential() != secret


async def test_data_of_a_newer_version_is_left_alone(server: AuthServer) -> None:
    document = await server.documents.get("installation", "installation", "installation")
    body = {**document.body, "schema": SCHEMA_VERSION + 1}
    await server.documents.replace("installation", "installation", "installation", body, expected=document.version)
    auth = build(server.settings, AuthStores(server.documents), server.clock)
    with pytest.raises(StartError, match=r"newer Penstock.*choose another data directory"):
        await auth.bootstrap()


async def test_a_damaged_database_is_explained(tmp_path: Path) -> None:
    (tmp_path / "auth.db").write_text("this is no database, though it is long enough to be looked at" * 100)
    with pytest.raises(StartError, match=r"Cannot open the data of auth: .*auth\.db"):
        await open_stores(replace(settings_in(tmp_path), data_dir=tmp_path))


async def test_a_data_directory_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="Cannot write in the data directory"):
        await open_stores(settings_in(tmp_path / "file"))


# The process


def _environ(directory: Path, **changes: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
        "PENSTOCK_AUTH_ADDRESS": "127.0.0.1:0",
        "PENSTOCK_AUTH_DATA_DIR": str(directory / "data"),
        "PENSTOCK_AUTH_SERVICE_CREDENTIAL_FILE": str(directory / "platform.secret"),
        "PENSTOCK_AUTH_OWNER_CREDENTIAL_FILE": str(directory / "owner.token"),
        **changes,
    }


async def _spawn(environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock_auth",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _address(process: asyncio.subprocess.Process) -> str:
    """The address that the process logs when it serves."""
    assert process.stderr is not None
    async with asyncio.timeout(START_WITHIN_S):
        async for line in process.stderr:
            record = json.loads(line)
            if record["message"] == "Serving":
                return record["address"]
    raise AssertionError("the process ended")


async def test_two_processes_that_start_at_one_moment_share_one_installation(tmp_path: Path) -> None:
    processes = [await _spawn(_environ(tmp_path)) for _ in range(2)]
    try:
        addresses = [await _address(process) for process in processes]
        secret = (tmp_path / "owner.token").read_text().strip()
        tokens: list[str] = []
        for address in addresses:
            async with grpc.aio.insecure_channel(address) as channel:
                stub = pb_grpc.AuthServiceStub(channel)
                tokens.append((await stub.ExchangeToken(pb.ExchangeTokenRequest(secret=secret))).access_token)
        # Each takes what the other one signed.
        for address, token in zip(addresses, reversed(tokens), strict=True):
            async with grpc.aio.insecure_channel(address) as channel:
                stub = pb_grpc.AuthServiceStub(channel)
                await stub.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(token))
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(b"/setup#psl_" in out for out, _ in outputs) == 1
    for _, log in outputs:
        assert b"psl_" not in log
        assert b"pst_" not in log


@pytest.mark.parametrize(
    ("changes", "explanation"),
    [
        ({"PENSTOCK_AUTH_DATA_DIR": ""}, "PENSTOCK_AUTH_DATA_DIR is not set"),
        ({"PENSTOCK_AUTH_DATA_DIR": "/dev/null/data"}, "Cannot write in the data directory"),
        ({"PENSTOCK_AUTH_ADDRESS": "0.0.0.0:0"}, "tokens would travel in the clear"),
    ],
)
async def test_a_process_that_cannot_start_says_why_in_one_line(
    tmp_path: Path, changes: dict[str, str], explanation: str
) -> None:
    process = await _spawn(_environ(tmp_path, **changes))
    _, error = await process.communicate()
    assert process.returncode == 1
    assert explanation in error.decode().splitlines()[-1]
    assert "Traceback" not in error.decode()
