"""Between the messages of events in the contract and the domain. No decisions here."""

import re
from typing import Any

from penstock.api.registry.v1 import event_pb2
from penstock_kit.names import NameInvalid
from penstock_registry.convert import time_of_us
from penstock_registry.domain import Event, EventType
from penstock_registry.errors import FieldInvalid
from penstock_registry.events.domain import (
    ConcurrencyKey,
    Delivery,
    GitHubTarget,
    GitLabTarget,
    HttpTarget,
    JenkinsTarget,
    MlflowTarget,
    Target,
    Webhook,
)
from penstock_registry.store import Stored

__all__ = [
    "delivery_message",
    "event_message",
    "fields_from_message",
    "parse_delivery_name",
    "parse_webhook_name",
    "secrets_from_message",
    "target_from_message",
    "webhook_from_message",
    "webhook_message",
]

_WEBHOOK_RE = re.compile(r"projects/([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)/webhooks/([0-9a-f]{32})\Z")
_TARGETS: dict[str, type[Target]] = {
    "http": HttpTarget,
    "github": GitHubTarget,
    "gitlab": GitLabTarget,
    "jenkins": JenkinsTarget,
    "mlflow": MlflowTarget,
}


def parse_webhook_name(name: str) -> tuple[str, str]:
    """The project and the id of a `projects/{project}/webhooks/{webhook}`. Raises `NameInvalid`."""
    match = _WEBHOOK_RE.match(name)
    if match is None:
        raise NameInvalid(f"{name!r} is not a webhook: it should look like projects/p/webhooks/<32 hex digits>.")
    return match[1], match[2]


def parse_delivery_name(name: str) -> tuple[str, str, str]:
    """Project, webhook and id of a `projects/{project}/webhooks/{webhook}/deliveries/{delivery}`. Raises `NameInvalid`."""
    webhook, _, delivery_id = name.partition("/deliveries/")
    return (*parse_webhook_name(webhook), delivery_id)


def event_message(project: str, event: Event) -> event_pb2.Event:
    """An event."""
    model = f"projects/{project}/models/{event.model_id}"
    return event_pb2.Event(
        id=event.id,
        type=event_pb2.EventType.Name(event.type),
        time=time_of_us(event.time_us),
        principal=event.principal,
        model=model,
        version=event.version,
        alias=event.alias,
        former_version=event.former_version,
        former_model=f"projects/{project}/models/{event.former_model_id}" if event.former_model_id else "",
        reason=event.reason,
        verdict=f"{model}/verdicts/{event.verdict}" if event.verdict else "",
        passed=event.passed,
        former_stage=event.former_stage,
        stage=event.stage,
        chain_length=event.chain_length,
        set_tags=event.set_tags,
        removed_tags=event.removed_tags,
        description=event.description,
        source_uri=event.source_uri,
        run=f"projects/{project}/runs/{event.run_id}" if event.run_id else "",
        prompt=event.prompt,
    )


def webhook_message(stored: Stored[Webhook]) -> event_pb2.Webhook:
    """A webhook, without secrets and tokens."""
    webhook = stored.value
    message = event_pb2.Webhook(
        name=f"projects/{webhook.project}/webhooks/{webhook.id}",
        display_name=webhook.display_name,
        description=webhook.description,
        types=[event_pb2.EventType.Name(kind) for kind in sorted(webhook.types)],
        model=webhook.model_id,
        alias=webhook.alias,
        enabled=webhook.enabled,
        concurrency_key=event_pb2.ConcurrencyKey.Name(webhook.concurrency_key),
        chain_length_max=webhook.chain_length_max,
        disabled_reason=webhook.disabled_reason,
        creator=webhook.creator,
        create_time=time_of_us(webhook.create_us),
        update_time=time_of_us(webhook.update_us),
        etag=stored.etag,
    )
    kind = next(name for name, cls in _TARGETS.items() if isinstance(webhook.target, cls))
    target = getattr(message, kind)
    target.SetInParent()
    if isinstance(webhook.target, MlflowTarget):
        message.mlflow.events.extend(webhook.target.events)
    for field in target.DESCRIPTOR.fields_by_name:
        if field not in {"token", "secret", "events"}:
            setattr(target, field, getattr(webhook.target, field))
    return message


def target_from_message(message: event_pb2.Webhook) -> Target:
    """Where a webhook's requests go. Raises `FieldInvalid` if it does not say."""
    kind = message.WhichOneof("target")
    if kind is None:
        raise FieldInvalid("A webhook needs a target.", field="webhook.target")
    if kind == "mlflow":
        return MlflowTarget(message.mlflow.url, tuple(dict.fromkeys(message.mlflow.events)))
    given: Any = getattr(message, kind)
    return _TARGETS[kind](**{field: getattr(given, field) for field in given.DESCRIPTOR.fields_by_name})


def secrets_from_message(message: event_pb2.Webhook) -> tuple[tuple[str, None], ...]:
    """What one of MLflow is to be signed with, not sealed yet: nothing if it brings none. Of others it is not asked."""
    return ((message.mlflow.secret, None),) if message.mlflow.secret else ()


def fields_from_message(message: event_pb2.Webhook) -> dict[str, Any]:
    """What may be changed of a webhook, but for its target, by the field names of the domain."""
    return {
        "display_name": message.display_name,
        "description": message.description,
        "types": frozenset(EventType(number) for number in message.types),
        "model_id": message.model,
        "alias": message.alias,
        "enabled": message.enabled,
        "concurrency_key": ConcurrencyKey(message.concurrency_key),
        "chain_length_max": message.chain_length_max,
    }


def webhook_from_message(project: str, message: event_pb2.Webhook) -> Webhook:
    """A webhook as it is asked for; what follows from its making is left empty. Raises `FieldInvalid` without a target."""
    return Webhook(
        project=project,
        id="",
        target=target_from_message(message),
        **fields_from_message(message),
        secrets=secrets_from_message(message),
        creator="",
        create_us=0,
        update_us=0,
    )


def delivery_message(project: str, delivery: Delivery) -> event_pb2.Delivery:
    """A delivery."""
    return event_pb2.Delivery(
        name=f"projects/{project}/webhooks/{delivery.webhook_id}/deliveries/{delivery.id}",
        event=event_message(project, delivery.event),
        state=event_pb2.DeliveryState.Name(delivery.state),
        attempts=[
            event_pb2.DeliveryAttempt(
                time=time_of_us(attempt.time_us),
                duration_ms=attempt.duration_ms,
                http_status=attempt.http_status,
                error=attempt.error,
            )
            for attempt in delivery.attempts
        ],
        create_time=time_of_us(delivery.create_us),
        next_attempt_time=None if delivery.due_us is None else time_of_us(delivery.due_us),
    )
