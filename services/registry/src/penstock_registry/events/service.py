"""The use cases of events: following them, and webhooks. Knows nothing of gRPC, HTTP or documents."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from penstock_kit.clock import Clock
from penstock_kit.ids import derived_id, random_id
from penstock_registry.domain import Event
from penstock_registry.errors import CursorInvalid, FieldInvalid, WebhookDisabled, WebhookNotFound
from penstock_registry.events import mlflow
from penstock_registry.events.domain import (
    CHAIN_LENGTH_DEFAULT,
    SECRET_OVERLAP_S,
    Delivery,
    DeliveryState,
    GitHubTarget,
    GitLabTarget,
    HttpTarget,
    MlflowTarget,
    Target,
    Webhook,
)
from penstock_registry.events.guard import TargetGuard
from penstock_registry.events.requests import GITHUB_API, request_of, secret_text
from penstock_registry.events.secrets import SecretBox
from penstock_registry.events.sending import Sender, Sent
from penstock_registry.events.store import EventStore
from penstock_registry.store import Stored

__all__ = ["EventService"]

WATCH_POLL_S: Final = 0.25
HEARTBEAT_S: Final = 5.0
SECRET_BYTES: Final = 32
REPLAY_ATTEMPTS_MAX: Final = 5


class EventService:
    """What happened, and who is told.

    Args:
        store: Events, webhooks, deliveries.
        guard: Where webhooks may go.
        sender: Makes requests.
        box: Seals what they are signed with, and tokens.
        clock: The time.
    """

    def __init__(self, store: EventStore, guard: TargetGuard, sender: Sender, box: SecretBox, clock: Clock) -> None:
        self._store = store
        self._box = box
        self._guard = guard
        self._sender = sender
        self._clock = clock

    async def watch(
        self, project: str, cursor: str, *, from_now: bool, stop: asyncio.Event
    ) -> AsyncGenerator[tuple[Event | None, str]]:
        """Yields each event with the cursor after it, in order; None as a heartbeat. Ends once `stop` is set.

        Raises `CursorInvalid`.
        """
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise CursorInvalid("The cursor is damaged: send it as it was received.")
        revision = int(cursor or 0)
        if not cursor and from_now:
            revision = await self._store.newest_revision(project)
        said_s = self._clock.monotonic_s()
        yield None, str(revision)
        while not stop.is_set():
            events, revision, more = await self._store.events(project, revision)
            for event, at in events:
                yield event, str(at)
                said_s = self._clock.monotonic_s()
            if more:
                continue
            if self._clock.monotonic_s() - said_s >= HEARTBEAT_S:
                yield None, str(revision)
                said_s = self._clock.monotonic_s()
            try:
                await asyncio.wait_for(stop.wait(), WATCH_POLL_S)
            except TimeoutError:
                continue

    async def create_webhook(self, draft: Webhook, *, request_id: str, by: str) -> tuple[Stored[Webhook], str]:
        """Creates a webhook. Returns it and its secret, which is empty if a repeat found what was made before, or if the
        webhook brings its own.

        Raises `FieldInvalid`, `TargetForbidden`, `WebhookLimitReached`.
        """
        draft = typed(draft)
        self._check(draft)
        secret = b"" if isinstance(draft.target, MlflowTarget) else secrets.token_bytes(SECRET_BYTES)
        now_us = self._clock.now_us()
        webhook = replace(
            draft,
            id=random_id(),
            target=self._sealed(draft.target),
            chain_length_max=draft.chain_length_max or CHAIN_LENGTH_DEFAULT,
            secrets=((self._box.seal(secret), None),) if secret else self._sealed_secrets(draft),
            creator=by,
            create_us=now_us,
            update_us=now_us,
            creation=derived_id(by, request_id, f"webhook {draft.project}") if request_id else "",
        )
        await self._store.begin_fan_out(webhook.project)
        stored, added = await self._store.add_webhook(webhook)
        return stored, secret_text(secret) if added and secret else ""

    async def get_webhook(self, project: str, webhook_id: str) -> Stored[Webhook]:
        """Returns a webhook. Raises `WebhookNotFound`."""
        return await self._store.webhook(project, webhook_id)

    async def list_webhooks(self, project: str) -> list[Stored[Webhook]]:
        """Returns the webhooks of a project, oldest first."""
        return await self._store.webhooks(project)

    async def update_webhook(
        self, project: str, webhook_id: str, change: Callable[[Webhook], Webhook], *, etag: str
    ) -> Stored[Webhook]:
        """Changes a webhook. Raises `WebhookNotFound`, `EtagMismatch`, `FieldInvalid`, `TargetForbidden`."""

        def checked(webhook: Webhook) -> Webhook:
            changed = typed(change(webhook))
            if isinstance(changed.target, MlflowTarget) != isinstance(webhook.target, MlflowTarget):
                # The one brings its secret, the other is given one.
                raise FieldInvalid("A webhook of MLflow stays one: create another.", field="webhook.target")
            target = changed.target if changed.target is webhook.target else self._sealed(changed.target)
            changed = replace(
                changed,
                target=with_token(target, webhook.target),
                secrets=webhook.secrets if changed.secrets is webhook.secrets else self._sealed_secrets(changed),
                chain_length_max=changed.chain_length_max or CHAIN_LENGTH_DEFAULT,
                disabled_reason="" if changed.enabled else changed.disabled_reason,
                update_us=self._clock.now_us(),
            )
            self._check(changed)
            return changed

        return await self._store.change_webhook(project, webhook_id, checked, etag=etag)

    async def delete_webhook(self, project: str, webhook_id: str) -> None:
        """Deletes a webhook and its deliveries. Raises `WebhookNotFound`."""
        await self._store.delete_webhook(project, webhook_id)

    async def rotate_secret(self, project: str, webhook_id: str) -> str:
        """Makes a new secret; the former one counts for `SECRET_OVERLAP_S` more, but not for MLflow, whose requests hold one
        signature. Raises `WebhookNotFound`, `EtagMismatch`.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        now_us = self._clock.now_us()
        sealed, end_us = self._box.seal(secret), now_us + SECRET_OVERLAP_S * 1_000_000

        def rotated(webhook: Webhook) -> Webhook:
            if isinstance(webhook.target, MlflowTarget):
                # Its receiver takes the text itself for the key.
                text = self._box.seal(secret_text(secret).encode())
                return replace(webhook, secrets=((text, None),), update_us=now_us)
            former = webhook.signing_secrets(now_us)[0]
            return replace(webhook, secrets=((sealed, None), (former, end_us)), update_us=now_us)

        await self._store.change_webhook(project, webhook_id, rotated)
        return secret_text(secret)

    async def test_webhook(self, project: str, webhook_id: str, mlflow_event: str) -> Sent:
        """Makes a request of an example. Raises `WebhookNotFound`, `FieldInvalid`.

        Args:
            project: The project.
            webhook_id: The webhook.
            mlflow_event: For MLflow, which event; empty means the first that it names.
        """
        webhook = (await self._store.webhook(project, webhook_id)).value
        now_us = self._clock.now_us()
        match webhook.target:
            case MlflowTarget(url, events):
                wanted = mlflow_event or events[0]
                if wanted not in mlflow.EVENTS:
                    raise FieldInvalid(f"{wanted!r} is no event of MLflow.", field="mlflow_event")
                event = mlflow.example(wanted, random_id(), now_us)
                webhook = replace(webhook, target=MlflowTarget(url, (wanted,)))
            case HttpTarget():
                kind = min(webhook.types)
                event = Event(random_id(), kind, now_us, "", webhook.model_id or "example_model", 1, webhook.alias)
            case _:
                raise FieldInvalid("The job of a CI system is not started for a test.", field="name")
        return await self._sender.send(request_of(webhook, event, now_us, self._box))

    async def list_deliveries(
        self, project: str, webhook_id: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Delivery], bytes | None]:
        """Returns deliveries, newest first, and where to go on. Raises `WebhookNotFound`."""
        await self._store.webhook(project, webhook_id)
        return await self._store.deliveries(project, webhook_id, limit=limit, cursor=cursor)

    async def replay(self, project: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Makes a delivery anew. Raises `WebhookNotFound`, `WebhookDisabled`, `DeliveryNotFound`."""
        webhook = (await self._store.webhook(project, webhook_id)).value
        if not webhook.enabled:
            raise WebhookDisabled("The webhook is disabled: enable it first.")
        for _ in range(REPLAY_ATTEMPTS_MAX):
            stored = await self._store.delivery(project, webhook_id, delivery_id)
            anew = replace(
                stored.value,
                state=DeliveryState.PENDING,
                attempts=(),
                due_us=self._clock.now_us(),
                claimed=False,
                request=0,
            )
            if await self._store.replace_deliveries(project, [(stored, anew)]) is not None:
                return anew
        raise WebhookDisabled("The delivery is being made right now; try again.")

    async def renew_secrets(self) -> None:
        """Seals with the newest key what was sealed with former ones, of all projects. Raises `SecretUnreadable`."""
        for project in await self._store.projects():
            for stored in await self._store.webhooks(project):
                if self._renewed(stored.value) != stored.value:
                    with suppress(WebhookNotFound):
                        await self._store.change_webhook(project, stored.value.id, self._renewed)

    def _renewed(self, webhook: Webhook) -> Webhook:
        target = webhook.target
        if not isinstance(target, HttpTarget | MlflowTarget):
            target = replace(target, token=self._box.renewed(target.token))
        secrets_ = tuple((self._box.renewed(sealed), end_us) for sealed, end_us in webhook.secrets)
        return replace(webhook, target=target, secrets=secrets_)

    def _sealed_secrets(self, webhook: Webhook) -> tuple[tuple[str, int | None], ...]:
        """Secrets that were brought as they are, sealed."""
        return tuple((self._box.seal(secret.encode()), end_us) for secret, end_us in webhook.secrets)

    def _sealed(self, target: Target) -> Target:
        """A target with its token sealed, if it has one."""
        if isinstance(target, HttpTarget | MlflowTarget) or not target.token:
            return target
        return replace(target, token=self._box.seal(target.token.encode()))

    def _check(self, webhook: Webhook) -> None:
        """Raises `FieldInvalid`, `TargetForbidden`."""
        if not webhook.types:
            raise FieldInvalid("A webhook needs at least one type of events.", field="webhook.types")
        self._guard.check_url(url_of(webhook.target))
        if not isinstance(webhook.target, HttpTarget | MlflowTarget) and not webhook.target.token:
            raise FieldInvalid("A CI system needs a token.", field="webhook.target")


def typed(webhook: Webhook) -> Webhook:
    """A webhook whose types follow from its target, where that names events of its own."""
    if not isinstance(webhook.target, MlflowTarget):
        return webhook
    return replace(webhook, types=frozenset(mlflow.EVENTS[name] for name in webhook.target.events))


def url_of(target: Target) -> str:
    """Where a target is."""
    match target:
        case HttpTarget(url) | MlflowTarget(url):
            return url
        case GitHubTarget(api_url=api_url):
            return api_url or GITHUB_API
        case GitLabTarget(url=url):
            return url
        case _:
            return target.job_url


def with_token(target: Target, former: Target) -> Target:
    """A target with the token that the former one has, if it has none and is of the same kind and place.

    A token never goes to another place than the one it was given for.
    """
    if isinstance(target, HttpTarget | MlflowTarget) or target.token or type(target) is not type(former):
        return target
    if isinstance(former, HttpTarget | MlflowTarget) or url_of(target) != url_of(former):
        return target
    return replace(target, token=former.token)
