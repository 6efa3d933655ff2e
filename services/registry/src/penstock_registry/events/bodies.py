"""Webhooks and deliveries as bodies of documents, and back. Owns the layout."""

from collections.abc import Mapping
from typing import Any

from penstock_registry.bodies import event_body, event_of
from penstock_registry.domain import EventType
from penstock_registry.events.domain import (
    Attempt,
    ConcurrencyKey,
    Delivery,
    DeliveryState,
    GitHubTarget,
    GitLabTarget,
    HttpTarget,
    JenkinsTarget,
    MlflowTarget,
    Target,
    Webhook,
)

__all__ = ["delivery_body", "delivery_of", "webhook_body", "webhook_of"]

Body = Mapping[str, Any]

_KINDS: dict[str, type[Target]] = {
    "http": HttpTarget,
    "github": GitHubTarget,
    "gitlab": GitLabTarget,
    "jenkins": JenkinsTarget,
    "mlflow": MlflowTarget,
}


def webhook_body(webhook: Webhook) -> dict[str, Any]:
    """A webhook."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(webhook.target, cls))
    target = [getattr(webhook.target, name) for name in type(webhook.target).__slots__]
    body: dict[str, Any] = {
        "display_name": webhook.display_name,
        "types": sorted(int(kind) for kind in webhook.types),
        "model": webhook.model_id,
        "alias": webhook.alias,
        "target": [kind, *target],
        "enabled": webhook.enabled,
        "concurrency_key": int(webhook.concurrency_key),
        "chain_length_max": webhook.chain_length_max,
        "secrets": [[secret, end_us] for secret, end_us in webhook.secrets],
        "creator": webhook.creator,
        "create_us": webhook.create_us,
        "update_us": webhook.update_us,
        "disabled_reason": webhook.disabled_reason,
        "description": webhook.description,
    }
    if webhook.creation:
        body["creation"] = webhook.creation
    return body


def webhook_of(project: str, webhook_id: str, body: Body) -> Webhook:
    """The webhook in a body."""
    kind, *parts = body["target"]
    target: list[Any] = [tuple(part) if isinstance(part, list) else part for part in parts]
    return Webhook(
        project=project,
        id=webhook_id,
        display_name=body["display_name"],
        types=frozenset(EventType(number) for number in body["types"]),
        model_id=body["model"],
        alias=body["alias"],
        target=_KINDS[kind](*target),
        enabled=body["enabled"],
        concurrency_key=ConcurrencyKey(body["concurrency_key"]),
        chain_length_max=body["chain_length_max"],
        secrets=tuple((secret, end_us) for secret, end_us in body["secrets"]),
        creator=body["creator"],
        create_us=body["create_us"],
        update_us=body["update_us"],
        disabled_reason=body["disabled_reason"],
        creation=body.get("creation", ""),
        description=body.get("description", ""),
    )


def delivery_body(delivery: Delivery) -> dict[str, Any]:
    """A delivery. Only one that is pending has `due_us`: it is found by that."""
    body: dict[str, Any] = {
        "webhook": delivery.webhook_id,
        "event_id": delivery.event.id,
        "event": event_body(delivery.event),
        "key": delivery.key,
        "state": int(delivery.state),
        "attempts": [[a.time_us, a.duration_ms, a.http_status, a.error, a.retry_after_s] for a in delivery.attempts],
        "create_us": delivery.create_us,
        "claimed": delivery.claimed,
        "request": delivery.request,
    }
    if delivery.due_us is not None:
        body["due_us"] = delivery.due_us
    return body


def delivery_of(delivery_id: str, body: Body) -> Delivery:
    """The delivery in a body."""
    return Delivery(
        id=delivery_id,
        webhook_id=body["webhook"],
        event=event_of(body["event_id"], body["event"]),
        key=body["key"],
        state=DeliveryState(body["state"]),
        attempts=tuple(Attempt(*parts) for parts in body["attempts"]),
        create_us=body["create_us"],
        due_us=body.get("due_us"),
        claimed=body["claimed"],
        request=body.get("request", 0),
    )
