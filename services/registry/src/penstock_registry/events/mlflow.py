"""MLflow's webhooks: which of MLflow's events an event of ours is, and what it tells of each.

Knows nothing of requests. Source: MLflow 3.17, `mlflow/webhooks/types.py` and the handlers of its server.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from penstock_registry.domain import PROMPT_TAG, Event, EventType

__all__ = ["EVENTS", "Telling", "delivery_id", "example", "tellings"]

EVENTS: Final = {
    "registered_model.created": EventType.MODEL_CREATED,
    "model_version.created": EventType.VERSION_CREATED,
    "model_version_tag.set": EventType.VERSION_UPDATED,
    "model_version_tag.deleted": EventType.VERSION_UPDATED,
    "model_version_alias.created": EventType.ALIAS_MOVED,
    "model_version_alias.deleted": EventType.ALIAS_DELETED,
    "prompt.created": EventType.MODEL_CREATED,
    "prompt_version.created": EventType.VERSION_CREATED,
    "prompt_tag.set": EventType.MODEL_UPDATED,
    "prompt_tag.deleted": EventType.MODEL_UPDATED,
    "prompt_version_tag.set": EventType.VERSION_UPDATED,
    "prompt_version_tag.deleted": EventType.VERSION_UPDATED,
    "prompt_alias.created": EventType.ALIAS_MOVED,
    "prompt_alias.deleted": EventType.ALIAS_DELETED,
}
"""The events of MLflow, each with the type of the events that it is among."""

_PROMPT_TYPE_TAG: Final = "_mlflow_prompt_type"
_PROMPT_TEXT_TAG: Final = "mlflow.prompt.text"


@dataclass(frozen=True, slots=True)
class Telling:
    """One event of MLflow: its name, as `entity.action`, and its data."""

    event: str
    data: dict[str, Any]


def tellings(event: Event, wanted: Collection[str]) -> list[Telling]:
    """The events of MLflow that an event is, of those that are wanted; of tags there is one for each."""
    return [telling for telling in _every(event) if telling.event in wanted]


def delivery_id(webhook_id: str, event: Event, number: int) -> str:
    """The id under which the `number`-th telling of an event is delivered, however often that is tried."""
    return str(UUID(bytes=hashlib.sha256(f"{webhook_id} {event.id} {number}".encode()).digest()[:16]))


def example(name: str, event_id: str, now_us: int) -> Event:
    """An event that is the named one of MLflow, with the values of MLflow's own examples."""
    entity, _, action = name.partition(".")
    prompt = entity.startswith("prompt")
    tags = {"example_key": "example_value"}
    removed = action == "deleted" and entity.endswith("_tag")
    texts = {"prompt_version": {_PROMPT_TEXT_TAG: "Hello {{name}}!"}}
    return Event(
        id=event_id,
        type=EVENTS[name],
        time_us=now_us,
        principal="",
        model_id="example_prompt" if prompt else "example_model",
        version=1,
        alias="example_alias",
        set_tags={} if removed else tags | texts.get(entity, {}),
        removed_tags=tuple(tags) if removed else (),
        description=f"An example {entity.replace('_', ' ')}",
        source_uri="models:/123",
        run_id="abcd1234abcd5678",
        prompt=prompt,
    )


def _every(event: Event) -> list[Telling]:
    entity = "prompt" if event.prompt else "registered_model"
    version_entity = "prompt_version" if event.prompt else "model_version"
    alias_entity = "prompt_alias" if event.prompt else "model_version_alias"
    name = {"name": event.model_id}
    version = {"version": str(event.version)}
    match event.type:
        case EventType.MODEL_CREATED:
            told = {"tags": _plain(event), "description": event.description}
            return [Telling(f"{entity}.created", name | told)]
        case EventType.VERSION_CREATED:
            told = {"tags": _plain(event), "description": event.description or None}
            if event.prompt:
                told["template"] = event.set_tags.get(_PROMPT_TEXT_TAG)
            else:
                told |= {"source": event.source_uri, "run_id": event.run_id or None}
            return [Telling(f"{version_entity}.created", name | version | told)]
        case EventType.MODEL_UPDATED if event.prompt:  # of a model MLflow tells nothing
            return _tags(event, "prompt_tag", name)
        case EventType.VERSION_UPDATED:
            return _tags(event, f"{version_entity}_tag", name | version)
        case EventType.ALIAS_MOVED:
            return [Telling(f"{alias_entity}.created", name | {"alias": event.alias} | version)]
        case EventType.ALIAS_DELETED:
            return [Telling(f"{alias_entity}.deleted", name | {"alias": event.alias})]
        case _:
            return []


def _tags(event: Event, entity: str, of: dict[str, Any]) -> list[Telling]:
    put = [Telling(f"{entity}.set", {**of, "key": key, "value": value}) for key, value in event.set_tags.items()]
    return put + [Telling(f"{entity}.deleted", {**of, "key": key}) for key in event.removed_tags]


def _plain(event: Event) -> dict[str, str]:
    """The tags that were given, of a prompt without those by which MLflow keeps it."""
    own = {PROMPT_TAG, _PROMPT_TYPE_TAG, _PROMPT_TEXT_TAG} if event.prompt else set[str]()
    return {key: value for key, value in event.set_tags.items() if key not in own}
