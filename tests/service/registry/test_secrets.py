"""What lies in the store of the registry: nothing that whoever reads it could act with."""

import asyncio
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from support.receiver import receiving
from support.registry import PROJECT, serving_registry, settings_in
from support.servers import until

from penstock.api.registry.v1 import event_pb2
from penstock_kit.clock import SystemClock
from penstock_kit.settings import SettingsError
from penstock_registry.app import open_stores
from penstock_registry.events.bodies import webhook_body
from penstock_registry.events.store import EventStore

TOKEN = "very-secret-token"


async def test_tokens_and_secrets_are_not_in_the_database(tmp_path: Path) -> None:
    async with serving_registry(tmp_path) as registry:
        target = event_pb2.GitLabTarget(url="https://git.test", project="a/b", ref="main", token=TOKEN)
        await registry.call("CreateWebhook", parent=PROJECT, webhook=event_pb2.Webhook(types=[1], gitlab=target))
        http = event_pb2.Webhook(types=[1], http=event_pb2.HttpTarget(url="https://hooks.test/"))
        secret = (await registry.call("CreateWebhook", parent=PROJECT, webhook=http)).secret
        stored = [
            webhook_body(found.value) for found in await EventStore(registry.stores.documents).webhooks("default")
        ]
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*.sqlite*"))
    assert b"hooks.test" in content
    for hidden in (TOKEN.encode(), secret.removeprefix("whsec_").encode()):
        assert hidden not in content
    opened = [[registry.stores.box.open(sealed) for sealed, _ in body["secrets"]] for body in stored]
    assert all(one not in content for secrets in opened for one in secrets)


async def test_with_another_key_it_does_not_start(tmp_path: Path, documents_url: str) -> None:
    settings = settings_in(tmp_path, documents_url=documents_url)
    await (await open_stores(settings, SystemClock())).close()
    file = tmp_path / "another.key"
    file.write_bytes(Fernet.generate_key())
    with pytest.raises(SettingsError, match="another key"):
        await open_stores(settings_in(tmp_path, documents_url=documents_url, secrets_key_file=file), SystemClock())


async def test_a_key_is_replaced(tmp_path: Path, documents_url: str) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    file = tmp_path / "keys"
    file.write_text(old)
    fields = {"documents_url": documents_url, "secrets_key_file": file, "webhook_hosts": "127.0.0.1"}
    async with receiving() as receiver:
        async with serving_registry(tmp_path, **fields) as registry:
            await registry.new_model()
            await registry.new_version()
            webhook = event_pb2.Webhook(
                types=[event_pb2.EVENT_TYPE_ALIAS_MOVED],
                enabled=True,
                jenkins=event_pb2.JenkinsTarget(job_url=receiver.url, user="ada", token=TOKEN),
            )
            name = (await registry.call("CreateWebhook", parent=PROJECT, webhook=webhook)).webhook.name
        file.write_text(f"{new}\n{old}")
        async with serving_registry(tmp_path, **fields) as registry:
            store, box = EventStore(registry.stores.documents), registry.stores.box

            async def renewed() -> bool:
                found = (await store.webhook("default", name.rpartition("/")[2])).value
                return all(box.renewed(sealed) == sealed for sealed, _ in found.secrets)

            async with asyncio.timeout(10):
                while not await renewed():  # noqa: ASYNC110 - nothing rings when it is done
                    await asyncio.sleep(0.02)
        file.write_text(new)
        async with serving_registry(tmp_path, **fields) as registry:
            await registry.point("production", 1)
            await until(lambda: len(receiver.received) == 1)
    assert receiver.received[0].headers["authorization"].startswith("Basic ")
